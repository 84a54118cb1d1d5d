"""LightningModules as other people write them: of either import name, without a DataModule, with batches of any form."""

import pytorch_lightning as pl
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

QUIET = {
    "accelerator": "cpu", "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False,
    "log_every_n_steps": 1,
}  # fmt: skip


def backbone(channels=3):
    """Two scales, with what a careless observer would disturb: BatchNorm, and dropout."""
    return nn.Sequential(
        nn.Conv2d(channels, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout2d(0.3),
        nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(),
    )  # fmt: skip


def lit_classifier(lightning=pl, channels=3, images=lambda batch: batch[0], labels=lambda batch: batch[1]):
    """The classifier of the Lightning documents, of one of the two import names."""

    class LitClassifier(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.backbone = backbone(channels)
            self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.5), nn.Linear(8, 2))

        def training_step(self, batch, batch_idx):
            loss = F.cross_entropy(self.head(self.backbone(images(batch))), labels(batch))
            self.log("train_loss", loss)
            return loss

        def validation_step(self, batch, batch_idx):
            self.log("val_loss", F.cross_entropy(self.head(self.backbone(images(batch))), labels(batch)))

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters(), lr=1e-2)

    torch.manual_seed(2)
    return LitClassifier()


def tensors(count=16, channels=3, size=(16, 16)):
    """Images around 0, as a normalisation leaves them, and labels."""
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(count, channels, *size, generator=generator)
    return images, torch.arange(count) % 2


def loader(collate=None, **options):
    return DataLoader(TensorDataset(*tensors(**options)), batch_size=4, collate_fn=collate)


def fit(module, callbacks, folder, lightning=pl, train=None, val=None, **options):
    """A few steps; PNGs of the folder, sorted, relative to it."""
    settings = QUIET | {"logger": False, "max_steps": 4, "limit_val_batches": 0, "default_root_dir": folder} | options
    torch.manual_seed(3)
    trainer = lightning.Trainer(callbacks=callbacks, **settings)
    trainer.fit(module, train or loader(), val)
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("step_*.png"))


def same(first, second):
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)
