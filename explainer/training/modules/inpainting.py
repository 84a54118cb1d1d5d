"""Train a network that fills holes, against two critics: one sees the image, one a window around the hole.

J. Yu, Z. Lin, J. Yang, X. Shen, X. Lu, T. S. Huang: Generative Image Inpainting with Contextual Attention, CVPR 2018.
Departures: the holes are boxes, strokes and blotches, because FIDO's masks are no boxes; the local critic's window has
a fixed size, around the hole's centre of gravity; the hinge loss can take the place of the gradient penalty.
"""

import torch
from pytorch_lightning.cli import OptimizerCallable
from torch import Tensor, nn

from explainer.errors import InputError
from explainer.functional.gan_losses import (
    Adversarial,
    critic_loss,
    discounted_reconstruction,
    generator_loss,
    gradient_penalty,
)
from explainer.functional.random_masks import Holes, crop, window
from explainer.networks import ContextualAttention, Explanandum
from explainer.networks.generative.critics import Critic
from explainer.training.modules.generative import FillingModule, trainable


class Inpainting(FillingModule):
    """Contextual attention, trained by reconstruction and by two critics.

    Args:
        network: Network of the coarse and the refinement generator.
        generator_optimizer: Function from the network's parameters to an optimizer.
        critic_optimizer: Function from both critics' parameters to an optimizer.
        loss: Adversarial loss "wgan_gp" as in the paper, or "hinge" with spectral normalisation.
        critic_width: Channels of the critics' first convolution.
        reconstruction: Weight of the discounted error of both passes.
        adversarial: Weight of each critic in the generator's loss.
        penalty: Weight of the gradient penalty.
        discount: Factor γ of the reconstruction for each pixel of depth in the hole, in (0, 1].
        known: Weight of known pixels in the reconstruction.
        critic_steps: Number of batches for each step of the generator; the critics take a step on every one.
        holes: Holes drawn in training; None takes boxes, strokes and blotches alike.
        decay: Decay of the average of the network's weights, which is what is validated and used.
        seed: Seed of holes and of all else that is drawn.
        explanandum: Classifier whose probabilities before and after are logged; None leaves that out.
    """

    kind = "inpainter"

    def __init__(
        self,
        network: ContextualAttention,
        generator_optimizer: OptimizerCallable = torch.optim.Adam,
        critic_optimizer: OptimizerCallable = torch.optim.Adam,
        loss: Adversarial = "wgan_gp",
        critic_width: int = 64,
        reconstruction: float = 1.0,
        adversarial: float = 0.001,
        penalty: float = 10.0,
        discount: float = 0.99,
        known: float = 1.0,
        critic_steps: int = 1,
        holes: Holes | None = None,
        decay: float = 0.999,
        seed: int = 42,
        explanandum: Explanandum | None = None,
    ) -> None:
        super().__init__(network, generator_optimizer, holes, decay, seed, explanandum)
        if critic_steps < 1 or not 0 < discount <= 1:
            raise InputError(f"Inpainting: critic_steps {critic_steps} below 1, or discount {discount} not in (0, 1]")
        self.critic_optimizer = critic_optimizer
        self.loss = loss
        self.critic_steps = critic_steps
        self.discount = discount
        self.weights = {"reconstruction": reconstruction, "adversarial": adversarial, "penalty": penalty}
        self.known = known
        spectral = loss == "hinge"  # the gradient penalty bounds the critics by itself
        self.critics = nn.ModuleDict(
            {
                "global": Critic(width=critic_width, spectral=spectral),
                # its window has half the side: a stage less ends in a map of the same size
                "local": Critic(width=critic_width, stages=3, spectral=spectral),
            }
        )

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """Make the generator's optimizer and the critics'."""
        return [self.optimizer(trainable([self.network])), self.critic_optimizer(trainable([self.critics]))]

    def views(self, image: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """Return what each critic sees, in [-1, 1]: the whole image, and a window of half its side around the hole."""
        half = (image.shape[-2] // 2, image.shape[-1] // 2)
        part = crop(image, window(mask, half), half)
        return {"global": 2 * image - 1, "local": 2 * part - 1}

    def turns(self, index: int) -> tuple[int, ...]:
        """Return the critics' optimizer, and on every `critic_steps`-th batch the generator's."""
        return (1, 0) if (index + 1) % self.critic_steps == 0 else (1,)

    def train_on(self, image: Tensor, mask: Tensor, draws: torch.Generator, index: int) -> dict[str, Tensor]:
        """Take the critics' step, and the generator's on every `critic_steps`-th batch."""
        generator_turn = 0 in self.turns(index)
        # on the other batches only the critics learn: a graph through the generator would be memory for nothing
        with torch.set_grad_enabled(generator_turn):
            coarse, refined = self.network(image, mask)
            # known pixels as they are: nothing but the hole can tell the critics which image was filled
            filled = torch.where(mask > 0, image, refined.to(image.dtype))
        terms = self.critic_terms(image, filled.detach(), mask, draws)
        self.descend(1, terms["critic"], len(image))
        if not generator_turn:
            return terms
        self.critics.requires_grad_(False)  # their gradients would be computed and thrown away
        views = self.views(filled, mask)
        losses = [generator_loss(self.critics[name](view)) for name, view in views.items()]
        fooled = torch.stack(losses).sum()
        errors = []
        for picture in (coarse, refined):
            errors.append(discounted_reconstruction(picture, image, mask, self.discount, self.known))
        error = torch.stack(errors).sum()
        loss = self.weights["reconstruction"] * error + self.weights["adversarial"] * fooled
        self.descend(0, loss, len(image))
        self.critics.requires_grad_(True)
        return {"loss": loss, "reconstruction": error, "fooled": fooled} | terms

    def critic_terms(self, image: Tensor, generated: Tensor, mask: Tensor, draws: torch.Generator) -> dict[str, Tensor]:
        """Return the critics' loss and what it consists of."""
        real = self.views(image, mask)
        fake = self.views(generated, mask)
        hole = {"global": mask, "local": (self.views(mask, mask)["local"] + 1) / 2}
        terms: dict[str, Tensor] = {}
        total = image.new_zeros(())
        for name, critic in self.critics.items():
            # real and filled images in one pass: nothing in a critic mixes the images of a batch
            both = torch.cat([real[name], fake[name]])
            genuine, forged = critic(both).float().chunk(2)
            terms |= {f"{name}_real": genuine.mean(), f"{name}_made": forged.mean()}
            total = total + critic_loss(genuine, forged, self.loss)
            if self.loss == "wgan_gp":
                # drawn on the CPU: the same numbers on every device
                share = self.drawn(len(image), lambda count: torch.rand(count, generator=draws)).to(image)
                slope = gradient_penalty(critic, real[name], fake[name], share, hole[name])
                terms[f"{name}_penalty"] = slope
                total = total + self.weights["penalty"] * slope
        return {"critic": total} | terms

    def judged(self, image: Tensor, generated: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """Return the critics' scores of validation images and of what was made of them."""
        scores = {}
        for name, critic in self.critics.items():
            for what, pictures in (("real", image), ("made", generated)):
                view = self.views(pictures, mask)[name]
                scores[f"{name}_{what}"] = critic(view).float().mean()
        return scores
