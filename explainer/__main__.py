"""python -m explainer photo.jpg --ckpt_path checkpoints/x.ckpt --out explained: explain photographs."""

import argparse
import json
import sys
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from explainer.errors import InputError
from explainer.inference import Explainer, Explanation
from explainer.masking import composite
from explainer.rendering import Tile, gallery, mask_image, overlay, to_pil


def save(explanation: Explanation, folder: Path, mean_colour: torch.Tensor) -> dict:
    """Write an explanation's pictures and numbers.

    Args:
        explanation: Of one photograph.
        folder: Made when missing: overview.png, target_mask.png, mask_<class>.png, overlay_<class>.png,
            probabilities.json.
        mean_colour: (1, 3, 1, 1), what stands where the mask is 0 in the pictures.

    Returns:
        The content of probabilities.json.
    """
    folder.mkdir(parents=True, exist_ok=True)
    image, target = explanation.image, explanation.target
    mask_image(target[0]).save(folder / "target_mask.png")
    tiles = [Tile(to_pil(image[0]), "photograph")]
    for index in explanation.predicted:
        name, mask = explanation.classes[index], explanation.masks[0, index : index + 1]
        safe = "".join(c if c.isalnum() else "_" for c in name)
        mask_image(mask).save(folder / f"mask_{safe}.png")
        shown = overlay(image[0], mask)
        shown.save(folder / f"overlay_{safe}.png")
        tiles.append(Tile(shown, f"{name} {explanation.probabilities[index]:.2f}"))
    first = explanation.predicted[0]
    for words, mask, scores in (("kept", target, explanation.kept), ("removed", 1 - target, explanation.removed)):
        caption = f"{words}: {explanation.classes[first]} {scores[first]:.2f}"
        tiles.append(Tile(to_pil(composite(image, mask, mean_colour)[0]), caption))
    gallery([tiles]).save(folder / "overview.png")
    numbers = {
        "predicted": [explanation.classes[c] for c in explanation.predicted],
        "area": float(target.mean()),
        "probabilities": {
            name: {"photograph": float(p), "kept": float(k), "removed": float(r)}
            for name, p, k, r in zip(
                explanation.classes, explanation.probabilities, explanation.kept, explanation.removed, strict=True
            )
        },
    }
    (folder / "probabilities.json").write_text(json.dumps(numbers, indent=2) + "\n")
    return numbers


def unused(out: Path, stem: str, written: set[Path]) -> Path:
    """A folder for a photograph that no other one of this call has: photographs may share a name."""
    number = 1
    while (folder := out / (stem if number == 1 else f"{stem}_{number}")) in written:
        number += 1
    written.add(folder)
    return folder


def arguments(args: list[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser("python -m explainer", description="Explain photographs with a trained Explainer.")
    parser.add_argument("photos", nargs="+", type=Path, help="image files")
    parser.add_argument("--ckpt_path", required=True, help="an Explainer's checkpoint, checkpoints/<config>.ckpt")
    parser.add_argument("--out", type=Path, default=Path("explained"), help="folder of the results (explained)")
    parser.add_argument("--threshold", type=float, default=0.5, help="probability from which a class is present (0.5)")
    parser.add_argument("--top", type=int, default=1, help="classes to show when none reaches the threshold (1)")
    parser.add_argument("--device", default=None, help="cpu, cuda, …; by default the GPU when there is one")
    parser.add_argument("--allow", nargs="*", default=[], help="packages that its classifier may come from")
    return parser.parse_args(args)


def main(args: list[str] | None = None) -> int:
    """Explain every photograph; those that cannot be read are named, and the exit status is 1.

    Args:
        args: Command-line arguments; None takes the process's.

    Returns:
        The exit status.
    """
    options = arguments(args)
    try:
        explainer = Explainer(options.ckpt_path, options.device, options.allow)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    table = Table("folder", "class", "probability", "kept", "removed", "area")
    failed = 0
    written: set[Path] = set()
    mean = explainer.explanandum.mean_colour.cpu()
    for photo in track(options.photos, "explaining", console=Console(stderr=True)):
        try:
            explanation = explainer.explain(photo, options.threshold, options.top)
        except InputError as error:
            print(f"error: {error}", file=sys.stderr)
            failed = 1
            continue
        folder = unused(options.out, photo.stem, written)
        save(explanation, folder, mean)
        for c in explanation.predicted:
            scores = (explanation.probabilities[c], explanation.kept[c], explanation.removed[c])
            shown = [f"{float(s):.3f}" for s in (*scores, explanation.masks[0, c].mean())]
            table.add_row(folder.name, explanation.classes[c], *shown)
    if written:
        Console(width=None if sys.stdout.isatty() else 100).print(table)
        print(
            f"written to {options.out}: a folder a photograph, with overview.png, masks, overlays, probabilities.json"
        )
    return failed


if __name__ == "__main__":
    sys.exit(main())
