"""What masks show of right and of wrong decisions, as a table and a picture."""

from collections.abc import Mapping

import torch
from PIL import Image

from explainer.attribution import Attribution, Reference
from explainer.data import Batch
from explainer.evaluation.batches import part
from explainer.evaluation.report.numbers import number
from explainer.evaluation.report.table import Heading, Table, text_row
from explainer.evaluation.scoring.decisions import KINDS, Decisions
from explainer.networks import Explanandum
from explainer.rendering import Tile, gallery, overlay, to_pil

SHORT = dict(zip(KINDS, ("TP", "FP", "FN"), strict=True))
"""As they stand under pictures, where there is little room."""


def decision_table(results: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Table:
    """Return the results as a table, a row for each method and kind of decision.

    Args:
        results: Method → kind → results, as `decision_results` returns them.

    Example:
        >>> entry = {"pairs": 2, "area": 0.5, "image": 0.75, "kept": 0.5, "removed": 0.25}
        >>> [cell.text for cell in decision_table({"a": {"false positive": entry}}).rows[0].cells]
        ['2', '0.500', '0.750', '0.500', '0.250']
    """
    labels = ("pairs", "area", "probability", "seen through the mask", "through its complement")
    rows = []
    for method, kinds in results.items():
        for kind, entry in kinds.items():
            values = [number(entry[key]) for key in ("area", "image", "kept", "removed")]
            rows.append(text_row(f"{method}, {kind}", [str(entry["pairs"]), *values]))
    columns = [Heading(label) for label in labels]
    return Table("Masks of right and of wrong decisions", "masks of classes", columns, rows)


def decision_gallery(
    decisions: Decisions, explanandum: Explanandum, methods: Mapping[str, Attribution], batch: Batch, count: int
) -> Image.Image | None:
    """Draw examples of each kind: the image, and each method's mask of the class in question.

    Args:
        decisions: Sorts the classes.
        explanandum: The frozen classifier, on the batch's device.
        methods: Name → method.
        batch: The images to choose from.
        count: Number of examples of each kind, at most.

    Returns:
        The picture, a row an example; None where there is none, or no method to show.
    """
    kinds = decisions.kinds(explanandum, batch)
    methods = {name: method for name, method in methods.items() if not isinstance(method, Reference)}
    rows = []
    for kind in KINDS:
        examples = [(n, index) for n, chosen in enumerate(kinds) for index, own in chosen if own == kind][:count]
        for n, index in examples:
            one, name = part(batch, [n]), explanandum.classes[index]
            seen = {method: decisions.seen(explanandum, unit, one, index) for method, unit in methods.items()}
            said = next(iter(seen.values()))["image"] if seen else torch.nan
            row = [Tile(to_pil(one.image[0]), f"{SHORT[kind]}: {name} {float(said):.2f}")]
            for own in seen.values():
                words = f"kept {float(own['kept']):.2f}, without {float(own['removed']):.2f}"
                row.append(Tile(overlay(one.image[0], own["mask"][0]), words))
            rows.append(row)
    return gallery(rows, header=["image", *methods]) if rows and methods else None
