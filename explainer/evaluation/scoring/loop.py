"""Methods × images: mask, score, append; resumable.

Scores are those of S. Stalder et al., NeurIPS 2022, section 4.3, the explanandum's probabilities for the original, the
masked and the complement image, and what the mask cost.
"""

from collections.abc import Callable, Collection, Iterable
from typing import Any

import torch
from torch import Tensor

from explainer.attribution import Attribution
from explainer.attribution.masked_score import no_bars
from explainer.data import Batch
from explainer.errors import InputError, one_line
from explainer.evaluation.batches import part, to_device
from explainer.evaluation.maps.cache import KeptMasks
from explainer.evaluation.maps.make import Maker
from explainer.evaluation.references import BOXES, ORIGINAL, TRUTH, having
from explainer.evaluation.sanity_checks import Probe
from explainer.evaluation.sanity_checks.ask import merged, probe
from explainer.evaluation.scoring.class_matrix import ClassMatrix
from explainer.evaluation.scoring.decisions import Decisions
from explainer.evaluation.scoring.metrics import Judge
from explainer.evaluation.scoring.scores import curves, fixed_scores, plain, predictions
from explainer.evaluation.storage.store import Store
from explainer.evaluation.targets import LABELS, Targets
from explainer.evaluation.telling import bars
from explainer.functional.masking import composite
from explainer.metrics.segmentation import USUAL_TRUTH, TruthRule
from explainer.networks import Explanandum


def evaluate(
    explanandum: Explanandum,
    methods: dict[str, Attribution],
    batches: Iterable[Batch],
    store: Store,
    *,
    total: int,
    rule: TruthRule = USUAL_TRUTH,
    device: str = "cpu",
    curve_steps: int = 0,
    kept: KeptMasks | None = None,
    judge: Judge | None = None,
    scaled: bool = True,
    probes: dict[str, Probe] | None = None,
    quiet: bool = False,
    matrix: ClassMatrix | None = None,
    true_boxes: bool = False,
    probed: Collection[str] | None = None,
    targets: Targets = LABELS,
    decisions: Decisions | None = None,
) -> None:
    """Score every method on every image, and append the rows to the store.

    Args:
        explanandum: The frozen classifier.
        methods: Name → method; the ground truth is added where the images have segmentations.
        batches: The images.
        store: Rows that it has already are not computed again; what failed before is tried again.
        total: Number of images, for the progress bar.
        rule: Which pixels of the annotation are the truth.
        device: Where to compute.
        curve_steps: As in `score`.
        kept: Where masks are read from and kept.
        judge: Further metrics.
        scaled: As in `make_mask`.
        probes: Column → question to a method that takes further maps.
        quiet: Show no progress bar.
        matrix: What the masks of single classes do.
        true_boxes: Score the boxes of the labelled objects as a mask, too.
        probed: Names of the methods that probes ask; None: all.
        targets: Which classes of an image are explained.
        decisions: What masks show of right and wrong decisions.

    Raises:
        InputError: A method refuses every image of its first batch.
    """
    explanandum.to(device)
    maker = Maker(kept, rule, scaled, targets)
    with bars(quiet=quiet) as progress, no_bars():
        task = progress.add_task("evaluating", total=total)
        for batch in batches:
            known = {name: having(name, batch) for name in (TRUTH, *([BOXES] if true_boxes else []))}
            for name in [ORIGINAL, *known, *methods]:
                some = known.get(name, batch)
                if not some.id or store.has(name, some.id):
                    continue
                progress.update(task, description=name)

                asked = probes if probed is None or name in probed else None

                def rows(here: Batch, name: str = name, asked: Any = asked) -> list[dict[str, Any]]:
                    unit = methods.get(name)
                    return score(explanandum, name, unit, here, maker, curve_steps, judge, asked, matrix, decisions)

                append_or_note(store, name, to_device(some, device), rows)
            progress.advance(task, len(batch.id))


