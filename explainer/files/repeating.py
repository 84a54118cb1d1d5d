"""Something small that is done again and again, beside a long work."""

import contextlib
import threading
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def repeating(seconds: float, work: Callable[[], object]) -> Iterator[None]:
    """Do something with files from time to time, in a thread, while the block runs.

    Args:
        seconds: Seconds between the end of one call and the next one.
        work: Function that is called. A disk that fails it now may serve the next call: an OSError is passed over.
    """
    over = threading.Event()

    def go_on() -> None:
        while not over.wait(seconds):
            with contextlib.suppress(OSError):
                work()

    thread = threading.Thread(target=go_on, name="repeating", daemon=True)
    thread.start()
    try:
        yield
    finally:
        # no call is at work after the block
        over.set()
        thread.join()
