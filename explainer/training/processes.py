"""What the processes of one training tell one another. Each function has to be called by all of them, or by none."""

import json
from collections.abc import Iterable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


def rank_and_world() -> tuple[int, int]:
    """Return the number of this process among those of the training, and how many they are; (0, 1) when it is alone.

    Example:
        >>> rank_and_world()
        (0, 1)
    """
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def share_of(values: Tensor) -> Tensor:
    """Return this process's part of what belongs to the images of a step, in all processes.

    Args:
        values: Values (processes × B, …) in the order of the images: the k-th of a process is that of image
            k × processes + rank, as `EpochSampler` deals them out.

    Returns:
        Values (B, …); the same ones when the process is alone.

    Example:
        >>> share_of(torch.arange(3)).tolist()
        [0, 1, 2]
    """
    rank, world = rank_and_world()
    return values[rank::world]


def gathered(value: Any, device: torch.device | str = "cpu") -> list[Any]:
    """Return what each process has, in the order of their numbers, on all of them.

    Args:
        value: Plain value, such as JSON can say. It may have another size in each process.
        device: Device on which the processes talk to one another.

    Example:
        >>> gathered({"loss": 0.5})
        [{'loss': 0.5}]
    """
    _, world = rank_and_world()
    if world == 1:
        return [value]
    # as text: what comes from another process is read, not unpickled
    text = json.dumps(value).encode()
    length = torch.tensor([len(text)], device=device)
    lengths = [torch.zeros_like(length) for _ in range(world)]
    dist.all_gather(lengths, length)
    # all_gather takes tensors of one size
    padded = torch.zeros(max(int(n) for n in lengths), dtype=torch.uint8)
    padded[: len(text)] = torch.frombuffer(bytearray(text), dtype=torch.uint8)
    padded = padded.to(device)
    parts = [torch.zeros_like(padded) for _ in range(world)]
    dist.all_gather(parts, padded)
    values = []
    for part, n in zip(parts, lengths, strict=True):
        values.append(json.loads(part[: int(n)].cpu().numpy().tobytes()))
    return values


def average_gradients(parameters: Iterable[nn.Parameter], images: int) -> bool:
    """Replace gradients by their mean over the images of all processes.

    Args:
        parameters: Parameters, the same ones in each process; one without gradient counts as 0.
        images: Number of images of which the gradients of this process are the mean; 0 when it has none.

    Returns:
        Whether any process has images; where none has, the gradients stay as they are.
    """
    parameters = list(parameters)
    _, world = rank_and_world()
    if world == 1:
        return images > 0
    parts = []
    for parameter in parameters:
        gradient = parameter.grad
        if gradient is None:
            gradient = torch.zeros_like(parameter)
        parts.append(gradient.flatten().float() * images)
    # the number of images goes with them: one message for all
    parts.append(torch.tensor([float(images)], device=parts[0].device))
    together = torch.cat(parts)
    dist.all_reduce(together)
    total = float(together[-1])
    if not total:
        return False
    means = (together[:-1] / total).split([parameter.numel() for parameter in parameters])
    for parameter, mean in zip(parameters, means, strict=True):
        parameter.grad = mean.view_as(parameter).to(parameter.dtype).clone()
    return True


def share_buffers(module: nn.Module) -> None:
    """Give all processes the running statistics of the first one, which are those that a checkpoint holds.

    Args:
        module: Module whose buffers are replaced in the other processes.
    """
    if rank_and_world()[1] == 1:
        return
    for buffer in module.buffers():
        dist.broadcast(buffer, 0)
