"""evaluate.py's last step: the page for readers, and the same in wandb."""

from pathlib import Path
from typing import Any

from explainer.attribution import Attribution
from explainer.cli.parser import ExplainerCLI
from explainer.data import Batch
from explainer.evaluation.maps.cache import KeptMasks
from explainer.evaluation.report import About, log_report, pictures, read_results, write_report
from explainer.evaluation.settings import Evaluation
from explainer.networks import Explanandum
from explainer.training.callbacks import Tracker


def report(
    cli: ExplainerCLI, explanandum: Explanandum, methods: dict[str, Attribution], batch: Batch,
    kept: KeptMasks | None, out: Path,
) -> Path | None:  # fmt: skip
    """Write report.html and table.tex from what a folder holds, and log them to wandb; each only where asked for.

    Args:
        cli: Holds the config.
        explanandum: The frozen classifier, on the batch's device.
        methods: Name → method.
        batch: Images of the gallery.
        kept: Their masks.
        out: Folder with results.json.

    Returns:
        The page, if one was asked for.
    """
    settings: Evaluation = cli.evaluation
    if not (settings.report or settings.wandb):
        return None
    content, rows = read_results(out)
    shown = list(pictures(explanandum, methods, batch, kept, rows, settings.scaled))
    page = write_report(out, about(cli, explanandum), shown)
    if settings.wandb:
        tracker = Tracker(f"{cli.name}_evaluation", out, resume=True)
        log_report(tracker.experiment, content, page, shown)
        tracker.finalize("success")
    return page


def about(cli: ExplainerCLI, explanandum: Explanandum) -> About:
    """What is judged, in words."""
    config: dict[str, Any] = cli.config.data.as_dict()
    return About(cli.name, explanandum.spec["network"], config["class_path"].split(".")[-1], cli.evaluation.split)
