"""The report's pictures of maps, and the words under a photograph."""

import numpy as np
from PIL import Image

from explainer.evaluation.report.maps import SIDE, data_uri, label_text


def test_pictures_are_small_and_of_the_shorter_kind():
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (500, 400, 3), dtype=np.uint8))
    assert data_uri(noise).startswith("data:image/jpeg")
    assert data_uri(Image.new("RGB", (500, 400))).startswith("data:image/png")
    assert noise.size == (400, 500)
    assert len(data_uri(noise)) < 4 * SIDE * SIDE


def test_words_under_a_photograph():
    said = {"probabilities": [0.1, 0.9, 0.3]}
    assert label_text(("cat", "dog", "cow"), [1, 2], said) == "dog 0.90, cow 0.30"
    assert label_text(("cat", "dog", "cow"), [], said) == "no label"
    assert label_text(("cat", "dog"), [0], None) == "cat"
