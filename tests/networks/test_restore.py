"""Generative checkpoints are read with the average of their weights."""

import torch

from explainer.networks.restore import read_generative
from tests.support.small_checkpoints import save_generative


def test_generative_checkpoints_of_earlier_are_read_with_their_average(tmp_path):
    path = save_generative(tmp_path / "x.ckpt")
    content = torch.load(path, weights_only=True)
    renamed = {name.replace("average.module.", "average.network."): v for name, v in content["state_dict"].items()}
    torch.save(content | {"state_dict": renamed}, tmp_path / "earlier.ckpt")
    _, new = read_generative(path, "inpainter")
    _, earlier = read_generative(tmp_path / "earlier.ckpt", "inpainter")
    assert list(new) == list(earlier)
    assert all(torch.equal(tensor, earlier[name]) for name, tensor in new.items())
