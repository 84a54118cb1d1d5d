"""What does not depend on the map is asked once for the images, and is never that of other ones."""

import pytest
import torch

from explainer.functional.parts import Parts
from explainer.metrics import IDSDS, Infidelity, PartDeletion
from explainer.metrics.memory import Memory
from tests.support.small_judged import judged


def test_it_computes_again_for_any_other_key():
    memory = Memory()
    keys = [torch.rand(2, 3), torch.tensor([1, 2])]
    calls = []

    def compute():
        calls.append(None)
        return torch.tensor(len(calls))

    assert memory.of(keys, compute).item() == 1
    assert memory.of([key.clone() for key in keys], compute).item() == 1
    for others in ([keys[0] + 1, keys[1]], [keys[0]], [keys[0], keys[1].int()], [keys[0][:1], keys[1]], []):
        before = len(calls)
        assert memory.of(others, compute).item() == before + 1
    keys[0][0, 0] = torch.nan
    before = len(calls)
    memory.of(keys, compute)
    memory.of(keys, compute)
    assert len(calls) == before + 2


def test_a_key_that_is_changed_in_place_is_another_one():
    memory = Memory()
    key = torch.zeros(3)
    memory.of([key], lambda: torch.tensor(1))
    key += 1
    assert memory.of([key], lambda: torch.tensor(2)).item() == 2


def scene(size=8):
    image = torch.rand(2, 3, size, size)
    regions = torch.zeros(4, size, size, dtype=torch.bool)
    for number in range(4):
        regions[number, :, 2 * number : 2 * number + 2] = True
    parts = []
    for index in range(2):
        pictures = torch.where(regions[:, None], 0.0, image[index])
        parts.append(Parts(regions, pictures, ("a", "b", "c", "d")))
    return image, parts


METRICS = {"IDSDS": IDSDS(2, batch_size=3), "Infidelity": Infidelity(8), "PartDeletion": PartDeletion()}


@pytest.mark.parametrize("name", METRICS)
def test_a_second_map_costs_a_few_passes_and_has_the_value_of_a_metric_that_never_saw_the_first(name):
    metric = METRICS[name]
    image, parts = scene()
    seen = []

    def logits(pictures):
        seen.append(len(pictures))
        return 20 * pictures.mean((2, 3))

    def probability(pictures, owner):
        return logits(pictures)[:, 0].sigmoid()

    def view(image, scale=1.0):
        asked = judged(torch.rand(2, 1, 8, 8), image=image, labels=torch.eye(3)[[0, 0]])
        return asked._replace(
            parts=parts,
            logits=lambda pictures: scale * logits(pictures),
            probability=lambda pictures, owner: scale * probability(pictures, owner),
        )

    metric.measure(view(image))
    first = sum(seen)
    for again in (view(image), view(image), view(image, scale=-2.0), view(image.flip(0)), view(image)):
        seen.clear()
        value = metric.measure(again).value
        passes = sum(seen)
        seen.clear()
        fresh = type(metric)(**{"batch_size": metric.batch_size} | metric.settings)
        assert torch.equal(value, fresh.measure(again).value)
    seen.clear()
    metric.measure(view(image))
    # each image itself, and without one part; the first time each part beside them
    assert sum(seen) == 4 < first
    assert passes == first
