"""The model card of an Explainer: what it is, what it saw, what was measured, and what it should not be used for.

M. Mitchell, S. Wu, A. Zaldivar et al.: Model Cards for Model Reporting, FAT* 2019. Here it is the README.md of a
folder, with a heading of plain values that the Hugging Face Hub reads. What nobody says is not made up: the card then
says that it is not known.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NotRequired, cast

from typing_extensions import TypedDict

from explainer.errors import InputError
from explainer.files import conform, for_markdown, more_keys, parse, printable
from explainer.networks.description import Explained, Reader, Segmenter
from explainer.networks.trust import LIVE, is_known
from explainer.version import __version__

_LARGEST_LIST = 30
"""Number of classes whose names a card lists; of more it shows the first ones."""
_USE = """\
To see which part of a photograph this classifier used for each of its classes, in one forward pass; to compare such
masks with other explanations; to find classes that are recognised by their surroundings."""
_LIMITS = """\
A mask shows what this classifier used. It does not show where an object ends, nor whether the classifier is right.
Photographs unlike those of the training, and classes that hardly occurred in it, may get masks that mean nothing. Do
not use it where a wrong explanation does harm, such as decisions about people."""


@dataclass(frozen=True)
class Score:
    """A measured number.

    Attributes:
        name: Heading of the number, such as "IoU".
        value: Mean over the images, in the unit of the heading.
        interval: Ends of its 95 % interval; None where it was not measured.
        higher_is_better: Direction; None where nobody says.
        meaning: Meaning in a sentence; empty where nobody says.
    """

    name: str
    value: float
    interval: tuple[float, float] | None = None
    higher_is_better: bool | None = None
    meaning: str = ""


@dataclass(frozen=True)
class ModelCard:
    """What a reader should know of an Explainer, beside what its networks tell; texts are Markdown.

    Attributes:
        title: Heading of the card; empty names the classifier.
        data: Data that the networks were trained on.
        scores: Measured numbers.
        measured_on: Images and settings of the scores.
        use: Intended use; empty takes a general text.
        limits: Known limits; the general ones follow.
        license: Name of the licence as the Hub writes it, such as "apache-2.0"; empty where none was chosen.
        license_note: Sentences about the licence, such as terms of the training data.
        repository: Name on the Hugging Face Hub, owner/name; empty for a folder.
    """

    title: str = ""
    data: str = ""
    scores: tuple[Score, ...] = ()
    measured_on: str = ""
    use: str = ""
    limits: str = ""
    license: str = ""
    license_note: str = ""
    repository: str = ""


@more_keys
class _Column(TypedDict):
    """What a card needs of a column's description in results.json."""

    higher_is_better: bool
    percent: bool
    label: str
    meaning: NotRequired[str]


@more_keys
class _Results(TypedDict):
    """What a card needs of a method's results in results.json."""

    images: int
    scores: dict[str, float | None]
    interval: NotRequired[dict[str, list[float]]]


@more_keys
class _Evaluation(TypedDict):
    """What a card needs of results.json."""

    results: dict[str, _Results]
    columns: dict[str, _Column]


def read_scores(path: str | Path, method: str = "Explainer") -> tuple[Score, ...]:
    """Read the scores of a method from the results.json of an evaluation.

    Args:
        path: File results.json, or the folder that holds it.
        method: Name of the method in the evaluation.

    Returns:
        A score for each column that has a value, as the tables of the evaluation show it.

    Raises:
        InputError: The file cannot be read or is of another kind, or there is no such method in it.
    """
    path = Path(path)
    if path.is_dir():
        path = path / "results.json"
    content = parse(path, _Evaluation)
    results = content["results"].get(method)
    if results is None:
        known = ", ".join(list(content["results"])[:20])
        raise InputError(f"{path} has no method {method!r}; there are {known}")
    scores = []
    for name, value in results["scores"].items():
        column = content["columns"].get(name)
        if value is None or column is None:
            continue
        factor = 100 if column["percent"] else 1
        ends = results.get("interval", {}).get(name)
        interval = None if ends is None else (factor * ends[0], factor * ends[1])
        label = column["label"] or name
        if column["percent"]:
            label = f"{label} (%)"
        scores.append(
            Score(
                name=label,
                value=factor * value,
                interval=interval,
                higher_is_better=column["higher_is_better"],
                meaning=column.get("meaning", ""),
            )
        )
    return tuple(scores)


def model_card(card: ModelCard, description: Explained, parameters: int, size: int) -> str:
    """Write a model card.

    Args:
        card: What its author says.
        description: Description of the networks, as a checkpoint has it.
        parameters: Number of values in the networks' weights.
        size: Bytes of the file of weights.

    Returns:
        Markdown, with the heading that the Hub reads.
    """
    network = description["explanandum"]["network"]
    title = card.title or f"Explainer of {network}"
    parts = [
        _heading(card),
        f"# {printable(title)}",
        _summary(description, parameters, size),
        _section("How to load it", _loading(card, description)),
        _section("Intended use", card.use or _USE),
        _section(
            "Data", card.data or "The author of this card does not say which images the networks were trained on."
        ),
        _section("Measured", _measured(card)),
        _section("Limits", "\n\n".join(text for text in (card.limits.strip(), _LIMITS) if text)),
        _section("Licence", _licence(card)),
    ]
    return "\n\n".join(parts) + "\n"


def _heading(card: ModelCard) -> str:
    """Return the values that the Hub reads; each is JSON, which is YAML too."""
    lines = ["library_name: explainer", "tags: [explainability, saliency, image-classification]"]
    if card.license:
        lines.insert(0, f"license: {json.dumps(card.license)}")
    return "\n".join(["---", *lines, "---"])


