"""The settings of evaluate.py in YAML, in groups."""

from dataclasses import dataclass, field
from typing import Any, Literal

from explainer.attribution import Attribution
from explainer.data.later import without_unused
from explainer.errors import check_processes_wanted, check_range
from explainer.evaluation.maps.make import MaskMaker
from explainer.evaluation.ranges import check_levels, check_names
from explainer.evaluation.results.columns import check_new_columns, columns_of
from explainer.evaluation.results.published import Published, check_columns
from explainer.evaluation.sanity_checks import SanityCheck
from explainer.evaluation.targets import Targets
from explainer.infill import Infill
from explainer.launching import Launcher
from explainer.metrics import ImageMetric
from explainer.metrics.segmentation import TruthRule
from explainer.networks.devices import choose_device

Split = Literal["train", "val", "test"]


@dataclass
class ImageSettings:
    """Which images are evaluated.

    Attributes:
        split: Split of the data set.
        limit: Largest number of images, evenly spread over the split; None takes all.
        offset: Number of places by which the choice of images is moved on, so that it has other images.
        one_label: Whether only images with exactly one label are taken, as in papers on ImageNet.

    Raises:
        InputError: A number is out of its range.
    """

    split: Split = "test"
    limit: int | None = None
    offset: int = 0
    one_label: bool = False

    def __post_init__(self) -> None:
        check_range("evaluation.images.offset", self.offset, 0)
        if self.limit is not None:
            check_range("evaluation.images.limit", self.limit, 1)


@dataclass
class TruthSettings:
    """Which pixels of an annotation are the truth.

    Attributes:
        void: Whether pixels of the annotation's void border are left out or count as object (as the published
            Explainer code had it).
        objects: Whether pixels of classes that are no label of the image are background, or belong to the truth too
            (as the published Explainer code had it).
        boxes: Whether a row "Bounding box" is added: a reference whose mask is 1 within the labelled objects' boxes.
    """

    void: Literal["ignore", "object"] = "ignore"
    objects: Literal["labelled", "all"] = "labelled"
    boxes: bool = False

    @property
    def rule(self) -> TruthRule:
        """Return the same as a rule for metrics."""
        return TruthRule(self.void, self.objects)


@dataclass
class TargetSettings:
    """Which classes of an image the masks explain.

    Attributes:
        kind: The "labels" of an image, or the classes "predicted" by the classifier: the mask is then theirs, Sal, the
            curves and further metrics ask about them; Acc, IoU and MAE compare with the labelled objects as before.
        threshold: Probability from which a class of a multi-label classifier counts as predicted.

    Raises:
        InputError: The threshold is no probability.
    """

    kind: Literal["labels", "predicted"] = "labels"
    threshold: float = 0.5

    def __post_init__(self) -> None:
        check_range("evaluation.targets.threshold", self.threshold, 0, 1)

    @property
    def chosen(self) -> Targets:
        """Return the same as a rule that can be asked."""
        return Targets(self.kind, self.threshold)


@dataclass
class SalientSettings:
    """Which pixels of a mask are salient, for metrics that ask about a region.

    Attributes:
        level: Pixels of masks and of probabilities (of FIDO, say) are salient above it; None treats them as other maps.
        alpha: Pixels of other maps are salient above so many times the map's mean; None searches it for each method
            over 0, 0.2 … 5 on held-out images.
        held_out: Number of images of that search.
        held_out_split: Split of these images; of the evaluated split itself, other images are taken.

    Raises:
        InputError: A number is out of its range.
    """

    level: float | None = 0.5
    alpha: float | None = None
    held_out: int = 50
    held_out_split: Split = "val"

    def __post_init__(self) -> None:
        check_levels(self.level, self.alpha, self.held_out)


@dataclass
class CheckSettings:
    """Sanity checks: what is asked of a method itself, with further maps of the same images.

    Attributes:
        checks: Column → question, such as whether a map depends on its seed, or on what the classifier has learned.
        methods: Names of the methods that are asked, since some questions take as long as many maps; None: all.
    """

    checks: dict[str, SanityCheck] | None = None
    methods: list[str] | None = None


@dataclass
class MatrixSettings:
    """Class-specific masking matrix of the Explainer paper's Table 1.

    Attributes:
        methods: True for all methods that explain a class, or the names of some. An image costs nine forward passes a
            class, and a map of each class.
        classes: Names of the classes that it shows; None takes all.
    """

    methods: bool | list[str] = False
    classes: list[str] | None = None


