"""The probes that a config names, on one method's masks of one batch."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from explainer.attribution import Attribution
from explainer.data import Batch
from explainer.evaluation.sanity_checks import Probe
from explainer.networks import Explanandum


def probe(
    probes: Mapping[str, Probe],
    explanandum: Explanandum,
    method: Attribution | None,
    batch: Batch,
    mask: Tensor,
    scaled: bool = True,
) -> list[dict[str, Any]]:
    """What to add to the rows of the images.

    Args:
        probes: Column → probe.
        explanandum: The frozen classifier.
        method: Method of the masks; None, for the ground truth, has nothing that can be run again.
        batch: The images, on the explanandum's device.
        mask: (B, 1, H, W) in [0, 1].
        scaled: Whether maps that are masks already are scaled too.

    Returns:
        An entry an image: a value for each column (None where it is not defined), and under "curves" the curves of
        which values are means.

    Example:
        >>> probe({}, Explanandum("alexnet"), None, Batch(mask := Tensor(1, 1, 2, 2), mask, ["a"]), mask)
        [{'curves': {}}]
    """
    rows: list[dict[str, Any]] = [{"curves": {}, **dict.fromkeys(probes)} for _ in batch.id]
    if method is None:
        return rows
    for column, one in probes.items():
        found = one.ask(explanandum, method, batch, mask, scaled)
        for n, row in enumerate(rows):
            value = float(found.value[n])
            row[column] = None if value != value else value
            if found.curve is not None and not bool(found.curve[n].isnan().any()):
                row["curves"][column] = [round(v, 5) for v in found.curve[n].tolist()]
    return rows


def merged(rows: list[dict[str, Any]], others: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Entries of the same images as one, with the curves of both.

    Example:
        >>> merged([{"a": 1, "curves": {"x": [0]}}], [{"b": 2, "curves": {"y": [1]}}])
        [{'a': 1, 'curves': {'x': [0], 'y': [1]}, 'b': 2}]
    """
    return [
        one | other | {"curves": one.get("curves", {}) | other.get("curves", {})}
        for one, other in zip(rows, others, strict=True)
    ]
