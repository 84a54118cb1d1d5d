"""Train a completion VAE: the picture as it was, from what is left of it.

D. P. Kingma, M. Welling: Auto-Encoding Variational Bayes, ICLR 2014. K. Sohn, H. Lee, X. Yan: Learning Structured
Output Representation using Deep Conditional Generative Models, NeurIPS 2015 (`conditional`). There the prior and the
posterior have an encoder each; here one encoder is both, because it is told where the hole is.
"""

import torch
from pytorch_lightning.cli import OptimizerCallable
from torch import Tensor

from explainer.errors import InputError
from explainer.functional.gan_losses import gaussian_surprise, kl_divergence
from explainer.functional.random_masks import Holes
from explainer.networks import CompletionVAE, Explanandum
from explainer.networks.generative.vae import draw
from explainer.training.modules.generative import FillingModule, trainable


class Completion(FillingModule):
    """A completion VAE; the loss is the negative ELBO in nats for each colour value.

    Args:
        network: Network with encoder and decoder.
        optimizer: Function from parameters to an optimizer.
        deviation: Standard deviation σ of the picture around the decoder's; a smaller one weighs the reconstruction
            more.
        holes: Holes drawn in training; None takes boxes, strokes and blotches alike.
        decay: Decay of the average of the network's weights, which is what is validated and used.
        seed: Seed of holes and codes.
        explanandum: Classifier whose probabilities before and after are logged; None leaves that out.
        conditional: Whether the code of a training image is drawn from what the encoder says of the whole image, and
            drawn towards what it says of the visible part. Codes that are sampled for the visible part then differ in
            what stands in the hole. False draws from the visible part alone: no code knows the hole, and the decoder
            learns its mean.
    """

    kind = "vae"
    network: CompletionVAE

    def __init__(
        self,
        network: CompletionVAE,
        optimizer: OptimizerCallable = torch.optim.Adam,
        deviation: float = 0.1,
        holes: Holes | None = None,
        decay: float = 0.999,
        seed: int = 42,
        explanandum: Explanandum | None = None,
        conditional: bool = False,
    ) -> None:
        super().__init__(network, optimizer, holes, decay, seed, explanandum)
        if deviation <= 0:
            raise InputError(f"Completion: deviation must be above 0, got {deviation}")
        self.deviation = deviation
        self.conditional = conditional

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Make one optimizer for the whole network."""
        return self.optimizer(trainable([self.network]))

    def train_on(self, image: Tensor, mask: Tensor, draws: torch.Generator, index: int) -> dict[str, Tensor]:
        """Take one step on the ELBO."""
        prior: tuple[Tensor, ...] = ()
        noise_draws = self.own(draws)
        if self.conditional:
            # the whole image and its visible part in one pass of the encoder
            images = torch.cat([image, image])
            known = torch.cat([torch.ones_like(mask), mask])
            means, log_variances = self.network.encode(images, known)
            mean, visible_mean = means.chunk(2)
            log_variance, visible_log_variance = log_variances.chunk(2)
            # the prior is what the visible part leaves open: only what the hole adds has to be paid for
            prior = (visible_mean, visible_log_variance)
            noise = draw(mean.shape, noise_draws).to(mean)
            completed = self.network.decode(mean, log_variance, noise)
        else:
            completed, mean, log_variance = self.network(image, mask, noise_draws)
        # a value's share of the bound: a learning rate then serves every size of the images
        size = image[0].numel()
        surprises = gaussian_surprise(completed.float(), image, self.deviation)
        surprise = surprises.mean() / size
        divergences = kl_divergence(mean, log_variance, *prior)
        divergence = divergences.mean() / size
        loss = surprise + divergence
        self.descend(0, loss, len(image))
        return {"loss": loss, "surprise": surprise, "divergence": divergence}
