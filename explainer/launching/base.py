"""What every launcher is: something that runs many calls, and runs those again that were lost with their process."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Generator, Sequence
from pathlib import Path

from explainer.errors import check_range
from explainer.launching.call import Call, Ending

PATIENCE = 60
"""Seconds that a call has to save when it is stopped."""


class Engine(ABC):
    """A launcher at work. Calls are handed over, and their endings are asked for, in whichever order they come."""

    @abstractmethod
    def submit(self, calls: Sequence[Call]) -> None:
        """Take calls, which are run as soon as there is room.

        Args:
            calls: Calls.
        """

    @abstractmethod
    def ended(self) -> list[tuple[Call, Ending]]:
        """Wait until a call has ended.

        Returns:
            Calls that have ended, at least one; each is told once.
        """

    @abstractmethod
    def close(self, stopped: bool) -> None:
        """End all processes that the engine started.

        Args:
            stopped: Whether calls that run are to be stopped; they have some time to save. Else there are none.
        """


class Launcher(ABC):
    """Way to run calls: in processes of this machine, or on a cluster.

    Args:
        retries: Number of times that a call is run again after it was lost with its process: it was killed, or its
            machine failed. A call whose function raised an error is not run again.

    Raises:
        InputError: The number is negative.
    """

    def __init__(self, retries: int = 2) -> None:
        check_range("launcher.init_args.retries", retries, 0)
        self.retries = retries

    # not every launcher has something to find out
    def check(self, folder: Path, count: int | None) -> None:  # noqa: B027
        """Find out whether calls can be run at all, before the long work that comes before them.

        Args:
            folder: Folder for what an engine writes.
            count: Number of calls; None where it is not known yet.

        Raises:
            InputError: They cannot; says what to do.
            SystemExit: Only a description was asked for, and has been printed.
        """

    @abstractmethod
    def start(self, folder: Path) -> Engine:
        """Start an engine.

        Args:
            folder: Folder for what an engine writes.

        Raises:
            InputError: It cannot be started.
        """

    def run(self, calls: Sequence[Call], folder: Path) -> Generator[tuple[Call, Ending], None, None]:
        """Run calls, and yield each ending as it comes.

        Args:
            calls: Calls with different names.
            folder: Folder for what an engine writes.

        Yields:
            The call and its ending. A lost one is run again and will be yielded again; where it has been lost too
            often, its ending is a plain error.
        """
        if not calls:
            return
        losses: Counter[str] = Counter()
        engine = self.start(folder)
        stopped = True
        try:
            engine.submit(calls)
            waiting = len(calls)
            while waiting:
                for call, ending in engine.ended():
                    if ending.lost:
                        losses[call.name] += 1
                        ending = self._again(engine, call, ending, losses[call.name])
                    waiting -= not ending.lost
                    yield call, ending
            stopped = False
        finally:
            engine.close(stopped)

    def _again(self, engine: Engine, call: Call, ending: Ending, losses: int) -> Ending:
        """Run a lost call again; of one that was lost too often, return a plain error."""
        if losses > self.retries:
            times = "once" if losses == 1 else f"{losses} times"
            return Ending({}, f"lost {times}, lastly because {ending.error}")
        engine.submit([call._replace(attempt=losses)])
        return ending
