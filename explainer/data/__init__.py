"""LightningDataModules: one `Batch` for every data set. The imports here are the registry."""

from explainer.data.base import VOID, Batch, ImageDataModule, ImageDataset, Sample, collate
from explainer.data.shapes import Shapes

__all__ = ["VOID", "Batch", "ImageDataModule", "ImageDataset", "Sample", "Shapes", "collate"]
