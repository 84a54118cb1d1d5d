"""Both import names of Lightning take the callback for one of theirs."""

import subprocess
import sys

import pytest
import pytorch_lightning as pl

from explainer.training.callbacks import SMOESaliency
from explainer.training.callbacks.base import unified_callback
from tests.support.strangers import fit, lit_classifier, loader, same


def test_it_is_a_callback_of_both():
    assert isinstance(SMOESaliency(), pl.Callback)
    assert isinstance(SMOESaliency(), unified_callback())


@pytest.mark.slow
def test_messages_stay_with_the_logger_that_had_them():
    """The command line drops some of Lightning's messages by the name of their logger."""
    code = "import explainer.training.callbacks as c; from lightning_utilities.core import rank_zero as r; print(r.log.name)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "pytorch_lightning.utilities.rank_zero"


def test_without_the_other_name_it_is_one_of_the_first(monkeypatch):
    monkeypatch.setitem(sys.modules, "lightning.pytorch", None)  # as if it were not installed
    assert unified_callback() is object


@pytest.mark.parametrize("alone", [True, False], ids=["alone", "in a list"])
def test_a_trainer_of_the_other_name_trains_with_it(tmp_path, alone):
    lightning = pytest.importorskip("lightning.pytorch")
    modules = [lit_classifier(lightning), lit_classifier(lightning)]
    callback = SMOESaliency(1, network="backbone", images=lambda batch: batch[0])
    callbacks = callback if alone else [callback, SMOESaliency(2, network="backbone")]
    shown = fit(
        modules[0], callbacks, tmp_path, lightning, val=loader(), max_steps=2, limit_train_batches=2,
        limit_val_batches=1, logger=lightning.loggers.CSVLogger(tmp_path),
    )  # fmt: skip
    run = "lightning_logs/version_0"
    assert f"{run}/saliency/step_0000001.png" in shown
    assert f"{run}/saliency/step_0000002.png" in shown
    assert f"{run}/saliency_over_time/step_0000002.png" in shown
    assert "saliency/entropy" in (tmp_path / run / "metrics.csv").read_text()
    fit(modules[1], [], tmp_path / "without", lightning, val=loader(), max_steps=2, limit_train_batches=2,
        limit_val_batches=1, logger=lightning.loggers.CSVLogger(tmp_path / "without"))  # fmt: skip
    assert same(*modules)
