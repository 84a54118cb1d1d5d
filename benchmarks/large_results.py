"""Results of many images: how long they take to read back, to summarise and to report, and how much memory.

    python benchmarks/large_results.py
    python benchmarks/large_results.py --images 5000

Rows are made up as an evaluation writes them: a row for each image as it is, and for each image and method one with the
standard metrics and an insertion curve. Each step runs in a process of its own, by the package and, as it was before
there were columns, by tests/support/plain_results.py; then the results of both are compared byte by byte. Seconds are
those of a clock and, beside them, of the processor, which other programs do not change. Memory is the peak of the
process, of which importing alone takes the part that is printed first.

The page's tables and its HTML are the same for both ways, and are in the time of the package alone.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402


def peak() -> float:
    """Return the largest memory of this process so far, in MiB."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    # of the process alone: the other number counts what the one that started it had
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


THREADS = torch.get_num_threads()
IMPORTED_TORCH = peak()

import numpy as np  # noqa: E402

from explainer.evaluation.report.files import per_image  # noqa: E402
from explainer.evaluation.report.page import About, write_report  # noqa: E402
from explainer.evaluation.results.columns import FIXED  # noqa: E402
from explainer.evaluation.results.summary import pairs, summarise  # noqa: E402
from explainer.evaluation.storage.rows import Evaluated  # noqa: E402
from explainer.evaluation.storage.store import Store  # noqa: E402
from explainer.files import write_csv, write_json  # noqa: E402
from tests.support import plain_results  # noqa: E402

IMPORTED = peak()
STEPS = ("read", "read again", "summarise", "report")
BATCH = 32
CLASSES = 1000
POINTS = 17


def make_rows(path: Path, images: int, methods: int) -> None:
    """Write the rows of an evaluation of a single-label classifier."""
    draw = np.random.default_rng(0)
    names = [f"Method {number}" for number in range(methods)]
    with path.open("w") as file:
        for start in range(0, images, BATCH):
            batch = range(start, min(start + BATCH, images))
            labels = draw.integers(CLASSES, size=len(batch)).tolist()
            for place, number in enumerate(batch):
                write_row(
                    file, {"id": name_of(number), "method": "Original image", "kept": answer(draw, labels[place])}
                )
            for skill, method in enumerate(names):
                for place, number in enumerate(batch):
                    write_row(file, {"id": name_of(number), "method": method, **scored(draw, skill, labels[place])})


def name_of(number: int) -> str:
    return f"ILSVRC2012_val_{number + 1:08d}.JPEG"


def write_row(file: Any, row: dict[str, Any]) -> None:
    file.write(json.dumps(row) + "\n")


def scored(draw: np.random.Generator, skill: int, label: int) -> dict[str, Any]:
    """What a mask was measured by."""
    # as metrics compute them: single precision, written as double
    values = draw.random(len(FIXED) + 1, dtype=np.float32).astype(float)
    scores = dict(zip(FIXED, (values[:-1] + 0.01 * skill).tolist(), strict=True))
    if draw.random() < 0.02:  # such as an image without a segmentation
        scores["iou"] = None
    return {
        "scores": scores,
        "area": float(values[-1]),
        "cost": {"passes": 1.0 + skill, "seconds": float(draw.random()), "memory": 2715136.0},
        "constant": bool(draw.random() < 0.001),
        "broken": False,
        "kept": answer(draw, label),
        "removed": answer(draw, label),
        "curves": {"insertion": draw.random(POINTS).round(5).tolist()},
    }


def answer(draw: np.random.Generator, label: int) -> dict[str, Any]:
    predicted = label if draw.random() < 0.7 else int(draw.integers(CLASSES))
    return {"labels": [label], "predicted": predicted, "probability": round(float(draw.random()), 5)}


def work_by_columns(step: str, folder: Path) -> float:
    """Do a step by the package, and return the time at which it began: what it needs is read before."""
    start = time.perf_counter()
    if step in ("read", "read again"):
        Store(folder, {}, Evaluated)
        return start
    if step == "summarise":
        rows = Store(folder, {}, Evaluated).rows
        start = begin()
        write_json(folder / "results.json", {"results": summarise(rows), "columns": FIXED, "pairs": pairs(rows, FIXED)})
        return start
    rows = Store(folder, {}, Evaluated).rows
    start = begin()
    write_csv(folder / "per_image.csv", per_image(rows, list(FIXED)))
    # as evaluate.py does: the report reads them again
    del rows
    write_report(folder, About("large"))
    return start


