"""Masks that are kept for pictures."""

import torch
from small_evaluation import METHODS, classifier, pictures

from explainer.attribution import Attribution
from explainer.evaluation.gallery import method_gallery
from explainer.evaluation.kept import KeptMasks


def test_masks_come_back_as_they_were(tmp_path):
    kept = KeptMasks(tmp_path / "masks", ["a/b.jpg", "c"])
    masks = torch.rand(3, 1, 5, 7)
    kept.add("FIDO, SSR", ["a/b.jpg", "other", "c"], masks)
    torch.testing.assert_close(kept.read("FIDO, SSR", "a/b.jpg"), masks[0], atol=1e-5, rtol=0)
    torch.testing.assert_close(kept.read("FIDO, SSR", "c"), masks[2], atol=1e-5, rtol=0)
    assert kept.read("FIDO, SSR", "other") is None
    assert kept.read("RISE", "c") is None


class Once(Attribution):
    calls = 0

    def maps(self, explanandum, image, target):
        Once.calls += 1
        return image[:, :1]


def test_a_picture_does_not_run_a_method_again(tmp_path):
    batch = pictures((1,))[0]
    kept = KeptMasks(tmp_path, batch.id)
    methods = {"Once": Once(), **METHODS}
    kept.add("Once", batch.id, methods["Once"].target_mask(classifier(), batch.image, batch.labels))
    before = Once.calls
    method_gallery(classifier(), methods, batch, kept)
    assert Once.calls == before
    method_gallery(classifier(), methods, batch)
    assert Once.calls > before
