"""An Explainer as one file that runs without this project: an ONNX graph, or an exported program of PyTorch.

The file maps images to the classifier's probabilities and the class masks. It also carries what a program needs in
order to use them: class names, side of the images, mean colour, and the digest of the checkpoint.
"""

import copy
import json
import math
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from explainer.errors import InputError, one_line
from explainer.files import digest, replacing
from explainer.functional.masking import mask_of
from explainer.inference.explain import Explainer
from explainer.inference.quantising import quantise
from explainer.networks.checkpoint import WEIGHTS
from explainer.version import __version__

Format = Literal["onnx", "pt2"]
FORMATS: tuple[Format, ...] = ("onnx", "pt2")
IMAGES = "images"
"""Name of the graph's input, (B, C, S, S) float32 in [0, 1], of any batch size; C is 3 but for a few classifiers."""
OUTPUTS = ("probabilities", "masks")
"""Names of the graph's outputs, in their order: (B, K) and (B, K, S, S), both in [0, 1]."""
METADATA_FILE = "explainer.json"
"""Name of the file inside a pt2 archive that holds the metadata; ONNX has properties of its own."""

_LARGEST_ONNX = 1.5 * 2**30
"""Bytes of weights up to which an ONNX file holds them itself: the format cannot exceed 2 GiB."""
_LARGEST_DIFFERENCE = 1e-3
"""Difference of a mask or probability above which a file is refused: rounding stays far below."""
_BATCHES = (1, 3)
"""Sizes of the batches on which a file is compared; the graph is traced with another one."""
_TRACED_BATCH = 2
_PATCHES = 5
"""Patches along each side of an example."""

Run = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Function from images to probabilities and masks."""


@dataclass(frozen=True)
class Metadata:
    """What an exported file says of itself.

    Attributes:
        classes: Names of the K classes, in the order of the outputs.
        channels: Number C of channels of the images that the graph takes.
        image_size: Side S in pixels of these images.
        multilabel: Whether an image may have several classes: then the probabilities are sigmoids.
        mean_colour: Colour to put where a mask is 0, a number in [0, 1] for each channel.
        explainer_version: Version of this project that wrote the file.
        checkpoint_sha256: SHA-256 of the checkpoint, in hexadecimal digits.
        precision: Type of the computation: "float32", or "int8" for a quantised graph.
    """

    classes: tuple[str, ...]
    channels: int
    image_size: int
    multilabel: bool
    mean_colour: tuple[float, ...]
    explainer_version: str
    checkpoint_sha256: str
    precision: str = "float32"

    def as_texts(self) -> dict[str, str]:
        """Return name → value as JSON, since ONNX keeps texts only."""
        return {name: json.dumps(value, ensure_ascii=False) for name, value in asdict(self).items()}


@dataclass(frozen=True)
class Exported:
    """A file that was written, and how near it comes to the checkpoint.

    Attributes:
        path: File that was written.
        metadata: Content of the file's metadata.
        probability_difference: Largest difference of a probability from that of the checkpoint, on example images.
        mask_difference: Largest difference of a mask's value from that of the checkpoint, on example images.
    """

    path: Path
    metadata: Metadata
    probability_difference: float
    mask_difference: float


class Graph(nn.Module):
    """Images → probabilities and class masks: what is exported.

    Args:
        explainer: Trained Explainer, on any device.
    """

    def __init__(self, explainer: Explainer) -> None:
        super().__init__()
        self.explanandum = explainer.explanandum
        self.masker = explainer.masker

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the classifier and the masker say.

        Args:
            images: Images (B, C, S, S) in [0, 1], at the networks' size.

        Returns:
            Probabilities (B, K) and class masks (B, K, S, S), both in [0, 1].
        """
        # one pass for both where the masker reads the classifier's own features
        class_logits, mask_logits = self.masker.with_logits(images)
        return self.explanandum.probabilities(class_logits.float()), mask_of(mask_logits.float())


