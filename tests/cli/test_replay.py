"""``querist replay`` from the outside: stored runs in, the same ids out, and what is said where they are not."""

import json
import re

import pytest

from querist.cli.main import main
from querist.data.dataset import Dataset, datasets
from querist.learners.base import learners
from querist.strategies.base import strategies
from querist.studies.study import Study
from querist.testing.fakes import fake_dataset
from querist.testing.keeping import FakeWarm
from querist.testing.sequential import FakeSequential

STUDY = """
[study]
name = "small"
dataset = {dataset}
learner = "warm_fake"
strategy = ["random", "margin", "one_by_one", "kmeans_single_batch"]
pools = 2
initial = {{ strategy = "random", size = 6 }}
[budget]
step = 4
rounds = 2
"""


def replayed(seed: int = 0) -> Dataset:
    """Ninety items to choose from and thirty to test on."""
    return fake_dataset(seed=seed)


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """The file and the store of a study with all of its models."""
    datasets.register("fake")(replayed)
    learners.register("warm_fake")(FakeWarm)
    strategies.register("one_by_one", flags=("sequential",))(FakeSequential)
    folder = tmp_path_factory.mktemp("stored")
    file = folder / "small.toml"
    file.write_text(STUDY.format(dataset='"fake"'))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda handle: None)
        assert main(["study", "run", str(file), "--store", str(folder / "store"), "--workers", "1",
                     "--keep-models", "all"]) == 0  # fmt: skip
    return str(file), folder / "store"


def document(words, capsys, status=0) -> dict:
    capsys.readouterr()
    assert main([*map(str, words), "--json"]) == status
    return json.loads(capsys.readouterr().out)


def refusal(words, capsys) -> str:
    return document(words, capsys, status=2)["error"]["message"]


