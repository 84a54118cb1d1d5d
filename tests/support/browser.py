"""A real browser, and what a page is asked in it."""

import os
import shutil

import numpy as np
from PIL import Image

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
BROWSER = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
CONTRAST = """() => {
  const channels = (text) => {
    const found = text.match(/[\\d.e-]+/g).map(Number);
    return text.startsWith("color(") ? found.map((v, i) => (i < 3 ? 255 * v : v)) : found;
  };
  const behind = (e) => {
    for (; e; e = e.parentElement) {
      const found = channels(getComputedStyle(e).backgroundColor);
      if (found.length < 4 || found[3] > 0) return found;
    }
    return [255, 255, 255];
  };
  const light = (colour) => {
    const linear = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    const [r, g, b] = colour.slice(0, 3).map((v) => linear(v / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const bad = [];
  let count = 0;
  for (const e of document.querySelectorAll("body *")) {
    const words = [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    if (!words || !e.checkVisibility() || ["SCRIPT", "TITLE", "OPTION"].includes(e.tagName)) continue;
    const style = getComputedStyle(e), svg = e.closest("svg");
    const both = [svg ? channels(style.fill) : channels(style.color), behind(svg ? svg.parentElement : e)].map(light);
    const ratio = (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05);
    count += 1;
    if (ratio < 4.5) bad.push(`${e.tagName}.${e.className} ${e.textContent.slice(0, 20)} ${ratio.toFixed(2)}`);
  }
  return [count, bad];
}"""
SPILLED = """() => [...document.querySelectorAll("body *")]
  .filter((e) => e.checkVisibility() && !e.closest(".scroll *, pre, .hidden, .skip"))
  .filter((e) => e.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
  .map((e) => e.outerHTML.slice(0, 99))"""


def check_schemes(page, folder, least):
    """Assert that all words of a page, at least so many, can be read in both schemes; return scheme → grey picture."""
    pictures = {}
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        count, bad = page.evaluate(CONTRAST)
        assert count > least
        assert bad == []
        page.screenshot(path=folder / f"{scheme}.png", full_page=True)
        pictures[scheme] = np.asarray(Image.open(folder / f"{scheme}.png").convert("L"))
        assert (pictures[scheme][0, 0] > 200) == (scheme == "light")
    return pictures
