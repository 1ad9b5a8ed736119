"""A study that dies or finds the disk full, at every call that changes the disk, goes on with the same bytes."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

DIED = 9
ADVICE = {"ENOSPC": "Free some space", "EROFS": "read-only for you", "EACCES": "read-only for you"}


@pytest.fixture(scope="module")
def calm(nursery, tiny, records, tmp_path_factory):
    """Records of an undisturbed run, and the calls it made."""
    store = tmp_path_factory.mktemp("calm")
    status, child = nursery.run(tiny, store, fault={})
    assert status == 0, child.outcome
    return records(store), [tuple(call) for call in child.outcome["calls"]]


@pytest.fixture
def make_store(tmp_path):
    """Make a new empty store: with the folder there, a study makes the same calls as the undisturbed one."""

    def make_store(name):
        (tmp_path / str(name)).mkdir()
        return tmp_path / str(name)

    return make_store


@pytest.fixture
def ordeal(nursery, tiny, records, calm, make_store):
    """Let a study fail at the given calls, each time in a new store, check what it left, and let it go on."""

    def ordeal(names, how, check):
        calls = [(at, call) for at, call in enumerate(calm[1], start=1) if call[0] in names]
        assert calls
        for some in batched(calls, 2):  # two at a time, for two cores
            stores = [make_store(at) for at, _ in some]
            faults = [{"at": at, "how": how(at)} for at, _ in some]
            failing = [nursery.start(tiny, s, fault=f) for s, f in zip(stores, faults, strict=True)]
            for child, store, (at, where) in zip(failing, stores, some, strict=True):
                check(child.wait(), child, store, f"call {at}, {where}")
            going_on = [nursery.start(tiny, store) for store in stores]
            for child, store, (at, where) in zip(going_on, stores, some, strict=True):
                assert child.wait() == 0, (at, where, child.outcome)
                assert records(store) == calm[0], (at, where)

    return ordeal


def batched(values, size):
    return [values[start : start + size] for start in range(0, len(values), size)]


def must_die(status, child, _store, where):
    assert status == DIED, (where, child.outcome)


def test_the_calls_are_the_ones_that_matter(calm):
    expected, calls = calm
    events = sum(data.count(b"\n") for name, data in expected.items() if name.endswith("ledger.jsonl"))
    ledger = [name for name, file in calls if file == "ledger.jsonl"]
    assert ledger == ["os.open", "os.ftruncate", "os.write", "os.fsync"] * events
    for file in ("study.json", "spec.json", "rounds.parquet", "picks.parquet"):
        steps = [name for name, target in calls if target.startswith(f".{file}.")]
        assert steps == ["open", "write", "os.fsync", "os.replace"], file
    assert len([1 for name, _ in calls if name == "os.replace"]) == 9  # and four of the cache, one of telemetry


def test_a_kill_at_every_call(ordeal, calm):
    ordeal({name for name, _ in calm[1]}, lambda at: "before", must_die)


def test_a_kill_within_every_write(ordeal):
    ordeal({"os.write", "write"}, lambda at: "half", must_die)


def test_one_kill_after_another(nursery, tiny, records, calm, tmp_path):
    """Every attempt dies a few calls later than it could begin anew, in the midst of whatever it then writes."""
    expected, _ = calm
    statuses = []
    while not statuses or statuses[-1] == DIED:
        fault = {"at": 8 + len(statuses), "how": "half" if len(statuses) % 2 else "before"}
        status, child = nursery.run(tiny, tmp_path, fault=fault)
        statuses.append(status)
        assert len(statuses) < 40, child.outcome
    assert statuses[-1] == 0
    assert len(statuses) > 5
    assert records(tmp_path) == expected


@pytest.mark.parametrize(
    ("kinds", "names"),
    [(["ENOSPC"], ("os.write", "write", "os.fsync")), (["EROFS", "EACCES"], ("os.open", "open", "os.mkdir"))],
    ids=["full", "read-only"],
)
def test_a_disk_that_refuses_from_some_call_on(ordeal, records, calm, kinds, names):
    def must_say_what_to_do(status, child, store, where):
        told = child.outcome
        assert status == 1, (where, told)
        assert told["error"] == "StoreError", (where, told)
        assert str(store) in told["message"]
        assert ADVICE[told["how"]] in told["message"], (where, told)
        assert not list(store.glob("runs/*/error.json")), "a full disk is no failure of the run"
        for name, data in records(store).items():
            assert calm[0][name].startswith(data), (where, "what is on record was not cut back to complete events")

    ordeal(names, lambda at: kinds[at % len(kinds)], must_say_what_to_do)


def test_a_store_that_can_only_be_read(nursery, tiny, records, calm, items):
    expected, _ = calm
    folder = Path(tempfile.mkdtemp())  # not below `tmp_path`, which is closed to other users
    try:
        folder.chmod(0o755)
        study = {**tiny, "study": {**tiny["study"], "dataset": {"name": "npz", "path": str(folder / "items.npz")}}}
        shutil.copy(items, folder / "items.npz")
        store = folder / "store"
        store.mkdir(mode=0o555)
        nobody = {"user": 65534} if os.geteuid() == 0 else {}  # permissions do not bind root
        status, child = nursery.run(study, store, **nobody)
        assert (status, child.outcome.get("error")) == (1, "StoreError"), child.outcome
        assert ADVICE["EACCES"] in child.outcome["message"]
        assert list(store.iterdir()) == []
        store.chmod(0o755)
        status, child = nursery.run(study, store)
        assert status == 0, child.outcome
        assert records(store) == expected
    finally:
        shutil.rmtree(folder)
