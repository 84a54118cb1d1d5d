"""What results.json holds, key by key.

A figure or a table may count on these names. They are plain dictionaries, since they come from JSON again when a
report is written later.
"""

from collections.abc import Mapping
from typing import Any, Required, cast

from typing_extensions import TypedDict

from explainer.evaluation.results.columns import ColumnDescription
from explainer.evaluation.scoring.threshold import Alpha
from explainer.evaluation.storage.fingerprint import Fingerprint

Interval = list[float]
"""Low and high end."""


class Classification(TypedDict, total=False):
    """How well the classifier does on masked images; empty without an image, None without a label.

    Attributes:
        mAP: Mean average precision of a multi-label classifier, in [0, 1]; higher is better.
        F1: Mean F1 of a multi-label classifier at threshold 0.5, in [0, 1]; higher is better.
        accuracy: Accuracy of a single-label classifier, in [0, 1]; higher is better.
        probability: Mean probability of the labels, in [0, 1]; higher is better.
    """

    mAP: float | None
    F1: float | None
    accuracy: float | None
    probability: float | None


class CostSummary(TypedDict, total=False):
    """What a method's masks cost; None where it was not measured, and nothing in folders of early versions.

    Attributes:
        passes: Mean number of forward passes an image.
        ms: Mean time an image in milliseconds.
        memory: Largest memory of an image in bytes.
    """

    passes: float | None
    ms: float | None
    memory: float | None


class MethodResults(TypedDict, total=False):
    """Results of one method.

    Attributes:
        images: Number of rows.
        scores: Column → mean over the images that have a value; None where no image has.
        area: Mean area of the masks; None without a mask.
        failed: Number of images on which the method failed.
        n: Column → number of images that have a value.
        interval: Column, or "kept." or "removed." and a score of `Classification` → 95 % interval of its mean.
        constant: Number of masks that have one value everywhere.
        broken: Number of images with a map that was not finite.
        no_region: Number of masks in which no pixel is salient, where a config names metrics.
        level: α of the method, where a config names metrics and the method needs an α.
        cost: Cost of the masks.
        kept: Classification of the masked images.
        removed: Classification of the complement images.
        truth: Words for a caption that say what the truth is; with the image as it is only.
        targets: Words for a caption that say which classes are explained; with the image as it is only.
        seconds: Mean time an image; early versions had it in place of a cost.
    """

    images: int
    scores: dict[str, float | None]
    area: float | None
    failed: int
    n: dict[str, int]
    interval: dict[str, Interval]
    constant: int
    broken: int
    no_region: int
    level: Alpha | None
    cost: CostSummary
    kept: Classification
    removed: Classification
    truth: str
    targets: str
    seconds: float


def nested_results(content: Mapping[str, Any]) -> "Content":
    """Bring the content of an earlier version, whose scores stood beside a method's other results, into today's form.

    Args:
        content: Content of results.json; one of today's form is returned with equal values.

    Example:
        >>> nested_results({"results": {"RISE": {"images": 2, "iou": 0.5, "area": 0.1}}})["results"]["RISE"]
        {'images': 2, 'area': 0.1, 'scores': {'iou': 0.5}}
    """
    known = MethodResults.__annotations__
    results = {}
    for method, entry in content["results"].items():
        if "scores" in entry:
            results[method] = entry
            continue
        # the columns are those of a config, so that every key that is not fixed is one
        scores = {key: value for key, value in entry.items() if key not in known}
        others = {key: value for key, value in entry.items() if key in known}
        results[method] = others | {"scores": scores}
    return cast(Content, {**content, "results": results})


class Comparison(TypedDict, total=False):
    """A method against the best one of a column, on the images that have a value of both.

    Attributes:
        against: Name of the best method.
        difference: Mean of the method minus mean of the best one.
        interval: 95 % interval of the difference.
        p: P value of the difference, corrected for the number of methods in the column; early versions have none.
    """

    against: str
    difference: float
    interval: Interval
    p: float


class MatrixSummary(TypedDict):
    """Means of a class-specific masking matrix over images and classes: mean, low and high; None where there is none.

    Attributes:
        none: Confidence in the classes of an image without a mask.
        own: Confidence in a class with the mask of that class.
        other: Confidence in a class with the masks of other classes.
    """

    none: list[float | None]
    own: list[float | None]
    other: list[float | None]


class MatrixResults(TypedDict):
    """Class-specific masking matrix of a method.

    Attributes:
        classes: Names of the classes, in the order of the rows.
        images: Number of images that each row is the mean of.
        values: Rows, one a class: confidence without a mask, then with the mask of each class, in [0, 1]; None in the
            row of a class that no image has.
        interval: Low and high of each value.
        summary: Means over images and classes.
    """

    classes: list[str]
    images: list[int]
    values: list[list[float | None]]
    interval: list[list[list[float | None]]]
    summary: MatrixSummary


class PublishedMatrix(TypedDict):
    """Class-specific masking matrix that a paper prints.

    Attributes:
        classes: Names of the classes, in the order of the rows.
        values: Rows, one a class: confidence without a mask, then with the mask of each class, in [0, 1].
        note: Sentence that says whose numbers they are.
    """

    classes: list[str]
    values: list[list[float]]
    note: str


class PublishedContent(TypedDict, total=False):
    """Numbers that a paper prints.

    Attributes:
        source: Authors, venue, year, table.
        where: Images and classifier of the paper.
        rows: Method → column → number.
    """

    source: str
    where: str
    rows: dict[str, dict[str, int | float]]


class DecisionMeans(TypedDict):
    """Means over the pairs of image and class whose decision is of one kind.

    Attributes:
        pairs: Number of pairs.
        area: Mean of the mask.
        image: Probability of the class for the image.
        kept: Probability of the class for what the mask keeps.
        removed: Probability of the class for what is left without it.
    """

    pairs: int
    area: float
    image: float
    kept: float
    removed: float


class RunFacts(TypedDict, total=False):
    """Facts of a run, none of which its results depend on; empty where nobody measured them.

    Attributes:
        commit: Commit of the code; None outside a repository.
        config: Resolved config, in plain values.
        versions: Package → version.
        device: Name of the device.
        processes: Number of processes.
        seconds: Duration in seconds.
        started: Date and time of the start.
    """

    commit: str | None
    config: Any
    versions: dict[str, str]
    device: str
    processes: int
    seconds: float
    started: str


class Content(TypedDict, total=False):
    """Content of results.json; folders of early versions lack all but the results.

    Attributes:
        facts: Facts on which the results depend.
        results: Name → results of a method, of a reference, or of the untouched images.
        columns: Column → its description.
        pairs: Column → method → comparison with the best.
        failed: Method → image → error.
        published: Numbers that a paper prints, or None.
        matrix: Method → class matrix; None where none was asked for.
        run: Facts of this run, which another one with the same results would not share.
        decisions: Method → kind → what masks show of such decisions.
    """

    facts: Fingerprint
    results: Required[dict[str, MethodResults]]
    columns: dict[str, ColumnDescription]
    pairs: dict[str, dict[str, Comparison]]
    failed: dict[str, dict[str, str]] | None
    published: PublishedContent | None
    matrix: dict[str, MatrixResults | PublishedMatrix] | None
    run: RunFacts
    decisions: dict[str, dict[str, DecisionMeans]]
