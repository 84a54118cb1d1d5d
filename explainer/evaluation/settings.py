"""What evaluate.py is told in YAML."""

from typing import Literal

from explainer.attribution import Attribution


class Evaluation:
    """Settings of an evaluation.

    Args:
        methods: Name → attribution method, besides the Explainer of the checkpoint; None takes the references (constant
            masks 0, 0.5 and 1, a centred box) and Grad-CAM.
        split: Of the data set.
        limit: At most so many images, the first ones; None takes all.
        out: Folder of the results; None is results/<name of the run>.
        void: Whether pixels of the annotation's void border are left out or count as object (as the published
            Explainer code had it).
        gallery: Images in the picture of images × methods.
        device: "auto" takes the GPU when there is one.
    """

    def __init__(
        self, methods: dict[str, Attribution] | None = None, split: Literal["train", "val", "test"] = "test",
        limit: int | None = None, out: str | None = None, void: Literal["ignore", "object"] = "ignore",
        gallery: int = 8, device: str = "auto",
    ) -> None:  # fmt: skip
        self.methods, self.split, self.limit, self.out = methods, split, limit, out
        self.void, self.gallery, self.device = void, gallery, device
