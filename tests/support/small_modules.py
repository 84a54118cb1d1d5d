"""Data of eight images, a fit of few steps, and an Explainer that is trained in seconds."""

import pytorch_lightning as pl
import torch

from explainer.data import Shapes
from explainer.networks import Explanandum, Masker
from explainer.training.modules import AmortizedExplainer, ExplainerObjective

MASKER = {"encoder_depth": 3, "decoder_channels": 16, "decoder_atrous_rates": [1, 2, 3], "decoder_aspp_dropout": 0.0}


def eight(**options):
    return Shapes(
        **({"image_size": 32, "batch_size": 8, "num_workers": 0, "train_images": 8, "val_images": 8} | options)
    )


def fit(module, data, steps, **options):
    trainer = pl.Trainer(
        accelerator="cpu", max_steps=steps, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, limit_val_batches=0, **options,
    )  # fmt: skip
    trainer.fit(module, datamodule=data)
    return trainer


def explainer(objective=None, infill=None, mode="eval", **options):
    network = Explanandum("explainer.networks.small.small_cnn", network_args={"width": 4})
    objective = objective or ExplainerObjective()
    optimizer = lambda p: torch.optim.Adam(p, lr=3e-3)  # noqa: E731
    return AmortizedExplainer(
        network,
        Masker("tu-test_resnet", arguments=MASKER),
        objective,
        optimizer,
        infill=infill,
        explanandum_mode=mode,
        **options,
    )
