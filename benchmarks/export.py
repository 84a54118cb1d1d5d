"""An exported Explainer beside the checkpoint: largest differences, what int8 changes, and milliseconds.

python benchmarks/export.py --images FOLDER [--checkpoint checkpoints/voc_lite0.ckpt --calibrate FOLDER]

All in one process and on one thread. Times are medians of alternating pairs, eager PyTorch and the file, in CPU time:
what else runs on the machine does not count.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch
from torch import Tensor

from explainer.cli.export import read_photographs
from explainer.inference import Explainer
from explainer.inference.exporting import Exported, Graph, Run, export, onnx_runner, program_runner


def export_all(explainer: Explainer, folder: Path, calibration: Tensor) -> dict[str, tuple[Exported, Run]]:
    """Write the three files, and return how each is run."""
    onnx = export(explainer, folder / "float.onnx")
    int8 = export(explainer, folder / "int8.onnx", calibration=calibration)
    program = export(explainer, folder / "program.pt2", "pt2")
    return {
        "onnx": (onnx, onnx_runner(onnx.path, threads=1)),
        "pt2": (program, program_runner(program.path)),
        "int8": (int8, onnx_runner(int8.path, threads=1)),
    }


def print_differences(name: str, exported: Exported, run: Run, eager: Run, images: Tensor) -> None:
    """Print how far a file's answers are from the checkpoint's, on photographs."""
    probabilities, masks = eager(images)
    others, other_masks = run(images)
    difference = (masks - other_masks).abs()
    present = probabilities >= 0.5
    print(
        f"{name}: {exported.path.stat().st_size / 1e6:.1f} MB, largest difference of a probability "
        f"{float((probabilities - others).abs().max()):.1e}, of a mask {float(difference.max()):.1e}; mean of all "
        f"masks {float(difference.mean()):.1e}, of masks of the {int(present.sum())} classes present "
        f"{float(difference[present].mean()):.1e}, their IoU at 0.5 {overlap(masks[present], other_masks[present])}; "
        f"decisions that changed {int((present != (others >= 0.5)).sum())}",
        flush=True,
    )


def overlap(masks: Tensor, others: Tensor) -> str:
    """Mean and lowest intersection over union of two lists of masks, each cut at 0.5."""
    ones = masks >= 0.5
    twos = others >= 0.5
    both = (ones & twos).sum((1, 2))
    either = (ones | twos).sum((1, 2)).clamp_min(1)
    shares = both / either
    return f"{float(shares.mean()):.3f} (lowest {float(shares.min()):.3f})"


def print_times(name: str, run: Run, eager: Run, images: Tensor, pairs: int) -> None:
    """Print milliseconds of a batch by a file and by eager PyTorch."""
    # the first pair only warms up
    measured = [(milliseconds(run, images), milliseconds(eager, images)) for _ in range(pairs + 1)][1:]
    file = statistics.median(a for a, _ in measured)
    network = statistics.median(b for _, b in measured)
    ratio = statistics.median(a / b for a, b in measured)
    print(f"{name}, batch {len(images)}: {file:.1f} ms, eager {network:.1f} ms, ratio {ratio:.2f}", flush=True)


def milliseconds(run: Run, images: Tensor) -> float:
    """CPU time of one call, which on one thread is its wall time on a quiet machine."""
    start = time.process_time()
    run(images)
    return 1000 * (time.process_time() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, default=Path("checkpoints/voc_lite0.ckpt"))
    parser.add_argument("--images", type=Path, required=True, help="photographs to compare on")
    parser.add_argument("--calibrate", type=Path, default=None, help="photographs for the ranges of int8 (--images)")
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--calibration-count", type=int, default=32)
    parser.add_argument("--pairs", type=int, default=9)
    options = parser.parse_args()
    torch.set_num_threads(1)
    explainer = Explainer(options.checkpoint, "cpu")
    graph = Graph(explainer).eval()

    def eager(images: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            return graph(images)

    images = read_photographs(options.images, explainer.image_size, most=options.count)
    calibration = read_photographs(
        options.calibrate or options.images, explainer.image_size, most=options.calibration_count
    )
    with tempfile.TemporaryDirectory() as folder:
        files = export_all(explainer, Path(folder), calibration)
        for name, (exported, run) in files.items():
            print_differences(name, exported, run, eager, images)
        for size in (1, 8):
            batch = images[:1].expand(size, -1, -1, -1).contiguous() if size > len(images) else images[:size]
            for name, (_, run) in files.items():
                print_times(name, run, eager, batch, options.pairs)


if __name__ == "__main__":
    main()
