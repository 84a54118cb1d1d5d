"""Peak memory and processor seconds of `python -m explainer` on large photographs and many classes.

python benchmarks/explain_memory.py [--cases 12:20 12:80 12:1000 48:20 144:20] [--checkout .]

A case is megapixels:classes. "Over" is the memory above that of the same command on a photograph of 64×48 pixels, which
loads the same networks and runs them once: what large photographs cost. The networks have random weights, which costs
what trained ones do. One process a measurement; its peak is what the kernel says of it.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from explainer.networks import Explanandum, Masker

SIZES = {0: (64, 48), 12: (4000, 3000), 48: (8000, 6000), 144: (12000, 12000)}
GIB = 2**30


def save_photograph(path: Path, size: tuple[int, int]) -> None:
    """Write a JPEG with structure at several scales, so that PNGs of it are as large as those of photographs."""
    random = np.random.default_rng(0)
    small = Image.fromarray(random.integers(0, 256, (60, 80, 3), dtype=np.uint8)).resize(size, Image.Resampling.BICUBIC)
    fine = random.integers(0, 256, (512, 512, 3), dtype=np.uint8)
    tiled = np.tile(fine, (-(-size[1] // 512), -(-size[0] // 512), 1))[: size[1], : size[0]]
    Image.blend(small, Image.fromarray(tiled), 0.05).save(path, quality=90)


def save_explainer(path: Path, count: int) -> None:
    """Write a checkpoint of small networks for images of 224 pixels."""
    network = {"network": "explainer.networks.small.small_cnn", "network_args": {"width": 8}}
    explanandum = Explanandum(**network, num_classes=count, multilabel=False)
    masker = Masker("resnet18", arguments={"decoder_channels": 32})
    masker.build(count)
    state = {f"explanandum.{name}": tensor for name, tensor in explanandum.state_dict().items()}
    state |= {f"masker.{name}": tensor for name, tensor in masker.state_dict().items()}
    spec = {
        "version": "0",
        "kind": "explainer",
        "image_size": 224,
        "classes": [f"class {n}" for n in range(count)],
        "multilabel": False,
        "explanandum": explanandum.spec,
        "masker": masker.spec,
    }
    torch.save({"explainer": spec, "state_dict": state}, path)


def measure(checkout: Path, photograph: Path, checkpoint: Path, out: Path) -> tuple[int, float, float]:
    """Run the command once.

    Returns:
        Exit status, peak resident memory in bytes, processor seconds.
    """
    # -P: the current folder's package is not taken for the checkout's
    command = [
        sys.executable,
        "-P",
        "-m",
        "explainer",
        str(photograph),
        "--ckpt_path",
        str(checkpoint),
        "--out",
        str(out),
    ]
    environment = os.environ | {"PYTHONPATH": str(checkout.resolve())}
    log = os.open(out.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    streams = [(os.POSIX_SPAWN_DUP2, log, 1), (os.POSIX_SPAWN_DUP2, log, 2)]
    process = os.posix_spawn(sys.executable, [*command, "--device", "cpu"], environment, file_actions=streams)
    _, status, usage = os.wait4(process, 0)
    os.close(log)
    return os.waitstatus_to_exitcode(status), usage.ru_maxrss * 1024, usage.ru_utime + usage.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", default=["12:20", "12:80", "12:1000", "48:20", "144:20"])
    parser.add_argument("--checkout", type=Path, default=Path(__file__).resolve().parent.parent)
    options = parser.parse_args()
    print("| photograph | classes | exit status | peak GiB | over GiB | CPU seconds |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory() as folder:
        base: dict[int, int] = {}
        for case in options.cases:
            megapixels, count = map(int, case.split(":"))
            photographs = {m: Path(folder) / f"{m}.jpg" for m in (0, megapixels)}
            checkpoint = Path(folder) / f"{count}.ckpt"
            for size, path in photographs.items():
                if not path.exists():
                    save_photograph(path, SIZES[size])
            if count not in base:
                save_explainer(checkpoint, count)
                base[count] = measure(options.checkout, photographs[0], checkpoint, Path(folder) / "small")[1]
            status, peak, seconds = measure(options.checkout, photographs[megapixels], checkpoint, Path(folder) / "out")
            width, height = SIZES[megapixels]
            over = (peak - base[count]) / GIB
            print(
                f"| {width}×{height} | {count:,} | {status} | {peak / GIB:.2f} | {over:.2f} | {seconds:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
