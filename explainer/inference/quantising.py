"""An ONNX graph in int8: weights and activations of eight bits, with ranges taken from photographs."""

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from explainer.errors import InputError, one_line


def quantise(source: str | Path, out: str | Path, images: Tensor) -> None:
    """Write an ONNX graph in int8, and keep its metadata.

    Args:
        source: Graph in float32, with one input.
        out: File to write.
        images: Images (N, C, S, S) in [0, 1] like those that the graph will see; the ranges of the activations are
            those that occur here.

    Raises:
        InputError: ONNX Runtime cannot quantise the graph.
    """
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    model = onnx.load(source)
    name = model.graph.input[0].name

    class Reader(CalibrationDataReader):
        """Gives the images one by one."""

        def __init__(self) -> None:
            self.rest = iter(images.split(1))

        def get_next(self) -> dict[str, np.ndarray] | None:
            image = next(self.rest, None)
            return None if image is None else {name: np.asarray(image.contiguous())}

    with tempfile.TemporaryDirectory() as folder, _quiet():
        prepared = Path(folder) / "prepared.onnx"
        try:
            # folds constants: a weight that the graph reshapes first would not be quantised
            quant_pre_process(str(source), str(prepared))
            # all kinds of layers, a scale for each channel: with convolutions alone, whose outputs are then rounded
            # before they are clipped, the shipped checkpoint's masks changed four times as much
            quantize_static(
                str(prepared),
                str(out),
                Reader(),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
            )
        except Exception as error:  # the library has errors of many types
            raise InputError(f"ONNX Runtime cannot quantise this graph: {one_line(error)}") from error
    _take_metadata(model, out)


def _take_metadata(source: Any, out: str | Path) -> None:
    """Give a file the metadata of another graph, in place of those that it has."""
    import onnx

    model = onnx.load(out)
    del model.metadata_props[:]
    for entry in source.metadata_props:
        model.metadata_props.add(key=entry.key, value=entry.value)
    onnx.save(model, out)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence, while open, the advice that the library gives its developers through the root logger."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)
