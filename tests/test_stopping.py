"""Ctrl-C and SIGTERM end a command with one line and the status that shells expect."""

import multiprocessing
import os
import signal
import sys
import time

import pytest

from explainer.cli.terminal import run
from explainer.stopping import Stopped, children_stop_too, exit_status, heeding_sigterm, last_words, letting_stop


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (KeyboardInterrupt(), 130, "stopped; what is done is kept, and the command goes on from there"),
        (Stopped("saved x", signal.SIGTERM), 143, "saved x"),
    ],
)
def test_a_stop_is_one_line(error, status, words, capsys):
    def command():
        raise error

    assert run(command) == status == exit_status(error)
    assert capsys.readouterr().err == f"{words}\n" == f"{last_words(error)}\n"


def test_sigterm_is_a_stop_while_a_command_runs():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Stopped) as stopped, heeding_sigterm():
        os.kill(os.getpid(), signal.SIGTERM)
    assert exit_status(stopped.value) == 143
    assert signal.getsignal(signal.SIGTERM) == before


def begin_and_sleep(begun):
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    begun.send(True)
    time.sleep(60)


@pytest.mark.skipif(sys.platform != "linux", reason="forks")
def test_processes_that_a_stopped_command_has_started_end_with_it():
    """SIGTERM reaches the command alone; its children would go on, and the command wait for them."""
    forked = multiprocessing.get_context("fork")
    begun, tell = forked.Pipe()
    earlier = forked.Process(target=begin_and_sleep, args=(tell,))
    child = forked.Process(target=begin_and_sleep, args=(tell,))
    earlier.start()
    begun.recv()

    def command():
        child.start()
        begun.recv()
        os.kill(os.getpid(), signal.SIGTERM)
        child.join()

    try:
        with pytest.raises(Stopped), heeding_sigterm(), children_stop_too():
            command()
        assert not child.is_alive()
        assert child.exitcode == -signal.SIGTERM
        assert earlier.is_alive()  # it is not the block's
    finally:
        earlier.kill()


def test_what_lightning_makes_of_a_stop_is_a_stop_again():
    def like_lightning(error):
        try:
            raise error
        except KeyboardInterrupt:
            raise SystemExit(1)  # noqa: B904

    error = Stopped("words", signal.SIGTERM)
    with pytest.raises(Stopped) as stopped, letting_stop():
        like_lightning(error)
    assert stopped.value is error
    with pytest.raises(SystemExit), letting_stop():
        raise SystemExit(2)
