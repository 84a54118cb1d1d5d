"""Whether an Explainer depends on what its classifier has learned: it is trained again, against a random classifier.

The other half of the protocol of `Randomisation` for an Explainer (J. Adebayo et al., NeurIPS 2018, for a method that
does not look at the classifier when it explains). configs/train/shapes_small_randomised.yaml trains such an Explainer.
"""

from explainer.attribution import Explainer
from explainer.evaluation.sanity_checks.base import MethodRun, SanityCheck, check_setting
from explainer.evaluation.sanity_checks.randomisation import Similarity, similarity_of
from explainer.metrics import Measured


class Retrained(SanityCheck):
    """Measure how alike the masks are to those of an Explainer of a classifier with random weights.

    Methods that are no Explainer have no value.

    Args:
        checkpoint: Checkpoint of the other Explainer.
        similarity: Measure of likeness, of those of `Randomisation`.

    Raises:
        InputError: The checkpoint is missing or is no Explainer's, or there is no such similarity.
    """

    higher_is_better = False
    paper = "after Adebayo et al., NeurIPS 2018"
    meaning = "Rank correlation with an Explainer that was trained against a classifier of random weights."
    formula = r"\rho(m_f, m_{f\text{ random}})"

    def __init__(self, checkpoint: str, similarity: Similarity = "rank") -> None:
        super().__init__()
        check_setting(self, similarity in ("rank", "ssim"), f"similarity is 'rank' or 'ssim', got {similarity!r}")
        self.checkpoint = checkpoint
        self.similarity = similarity
        # loaded at once: a wrong file is refused before the long work
        self._other = Explainer(checkpoint)

    def ask(self, run: MethodRun) -> Measured:
        """Compare with the masks of the other Explainer: one more pass."""
        if not isinstance(run.method, Explainer):
            return Measured(run.undefined())
        other = run.again(self._other)
        return Measured(similarity_of(run.mask, other, self.similarity))
