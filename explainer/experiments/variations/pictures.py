"""Pictures of alternate explanations: Figures 5 to 8 of the paper, for any image.

S. Thakur, S. Fischmeister: A Generalizable Saliency Map-Based Interpretation of Model Outcome, ICPR 2020.
"""

from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont, ImageOps
from torch import Tensor

from explainer.experiments.variations.acceptance import t_score
from explainer.functional.masking import min_max
from explainer.rendering import FONT, Tile, gallery, mask_image, overlay, to_pil

ACCEPTED, REJECTED = "#1a9850", "#d73027"
ACROSS, TILE, HISTOGRAMS, BINS = 8, 128, 8, 32


class Varied(NamedTuple):
    """What the pictures of one image, source and size show.

    Attributes:
        image: (3, H, W).
        saliency: (1, H, W), raw.
        weight: (1, H, W) in [0, 1], the reconstruction mask.
        variations: (k, 3, H, W).
        box: x0, y0, x1, y1.
        scores: (k,), the class's probability.
        accept: (k,) bool.
    """

    image: Tensor
    saliency: Tensor
    weight: Tensor
    variations: Tensor
    box: tuple[int, int, int, int]
    scores: Tensor
    accept: Tensor

    def order(self, count: int) -> list[int]:
        """The accepted ones, then the others, the surest first."""
        return (self.scores + 2 * self.accept.float()).argsort(descending=True, stable=True)[:count].tolist()


def variation_picture(varied: Varied, row: dict[str, Any], shown: int) -> Image.Image:
    """Image, saliency, box, reconstruction mask, and variations, the accepted ones in green frames (Figures 3 and 5).

    Args:
        varied: What to show.
        row: Of the same: class, before, source, alpha, accepted, variations, score, deviation, best, loss.
        shown: At most so many variations.

    Returns:
        The picture.
    """
    weight = varied.weight / varied.weight.amax().clamp_min(1e-12)
    known = "known pixels" if row["loss"] is None else "reconstruction mask"
    first = [
        Tile(to_pil(varied.image), f"{row['class']} {row['before']:.2f}"),
        Tile(overlay(varied.image, min_max(varied.saliency)), "saliency"),
        Tile(with_box(to_pil(varied.image), varied.box), f"box, α = {row['alpha']:g}"),
        Tile(ImageOps.expand(mask_image(weight), 1, 128), known),
    ]
    tiles = []
    for n in varied.order(shown):
        good = bool(varied.accept[n])
        framed = _framed(to_pil(varied.variations[n]), ACCEPTED if good else REJECTED)
        tiles.append(Tile(framed, f"{row['class']} {varied.scores[n]:.2f}{' ✓' if good else ''}"))
    rows = [first, *(tiles[start : start + ACROSS] for start in range(0, len(tiles), ACROSS))]
    return titled(gallery(rows, tile_size=TILE), headline(row))


def headline(row: dict[str, Any]) -> str:
    """What a picture says of one image, source and size.

    Example:
        >>> row = {"class": "lynx", "source": "A", "alpha": 1.0, "accepted": 0, "variations": 4, "best": 0.25}
        >>> headline(row)
        'A, α = 1: no variation is accepted as lynx; the best of 4 has 0.25'
    """
    start = f"{row['source']}, α = {row['alpha']:g}:"
    if not row["accepted"]:
        best = f"the best of {row['variations']} has {row['best']:.2f}"
        return f"{start} no variation is accepted as {row['class']}; {best}"
    spread = "" if row["deviation"] is None else f" ± {row['deviation']:.2f}"
    said = f"{row['accepted']} of {row['variations']} accepted as {row['class']} ({100 * row['accuracy']:.0f} %)"
    return f"{start} {said}, probability {row['score']:.2f}{spread}"


def titled(picture: Image.Image, words: str) -> Image.Image:
    """A picture under one line of words, as wide as both need.

    Example:
        >>> titled(Image.new("RGB", (8, 4)), "").size
        (8, 28)
    """
    font = ImageFont.truetype(FONT, 14)
    width = max(picture.width, int(font.getlength(words)) + 10 if words else 0)
    canvas = Image.new("RGB", (width, picture.height + 24), "white")
    canvas.paste(picture, (0, 24))
    ImageDraw.Draw(canvas).text((5, 4), words, fill="black", font=font)
    return canvas


