"""Work beside the main thread: its result, its errors, its settings, and that Ctrl-C ends it at once."""

import os
import signal
import subprocess
import sys
import time

import pytest

from querist.cli.background import in_background, leave
from querist.progress import listening, tell

WAITS = """
import time
from concurrent.futures import ThreadPoolExecutor
from querist.cli.background import in_background, leave
def work():
    # Kernels use such a pool, and an ordinary exit waits for it.
    with ThreadPoolExecutor(2) as pool:
        done = pool.submit(time.sleep, 60)
        print("working", flush=True)
        done.result()
try:
    in_background(work)
except KeyboardInterrupt:
    leave(130)
"""


def test_the_result_and_the_error_come_back():
    assert in_background(lambda: 3) == 3
    with pytest.raises(ZeroDivisionError):
        in_background(lambda: 1 // 0)


def test_progress_is_heard():
    heard = []
    with listening(lambda *news: heard.append(news)):
        in_background(lambda: tell("work", 1, 2))
    assert heard == [("work", 1, 2)]


def test_without_work_leaving_is_an_ordinary_exit():
    with pytest.raises(SystemExit) as stop:
        leave(7)
    assert stop.value.code == 7


@pytest.mark.skipif(os.name == "nt", reason="there are no signals to send")
def test_an_interrupt_does_not_wait_for_the_work():
    process = subprocess.Popen([sys.executable, "-c", WAITS], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"working\n"
    start = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    process.stdout.close()
    assert time.monotonic() - start < 20
