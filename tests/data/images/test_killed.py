"""A hundred pictures and forty bad files: all of them told, and the same outcome after a kill at every write."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from querist.data.images.folder import folder

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@pytest.fixture(scope="module")
def planted(tmp_path_factory, draw, planter):
    """Return a folder of 100 pictures in four classes, and what must be said of 40 bad files in it."""
    root = tmp_path_factory.mktemp("killed") / "photos"
    folders = [root / name for name in ("ant", "bee", "cow", "cow/calf", "dog")]
    for place in folders:
        place.mkdir(parents=True, exist_ok=True)
    for number in range(100):
        draw(number).save(folders[number % 5] / f"{number:03d}.{'png' if number % 3 else 'jpg'}")
    return root, planter.plant(folders)


def run(photos, work, how):
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("reader.py")), str(photos), str(work), how],
        capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def test_every_bad_file_is_told_with_its_reason_and_nothing_else_is(planted, tmp_path):
    root, bad = planted
    data = folder(str(root), cache=str(tmp_path))
    told = {Path(aside.path): aside.reason for aside in data.set_aside}
    assert len(bad) == 40
    assert told.keys() == bad.keys()
    for path, reason in bad.items():
        assert told[path].startswith(reason), (path, told[path])
    assert len(data.manifest) == 100
    assert data.classes == ("ant", "bee", "cow", "dog")


@pytest.fixture(scope="module")
def undisturbed(planted, tmp_path_factory):
    sys.path.insert(0, str(Path(__file__).parent))
    try:
        from reader import outcome
    finally:
        sys.path.pop(0)
    from querist.data.images import ingest

    before, ingest.BATCH = ingest.BATCH, 50
    try:
        return json.loads(json.dumps(outcome(planted[0], tmp_path_factory.mktemp("undisturbed"))))
    finally:
        ingest.BATCH = before


def test_killed_at_every_write_it_goes_on_to_the_same_bytes(planted, undisturbed, tmp_path):
    told = run(planted[0], tmp_path, "kill")
    assert len(told) >= 18  # three batches, each two files that are cut, written and synced
    for at, child in enumerate(told, start=1):
        assert child["status"] == -9, at
        assert child["again"] == undisturbed, at


def test_a_full_disk_is_an_error_that_loses_nothing(planted, undisturbed, tmp_path):
    told = run(planted[0], tmp_path, "ENOSPC")
    assert len(told) >= 12
    for at, child in enumerate(told, start=1):
        assert child["status"] == 0, at
        kind, message = child["said"]
        assert kind == "StoreError", (at, message)
        assert "No space left on device" in message
        assert "What was stored before is intact" in message
        assert child["again"] == undisturbed, at