@pytest.fixture
def state(stored):
    """What is in the store, to see that nothing of it changes."""
    _, store = stored
    before = {path: path.read_bytes() for path in store.rglob("*") if path.is_file()}
    yield before
    assert {path: path.read_bytes() for path in store.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("arm", ["random", "margin", "one_by_one"])
@pytest.mark.parametrize("number", [-1, 0, 1])
def test_the_same_ids_by_file_by_name_and_by_folder(stored, state, capsys, arm, number):
    file, store = stored
    words = ["--arm", arm, "--pool", 1, "--round", number, "--store", store]
    by_file = document(["replay", file, *words], capsys)
    assert by_file["same"]
    assert by_file["recorded"] == by_file["replayed"]
    assert len(by_file["recorded"]) == (6 if number < 0 else 4)
    assert by_file["differing"] == []
    assert by_file["largest_difference"] == 0
    assert by_file["loaded"] == ([] if number < 0 else [number])
    assert by_file["fits"] == 0
    assert bool(by_file["metrics"]["replayed"]) == (number >= 0)
    assert document(["replay", "small", *words], capsys) == by_file
    by_folder = document(["replay", by_file["folder"], "--round", number], capsys)
    assert by_folder == by_file


def test_without_the_stored_model_it_is_fitted_again(stored, state, capsys):
    file, store = stored
    found = document(["replay", file, "--store", store, "--arm", "margin", "--refit"], capsys)
    assert (found["same"], found["round"], found["loaded"], found["fits"]) == (True, 1, [], 2)
    assert main(["replay", file, "--store", str(store), "--arm", "margin", "--refit"]) == 0
    said = capsys.readouterr()
    assert "Same: 4 of 4 ids, in the same order. Scores and test metrics are those on record, to the last bit." in (
        " ".join(said.out.split())
    )
    assert "fitted again: 2" in said.err


def test_a_strategy_that_chooses_all_at_once_has_a_run_for_every_round(stored, state, capsys):
    file, store = stored
    for number, size in ((-1, 6), (0, 10), (1, 14)):
        words = ["--store", store, "--arm", "kmeans_single_batch", "--round", number]
        found = document(["replay", file, *words], capsys)
        assert (found["same"], found["round"], len(found["recorded"])) == (True, number, size)
        assert document(["replay", found["folder"]], capsys)["recorded"] == found["recorded"]
        assert "has a run for every round" in refusal(["replay", "small", *words], capsys)
    assert "for rounds -1 to 1" in refusal(
        ["replay", file, "--store", store, "--arm", "kmeans_single_batch", "--round", 2], capsys
    )


def test_a_model_that_was_replaced_is_told_with_the_difference(stored, tmp_path, capsys):
    file, store = stored
    found = document(["replay", file, "--store", store, "--arm", "margin", "--round", 1], capsys)
    model = store / "runs" / found["run"] / "models" / "round-001" / "model.json"
    kept = model.read_bytes()
    other = json.loads(kept)
    try:
        model.write_text(json.dumps({**other, "weight": [row[::-1] for row in other["weight"]]}))
        told = document(["replay", file, "--store", store, "--arm", "margin", "--round", 1], capsys, status=1)
        assert not told["same"]
        assert told["differing"][0]["recorded"] == told["recorded"][told["differing"][0]["rank"] - 1]
        assert told["largest_difference"] > 0
        assert main(["replay", file, "--store", str(store), "--arm", "margin", "--round", "1"]) == 1
        assert re.search(
            r"DIFFERENT: \d of 4 ids; the first at rank \d: \d+ on record, \d+ now", capsys.readouterr().out
        )
    finally:
        model.write_bytes(kept)


def test_mistakes_teach(stored, state, capsys, tmp_path):
    file, store = stored
    on = ["--store", store]
    assert "4 arms: random, margin, one_by_one, kmeans_single_batch. Name one: --arm" in refusal(
        ["replay", file, *on], capsys
    )
    assert "Did you mean 'margin'" in refusal(["replay", file, *on, "--arm", "margn"], capsys)
    assert "pools 0 to 1, seeds 0 to 0" in refusal(["replay", file, *on, "--arm", "margin", "--pool", 5], capsys)
    assert "rounds -1 to 1 are" in refusal(["replay", file, *on, "--arm", "margin", "--round", 5], capsys)
    assert "Studies there: small" in refusal(["replay", "smal", *on, "--arm", "margin"], capsys)
    assert "spec.json" in refusal(["replay", tmp_path, *on], capsys)
    folder = document(["replay", file, *on, "--arm", "margin"], capsys)["folder"]
    assert "is the folder of one run" in refusal(["replay", folder, "--arm", "margin"], capsys)
    assert "--dataset goes with the folder" in refusal(["replay", file, *on, "--dataset", "digits"], capsys)
    assert "nothing is on record" in refusal(["replay", file, "--store", tmp_path / "s", "--arm", "margin"], capsys)


def test_other_data_are_refused(stored, state, capsys):
    file, store = stored
    changed = ["--store", store, "--arm", "margin", "--set", "study.dataset={name='fake', seed=1}"]
    message = refusal(["replay", file, *changed], capsys)
    assert "dataset.fingerprint" in message
    folder = document(["replay", file, "--store", store, "--arm", "margin"], capsys)["folder"]
    message = refusal(["replay", folder, "--dataset", "fake(seed=1)"], capsys)
    assert "dataset.fingerprint" in message
    assert document(["replay", folder, "--dataset", "fake(seed=0)"], capsys)["same"]


def test_help_teaches_with_an_example(capsys):
    assert main(["replay", "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "querist replay study.toml" in shown
    assert "1 and the difference if not" in shown


def test_the_records_of_the_study_are_those_without_models(stored, tmp_path):
    file, store = stored
    bare = Study.read(file, tmp_path / "bare")
    bare.run(keep="none")
    kept = Study.read(file, store)
    for run in bare.plan.runs:
        ledgers = [one.store.run(run).path / "ledger.jsonl" for one in (bare, kept)]
        assert ledgers[0].read_bytes() == ledgers[1].read_bytes()
        assert not (bare.store.run(run).path / "models").exists()
        assert (kept.store.run(run).path / "models").exists()