def export(
    source: str | Path | Explainer,
    out: str | Path | None = None,
    file_format: Format = "onnx",
    calibration: Tensor | None = None,
    allow: Sequence[str] = (),
) -> Exported:
    """Write an Explainer as one file, and compare the file with the checkpoint.

    Args:
        source: Checkpoint of an Explainer, a folder that `Explainer.save_pretrained` wrote, or an Explainer itself.
        out: File to write; None puts it beside the checkpoint, under its name.
        file_format: Format of the file, "onnx" or "pt2".
        calibration: Images (N, C, S, S) in [0, 1] from which the ranges of an int8 graph are taken; None keeps
            float32.
        allow: Dotted names of builders, modules or packages that the checkpoint's classifier may come from.

    Returns:
        The file, its metadata, and the largest differences from the checkpoint.

    Raises:
        InputError: The checkpoint cannot be used, the format, the name or the images do not fit, a library is missing,
            or the graph computes something else than the checkpoint.
    """
    if file_format not in FORMATS:
        raise InputError(f"there is no format {file_format!r} to export to; there are {', '.join(FORMATS)}")
    if calibration is not None and file_format != "onnx":
        raise InputError("int8 is for the format onnx: PyTorch's exported program keeps float32")
    path = source.path if isinstance(source, Explainer) else Path(source)
    target = _target(path, out, file_format, calibration is not None)
    if file_format == "onnx":
        _check_libraries()
    explainer = source if isinstance(source, Explainer) else Explainer(path, "cpu", allow)
    if explainer.device.type != "cpu":
        # the file must not ask for the device on which it was written
        explainer = copy.deepcopy(explainer).cpu()
    metadata = describe(explainer, "float32" if calibration is None else "int8")
    graph = Graph(explainer).eval()
    shape = (metadata.image_size, metadata.channels)
    program = trace(graph, example_images(_TRACED_BATCH, *shape))
    batches = [example_images(size, *shape) for size in _BATCHES]
    with replacing(target, sync=True) as partial:
        if file_format == "pt2":
            _write_program(program, partial, metadata)
            run = program_runner(partial)
        else:
            _write_onnx(program, partial, metadata, calibration)
            run = onnx_runner(partial)
        differences = compare(graph, run, batches)
        # NaN fails the comparison
        is_near = all(difference <= _LARGEST_DIFFERENCE for difference in differences)
        if calibration is None and not is_near:
            raise InputError(
                f"{path} cannot be exported as {file_format}: its masks or probabilities would differ by "
                f"{max(differences):.2g}; try the other format"
            )
    return Exported(target, metadata, *differences)


def _target(checkpoint: Path, out: str | Path | None, file_format: Format, is_int8: bool) -> Path:
    """Return the file to write."""
    if out is None:
        suffix = f".int8.{file_format}" if is_int8 else f".{file_format}"
        if checkpoint.name == WEIGHTS:
            # the weights of all folders have the same name
            checkpoint = checkpoint.parent
        stem = checkpoint.name if checkpoint.is_dir() else checkpoint.stem
        return checkpoint.with_name(f"{stem}{suffix}")
    target = Path(out)
    if target.suffix != f".{file_format}":
        raise InputError(f"{target}: a file of the format {file_format} must end with .{file_format}")
    if target.is_dir():
        raise InputError(f"{target} is a folder: name a file")
    return target


def _check_libraries() -> None:
    """Refuse an export for which a library is missing, before any work is done."""
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise InputError(f"the format onnx wants {error.name}: pip install '.[export]'") from error


def describe(explainer: Explainer, precision: str = "float32") -> Metadata:
    """Return what a file says of the Explainer in it.

    Args:
        explainer: Trained Explainer.
        precision: Type of the computation, "float32" or "int8".
    """
    return Metadata(
        classes=explainer.classes,
        channels=explainer.explanandum.channels,
        image_size=explainer.image_size,
        multilabel=bool(explainer.explanandum.multilabel),
        mean_colour=tuple(explainer.explanandum.mean_colour.flatten().tolist()),
        explainer_version=__version__,
        checkpoint_sha256=digest(explainer.path),
        precision=precision,
    )


def trace(graph: nn.Module, example: Tensor) -> torch.export.ExportedProgram:
    """Record a graph for images of one size and batches of any.

    Args:
        graph: Function of images, in evaluation mode and on the CPU.
        example: Images of this size, at least two: a batch of one would be recorded as the only one.

    Returns:
        The exported program, without the places in the source code that it came from.

    Raises:
        InputError: What the network does depends on the values in the images, so that no graph holds it.
    """
    batch = torch.export.Dim("batch", min=1)
    try:
        with torch.no_grad():
            graph(example)  # what is looked up once, such as the layout of a layer, is no part of the graph
            program = torch.export.export(graph, (example,), dynamic_shapes={IMAGES: {0: batch}}, strict=False)
    except Exception as error:  # the tracer has errors of many types
        raise InputError(f"the networks cannot be exported as one graph: {one_line(error)}") from error
    # they name the folders of the machine, which are nobody else's business
    for module in program.graph_module.modules():
        for node in module.graph.nodes if isinstance(module, torch.fx.GraphModule) else ():
            node.meta.pop("stack_trace", None)
    return program


