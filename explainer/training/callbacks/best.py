"""Keep `best.ckpt` in the run's folder, and write every checkpoint so that a kill cannot tear it."""

import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from lightning_fabric.plugins import TorchCheckpointIO
from lightning_fabric.utilities.types import _PATH
from pytorch_lightning.callbacks import ModelCheckpoint

from explainer.files import replacing

BEST = "best.ckpt"


class _Plain(pickle.Pickler):
    """Pickle equal values as equal bytes, whether or not they are one object: after a resume, other ones are."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fast = True


_PLAIN: Any = SimpleNamespace(__name__="pickle", Pickler=_Plain)


class WholeCheckpoints(TorchCheckpointIO):
    """Write a checkpoint beside its target, force it to the disk, and rename it.

    Lightning's own writer goes through the temporary folder. Where that is another file system, as it often is, the
    last step is a copy over the earlier checkpoint, and a kill or a full disk in it loses both.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: _PATH, storage_options: Any | None = None) -> None:
        """Write a checkpoint.

        Args:
            checkpoint: State of the run.
            path: Path of the checkpoint.
            storage_options: Argument of the base class, always None: it has no meaning here.
        """
        if storage_options is not None:
            raise TypeError("storage_options have no meaning for a local checkpoint")
        # an open file, not a path: torch would write the path's name into the archive
        with replacing(path, sync=True) as partial, partial.open("wb") as file:
            torch.save(checkpoint, file, pickle_module=_PLAIN)


class Best(ModelCheckpoint):
    """Keep the checkpoint of the best epoch as `best.ckpt`.

    Its state in a checkpoint names files without their folder: the checkpoint is the same wherever it was trained, and
    a folder that was moved remembers its best score.

    Args:
        folder: Folder of the run.
        monitor: Name of the logged value that decides.
        mode: Whether a lower ("min") or a higher ("max") value is better.
    """

    def __init__(self, folder: Path, monitor: str, mode: str) -> None:
        super().__init__(folder, Path(BEST).stem, monitor=monitor, mode=mode, enable_version_counter=False)

    @property
    def state_key(self) -> str:
        """Key of the state in a checkpoint: that of the base class, under which earlier versions wrote it."""
        return super().state_key.replace(type(self).__qualname__, ModelCheckpoint.__qualname__, 1)

    def state_dict(self) -> dict[str, Any]:
        """Return the state, with names of files in place of paths."""
        return moved(super().state_dict(), "") | {"dirpath": ""}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a state, whatever folder it was written in."""
        super().load_state_dict(moved(state_dict, str(self.dirpath)) | {"dirpath": self.dirpath})
        self.current_score = state_dict.get("current_score")  # which Lightning saves and does not load


def moved(state: dict[str, Any], folder: str) -> dict[str, Any]:
    """Return the state of a `ModelCheckpoint` as if its files lay in another folder.

    Args:
        state: State, as `ModelCheckpoint.state_dict` gives it.
        folder: Folder in which the files lie now; "" for names alone.

    Example:
        >>> moved({"best_model_path": "/a/best.ckpt", "best_k_models": {"/a/best.ckpt": 1}, "last_model_path": ""}, "b")
        {'best_model_path': 'b/best.ckpt', 'best_k_models': {'b/best.ckpt': 1}, 'last_model_path': ''}
    """

    def place(path: str) -> str:
        # an empty path says that there is no such file yet
        return str(Path(folder) / Path(path).name) if path else path

    paths = {key: place(value) for key, value in state.items() if key.endswith("_model_path")}
    scores = {place(path): score for path, score in state.get("best_k_models", {}).items()}
    return state | paths | {"best_k_models": scores}
