"""Methods whose answers are known, and a batch to ask them about."""

import torch

from explainer.attribution import Attribution
from explainer.data import Batch
from explainer.evaluation.maps.make import MaskMaker
from explainer.evaluation.sanity_checks import Convergence, MethodRun, Randomisation, SeedStability, Sensitivity
from explainer.evaluation.scoring.metrics import Judge


class Drawn(Attribution):
    """Maps that are looked up: one a seed, the same for every image."""

    is_mask, budget = True, "steps"

    def __init__(self, seed=0, steps=8):
        self.seed, self.steps, self.asked = seed, steps, []

    def maps(self, explanandum, image, target):
        self.asked.append((self.seed, self.steps))
        generator = torch.Generator().manual_seed(100 * self.seed + self.steps)
        found = torch.rand(1, 1, *image.shape[-2:], generator=generator)
        return torch.full_like(found, 0.5).expand(len(image), -1, -1, -1) if self.steps == 1 else found.expand(
            len(image), -1, -1, -1
        ).to(image)  # fmt: skip


class Grey(Attribution):
    """The image's mean over the channels: a linear map of it."""

    is_mask = True

    def maps(self, explanandum, image, target):
        return image.mean(1, keepdim=True)


def one_label(count=3, side=16):
    labels = torch.eye(3)[torch.arange(count) % 3]
    return Batch(torch.rand(count, 3, side, side), labels, [str(n) for n in range(count)])


def measured(check, explanandum, method, batch, mask, scaled=True):
    run = MethodRun(explanandum, method, batch, mask, MaskMaker(scaled))
    return check.measure(Judge({}).judged(explanandum, "Method", mask, batch)._replace(origin=run))


def asked(one, explanandum, method, batch, scaled=True):
    mask = method.target_mask(explanandum, batch.image, batch.labels, scaled)
    return measured(one, explanandum, method, batch, mask, scaled)


EVERY = {
    "stability": SeedStability(2), "sensitivity": Sensitivity(samples=1), "cascading": Randomisation(blocks=2),
    "independent": Randomisation("independent", blocks=2, similarity="ssim", how="shuffle"),
    "convergence": Convergence((0.5,)),
}  # fmt: skip
