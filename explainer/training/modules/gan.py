"""Train a DCGAN, unconditional or of the data set's classes.

A. Radford, L. Metz, S. Chintala: Unsupervised Representation Learning with Deep Convolutional Generative Adversarial
Networks, ICLR 2016; with the hinge loss of T. Miyato et al., ICLR 2018, or the gradient penalty of I. Gulrajani et al.,
NeurIPS 2017. An image with several labels stands for one of them, drawn anew each time; one without labels is left out
of a conditional training.
"""

from typing import Any

import torch
from pytorch_lightning.cli import OptimizerCallable
from torch import Tensor

from explainer.errors import InputError
from explainer.functional.gan_losses import (
    Adversarial,
    critic_loss,
    diversity,
    generator_loss,
    gradient_penalty,
    sliced_wasserstein,
)
from explainer.networks import DCGAN
from explainer.training.modules.generative import GenerativeModule, trainable


class Generation(GenerativeModule):
    """A generator of images against a critic; best by the distance between patches of made and of real images.

    Args:
        network: Generator and its critic; conditional when it has as many classes as the data set.
        generator_optimizer: Function from the generator's parameters to an optimizer.
        critic_optimizer: Function from the critic's parameters to an optimizer.
        loss: Adversarial loss "hinge", or "wgan_gp" (then build the network with `spectral: false`).
        penalty: Weight of the gradient penalty.
        critic_steps: Number of batches for each step of the generator; the critic takes a step on every one.
        decay: Decay of the average of the generator's weights, which is what is validated and used.
        seed: Seed of codes and classes.
    """

    kind = "generator"
    monitor = "val/distance"
    monitor_mode = "min"
    network: DCGAN

    def __init__(
        self,
        network: DCGAN,
        generator_optimizer: OptimizerCallable = torch.optim.Adam,
        critic_optimizer: OptimizerCallable = torch.optim.Adam,
        loss: Adversarial = "hinge",
        penalty: float = 10.0,
        critic_steps: int = 1,
        decay: float = 0.999,
        seed: int = 42,
    ) -> None:
        super().__init__(network, network.generator, generator_optimizer, decay, seed)
        if critic_steps < 1:
            raise InputError(f"Generation: critic_steps must be at least 1, got {critic_steps}")
        self.critic_optimizer = critic_optimizer
        self.loss = loss
        self.penalty = penalty
        self.critic_steps = critic_steps

    def build(self, classes: tuple[str, ...], multilabel: bool) -> None:
        """Take the data set's classes and image size, which the network must fit."""
        super().build(classes, multilabel)
        network = self.network
        size = self.image_size
        if network.num_classes not in (0, len(classes)):
            raise InputError(f"the DCGAN has {network.num_classes} classes, the data set {len(classes)}")
        if size is not None and size != network.image_size:
            raise InputError(f"the DCGAN makes images of {network.image_size}×{network.image_size}, the data's {size}")
        network.classes = classes if network.num_classes else ()

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """Make the generator's optimizer and the critic's."""
        generator = self.optimizer(trainable([self.network.generator]))
        critic = self.critic_optimizer(trainable([self.network.critic]))
        return [generator, critic]

    def forward(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        """Make images by the averaged generator: (N, latent), (N,) → (N, 3, S, S) in [0, 1]."""
        return self.average.module(codes, labels)

    def conditioned(self, batch: Any, draws: torch.Generator) -> tuple[Tensor, Tensor | None]:
        """Return the images, and for a conditional network one label of each image that has any."""
        if not self.network.num_classes:
            return batch.image, None
        labelled = batch.labels.sum(1) > 0
        weights = batch.labels[labelled].cpu()  # drawn on the CPU: the same labels on every device
        drawn = weights.new_zeros(0).long()
        if len(weights):  # multinomial refuses an empty batch
            drawn = torch.multinomial(weights, 1, generator=self.own(draws))[:, 0]
        return batch.image[labelled], drawn.to(batch.image.device)

    def codes(self, count: int, draws: torch.Generator) -> Tensor:
        """Draw the codes of this process's images of a batch, as the network draws them for one process."""
        return self.drawn(count, lambda number: self.network.codes(number, draws))

    def turns(self, index: int) -> tuple[int, ...]:
        """Return the critic's optimizer, and on every `critic_steps`-th batch the generator's."""
        return (1, 0) if (index + 1) % self.critic_steps == 0 else (1,)

    def training_step(self, batch: Any, index: int) -> None:
        """Take the critic's step, and the generator's on every `critic_steps`-th batch."""
        draws = self.draws("train", index)
        image, labels = self.conditioned(batch, draws) if batch.id else (batch.image, None)
        if len(image) < 2:  # BatchNorm needs two
            self.keep_up(index)
            return
        generator_turn = 0 in self.turns(index)
        # on the other batches only the critic learns: a graph through the generator would be memory for nothing
        with torch.set_grad_enabled(generator_turn):
            generated = self.network.generate(self.codes(len(image), draws), labels)
        # detached: the critic's step must not reach the generator
        terms = self.critic_terms(image, generated.detach(), labels, draws)
        self.descend(1, terms["critic"], len(image))
        if generator_turn:
            self.network.critic.requires_grad_(False)  # its gradients would be computed and thrown away
            scores = self.network.realism(generated, labels).float()
            loss = generator_loss(scores)
            self.descend(0, loss, len(image))
            self.network.critic.requires_grad_(True)
            terms = {"loss": loss} | terms
        self.note("train", terms, len(image))

    def critic_terms(
        self,
        image: Tensor,
        generated: Tensor,
        labels: Tensor | None,
        draws: torch.Generator,
    ) -> dict[str, Tensor]:
        """Return the critic's loss and what it consists of."""
        both = None if labels is None else torch.cat([labels, labels])
        # real and made images in one pass: nothing in the critic mixes the images of a batch
        images = torch.cat([image, generated.to(image.dtype)])
        scores = self.network.realism(images, both).float()
        real, fake = scores.chunk(2)
        terms = {"critic": critic_loss(real, fake, self.loss), "real": real.mean(), "made": fake.mean()}
        if self.loss == "wgan_gp":
            # drawn on the CPU: the same numbers on every device
            share = self.drawn(len(image), lambda count: torch.rand(count, generator=draws)).to(image)
            critic = self.network.critic
            generated_input = 2 * generated.to(image.dtype) - 1
            slope = gradient_penalty(lambda x: critic(x, labels), 2 * image - 1, generated_input, share)
            terms |= {"critic": terms["critic"] + self.penalty * slope, "penalty": slope}
        return terms

    def validation_step(self, batch: Any, index: int) -> None:
        """Log how far apart made and real images are, how diverse they are, and the critic's scores."""
        if not batch.id:
            return
        draws = self.draws("val", index)
        image, labels = self.conditioned(batch, draws)
        if len(image) < 2:
            return
        codes = self.codes(len(image), draws)
        generated = self(codes, labels).to(image.dtype)
        real = self.network.realism(image, labels).float().mean()
        fake = self.network.realism(generated, labels).float().mean()
        # a ratio, so that it can be read without knowing the data: 1 is as diverse as the real images
        variety = diversity(generated) / diversity(image).clamp_min(1e-6)
        distance = sliced_wasserstein(image, generated)
        terms = {"distance": distance, "diversity": variety, "real": real, "made": fake}
        self.note("val", terms, len(image))