def _write_program(program: torch.export.ExportedProgram, path: Path, metadata: Metadata) -> None:
    """Write a program of PyTorch, with the metadata as a file inside."""
    text = json.dumps(asdict(metadata), ensure_ascii=False, indent=1)
    with warnings.catch_warnings():
        # torch says it of weights that are views of larger tensors; those on the CPU are stored whole
        warnings.filterwarnings("ignore", "No complete tensor found")
        torch.export.save(program, path, extra_files={METADATA_FILE: text})


def _write_onnx(
    program: torch.export.ExportedProgram,
    path: Path,
    metadata: Metadata,
    calibration: Tensor | None,
) -> None:
    """Write an ONNX graph, in int8 where there are images to calibrate it with."""
    size = sum(tensor.numel() * tensor.element_size() for tensor in program.state_dict.values())
    if size > _LARGEST_ONNX:
        raise InputError(f"{size / 2**30:.1f} GiB of weights are too many for one file of ONNX: take the format pt2")
    try:
        onnx_program = torch.onnx.export(
            program, dynamo=True, input_names=[IMAGES], output_names=list(OUTPUTS), verbose=False
        )
    except Exception as error:  # the translation has errors of many types
        raise InputError(f"the networks cannot be translated to ONNX ({one_line(error)}); try pt2") from error
    assert onnx_program is not None
    model = onnx_program.model
    for node in model.graph.all_nodes():
        node.metadata_props.clear()  # places in the source code, again
    model.metadata_props.update(metadata.as_texts())
    if calibration is None:
        onnx_program.save(path, external_data=False)
        return
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "float.onnx"
        onnx_program.save(whole, external_data=False)
        quantise(whole, path, calibration)


def onnx_runner(path: str | Path, threads: int | None = None) -> Run:
    """Return a function that runs an ONNX file on the CPU.

    Args:
        path: File that `export` wrote.
        threads: Number of threads; None lets ONNX Runtime choose.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run(images: Tensor) -> tuple[Tensor, Tensor]:
        probabilities, masks = session.run(list(OUTPUTS), {IMAGES: np.asarray(images.contiguous())})
        return torch.from_numpy(probabilities), torch.from_numpy(masks)

    return run


def program_runner(path: str | Path) -> Run:
    """Return a function that runs an exported program of PyTorch.

    Args:
        path: File that `export` wrote.
    """
    module = torch.export.load(path).module()

    def run(images: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            return module(images)

    return run


def example_images(batch: int, side: int, channels: int = 3, seed: int = 0) -> Tensor:
    """Return images that vary from place to place, as photographs do: patches of random colours.

    Noise would not do. Its patches are all alike in the depth of a network, and a normalisation of nearly equal values
    gives rounding errors.

    Args:
        batch: Number B of images.
        side: Side S of the images in pixels.
        channels: Number C of their channels.
        seed: Seed of the colours.

    Returns:
        Images (B, C, S, S) in [0, 1].

    Example:
        >>> example_images(2, 32).shape
        torch.Size([2, 3, 32, 32])
    """
    generator = torch.Generator().manual_seed(seed)
    patches = torch.rand(batch, channels, _PATCHES, _PATCHES, generator=generator)
    return F.interpolate(patches, (side, side), mode="bilinear", align_corners=False)


def compare(graph: nn.Module, run: Run, batches: Sequence[Tensor]) -> tuple[float, float]:
    """Compare a written file with the networks that it was made of.

    Args:
        graph: Networks in PyTorch.
        run: Function that runs the file.
        batches: Images in batches of several sizes.

    Returns:
        Largest differences of a probability and of a mask's value; infinite where a shape differs.
    """
    largest = [0.0, 0.0]
    for images in batches:
        with torch.no_grad():
            expected = graph(images)
        for place, (wanted, given) in enumerate(zip(expected, run(images), strict=True)):
            if wanted.shape != given.shape:
                return math.inf, math.inf
            difference = float((wanted - given).abs().max())
            # NaN first: in a maximum it would get lost
            largest[place] = difference if math.isnan(difference) else max(largest[place], difference)
    return largest[0], largest[1]
