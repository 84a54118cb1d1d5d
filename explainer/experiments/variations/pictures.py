"""Pictures of alternate explanations: Figures 5 to 8 of the paper, for any image.

S. Thakur, S. Fischmeister: A Generalizable Saliency Map-Based Interpretation of Model Outcome, ICPR 2020.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont, ImageOps
from torch import Tensor

from explainer.evaluation.storage.rows import PlainRow
from explainer.experiments.variations.acceptance import t_score
from explainer.functional.masking import min_max
from explainer.rendering import FONT, Tile, gallery, mask_image, overlay, to_pil

ACCEPTED = "#1a9850"
"""Green of accepted variations."""
REJECTED = "#d73027"
"""Red of the others."""
ACROSS = 8
"""Variations in a row of a picture."""
TILE = 128
"""Side of a tile in pixels."""
HISTOGRAMS = 8
"""Variations whose pixel values are drawn."""
BINS = 32
"""Bins of a histogram over [0, 1]."""


class Varied(NamedTuple):
    """What the pictures of one image, source and size show.

    Attributes:
        image: Image, (3, H, W) in [0, 1].
        saliency: Map, (1, H, W), raw; higher is more salient.
        weight: Reconstruction mask, (1, H, W) in [0, 1].
        variations: Variations of the image, (k, 3, H, W) in [0, 1].
        box: Corners x0, y0, x1, y1 of the box.
        scores: Probability of the class for each variation, (k,) in [0, 1].
        accept: Whether each variation is accepted, (k,) bool.
    """

    image: Tensor
    saliency: Tensor
    weight: Tensor
    variations: Tensor
    box: tuple[int, int, int, int]
    scores: Tensor
    accept: Tensor

    def order(self, count: int) -> list[int]:
        """Return indices of variations: the accepted ones, then the others, the surest first.

        Args:
            count: Largest number of indices.
        """
        # probabilities are at most 1: by adding 2 every accepted variation comes before all others
        keys = self.scores + 2 * self.accept.float()
        return keys.argsort(descending=True, stable=True)[:count].tolist()


def variation_picture(varied: Varied, row: PlainRow, shown: int) -> Image.Image:
    """Draw image, saliency, box, reconstruction mask, and variations, accepted ones in green frames (Figures 3 and 5).

    Args:
        varied: Tensors to show.
        row: Row of results of the same variations.
        shown: Largest number of variations.

    Returns:
        The picture.
    """
    # scaled: most weights are small, and only their proportions are to be seen
    weight = varied.weight / varied.weight.amax().clamp_min(1e-12)
    known = "reconstruction mask"
    if row["loss"] is None:  # nothing was searched for: every known pixel counts the same
        known = "known pixels"
    image = to_pil(varied.image)
    saliency = overlay(varied.image, min_max(varied.saliency))
    mask = ImageOps.expand(mask_image(weight), 1, 128)
    first = [
        Tile(image, f"{row['class']} {row['before']:.2f}"),
        Tile(saliency, "saliency"),
        Tile(with_box(image, varied.box), f"box, α = {row['alpha']:g}"),
        Tile(mask, known),
    ]
    tiles = []
    for n in varied.order(shown):
        colour = REJECTED
        caption = f"{row['class']} {varied.scores[n]:.2f}"
        if varied.accept[n]:
            colour = ACCEPTED
            caption += " ✓"
        picture = _framed(to_pil(varied.variations[n]), colour)
        tiles.append(Tile(picture, caption))
    starts = range(0, len(tiles), ACROSS)
    lines = [tiles[start : start + ACROSS] for start in starts]
    tiled = gallery([first, *lines], tile_size=TILE)
    return titled(tiled, headline(row))


def headline(row: PlainRow) -> str:
    """Return the line above the picture of one image, source and size.

    Args:
        row: Row of results.

    Example:
        >>> row = {"class": "lynx", "source": "A", "alpha": 1.0, "accepted": 0, "variations": 4, "best": 0.25}
        >>> headline(row)
        'A, α = 1: no variation is accepted as lynx; the best of 4 has 0.25'
    """
    start = f"{row['source']}, α = {row['alpha']:g}:"
    if not row["accepted"]:
        best = f"the best of {row['variations']} has {row['best']:.2f}"
        return f"{start} no variation is accepted as {row['class']}; {best}"
    percent = f"{100 * row['accuracy']:.0f} %"
    count = f"{row['accepted']} of {row['variations']} accepted as {row['class']} ({percent})"
    probability = f"probability {row['score']:.2f}"
    if row["deviation"] is not None:
        probability += f" ± {row['deviation']:.2f}"
    return f"{start} {count}, {probability}"


def titled(picture: Image.Image, words: str) -> Image.Image:
    """Put one line of words above a picture.

    Args:
        picture: Picture to show.
        words: Line above it; may be empty.

    Returns:
        A picture as wide as the wider of the two, 24 pixels higher.

    Example:
        >>> titled(Image.new("RGB", (8, 4)), "").size
        (8, 28)
    """
    font = ImageFont.truetype(FONT, 14)
    width = picture.width
    if words:
        width = max(width, int(font.getlength(words)) + 10)
    canvas = Image.new("RGB", (width, picture.height + 24), "white")
    canvas.paste(picture, (0, 24))
    ImageDraw.Draw(canvas).text((5, 4), words, fill="black", font=font)
    return canvas


def with_box(picture: Image.Image, box: tuple[int, int, int, int]) -> Image.Image:
    """Enlarge a picture to a tile, and draw the box's border just around its pixels."""
    # a whole factor, so that the border lies between pixels
    scale = max(1, math.ceil(TILE / max(picture.size)))
    size = (picture.width * scale, picture.height * scale)
    large = picture.resize(size, Image.Resampling.NEAREST)
    x0, y0, x1, y1 = (scale * edge for edge in box)
    thick = max(1, max(large.size) // 64)
    border = (x0 - thick, y0 - thick, x1 + thick - 1, y1 + thick - 1)
    ImageDraw.Draw(large).rectangle(border, outline="red", width=thick)
    return large


def _framed(picture: Image.Image, colour: str) -> Image.Image:
    """Put a frame around a picture; its width grows with the picture's size."""
    width = max(1, max(picture.size) // 24)
    return ImageOps.expand(picture, width, colour)


def pixel_histograms(varied: Varied, row: PlainRow) -> Figure:
    """Draw the pixel values in the box, of the original and of variations, the surest first (Figure 6).

    Args:
        varied: Tensors to show.
        row: Row of results of the same variations.

    Returns:
        The figure; the title of a panel has the probability before and after, and the t-score.
    """
    x0, y0, x1, y1 = varied.box
    before = varied.image[:, y0:y1, x0:x1].flatten()
    after = varied.variations[..., y0:y1, x0:x1].flatten(1)
    scores = t_score(before, after)
    chosen = varied.order(HISTOGRAMS)
    lines = math.ceil(len(chosen) / 4)
    figure = Figure(figsize=(11, 0.7 + 2.2 * lines))
    height = figure.get_figheight()
    # margins by hand: the search of a layout for them costs as much as to draw
    figure.subplots_adjust(0.02, 0.35 / height, 0.98, 1 - 0.6 / height, 0.06, 0.35)
    edges = np.linspace(0, 1, BINS + 1)
    for place, n in enumerate(chosen):
        panel = figure.add_subplot(lines, 4, place + 1)
        for values, colour, label in ((before, "grey", "original"), (after[n], "C0", "variation")):
            heights, _ = np.histogram(values.cpu().numpy(), edges, density=True)
            panel.stairs(heights, edges, fill=True, color=colour, alpha=0.55, label=label)
        probabilities = f"{row['before']:.2f} / {varied.scores[n]:.2f}"
        words = f"{probabilities}, t = {scores[n]:.1f}"
        title_colour = ACCEPTED if varied.accept[n] else REJECTED
        panel.set_title(words, fontsize=9, color=title_colour)
        panel.set_yticks([])
        panel.set_xticks([0, 0.5, 1])
    figure.axes[0].legend(fontsize=8)
    cell = f"{row['source']}, α = {row['alpha']:g}"
    title = f"{row['class']}, before / after; pixel values in the box; {cell}"
    figure.suptitle(title, fontsize=10)
    return figure


def size_curves(results: dict[str, Any], title: str) -> Figure:
    """Draw accepted variations, the class's probability, loss and t-score against the box's size (Figures 7, 8).

    Args:
        results: Source → size → means, as `summarise_rows` returns them.
        title: Title of the figure.

    Returns:
        The figure; each source is a line.
    """
    panels_of = {
        "accuracy": "accepted, part of all variations",
        "score": "probability of the class, accepted",
        "loss": "loss of the search",
        "t_score": "t-score of pixel values, accepted",
    }
    alphas: list[float] = []
    for sizes in results.values():
        alphas += [float(alpha) for alpha in sizes]
    figure = Figure(figsize=(15, 3.8))
    figure.subplots_adjust(0.04, 0.24, 0.985, 0.84, 0.2)
    panels = figure.subplots(1, len(panels_of))
    for panel, (key, words) in zip(panels, panels_of.items(), strict=True):
        for number, (name, sizes) in enumerate(results.items()):
            points = {float(alpha): means for alpha, means in sizes.items() if means[key] is not None}
            if not points:
                continue
            x = list(points)
            y = [means[key] for means in points.values()]
            error = None
            if key == "score":  # the only one whose deviation over variations is known
                error = [means["deviation"] or 0.0 for means in points.values()]
            marker = "os^Dv"[number % 5]
            colour = f"C{number % 10}"
            panel.errorbar(x, y, error, label=name, marker=marker, capsize=2, color=colour)
        panel.set_title(words, fontsize=10)
        panel.set_xlabel("side of the box, α")
        # from large to small boxes, as in the paper
        panel.set_xlim(max(alphas) + 0.05, min(alphas) - 0.05)
        panel.grid(alpha=0.3)
    panels[0].set_ylim(-0.03, 1.03)
    handles, labels = panels[0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="lower center", ncols=5, fontsize=9)
    figure.suptitle(title, fontsize=11)
    return figure
