"""``querist scorer`` on a model that a study kept: nothing is trained again, and what it was taught is on record."""

import json
import shutil
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from querist.cli.main import main
from querist.data.digits import digits
from querist.data.memory import from_arrays
from querist.errors import UsageError
from querist.evidence.needs import Probs
from querist.learners.base import learners
from querist.session.scorer import stored_scorer
from querist.session.setting import Setting
from querist.studies.study import Study
from querist.testing.keeping import FakeKeeping

STUDY = """
[study]
name = "kept"
dataset = "digits"
learner = "{learner}"
strategy = ["random"]
initial = {{ strategy = "random", size = 20 }}
pools = 1
[budget]
step = 10
rounds = 1
[validation]
size = 5
"""


@dataclass(frozen=True, kw_only=True)
class FakeOwn(FakeKeeping):
    """As a learner with a backbone of its own: it reads items."""

    trains_backbone: ClassVar[bool] = True


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """The store of a study with its models, by a learner on items and by one that counts as one on features."""
    learners.register("scorer_own")(FakeOwn)
    learners.register("scorer_frozen")(FakeKeeping)
    folder = tmp_path_factory.mktemp("kept")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda handle: None)
        for learner in ("scorer_own", "scorer_frozen"):
            (folder / "study.toml").write_text(STUDY.format(learner=learner))
            Study.read(folder / "study.toml", folder / learner).run(keep="all")
    return folder


@pytest.fixture
def model(kept):
    return kept / "scorer_own", next((kept / "scorer_own").glob("runs/*/models/round-001"))


@pytest.fixture(autouse=True)
def _other(tmp_path, monkeypatch):
    """Digits, upside down: nobody has seen them."""
    monkeypatch.chdir(tmp_path)
    data = digits()
    x = np.array(data.items[data.pool[:60]])[:, ::-1]
    np.savez("other.npz", x=x, classes=np.array(data.classes))


def document(words, capsys) -> dict:
    assert main([*map(str, words), "--json"]) == 0, capsys.readouterr()
    return json.loads(capsys.readouterr().out)


def refusal(words, capsys) -> str:
    assert main(list(map(str, words))) == 2
    return " ".join(capsys.readouterr().err.split())


def test_outputs_are_those_of_the_model(model, capsys):
    _, folder = model
    found = document(["scorer", folder, "other.npz", "--out", "p.npy", "-s", "entropy"], capsys)
    run = folder.parent.parent.name
    assert found["trained_on"] == f"scorer_own on 35 labels of digits (bought by run {run[:12]})"
    assert found["scorer"]["n_labels"] == 20 + 10 + 5
    data = from_arrays("other", np.load("other.npz")["x"], None, classes=digits().classes)
    expected = FakeOwn().load(folder).provide(Probs(), Setting(data).view(data.pool))
    assert np.load("p.npy") == pytest.approx(expected, abs=1e-6)
    assert sorted(np.load("p_entropy_sorted_idx.npy").tolist()) == list(range(60))


def test_an_earlier_round_has_seen_fewer_labels(model, capsys):
    _, folder = model
    found = document(["scorer", folder.parent / "round-000", "other.npz", "--out", "p.npy"], capsys)
    assert found["scorer"]["n_labels"] == 20 + 5


def test_the_pool_it_was_taught_on_is_refused(model, capsys):
    _, folder = model
    said = refusal(["scorer", folder, "digits", "--out", "p.npy"], capsys)
    assert "all 35 training items from 'digits' are items of the source to score, 35 pool items" in said
    found = document(["scorer", folder, "digits", "--out", "p.npy", "--external-study"], capsys)
    assert found["external_study"]
    assert found["shared"] == {"pool": 35}


@pytest.mark.parametrize("words", [["--size", "10"], ["--split", "test"], ["--leave-out-shared"]])
def test_it_is_trained_already(model, words, capsys):
    assert "do not go with a kept model" in refusal(["scorer", model[1], "other.npz", *words], capsys)


def test_what_it_was_taught_must_be_known(model, kept, capsys, tmp_path):
    _, folder = model
    copied = tmp_path / "run" / "models" / "round-001"
    shutil.copytree(folder, copied)
    assert "there is no ledger beside" in refusal(["scorer", copied, "other.npz"], capsys)
    shutil.copy(folder.parent.parent / "ledger.jsonl", tmp_path / "run")
    said = refusal(["scorer", copied, "other.npz", "--dataset", "sample(digits, pool=50)"], capsys)
    assert "was trained on 'digits' of content" in said
    assert "--dataset SOURCE" in said
    assert document(["scorer", copied, "other.npz", "--dataset", "digits"], capsys)["scorer"]["n_labels"] == 35
    card = json.loads((copied / "fit.json").read_bytes())
    card["spec"]["dataset"]["name"] = "photos of mine"
    (copied / "fit.json").write_text(json.dumps(card))
    assert "cannot be had by its name" in refusal(["scorer", copied, "other.npz"], capsys)


@pytest.mark.parametrize("harm", ["another run", "cut short"])
def test_the_ledger_must_be_that_of_the_model(model, kept, harm, capsys, tmp_path):
    """Or labels that were seen would not be known."""
    _, folder = model
    copied = tmp_path / "run" / "models" / "round-001"
    shutil.copytree(folder, copied)
    ledger = folder.parent.parent / "ledger.jsonl"
    lines = ledger.read_text().splitlines(keepends=True)
    if harm == "another run":
        lines = next((kept / "scorer_frozen").glob("runs/*/ledger.jsonl")).read_text().splitlines(keepends=True)
    else:
        rounds = [i for i, line in enumerate(lines) if '"query"' in line]
        lines = lines[: rounds[0]]
    (tmp_path / "run" / "ledger.jsonl").write_text("".join(lines))
    said = refusal(["scorer", copied, "other.npz"], capsys)
    assert "is not the ledger of the run that kept" in said
    assert "Copy both from the store" in said


def test_a_model_on_frozen_features_is_to_be_trained_again(kept, capsys):
    folder = next((kept / "scorer_frozen").glob("runs/*/models/round-001"))
    said = refusal(["scorer", folder, "other.npz"], capsys)
    assert "reads frozen features" in said
    assert "querist scorer SOURCE POOL --learner scorer_frozen" in said


def test_a_run_and_a_store_are_pointed_to_one_of_their_models(model, kept, capsys):
    store, folder = model
    for given in (store, folder.parent.parent):
        assert main(["scorer", str(given), "other.npz", "--json"]) == 2
        said = json.loads(capsys.readouterr().out)["error"]["message"]
        assert said == f"{given} holds more than one model: name the folder of one, as in {folder}."
    (kept / "empty" / "runs").mkdir(parents=True, exist_ok=True)
    assert "there are no stored models in" in refusal(["scorer", kept / "empty", "other.npz"], capsys)


def test_a_folder_without_a_whole_model_is_refused(tmp_path):
    with pytest.raises(UsageError, match="holds no whole model"):
        stored_scorer(tmp_path, digits())
