"""What an audit costs, and whether it finds a shortcut that was planted.

python benchmarks/audit.py --part time --folder photos/ --images 300

The masks of a folder (rows and arrays written) against plain inference: the same images, read in the same way, through
the classifier alone. Both run in turn, in one process and one thread; the ratio is the median over the pairs, of wall
time and of processor time, which other work on the machine changes less. Beside them the seconds of what follows, which
does not grow with the number of images: the search for suspicions, and the page.

python benchmarks/audit.py --part planted --kind mark --ckpt_path checkpoints/planted_mark_explainer.ckpt

The first suspicions of an audit of planted scenes, each with the share of its pasted evidence that lies on the planted
shortcut, which the audit does not know; with and without annotations.
"""

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from timing import seconds

from explainer.audit.masks import ExplainerMasks
from explainer.audit.page import what
from explainer.audit.run import AuditSettings, Subject, Telling, audit, reader
from explainer.audit.scan import UNKNOWN, ScanSettings, order_of, scan
from explainer.audit.sources import folder_source, module_source, read
from explainer.audit.store import Row, Scan, ScanStore
from explainer.audit.suspicions import Suspicion, suspicions
from explainer.audit.turning import component, opacity
from explainer.data import PlantedShapes
from explainer.data.planted import Shortcut
from explainer.inference import Explainer


def cost(work: Callable[[], object]) -> tuple[float, float]:
    """Wall seconds and processor seconds of one call."""
    before = time.process_time()
    wall = seconds(work, "cpu")
    return wall, time.process_time() - before


def measure_time(options: argparse.Namespace) -> None:
    """Print what masks cost against plain inference."""
    explainer = Explainer(options.ckpt_path, "cpu")
    masks = ExplainerMasks(explainer)
    source = folder_source(options.folder, masks.classes, masks.image_size, workers=0)
    settings = ScanSettings(batch_size=options.batch_size, limit=options.images)
    folder = Path(tempfile.mkdtemp())

    def ours() -> None:
        shutil.rmtree(folder)
        scan(source, masks, ScanStore(folder, {}), settings)

    def theirs() -> None:
        order = order_of(len(source.images), settings)
        with torch.no_grad():
            for batch in read(source, order, settings.batch_size, masks.image_size):
                masks.explanandum(batch.images)

    pairs = [(cost(ours), cost(theirs)) for _ in range(options.pairs + 1)][1:]
    count = len(order_of(len(source.images), settings))
    for number, name in enumerate(("wall", "processor")):
        mine = statistics.median(one[number] for one, _ in pairs)
        plain = statistics.median(other[number] for _, other in pairs)
        ratio = statistics.median(one[number] / other[number] for one, other in pairs)
        words = f"masks {mine:.2f} s, plain inference {plain:.2f} s, ratio {ratio:.3f}"
        print(f"{count} images of {masks.image_size} pixels, {name} time: {words}", flush=True)
    subject = Subject(masks, options.ckpt_path.stem, "its Explainer", {})
    shutil.rmtree(folder)
    steps: dict[str, float] = {}

    def told(step: str, done: int, of: int) -> None:
        if done == of:
            steps[step] = time.process_time()

    audit(source, subject, folder, AuditSettings(scan=settings), telling=Telling(told))
    _, searched, drawn = steps.values()
    masked = next(iter(steps.values()))
    print(f"then, processor time: suspicions {searched - masked:.2f} s, page {drawn - searched:.2f} s")


def on_shortcut(one: Suspicion, scanned: Scan, images: Any) -> float | None:
    """Return which share of what is pasted of the most typical image lies on its shortcut; None where it has none."""
    row = one.rows[0]
    parts = images.parts(scanned.rows[row]["index"])
    if "shortcut" not in parts.names:
        return None
    region = parts.regions[parts.names.index("shortcut")].float()
    if one.place is not None:
        part = torch.from_numpy(one.place.region).float()
        alpha = torch.nn.functional.interpolate(part[None, None], region.shape, mode="nearest")[0, 0]
    else:
        mask = torch.from_numpy(scanned.arrays["masks"][row]).float() / 255
        # the peak of the medoid's patch is not told; that which is nearest to the shortcut is asked
        places = scanned.arrays["places"][row][scanned.arrays["strengths"][row] > 0]
        alphas = [opacity(component(mask, place.tolist()), len(region)) for place in places]
        alpha = max(alphas, key=lambda alpha: float((alpha * region).sum() / alpha.sum()))
    return float((alpha * region).sum() / alpha.sum())


def measure_planted(options: argparse.Namespace) -> None:
    """Print the first suspicions of planted scenes."""
    explainer = Explainer(options.ckpt_path, "cpu")
    masks = ExplainerMasks(explainer)
    shortcut = Shortcut(options.kind, "dots", place=options.place)
    module = PlantedShapes(shortcut, image_size=explainer.image_size, val_images=options.images, num_workers=0)
    source = module_source(module, "val", masks.classes)
    with tempfile.TemporaryDirectory() as folder:
        scanned = scan(source, masks, ScanStore(Path(folder), {}), ScanSettings())
    images = reader(source, masks.image_size)
    # as in a folder of which nobody knows where the objects are
    unknown = np.full_like(scanned.arrays["patch_object"], UNKNOWN)
    rows = [Row(**{**row, "object": None}) for row in scanned.rows]  # type: ignore[typeddict-item]
    blind = scanned._replace(rows=rows, arrays={**scanned.arrays, "patch_object": unknown})
    for name, known in (("with annotations", scanned), ("without", blind)):
        found = suspicions(known, masks, images)
        print(f"{options.kind}, {options.images} images, {name}:", flush=True)
        for number, one in enumerate(found[:3], 1):
            share = on_shortcut(one, scanned, source.images)
            of_it = "-" if share is None else f"{100 * share:.0f} %"
            state = "raised" if one.raised else "not raised"
            print(f"  {number}. {one.of_class}, {what(one)}: {one.score:.3f}, p {one.p:.3f}, {state}; on it {of_it}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=("time", "planted"), default="time")
    parser.add_argument("--ckpt_path", type=Path, default=Path("checkpoints/voc_lite0.ckpt"))
    parser.add_argument("--folder", type=Path, default=Path("data/voc/VOCdevkit/VOC2012/JPEGImages"))
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--kind", choices=("none", "mark", "border", "watermark"), default="mark")
    parser.add_argument("--place", choices=("random", "fixed"), default="random")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.part == "time":
        measure_time(options)
    else:
        measure_planted(options)


if __name__ == "__main__":
    main()
