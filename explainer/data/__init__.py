"""LightningDataModules: one `Batch` for every data set. The imports here are the registry."""

from explainer.data.base import VOID, Batch, ImageDataModule, ImageDataset, Sample, collate
from explainer.data.coco import COCO
from explainer.data.crops import ImageNetCrops
from explainer.data.folder import Folder
from explainer.data.hugging_face import Table
from explainer.data.imagenet import ImageNet
from explainer.data.planted import PlantedShapes
from explainer.data.removal import RandomPixels, Removal, SinglePatch
from explainer.data.shapes import Shapes
from explainer.data.shards import Shards
from explainer.data.small_images import SmallImages
from explainer.data.voc import VOC

__all__ = [
    "COCO",
    "VOC",
    "VOID",
    "Batch",
    "Folder",
    "ImageDataModule",
    "ImageDataset",
    "ImageNet",
    "ImageNetCrops",
    "PlantedShapes",
    "RandomPixels",
    "Removal",
    "Sample",
    "Shapes",
    "Shards",
    "SinglePatch",
    "SmallImages",
    "Table",
    "collate",
]
