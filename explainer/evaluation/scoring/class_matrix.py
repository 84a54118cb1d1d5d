"""The class-specific masking matrix of an evaluation, image by image.

S. Stalder, N. Perraudin, R. Achanta, F. Perez-Cruz, M. Volpi: What You See is What You Classify: Black Box
Attributions, NeurIPS 2022 (section 4.2, Table 1). See `explainer.metrics.masking_matrix` for the scores.
"""

from collections.abc import Collection, Mapping, Sequence

from torch import Tensor

from explainer.attribution import Attribution, Reference
from explainer.data import Batch
from explainer.errors import InputError
from explainer.evaluation.batches import part
from explainer.evaluation.maps.class_masks import class_masks
from explainer.evaluation.maps.make import SCALED, MaskMaker
from explainer.evaluation.names import check_classes, check_methods
from explainer.functional.losses import two_outcomes
from explainer.metrics import masking_scores
from explainer.networks import Explanandum

MOST = 100
"""Most classes of a matrix: an image costs nine forward passes for each."""


class ClassMatrix:
    """Measure what the masks of classes do to the classifier's confidence in those that are present.

    Args:
        classes: Names of the classes that are shown.
        known: Names of all the classifier's classes.
        methods: Names of the methods that have a matrix.
        maker: Maker of the masks.

    Raises:
        InputError: A class is unknown or named twice, or there are too many.

    Example:
        >>> ClassMatrix(["dog"], ["cat", "dog"], ["Grad-CAM"]).places
        [1]
    """

    def __init__(
        self,
        classes: Sequence[str],
        known: Sequence[str],
        methods: Collection[str],
        maker: MaskMaker = SCALED,
    ) -> None:
        check_classes("evaluation.class_matrix.classes", classes, known)
        if len(classes) > MOST:
            raise InputError(
                f"a matrix of {len(classes)} classes is too large: name at most {MOST} in "
                "evaluation.class_matrix.classes"
            )
        self.classes = list(classes)
        self.methods = set(methods)
        self.maker = maker
        self.places = [list(known).index(name) for name in classes]

    def __call__(
        self,
        explanandum: Explanandum,
        name: str,
        method: Attribution | None,
        batch: Batch,
    ) -> list[dict[str, list[float]]] | None:
        """Measure the confidence in the classes that are present.

        Args:
            explanandum: Frozen classifier.
            name: Name of the method.
            method: Method that makes a mask of each class; None, for the ground truth, has no matrix.
            batch: Images, on the explanandum's device.

        Returns:
            An entry an image: each class present → confidence in it without a mask, then with the mask of each class;
            None for methods that have no matrix.
        """
        if method is None or name not in self.methods:
            return None
        # images without any of the classes have no row in the matrix, and cost nothing
        labels = batch.labels[:, self.places]
        labelled = (labels > 0).any(1).nonzero()[:, 0].tolist()
        entries: list[dict[str, list[float]]] = [{} for _ in batch.id]
        if not labelled:
            return entries
        # only images with a class of the matrix: the masks of the others would be made for nothing
        images = part(batch, labelled)
        masks = class_masks(explanandum, method, images.image, self.places, self.maker)
        scores = self._scores(explanandum, images, masks, labels[labelled])
        for index, values in zip(labelled, scores.tolist(), strict=True):
            for column, name_of_class in enumerate(self.classes):
                if labels[index, column] > 0:
                    entries[index][name_of_class] = [round(value, 6) for value in values[column]]
        return entries

    def _scores(self, explanandum: Explanandum, batch: Batch, masks: Tensor, labels: Tensor) -> Tensor:
        # the softmax over all classes, of which the shown ones are columns, as in the paper
        def probabilities(seen: Tensor) -> Tensor:
            logits = two_outcomes(explanandum(seen).float())
            return logits.softmax(1)[:, self.places]

        # the paper's in-fill, whatever the config's is
        def grey(images: Tensor, masks: Tensor) -> Tensor:
            return explanandum.mean_colour.expand_as(images)

        return masking_scores(batch.image, masks, labels, probabilities, grey)


def class_matrix(
    wanted: bool | Sequence[str],
    shown: Sequence[str] | None,
    known: Sequence[str],
    methods: Mapping[str, Attribution],
    maker: MaskMaker = SCALED,
) -> ClassMatrix | None:
    """Build the matrix that `evaluation.class_matrix.methods` asks for.

    Args:
        wanted: Whether there is a matrix of all methods that explain a class; or names of methods.
        shown: Names of the classes that are shown; None takes all.
        known: Names of all classes.
        methods: Name → method.
        maker: Maker of the masks.

    Returns:
        Matrix; None where nothing is asked for.

    Raises:
        InputError: A method or a class is unknown, or there are too many classes.

    Example:
        >>> class_matrix(False, None, ["cat", "dog"], {}) is None
        True
    """
    if not wanted:
        return None
    if wanted is True:
        # a reference has the same mask for every class
        names = [name for name, method in methods.items() if not isinstance(method, Reference)]
    else:
        names = list(wanted)
    check_methods("evaluation.class_matrix.methods", names, methods)
    return ClassMatrix(known if shown is None else shown, known, names, maker)