def with_box(picture: Image.Image, box: tuple[int, int, int, int]) -> Image.Image:
    """The picture, enlarged to a tile, with the box's border just around its pixels."""
    scale = max(1, -(-TILE // max(picture.size)))
    large = picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST)
    x0, y0, x1, y1 = (scale * v for v in box)
    thick = max(1, max(large.size) // 64)
    border = (x0 - thick, y0 - thick, x1 + thick - 1, y1 + thick - 1)
    ImageDraw.Draw(large).rectangle(border, outline="red", width=thick)
    return large


def _framed(picture: Image.Image, colour: str) -> Image.Image:
    """A frame of a part of the picture's size."""
    return ImageOps.expand(picture, max(1, max(picture.size) // 24), colour)


def pixel_histograms(varied: Varied, row: dict[str, Any]) -> Figure:
    """Pixel values in the box, of the original and of variations, the surest first (Figure 6).

    Args:
        varied: What to show.
        row: Of the same: class, before, source, alpha.

    Returns:
        The figure; a panel's title has the probability before and after, and the t-score.
    """
    x0, y0, x1, y1 = varied.box
    before = varied.image[:, y0:y1, x0:x1].flatten()
    after = varied.variations[..., y0:y1, x0:x1].flatten(1)
    scores = t_score(before, after)
    chosen = varied.order(HISTOGRAMS)
    lines = -(-len(chosen) // 4)
    figure = Figure(figsize=(11, 0.7 + 2.2 * lines))
    height = figure.get_figheight()  # margins by hand: to search for them costs as much as to draw
    figure.subplots_adjust(0.02, 0.35 / height, 0.98, 1 - 0.6 / height, 0.06, 0.35)
    edges = np.linspace(0, 1, BINS + 1)
    for place, n in enumerate(chosen):
        panel = figure.add_subplot(lines, 4, place + 1)
        for values, colour, label in ((before, "grey", "original"), (after[n], "C0", "variation")):
            heights = np.histogram(values.cpu().numpy(), edges, density=True)[0]
            panel.stairs(heights, edges, fill=True, color=colour, alpha=0.55, label=label)
        words = f"{row['before']:.2f} / {varied.scores[n]:.2f}, t = {scores[n]:.1f}"
        panel.set_title(words, fontsize=9, color=ACCEPTED if varied.accept[n] else REJECTED)
        panel.set_yticks([])
        panel.set_xticks([0, 0.5, 1])
    figure.axes[0].legend(fontsize=8)
    title = f"{row['class']}, before / after; pixel values in the box; {row['source']}, α = {row['alpha']:g}"
    figure.suptitle(title, fontsize=10)
    return figure


def size_curves(results: dict[str, Any], title: str) -> Figure:
    """Accepted variations, the class's probability, the loss and the t-score against the box's size (Figures 7, 8).

    Args:
        results: Source → size → means.
        title: Of the figure.

    Returns:
        The figure: a line a source.
    """
    panels_of = {
        "accuracy": "accepted, part of all variations",
        "score": "probability of the class, accepted",
        "loss": "loss of the search",
        "t_score": "t-score of pixel values, accepted",
    }
    sizes_of = [float(alpha) for sizes in results.values() for alpha in sizes]
    figure = Figure(figsize=(15, 3.8))
    figure.subplots_adjust(0.04, 0.24, 0.985, 0.84, 0.2)
    panels = figure.subplots(1, len(panels_of))
    for panel, (key, words) in zip(panels, panels_of.items(), strict=True):
        for number, (name, sizes) in enumerate(results.items()):
            points = [(float(a), e[key], e["deviation"]) for a, e in sizes.items() if e[key] is not None]
            if points:
                x, y, spread = zip(*points, strict=True)
                error = [s or 0.0 for s in spread] if key == "score" else None
                panel.errorbar(x, y, error, label=name, marker="os^Dv"[number % 5], capsize=2, color=f"C{number % 10}")
        panel.set_title(words, fontsize=10)
        panel.set_xlabel("side of the box, α")
        panel.set_xlim(max(sizes_of) + 0.05, min(sizes_of) - 0.05)
        panel.grid(alpha=0.3)
    panels[0].set_ylim(-0.03, 1.03)
    handles, labels = panels[0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="lower center", ncols=5, fontsize=9)
    figure.suptitle(title, fontsize=11)
    return figure
