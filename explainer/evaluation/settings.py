"""What evaluate.py is told in YAML."""

from typing import Any, Literal

from explainer.attribution import Attribution
from explainer.errors import check_range
from explainer.evaluation.ranges import check_levels, check_names, check_new_columns, check_processes_wanted
from explainer.evaluation.results.columns import columns_of
from explainer.evaluation.results.published import Published, check_columns
from explainer.evaluation.sanity_checks import Probe
from explainer.evaluation.targets import Targets
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
        as_it_is: Explain the classifier of the config's model as that builds it, not a checkpoint. A config with an
            `explanandum` of its own does so anyway.
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
        self,
        methods: dict[str, Attribution] | None = None,
        split: Literal["train", "val", "test"] = "test",
        limit: int | None = None,
        out: str | None = None,
        void: Literal["ignore", "object"] = "ignore",
        gallery: int = 8,
        device: str = "auto",
        curve_steps: int = 0,
        as_it_is: bool = False,
        offset: int = 0,
        metrics: dict[str, ImageMetric] | None = None,
        infill: Infill | None = None,
        level: float | None = 0.5,
        alpha: float | None = None,
        held_out: int = 50,
        held_out_split: Literal["train", "val", "test"] = "val",
        one_label: bool = False,
        scaled: bool = True,
        counterfactuals: int = 0,
        infills: dict[str, Infill] | None = None,
        cache: str | None = None,
        processes: int = 1,
        intervals: bool = True,
        probes: dict[str, Probe] | None = None,
        report: bool = True,
        wandb: bool = False,
        published: Published | None = None,
        matrix: bool | list[str] = False,
        matrix_classes: list[str] | None = None,
        true_boxes: bool = False,
        probed: list[str] | None = None,
        objects: Literal["labelled", "all"] = "labelled",
        targets: Literal["labels", "predicted"] = "labels",
        target_threshold: float = 0.5,
        decisions: int | None = None,
        class_gallery: list[str] | None = None,
    ) -> None:
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
    later = {"crop": False, "blank": 0.0}
    kept = {k: v for k, v in config["init_args"].items() if k not in loading and (k not in later or v != later[k])}
    return {"class_path": config["class_path"], "init_args": kept}  # and not the path of a config's own file
