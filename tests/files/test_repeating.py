import threading

from explainer.files import repeating


def test_work_goes_on_after_a_disk_failed_and_ends_with_the_block():
    calls = []
    enough = threading.Event()

    def work():
        calls.append(len(calls))
        if len(calls) == 1:
            raise OSError("stale file handle")
        if len(calls) == 3:
            enough.set()

    with repeating(0.001, work):
        assert enough.wait(60)
    assert not [thread for thread in threading.enumerate() if thread.name == "repeating"]