def work_by_rows(step: str, folder: Path) -> float:
    """Do a step row by row."""
    path = folder / "rows.jsonl"
    start = time.perf_counter()
    if step in ("read", "read again"):
        plain_results.resumed(path)
        return start
    rows, _ = plain_results.resumed(path)
    start = begin()
    if step == "summarise":
        results = plain_results.summarise(rows)
        content = {"results": results, "columns": FIXED, "pairs": plain_results.pairs(rows, FIXED)}
        write_json(folder / "results.json", content)
        return start
    plain_results.write_per_image(folder / "per_image.csv", rows, list(FIXED))
    asked = json.loads((folder / "results.json").read_text())["results"]
    # once for the pictures, and once for the page
    of_pictures = plain_results.rows_of_report(path, asked)
    of_page = plain_results.rows_of_report(path, asked)
    plain_results.mean_curves(of_page, list(asked), "insertion")
    for method in asked:
        for column in FIXED:
            plain_results.dots(of_page, method, column)
        for key in ("broken", "constant"):
            plain_results.odd_maps(of_page, method, key)
    del of_pictures
    return start


CPU = [0.0]


def begin() -> float:
    """Return the time at which what is measured begins."""
    CPU[0] = time.process_time()
    return time.perf_counter()


def measure(way: Callable[[str, Path], float], step: str, folder: Path) -> None:
    """Do a step in this process, and print what it took."""
    CPU[0] = time.process_time()
    start = way(step, folder)
    measured = {
        "seconds": time.perf_counter() - start,
        "cpu": time.process_time() - CPU[0],
        "peak": peak(),
        "imported": IMPORTED,
        "torch": IMPORTED_TORCH,
    }
    print(json.dumps(measured))


WAYS = {"rows": work_by_rows, "columns": work_by_columns}


def measured(step: str, way: str, folder: Path) -> dict[str, float]:
    """Measure a step in a process of its own."""
    command = [sys.executable, __file__, "--step", step, "--way", way, "--folder", str(folder)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--methods", type=int, default=6)
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--step", choices=STEPS, help="of the processes")
    parser.add_argument("--way", choices=list(WAYS), help="of the processes")
    parser.add_argument("--folder", type=Path, help="of the processes")
    options = parser.parse_args()
    if options.step:
        measure(WAYS[options.way], options.step, options.folder)
        return
    with tempfile.TemporaryDirectory() as top:
        folders = {way: Path(top, way) for way in options.ways}
        for folder in folders.values():
            folder.mkdir()
            (folder / "fingerprint.json").write_text('{"methods": {}}')
        first, *others = folders.values()
        make_rows(first / "rows.jsonl", options.images, options.methods)
        for other in others:
            (other / "rows.jsonl").write_bytes((first / "rows.jsonl").read_bytes())
        size = (first / "rows.jsonl").stat().st_size / 2**20
        print(f"{options.images} images, {options.methods} methods and the images as they are: {size:.0f} MiB of lines")
        print(f"{'step':12} {'way':8} {'s':>7} {'CPU s':>7} {'peak MiB':>9}", flush=True)
        for way, folder in folders.items():
            for step in STEPS:
                took = measured(step, way, folder)
                print(f"{step:12} {way:8} {took['seconds']:7.1f} {took['cpu']:7.1f} {took['peak']:9.0f}", flush=True)
        imported = f"torch takes {took['torch']:.0f} MiB, and the package with it {took['imported']:.0f} MiB"
        print(f"{THREADS} threads; importing {imported}")
        if len(folders) > 1:
            same = [(folders["rows"] / name).read_bytes() == (folders["columns"] / name).read_bytes()
                    for name in ("results.json", "per_image.csv")]  # fmt: skip
            print("results.json and per_image.csv of both ways are", "the same" if all(same) else "DIFFERENT")
        if "columns" in folders:
            page = (folders["columns"] / "report.html").stat().st_size / 2**10
            files = sorted(path.name for path in folders["columns"].iterdir())
            print(f"report.html: {page:.0f} KiB; files: {', '.join(files)}")


if __name__ == "__main__":
    main()
