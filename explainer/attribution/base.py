"""The interface of every attribution method."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor

from explainer.attribution.targets import each_target
from explainer.errors import InputError
from explainer.functional.masking import min_max
from explainer.networks import Explanandum
from explainer.networks.scored import Scored


class CheckedMask(NamedTuple):
    """Masks, and which of them stand on a broken map.

    Attributes:
        mask: Masks (B, 1, H, W) in [0, 1].
        broken: Whether one of the image's maps had a NaN or infinite pixel, (B,) bool.
    """

    mask: Tensor
    broken: Tensor


class Attribution(ABC):
    """(explanandum, image, target) → one map an image; hyperparameters only in the constructor.

    A method leaves the explanandum's mode, gradients and hooks as they were.
    """

    batch_size: int = 16
    """Largest number of images that go through the explanandum at once."""
    needs_target: bool = True
    """Whether the map depends on a class."""
    is_mask: bool = False
    """Whether maps are masks or probabilities in [0, 1]; of other maps only the order means something."""
    budget: str | None = None
    """Name of the hyperparameter that says how long the method samples or searches, if one does."""

    def __call__(self, explanandum: Explanandum, image: Tensor, target: Any = None, progress: bool = True) -> Tensor:
        """Attribute a class score to pixels.

        Args:
            explanandum: Frozen classifier.
            image: Images (B, 3, H, W) in [0, 1].
            target: Class of each image, (B,) whole numbers in a tensor, an array or a list, or one number for all
                images; or any number of classes an image, (B, K) bool; or a function from what the network returns to
                one number an image, such as `lambda logits: logits[:, 3] - logits[:, 5]`, which is explained in place
                of a class.
            progress: Whether a method that searches for long shows a progress bar, where a person is at a terminal.

        Returns:
            Maps (B, 1, H, W), raw and signed; higher is more important. With a bool matrix (N, 1, H, W), one map for
            each True of it, in row order.

        Raises:
            InputError: Shapes do not fit, the image has a NaN, its size is too small for the classifier, or a target is
                no class of it.
        """
        check_image(image, explanandum.channels)
        if target is None:
            if self.needs_target:
                raise InputError(
                    f"{type(self).__name__} needs a target: a class for each image, or a bool matrix (B, K)"
                )
            target = 0  # any class will do: the map is the same for all
        if callable(target):
            explanandum = Scored(explanandum, target)
            target = 0
        classes = each_target(target, image, explanandum.num_classes)
        if classes.dtype == torch.bool:
            return self.maps_of_classes(explanandum, image, classes, progress)
        with size_fits(image):
            if progress:
                return self.maps_with_progress(explanandum, image, classes)
            return self.maps(explanandum, image, classes)

    @abstractmethod
    def maps(self, explanandum: Explanandum, image: Tensor, target: Tensor) -> Tensor:
        """Compute the maps (B, 1, H, W), and show nothing; the arguments are checked, `target` is (B,) long."""

    def maps_with_progress(self, explanandum: Explanandum, image: Tensor, target: Tensor) -> Tensor:
        """Compute the same maps as `maps`; a method that searches for long shows a progress bar meanwhile."""
        return self.maps(explanandum, image, target)

    def maps_of_classes(self, explanandum: Explanandum, image: Tensor, classes: Tensor, progress: bool) -> Tensor:
        """Compute a map for each True of a bool matrix (B, K), in row order: (N, 1, H, W)."""
        owner, target = classes.nonzero().unbind(1)
        if not len(owner):
            return image.new_zeros(0, 1, *image.shape[-2:])
        return self(explanandum, image[owner], target, progress)

    def maps_of_pairs(self, explanandum: Explanandum, image: Tensor, owner: Tensor, target: Tensor) -> Tensor:
        """Compute the map of each pair of an image's index (N,) and a class (N,), without a bar: (N, 1, H, W)."""
        return self.maps(explanandum, image[owner], target)

    def target_mask(self, explanandum: Explanandum, image: Tensor, labels: Tensor, scaled: bool = True) -> Tensor:
        """Make one mask for all the classes present: scale each class's map by min-max, then take their maximum.

        No progress bar is shown: many images are usually explained in turn, under a bar of the caller's.

        Args:
            explanandum: Frozen classifier.
            image: Images (B, 3, H, W) in [0, 1].
            labels: Labels (B, K), multi-hot.
            scaled: Whether maps that are masks already (`is_mask`) are scaled too.

        Returns:
            Masks (B, 1, H, W) in [0, 1]; 0 for an image without label. A class's map that has a NaN or infinite
            pixel, or that is constant where it is scaled, counts as 0.
        """
        return self.checked_target_mask(explanandum, image, labels, scaled).mask

    def checked_target_mask(
        self,
        explanandum: Explanandum,
        image: Tensor,
        labels: Tensor,
        scaled: bool = True,
    ) -> CheckedMask:
        """Make the mask that `target_mask` returns, and say for which images a map of it was broken.

        A method whose masks come about in another way overrides this one, and `target_mask` follows.
        """
        check_image(image, explanandum.channels)
        mask = torch.zeros_like(image[:, :1])
        broken = torch.zeros(len(image), dtype=torch.bool, device=image.device)
        pairs = labels.nonzero()
        for start in range(0, len(pairs), self.batch_size):  # not split(), which gives one empty part of no pairs
            owner, target = pairs[start : start + self.batch_size].unbind(1)
            with size_fits(image):
                maps = self.maps_of_pairs(explanandum, image, owner, target).detach()
            broken[owner[broken_maps(maps)]] = True
            maps = self.as_masks(zero_where_broken(maps), scaled).to(mask.dtype)
            # one map an image, not (B, K, H, W): with 1,000 classes that would not fit
            index = owner[:, None, None, None].expand_as(maps)
            mask = mask.scatter_reduce(0, index, maps, "amax")
        return CheckedMask(mask, broken)

    def as_masks(self, maps: Tensor, scaled: bool = True) -> Tensor:
        """Make a mask in [0, 1] of each map: by min-max, unless maps that are masks already are not to be scaled.

        Args:
            maps: Maps of this method, (N, 1, H, W), finite.
            scaled: Whether maps that are masks already (`is_mask`) are scaled too.

        Returns:
            Masks (N, 1, H, W) in [0, 1].
        """
        if self.is_mask and not scaled:
            return maps.clamp(0, 1)
        return min_max(maps)


