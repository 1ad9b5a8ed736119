"""``querist encode`` with pretrained networks, killed with SIGKILL: the next command continues, to the same bytes."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from querist.cli.main import main

torch = pytest.importorskip("torch", reason="needs the extra deep")
models = pytest.importorskip("torchvision.models", reason="needs the extra deep")
pytestmark = pytest.mark.deep

N = 26
ENCODER = "torchvision(model='shufflenet_v2_x0_5', weights='net.pth', size=32, batch=4, device='cpu')"

RUN = """
    import sys
    from querist.encoders import inference, spread
    from querist.evidence import features, parts

    features.CHUNK, parts.RECORD_SECONDS, spread.IDLE_SECONDS = 4, 0, 1
    encode, seen, stop = inference.FittedNet.encode, [], int(sys.argv[1])

    def watched(fitted, view):
        if len(seen) == stop:
            print("here", flush=True)
            sys.stdin.read()
        seen.append(len(view))
        return encode(fitted, view)

    inference.FittedNet.encode = watched
    from querist.cli.main import main
    status = main(["encode", "photos", "-e", sys.argv[2], "-o", "continued.npy"])
    print("seen", sum(seen))
    sys.exit(status)
"""


@pytest.fixture
def photos(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("QUERIST_STORE", raising=False)
    (tmp_path / "photos").mkdir()
    for i in range(N):
        image = np.random.default_rng(i).integers(0, 256, (20 + i, 30, 3), dtype=np.uint8)
        Image.fromarray(image).save(tmp_path / "photos" / f"{i:02}.png")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        torch.save(models.shufflenet_v2_x0_5(weights=None).state_dict(), "net.pth")
    return tmp_path


def test_a_killed_command_continues_where_it_stopped(photos):
    def run(stop):
        command = [sys.executable, "-c", textwrap.dedent(RUN), str(stop), ENCODER]
        return subprocess.Popen(command, cwd=photos, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    with run(4) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        os.kill(process.pid, signal.SIGKILL)
    assert not (photos / "continued.npy").exists()
    with run(-1) as process:
        shown, _ = process.communicate("")
        assert process.returncode == 0
    # Sixteen images were on disk in whole blocks of four.
    assert shown.splitlines()[-1] == f"seen {N - 16}"
    assert main(["encode", "photos", "-e", ENCODER, "--store", "other", "-o", "whole.npy"]) == 0
    assert (photos / "whole.npy").read_bytes() == (photos / "continued.npy").read_bytes()
    assert len(np.unique(np.load("whole.npy"), axis=0)) == N


SPREAD = """
    from pathlib import Path
    from time import sleep
    from querist.encoders import spread
    from querist.evidence import features, parts

    features.CHUNK, parts.RECORD_SECONDS, spread.IDLE_SECONDS = 4, 0, 1
    begin = spread.Spread.__call__

    def watched(self, *job):
        for number, block in enumerate(begin(self, *job)):
            if number == 3:
                tasks = Path("/proc/self/task").glob("*/children")
                print(*(pid for task in tasks for pid in task.read_text().split()), flush=True)
                sleep(600)
            yield block

    spread.Spread.__call__ = watched
    from querist.cli.main import main
    main(["encode", "photos", "-e", "handcrafted(size=16)", "-o", "continued.npy", "--devices", "2"])
"""


@pytest.mark.skipif(not Path("/proc/thread-self/children").exists(), reason="children are listed by Linux alone")
def test_a_killed_command_of_several_processes_leaves_none_behind_and_continues(photos):
    command = [sys.executable, "-c", textwrap.dedent(SPREAD)]
    with subprocess.Popen(command, cwd=photos, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        children = process.stdout.readline().split()
        os.kill(process.pid, signal.SIGKILL)
    assert len(children) >= 2
    end = time.monotonic() + 60
    while any(_runs(pid) for pid in children) and time.monotonic() < end:
        time.sleep(0.2)
    assert not any(_runs(pid) for pid in children)
    small = "handcrafted(size=16)"
    assert main(["encode", "photos", "-e", small, "-o", "continued.npy", "--devices", "2"]) == 0
    assert main(["encode", "photos", "-e", small, "--store", "other", "-o", "whole.npy"]) == 0
    assert (photos / "whole.npy").read_bytes() == (photos / "continued.npy").read_bytes()


def _runs(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
