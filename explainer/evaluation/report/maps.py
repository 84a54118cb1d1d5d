"""Photographs and maps for the page: what was explained, and each method's map of it."""

import base64
import io
from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from PIL import Image

from explainer.attribution import Attribution, Constant
from explainer.data import Batch
from explainer.evaluation.batches import part
from explainer.evaluation.references import ANNOTATED, ORIGINAL, having
from explainer.evaluation.report.gallery import PictureMasks
from explainer.evaluation.storage.columnar import Rows
from explainer.evaluation.storage.rows import PlainRow, Prediction
from explainer.networks import Explanandum
from explainer.rendering import heat_map, to_pil

SIDE = 320
"""Pixels of the longer side at most, so that a page stays below 10 MB."""
LABELS = 4
"""Labels of an image that are named, at most."""


class Shown(NamedTuple):
    """An image of the gallery.

    Attributes:
        id: Name of the image, as in the rows.
        photograph: The picture.
        labels: Labels of the image with the classifier's probabilities, in words.
        maps: Method → its map in colours, of the photograph's size.
        notes: Method → words on what the classifier makes of the image through the map.
    """

    id: str
    photograph: Image.Image
    labels: str
    maps: dict[str, Image.Image]
    notes: dict[str, str]


def pictures(
    explanandum: Explanandum,
    methods: dict[str, Attribution],
    batch: Batch,
    source: PictureMasks,
    rows: Sequence[PlainRow],
    annotated: Batch | None = None,
) -> Iterator[Shown]:
    """Yield every method's maps of every image of a batch; maps on the disk are not made again.

    Args:
        explanandum: Frozen classifier, on the batch's device.
        methods: Name → method; constant masks are not worth a picture.
        batch: Images, whose labels are the classes to explain; ground truth and bounding box join where they were
            scored.
        source: Source of the masks.
        rows: Rows of the results: the classifier's answers, and which method failed on which image.
        annotated: Same images with the labels of the data set, on which the references depend; None where these are
            the labels of the batch.

    Yields:
        An image at a time.
    """
    of_images = Rows.over(rows).where("id", set(batch.id))
    rows_by_name = {(row["method"], row["id"]): row for row in of_images}
    for n, image in enumerate(batch.id):
        one = part(batch, [n])
        # the truth of a picture is that of the labels, whichever classes the maps explain
        one_annotated = one if annotated is None else part(annotated, [n])
        # a row may be missing: a map is shown also of what was not scored
        method_rows = {name: rows_by_name.get((name, image), {}) for name in (ORIGINAL, *methods)}
        masks: dict[str, torch.Tensor] = {}
        for name in ANNOTATED:
            if (name, image) in rows_by_name and having(name, one_annotated).id:
                method_rows[name] = rows_by_name[name, image]
                masks[name] = source.of_reference(name, one_annotated)[0]
        for name, method in methods.items():
            # a method that failed on an image would fail on it again
            if not isinstance(method, Constant) and "error" not in method_rows[name]:
                masks[name] = source.of_method(explanandum, name, method, one)[0]
        present = one.labels[0].nonzero().flatten().tolist()
        yield Shown(
            image,
            to_pil(one.image[0]),
            label_text(explanandum.classes, present, method_rows[ORIGINAL].get("kept")),
            {name: heat_map(mask) for name, mask in masks.items()},
            {name: map_text(method_rows[name], mask) for name, mask in masks.items()},
        )


def label_text(classes: Sequence[str], labels: Collection[int], prediction: Prediction | None) -> str:
    """Return labels with their probabilities, and what a single-label classifier says instead.

    Args:
        classes: Names of all classes.
        labels: Indices of the image's labels.
        prediction: Answer of the classifier, as in the rows, or None.

    Example:
        >>> label_text(["cat", "dog"], [1], {"probability": 0.25, "predicted": 0})
        'dog 0.25; the classifier says cat'
    """
    names = []
    for label in list(labels)[:LABELS]:
        name = classes[label]
        p = probability(prediction, label)
        names.append(name if p is None else f"{name} {p:.2f}")
    words = ", ".join(names) or "no label"
    if len(labels) > LABELS:
        words += " …"
    predicted = None if prediction is None else prediction.get("predicted")
    # of a single-label classifier: a wrong answer is worth more room than a right one
    if predicted is not None and predicted not in labels:
        words += f"; the classifier says {classes[predicted]}"
    return words


def probability(prediction: Prediction | None, label: int) -> float | None:
    """Return the probability of a label, or None where it is not known.

    Args:
        prediction: Answer of the classifier, as in the rows: all probabilities, or that of the only label.
        label: Index of the label.
    """
    if not prediction:
        return None
    probabilities = prediction.get("probabilities")
    return probabilities[label] if probabilities else prediction.get("probability")


def map_text(row: PlainRow, mask: torch.Tensor) -> str:
    """Return what becomes of the first label's probability when only the map's part remains, and when it is gone.

    Args:
        row: Row of the method and the image, or an empty one.
        mask: Mask, (1, H, W) in [0, 1].

    Example:
        >>> map_text({"kept": {"labels": [3], "probability": 0.5}}, torch.zeros(1, 2, 2))
        'area 0.00, kept 0.50'
    """
    parts = [f"area {float(mask.mean()):.2f}"]
    for word in ("kept", "removed"):
        prediction: Prediction | None = row.get(word)
        # a row may be empty, and an image may have no label
        if not prediction or not prediction["labels"]:
            continue
        p = probability(prediction, prediction["labels"][0])
        if p is not None:
            parts.append(f"{word} {p:.2f}")
    if row.get("broken"):
        parts.append("map was NaN")
    elif row.get("constant"):
        parts.append("constant map")
    return ", ".join(parts)


def data_uri(picture: Image.Image) -> str:
    """Return a picture as text that stands in a page, as PNG or JPEG, whichever is shorter.

    Args:
        picture: Picture, which is scaled down to `SIDE`.

    Returns:
        A data URI.

    Example:
        >>> data_uri(Image.new("RGB", (8, 8)))[:22]
        'data:image/png;base64,'
    """
    fitted = picture.convert("RGB")
    fitted.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    # PNG is the shorter one for flat maps, JPEG for photographs
    files = {"jpeg": _encoded(fitted, "jpeg", quality=80, optimize=True)}
    # the shortest PNG takes ten times as long as a quick one, which says whether it has a chance
    if len(_encoded(fitted, "png", compress_level=1)) < 2 * len(files["jpeg"]):
        files["png"] = _encoded(fitted, "png", optimize=True)
    kind = min(files, key=lambda name: len(files[name]))
    text = base64.b64encode(files[kind]).decode()
    return f"data:image/{kind};base64,{text}"


def _encoded(picture: Image.Image, kind: str, **settings: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **settings)
    return buffer.getvalue()
