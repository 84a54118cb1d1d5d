"""Reads what a person wrote, on the command line and in YAML, and says in one line what cannot be read."""

import difflib
import inspect
import re
from pathlib import Path
from typing import Any, NoReturn

import yaml
from jsonargparse import set_loader
from jsonargparse._loaders_dumpers import get_yaml_default_loader, yaml_load
from pytorch_lightning.cli import LightningArgumentParser

from explainer.attribution import Attribution
from explainer.cli.paths import CONFIGS
from explainer.data import ImageDataModule
from explainer.errors import InputError
from explainer.infill import Infill
from explainer.metrics import ImageMetric
from explainer.training.modules import SaliencyModule

RUN_FOLDERS = ("train", "evaluate")
"""Folders of configs/ whose files are runs; the others hold what runs include."""
_MOST_NODES = 100_000
"""Values that a YAML may hold after its aliases are written out; the largest config here has a few hundred."""
_KINDS: tuple[type, ...] = (Attribution, ImageDataModule, Infill, ImageMetric, SaliencyModule)


def find_config(name: str, beside: Path | None = None) -> str:
    """Return a config's path: as given when it exists, else in configs/ or one of its folders.

    Args:
        name: Such as "voc_vgg16.yaml".
        beside: Folder in which it is looked up first; None takes the current folder.

    Returns:
        The path.

    Raises:
        InputError: There is no such file in either place; names those whose names are the most like it.

    Example:
        >>> Path(find_config("voc_vgg16.yaml")).parent.name
        'train'
    """
    for path in ((beside or Path()) / name, CONFIGS / name):
        try:
            if path.is_file():
                return str(path)
            if name and path.exists():
                raise InputError(f"config {path} is not a file")
        except OSError as error:
            raise InputError(f"config {name[:100]!r}: {error.strerror}") from error
    for path in CONFIGS.rglob("*.yaml"):
        if path.name == name:
            return str(path)
    known = run_configs()
    near = difflib.get_close_matches(name, known, n=5, cutoff=0) or known[:5]
    raise InputError(f"no config {name}; in configs/ there are {', '.join(near)} and {len(known) - len(near)} others")


def run_configs() -> list[str]:
    """Return the names of the configs that train.py or evaluate.py can run; the other files are included by them."""
    return sorted(path.name for folder in RUN_FOLDERS for path in (CONFIGS / folder).rglob("*.yaml"))


class Parser(LightningArgumentParser):
    """A parser that guesses no abbreviations, and whose errors are one line."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, allow_abbrev=False, **kwargs)
        set_loader("yaml", load_yaml, (yaml.YAMLError,))

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raise an error in one line, in place of the usage of every setting.

        Raises:
            InputError: Says which setting is wrong, and why.
        """
        if not self.exit_on_error:  # a parser within the parser, whose error is caught
            super().error(message, ex)
        raise InputError(condensed(message)) from ex


def load_yaml(text: str) -> Any:
    r"""Load YAML as jsonargparse does, but refuse what would not end, or has two meanings.

    Args:
        text: YAML.

    Returns:
        Plain values.

    Raises:
        yaml.YAMLError: It is no YAML, an alias holds itself, aliases multiply beyond any config, or a key stands twice.

    Example:
        >>> load_yaml("a: &x [1]\nb: *x")
        {'a': [1], 'b': [1]}
    """
    try:
        node = yaml.compose(text, Loader=get_yaml_default_loader())
        if node is not None and count_nodes(node, {}) > _MOST_NODES:
            raise yaml.YAMLError(f"its aliases write out to more than {_MOST_NODES} values")
        return yaml_load(text)
    except RecursionError as error:
        raise yaml.YAMLError("it is nested too deeply") from error
    except ValueError as error:  # such as the 31st of February
        raise yaml.YAMLError(str(error)) from error


def yaml_words(error: yaml.YAMLError) -> str:
    """Return what is wrong with a YAML, and in which line."""
    mark = getattr(error, "problem_mark", None)
    words = getattr(error, "problem", None) or str(error).splitlines()[0]
    return f"{words} (line {mark.line + 1})" if mark else words


def count_nodes(node: yaml.Node, known: dict[int, int]) -> int:
    """Count the values of a YAML document as if every alias were written out.

    Args:
        node: Of `yaml.compose`.
        known: Counts so far, by the node's identity; 0 while a node is being counted.

    Returns:
        The number of values.

    Raises:
        yaml.YAMLError: An alias holds itself, or a key stands twice.
    """
    if id(node) in known:
        if not known[id(node)]:
            raise yaml.YAMLError(f"an alias holds itself (line {node.start_mark.line + 1})")
        return known[id(node)]
    known[id(node)] = 0
    children: list[yaml.Node] = []
    if isinstance(node, yaml.MappingNode):
        refuse_double_keys(node)
        children = [part for pair in node.value for part in pair]
    elif isinstance(node, yaml.SequenceNode):
        children = node.value
    known[id(node)] = 1 + sum(count_nodes(child, known) for child in children)
    return known[id(node)]


