"""The base of the callbacks that serve anybody's training: a Callback of both of Lightning's import names."""

from typing import Any

import pytorch_lightning as pl
from lightning_utilities.core import rank_zero


def unified_callback() -> type:
    """Return the Callback of `lightning.pytorch`, which ships a copy of Lightning; `object` where there is none.

    Example:
        >>> isinstance(unified_callback(), type)
        True
    """
    log = rank_zero.log
    try:
        from lightning.pytorch import Callback
    except Exception:  # an installation of it that is broken must not break those who do not use it
        return object
    finally:
        # both names share it, and the one that is imported last takes it: messages would go to another logger
        rank_zero.log = log
    return Callback


# Any: both classes define the same hooks, each for the Trainer of its own copy
_Unified: Any = unified_callback()


class AnyCallback(pl.Callback, _Unified):
    """A callback that `pytorch_lightning` and `lightning.pytorch` both take for one of theirs.

    A Trainer of either calls the hooks of any object in a list of callbacks. But a single callback without a list, and
    one that is named in the YAML of a `LightningCLI`, must be of the Trainer's own class.
    """
