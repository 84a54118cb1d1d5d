from itertools import pairwise

from explainer.evaluation.report.measures import DOTS, _image_values
from explainer.evaluation.storage.columnar import Rows


def test_the_dots_of_many_images_are_spread_over_all_of_them():
    for count in (1, DOTS, DOTS + 1, 2 * DOTS - 1, 1000):
        rows = Rows([{"id": str(number), "method": "A", "scores": {"iou": number / 1000}} for number in range(count)])
        shown = [round(1000 * value) for value in _image_values(rows, "iou")]
        assert len(shown) == min(count, DOTS)
        gaps = [after - before for before, after in pairwise([*shown, count])]
        assert max(gaps) - min(gaps) <= 1
        assert shown[0] == 0
