# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo test lint docs install clean

install: $(INSTALLED)

$(INSTALLED): pyproject.toml setup.py
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --upgrade pip
	$(BIN)/python -m pip install --editable '.[dev,lite]'
	touch $(INSTALLED)

# Trains the Shapes classifier and its Explainer, evaluates, leaves pictures; when it was stopped, it goes on.
demo: $(INSTALLED)
	$(BIN)/python train.py --config shapes_small.yaml \
		$$(test -f runs/shapes_small/last.ckpt -a ! -f checkpoints/shapes_small.ckpt && echo --ckpt_path last)
	$(BIN)/python evaluate.py --config shapes_small.yaml
	@echo "pictures: runs/shapes_small/gallery/ (how the masks developed) and results/shapes_small/gallery.png"

test: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The documents as a site: site/index.html, which opens without a server and without a network.
docs: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	$(BIN)/python -m mkdocs build --strict

clean:
	rm -rf $(VENV) site .pytest_cache .mypy_cache .ruff_cache *.egg-info
