"""Tiny data sets in the true layouts: VOC, COCO, ImageNet, folders and a CSV."""

import gzip
import json
import struct
from pathlib import Path

import numpy as np
from PIL import Image
from pycocotools import mask as rle

VOC = [
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
    "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
]  # fmt: skip
WIDTH, HEIGHT = 40, 30


def photo(path, seed=0, mode="RGB", size=(WIDTH, HEIGHT)):
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(noise).convert(mode).save(path)
    return path


def xml(path, objects, size=(WIDTH, HEIGHT)):
    """objects: (name, difficult, (xmin, ymin, xmax, ymax))."""
    path.parent.mkdir(parents=True, exist_ok=True)
    body = "".join(
        f"<object><name>{n}</name><difficult>{int(d)}</difficult><bndbox><xmin>{a}</xmin><ymin>{b}</ymin>"
        f"<xmax>{c}</xmax><ymax>{e}</ymax></bndbox></object>"
        for n, d, (a, b, c, e) in objects
    )
    path.write_text(
        f"<annotation><size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>{body}</annotation>"
    )


def voc_tree(root, year="2007", train=8):
    """`train` images to train, 4 to validate, 4 to test; every second one is segmented; 000001 has a difficult cow."""
    folder = Path(root) / "VOCdevkit" / f"VOC{year}"
    number = 0
    for split, count in (("train", train), ("val", 4), ("test", 4)):
        names = []
        for _ in range(count):
            number += 1
            name = f"{number:06d}"
            names.append(name)
            photo(folder / "JPEGImages" / f"{name}.jpg", number)
            first, second = VOC[number % 20], VOC[(number * 7) % 20]
            objects = [(first, False, (1, 1, 20, 15)), (second, False, (11, 6, 40, 30))]
            xml(
                folder / "Annotations" / f"{name}.xml", objects + ([("cow", True, (5, 5, 9, 9))] if number == 1 else [])
            )
            if number % 2 == 0:
                drawn = np.zeros((HEIGHT, WIDTH), np.uint8)
                drawn[:15, :20] = VOC.index(first) + 1
                drawn[15:17, :20] = 255
                path = folder / "SegmentationClass" / f"{name}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                image = Image.fromarray(drawn, "P")
                image.putpalette([i for i in range(256) for _ in range(3)])
                image.save(path)
        for kind, listed in (("Main", names), ("Segmentation", names[1::2])):
            path = folder / "ImageSets" / kind / f"{split}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("\n".join(listed) + "\n")
    return Path(root)


def coco_tree(root, year="2014", train=12, categories=None):
    """Polygon, RLE and crowd; category ids with gaps; the last image of each part is not annotated."""
    root = Path(root)
    categories = categories or [{"id": 3 * i + 1, "name": f"thing{i}"} for i in range(80)]
    number = 0
    for part, count in (("train", train), ("val", 4)):
        images, annotations = [], []
        for i in range(count):
            number += 1
            name = f"COCO_{part}{year}_{number:012d}.jpg"
            photo(root / f"{part}{year}" / name, number)
            images.append({"id": number, "file_name": name, "width": WIDTH, "height": HEIGHT})
            if i == count - 1:
                continue
            drawn = np.zeros((HEIGHT, WIDTH), np.uint8, order="F")
            drawn[20:30, 30:40] = 1
            packed = rle.encode(drawn)
            counts = {"size": packed["size"], "counts": packed["counts"].decode()}
            shapes = ([[0, 0, 20, 0, 20, 15, 0, 15]], counts, counts)
            for k, segmentation in enumerate(shapes[: 3 if i == 0 else 2]):
                category = categories[(number + 5 * k) % len(categories)]["id"]
                annotations.append({
                    "id": len(annotations) + 1, "image_id": number, "category_id": category, "iscrowd": int(k == 2),
                    "bbox": [0, 0, 20, 15] if k == 0 else [30, 20, 10, 10], "area": 300, "segmentation": segmentation,
                })  # fmt: skip
        path = root / "annotations" / f"instances_{part}{year}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return root


def imagenet_tree(root, wnids=("n01440764", "n02123045", "n07753592"), train=4):
    root = Path(root)
    for i, wnid in enumerate(wnids):
        for k in range(train):
            photo(root / "train" / wnid / f"{wnid}_{k}.JPEG", 10 * i + k)
        photo(root / "val" / wnid / f"ILSVRC2012_val_{i:08d}.JPEG", 100 + i)
        xml(root / "Annotations" / "CLS-LOC" / "val" / f"ILSVRC2012_val_{i:08d}.xml", [(wnid, False, (1, 1, 20, 15))])
    return root


def folder_tree(root, classes=("cat", "dog"), count=10, splits=()):
    root = Path(root)
    for split in splits or ("",):
        for i, name in enumerate(classes):
            for k in range(count):
                photo(root / split / name / f"{k}.png", 100 * i + k)
    return root


def csv_tree(root, rows):
    """rows: (path, labels, split)."""
    root = Path(root)
    for i, (path, _, _) in enumerate(rows):
        photo(root / path, i)
    lines = ["path,labels,split", *(",".join(row) for row in rows)]
    (root / "images.csv").write_text("\n".join(lines) + "\n")
    return root


def fashion_tree(root, train=40, test=20):
    """Fashion-MNIST's four files as they are distributed; an image is as bright as its class."""
    root = Path(root)
    root.mkdir(parents=True, exist_ok=True)
    for part, count in (("train", train), ("t10k", test)):
        labels = (np.arange(count) % 10).astype(np.uint8)
        images = (
            np.random.default_rng(count).integers(0, 80, (count, 28, 28)).astype(np.uint8) + 16 * labels[:, None, None]
        )
        for kind, values in ((f"{part}-images-idx3", images), (f"{part}-labels-idx1", labels)):
            head = struct.pack(">HBB", 0, 8, values.ndim) + struct.pack(f">{values.ndim}I", *values.shape)
            with gzip.open(root / f"{kind}-ubyte.gz", "wb") as file:
                file.write(head + values.astype(np.uint8).tobytes())
    return root
