"""Whether a mask depends on what the network has learned.

J. Adebayo, J. Gilmer, M. Muelly, I. Goodfellow, M. Hardt, B. Kim: Sanity Checks for Saliency Maps, NeurIPS 2018. An
Explainer never looks at the classifier that it explains: randomising that changes nothing by construction, so its own
network is randomised, under a name of its own (`network: masker`); `Retrained` is the other half of its protocol.
"""

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Literal, TypeVar

import torch
from torch import Tensor, nn
from torchmetrics.functional.image import structural_similarity_index_measure

from explainer.attribution import Attribution
from explainer.errors import check_seed
from explainer.evaluation.sanity_checks.base import MethodRun, SanityCheck, agreement, check_setting
from explainer.metrics import Measured
from explainer.networks import Explanandum
from explainer.networks.randomise import How, Layer, layers_of, randomised

Similarity = Literal["rank", "ssim"]
T = TypeVar("T")


def similarity_of(mask: Tensor, other: Tensor, kind: Similarity) -> Tensor:
    """Measure how alike two masks are.

    Args:
        mask: Masks (B, 1, H, W) in [0, 1].
        other: Second mask or map, of the same shape.
        kind: Measure: "rank" for `agreement`, "ssim" for the structural similarity (Gaussian window of deviation 1.5).

    Returns:
        Similarity (B,) in [-1, 1]; higher is more alike.

    Example:
        >>> mask = torch.rand(2, 1, 16, 16)
        >>> similarity_of(mask, mask, "rank").tolist()
        [1.0, 1.0]
    """
    if kind == "rank":
        return agreement(mask, other)
    similarity = structural_similarity_index_measure(other.float(), mask.float(), reduction="none", data_range=1.0)
    return torch.as_tensor(similarity).view(len(mask))


def even_parts(items: Sequence[T], count: int) -> list[Sequence[T]]:
    """Cut a sequence into at most so many runs of neighbours, as even as can be.

    Args:
        items: Sequence to cut.
        count: Largest number of runs.

    Example:
        >>> even_parts("abcde", 2)
        ['ab', 'cde']
    """
    # an empty block would be a point at which nothing has changed
    count = min(count, len(items))
    edges = [n * len(items) // count for n in range(count + 1)]
    return [items[a:b] for a, b in pairwise(edges)]


def randomised_network(
    explanandum: Explanandum,
    method: Attribution,
    which: Literal["classifier", "masker"],
    image: Tensor,
) -> tuple[nn.Module, list[Layer]] | None:
    """Find the network whose weights are randomised, and its layers from the output to the input.

    Args:
        explanandum: Frozen classifier.
        method: Method of the masks.
        which: Network: the "classifier", or the method's own "masker".
        image: Images (B, 3, H, W) that show in which order the layers run.

    Returns:
        Network and layers; None for a method without a masker, when that is asked for.

    Example:
        >>> from explainer.attribution import Random
        >>> image = torch.rand(1, 3, 64, 64)
        >>> _, layers = randomised_network(Explanandum("alexnet"), Random(), "classifier", image)
        >>> layers[0].name, layers[-1].name
        ('classifier.6', 'features.0')
    """
    # one image is enough: only the order in which the layers run is asked for
    if which == "classifier":
        layers = layers_of(explanandum.network, lambda: explanandum(image[:1]))
        return explanandum.network, layers[::-1]
    masker = getattr(method, "masker", None)
    if masker is None:
        return None
    # an Explainer moves its masker only when it first makes masks
    masker.to(image.device)
    layers = layers_of(masker.network, lambda: masker(image[:1]))
    return masker.network, layers[::-1]


class Randomisation(SanityCheck):
    """Measure how alike the mask is to those of a network with random weights: the mean over its blocks of layers.

    Args:
        order: Order of the blocks. "cascading": everything from the output down to a block is random, block after
            block, until the whole network is; "independent": one block at a time, the others as trained.
        network: Network to randomise: the "classifier" explained, which every method should depend on; or the "masker"
            of an Explainer, the only network that its masks depend on (other methods have no value then).
        blocks: Largest number of blocks of neighbours that the layers are taken together in; 0 takes each layer for
            itself.
        similarity: Measure of likeness: "rank" (Spearman's correlation; a constant map counts as 0) or "ssim".
        how: Way to make weights random: "initialise" the layers anew, as in the paper, or "shuffle" the values of each
            of their tensors.
        seed: Seed of the random weights.

    Raises:
        InputError: A setting is none of these.
    """

    higher_is_better = False
    paper = "Adebayo et al., NeurIPS 2018"
    meaning = "Rank correlation with the maps of a network of random weights: low where the map shows what was learned."
    formula = r"\frac{1}{L} \sum_l \rho(m(f), m(f_{l\text{ random}}))"

    def __init__(
        self,
        order: Literal["cascading", "independent"] = "cascading",
        network: Literal["classifier", "masker"] = "classifier",
        blocks: int = 8,
        similarity: Similarity = "rank",
        how: How = "initialise",
        seed: int = 0,
    ) -> None:
        super().__init__()
        for name, value, known in (
            ("order", order, ("cascading", "independent")),
            ("network", network, ("classifier", "masker")),
            ("similarity", similarity, ("rank", "ssim")),
            ("how", how, ("initialise", "shuffle")),
        ):
            first, second = known
            check_setting(self, value in known, f"{name} is {first!r} or {second!r}, got {value!r}")
        check_setting(self, blocks >= 0, f"blocks must be at least 0, got {blocks}")
        check_seed(f"sanity check {type(self).__name__}: seed", seed)
        self.order = order
        self.network = network
        self.blocks = blocks
        self.similarity = similarity
        self.how = how
        self.seed = seed

    def ask(self, run: MethodRun) -> Measured:
        """Randomise block after block, from the output to the input: a point of the curve each."""
        subject = randomised_network(run.explanandum, run.method, self.network, run.batch.image)
        if subject is None:
            return Measured(run.undefined())
        network, layers = subject
        points = []
        for random in self._random(layers):
            # the same seed at each point: a layer that is random already keeps its weights as further ones join
            with randomised(network, random, self.seed, self.how):
                other = run.again()
            points.append(similarity_of(run.mask, other, self.similarity))
        curve = torch.stack(points, 1)
        return Measured(curve.mean(1), curve)

    def _random(self, layers: list[Layer]) -> list[list[Layer]]:
        """List the layers that are random at each point."""
        parts = [list(part) for part in even_parts(layers, self.blocks or len(layers))]
        if self.order == "independent":
            return parts
        # the sums of lists: each point has the layers of all before, too
        return list(accumulate(parts))

    def points(self, explanandum: Explanandum, method: Attribution, image: Tensor) -> list[str]:
        """Name the layer nearest to the input of each block."""
        subject = randomised_network(explanandum, method, self.network, image)
        if subject is None:
            return []
        _, layers = subject
        return [random[-1].name for random in self._random(layers)]
