"""What evaluate.py is told in YAML."""

from typing import Any, Literal

from explainer.attribution import Attribution
from explainer.errors import InputError, check_range, check_seed
from explainer.evaluation.ranges import (
    check_different,
    check_different_files,
    check_levels,
    check_names,
    check_new_columns,
    check_processes_wanted,
)
from explainer.evaluation.references import check_free
from explainer.evaluation.results.columns import columns_of
from explainer.evaluation.results.published import Published, check_columns
from explainer.evaluation.sanity_checks import Probe
from explainer.evaluation.targets import Targets
from explainer.functional.activation_statistics import EPSILON, SMALLEST_EPSILON
from explainer.infill import Infill
from explainer.metrics import ImageMetric
from explainer.metrics.segmentation import TruthRule
from explainer.networks.devices import choose_device


class Evaluation:
    """Settings of an evaluation.

    Args:
        methods: Name → attribution method, besides the Explainer of the checkpoint; None takes the references (constant
            masks 0, 0.5 and 1, a centred box) and Grad-CAM.
        split: Of the data set.
        limit: At most so many images, evenly spread over the split; None takes all.
        offset: Take the images that come so many places later: others than without.
        out: Folder of the results; None is results/<name of the run>.
        void: Whether pixels of the annotation's void border are left out or count as object (as the published
            Explainer code had it).
        targets: Whether the masks explain the "labels" of an image, or the classes "predicted" by the classifier: the
            mask is then theirs, Sal, the curves and further metrics ask about them; Acc, IoU and MAE compare with the
            labelled objects as before.
        target_threshold: Probability from which a class of a multi-label classifier counts as predicted.
        objects: Whether pixels of classes that are no label of the image are background, or belong to the truth too
            (as the published Explainer code had it).
        gallery: Images in the picture of images × methods.
        device: "auto" takes the GPU when there is one.
        curve_steps: Steps of the insertion and deletion curves of each image with one label; 0 leaves them out.
        as_it_is: Explain the classifier as its config builds it, with the weights named there, not a checkpoint.
        metrics: Column → further metric.
        infill: Of those metrics that replace pixels; None is the classifier's mean colour.
        level: Pixels of masks and of probabilities (of FIDO, say) are salient above it; None treats them as other maps.
        alpha: Pixels of other maps are salient above so many times the map's mean; None searches it for each method
            over 0, 0.2 … 5 on held-out images.
        held_out: Images of that search.
        held_out_split: Where they are from; of the evaluated split itself, other images are taken.
        one_label: Only images with exactly one label, as in papers on ImageNet.
        scaled: Scale also maps that are masks already, such as those of FIDO and BBMP, to the range from 0 to 1.
        counterfactuals: Images of which it is shown, for each method, what the classifier says when all but the salient
            region is filled in, or the region itself.
        infills: Name → in-fill, for those pictures; None takes `infill`.
        cache: Folder of the methods' maps, of which several evaluations can share one; None is maps/ in `out`, "none"
            keeps only those of the pictures.
        processes: So many evaluate together, each on a GPU of its own or all on the CPU.
        intervals: Show 95 % intervals in the tables.
        probes: Column → question to a method that takes further maps of the same images, such as whether its map
            depends on its seed, or on what the classifier has learned.
        probed: Names of the methods that probes ask, since some take as long as many maps; None: all.
        report: Write report.html, a page that needs no network, and table.tex.
        wandb: Log results, report and gallery to Weights & Biases; offline for who is not logged in.
        published: A paper's own numbers, which tables and report show beside ours, marked; they change no result.
        matrix: The class-specific masking matrix of the Explainer paper's Table 1: of all methods that explain a class,
            or of those named. An image costs nine forward passes a class, and a map of each class.
        matrix_classes: Names of the classes that it shows; None takes all.
        decisions: Examples of true positives, false positives and false negatives in decisions.png: what the masks of
            these classes show, and what the classifier says with them, which a table has for all images. 0: the table
            alone; None: nothing of it.
        class_gallery: Names of classes whose masks, present or not, classes.png shows for each image of the gallery and
            each method.
        true_boxes: Add a row "Bounding box": the mask is 1 within the boxes of the labelled objects, a reference.

    Raises:
        InputError: A number is out of its range, there is no such device, a name cannot be shown, a metric or a probe
            has the name of another column, or a published number is of no column.
    """

    def __init__(
        self, methods: dict[str, Attribution] | None = None, split: Literal["train", "val", "test"] = "test",
        limit: int | None = None, out: str | None = None, void: Literal["ignore", "object"] = "ignore",
        gallery: int = 8, device: str = "auto", curve_steps: int = 0, as_it_is: bool = False, offset: int = 0,
        metrics: dict[str, ImageMetric] | None = None, infill: Infill | None = None, level: float | None = 0.5,
        alpha: float | None = None, held_out: int = 50, held_out_split: Literal["train", "val", "test"] = "val",
        one_label: bool = False, scaled: bool = True, counterfactuals: int = 0,
        infills: dict[str, Infill] | None = None, cache: str | None = None, processes: int = 1,
        intervals: bool = True, probes: dict[str, Probe] | None = None, report: bool = True, wandb: bool = False,
        published: Published | None = None, matrix: bool | list[str] = False, matrix_classes: list[str] | None = None,
        true_boxes: bool = False, probed: list[str] | None = None, objects: Literal["labelled", "all"] = "labelled",
        targets: Literal["labels", "predicted"] = "labels", target_threshold: float = 0.5,
        decisions: int | None = None, class_gallery: list[str] | None = None,
    ) -> None:  # fmt: skip
        self.report, self.wandb = report, wandb
        self.published, self.matrix, self.matrix_classes = published, matrix, matrix_classes
        self.true_boxes, self.probed = true_boxes, probed
        self.objects, self.rule = objects, TruthRule(void, objects)
        check_range("evaluation.target_threshold", target_threshold, 0, 1)
        self.targets = Targets(targets, target_threshold)
        check_range("evaluation.decisions", decisions or 0, 0)
        self.decisions, self.class_gallery = decisions, class_gallery or []
        choose_device(device)
        check_processes_wanted("evaluation.processes", processes)
        counts = {"counterfactuals": counterfactuals, "gallery": gallery, "offset": offset}
        for name, count in counts.items():
            check_range(f"evaluation.{name}", count, 0)
        check_range("evaluation.curve_steps", curve_steps, 0, 100_000)
        if limit is not None:
            check_range("evaluation.limit", limit, 1)
        check_names("evaluation.methods", methods or ())
        check_names("evaluation.infills", infills or ())
        check_levels(level, alpha, held_out)
        self.metrics: dict[str, ImageMetric] = metrics or {}
        self.probes: dict[str, Probe] = probes or {}
        check_new_columns(self.metrics, self.probes)
        check_columns(published, [*columns_of(self.metrics | self.probes), "area"], "evaluation.published")
        self.curve_steps, self.as_it_is = curve_steps, as_it_is
        self.methods, self.split, self.limit, self.out = methods, split, limit, out
        self.void, self.gallery, self.device, self.offset = void, gallery, device, offset
        self.infill, self.level, self.alpha, self.held_out = infill, level, alpha, held_out
        self.held_out_split, self.one_label, self.scaled = held_out_split, one_label, scaled
        self.counterfactuals, self.cache, self.processes = counterfactuals, cache, processes
        self.intervals = intervals
        self.infills: dict[str, Infill | None] = {**infills} if infills else {"in-fill": infill}


