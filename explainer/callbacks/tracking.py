"""Weights & Biases: online for those who are logged in, offline for all others, the same run after a resume."""

import os
import uuid
from pathlib import Path
from typing import Any

import wandb
from pytorch_lightning.loggers import WandbLogger
from pytorch_lightning.utilities.rank_zero import rank_zero_info


def logged_in() -> bool:
    """Whether wandb has credentials; never asks for any.

    Returns:
        True with an API key in the environment, in netrc, or from `wandb login`.
    """
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        return bool(wandb.login(prompt=False))
    except Exception:  # each version has its own way of saying no
        return False


class Tracker(WandbLogger):
    """A wandb logger that needs no account.

    Args:
        name: Of the run.
        folder: The run's folder; wandb's files go to its `wandb/`, the run's id to `wandb_id`.
        project: wandb's project.
        resume: Go on with the run whose id the folder holds.
        mode: "online", "offline" or "disabled"; None asks WANDB_MODE, else whether the user is logged in.
    """

    def __init__(
        self, name: str, folder: str | Path, project: str = "explainer", resume: bool = False, mode: str | None = None
    ) -> None:
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        mode = mode or os.environ.get("WANDB_MODE") or ("online" if logged_in() else "offline")
        stored = folder / "wandb_id"
        if not (resume and stored.is_file()):
            stored.write_text(uuid.uuid4().hex[:8])
        os.environ.setdefault("WANDB_SILENT", "true")  # what matters is said by finalize, in one line
        settings = wandb.Settings(silent=True, console="off")
        arguments: dict[str, Any] = {"mode": mode, "resume": "allow", "settings": settings}
        super().__init__(name=name, save_dir=folder.absolute(), project=project, id=stored.read_text(), **arguments)
        self._mode, self._folder = mode, folder

    def finalize(self, status: str) -> None:
        """Close the run; offline, say how to send it."""
        super().finalize(status)
        if self._experiment is None:
            return
        where = Path(self._experiment.dir).parent
        where = where.relative_to(Path.cwd()) if where.is_relative_to(Path.cwd()) else where
        url = None if self._mode == "offline" else self._experiment.url
        wandb.finish()
        self._experiment = None
        if self._mode == "offline":
            rank_zero_info(f"wandb was offline: `wandb login`, then `wandb sync {where}` sends this run")
        elif url:
            rank_zero_info(f"wandb: {url}")
