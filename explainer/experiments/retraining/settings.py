"""What evaluate.py is told in YAML of ROAR and KAR grids."""

from typing import Literal

from explainer.attribution import Attribution
from explainer.errors import check_range, check_seed
from explainer.evaluation.ranges import check_different, check_different_files, check_names, check_processes_wanted
from explainer.evaluation.results.published import Published, check_columns
from explainer.functional.activation_statistics import EPSILON, SMALLEST_EPSILON
from explainer.infill import Infill


class RetrainingSettings:
    """Settings of a ROAR and KAR grid: methods × {keep, remove} × fractions × seeds, each cell a training of its own.

    Args:
        methods: Name → attribution method; None means that this is no grid.
        modes: "keep" (KAR) and "remove" (ROAR).
        fractions: Of the image, kept or removed.
        seeds: Of each cell's training; the deviation over them is shown.
        workers: Cells at once; None takes one a GPU, or one.
        keep_checkpoints: Keep the checkpoint of every cell.
        target: Whose maps are ranked: those of the "predicted" class, or of the "label", which gives the label away.
        infill: What stands in place of the pixels; None takes the training images' mean colour.
        published: A paper's own numbers: KAR, ROAR, SUM, and scores in percent such as "KAR 10 %".
        pictures: Test images in the picture of each method, which shows what its cells see; 0 draws none.

    Raises:
        InputError: A number is out of range, a list is empty or has something twice, or two methods would have the
            same files.
    """

    def __init__(
        self,
        methods: dict[str, Attribution] | None = None,
        modes: list[Literal["keep", "remove"]] | None = None,
        fractions: list[float] | None = None,
        seeds: list[int] | None = None,
        workers: int | None = None,
        keep_checkpoints: bool = False,
        target: Literal["predicted", "label"] = "predicted",
        infill: Infill | None = None,
        published: Published | None = None,
        pictures: int = 6,
    ) -> None:
        self.infill, self.published, self.pictures = infill, published, pictures
        check_range("experiment.init_args.pictures", pictures, 0, 100)
        self.methods: dict[str, Attribution] = methods or {}
        self.modes = modes or ["keep", "remove"]
        self.fractions = fractions or [0.1, 0.3, 0.5, 0.7, 0.9]
        self.seeds = seeds or [0, 1]
        self.workers, self.keep_checkpoints, self.target = workers, keep_checkpoints, target
        for key, values in (("modes", modes), ("fractions", fractions), ("seeds", seeds)):
            check_different(f"experiment.init_args.{key}", values)
        for fraction in self.fractions:
            check_range("experiment.init_args.fractions", fraction, 0, 1)
        for seed in self.seeds:
            check_seed("experiment.init_args.seeds", seed)
        check_processes_wanted("experiment.init_args.workers", workers)
        check_names("experiment.init_args.methods", self.methods)
        check_different_files("experiment.init_args.methods", self.methods)
        shown = [f"{name} {100 * f:g} %" for name in ("KAR", "ROAR") for f in self.fractions]
        check_columns(published, ["KAR", "ROAR", "SUM", *shown], "experiment.init_args.published")


class LayerRetrainingSettings:
    """Settings of a ROAR and KAR grid inside the network: statistics × scales × {keep, remove} × seeds.

    Args:
        statistics: Of the activations at the end of a scale, "random" always joins; None: this is no such grid.
        scales: Numbers of the classifier's taps, from 1; None takes all.
        keep: Fraction of the locations that KAR keeps.
        remove: Fraction of the locations that ROAR removes. The paper's is 0.9, "the 10 % least salient" are left; 0.1
            is another experiment, in which even random masks cost next to nothing.
        roar_removes: Whether ROAR removes the "most" salient locations, as in the paper, the "least", or both in turn.
        seeds: Of each cell's training.
        workers: Cells at once; None takes one a GPU, or one.
        published: A paper's own numbers: D, I, and scores in percent such as "KAR L1". A row of another data set has
            its name behind a comma: "smoe_scale, Places".
        epsilon: Number that is added to activations before a logarithm.

    Raises:
        InputError: A number is out of range, or a list is empty or has something twice.
    """

    def __init__(
        self,
        statistics: list[str] | None = None,
        scales: list[int] | None = None,
        keep: float = 0.025,
        remove: float = 0.9,
        roar_removes: list[Literal["most", "least"]] | None = None,
        seeds: list[int] | None = None,
        workers: int | None = None,
        published: Published | None = None,
        epsilon: float = EPSILON,
    ) -> None:
        check_range("experiment.init_args.epsilon", epsilon, SMALLEST_EPSILON, 1)
        self.epsilon = epsilon
        self.published = published
        shown = [f"{name} L{scale}" for name in ("KAR", "ROAR") for scale in scales or range(1, 10)]
        check_columns(published, ["D", "I", *shown], "experiment.init_args.published")
        self.statistics = [s for s in statistics or [] if s != "random"]
        self.scales, self.keep, self.remove, self.workers = scales, keep, remove, workers
        self.roar_removes = roar_removes or ["most"]
        self.seeds = seeds or [0]
        lists = {"statistics": statistics, "scales": scales, "roar_removes": roar_removes, "seeds": seeds}
        for key, values in lists.items():
            check_different(f"experiment.init_args.{key}", values)
        for scale in scales or ():
            check_range("experiment.init_args.scales", scale, 1)
        for seed in self.seeds:
            check_seed("experiment.init_args.seeds", seed)
        check_range("experiment.init_args.keep", keep, 0, 1)
        check_range("experiment.init_args.remove", remove, 0, 1)
        check_processes_wanted("experiment.init_args.workers", workers)
