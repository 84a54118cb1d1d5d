"""Weights & Biases: online for those who are logged in, offline for all others, the same run after a resume.

A training is never lost to wandb: whatever it refuses, the run goes on offline, and one line says so.
"""

import contextlib
import os
import re
import shlex
import socket
import threading
import urllib.request
import uuid
from argparse import Namespace
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pytorch_lightning.loggers import WandbLogger
from pytorch_lightning.loggers.logger import rank_zero_experiment
from pytorch_lightning.utilities.rank_zero import rank_zero_info, rank_zero_only

from explainer.files import printable, write_text

MODES = {
    "online": "online",
    "run": "online",
    "shared": "shared",
    "offline": "offline",
    "dryrun": "offline",
    "disabled": "disabled",
}
"""wandb's modes, and what they are here."""
PROBE = 3.0
"""Seconds that wandb gets to be reached."""
START = 10.0
"""Seconds that wandb gets to start a run; offline it has no such limit."""
FINISH = 120.0
"""Seconds that wandb gets to send the rest of a run; offline it has no such limit."""
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NAMED = 3
"""Number of folders that are named one by one; more are named by a pattern."""


def logged_in() -> bool:
    """Tell whether wandb has credentials; never ask for any.

    Returns:
        True with an API key in the environment, in netrc, or from `wandb login`.
    """
    if os.environ.get("WANDB_API_KEY"):
        return True
    import wandb  # late: it takes a second, for which those who do not use it do not wait

    try:
        return bool(wandb.login(prompt=False))
    except Exception:  # each version has its own way of saying no
        return False


def choose_mode(mode: str | None) -> str:
    """Return how to run wandb, and let it read the same from its environment variable.

    Args:
        mode: Name of a mode in `MODES`. None takes the environment variable WANDB_MODE; without that, a user who is
            logged in is online.

    Returns:
        "online", "shared", "offline" or "disabled"; "offline" for a mode that wandb does not know.
    """
    asked = (mode or os.environ.get("WANDB_MODE") or "").strip().lower()
    if asked in MODES:
        chosen = MODES[asked]
    elif asked:
        rank_zero_info(f"wandb stays offline: it has no mode {printable(asked)!r} (WANDB_MODE)")
        chosen = "offline"
    elif logged_in():
        chosen = "online"
    else:
        chosen = "offline"
    if os.environ.get("WANDB_MODE") not in (None, *MODES):  # wandb would refuse every run
        os.environ["WANDB_MODE"] = chosen
    return chosen


def reachable(url: str, seconds: float = PROBE) -> bool:
    """Tell whether a server, or the proxy before it, takes connections: wandb itself would try for minutes.

    Args:
        url: Address of the server.
        seconds: Seconds to wait at most; to look up the name takes part of them.

    Example:
        >>> reachable("http://127.0.0.1:9")
        False
    """
    answered = threading.Event()

    def connect() -> None:
        with contextlib.suppress(OSError, ValueError, TypeError):
            parts = urlsplit(url)
            proxy = urllib.request.getproxies().get(parts.scheme)
            if proxy and not urllib.request.proxy_bypass(parts.hostname or ""):
                address = proxy if "://" in proxy else f"http://{proxy}"
                parts = urlsplit(address)
            usual = 443 if parts.scheme == "https" else 80
            port = parts.port or usual
            socket.create_connection((parts.hostname, port), seconds).close()
            answered.set()

    # in a thread: the look-up of a name at a silent name server cannot be interrupted
    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(seconds)
    return answered.is_set()


class NoRun:
    """A run that takes everything and keeps nothing, for where wandb cannot even be offline."""

    def __bool__(self) -> bool:
        """Count as no run: Lightning then shows the id that the logger was given, and not one of this object's."""
        return False

    def __getattr__(self, name: str) -> "NoRun":
        """Return itself as any attribute."""
        return self

    def __call__(self, *arguments: Any, **options: Any) -> "NoRun":
        """Do nothing."""
        return self

    def __setitem__(self, key: str, value: Any) -> None:
        """Do nothing."""