def refuse_double_keys(node: yaml.MappingNode) -> None:
    """Refuse a mapping in which a key stands twice: the earlier value would be lost without a word.

    Args:
        node: A mapping.

    Raises:
        yaml.YAMLError: Names the key and its line.
    """
    seen: set[str] = set()
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode) and key.value != "<<":
            if key.value in seen:
                raise yaml.YAMLError(f"the key {key.value!r} stands twice (line {key.start_mark.line + 1})")
            seen.add(key.value)


def condensed(message: str) -> str:
    """Return the parser's words in one line: which setting, what is wrong, and what was given.

    Args:
        message: Of jsonargparse, of several lines.

    Returns:
        At most some 600 characters.

    Example:
        >>> condensed('''Parser key "trainer.max_epochs":
        ...   Does not validate against any of the Union subtypes
        ...   Subtypes: [<class 'int'>, <class 'NoneType'>]
        ...   Errors:
        ...     - Expected a <class 'int'>
        ...     - Expected a <class 'NoneType'>
        ...   Given value type: <class 'str'>
        ...   Given value: x''')
        "trainer.max_epochs: expected int; got 'x'"
    """
    nested_message = re.fullmatch(r'Parser key "config": ([^\n]+)', message)
    if nested_message:  # of a config file, and condensed when it was raised
        return nested_message[1]
    unknown = re.search(r"Option '([^']*)' is not accepted", message)
    if unknown:
        owners = re.findall(r"Problem with given class_path '([^']+)'", message)
        owner = f" of {owners[-1]}" if owners else ""  # the innermost class is named last
        return f"unknown setting {unknown[1]!r}{owner}: --help lists those that there are"
    key = re.search(r'Parser key "([^"]+)"', message)
    given = re.findall(r"Given value: (.*)|Got value: (.*)", message)
    reasons = [_reason(line) for line in message.splitlines()]
    telling = list(dict.fromkeys(reason for reason in reasons if reason))
    if any(reason.startswith("expected ") for reason in telling):  # a class would do as well, but nobody meant one
        telling = [reason for reason in telling if not reason.startswith("there is no class")]
    words = " or ".join(telling[:4]) or "cannot be used"
    value = next((a or b for a, b in reversed(given)), "")
    nested = re.fullmatch(r"NestedArg\(key='([^']*)', val=(.*)\)", value)
    setting = key[1] if key else ""
    if nested:
        setting += f".{nested[1]}"
        value = nested[2].strip("'")
    line = f"{setting}: {words}" if key else words
    # a Namespace is the parser's own view of a whole block: nobody wrote that
    if value and repr(value) not in words and not value.startswith("Namespace("):
        line += f"; got {value[:100]!r}"
    return line[:600]


def _reason(line: str) -> str:
    """Return what a line of an error says, or nothing where it says nothing to a person."""
    line = line.strip().removeprefix("- ").strip()
    noise = (
        "Parser key",
        "Does not validate against",
        "Subtypes:",
        "Errors:",
        "Given value",
        "Expected a path but",
        "Problem with given class_path",
        "Unable to load config",
        'in "<',
    )
    if not line or line.startswith(noise) or "NoneType" in line:
        return ""
    line = re.sub(r"Parser key \"[^\"]+\":\s*", "", line).removeprefix("Problems parsing config: ")
    line = re.sub(r"\.? ?Got value: .*", "", line)
    unknown = re.fullmatch(r"Expected a dot import path string: (.*)", line)
    if unknown:
        return f"there is no class {unknown[1]!r}{_suggestion(unknown[1])}"
    line = re.sub(r"<class '([^']+)'>", r"\1", line)
    line = re.sub(r"^Expected an? ", "expected ", line)
    line = re.sub(r"typing\.Literal\[(.*)\]", r"one of \1", line)
    return re.sub(r"^Type typing\.Callable\[.*\] expects a function or a callable class: ", "", line)


def _suggestion(name: str) -> str:
    names = {kind.__name__ for base in _KINDS for kind in _subclasses(base)}
    near = difflib.get_close_matches(name.split(".")[-1], sorted(names), n=1, cutoff=0.7)
    return f" (did you mean {near[0]}?)" if near else ""


def _subclasses(base: type) -> list[type]:
    subclasses: list[type] = []
    kinds: list[type] = base.__subclasses__()
    for kind in kinds:
        if not inspect.isabstract(kind):
            subclasses.append(kind)
        subclasses += _subclasses(kind)
    return subclasses