def _section(heading: str, text: str) -> str:
    return f"## {heading}\n\n{text.strip()}"


def _summary(description: Explained, parameters: int, size: int) -> str:
    """Say what the networks are."""
    network = for_markdown(description["explanandum"]["network"].removeprefix(LIVE))
    classes = description["classes"]
    side = description["image_size"]
    reading = _masker(description["masker"])
    answer = "an image may have several classes" if description["multilabel"] else "an image has one class"
    # one number for each channel
    channels = len(description["explanandum"]["mean"])
    images = "RGB" if channels == 3 else f"{channels} channels"
    names = ", ".join(for_markdown(name) for name in classes[:_LARGEST_LIST])
    if len(classes) > _LARGEST_LIST:
        names += ", …"
    return (
        f"An image classifier and the network that explains it. For each of {len(classes)} classes it gives a mask in "
        "[0, 1] of the pixels that the classifier used, in one forward pass.\n\n"
        f"- classifier: `{network}`, frozen; {answer}\n"
        f"- explainer: {reading}, trained against this classifier alone\n"
        f"- images: {images}, of any size, seen at {side}×{side} pixels\n"
        f"- size: {parameters / 1e6:.1f} million values, {size / 1e6:.1f} MB\n"
        f"- classes: {names}"
    )


def _masker(masker: Segmenter | Reader) -> str:
    """Say what the network is that gives the masks."""
    # a description does not name its class: only a segmentation network has an encoder of its own
    if "encoder" in masker:
        segmenter = cast(Segmenter, masker)
        architecture = for_markdown(segmenter.get("architecture", "DeepLabV3"))
        return f"a {architecture} with the encoder `{for_markdown(segmenter['encoder'])}`"
    reader = cast(Reader, masker)
    return f"a decoder that reads {reader['scales']} scales of the classifier's own layers"


def _loading(card: ModelCard, description: Explained) -> str:
    """Show the code that loads the networks."""
    argument = json.dumps(card.repository or "path/to/this/folder")
    network = description["explanandum"]["network"]
    trusted = "Nothing is unpickled, and no code but that of torchvision, timm and the library itself is run."
    if network.startswith(LIVE):
        argument += ", model=network"
        kind = for_markdown(network.removeprefix(LIVE))
        trusted = (
            f"Nothing is unpickled. `network` is a network of the kind `{kind}`, which its author has the code of."
        )
    elif not is_known(network):
        argument += f", allow=[{json.dumps(network)}]"
        trusted = f"Nothing is unpickled. But `{for_markdown(network)}` is code of its author's own: read it first."
    return f"""\
With the package `saliency-explainer`, which is imported as `explainer` (this was written by version {__version__}):

```python
import explainer

model = explainer.from_pretrained({argument})
explanation = model.explain("photo.jpg")
for index in explanation.predicted:
    print(explanation.classes[index], float(explanation.probabilities[index]))
masks = explanation.masks  # (1, K, H, W) in [0, 1], 1 = used by the classifier for the class
```

{trusted}"""


def _measured(card: ModelCard) -> str:
    """Return the table of the scores."""
    if not card.scores:
        return "The author of this card gives no measurements: evaluate it before you rely on it."
    lines = ["| measure | value | 95 % interval | meaning |", "| --- | ---: | --- | --- |"]
    for score in card.scores:
        interval = ""
        if score.interval is not None:
            # the ends of an interval are known less exactly than its middle
            low, high = (f"{end:.1f}" if abs(end) >= 10 else f"{end:.2f}" for end in score.interval)
            interval = f"{low} to {high}".replace("-", "−")
        cells = (for_markdown(score.name) + _arrow(score), _number(score.value), interval, for_markdown(score.meaning))
        lines.append(f"| {' | '.join(cells)} |")
    table = "\n".join(lines)
    return f"{card.measured_on.strip()}\n\n{table}".strip()


def _arrow(score: Score) -> str:
    """Return the sign of a score's direction."""
    if score.higher_is_better is None:
        return ""
    return " ↑" if score.higher_is_better else " ↓"


def _number(value: float) -> str:
    """Return a number as tables show it: large ones with two digits behind the point, small ones with three."""
    if not math.isfinite(value):
        return str(value)
    digits = 2 if abs(value) >= 10 else 3
    return f"{value:.{digits}f}".replace("-", "−")


def _licence(card: ModelCard) -> str:
    """Say under which licence the weights are."""
    text = "The author of this card names no licence: ask before you use the weights."
    if card.license:
        text = f"`{for_markdown(card.license)}`."
    return f"{text} {card.license_note.strip()}".strip()


def card_from(values: Mapping[str, Any], source: str | Path) -> ModelCard:
    """Read a card's fields from plain values, such as those of a YAML file.

    Args:
        values: Field of `ModelCard` → value; the scores are a list of mappings with the fields of `Score`.
        source: File, for the error.

    Returns:
        The card.

    Raises:
        InputError: A field is unknown, or of another type.

    Example:
        >>> card_from({"title": "Pets", "scores": [{"name": "IoU", "value": 39.4}]}, "card.yaml").scores[0].value
        39.4
    """
    known = [field.name for field in fields(ModelCard)]
    unknown = [str(key) for key in values if key not in known]
    if unknown:
        raise InputError(f"{source}: a model card has no {unknown[0][:100]!r}; it has {', '.join(known)}")
    return conform(dict(values), ModelCard, source)
