"""Train a completion VAE: the picture as it was, from what is left of it.

D. P. Kingma, M. Welling: Auto-Encoding Variational Bayes, ICLR 2014.
"""

import torch
from pytorch_lightning.cli import OptimizerCallable
from torch import Tensor

from explainer.adversarial import gaussian_surprise, kl_divergence
from explainer.errors import InputError
from explainer.holes import Holes
from explainer.modules.generative import FillingModule, trainable
from explainer.networks import CompletionVAE, Explanandum


class Completion(FillingModule):
    """A completion VAE; the loss is the negative ELBO in nats for each colour value.

    Args:
        network: Encoder and decoder.
        optimizer: From parameters to an optimizer.
        deviation: σ of the picture around the decoder's; smaller weighs the reconstruction more.
        holes: What is drawn in training; None takes boxes, strokes and blotches alike.
        decay: Of the average of the network's weights, which is what is validated and used.
        seed: Of holes and codes.
        explanandum: A classifier whose probabilities before and after are logged; None leaves that out.
    """

    kind = "vae"
    network: CompletionVAE

    def __init__(
        self, network: CompletionVAE, optimizer: OptimizerCallable = torch.optim.Adam, deviation: float = 0.1,
        holes: Holes | None = None, decay: float = 0.999, seed: int = 42, explanandum: Explanandum | None = None,
    ) -> None:  # fmt: skip
        super().__init__(network, optimizer, holes, decay, seed, explanandum)
        if deviation <= 0:
            raise InputError(f"Completion: deviation must be above 0, got {deviation}")
        self.deviation = deviation

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """One."""
        return self.optimizer(trainable([self.network]))

    def train_on(self, image: Tensor, mask: Tensor, draws: torch.Generator, index: int) -> dict[str, Tensor]:
        """One step on the ELBO."""
        made, mean, log_variance = self.network(image, mask, draws)
        size = image[0].numel()
        surprise = gaussian_surprise(made.float(), image, self.deviation).mean() / size
        divergence = kl_divergence(mean, log_variance).mean() / size
        loss = surprise + divergence
        self.descend(0, loss)
        self.average.update(self.network)
        return {"loss": loss, "surprise": surprise, "divergence": divergence}