class InfillComparison:
    """Settings of a comparison of in-fills: what they put into a hole, and what the classifier makes of it.

    Args:
        fills: Name → in-fill; None means that this is no such comparison.
        where: "unrelated": boxes that touch no labelled object, in images that have room for one; "anywhere": any
            boxes; "pixels": single pixels, as in FIDO's Figure 16; "unrelated_pixels": single pixels outside the boxes
            of the labelled objects.
        smallest: Sides of the boxes are at least this fraction of the image's.
        largest: And at most this.
        share: Of the pixels (of those outside the boxes) that is hidden, where they are single ones.
        seed: Of boxes and stochastic in-fills.
        examples: Images in the picture of images × in-fills.

    Raises:
        InputError: The fractions are not in order in (0, 1], the share is not between 0 and 1, the seed or the number
            of examples is out of range, or an in-fill has a name that cannot be shown or is a reference's.
    """

    def __init__(
        self, fills: dict[str, Infill] | None = None,
        where: Literal["unrelated", "anywhere", "pixels", "unrelated_pixels"] = "unrelated", smallest: float = 0.2,
        largest: float = 0.5, share: float = 0.5, seed: int = 0, examples: int = 6,
    ) -> None:  # fmt: skip
        if not 0 < smallest <= largest <= 1:
            raise InputError(
                f"infills.smallest and largest must be 0 < smallest <= largest <= 1, got {smallest}, {largest}"
            )
        self.fills: dict[str, Infill] = fills or {}
        if not 0 < share < 1:
            raise InputError(f"infills.share must lie between 0 and 1, got {share}")
        check_seed("infills.seed", seed)
        check_range("infills.examples", examples, 0)
        check_names("infills.fills", self.fills)
        check_free(self.fills, "infills.fills")
        self.where, self.smallest, self.largest, self.seed, self.examples = where, smallest, largest, seed, examples
        self.share = share