class Tracker(WandbLogger):
    """A wandb logger that needs no account.

    Args:
        name: Name of the run.
        folder: Folder of the run; wandb's files go to its `wandb/`, the run's id to `wandb_id`.
        project: Name of wandb's project.
        resume: Whether to go on with the run whose id the folder holds.
        mode: "online", "offline" or "disabled". None takes the environment variable WANDB_MODE; without that, a user
            who is logged in is online.
    """

    def __init__(
        self,
        name: str,
        folder: str | Path,
        project: str = "explainer",
        resume: bool = False,
        mode: str | None = None,
    ) -> None:
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        os.environ.setdefault("WANDB_SILENT", "true")  # what matters is said by finalize, in one line
        chosen = choose_mode(mode)
        agents_run = os.environ.get("WANDB_RUN_ID") if os.environ.get("WANDB_SWEEP_ID") else None
        if agents_run is not None and name.endswith(f"/{agents_run}"):
            run_id = agents_run  # the sweep waits for what this very run logs
        else:
            run_id = find_id(folder / "wandb_id", resume)
        super().__init__(name=name, save_dir=folder.absolute(), project=project, id=run_id, mode=chosen, resume="allow")
        self._mode = chosen
        self._folder = folder
        self._silent = False

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """Run of wandb, started when it is first asked for."""
        if self._experiment is None:
            self._start()
        return self._experiment

    def _start(self) -> None:
        """Start the run: online where that works within seconds, else offline."""
        if self._online and not reachable(_server()):
            self._go_offline(f"{_server()} cannot be reached")
        if self._online:
            try:
                self._begin()
                return
            except Exception as error:  # no key, a wrong one, a server that says no
                self._go_offline(_words(error))
        try:
            self._begin()
        except Exception as error:
            rank_zero_info(f"wandb is left out: {_words(error)}; the training goes on without it")
            self._experiment: Any = NoRun()

    def _begin(self) -> None:
        """Start the run in the mode that is chosen."""
        import wandb  # late: it takes a second, for which those who do not use it do not wait

        self._experiment = None
        settings = wandb.Settings(
            silent=True, console="off", init_timeout=START, finish_timeout=FINISH, finish_timeout_raises=True
        )
        self._wandb_init |= {"settings": settings, "mode": self._mode}
        with _stopped_on_error():
            super().experiment  # noqa: B018  (starts the run)

    @property
    def _online(self) -> bool:
        """Whether the run is sent while it goes on."""
        return self._mode in ("online", "shared")

    def _go_offline(self, reason: str) -> None:
        """Go on offline, and print why."""
        rank_zero_info(f"wandb goes on offline: {reason}")
        self._mode = "offline"

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log numbers or pictures; the first refusal of wandb is printed.

        Args:
            metrics: Name → number or picture.
            step: Step of the training.
        """
        with self._forgiving():
            super().log_metrics(metrics, step)

    def log_hyperparams(self, params: dict[str, Any] | Namespace) -> None:
        """Log settings; the first refusal of wandb is printed.

        Args:
            params: Settings of the run.
        """
        with self._forgiving():
            super().log_hyperparams(params)

    @contextlib.contextmanager
    def _forgiving(self) -> Iterator[None]:
        """Turn an error of wandb into a line, once for the whole run."""
        try:
            yield
        except Exception as error:
            if not self._silent:
                rank_zero_info(f"wandb lacks some of the curves and pictures: {_words(error)}")
            self._silent = True

    def finalize(self, status: str) -> None:
        """Close the run, and print how to send what is offline, of earlier parts of the run too.

        Args:
            status: Lightning's word for how the training ended.
        """
        import wandb  # late: it takes a second, for which those who do not use it do not wait

        with self._forgiving():
            super().finalize(status)
        run = self._experiment
        self._experiment = None
        if run is None or isinstance(run, NoRun):
            return
        parts = unsent(self._folder.absolute() / "wandb", str(self.version))
        # both are asked for before the end, after which a run knows neither
        this_part = Path(run.dir).parent
        url = run.url if self._online else None
        is_unsent = self._mode == "offline"
        try:
            wandb.finish()
        except Exception as error:
            rank_zero_info(f"wandb did not take the rest of the run: {_words(error)}")
            is_unsent = True
        if url:
            rank_zero_info(f"wandb: {url}")
        if is_unsent and this_part not in parts:
            parts.append(this_part)
        if parts and self._mode != "disabled":
            rank_zero_info(f"wandb was offline: `wandb login`, then `wandb sync {_shown(parts)}` sends this run")


def find_id(path: Path, resume: bool) -> str:
    """Return the id of a run, which its folder keeps.

    Args:
        path: File of the id.
        resume: Whether to go on with the run whose id is there; a text that is no id is replaced.

    Returns:
        The id.
    """
    if resume and path.is_file():
        stored = path.read_text(encoding="utf-8", errors="replace").strip()
        if _ID.fullmatch(stored):
            return stored
        rank_zero_info(f"{path} holds no run's id: wandb begins a new run")
    fresh = uuid.uuid4().hex[:8]
    if getattr(rank_zero_only, "rank", 0) == 0:  # the others have no run
        write_text(path, fresh)
    return fresh


def unsent(folder: Path, run_id: str) -> list[Path]:
    """Return the folders of a run's offline parts that were not sent yet, in the order of time.

    Args:
        folder: Folder of wandb's files, with a folder for each part.
        run_id: Id of the run.
    """
    # the names hold the time at which a part began
    parts = sorted(folder.glob(f"offline-run-*-{run_id}"))
    return [part for part in parts if not (part / f"run-{run_id}.wandb.synced").exists()]


def _shown(parts: list[Path]) -> str:
    """Return the folders of a run's parts as arguments for a shell."""
    short = [_seen_from_here(part) for part in parts]
    if len(short) <= _NAMED:
        return " ".join(shlex.quote(str(part)) for part in short)
    folder = short[0].parent
    run_id = short[0].name.rpartition("-")[2]
    # the star must stand outside of the quotes
    return f"{shlex.quote(str(folder))}/offline-run-*-{run_id}"


def _seen_from_here(path: Path) -> Path:
    """Return a path relative to the working folder, if it is below it."""
    current = Path.cwd()
    return path.relative_to(current) if path.is_relative_to(current) else path


def _server() -> str:
    """Return the address of wandb's server."""
    import wandb  # late: it takes a second, for which those who do not use it do not wait

    try:
        return str(wandb.setup().settings.base_url)
    except Exception:  # settings that wandb refuses: starting the run will say which
        return os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")


@contextlib.contextmanager
def _stopped_on_error() -> Iterator[None]:
    """Leave no process of wandb behind when a run cannot start."""
    import wandb  # late: it takes a second, for which those who do not use it do not wait

    try:
        yield
    except BaseException:
        with contextlib.suppress(Exception):
            wandb.teardown(exit_code=1)
        raise


def _words(error: Exception) -> str:
    """Return what an error says in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    # the first line of wandb's errors often says no more than that there is one
    words = " ".join(lines[:2])[:200]
    return printable(words) or type(error).__name__