@dataclass
class ReportSettings:
    """What a reader is shown beside the numbers.

    Attributes:
        page: Whether report.html, a page that needs no network, and table.tex are written.
        wandb: Whether results, report and gallery are logged to Weights & Biases; offline for who is not logged in.
        intervals: Whether the tables show 95 % intervals.
        gallery: Number of images in the picture of images × methods.
        counterfactuals: Number of images for which pictures show, for each method, what the classifier says when all
            but the salient region is filled in, or the region itself.
        infills: Name → in-fill, for those pictures; None takes the in-fill of the evaluation.
        class_gallery: Names of classes whose masks, present or not, classes.png shows for each image of the gallery and
            each method.
        published: Numbers of a paper, which tables and report show beside ours, marked; they change no result.

    Raises:
        InputError: A number is out of its range, or a name cannot be shown.
    """

    page: bool = True
    wandb: bool = False
    intervals: bool = True
    gallery: int = 8
    counterfactuals: int = 0
    infills: dict[str, Infill] | None = None
    class_gallery: list[str] = field(default_factory=list)
    published: Published | None = None

    def __post_init__(self) -> None:
        check_range("evaluation.report.gallery", self.gallery, 0)
        check_range("evaluation.report.counterfactuals", self.counterfactuals, 0)
        check_names("evaluation.report.infills", self.infills or ())


class Evaluation:
    """Settings of an evaluation.

    Args:
        methods: Name → attribution method, besides the Explainer of the checkpoint; None takes the references (constant
            masks 0, 0.5 and 1, a centred box) and Grad-CAM.
        images: Which images are evaluated.
        truth: Which pixels of an annotation are the truth.
        targets: Which classes of an image the masks explain.
        metrics: Column → further metric.
        infill: In-fill of those metrics that replace pixels; None is the classifier's mean colour.
        curve_steps: Steps of the insertion and deletion curves of each image with one label; 0 leaves them out.
        salient: Which pixels of a mask are salient, for metrics that ask about a region.
        sanity_checks: What is asked of a method itself.
        class_matrix: Class-specific masking matrix.
        decisions: Number of examples of true positives, false positives and false negatives in decisions.png: what the
            masks of these classes show, and what the classifier says with them, which a table has for all images. 0:
            the table alone; None: nothing of it.
        report: What a reader is shown beside the numbers.
        scaled: Whether maps that are masks already, such as those of FIDO and BBMP, are scaled to [0, 1] too.
        as_it_is: Whether the classifier of the config's model is explained as the model builds it, not a checkpoint. A
            config with an `explanandum` does so anyway.
        cache: Folder of the methods' maps, of which several evaluations can share one; None is maps/ in `out`, "none"
            stores only those of the pictures.
        device: "auto" takes the GPU when there is one.
        processes: Number of processes that evaluate together, each on its own GPU or all on the CPU; beside a launcher,
            number of calls into which the images are dealt.
        launcher: Way to run these calls, such as on a cluster; None takes processes of this machine.
        out: Folder of the results; None is results/<name of the run>.

    Raises:
        InputError: A number is out of its range, there is no such device, a name cannot be shown, a metric or a sanity
            check has the name of another column, or a published number is of no column.
    """

    def __init__(
        self,
        methods: dict[str, Attribution] | None = None,
        images: ImageSettings = ImageSettings(),  # noqa: B008  (never changed)
        truth: TruthSettings = TruthSettings(),  # noqa: B008
        targets: TargetSettings = TargetSettings(),  # noqa: B008
        metrics: dict[str, ImageMetric] | None = None,
        infill: Infill | None = None,
        curve_steps: int = 0,
        salient: SalientSettings = SalientSettings(),  # noqa: B008
        sanity_checks: CheckSettings = CheckSettings(),  # noqa: B008
        class_matrix: MatrixSettings = MatrixSettings(),  # noqa: B008
        decisions: int | None = None,
        report: ReportSettings = ReportSettings(),  # noqa: B008
        scaled: bool = True,
        as_it_is: bool = False,
        cache: str | None = None,
        device: str = "auto",
        processes: int = 1,
        launcher: Launcher | None = None,
        out: str | None = None,
    ) -> None:
        choose_device(device)
        check_processes_wanted("evaluation.processes", processes)
        check_range("evaluation.decisions", decisions or 0, 0)
        check_range("evaluation.curve_steps", curve_steps, 0, 100_000)
        check_names("evaluation.methods", methods or ())
        self.metrics: dict[str, ImageMetric] = metrics or {}
        self.checks: dict[str, SanityCheck] = sanity_checks.checks or {}
        check_new_columns(self.metrics, self.checks)
        columns = [*columns_of(self.metrics | self.checks), "area"]
        check_columns(report.published, columns, "evaluation.report.published")
        self.methods = methods
        self.images = images
        self.truth = truth
        self.targets = targets.chosen
        self.infill = infill
        self.curve_steps = curve_steps
        self.salient = salient
        self.checked = sanity_checks.methods
        self.class_matrix = class_matrix
        self.decisions = decisions
        self.report = report
        self.maker = MaskMaker(scaled)
        self.as_it_is = as_it_is
        self.cache = cache
        self.device = device
        self.processes = processes
        self.launcher = launcher
        self.out = out

    @property
    def infills(self) -> dict[str, Infill | None]:
        """Return the in-fills of the pictures by their names."""
        if self.report.infills:
            return dict(self.report.infills)
        return {"in-fill": self.infill}


def data_facts(config: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of the data that decide the results; how images are loaded does not.

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
    deciding = {key: value for key, value in config["init_args"].items() if key not in loading}
    # and not the path of a config's own file
    return {"class_path": config["class_path"], "init_args": without_unused(deciding)}
