"""A study killed at random moments, or run by several processes, has the bytes of an undisturbed one."""

import json
import os
import random
import shutil
import signal
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

SEED = 2024


def recorded(store):
    """Return the bytes in all ledgers of a store."""
    return sum(path.stat().st_size for path in store.glob("runs/*/ledger.jsonl"))


def wait_for(store, size):
    """Return when the ledgers of a store have grown to a size, at the latest after a minute."""
    deadline = time.monotonic() + 60
    while recorded(store) < size and time.monotonic() < deadline:
        time.sleep(0.0005)


def workers_of(child):
    """Return the process ids of the workers of a study."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            group = int((process / "stat").read_text().rpartition(")")[2].split()[2])
            if group == child.pid and b"LokyProcess" in (process / "cmdline").read_bytes():
                found.append(int(process.name))
    return found


def kill_group(child):
    """Kill a study with all its workers."""
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    for lock in Path("/dev/shm").glob(f"sem.loky-{child.pid}-*"):  # nobody is left to tidy up
        lock.unlink()
    for folder in Path("/dev/shm").glob(f"joblib_memmapping_folder_{child.pid}_*"):
        shutil.rmtree(folder)


def kill_when(child, store, size):
    """Kill a study when its ledgers have grown to a size; return whether it was still at work."""
    wait_for(store, size)
    kill_group(child)
    status = child.wait()
    assert status in (0, -signal.SIGKILL), child.outcome
    return status != 0


def steps_done(store):
    """Return how often each step of each round of each run was done, by the telemetry."""
    done = Counter()
    for path in store.glob("runs/*/telemetry.jsonl"):
        for line in map(json.loads, path.read_text().splitlines()):
            done[path.parent.name, line["round"], line["step"]] += 1
    return done


@pytest.fixture(scope="module")
def calm(nursery, small, records, tmp_path_factory):
    """The store of an undisturbed run."""
    store = tmp_path_factory.mktemp("calm")
    status, child = nursery.run(small, store)
    assert status == 0, child.outcome
    assert not list(store.glob("runs/*/error.json"))
    return store


def test_the_undisturbed_study_asks_and_tests_once(calm, records):
    ledgers = [data for name, data in records(calm).items() if name.endswith("ledger.jsonl")]
    assert len(ledgers) == 9
    for data in ledgers:
        events = [json.loads(line) for line in data.splitlines()]
        asked = [(e["round"], e["purpose"]) for e in events if e["event"] == "asked" and not e.get("left")]
        assert asked == [(-1, "validation"), (-1, "initial"), (0, "query"), (1, "query"), (2, "query")]
        assert [e["checkpoint"] for e in events if e["event"] == "evaluated"] == [0, 1, 2, 3]
    assert sum(data.count(b'"left":2') for data in ledgers) == 9, "no query of three items was asked one by one"
    done = [(step, count) for (_, _, step), count in steps_done(calm).items() if step in ("fit", "evaluate")]
    assert Counter(done) == {("fit", 1): 9 * 4, ("evaluate", 1): 9 * 4}


@pytest.mark.parametrize(("workers", "kills"), [(1, 6), (2, 2)], ids=["one worker", "two workers"])
def test_killed_at_random_moments(nursery, small, records, calm, tmp_path, workers, kills):
    draw = random.Random(f"{SEED} {workers}")
    killed = 0
    for share in sorted(draw.random() for _ in range(kills)):
        child = nursery.start(small, tmp_path, workers=workers, cohort=2, pace=0.002)
        killed += kill_when(child, tmp_path, max(recorded(tmp_path) + 1, 0.9 * share * recorded(calm)))
    assert killed >= kills / 2, "most of the processes were done before they could be killed"
    status, child = nursery.run(small, tmp_path, workers=workers)
    assert status == 0, child.outcome
    assert records(tmp_path) == records(calm)


def test_a_worker_that_is_killed_is_replaced_by_the_main_process(nursery, small, records, calm, tmp_path):
    child = nursery.start(small, tmp_path, workers=2)
    wait_for(tmp_path, recorded(calm) // 4)
    victim = min(workers_of(child))
    os.kill(victim, signal.SIGKILL)
    assert child.wait() == 0, child.outcome
    assert records(tmp_path) == records(calm)


def test_a_study_continued_while_workers_of_the_killed_process_still_run(nursery, small, records, calm, tmp_path):
    child = nursery.start(small, tmp_path, workers=2)
    wait_for(tmp_path, recorded(calm) // 4)
    os.kill(child.pid, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    try:
        status, heir = nursery.run(small, tmp_path)
        assert status == 0, heir.outcome
        assert records(tmp_path) == records(calm)
    finally:
        kill_group(child)


def test_two_processes_share_a_study(nursery, small, records, calm, tmp_path):
    children = [nursery.start(small, tmp_path, cohort=1, pace=0.002) for _ in range(2)]
    assert [child.wait() for child in children] == [0, 0]
    assert records(tmp_path) == records(calm)
    assert steps_done(tmp_path) == steps_done(calm), "something was done twice"
    paths = tmp_path.glob("runs/*/telemetry.jsonl")
    workers = {json.loads(line)["pid"] for path in paths for line in path.read_text().splitlines()}
    assert workers == {child.pid for child in children}, "one of them had nothing to do"


def test_a_process_takes_over_from_one_that_is_killed(nursery, small, records, calm, tmp_path):
    first, second = (nursery.start(small, tmp_path, cohort=2, pace=0.002) for _ in range(2))
    assert kill_when(first, tmp_path, recorded(calm) // 3)
    assert second.wait() == 0
    assert records(tmp_path) == records(calm)


@pytest.mark.parametrize("workers", [1, 2])
def test_files_that_may_not_grow(nursery, small, records, calm, tmp_path, workers):
    largest = min(path.stat().st_size for path in calm.glob("runs/*/ledger.jsonl")) - 100
    status, child = nursery.run(small, tmp_path, workers=workers, largest=largest)
    assert (status, child.outcome.get("error")) == (1, "StoreError"), child.outcome
    assert "ledger.jsonl: File too large. Free some space" in child.outcome["message"]
    status, child = nursery.run(small, tmp_path)
    assert status == 0, child.outcome
    assert records(tmp_path) == records(calm)
