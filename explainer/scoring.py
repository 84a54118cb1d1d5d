"""evaluate.py's table: methods × metrics × images."""

import sys
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch.utils.data import DataLoader, Subset

from explainer.attribution import Attribution, Constant
from explainer.cli import RESULTS, ExplainerCLI
from explainer.data import Batch, ImageDataModule, ImageDataset, collate
from explainer.evaluation.counterfactuals import counterfactual_gallery
from explainer.evaluation.curves import plot_flipping
from explainer.evaluation.fingerprint import infill_settings, settings_of, slug
from explainer.evaluation.gallery import found, method_gallery
from explainer.evaluation.held_out import held_out_places, search_alphas
from explainer.evaluation.judging import Judge
from explainer.evaluation.kept import KeptMasks
from explainer.evaluation.places import candidates, check_infills
from explainer.evaluation.runner import ORIGINAL, TRUTH, evaluate, to_device
from explainer.evaluation.settings import Evaluation
from explainer.evaluation.store import Store
from explainer.evaluation.summary import write_results
from explainer.evaluation.table import markdown, rich_table
from explainer.infill import Infill
from explainer.metrics import Flipping
from explainer.networks import Explanandum
from explainer.reporting import report
from explainer.subject import prepared


def score_methods(cli: ExplainerCLI) -> dict[str, Any]:
    """Score every method on every image of a split, print the table, and write results and pictures.

    Args:
        cli: Holds the config.

    Returns:
        The content of results.json.

    Raises:
        InputError: Something given cannot be used.
    """
    settings: Evaluation = cli.evaluation
    data: ImageDataModule = cli.datamodule
    explanandum, methods, dataset, places, device, facts = prepared(cli)
    facts |= method_facts(settings, methods)
    check_infills(all_infills(settings, methods), dataset[places[0]], explanandum)
    out = Path(settings.out or RESULTS / cli.name)
    store = Store(out, facts)
    loader = DataLoader(Subset(dataset, places), data.batch_size, collate_fn=collate, num_workers=data.num_workers)
    chosen, imagined = (to_show(dataset, places, count) for count in (settings.gallery, settings.counterfactuals))
    kept = KeptMasks(out / "masks", [dataset.ids[i] for i in {*chosen, *imagined}])
    alphas = found_alphas(settings, data, explanandum, methods, facts, places, out, device)
    level = 0.5 if settings.level is None else settings.level
    judge = Judge(settings.metrics, settings.infill, level, {name: a["alpha"] for name, a in alphas.items()})
    evaluate(
        explanandum, methods, loader, store, total=len(places), void=settings.void, device=device,
        curve_steps=settings.curve_steps, kept=kept, judge=judge if settings.metrics else None, scaled=settings.scaled,
    )  # fmt: skip
    asked = {ORIGINAL, TRUTH, *methods}  # the store may hold methods of earlier calls too
    rows = [row for row in store.rows if row["method"] in asked]
    content = write_results(rows, facts | {"device": device, "torch": torch.__version__}, out, alphas)
    batch = to_device(collate([dataset[i] for i in chosen]), device)
    if batch.id:
        method_gallery(explanandum, methods, batch, kept, settings.scaled).save(out / "gallery.png")
    report(cli, explanandum, methods, batch, kept, out)
    batch = to_device(collate([dataset[i] for i in imagined]), device)
    write_counterfactuals(settings, explanandum, methods, judge, batch, kept, out)
    write_curves(settings, list(methods), rows, out)
    show(content, settings, out, f"{cli.name} on {settings.split}")
    for name in dataset.unreadable:
        print(f"skipped the unreadable image {name}")
    return content


def method_facts(settings: Evaluation, methods: dict[str, Attribution]) -> dict[str, Any]:
    """What the rows depend on, besides the classifier and the images.

    Args:
        settings: Of the evaluation.
        methods: Name → method.

    Returns:
        Plain values; settings that are not used are left out, so that earlier results stay valid.
    """
    facts: dict[str, Any] = {"void": settings.void, "methods": settings_of(methods)}
    facts |= {"curve_steps": settings.curve_steps} if settings.curve_steps else {}
    facts |= {} if settings.scaled else {"scaled": False}
    if settings.metrics:
        facts["metrics"] = {
            name: {"class": type(metric).__name__, "higher_is_better": metric.higher_is_better} | metric.settings
            for name, metric in settings.metrics.items()
        }
        facts["infill"] = None if settings.infill is None else infill_settings(settings.infill)
        facts["salient"] = {key: getattr(settings, key) for key in ("level", "alpha", "held_out", "held_out_split")}
    return facts


