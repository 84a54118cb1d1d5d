"""A made-up finished evaluation in the shape that evaluate.py leaves, with names that must be escaped."""

import json

from PIL import Image

from explainer.evaluation.report import About, Shown

EVIL = '<script>alert("x")</script> & _50%'
IMAGES = [f"class/{n}<b>.jpg" for n in range(4)]
METHODS = ("Grad-CAM", EVIL, "RISE", "Constant 0.5")


def results(full=True):
    """results.json; without what a run may not have when not `full`."""
    entries = {"Original image": {"images": 4, "kept": {"accuracy": 0.75, "probability": 0.5}}}
    for n, method in enumerate(("Ground truth", *METHODS)):
        entries[method] = {
            "images": 4, "scores": {"iou": 1.0 if n == 0 else 0.25 + 0.1 * n, "sal": -0.5 + 0.2 * n,
                                   "Flip": None if n == 4 else 0.1 * n},
            "area": 0.3, "seconds": 0.02 * 10**n, "constant": 4 * (n == 4), "n": {"iou": 4},
            "kept": {"accuracy": 0.5, "probability": 0.4}, "removed": {"accuracy": None, "probability": 0.1},
        }  # fmt: skip
    facts = {
        "checkpoint": "abc",
        "device": "cpu",
        "metrics": {"Flip": {"class": "Flipping", "higher_is_better": False}},
    }
    content = {"facts": facts, "results": entries}
    if not full:
        return content
    for n, (name, entry) in enumerate(entries.items()):
        if name != "Original image":
            entry["interval"] = {
                "iou": [entry["scores"]["iou"] - 0.05, entry["scores"]["iou"] + 0.05],
                "sal": [-1.0, 1.0],
            }
            entry["cost"] = {"passes": 4.0**n, "ms": 20.0 * 10**n, "memory": 2**26 * n}
    said = {
        "higher_is_better": False,
        "percent": False,
        "label": "Flipping",
        "paper": "A. Author & B, 2019",
        "formula": "∫ f < 1",
    }
    more = {f"M{n}": {"higher_is_better": bool(n % 2), "label": f"Measure {n}"} for n in range(8)}
    for entry in list(entries.values())[1:]:
        entry["scores"] |= dict.fromkeys(more, 0.5)
    pair = {"against": "Constant 0.5", "difference": -0.1, "interval": [-0.3, 0.1], "p": 0.2}
    return content | {
        "columns": {"Flip": said} | more,
        "pairs": {"iou": {"RISE": pair, "Grad-CAM": pair | {"p": 0.001}, EVIL: pair | {"against": "Grad-CAM"}}},
        "failed": {"RISE": {IMAGES[3]: "RuntimeError: <no> memory"}},
        "published": {"source": "A. Author", "where": "Table 1",
                      "rows": {"RISE": {"iou": 61.25}, "Theirs_1": {"iou": -1.5}}},
        "matrix": {"classes": ["cat", EVIL], "values": [[0.9, 0.125], [None, 0.6]],
                   "interval": [[[0.875, 0.92], [0.1, 0.25]], [[None, None], [0.5, 0.7]]],
                   "summary": {"none": [0.75, 0.5, 1.0], "own": [0.9, 0.8, 0.95], "other": [None, None, None]}},
        "run": {"commit": "1234abc", "config": f"name: {EVIL}", "versions": {"torch": "2"}, "device": "cpu",
                "seconds": 75.0, "started": "2026-01-01"},
    }  # fmt: skip


def rows():
    """rows.jsonl: RISE failed on the last image, and its map of the first was NaN."""
    found = []
    for n, image in enumerate(IMAGES):
        said = {"labels": [n % 2], "predicted": 0, "probability": 0.25 * n}
        found.append({"id": image, "method": "Original image", "kept": said})
        for m, method in enumerate(("Ground truth", *METHODS)):
            if (m, n) == (3, 3):
                found.append({"id": image, "method": method, "error": "RuntimeError: <no> memory"})
                continue
            curve = [1.0, 0.5 + 0.1 * m, 0.1 * n, 0.0]
            found.append({
                "id": image, "method": method, "scores": {"iou": 0.2 * n, "sal": 0.1 * (n - m), "Flip": 0.1 * m},
                "area": 0.3, "cost": {"seconds": 0.1}, "constant": m == 4, "broken": (m, n) == (3, 0), "curves": {"Flip": curve},
                "kept": said, "removed": said,
            })  # fmt: skip
    return found


def shown(count=2):
    """The gallery."""
    maps = {name: Image.new("RGB", (24, 24), (40 * n, 90, 200)) for n, name in enumerate(METHODS[:3])}
    notes = dict.fromkeys(maps, "area 0.30")
    return [Shown(image, Image.new("RGB", (24, 24), "olive"), f"cat {EVIL}", maps, notes) for image in IMAGES[:count]]


def folder(path, content=None):
    """Written as evaluate.py does."""
    path.mkdir(parents=True, exist_ok=True)
    (path / "results.json").write_text(json.dumps(content or results()))
    (path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows()))
    return path


ABOUT = About(f"run {EVIL}", "small_cnn", "Shapes", "test")
