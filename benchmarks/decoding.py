"""Images a second from file to batch: this project's loaders beside plain Pillow, torchvision and ImageFolder.

    python benchmarks/decoding.py --root data/imagenet/val --side 224

Every way decodes the same photographs to squares of one size in [0, 1], in one process and on one thread. The ways take
turns, so that what else runs on the machine slows all of them; printed is the median of the rounds, and the ratio to
plain Pillow. Shards and a table are made of the same files in a temporary folder.
"""

import argparse
import io
import statistics
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from PIL import Image
from rich.progress import track
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision import datasets
from torchvision import io as tvio
from torchvision.transforms import v2

from explainer.data import Folder, Shards


def by_pillow(paths: list[Path], side: int) -> Iterator[Tensor]:
    """Decode with Pillow and nothing else: no orientation, no transparency, no checks."""
    for path in paths:
        with Image.open(path) as file:
            picture = file.convert("RGB").resize((side, side), Image.Resampling.BILINEAR)
        yield v2.functional.to_dtype(v2.functional.pil_to_tensor(picture), torch.float32, scale=True)


def by_torchvision(paths: list[Path], side: int) -> Iterator[Tensor]:
    """Decode with torchvision's JPEG decoder; its resize is antialiased, as Pillow's."""
    for path in paths:
        picture = tvio.decode_jpeg(tvio.read_file(str(path)), mode=tvio.ImageReadMode.RGB)
        small = v2.functional.resize(picture, [side, side], antialias=True)
        yield v2.functional.to_dtype(small, torch.float32, scale=True)


def by_image_folder(root: Path, side: int) -> Iterator[Tensor]:
    """Load with torchvision's ImageFolder and a DataLoader."""
    steps = [v2.Resize((side, side)), v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True)]
    for images, _ in DataLoader(datasets.ImageFolder(str(root), v2.Compose(steps)), batch_size=32):
        yield from images


def by_module(data: object) -> Iterator[Tensor]:
    """Load with one of this project's data modules."""
    for batch in data.test_dataloader():  # type: ignore[attr-defined]
        yield from batch.image


def chosen(root: Path, count: int, folder: Path) -> Path:
    """Link some of the photographs into a folder of their own, with their class folders."""
    files = sorted(path for path in root.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
    step = max(1, len(files) // count)
    for path in files[::step][:count]:
        place = folder / "test" / path.parent.name / path.name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(path.resolve())
    for split in ("train", "val"):  # the module wants both; they are not read
        (folder / split).symlink_to(folder / "test", target_is_directory=True)
    return folder


def packed(folder: Path, target: Path) -> Path:
    """Write the photographs into one shard."""
    target.mkdir()
    names = sorted(path.name for path in (folder / "test").iterdir())
    (target / "classes.txt").write_text("\n".join(names) + "\n")
    with tarfile.open(target / "val-000000.tar", "w") as file:
        for number, path in enumerate(sorted((folder / "test").glob("*/*"))):
            label = str(names.index(path.parent.name)).encode()
            for ending, content in (("jpg", path.read_bytes()), ("cls", label)):
                entry = tarfile.TarInfo(f"{number:06d}.{ending}")
                entry.size = len(content)
                file.addfile(entry, io.BytesIO(content))
    return target


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True, help="Folder of class folders of JPEG files.")
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = chosen(options.root, options.images, Path(temporary) / "files")
        shards = packed(folder, Path(temporary) / "shards")
        paths = sorted((folder / "test").glob("*/*"))
        settings = {"image_size": options.side, "batch_size": 32, "num_workers": 0}
        modules = {
            "ours, Folder": Folder(root=str(folder), **settings),
            "ours, Folder, fast": Folder(root=str(folder), decoding="fast", **settings),
            "ours, Shards": Shards(root=str(shards), **settings),
            "ours, Shards, fast": Shards(root=str(shards), decoding="fast", **settings),
        }
        ways: dict[str, Callable[[], Iterator[Tensor]]] = {
            "Pillow": lambda: by_pillow(paths, options.side),
            "torchvision decode_jpeg": lambda: by_torchvision(paths, options.side),
            "ImageFolder": lambda: by_image_folder(folder / "test", options.side),
        }
        for name, data in modules.items():
            data.split("test")  # listed and checked beforehand: that is done once, and not for each epoch
            ways[name] = lambda data=data: by_module(data)  # type: ignore[misc]
        times: dict[str, list[float]] = {name: [] for name in ways}
        for number in track(range(options.rounds + 1), description="rounds"):
            for name, way in ways.items():
                start = time.process_time()
                count = sum(1 for _ in way())
                assert count == len(paths), name
                if number:  # the first round only brings the files into the memory
                    times[name].append(time.process_time() - start)
    sizes = [Image.open(path).size for path in sorted(options.root.rglob("*.[jJ][pP]*[gG]"))[:: max(1, options.images)]]
    print(f"{len(paths)} photographs, such as {sizes[:3]}, to {options.side} x {options.side}, CPU time of one thread")
    print("| way | images a second | of Pillow's |")
    print("| --- | ---: | ---: |")
    plain = statistics.median(times["Pillow"])
    for name, seconds in times.items():
        median = statistics.median(seconds)
        print(f"| {name} | {len(paths) / median:.0f} | {plain / median:.2f} |")


if __name__ == "__main__":
    main()
