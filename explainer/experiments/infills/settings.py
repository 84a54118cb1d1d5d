"""The settings of a comparison of in-fills, as evaluate.py reads them from YAML."""

from typing import Literal

from explainer.errors import InputError, check_range, check_seed
from explainer.evaluation.ranges import check_names
from explainer.evaluation.references import check_free
from explainer.infill import Infill


class InfillSettings:
    """Settings of a comparison of in-fills: what they put into a hole, and what the classifier makes of it.

    Args:
        fills: Name → in-fill; None means that this is no such comparison.
        where: Kind of holes. "unrelated": boxes that touch no labelled object, in images that have room for one;
            "anywhere": any boxes; "pixels": single pixels, as in FIDO's Figure 16; "unrelated_pixels": single pixels
            outside the boxes of the labelled objects.
        smallest: Smallest side of a box, as a fraction of the image's.
        largest: Largest side of a box, as a fraction of the image's.
        share: Share of the pixels (of those outside the boxes) that is hidden, where the holes are single pixels.
        seed: Seed of the holes and of stochastic in-fills.
        examples: Number of images in the picture of images × in-fills.

    Raises:
        InputError: The fractions are not in order in (0, 1], the share is not between 0 and 1, the seed or the number
            of examples is out of range, or an in-fill has a name that cannot be shown or is a reference's.
    """

    def __init__(
        self,
        fills: dict[str, Infill] | None = None,
        where: Literal["unrelated", "anywhere", "pixels", "unrelated_pixels"] = "unrelated",
        smallest: float = 0.2,
        largest: float = 0.5,
        share: float = 0.5,
        seed: int = 0,
        examples: int = 6,
    ) -> None:
        if not 0 < smallest <= largest <= 1:
            raise InputError(
                "experiment.init_args.smallest and largest must be 0 < smallest <= largest <= 1, "
                f"got {smallest}, {largest}"
            )
        self.fills: dict[str, Infill] = fills or {}
        if not 0 < share < 1:
            raise InputError(f"experiment.init_args.share must lie between 0 and 1, got {share}")
        check_seed("experiment.init_args.seed", seed)
        check_range("experiment.init_args.examples", examples, 0)
        check_names("experiment.init_args.fills", self.fills)
        check_free(self.fills, "experiment.init_args.fills")
        self.where = where
        self.smallest = smallest
        self.largest = largest
        self.seed = seed
        self.examples = examples
        self.share = share