def by_batches(size: int, compute: Callable[..., Tensor], *parts: Tensor) -> Tensor:
    """Compute something of images in turn, so that a batch's size bounds the memory.

    Args:
        size: Largest number of images at once.
        compute: Function of the parts' rows, with one row of its result for each.
        parts: Tensors of as many rows, such as images and their targets.

    Example:
        >>> by_batches(2, lambda a, b: a + b, torch.ones(3), torch.ones(3)).tolist()
        [2.0, 2.0, 2.0]
    """
    turns = zip(*(part.split(size) for part in parts), strict=True)
    return torch.cat([compute(*turn) for turn in turns])


def broken_maps(maps: Tensor) -> Tensor:
    """Tell which maps have a NaN or infinite pixel: (N, 1, H, W) → (N,) bool.

    Example:
        >>> broken_maps(torch.tensor([[1.0, torch.inf], [1.0, 0.0]])[:, None, None]).tolist()
        [True, False]
    """
    return ~maps.isfinite().flatten(1).all(1)


def zero_where_broken(maps: Tensor) -> Tensor:
    """Replace each map that has a NaN or infinite pixel by 0: (N, 1, H, W), finite.

    Example:
        >>> zero_where_broken(torch.tensor([[1.0, torch.inf]])[None, None]).sum().item()
        0.0
    """
    # one broken pixel spoils the scaling of its whole map
    return maps.masked_fill(broken_maps(maps)[:, None, None, None], 0.0)


class Reference(Attribution):
    """A map that looks at neither network nor class: what every method must beat."""

    needs_target = False
    is_mask = True

    @abstractmethod
    def mask(self, image: Tensor) -> Tensor:
        """Return the mask of each image: (B, 1, H, W) in [0, 1]."""

    def maps(self, explanandum: Explanandum, image: Tensor, target: Tensor) -> Tensor:
        """Return the mask, whatever the target."""
        return self.mask(image)

    def checked_target_mask(
        self,
        explanandum: Explanandum,
        image: Tensor,
        labels: Tensor,
        scaled: bool = True,
    ) -> CheckedMask:
        """Return the mask as it is, never scaled."""
        mask = self.mask(image)
        return CheckedMask(mask, broken_maps(mask))


def check_image(image: Tensor, channels: int = 3) -> None:
    """Refuse a tensor that is no batch of pictures.

    Args:
        image: Images (B, C, H, W) in [0, 1].
        channels: Number C of channels of the classifier's images.

    Raises:
        InputError: Names the shape, or the image and the number of values that are NaN or infinite.

    Example:
        >>> check_image(torch.rand(2, 3, 8, 8))
    """
    if image.ndim != 4 or image.shape[1] != channels or not image.is_floating_point():
        shape = f"(B, {channels}, H, W)"
        raise InputError(f"images must be float {shape} in [0, 1], got {image.dtype} {tuple(image.shape)}")
    # a NaN would go through every method without a word, and come out as a map of zeros
    broken = (~image.isfinite()).flatten(1).sum(1)
    if bool(broken.any()):
        first = int(broken.nonzero()[0])
        raise InputError(f"image {first} of the batch has {int(broken[first])} values that are NaN or infinite")


@contextmanager
def random_state_restored(image: Tensor) -> Iterator[None]:
    """Restore, at the end, the global random state of the CPU and of the images' device.

    Args:
        image: Images (B, 3, H, W) of a method that draws from PyTorch's global generator.

    Example:
        >>> before = torch.get_rng_state()
        >>> with random_state_restored(torch.zeros(1, 3, 8, 8)): noise = torch.rand(1)
        >>> torch.equal(torch.get_rng_state(), before)
        True
    """
    devices = [image.device] if image.is_cuda else []
    with torch.random.fork_rng(devices):
        yield


@contextmanager
def size_fits(image: Tensor) -> Iterator[None]:
    """Say in one line that images are too small (or of another size) for the network, whatever layer complains.

    Args:
        image: Images (B, 3, H, W) that the network is given meanwhile.

    Raises:
        InputError: A convolution, pooling or linear layer raised a RuntimeError.

    Example:
        >>> with size_fits(torch.rand(1, 3, 8, 8)): pass
    """
    try:
        yield
    except RuntimeError as error:
        # PyTorch has no class of its own for these errors: only their words tell them from others
        words = str(error).splitlines()[0]
        known = ("Output size is too small", "Kernel size can't be greater", "shapes cannot be multiplied", "too small")
        if not any(phrase in words for phrase in known):
            raise
        raise InputError(f"the classifier refuses images of {image.shape[-2]}×{image.shape[-1]}: {words}") from error
