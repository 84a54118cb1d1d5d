"""What evaluate.py does."""

import hashlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch.utils.data import DataLoader, Subset

from explainer.attribution import Attribution, CentredBox, Constant, Explainer, GradCAM
from explainer.cli import CHECKPOINTS, RESULTS, ExplainerCLI
from explainer.data import ImageDataModule, collate
from explainer.errors import InputError
from explainer.evaluation.gallery import method_gallery
from explainer.evaluation.kept import KeptMasks
from explainer.evaluation.fingerprint import settings_of
from explainer.evaluation.runner import ORIGINAL, TRUTH, to_device
from explainer.evaluation.runner import evaluate as run_evaluation
from explainer.evaluation.settings import Evaluation, data_facts
from explainer.evaluation.store import Store
from explainer.evaluation.summary import write_results
from explainer.evaluation.table import markdown, rich_table
from explainer.layer_retraining import retrain_layers
from explainer.networks import Explanandum
from explainer.networks.checkpoint import read_checkpoint
from explainer.retraining import retrain
from explainer.training import quieten
from explainer.version import __version__


def evaluate(args: Sequence[str] | None = None) -> dict[str, Any]:
    """Evaluate a checkpoint on a split: table, results.json, per_image.csv, gallery.png; or run a retraining grid.

    Args:
        args: Command-line arguments; None takes the process's. `--ckpt_path` is checkpoints/<name>.ckpt by default.

    Returns:
        The content of results.json.

    Raises:
        InputError: Something given cannot be used.
    """
    quieten()
    cli = ExplainerCLI(args)
    if cli.retraining.methods:
        return retrain(cli, trusted(cli.config))
    if cli.layer_retraining.statistics:
        return retrain_layers(cli, trusted(cli.config))
    settings: Evaluation = cli.evaluation
    data: ImageDataModule = cli.datamodule
    device = ("cuda" if torch.cuda.is_available() else "cpu") if settings.device == "auto" else settings.device
    explanandum, methods, digest = subject(cli)
    explanandum.to(device)
    data.prepare_data()
    explanandum.describe_classes(data.classes, data.multilabel, new_head=False)
    dataset = data.split(settings.split)
    count = min(len(dataset), settings.limit or len(dataset))
    places = [i * len(dataset) // count for i in range(count)]
    facts = {
        "checkpoint": digest, "data": data_facts(cli.config.data.as_dict()),
        "split": settings.split, "images": count, "void": settings.void, "version": __version__,
        "methods": settings_of(methods),
    }  # fmt: skip
    facts |= {"curve_steps": settings.curve_steps} if settings.curve_steps else {}
    facts |= {"spread": True} if count < len(dataset) else {}
    out = Path(settings.out or RESULTS / cli.name)
    store = Store(out, facts)
    loader = DataLoader(Subset(dataset, places), data.batch_size, collate_fn=collate, num_workers=data.num_workers)
    chosen = to_show(dataset, places, min(settings.gallery, count))
    kept = KeptMasks(out / "masks", [dataset.ids[i] for i in chosen])
    run_evaluation(
        explanandum, methods, loader, store, total=count, void=settings.void, device=device,
        curve_steps=settings.curve_steps, kept=kept,
    )  # fmt: skip
    asked = {ORIGINAL, TRUTH, *methods}  # the store may hold methods of earlier calls too
    content = write_results(
        [r for r in store.rows if r["method"] in asked], facts | {"device": device, "torch": torch.__version__}, out
    )
    if settings.gallery:
        batch = to_device(collate([dataset[i] for i in chosen]), device)
        if batch.id:
            method_gallery(explanandum, methods, batch, kept).save(out / "gallery.png")
    (out / "table.md").write_text(markdown(content["results"]))
    Console(width=None if sys.stdout.isatty() else 140).print(
        rich_table(content["results"], f"{cli.name} on {settings.split}")
    )
    for name in dataset.unreadable:
        print(f"skipped the unreadable image {name}")
    print(f"written to {out}: results.json, per_image.csv, table.md, gallery.png")
    return content


def trusted(config: Any) -> list[str]:
    """Packages that a config vouches for: those it allows, and the one its own explanandum comes from.

    Args:
        config: Of a run; without a model it vouches for none.

    Returns:
        Names for `allow`.
    """
    explanandum = config.get("model.init_args.explanandum")
    settings = {} if explanandum is None else explanandum.get("init_args", explanandum)
    return [*(settings.get("allow") or []), str(settings.get("network", "")).split(".")[0]]


def chosen_methods(settings: Evaluation, path: Path, kind: str, allow: Sequence[str] = ()) -> dict[str, Attribution]:
    """The checkpoint's Explainer, if it is one, and the methods asked for.

    Args:
        settings: Of the evaluation.
        path: The checkpoint.
        kind: What it holds.
        allow: Packages whose callables the checkpoint may name.

    Returns:
        Name → method.
    """
    references: dict[str, Attribution] = {
        "Grad-CAM": GradCAM(), "Constant 0": Constant(0.0), "Constant 0.5": Constant(0.5), "Constant 1": Constant(1.0),
        "Centred box": CentredBox(),
    }  # fmt: skip
    own: dict[str, Attribution] = {"Explainer": Explainer(str(path), allow=allow)} if kind == "explainer" else {}
    return own | (references if settings.methods is None else settings.methods)


def subject(cli: ExplainerCLI) -> tuple[Explanandum, dict[str, Attribution], str]:
    """What is evaluated: a checkpoint, or a classifier as its config builds it.

    Args:
        cli: Holds the config.

    Returns:
        The classifier, the methods, and a digest of the weights.

    Raises:
        InputError: The checkpoint is for another image size, or the config has no classifier.
    """
    settings: Evaluation = cli.evaluation
    if settings.as_it_is:
        explanandum = getattr(cli.model, "explanandum", None)
        if explanandum is None:
            raise InputError("evaluation.as_it_is explains the classifier of the config's model, which has none")
        explanandum.freeze()
        digest = hashlib.sha256()
        for name, value in explanandum.state_dict().items():
            digest.update(name.encode() + value.cpu().contiguous().numpy().tobytes())
        return explanandum, chosen_methods(settings, Path(), "classifier"), digest.hexdigest()
    path = Path(cli.config.ckpt_path or CHECKPOINTS / f"{cli.name}.ckpt")
    spec, _ = read_checkpoint(path)
    if cli.datamodule.image_size != spec["image_size"]:
        wanted, given = spec["image_size"], cli.datamodule.image_size
        raise InputError(f"{path} was trained at {wanted} pixels, the data is at {given}")
    allow = trusted(cli.config)
    methods = chosen_methods(settings, path, spec["kind"], allow)
    return Explanandum(str(path), allow=allow), methods, hashlib.sha256(path.read_bytes()).hexdigest()


def to_show(dataset: Any, places: list[int], count: int) -> list[int]:
    """So many of these places of a data set, evenly spread, those of labelled images if there are any."""
    if not count:
        return []
    labelled = [i for i in places if dataset.labels(i).any()] or places
    return labelled[:: max(1, len(labelled) // count)][:count]


def run(command: Callable[[], object]) -> None:
    """Run a command for a person: input errors in one line, without a traceback; exit status 2.

    Args:
        command: `train` or `evaluate`.
    """
    try:
        command()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("stopped; what is done is kept, and the command goes on from there", file=sys.stderr)
        sys.exit(130)
