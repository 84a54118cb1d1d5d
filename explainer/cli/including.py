"""Reads a config with what it includes, so that a YAML states only what differs from others."""

from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ActionConfigFile
from jsonargparse import Path as ConfigPath

from explainer.cli.reading import find_config, load_yaml, yaml_words
from explainer.errors import InputError
from explainer.files import read_text

INCLUDE = "include"
"""Key at a config's top level: a file or a list of files. They are read first, in order, and the file itself last."""


class ConfigAction(ActionConfigFile):
    """Resolves a bare name in configs/, from any working directory, and reads what the file includes."""

    def __call__(self, parser: Any, cfg: Any, values: Any, option_string: str | None = None) -> None:
        """Read the file."""
        path = find_config(str(values))
        text = yaml.safe_dump(read_config(path), sort_keys=False)
        place = ConfigPath(path, mode="fr")
        try:
            with place.relative_path_context():
                super().__call__(parser, cfg, text, option_string)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
        cfg[self.dest][-1] = place  # the file that the text comes from


def read_config(path: str) -> dict[str, object]:
    """Read a config, merged into what it includes.

    Args:
        path: A YAML file. A file that it includes is looked up beside it, then as `--config` does.

    Returns:
        Settings in plain values, without `include`.

    Raises:
        InputError: A file is missing, cannot be read, holds no settings, or comes back to itself; names it.
    """
    return _read(path, {})


def _read(path: str, known: dict[Path, dict[str, object] | None]) -> dict[str, object]:
    """Read a config once; in `known`, None stands for a file that is being read."""
    place = Path(path).resolve()
    if place in known:
        earlier = known[place]
        if earlier is None:
            raise InputError(f"{path} includes itself, perhaps by way of others: leave it out of one `{INCLUDE}:`")
        return earlier
    known[place] = None
    content = read_alone(path)
    whole: dict[str, object] = {}
    for name in included_names(path, content):
        whole = merged(whole, _read(find_included(path, name), known))
    content.pop(INCLUDE, None)
    # the file itself comes last: what it states wins over all that it includes
    whole = merged(whole, content)
    known[place] = whole
    return whole


def read_alone(path: str) -> dict[str, object]:
    """Read one YAML file, without what it includes.

    Args:
        path: Of the file.

    Raises:
        InputError: It cannot be read, or holds no settings.
    """
    try:
        content = load_yaml(read_text(path))
    except yaml.YAMLError as error:
        raise InputError(f"{path} cannot be read as YAML: {yaml_words(error)}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} holds no settings: expected `model:`, `data:` and so on")
    return content


def included_names(path: str, content: dict[str, object]) -> list[str]:
    """Return the names of the files that a config includes.

    Args:
        path: The config's, for the error.
        content: Its settings.

    Raises:
        InputError: They are no names.

    Example:
        >>> included_names("a.yaml", {"include": "voc.yaml"})
        ['voc.yaml']
    """
    names = content.get(INCLUDE, [])
    if isinstance(names, str):
        names = [names]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError(f"{path}: {INCLUDE} must be a file or a list of files, got {str(names)[:100]}")
    return names


def find_included(path: str, name: str) -> str:
    """Return the path of an included file.

    Args:
        path: The config that includes it.
        name: As it stands there.

    Raises:
        InputError: Neither beside the config nor in configs/ there is such a file.
    """
    try:
        return find_config(name, Path(path).parent)
    except InputError as error:
        raise InputError(f"{path} includes what is not there: {error}") from error


def merged(below: dict[str, object], above: dict[str, object]) -> dict[str, object]:
    """Merge settings into others: mappings key by key, anything else replaces what was there.

    A mapping that names another class replaces the whole mapping, since a class has settings of its own.

    Args:
        below: Settings.
        above: Settings that win.

    Returns:
        New settings; both arguments stay as they are.

    Example:
        >>> merged({"a": {"b": 1, "c": [2, 3]}}, {"a": {"c": [4]}})
        {'a': {'b': 1, 'c': [4]}}
        >>> merged({"a": {"class_path": "Blur", "init_args": {"sigma": 3}}}, {"a": {"class_path": "Local"}})
        {'a': {'class_path': 'Local'}}
    """
    # settings of the class below would be unknown to the one above, and an unknown setting is an error
    if "class_path" in below and above.get("class_path", below["class_path"]) != below["class_path"]:
        return above
    result = dict(below)
    for key, value in above.items():
        earlier = result.get(key)
        if isinstance(earlier, dict) and isinstance(value, dict):
            value = merged(earlier, value)
        result[key] = value
    return result
