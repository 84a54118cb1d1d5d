"""The settings of ROAR and KAR grids, as evaluate.py reads them from YAML."""

from typing import Literal

from explainer.attribution import Attribution
from explainer.errors import InputError, check_processes_wanted, check_range, check_seed
from explainer.evaluation.ranges import check_different, check_different_files, check_names
from explainer.evaluation.results.published import Published, check_columns
from explainer.functional.activation_statistics import EPSILON, SMALLEST_EPSILON
from explainer.infill import Infill
from explainer.launching import Launcher, Local


class RetrainingSettings:
    """Settings of a ROAR and KAR grid: methods × {keep, remove} × fractions × seeds, each cell a training of its own.

    Args:
        methods: Name → attribution method; None means that this is no grid.
        modes: "keep" (KAR) and "remove" (ROAR).
        fractions: Fractions of the image that are kept or removed, in [0, 1].
        seeds: Seeds of each cell's training; the deviation over them is shown.
        workers: Number of cells that are trained at once on this machine; None takes one for each GPU, at least one.
        keep_checkpoints: Whether the checkpoint of every cell is kept.
        target: Class whose map is ranked: the "predicted" one, or the "label", which its map gives away.
        infill: In-fill of the pixels that are replaced; None takes the training images' mean colour.
        published: Numbers of a paper: KAR, ROAR, SUM, and scores in percent such as "KAR 10 %".
        pictures: Number of test images in the picture of each method, which shows what its cells see; 0 draws none.
        masks_alone: Whether a network is also trained, once for each method and fraction, on the masks alone, black and
            white. Where it tells the class, the scores of the method are marked.
        launcher: Way to run the cells, such as on a cluster; None takes processes of this machine, `workers` of them.

    Raises:
        InputError: A number is out of range, a list is empty or has something twice, two methods would have the same
            files, or there are both workers and a launcher.
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
        masks_alone: bool = True,
        launcher: Launcher | None = None,
    ) -> None:
        self.infill = infill
        self.published = published
        self.pictures = pictures
        self.masks_alone = masks_alone
        check_range("experiment.init_args.pictures", pictures, 0, 100)
        self.methods: dict[str, Attribution] = methods or {}
        self.modes = modes or ["keep", "remove"]
        self.fractions = fractions or [0.1, 0.3, 0.5, 0.7, 0.9]
        self.seeds = seeds or [0, 1]
        self.launcher = launcher_of(workers, launcher)
        self.keep_checkpoints = keep_checkpoints
        self.target: Literal["predicted", "label"] = target
        for key, values in (("modes", modes), ("fractions", fractions), ("seeds", seeds)):
            check_different(f"experiment.init_args.{key}", values)
        for fraction in self.fractions:
            check_range("experiment.init_args.fractions", fraction, 0, 1)
        for seed in self.seeds:
            check_seed("experiment.init_args.seeds", seed)
        check_names("experiment.init_args.methods", self.methods)
        check_different_files("experiment.init_args.methods", self.methods)
        columns = ["KAR", "ROAR", "SUM"]
        for name in ("KAR", "ROAR"):
            columns += [f"{name} {100 * fraction:g} %" for fraction in self.fractions]
        check_columns(published, columns, "experiment.init_args.published")


class LayerRetrainingSettings:
    """Settings of a ROAR and KAR grid inside the network: statistics × scales × {keep, remove} × seeds.

    Args:
        statistics: Statistics of the activations at the end of a scale; "random" always joins. None means that this is
            no such grid.
        scales: Numbers of the classifier's taps, from 1; None takes all.
        keep: Fraction of the locations that KAR keeps.
        remove: Fraction of the locations that ROAR removes. The paper's is 0.9: "the 10% least salient" are left. 0.1
            is another experiment, in which even random masks cost next to nothing.
        roar_removes: Locations that ROAR removes: the "most" salient ones, as in the paper, the "least", or both in
            turn.
        seeds: Seeds of each cell's training.
        workers: Number of cells that are trained at once on this machine; None takes one for each GPU, at least one.
        published: Numbers of a paper: D, I, and scores in percent such as "KAR L1". A row of another data set has the
            name of the data set behind a comma: "smoe_scale, Places".
        epsilon: Number that is added to activations before a logarithm.
        launcher: Way to run the cells, such as on a cluster; None takes processes of this machine, `workers` of them.

    Raises:
        InputError: A number is out of range, a list is empty or has something twice, or there are both workers and a
            launcher.
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
        launcher: Launcher | None = None,
    ) -> None:
        check_range("experiment.init_args.epsilon", epsilon, SMALLEST_EPSILON, 1)
        self.epsilon = epsilon
        self.published = published
        columns = ["D", "I"]
        for name in ("KAR", "ROAR"):
            # without scales all taps are meant; the classifier is not built yet, so that their number is not known
            columns += [f"{name} L{scale}" for scale in scales or range(1, 10)]
        check_columns(published, columns, "experiment.init_args.published")
        self.statistics = [statistic for statistic in statistics or [] if statistic != "random"]
        self.scales = scales
        self.keep = keep
        self.remove = remove
        self.launcher = launcher_of(workers, launcher)
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


def launcher_of(workers: int | None, launcher: Launcher | None) -> Launcher:
    """Return what runs the cells.

    Args:
        workers: Number of processes of this machine, or None.
        launcher: Launcher of the config, or None.

    Raises:
        InputError: There are both, or the number is out of range.
    """
    if launcher is None:
        check_processes_wanted("experiment.init_args.workers", workers)
        return Local(workers)
    if workers is not None:
        raise InputError(
            "experiment.init_args.workers is the number of processes of this machine: set it to null beside a launcher"
        )
    return launcher
