"""A training with SMOE saliency at its default cadence against the same training without.

Steps are timed with the pictures' cost spread over the cadence: time of a step + time of a picture / cadence.
python benchmarks/saliency_callback.py [--device cuda --network resnet50 --batch 16]
"""

import argparse
import tempfile
import time

import pytorch_lightning as pl
import torch

from explainer.data import Shapes
from explainer.networks import Explanandum
from explainer.training.callbacks import SMOESaliency
from explainer.training.modules import Classifier


def seconds(options: argparse.Namespace, every: int, steps: int) -> float:
    """Wall time of so many steps, the first ones left out."""
    marks: list[float] = []

    class Clock(pl.Callback):
        def on_train_batch_start(self, trainer, module, batch, index) -> None:
            marks.append(time.perf_counter())

    module = Classifier(Explanandum(options.network), lambda p: torch.optim.SGD(p, lr=0.01))
    with tempfile.TemporaryDirectory() as folder:
        pl.Trainer(
            accelerator="gpu" if options.device == "cuda" else "cpu",
            devices=1,
            max_steps=steps + 3,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            limit_val_batches=0,
            callbacks=[Clock(), SMOESaliency(every)],
            default_root_dir=folder,
        ).fit(
            module,
            datamodule=Shapes(
                image_size=options.size,
                batch_size=options.batch,
                num_workers=0,
                train_images=options.batch * 4,
            ),
        )
    return marks[-1] - marks[2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--network", default="resnet18")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--steps", type=int, default=10)
    options = parser.parse_args()
    cadence = SMOESaliency().every_n_steps
    without = seconds(options, 0, options.steps) / options.steps
    shown = seconds(options, 1, options.steps) / options.steps
    picture = shown - without
    print(
        f"{options.network}, batch {options.batch}, {options.size} pixels: a step {1000 * without:.0f} ms, a picture "
        f"{1000 * picture:.0f} ms; at the default cadence of {cadence} steps: ratio "
        f"{(without + picture / cadence) / without:.4f}"
    )


if __name__ == "__main__":
    main()
