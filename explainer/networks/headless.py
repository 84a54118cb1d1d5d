"""Networks that return features: they get a linear layer that scores classes.

timm's networks of no classes make their own head. Where an `nn.Identity` stands in the place of the head, the new one
takes its place. Around any other network, such as a backbone of transformers, a module with a head is put.
"""

import torch
from torch import Tensor, nn

from explainer.errors import InputError
from explainer.networks.heads import Returned, Trace, lacks_head, run_traced
from explainer.networks.hugging_face import is_hugging_face
from explainer.networks.outputs import features_of
from explainer.networks.spatial import input_channels, remember_channels, sides

NEW = "new"
"""Name in place of a head's: features get a head, whatever the last layer of the network is."""
INSIDE = "features."
"""What stands before the names of a network's layers once a head was put around it."""


class WithHead(nn.Module):
    """A network of features, and a linear layer on them.

    Args:
        features: Network whose output `features_of` understands.
        width: Number of features.
        num_classes: Number of classes.

    Example:
        >>> network = WithHead(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), 3, 5)
        >>> network(torch.rand(2, 3, 8, 8)).shape
        torch.Size([2, 5])
    """

    def __init__(self, features: nn.Module, width: int, num_classes: int) -> None:
        super().__init__()
        self.features = features
        self.head = nn.Linear(width, num_classes)
        # what the network says of its images
        self.config = getattr(features, "config", None)
        self.default_cfg = getattr(features, "default_cfg", None)

    def forward(self, image: Tensor) -> Tensor:
        """Turn images into logits (B, K)."""
        features = features_of(self.features(image))
        if features is None:
            raise InputError(f"{type(self.features).__name__} returns no features (B, D)")
        return self.head(features)


def is_headless(network: nn.Module, size: int | None = None) -> bool:
    """Tell whether a network returns features instead of class scores.

    Args:
        network: Network of any kind; left as it was.
        size: Side in pixels of the images that it takes; None where that is not known.

    Example:
        >>> import timm
        >>> is_headless(timm.create_model("resnet10t", num_classes=0)), is_headless(timm.create_model("resnet10t"))
        (True, False)
    """
    if type(network).__module__.partition(".")[0] == "timm":
        return getattr(network, "num_classes", None) == 0
    has_identity = any(type(module) is nn.Identity for module in network.modules())
    if not has_identity and not is_hugging_face(network):
        return False  # without a forward pass: there are no other signs
    returned = _returned(network, size)
    if returned is None:
        return False
    features = features_of(returned.output)
    if features is None or hasattr(returned.output, "logits"):
        return False
    if not torch.is_tensor(returned.output):
        return is_hugging_face(network)
    return lacks_head(network, Trace(returned.output, returned.nodes, returned.identity))


def with_head(network: nn.Module, num_classes: int, size: int | None = None) -> nn.Module:
    """Give a network of features a head.

    Args:
        network: Network that returns features; changed in place where it has a place for a head.
        num_classes: Number K of classes.
        size: Side in pixels of the images that it takes; None where that is not known.

    Returns:
        The network; or a `WithHead` around it.

    Raises:
        InputError: It returns no features, or runs with none of the usual image sizes.
    """
    kind = type(network).__name__
    if type(network).__module__.partition(".")[0] == "timm" and getattr(network, "num_classes", None) == 0:
        network.reset_classifier(num_classes)  # type: ignore[operator]
        return network
    returned = _returned(network, size)
    features = None if returned is None else features_of(returned.output)
    if returned is None or features is None:
        raise InputError(f"{kind} returns no features (B, D) that a head could read")
    if returned.identity is not None:
        parent, _, child = returned.identity.rpartition(".")
        head = nn.Linear(features.shape[1], num_classes).to(features)
        setattr(network.get_submodule(parent), child, head)
        return network
    around = WithHead(network, features.shape[1], num_classes).to(features)
    remember_channels(around, input_channels(network))
    return around


def _returned(network: nn.Module, size: int | None) -> Returned | None:
    """Return what a network returns for the first size of images that it takes; None where it takes none."""
    for side in sides(network, size):
        try:
            return run_traced(network, side)
        except Exception:  # what a network says of a size that it does not take may be anything
            continue
    return None
