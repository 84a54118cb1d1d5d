"""The two names of EfficientNet-Lite0's tensors: those of the package with its weights, and those of timm."""

from collections.abc import Mapping

from torch import Tensor

from explainer.errors import InputError


def is_packaged(state: Mapping[str, Tensor]) -> bool:
    """Tell whether a state dict has the package's names, with whatever head.

    Example:
        >>> is_packaged({"conv_stem.weight": 0}), is_packaged({"_conv_stem.weight": 0})
        (False, True)
    """
    return "_conv_stem.weight" in state


def timm_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give the package's tensors the names that they have in timm's tf_efficientnet_lite0, the same network.

    Args:
        state: State dict in the order of the layers, with whatever head.

    Returns:
        The same tensors under timm's names.

    Raises:
        InputError: The tensors are not those of EfficientNet-Lite0.
    """
    import timm  # late: it takes seconds, for which networks of other libraries do not wait

    names = list(timm.create_model("tf_efficientnet_lite0").state_dict())
    # by their order, which in both is that of the layers from the input to the output
    if not is_packaged(state) or len(names) != len(state):
        raise InputError(f"a state dict of {len(state)} tensors is not EfficientNet-Lite0's, which has {len(names)}")
    return dict(zip(names, state.values(), strict=True))