class Retraining:
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
        self, methods: dict[str, Attribution] | None = None, modes: list[Literal["keep", "remove"]] | None = None,
        fractions: list[float] | None = None, seeds: list[int] | None = None, workers: int | None = None,
        keep_checkpoints: bool = False, target: Literal["predicted", "label"] = "predicted",
        infill: Infill | None = None, published: Published | None = None, pictures: int = 6,
    ) -> None:  # fmt: skip
        self.infill, self.published, self.pictures = infill, published, pictures
        check_range("retraining.pictures", pictures, 0, 100)
        self.methods: dict[str, Attribution] = methods or {}
        self.modes = modes or ["keep", "remove"]
        self.fractions = fractions or [0.1, 0.3, 0.5, 0.7, 0.9]
        self.seeds = seeds or [0, 1]
        self.workers, self.keep_checkpoints, self.target = workers, keep_checkpoints, target
        for key, values in (("modes", modes), ("fractions", fractions), ("seeds", seeds)):
            check_different(f"retraining.{key}", values)
        for fraction in self.fractions:
            check_range("retraining.fractions", fraction, 0, 1)
        for seed in self.seeds:
            check_seed("retraining.seeds", seed)
        check_processes_wanted("retraining.workers", workers)
        check_names("retraining.methods", self.methods)
        check_different_files("retraining.methods", self.methods)
        shown = [f"{name} {100 * f:g} %" for name in ("KAR", "ROAR") for f in self.fractions]
        check_columns(published, ["KAR", "ROAR", "SUM", *shown], "retraining.published")


class LayerRetraining:
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
        self, statistics: list[str] | None = None, scales: list[int] | None = None, keep: float = 0.025,
        remove: float = 0.9, roar_removes: list[Literal["most", "least"]] | None = None,
        seeds: list[int] | None = None, workers: int | None = None, published: Published | None = None,
        epsilon: float = EPSILON,
    ) -> None:  # fmt: skip
        check_range("layer_retraining.epsilon", epsilon, SMALLEST_EPSILON, 1)
        self.epsilon = epsilon
        self.published = published
        shown = [f"{name} L{scale}" for name in ("KAR", "ROAR") for scale in scales or range(1, 10)]
        check_columns(published, ["D", "I", *shown], "layer_retraining.published")
        self.statistics = [s for s in statistics or [] if s != "random"]
        self.scales, self.keep, self.remove, self.workers = scales, keep, remove, workers
        self.roar_removes = roar_removes or ["most"]
        self.seeds = seeds or [0]
        lists = {"statistics": statistics, "scales": scales, "roar_removes": roar_removes, "seeds": seeds}
        for key, values in lists.items():
            check_different(f"layer_retraining.{key}", values)
        for scale in scales or ():
            check_range("layer_retraining.scales", scale, 1)
        for seed in self.seeds:
            check_seed("layer_retraining.seeds", seed)
        check_range("layer_retraining.keep", keep, 0, 1)
        check_range("layer_retraining.remove", remove, 0, 1)
        check_processes_wanted("layer_retraining.workers", workers)


def data_facts(config: dict[str, Any]) -> dict[str, Any]:
    """What of the data's settings decides the results: not how they are loaded.

    Args:
        config: class_path and init_args of the DataModule.

    Returns:
        The same without workers, batch size and download, and without settings that came later and are not used, so
        that earlier results stay valid.

    Example:
        >>> data_facts({"class_path": "COCO", "init_args": {"root": "data", "num_workers": 2}})
        {'class_path': 'COCO', 'init_args': {'root': 'data'}}
    """
    loading = {"num_workers", "batch_size", "download"}
    later = {"crop": False}
    kept = {k: v for k, v in config["init_args"].items() if k not in loading and (k not in later or v != later[k])}
    return {"class_path": config["class_path"], "init_args": kept}  # and not the path of a config's own file
