"""Methods × images: mask, score, append; resumable.

A row holds the metrics' values, the explanandum's probabilities for the masked and the complement image, and what the
mask cost.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import torch

from explainer.attribution import Attribution
from explainer.data import Batch
from explainer.errors import InputError, one_line
from explainer.evaluation.batches import part, to_device
from explainer.evaluation.maps.cache import MaskStore
from explainer.evaluation.maps.make import SCALED, CachedMasks, MaskMaker
from explainer.evaluation.references import BOXES, ORIGINAL, TRUTH, having
from explainer.evaluation.sanity_checks import MethodRun, SanityCheck
from explainer.evaluation.scoring.class_matrix import ClassMatrix
from explainer.evaluation.scoring.decisions import Decisions
from explainer.evaluation.scoring.metrics import Judge, standard_metrics
from explainer.evaluation.scoring.predictions import predictions
from explainer.evaluation.storage.rows import Scored, Unmasked
from explainer.evaluation.storage.store import Store
from explainer.evaluation.targets import LABELS, Targets
from explainer.evaluation.telling import bars
from explainer.functional.masking import composite
from explainer.metrics import ImageMetric
from explainer.metrics.segmentation import USUAL_TRUTH, TruthRule
from explainer.networks import Explanandum

MakeRows = Callable[[Batch], Sequence[Mapping[str, Any]]]
"""Images → rows of any kind."""


class Subject(NamedTuple):
    """What is scored: methods that explain a classifier.

    Attributes:
        explanandum: Frozen classifier.
        methods: Name → method.
        device: Device of the computation: "cpu", "cuda", or the name of one GPU.
    """

    explanandum: Explanandum
    methods: dict[str, Attribution]
    device: str = "cpu"


class Scoring(NamedTuple):
    """What every mask of an evaluation is asked.

    A tuple, because Lightning's launcher takes no frozen dataclass into its processes.

    Attributes:
        rule: Rule that says which pixels of the annotation are the truth.
        targets: Choice of the classes of an image that are explained.
        maker: Maker of the masks.
        mask_store: Store of masks, which are read from it and put into it; None: masks are made each time.
        curve_steps: Steps of the insertion and deletion curves of images with one label; 0: none.
        judge: Further metrics of a config, and the levels above which pixels are salient for them.
        checks: Column → sanity check of a config, which takes further maps of a method.
        checked: Names of the methods that sanity checks ask; None: all.
        matrix: Class-specific masking matrix.
        decisions: Measure of what masks show of right and wrong decisions.
        true_boxes: Whether the boxes of the labelled objects are scored as a mask, too.
    """

    rule: TruthRule = USUAL_TRUTH
    targets: Targets = LABELS
    maker: MaskMaker = SCALED
    mask_store: MaskStore | None = None
    curve_steps: int = 0
    judge: Judge | None = None
    checks: Mapping[str, SanityCheck] = {}
    checked: Collection[str] | None = None
    matrix: ClassMatrix | None = None
    decisions: Decisions | None = None
    true_boxes: bool = False

    @property
    def references(self) -> list[str]:
        """Name the masks that the annotation gives."""
        return [TRUTH, BOXES] if self.true_boxes else [TRUTH]

    def metrics_of(self, name: str, explanandum: Explanandum) -> dict[str, ImageMetric]:
        """Return the metrics that masks of a method are measured by, sanity checks included.

        Args:
            name: Name of the method, or of a reference.
            explanandum: Frozen classifier.
        """
        metrics = standard_metrics(explanandum, self.rule, self.curve_steps)
        if self.judge is not None:
            metrics |= self.judge.metrics
        if self.checked is None or name in self.checked:
            metrics |= self.checks
        return metrics


def evaluate(
    subject: Subject,
    batches: Iterable[Batch],
    store: Store,
    scoring: Scoring,
    *,
    total: int,
    quiet: bool = False,
) -> None:
    """Score every method on every image, and append the rows to the store.

    Args:
        subject: Classifier and methods; the ground truth is added where the images have segmentations.
        batches: Images.
        store: Store of the rows; those that it has already are not computed again, what failed before is tried again.
        scoring: Questions to every mask.
        total: Number of images, for the progress bar.
        quiet: Whether to show no progress bar.

    Raises:
        InputError: A method refuses every image of its first batch.
    """
    explanandum, methods, device = subject
    explanandum.to(device)
    masks = CachedMasks(scoring.mask_store, scoring.rule, scoring.maker, scoring.targets)
    with bars(quiet=quiet) as progress:
        task = progress.add_task("evaluating", total=total)
        for batch in batches:
            annotated = {name: having(name, batch) for name in scoring.references}
            # batch by batch and not method by method: an image is loaded once for all methods
            for name in [ORIGINAL, *annotated, *methods]:
                images = annotated.get(name, batch)
                if not images.id or store.has(name, images.id):
                    continue
                progress.update(task, description=name)

                # the name is bound as a default: the loop changes the variable
                def rows(part: Batch, name: str = name) -> Sequence[Scored | Unmasked]:
                    return score(explanandum, name, methods.get(name), part, masks, scoring)

                append_or_note(store, name, to_device(images, device), rows)
            progress.advance(task, len(batch.id))


def append_or_note(store: Store, name: str, batch: Batch, rows: MakeRows) -> None:
    """Append the rows of a batch; where that fails, those of its images one by one, and note which of them fail.

    Args:
        store: Store that takes rows and failures.
        name: Name of the method.
        batch: Images.
        rows: Function that makes the rows, and may fail.

    Raises:
        InputError: All images are refused, and none has come through before: it is the set-up that is wrong.
        Exception: An error of the classifier itself, on the images as they are.
    """
    if name == ORIGINAL:
        # where the classifier itself fails there is nothing to evaluate
        return store.append(rows(batch))
    # a batch in which an image failed before would fail again as a whole
    failed_before = bool(store.failures(name, batch.id))
    failures: dict[str, tuple[str | None, str]] = {}
    if not failed_before:
        failures = attempt(store, batch, rows)
    if failed_before or (failures and len(batch.id) > 1):
        failures = {}
        for index, image in enumerate(batch.id):
            if not store.has(name, [image]):
                failures |= attempt(store, part(batch, [index]), rows)
    # one refused image is a failure like any other; when all are refused, more of them would be, too
    refusals = [refusal for refusal, _ in failures.values() if refusal is not None]
    if batch.id and len(refusals) == len(batch.id) and not store.any(name):
        raise InputError(refusals[0])
    for image, (_, error) in failures.items():
        store.fail(name, image, error)
    return None


def attempt(store: Store, batch: Batch, rows: MakeRows) -> dict[str, tuple[str | None, str]]:
    """Append rows; of an error only words are held, not the tensors that its traceback has.

    Args:
        store: Store that takes the rows.
        batch: Images.
        rows: Function that makes the rows, and may fail, out of memory too.

    Returns:
        Nothing, or for each image the message, if it is that of an `InputError`, and the error in one line.
    """
    try:
        store.append(rows(batch))
        return {}
    except OSError:
        raise  # an error of the disk, which the next image would meet too
    except Exception as error:
        refusal = str(error) if isinstance(error, InputError) else None
        words = (refusal, one_line(error))
    # what the failed batch took is free by now: the images one by one, or the next method, may need it
    if batch.image.is_cuda:
        torch.cuda.empty_cache()
    return dict.fromkeys(batch.id, words)


def score(
    explanandum: Explanandum,
    name: str,
    method: Attribution | None,
    batch: Batch,
    masks: CachedMasks,
    scoring: Scoring,
) -> Sequence[Scored | Unmasked]:
    """Compute the rows of one method for one batch.

    Args:
        explanandum: Frozen classifier.
        name: Name of the method; `ORIGINAL` and the references have no method.
        method: Method of the masks; None for a reference.
        batch: Images, on the explanandum's device.
        masks: Masks of the methods, read or made.
        scoring: Questions to the masks.

    Returns:
        A row an image, in plain values.
    """
    if name == ORIGINAL:
        return rows_of_originals(explanandum, batch)
    explained = masks.targets.of(explanandum, batch)
    # a reference is the mask of what the images have, whichever classes the methods explain
    asked = batch if method is None else explained
    mask, broken, cost = masks(explanandum, name, method, asked)
    with torch.no_grad():
        masked = composite(batch.image, mask, explanandum.mean_colour)
        complement = composite(batch.image, 1 - mask, explanandum.mean_colour)
        masked_logits = explanandum(masked).float()
        complement_logits = explanandum(complement).float()
    origin = None
    if method is not None:
        origin = MethodRun(explanandum, method, explained, mask, scoring.maker)
    judge = scoring.judge or Judge({})
    judged = judge.judged(explanandum, name, mask, explained)
    # the labels of the images, whose objects are the truth, may be others than those that are explained
    judged = judged._replace(annotated=batch.labels, masked_logits=masked_logits, origin=origin)
    answers = judge(judged, scoring.metrics_of(name, explanandum))
    areas = mask.mean((1, 2, 3)).tolist()
    highest = mask.amax((1, 2, 3))
    lowest = mask.amin((1, 2, 3))
    constant = (highest == lowest).tolist()
    without_region = (~judged.region.flatten(1).any(1)).tolist()
    after_keeping = predictions(explanandum, masked_logits, batch.labels)
    after_removing = predictions(explanandum, complement_logits, batch.labels)
    matrix = None
    if scoring.matrix is not None:
        matrix = scoring.matrix(explanandum, name, method, batch)
    decisions = None
    if scoring.decisions is not None:
        decisions = scoring.decisions(explanandum, method, batch)
    rows = []
    for index, image in enumerate(batch.id):
        row: Scored = {
            "id": image,
            "method": name,
            "scores": answers[index].scores,
            "area": areas[index],
            "cost": cost[index],
            "constant": constant[index],
            "broken": broken[index],
            "kept": after_keeping[index],
            "removed": after_removing[index],
        }
        if answers[index].curves:
            row["curves"] = answers[index].curves
        if scoring.judge is not None:
            # only the metrics of a config have levels that were chosen
            row["no_region"] = without_region[index]
        if matrix is not None:
            row["matrix"] = matrix[index]
        if decisions is not None:
            row["decisions"] = decisions[index]
        rows.append(row)
    return rows


def rows_of_originals(explanandum: Explanandum, batch: Batch) -> list[Unmasked]:
    """Return what the classifier says of the images as they are: a row an image."""
    with torch.no_grad():
        answers = predictions(explanandum, explanandum(batch.image), batch.labels)
    rows: list[Unmasked] = []
    for image, answer in zip(batch.id, answers, strict=True):
        # spelt out: a type checker does not know that `ORIGINAL` is this text
        rows.append({"id": image, "method": "Original image", "kept": answer})
    return rows
