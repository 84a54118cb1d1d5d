"""Where to compute: one check of every device that a person names."""

import torch

from explainer.errors import InputError


def choose_device(name: str | torch.device | None = "auto") -> torch.device:
    """Return the device of a name, if networks can run there.

    Args:
        name: Name of a device, such as "cpu" or "cuda:1"; "auto" and None take the GPU when there is one.

    Returns:
        The device.

    Raises:
        InputError: The name is no device of this machine; names the devices that there are.

    Example:
        >>> choose_device("cpu")
        device(type='cpu')
    """
    if name is None or name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    available = available_devices()
    kinds = {known.partition(":")[0] for known in available}
    if str(name) not in {*available, *kinds}:
        raise InputError(f"there is no device {str(name)!r} here: choose one of auto, {', '.join(available)}")
    return torch.device(name)


def available_devices() -> list[str]:
    """Return the names of the devices that networks can run on here, "cpu" first.

    Example:
        >>> available_devices()[0]
        'cpu'
    """
    names = ["cpu"]
    if torch.cuda.is_available():
        names += [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        names.append("mps")
    return names
