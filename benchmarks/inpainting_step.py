"""A training step of the in-painting networks against the bare network passes that it cannot avoid.

Bare: both generators forward and backward; each critic forward and backward on real and made images, and once more on
the made ones, back to them; both optimizers; under the gradient penalty also the second derivative of both critics.
python benchmarks/inpainting_step.py [--device cuda --batch 16 --size 256 --width 32 --loss wgan_gp]
"""

import argparse
import logging
import warnings

import pytorch_lightning as pl
import torch
from timing import compare
from torch.utils.data import DataLoader, TensorDataset

from explainer.data import Batch
from explainer.networks import ContextualAttention
from explainer.training.modules import Inpainting


def trained(module: Inpainting, device: str) -> None:
    """Attach the module to a Trainer, as in a training."""
    trainer = pl.Trainer(
        accelerator="gpu" if device == "cuda" else "cpu",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        max_steps=0,
    )
    module.setup = lambda stage: module.build(("a",), False)  # type: ignore[method-assign]
    trainer.fit(module, DataLoader(TensorDataset(torch.zeros(1))))
    trainer.strategy.connect(module)
    module.to(device)
    module.note = lambda *_: None  # type: ignore[method-assign]  # logging needs a running loop


def adam(parameters: object) -> torch.optim.Adam:
    return torch.optim.Adam(parameters, lr=1e-4, betas=(0.5, 0.9))  # type: ignore[arg-type]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--critic_width", type=int, default=32)
    parser.add_argument("--loss", default="hinge", choices=["hinge", "wgan_gp"])
    parser.add_argument("--pairs", type=int, default=7)
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    torch.manual_seed(0)
    network = ContextualAttention(options.width, dilations=(1, 2, 4), rate=1 if options.size <= 64 else 2)
    module = Inpainting(network, adam, adam, options.loss, options.critic_width)
    trained(module, options.device)
    side = options.size
    image = torch.rand(options.batch, 3, side, side, device=options.device)
    mask = module.masks(image, torch.Generator().manual_seed(0))
    batch = Batch(image, torch.ones(options.batch, 1, device=options.device), ["x"] * options.batch)
    generators, critics = (adam(part.parameters()) for part in (module.network, module.critics))
    pairs = {"global": torch.rand(2 * options.batch, 3, side, side, device=options.device)}
    pairs["local"] = pairs["global"][:, :, : side // 2, : side // 2].contiguous()

    def bare() -> None:
        coarse, refined = module.network(image, mask)
        critics.zero_grad()
        for name, critic in module.critics.items():
            score = critic(pairs[name])
            score.backward(torch.ones_like(score))
            if options.loss == "wgan_gp":
                between = pairs[name][: options.batch].clone().requires_grad_()
                (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
                slope.square().sum().backward()
        critics.step()
        generators.zero_grad()
        module.critics.requires_grad_(False)
        for name, critic in module.critics.items():
            made = pairs[name][: options.batch].clone().requires_grad_()
            critic(made).sum().backward()
        module.critics.requires_grad_(True)
        torch.autograd.backward([coarse, refined], [torch.ones_like(coarse), torch.ones_like(refined)])
        generators.step()

    ours, floor, ratio = compare(lambda: module.training_step(batch, 0), bare, options.pairs, options.device)
    print(
        f"width {options.width}, batch {options.batch}, {side}x{side}, {options.loss}, {options.device}: "
        f"step {ours:.3f} s, bare passes {floor:.3f} s, ratio {ratio:.3f}"
    )


if __name__ == "__main__":
    main()