def append_or_note(store: Store, name: str, batch: Batch, rows: Callable[[Batch], list[dict[str, Any]]]) -> None:
    """Append the rows of a batch; where that fails, those of its images one by one, and note which of them fail.

    Args:
        store: Takes rows and failures.
        name: Of the method.
        batch: The images.
        rows: What may fail.

    Raises:
        InputError: All images are refused, and none has come through before: it is the set-up that is wrong.
        Exception: Of the classifier itself, on the images as they are.
    """
    if name == ORIGINAL:
        return store.append(rows(batch))
    known = store.failures(name, batch.id)
    failures = {} if known else attempt(store, batch, rows)
    if known or (failures and len(batch.id) > 1):
        failures = {}
        for n, image in enumerate(batch.id):
            if not store.has(name, [image]):
                failures |= attempt(store, part(batch, [n]), rows)
    refusals = [refusal for refusal, _ in failures.values() if refusal is not None]
    if batch.id and len(refusals) == len(batch.id) and not store.any(name):
        raise InputError(refusals[0])
    for image, (_, error) in failures.items():
        store.fail(name, image, error)
    return None


def attempt(
    store: Store, batch: Batch, rows: Callable[[Batch], list[dict[str, Any]]]
) -> dict[str, tuple[str | None, str]]:
    """Append rows; of an error only words are held, not the tensors that its traceback has.

    Args:
        store: Takes the rows.
        batch: The images.
        rows: What may fail, out of memory too.

    Returns:
        Nothing, or for each image the message, if it is that of an `InputError`, and the error in one line.
    """
    try:
        store.append(rows(batch))
        return {}
    except OSError:
        raise  # the disk's, which the next image would meet too
    except Exception as error:
        words = str(error) if isinstance(error, InputError) else None, one_line(error)
    if batch.image.is_cuda:
        torch.cuda.empty_cache()
    return dict.fromkeys(batch.id, words)


def score(
    explanandum: Explanandum,
    name: str,
    method: Attribution | None,
    batch: Batch,
    maker: Maker,
    curve_steps: int = 0,
    judge: Judge | None = None,
    probes: dict[str, Probe] | None = None,
    matrix: ClassMatrix | None = None,
    decisions: Decisions | None = None,
) -> list[dict[str, Any]]:
    """The rows of one method for one batch.

    Args:
        explanandum: The frozen classifier.
        name: Of the method; `ORIGINAL` and the references have none.
        method: Makes the masks.
        batch: On the explanandum's device.
        maker: Calls it, or reads what it made.
        curve_steps: Of the insertion and deletion curves of images with one label; 0: none.
        judge: Further metrics.
        probes: As in `evaluate`.
        matrix: Likewise.
        decisions: Likewise.

    Returns:
        A row an image, in plain values; None where a score is not defined.
    """
    if name == ORIGINAL:
        with torch.no_grad():
            said = predictions(explanandum, explanandum(batch.image), batch.labels)
        return [{"id": i, "method": name, "kept": kept} for i, kept in zip(batch.id, said, strict=True)]
    asked = maker.targets.of(explanandum, batch)
    mask, broken, cost = maker(explanandum, name, method, batch if method is None else asked)
    with torch.no_grad():
        both = [composite(batch.image, m, explanandum.mean_colour) for m in (mask, 1 - mask)]
        kept, removed = (explanandum(images).float() for images in both)
    values: dict[str, Tensor] = curves(explanandum, mask, asked, curve_steps) if curve_steps else {}
    values |= fixed_scores(mask, kept, batch, maker.rule, asked.labels)
    constant = (mask.amax((1, 2, 3)) == mask.amin((1, 2, 3))).tolist()
    judged = [{} for _ in batch.id] if judge is None else judge(explanandum, name, mask, asked)
    if probes:
        judged = merged(judged, probe(probes, explanandum, method, asked, mask, maker.scaled))
    if matrix is not None:
        found = matrix(explanandum, name, method, batch)
        judged = [one | other for one, other in zip(judged, found, strict=True)]
    if decisions is not None:
        sorted_out = decisions(explanandum, method, batch)
        judged = [one | other for one, other in zip(judged, sorted_out, strict=True)]
    said_kept, said_removed = (predictions(explanandum, z, batch.labels) for z in (kept, removed))
    rows = []
    for n, image in enumerate(batch.id):
        numbers = {key: plain(float(value[n])) for key, value in values.items()}
        extra = {**cost[n], "constant": constant[n], "broken": broken[n]}
        spoken = {"kept": said_kept[n], "removed": said_removed[n]}
        rows.append({"id": image, "method": name} | numbers | extra | judged[n] | spoken)
    return rows
