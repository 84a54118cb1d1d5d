"""A training step of the Explainer against the bare network passes that it cannot avoid.

Bare: masker forward and backward, explanandum forward and backward to its input on both composites, same shapes, the
explanandum folded as in the training.
python benchmarks/explainer_step.py [--device cuda --batch 16 --network vgg16]
"""

import argparse

import torch
from timing import compare
from torch import Tensor

from explainer.networks import Explanandum, Masker
from explainer.training.modules import AmortizedExplainer, ExplainerObjective


def example(options: argparse.Namespace) -> tuple[Tensor, Tensor]:
    """Images, and labels of which each image has at least one."""
    image = torch.rand(options.batch, 3, options.size, options.size, device=options.device)
    labels = (torch.rand(options.batch, options.classes, device=options.device) < 0.08).float()
    labels[:, 0] = 1
    return image, labels


def step_and_bare(module: AmortizedExplainer, image: Tensor, labels: Tensor, options: argparse.Namespace) -> str:
    """Seconds of a training step of a module, of the bare passes, and their ratio, in words."""
    module.train()
    optimizer = torch.optim.Adam(module.masker.parameters(), lr=1e-5)
    both = torch.cat([image, image]).requires_grad_()
    explanandum = module._explanandum_for(image)

    def step() -> None:
        loss = module.objective.total(module.objective.terms(module.view(image, labels)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    def bare() -> None:
        out = module.masker.coarse(image)  # what the step needs of the masker: masks not yet enlarged
        scores = explanandum(both)
        optimizer.zero_grad()
        out.backward(torch.ones_like(out))
        torch.autograd.grad(scores, both, torch.ones_like(scores))
        optimizer.step()

    ours, floor, ratio = compare(step, bare, options.pairs, options.device)
    return f"training step {ours:.3f} s, bare passes {floor:.3f} s, ratio {ratio:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--classes", type=int, default=20)
    parser.add_argument("--network", default="resnet50")
    parser.add_argument("--pairs", type=int, default=5)
    options = parser.parse_args()
    torch.manual_seed(0)
    explanandum = Explanandum(options.network, num_classes=options.classes, multilabel=True)
    module = AmortizedExplainer(explanandum, Masker("resnet50"), ExplainerObjective())
    module.build(tuple(map(str, range(options.classes))), True)
    module.to(options.device)
    words = step_and_bare(module, *example(options), options)
    print(
        f"{options.network}, batch {options.batch}, {options.size}x{options.size}, {options.classes} classes, "
        f"{options.device}: {words}"
    )


if __name__ == "__main__":
    main()