def all_infills(settings: Evaluation, methods: dict[str, Attribution]) -> dict[str, Infill]:
    """Every in-fill that an evaluation will use, under a name for errors."""
    own = {f"of {name}": getattr(method, "infill", None) for name, method in methods.items()}
    known = {**own, "of evaluation.infill": settings.infill, **settings.infills}
    return {name: infill for name, infill in known.items() if isinstance(infill, Infill)}


def found_alphas(
    settings: Evaluation, data: ImageDataModule, explanandum: Explanandum, methods: dict[str, Attribution],
    facts: dict[str, Any], places: list[int], out: Path, device: str,
) -> dict[str, dict[str, Any]]:  # fmt: skip
    """Method → its α, for the methods that need one: as given, or searched on held-out images."""
    wanted = {name: method for name, method in methods.items() if settings.level is None or not method.is_mask}
    if not wanted or not (settings.metrics or settings.counterfactuals):
        return {}
    if settings.alpha is not None:
        return {name: {"alpha": settings.alpha} for name in wanted}
    dataset = data.split(settings.held_out_split)
    taken = places if settings.held_out_split == settings.split else []
    held_out = held_out_places(candidates(dataset, settings.one_label), settings.held_out, taken)
    parts = [held_out[i : i + data.batch_size] for i in range(0, len(held_out), data.batch_size)]
    batches = [collate([dataset[i] for i in part]) for part in parts]
    kept = {key: facts[key] for key in ("checkpoint", "data", "version")}
    described = {"split": settings.held_out_split, "images": held_out, "methods": settings_of(wanted)}
    store = Store(out / "held_out", kept | described)
    return search_alphas(explanandum, wanted, batches, store, device, settings.scaled)


def write_counterfactuals(
    settings: Evaluation, explanandum: Explanandum, methods: dict[str, Attribution], judge: Judge, batch: Batch,
    kept: KeptMasks, out: Path,
) -> None:  # fmt: skip
    """A picture a method, of what remains and what replaces the region; of no images none."""
    for name, method in methods.items() if batch.id else ():
        if not isinstance(method, Constant):
            mask = found(explanandum, name, method, batch, kept, settings.scaled)
            picture = counterfactual_gallery(explanandum, mask, judge.levels(name, mask), batch, settings.infills)
            (out / "counterfactuals").mkdir(exist_ok=True)
            picture.save(out / "counterfactuals" / f"{slug(name)}.png")


def write_curves(settings: Evaluation, methods: list[str], rows: list[dict[str, Any]], out: Path) -> None:
    """A figure of every metric that has curves."""
    for column, metric in settings.metrics.items():
        if isinstance(metric, Flipping):
            plot_flipping(rows, methods, column).savefig(out / f"{slug(column)}.png", dpi=150)


def show(content: dict[str, Any], settings: Evaluation, out: Path, title: str) -> None:
    """Write table.md, and print the table."""
    columns = {name: metric.higher_is_better for name, metric in settings.metrics.items()}
    (out / "table.md").write_text(markdown(content["results"], columns))
    width = None if sys.stdout.isatty() else 140 + 14 * len(columns)
    Console(width=width).print(rich_table(content["results"], title, columns))
    more = ", counterfactuals/" if settings.counterfactuals else ""
    print(f"written to {out}: results.json, per_image.csv, table.md, gallery.png{more}")


def to_show(dataset: ImageDataset, places: list[int], count: int) -> list[int]:
    """So many of these places of a data set, evenly spread, those of labelled images if there are any."""
    if not count:
        return []
    labelled = [i for i in places if dataset.labels(i).any()] or places
    return labelled[:: max(1, len(labelled) // count)][:count]
