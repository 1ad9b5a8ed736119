"""A study whose learner searches its settings dies at every call that changes the disk, and has the same bytes."""

from importlib.util import find_spec

import pytest

DIED = 9


@pytest.fixture(scope="module")
def tuned(tiny):
    """A study of one run and two checkpoints, with a search at each."""
    if find_spec("optuna") is None:
        pytest.skip("needs the extra tune")
    learner = {
        "name": "tuned", "base": "linear", "space": {"C": {"low": 0.01, "high": 100.0, "log": True}}, "trials": 3,
        "sampler": "tpe",
    }  # fmt: skip
    return {**tiny, "study": {**tiny["study"], "name": "tuned", "learner": learner}}


@pytest.fixture(scope="module")
def home(nursery, tuned, tmp_path_factory):
    """A nursery that has imported what a search needs."""
    home = type(nursery)(tuned, tmp_path_factory.mktemp("home"))
    yield home
    home.server.communicate(timeout=60)


@pytest.fixture(scope="module")
def compared(records):
    """Return what is compared in a store, by name."""

    def compared(store):
        tables = {path.name: path.read_bytes() for path in store.glob("studies/*/tuning.parquet")}
        return {**records(store), **tables}

    return compared


@pytest.fixture(scope="module")
def calm(home, tuned, compared, tmp_path_factory):
    """Records of an undisturbed run, and the calls it made."""
    store = tmp_path_factory.mktemp("calm")
    status, child = home.run(tuned, store, fault={})
    assert status == 0, child.outcome
    return compared(store), [tuple(call) for call in child.outcome["calls"]]


def test_every_trial_is_written_once_and_the_searches_are_on_the_ledger(calm):
    expected, calls = calm
    renamed = [file for name, file in calls if name == "os.replace" and file.startswith(".trial-")]
    assert len(renamed) == 2 * 3
    (ledger,) = (data for name, data in expected.items() if name.endswith("ledger.jsonl"))
    assert ledger.count(b'"event":"tuned"') == 2
    assert "tuning.parquet" in expected


@pytest.mark.parametrize(("names", "how"), [(("os.replace",), "before"), (("write", "os.write"), "half")])
def test_a_kill_at_every_call(home, tuned, compared, calm, tmp_path, names, how):
    places = [at for at, call in enumerate(calm[1], start=1) if call[0] in names]
    assert len(places) > 10
    for at in places:
        store = tmp_path / str(at)
        store.mkdir()
        status, child = home.run(tuned, store, fault={"at": at, "how": how})
        assert status == DIED, (at, calm[1][at - 1], child.outcome)
        status, child = home.run(tuned, store)
        assert status == 0, (at, calm[1][at - 1], child.outcome)
        assert compared(store) == calm[0], (at, calm[1][at - 1])


def test_one_kill_after_another(home, tuned, compared, calm, tmp_path):
    """Every attempt dies a few calls later than it could begin anew, in the midst of whatever it then writes."""
    statuses = []
    while not statuses or statuses[-1] == DIED:
        fault = {"at": 8 + len(statuses), "how": "half" if len(statuses) % 2 else "before"}
        status, child = home.run(tuned, tmp_path, fault=fault)
        statuses.append(status)
        assert len(statuses) < 60, child.outcome
    assert statuses[-1] == 0
    assert len(statuses) > 5
    assert compared(tmp_path) == calm[0]
