"""An Explainer as the Hugging Face Hub keeps it: weights as safetensors, a description, and a model card.

The same rules hold as for checkpoints: nothing is unpickled, and the description builds known networks only.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from explainer.errors import InputError, one_line
from explainer.files import replacing, write_json, write_text
from explainer.inference.model_card import ModelCard, model_card
from explainer.networks.checkpoint import CONFIG, KEY, WEIGHTS
from explainer.networks.description import Explained

CARD = "README.md"
_NAME = re.compile(r"\w[\w.-]*/\w[\w.-]*", re.ASCII)
_PICKLES = {".bin", ".ckpt", ".pt", ".pth", ".pkl", ".pickle"}
"""Endings of files of weights that the Hub's other projects unpickle."""


def weights_file(path: str | Path) -> Path:
    """Return the file of weights: of a folder the one in it, else the file itself.

    Args:
        path: Checkpoint, or a folder that `save_folder` wrote.

    Raises:
        InputError: The folder holds no such file.
    """
    path = Path(path)
    if not path.is_dir():
        return path
    if (path / WEIGHTS).is_file():
        return path / WEIGHTS
    pickles = sorted(file.name for file in path.iterdir() if file.suffix in _PICKLES)
    if pickles:
        raise InputError(
            f"{path} holds no {WEIGHTS}, only {pickles[0]}, which is never unpickled from a folder: a checkpoint of "
            "this project is given as a file"
        )
    raise InputError(f"{path} holds no {WEIGHTS}: it is no folder that save_pretrained wrote")


def save_folder(folder: str | Path, description: Explained, weights: Mapping[str, Tensor], card: ModelCard) -> None:
    """Write weights, model card and description of an Explainer; where the description is, all are.

    Args:
        folder: Folder to write to; it is made when it is missing.
        description: Description of the networks, as a checkpoint has it.
        weights: Name → tensor of both networks.
        card: What a reader should know of the networks.

    Raises:
        OSError: Something cannot be written.
    """
    from safetensors.torch import save

    folder = Path(folder)
    # an earlier description must not stand beside new weights: it could have other class names
    (folder / CONFIG).unlink(missing_ok=True)
    tensors = {name: compact(tensor) for name, tensor in weights.items()}
    with replacing(folder / WEIGHTS, sync=True) as partial:
        # not by the library's own save_file, whose files nobody but their owner may read
        partial.write_bytes(save(tensors, metadata={"format": "pt"}))
    size = (folder / WEIGHTS).stat().st_size
    parameters = sum(tensor.numel() for tensor in tensors.values())
    write_text(folder / CARD, model_card(card, description, parameters, size))
    write_json(folder / CONFIG, {"library_name": "explainer", KEY: description})


def compact(tensor: Tensor) -> Tensor:
    """Return a tensor in storage of its own, in half precision where that loses nothing.

    Args:
        tensor: Parameter or buffer of a network, of any shape and on any device.

    Example:
        >>> compact(torch.full((2, 2), 0.5)).dtype, compact(torch.full((2, 2), 0.1)).dtype
        (torch.float16, torch.float32)
    """
    copy = tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
    # a shipped checkpoint's weights were of half precision before they were loaded: the file stays as small as it was
    if copy.dtype == torch.float32 and copy.squeeze().ndim >= 2:
        half = copy.half()
        if torch.equal(half.float(), copy):
            return half
    return copy


def check_name(name: str) -> None:
    """Refuse what cannot be the name of a repository of the Hub.

    Args:
        name: Name to check, which should be owner/name.

    Raises:
        InputError: It is no such name.

    Example:
        >>> check_name("someone/voc-lite0")
    """
    if not _NAME.fullmatch(name) or ".." in name or "--" in name:
        raise InputError(f"{name!r} is no folder here, and no name on the Hugging Face Hub, such as owner/name")


def fetch(name: str | Path, revision: str | None = None) -> Path:
    """Return a folder with an Explainer: one that is here, or a download of the Hub's.

    Args:
        name: Folder, file of a checkpoint, or name of a repository of the Hub (owner/name).
        revision: Branch, tag or commit of the repository; None takes its main branch.

    Returns:
        The folder or the file.

    Raises:
        InputError: It is neither, or the Hub cannot be reached.
    """
    if Path(name).exists():
        return Path(name)
    check_name(str(name))
    from huggingface_hub import snapshot_download

    try:
        # nothing else is fetched: no pickled weights, no code
        folder = snapshot_download(str(name), revision=revision, allow_patterns=[CONFIG, WEIGHTS])
    except Exception as error:  # no network, no such name, no access: each has errors of its own
        raise InputError(
            f"cannot fetch {name} from the Hugging Face Hub ({one_line(error)}); without network, give a folder that "
            "save_pretrained wrote"
        ) from error
    if not Path(folder, WEIGHTS).is_file():
        raise InputError(f"{name} holds no {WEIGHTS}; weights of other kinds are not read, since they may run code")
    return Path(folder)


def upload(folder: str | Path, repo_id: str, *, private: bool = False, token: str | None = None) -> str:
    """Upload a folder that `save_folder` wrote.

    Args:
        folder: Folder to upload.
        repo_id: Name of the repository, owner/name; it is made when it is missing.
        private: Whether a new repository is private.
        token: Token of the Hub; None takes that of `hf auth login`.

    Returns:
        Address of the upload.

    Raises:
        InputError: The Hub refuses it, or cannot be reached.
    """
    from huggingface_hub import HfApi

    api = HfApi(token=token)
    try:
        api.create_repo(repo_id, private=private, exist_ok=True)
        commit = api.upload_folder(repo_id=repo_id, folder_path=folder, commit_message="Upload an Explainer")
    except Exception as error:  # no network, no login, no access: each has errors of its own
        raise InputError(f"cannot upload to {repo_id} on the Hugging Face Hub: {one_line(error)}") from error
    return str(commit)
