"""``querist evaluate`` from the outside: sets of labels and stored models in, test metrics out, nothing asked."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from querist.analysis.verdicts import compare
from querist.cli.main import main
from querist.data.dataset import Dataset, datasets
from querist.data.digits import digits
from querist.data.indices import write_ids
from querist.learners.base import learners
from querist.studies.evaluations import Evaluations
from querist.studies.study import Study
from querist.testing.fakes import fake_dataset
from querist.testing.keeping import FakeKeeping, FakeWarm

STUDY = """
[study]
name = "small"
dataset = "fake"
learner = "kept_fake"
strategy = ["random", "margin", "kmeans"]
pools = 5
initial = { strategy = "random", size = 6 }
[budget]
step = 4
rounds = 2
[validation]
size = 3
"""


def replayed(seed: int = 0, n: int = 120) -> Dataset:
    """Items to choose from, and a quarter for testing."""
    return fake_dataset(n=n, seed=seed)


@pytest.fixture(scope="module", autouse=True)
def _registered():
    datasets.register("fake")(replayed)
    learners.register("kept_fake")(FakeKeeping)
    learners.register("warm_fake")(FakeWarm)


@pytest.fixture(scope="module")
def stored(tmp_path_factory, _registered):
    """The file and the store of a study with all of its models."""
    folder = tmp_path_factory.mktemp("stored")
    file = folder / "small.toml"
    file.write_text(STUDY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda handle: None)
        Study.read(file, folder / "store").run(keep="all")
    return str(file), folder / "store"


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr("os.fsync", lambda handle: None)


@pytest.fixture
def made(monkeypatch):
    """How many evaluations were made, and not read."""
    made: list[str] = []
    make = Evaluations.make

    def counted(self, one):
        made.append(one.key)
        return make(self, one)

    monkeypatch.setattr(Evaluations, "make", counted)
    return made


@pytest.fixture
def pool():
    return fake_dataset().pool


def document(words, capsys, status=0) -> dict:
    capsys.readouterr()
    assert main([*map(str, words), "--json"]) == status
    return json.loads(capsys.readouterr().out)


def refusal(words, capsys) -> str:
    return document(words, capsys, status=2)["error"]["message"]


class TestFiles:
    @pytest.fixture
    def files(self, tmp_path, pool):
        """Three sets in three formats, as other systems write them."""
        np.save(tmp_path / "kmeans_fake_12.npy", pool[::7][:12].astype(np.int32))
        write_ids(tmp_path / "lSet.txt", pool[5:35])
        write_ids(tmp_path / "picks.csv", pool[40:60][::-1])
        return [tmp_path / name for name in ("kmeans_fake_12.npy", "lSet.txt", "picks.csv")]

    @pytest.fixture
    def words(self, tmp_path, files):
        return ["evaluate", *files, "--dataset", "fake", "--store", tmp_path / "store"]

    def test_every_learner_on_every_set(self, words, files, capsys, made):
        found = document([*words, "--learner", "linear", "--learner", "knn(k=3)", "--seeds", 2], capsys)
        assert found["dataset"] == "fake"
        places = [(r["learner"]["name"], r["set"], r["seed"], r["n_labels"]) for r in found["results"]]
        assert places == [
            (learner, str(file), seed, n)
            for learner in ("linear", "knn")
            for file, n in zip(files, (12, 30, 20), strict=True)
            for seed in (0, 1)
        ]
        assert all(0 < r["metrics"]["accuracy"] <= 1 for r in found["results"])
        assert len(made) == 12

    def test_the_metrics_are_those_of_a_plain_fit(self, words, files, capsys, pool):
        found = document([*words, "--learner", "kept_fake"], capsys)["results"][1]
        data = fake_dataset()
        y, ids = data.labels.unseal(), pool[5:35]
        x = data.items[np.arange(120)].astype(np.float64)
        means = np.stack([x[ids][y[ids] == j].mean(axis=0) for j in range(3)])
        nearest = ((x[data.test][:, None] - means) ** 2).sum(axis=2).argmin(axis=1)
        assert found["metrics"]["accuracy"] == (nearest == y[data.test]).mean()

    def test_what_is_on_record_is_not_made_again(self, words, files, capsys, made, tmp_path):
        first = document(words, capsys)
        assert len(made) == 3
        assert document(words, capsys) == first
        assert len(made) == 3
        more = document([*words, "--learner", "knn", "--learner", "linear"], capsys)
        assert len(made) == 6
        assert more["results"][3:] == first["results"]
        write_ids(files[1], np.roll(fake_dataset().pool[5:35], 3))  # the same set in another order
        document(words, capsys)
        assert len(made) == 6
        write_ids(files[1], fake_dataset().pool[5:34])
        document(words, capsys)
        assert len(made) == 7
        document([*words, "--seed", 1], capsys)
        assert len(made) == 10

    def test_a_command_that_was_stopped_goes_on(self, words, capsys, made, monkeypatch):
        run = FakeKeeping.fit
        fits = []

        def breaking(self, job):
            fits.append(job.folder)
            if len(fits) == 2:
                raise KeyboardInterrupt
            return run(self, job)

        with monkeypatch.context() as patch:
            patch.setattr(FakeKeeping, "fit", breaking)
            assert main([*map(str, words), "--learner", "kept_fake"]) == 130
        assert len(made) == 2
        document([*words, "--learner", "kept_fake"], capsys)
        assert len(made) == 4
        assert len({folder.name for folder in fits}) == 2  # each fit has a room of its own

    def test_the_beginnings_of_a_ranking(self, tmp_path, pool, capsys):
        ranking = tmp_path / "fake_loss_sorted_idx.npy"
        np.save(ranking, pool[np.random.default_rng(0).permutation(len(pool))])
        words = ["evaluate", ranking, "--dataset", "fake", "--store", tmp_path / "s", "--first", 20, "--first", 6]
        found = document(words, capsys)["results"]
        assert [(r["checkpoint"], r["n_labels"]) for r in found] == [(0, 6), (1, 20)]
        alone = tmp_path / "alone.npy"
        write_ids(alone, np.load(ranking)[:6])
        again = document(["evaluate", alone, "--dataset", "fake", "--store", tmp_path / "t"], capsys)["results"]
        assert again[0]["metrics"] == found[0]["metrics"]
        assert "90 ids; its first 91" in refusal([*words, "--first", 91], capsys)

    def test_labels_for_validation_are_of_the_set_and_are_counted(self, words, capsys, monkeypatch):
        fits = []
        run = FakeKeeping.fit
        monkeypatch.setattr(FakeKeeping, "fit", lambda self, job: (fits.append(job), run(self, job))[1])
        found = document([*words, "--learner", "kept_fake", "--validation", 5], capsys)["results"]
        assert [(r["n_labels"], r["n_validation"]) for r in found] == [(12, 5), (30, 5), (20, 5)]
        for job, n in zip(fits, (12, 30, 20), strict=True):
            assert (len(job.labelled), len(job.validation)) == (n - 5, 5)
            assert not np.isin(job.validation.ids, job.labelled.ids).any()
            assert not np.isin(job.pool.ids, np.append(job.labelled.ids, job.validation.ids)).any()
        assert "fewer labels for validation than the 12" in refusal([*words, "--validation", 12], capsys)

    def test_a_table(self, words, tmp_path, capsys):
        for suffix, read in ((".parquet", pd.read_parquet), (".csv", pd.read_csv)):
            path = tmp_path / f"table{suffix}"
            found = document([*words, "--out", path, "--validation", 2], capsys)
            table = read(path)
            assert list(table.columns[:4]) == ["study", "arm", "dataset", "pool"]
            accuracy = table[table["metric"] == "accuracy"]
            assert accuracy["value"].tolist() == [r["metrics"]["accuracy"] for r in found["results"]]
            assert accuracy["n_labels"].tolist() == [12, 30, 20]
            assert accuracy["n_validation"].tolist() == [2, 2, 2]
        assert "ends in .parquet or .csv" in refusal([*words, "--out", tmp_path / "table.txt"], capsys)

    def test_processes_give_the_same(self, tmp_path, capsys):
        files = [tmp_path / f"{n}.json" for n in (10, 20, 30)]
        for n, file in zip((10, 20, 30), files, strict=True):
            write_ids(file, digits().pool[n : 2 * n])
        words = ["evaluate", *files, "--dataset", "digits", "--seeds", 2]
        one = document([*words, "--store", tmp_path / "one"], capsys)
        two = document([*words, "--store", tmp_path / "two", "--workers", 2], capsys)
        assert one["results"] == two["results"]
        names = [sorted(p.name for p in (tmp_path / s / "evaluations").glob("*.json")) for s in ("one", "two")]
        assert names[0] == names[1]
        assert len(names[0]) == 6

    def test_a_person_sees_a_table(self, words, capsys):
        assert main([*map(str, words), "--seeds", "2"]) == 0
        shown = capsys.readouterr().out
        assert "fake: accuracy" in shown
        assert "linear" in shown

    @pytest.mark.parametrize(
        ("ids", "message"),
        [
            ([3, 500], r"in 0..119, got 500. Ids are positions in 'fake', counted from 0; it has 120 items, 90"),
            ([4, 4], "4 occur more than once"),
            ([], "there are no ids in it"),
        ],
    )
    def test_wrong_ids_teach(self, tmp_path, capsys, ids, message):
        path = tmp_path / "wrong.npy"
        np.save(path, np.array(ids, np.int64))
        assert message in refusal(["evaluate", path, "--dataset", "fake"], capsys)

    def test_arrays_of_objects_say_how_to_convert_them(self, tmp_path, capsys):
        np.save(tmp_path / "lSet_FAKE.npy", np.array([1, 2], dtype=object), allow_pickle=True)
        message = refusal(["evaluate", tmp_path / "lSet_FAKE.npy", "--dataset", "fake"], capsys)
        assert "np.save(NEW, np.load(FILE, allow_pickle=True).astype(np.int64))" in message
        assert "Is it the dataset" not in message

    def test_ids_of_the_test_split_are_refused(self, tmp_path, capsys):
        write_ids(tmp_path / "test.npy", fake_dataset().test[:9])
        message = refusal(["evaluate", tmp_path / "test.npy", "--dataset", "fake"], capsys)
        assert "9 of 9 ids are not in the pool but in test" in message
        assert "Is it the dataset, with the split" in message

    def test_mistakes_teach(self, words, files, tmp_path, capsys, stored):
        assert "got none of them" in refusal(["evaluate"], capsys)
        assert "--dataset is missing" in refusal(["evaluate", files[0]], capsys)
        assert "files and --study" in refusal([*words, "--study", stored[0]], capsys)
        assert "--arm does not go with files" in refusal([*words, "--arm", "margin"], capsys)
        assert "--seeds does not go with --study" in refusal(["evaluate", "--study", stored[0], "--seeds", 2], capsys)
        assert "--learner does not go with --checkpoints" in refusal(
            ["evaluate", "--checkpoints", tmp_path, "--learner", "knn"], capsys
        )
        assert "Did you mean 'linear'" in refusal([*words, "--learner", "linaer"], capsys)
        assert "the same twice" in refusal([*words, "-l", "linear", "-l", "linear()"], capsys)
        assert "Did you mean 'fake'" in refusal(["evaluate", files[0], "--dataset", "fak"], capsys)
        assert "there is no such file" in refusal(["evaluate", tmp_path / "no.npy", "--dataset", "fake"], capsys)
        assert "no stored models in" in refusal(["evaluate", "--checkpoints", tmp_path], capsys)


class TestStudy:
    def test_the_studys_own_learner_gives_its_own_records(self, stored, capsys):
        file, store = stored
        words = ["evaluate", "--study", file, "--store", store, "--learner", "kept_fake"]
        found = document(words, capsys)
        own = pd.read_parquet(store / "studies" / "small" / "rounds.parquet")
        table = pd.read_parquet(found["table"])
        order = ["arm", "pool", "seed", "checkpoint", "metric"]
        both = [t.sort_values(order, ignore_index=True)[own.columns] for t in (own, table)]
        pd.testing.assert_frame_equal(*both, check_exact=True)
        assert set(table["learner"]) == {"kept_fake"}

    def test_another_learner_is_compared_in_pairs(self, stored, capsys):
        file, store = stored
        words = ["evaluate", "--study", file, "--store", store, "--learner", "knn(k=1)", "--learner", "linear"]
        found = document(words, capsys)
        table = pd.read_parquet(found["table"])
        for learner, regime in zip(dict.fromkeys(table["learner"]), found["verdicts"]["regimes"], strict=True):
            mine = table[table["learner"] == learner]
            expected = {row.arm: row for row in compare(mine, "accuracy").arms}
            shown = {arm["arm"].partition(" | ")[0]: arm for arm in regime["arms"]}
            assert shown.keys() == expected.keys() == {"random", "margin", "kmeans_single_batch"}
            for arm, row in expected.items():
                assert shown[arm]["aubc"] == row.aubc
                assert shown[arm]["difference"] == (row.difference if row.difference == row.difference else None)
        assert main([*map(str, words)]) == 0
        said = capsys.readouterr().out
        assert "learner=knn(k=1)" in said
        assert "learner=linear" in said

    def test_one_arm_has_no_verdicts_and_keeps_its_table(self, stored, capsys, tmp_path):
        file, store = stored
        words = ["evaluate", "--study", file, "--store", store, "--arm", "margin", "--out", tmp_path / "t.csv"]
        found = document(words, capsys)
        assert found["verdicts"] is None
        assert "Add 'random'" in found["note"]
        assert set(pd.read_csv(tmp_path / "t.csv")["arm"]) == {"margin"}
        assert main([*map(str, words)]) == 0
        assert "margin" in capsys.readouterr().out
        assert "Did you mean 'margin'" in refusal([*words[:-4], "--arm", "margn"], capsys)

    def test_a_study_that_is_under_way_is_evaluated_as_far_as_it_is(self, stored, tmp_path, capsys):
        file, _ = stored
        study = Study.read(file, tmp_path / "store")
        study.run(keep="none")
        run = study.plan.runs[0]
        ledger = study.store.run(run).path / "ledger.jsonl"
        lines = ledger.read_bytes().splitlines(keepends=True)
        second = next(i for i, line in enumerate(lines) if b'"asked","round":1' in line)
        ledger.write_bytes(b"".join(lines[: second + 1]))
        found = document(["evaluate", "--study", file, "--store", tmp_path / "store", "--arm", "random"], capsys)
        mine = [r["checkpoint"] for r in found["results"] if r["pool"] == 0]
        assert mine == [0, 1]
        empty = refusal(["evaluate", "--study", file, "--store", tmp_path / "other"], capsys)
        assert "nothing is on record of small" in empty

    def test_other_features(self, stored, capsys):
        file, store = stored
        words = ["evaluate", "--study", file, "--store", store, "--arm", "random", "--learner", "linear"]
        own, other = document(words, capsys), document([*words, "--encoder", "pixels(pca=1)"], capsys)
        accuracies = [[r["metrics"]["nll"] for r in one["results"]] for one in (own, other)]
        assert accuracies[0] != accuracies[1]


def _with_several_models(store):
    """Runs that ask more than once."""
    return [run for run in sorted(store.glob("runs/*")) if len(list(run.glob("models/*"))) > 1]


class TestModels:
    def test_all_models_of_a_store_have_the_metrics_on_record(self, stored, capsys):
        _, store = stored
        found = document(["evaluate", "--checkpoints", store / "runs"], capsys)["models"]
        assert len(found) == 5 * (2 * 3 + 3)
        assert all(one["same"] for one in found)
        assert {one["n_labels"] for one in found} == {9, 13, 17}
        assert found[0]["accuracy"] == found[0]["recorded"]["accuracy"]

    def test_single_models_and_wildcards(self, stored, capsys, tmp_path):
        _, store = stored
        runs = sorted(store.glob("runs/*"))[:2]
        one = sorted(runs[0].glob("models/*"))[0]
        assert len(document(["evaluate", "--checkpoints", one], capsys)["models"]) == 1
        both = document(["evaluate", "--checkpoints", *runs, "--out", tmp_path / "models.csv"], capsys)["models"]
        assert len({m["folder"] for m in both}) == len(both) >= 2
        assert len(pd.read_csv(tmp_path / "models.csv")) == len(both)

    def test_a_model_that_was_replaced_is_seen(self, stored, capsys):
        _, store = stored
        one = sorted(store.glob("runs/*/models/*"))[0] / "model.json"
        kept = one.read_bytes()
        values = json.loads(kept)
        try:
            one.write_text(json.dumps({**values, "weight": [row[::-1] for row in values["weight"]]}))
            assert main(["evaluate", "--checkpoints", str(one.parent)]) == 0
            said = capsys.readouterr()
            assert "DIFFERENT" in said.out
            assert "1 of 1 models have other test metrics" in said.err
        finally:
            one.write_bytes(kept)

    def test_another_dataset_is_refused(self, stored, capsys):
        _, store = stored
        message = refusal(["evaluate", "--checkpoints", store, "--dataset", "fake(seed=3)"], capsys)
        assert "dataset.fingerprint" in message

    def test_what_cannot_be_tested_is_skipped_and_said_at_the_end(self, stored, tmp_path, capsys):
        _, store = stored
        sound, gone = _with_several_models(store)[:2]
        copied = tmp_path / "gone"
        shutil.copytree(gone, copied)
        cards = sorted(copied.glob("models/*/fit.json"))
        for path in cards:
            card = json.loads(path.read_bytes())
            card["spec"]["dataset"]["name"] = "gone_for_good"
            path.write_text(json.dumps(card))
        # The models that cannot be tested come first.
        words = ["evaluate", "--checkpoints", str(copied), str(sound)]
        found = document(words, capsys)
        own = len(list(sound.glob("models/*/fit.json")))
        assert len(found["models"]) == own > 0
        assert {one["folder"] for one in found["skipped"]} == {str(path.parent) for path in cards}
        assert main(words) == 0
        said = capsys.readouterr()
        assert f"{len(cards)} of {len(cards) + own} models were skipped:" in said.err
        assert said.err.count("unknown dataset 'gone_for_good'") == 1
        assert f"and {len(cards) - 1} more" in said.err
        message = refusal(["evaluate", "--checkpoints", copied], capsys)
        assert f"none of {len(cards)} stored models can be tested" in message
        assert "unknown dataset 'gone_for_good'" in message

    def test_a_damaged_model_does_not_stop_the_others(self, stored, tmp_path, capsys):
        _, store = stored
        run = tmp_path / "run"
        shutil.copytree(_with_several_models(store)[0], run)
        first, *others = sorted(run.glob("models/*"))
        (first / "model.json").write_text("{")
        found = document(["evaluate", "--checkpoints", run], capsys)
        assert [one["folder"] for one in found["skipped"]] == [str(first)]
        assert len(found["models"]) == len(others)

    def test_paths_are_never_folded(self, stored, tmp_path, capsys):
        _, store = stored
        run = tmp_path / ("a-folder-with-a-long-name-" * 5) / "run"
        shutil.copytree(sorted(store.glob("runs/*"))[0], run)
        assert main(["evaluate", "--checkpoints", str(run)]) == 0
        lines = capsys.readouterr().out.splitlines()
        for path in run.glob("models/*"):
            assert sum(str(path) in line for line in lines) == 1


def test_help_teaches_with_an_example(capsys):
    assert main(["evaluate", "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "querist evaluate kmeans.npy random.npy --dataset cifar10" in shown
    assert "--study study.toml --store runs" in shown
