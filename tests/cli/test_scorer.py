"""``querist scorer`` from the outside: a model trained on other labels, its outputs, its card, what selects by it."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from querist.cli.main import main
from querist.cli.sources import open_source, with_classes
from querist.data.dataset import datasets
from querist.data.digits import digits
from querist.encoders.handcrafted import Handcrafted
from querist.encoders.zero_shot import ZeroShot
from querist.errors import StoreError
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Probs
from querist.files import file_digest
from querist.learners.linear import Linear
from querist.seeds import Seed
from querist.strategies.base import choose, strategies
from querist.strategies.composition import flags_of, identity_of
from querist.strategies.external_model_rank import ExternalModelRank
from querist.strategies.margin import Margin
from querist.studies.study import Study

KINDS = ("blue", "green", "red")


def picture(kind: str, number: int, year: int) -> Image.Image:
    """A picture of a colour, every one different."""
    rng = np.random.default_rng([KINDS.index(kind), number, year])
    pixels = rng.integers(0, 90, (24, 24, 3))
    pixels[..., 2 - KINDS.index(kind)] += 120
    return Image.fromarray(pixels.astype(np.uint8))


@pytest.fixture(scope="session")
def years(tmp_path_factory):
    """Last year's pictures in a folder per class, and this year's without labels."""
    root = tmp_path_factory.mktemp("years")
    for kind in KINDS:
        (root / "last" / kind).mkdir(parents=True)
        for number in range(6):
            picture(kind, number, 2024).save(root / "last" / kind / f"{number}.png")
    (root / "this").mkdir()
    for kind in KINDS:
        for number in range(8):
            picture(kind, number, 2025).save(root / "this" / f"{number}-{kind}.png")
    return root


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("os.fsync", lambda handle: None)


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    return str(tmp_path_factory.mktemp("store"))


@pytest.fixture
def between(years, store):
    """The command from last year's pictures to this year's."""
    last, this = str(years / "last"), str(years / "this")
    return ["scorer", last, this, "--features", "handcrafted", "--store", store, "--out", "probs.npy"]


def document(words, capsys) -> dict:
    assert main([*map(str, words), "--json"]) == 0, capsys.readouterr()
    return json.loads(capsys.readouterr().out)


def refusal(words, capsys) -> str:
    assert main(list(map(str, words))) == 2
    return " ".join(capsys.readouterr().err.split())


class TestFolders:
    def test_last_years_labels_choose_among_this_years_pictures(self, between, years, store, tmp_path, capsys):
        found = document(between, capsys)
        p = np.load("probs.npy")
        assert p.shape == (24, 3)
        assert found["classes"] == list(KINDS)
        assert found["trained_on"] == "linear on 18 labels of last (pool)"
        assert not found["external_study"]
        assert json.loads((tmp_path / "probs.json").read_bytes())["file"] == file_digest(tmp_path / "probs.npy")
        assert f"--classes {','.join(KINDS)}" in found["notices"][-1]
        words = [
            "select", years / "this", "--features", "handcrafted", "--store", store, "--budget", 5,
            "--strategy", "external_model_rank(path='probs.npy', base=margin)",
        ]  # fmt: skip
        advice = refusal(words, capsys)
        assert "2 classes are declared, the file has 3" in advice
        assert f"--classes {','.join(KINDS)} of querist select" in advice
        picked = document([*words, "--classes", ",".join(KINDS)], capsys)
        assert picked["spec"]["initial"]["trained_on"] == found["trained_on"]
        ids = [row["id"] for row in picked["picks"]]
        top = np.sort(p, axis=1)
        assert ids == np.argsort(top[:, 2] - top[:, 1])[:5].tolist()
        by_number = document([*words, "--classes", "3"], capsys)
        assert [row["id"] for row in by_number["picks"]] == ids

    def test_it_knows_what_it_was_taught(self, between, years, capsys):
        found = document(between, capsys)
        keys = document(["select", years / "this", "--budget", 24, "-s", "random"], capsys)["picks"]
        kind = {row["id"]: row["path"].rpartition("-")[2].removesuffix(".png") for row in keys}
        said = [found["classes"][row] for row in np.load("probs.npy").argmax(axis=1)]
        assert said == [kind[i] for i in range(24)]

    def test_columns_follow_the_declared_classes(self, between, capsys):
        document(between, capsys)
        plain = np.load("probs.npy")
        found = document([*between, "--classes", "red,blue,green"], capsys)
        assert found["classes"] == ["red", "blue", "green"]
        assert np.array_equal(np.load("probs.npy"), plain[:, [2, 0, 1]])

    def test_columns_in_another_order_than_the_classes_are_refused(self, between, years, store, capsys):
        document(between, capsys)
        words = ["select", years / "this", "--store", store, "-b", "2", "-s", "external_model_rank(path='probs.npy')"]
        assert "columns of probs.npy are blue, green, red" in refusal([*words, "--classes", "red,green,blue"], capsys)

    def test_a_file_about_other_items_is_refused(self, between, years, store, capsys):
        document(between, capsys)
        words = ["select", years / "last", "--store", store, "-b", "2", "-s", "external_model_rank(path='probs.npy')"]
        assert "are of other items than those to choose from" in refusal([*words, "--classes", "3"], capsys)

    def test_shared_pictures_are_found_and_refused(self, between, years, tmp_path, capsys):
        mixed = tmp_path / "mixed"
        for kind in KINDS:
            (mixed / kind).mkdir(parents=True)
            for number in range(3):
                picture(kind, number, 2024).save(mixed / kind / f"{number}.png")
        (mixed / "red" / "renamed.png").write_bytes((years / "this" / "2-red.png").read_bytes())
        words = [between[0], str(mixed), *between[2:]]
        said = refusal(words, capsys)
        assert "1 of 10 training items from 'mixed' are items of the source to score, 1 pool item" in said
        assert not (tmp_path / "probs.npy").exists()
        found = document([*words, "--leave-out-shared"], capsys)
        assert found["scorer"]["n_labels"] == 9
        assert found["scorer"]["left_out"] == 1
        assert "1 items are in both sources, and were not trained on." in found["notices"]
        assert not found["external_study"]


class TestOutputs:
    WORDS = ("scorer", "sample(digits, pool=300, test=10, seed=1)", "rest.npz")

    @pytest.fixture(autouse=True)
    def rest(self):
        """Digits that are not in the sample."""
        whole, part = digits(), datasets.build("sample(digits, pool=300, test=10, seed=1)")
        mine = set(part.manifest.keys)
        left = np.array([i for i in whole.pool.tolist() if whole.manifest.keys[i] not in mine])
        y = whole.labels.unseal()[left]
        unseen = np.arange(len(left)) < 400  # a split, so that ids and rows of the pool differ
        split = np.where(unseen, "test", "pool")
        np.savez("rest.npz", x=whole.items[left], y=y, split=split, classes=np.array(whole.classes))
        self.data = datasets.build({"name": "npz", "path": "rest.npz"})

    @pytest.mark.parametrize(
        ("learner", "output", "shape"),
        [
            ("linear", "probs", (10,)), ("linear", "logits", (10,)),
            ("committee(linear, members=3)", "draws", (3, 10)), ("knn", "probs", (10,)),
        ],
    )  # fmt: skip
    def test_have_a_row_per_item(self, learner, output, shape, capsys):
        words = [*self.WORDS, "--learner", learner, "--output", output, "--draws", 3, "--size", 100, "--out", "o.npy"]
        found = document(words, capsys)
        values = np.load("o.npy")
        assert values.shape == (len(self.data.manifest), *shape) == tuple(found["shape"])
        assert values.dtype == np.float32
        assert found["scorer"]["n_labels"] == 100
        truth = self.data.labels.unseal()
        votes = values.mean(axis=1) if output == "draws" else values
        assert (votes.argmax(axis=1) == truth).mean() > 0.7

    def test_rankings_are_the_order_in_which_the_strategy_picks(self, capsys):
        found = document([*self.WORDS, "-s", "margin", "-s", "entropy", "--out", "o.npy", "--seed", 2], capsys)
        assert list(found["files"].values()) == ["o_margin_sorted_idx.npy", "o_entropy_sorted_idx.npy"]
        ranked, p, pool = np.load("o_margin_sorted_idx.npy"), np.load("o.npy"), self.data.pool
        ev = Evidence(pool, {Probs(): p[pool]}, c=10)
        expected = choose(Margin(), ev, len(pool), Seed(2).child("scorer", "ranking").key()).ids
        assert ranked[: len(pool)].tolist() == expected.tolist()
        assert ranked[len(pool) :].tolist() == self.data.test.tolist()
        picks = document(["select", "rest.npz", "-b", 7, "-s", "ranking_file(path='o_margin_sorted_idx.npy')"], capsys)
        assert [row["id"] for row in picks["picks"]] == expected[:7].tolist()

    @pytest.mark.parametrize(("rule", "words"), [
        ("bald", "reads draws, a ranking has probs alone"), ("typiclust", "typiclust reads features"),
        ("random", "random reads no output of a model"),
        ("clue", "features, probs, a ranking has probs alone"),
    ])  # fmt: skip
    def test_rankings_go_by_the_outputs_alone(self, rule, words, capsys):
        assert words in refusal([*self.WORDS, "-s", rule], capsys)

    def test_logits_are_embeddings_too(self, capsys):
        rule = "k_center_greedy(space='embeddings', normalise=false)"
        found = document([*self.WORDS, "--output", "logits", "-s", rule, "--out", "z.npy"], capsys)
        (path,) = found["files"].values()
        assert sorted(np.load(path).tolist()) == list(range(len(self.data.manifest)))

    def test_likeliest_classes_are_groups(self, capsys):
        found = document([*self.WORDS, "--groups", "--out", "o.npy"], capsys)
        assert found["files"] == {"likeliest classes": "o_groups.npy"}
        assert np.array_equal(np.load("o_groups.npy"), np.load("o.npy").argmax(axis=1))
        words = ["select", "rest.npz", "-b", 10, "-s", "cluster_balanced_random(groups='o_groups.npy')"]
        ids = [row["id"] for row in document(words, capsys)["picks"]]
        assert sorted(np.load("o_groups.npy")[ids].tolist()) == list(range(10))
        assert flags_of(strategies.build(words[-1])) == {"external"}

    def test_other_classes_are_told(self, capsys):
        x = np.random.default_rng(0).random((30, 64)).astype(np.float32)
        np.savez("letters.npz", x=x, y=np.array(list("xyz"))[np.arange(30) % 3])
        found = document(["scorer", "letters.npz", "rest.npz", "-s", "margin", "--out", "o.npy"], capsys)
        assert found["classes"] == ["x", "y", "z"]
        assert "knows other classes than the 10 of the pool: x, y, z" in found["notices"][0]
        assert len(np.load("o_margin_sorted_idx.npy")) == len(self.data.manifest)

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["--out", "o.txt"], "--out: expected a file that ends in .npy"),
            (["--output", "draws"], "learner 'linear' gives no Draws"),
            (["--split", "validation"], "no labels in the split 'validation'"),
            (["--size", "4000"], "Expected 1 to 300 labels"),
            (["--dataset", "digits"], "--dataset goes with the folder of a kept model"),
            (["--classes", "x,y"], "the archive declares the classes"),
            (["--output", "embeddings", "--groups"], "--groups goes with probs, logits, draws"),
            (["--leave-out-shared", "--external-study"], "choose one"),
            (["--classes", "cat"], "two or more different names"),
            (["--classes", "1"], "two or more different names"),
            (["--classes", "100000000"], "at most 100,000 classes"),
        ],
    )
    def test_refusals(self, words, said, capsys):
        assert said in refusal([*self.WORDS, *words], capsys)

    def test_rankings_and_groups_of_somebody_else_are_not_replaced(self, capsys):
        for name, words in (("o_groups.npy", ["--groups"]), ("o_margin_sorted_idx.npy", ["-s", "margin"])):
            np.save(name, np.arange(3))
            said = refusal([*self.WORDS, "--out", "o.npy", *words], capsys)
            assert f"{name} exists and was not written by querist scorer" in said
            assert np.load(name).tolist() == [0, 1, 2]

    def test_a_place_that_cannot_be_written_is_found_out_before_the_training(self, monkeypatch, capsys):
        monkeypatch.setattr("querist.cli.scored.train_scorer", lambda *a, **k: pytest.fail("it was trained"))
        np.save("file", np.zeros(1))
        said = refusal([*self.WORDS, "--out", "file.npy/o.npy"], capsys)
        assert "cannot write file.npy/o.npy: File exists" in said

    def test_what_a_training_keeps_is_there_until_the_files_are(self, monkeypatch, tmp_path, capsys):
        real = Linear.fit

        def keeping(learner, job):
            job.folder.mkdir(parents=True)
            return real(learner, job)

        monkeypatch.setattr(Linear, "fit", keeping)
        words = [*self.WORDS, "--out", "o.npy", "--size", 50, "--store", "store"]
        with monkeypatch.context() as patch:
            patch.setattr("querist.cli.scored.write_with_card", lambda *_: (_ for _ in ()).throw(StoreError("full")))
            assert "full" in refusal(words, capsys)
        (room,) = (tmp_path / "store" / "scorers").iterdir()
        room.rmdir()
        document(words, capsys)
        assert not list((tmp_path / "store" / "scorers").iterdir())

    def test_two_strategies_never_share_a_file(self, capsys):
        long = "epsilon_random(" * 5 + "margin" + ", eps=0.2)" * 5
        rules = ["-s", "margin", "-s", "margin", "-s", long, "-s", long.replace("2", "3")]
        files = document([*self.WORDS, *rules, "--out", "o.npy", "--size", 50], capsys)["files"]
        assert len(set(files.values())) == len(files) == 3
        assert all(len(Path(path).name) < 130 and Path(path).is_file() for path in files.values())

    def test_evaluate_takes_the_beginning_of_a_ranking(self, capsys):
        found = document([*self.WORDS, "-s", "margin", "--out", "o.npy"], capsys)
        (ranking,) = found["files"].values()
        (one,) = document(["evaluate", ranking, "-d", "rest.npz", "--first", 20], capsys)["results"]
        assert (one["n_labels"], one["external_study"]) == (20, False)
        np.save("first.npy", np.load(ranking)[:20])
        (same,) = document(["evaluate", "first.npy", "-d", "rest.npz"], capsys)["results"]
        assert same["metrics"] == one["metrics"]
        assert "are of other items" in refusal(["evaluate", ranking, "-d", "digits", "--first", 20], capsys)

    def test_files_of_somebody_else_are_not_replaced(self, capsys):
        np.save("o.npy", np.zeros(3))
        assert "o.npy exists and was not written by querist scorer" in refusal([*self.WORDS, "--out", "o.npy"], capsys)
        document([*self.WORDS, "--out", "mine.npy"], capsys)
        document([*self.WORDS, "--out", "mine.npy", "--size", 50], capsys)


class TestSwappedSplits:
    STUDY = """
[study]
name = "swapped"
dataset = "digits"
learner = "linear"
initial = "random"
pools = 5
strategy = ["random", { name = "external_model_rank", path = "test.npy", base = "margin" }]
[budget]
step = 10
rounds = 2
"""

    @pytest.fixture
    def swapped(self, capsys):
        words = ["scorer", "digits", "digits", "--split", "test", "--out", "test.npy"]
        assert "all 500 training items from 'digits' are items of the source to score" in refusal(words, capsys)
        return document([*words, "--external-study"], capsys)

    def test_the_card_says_so(self, swapped):
        assert swapped["external_study"] is True
        assert swapped["shared"] == {"test": 500}
        assert "external study: it scores 500 test items that it was trained on" in swapped["trained_on"]
        assert "test results say nothing" in swapped["notices"][-1]

    def test_the_strategy_says_so_whatever_it_is_told(self, swapped):
        for words in ("", ", trained_on='my own photos'", ", external_study=false"):
            built = strategies.build(f"external_model_rank(path='test.npy'{words})")
            assert flags_of(built) == {"external", "external_study"}
            assert identity_of(built)["external_study"] is True
        assert strategies.build("external_model_rank(path='test.npy')").trained_on == swapped["trained_on"]

    def test_rankings_and_groups_of_it_say_so(self, swapped, capsys):
        words = ["scorer", "digits", "digits", "--split", "test", "--out", "test.npy", "--external-study"]
        document([*words, "--groups", "--strategy", "margin"], capsys)
        grouped = strategies.build("cluster_balanced_random(groups='test_groups.npy')")
        ranked = strategies.build("ranking_file(path='test_margin_sorted_idx.npy')")
        assert flags_of(grouped) == flags_of(ranked) == {"external", "external_study"}
        np.savez("other.npz", x=digits().items[np.arange(900)], classes=np.array(digits().classes))
        rule = "ranking_file(path='test_margin_sorted_idx.npy')"
        assert "are of other items" in refusal(["select", "other.npz", "-b", 3, "-s", rule], capsys)

    def test_an_evaluation_of_its_ranking_says_so(self, swapped, capsys):
        words = ["scorer", "digits", "digits", "--split", "test", "--out", "test.npy", "--external-study"]
        document([*words, "--strategy", "margin"], capsys)
        np.save("mine.npy", digits().pool[:20])
        ranking = "test_margin_sorted_idx.npy"
        asked = ["evaluate", ranking, "mine.npy", "-d", "digits", "--first", 20, "--out", "t.csv"]
        found = document(asked, capsys)["results"]
        assert {one["set"]: one["external_study"] for one in found} == {ranking: True, "mine.npy": False}
        with Path("t.csv").open(newline="") as file:
            marks = {row["arm"]: row["external_study"] for row in csv.DictReader(file)}
        assert marks == {ranking: "True", "mine.npy": "False"}
        assert main(list(map(str, asked))) == 0
        said = " ".join(capsys.readouterr().err.split())
        assert "external_study, chosen by a model trained on labels of this very dataset" in said
        assert said.endswith(f": {ranking}")

    def test_a_selection_says_so(self, swapped, capsys):
        found = document(["select", "digits", "-b", 3, "-s", "external_model_rank(path='test.npy')"], capsys)
        assert any("external study" in notice for notice in found["notices"])
        assert all("saw labels of this dataset" in row["reason"] for row in found["picks"])

    def test_the_report_of_a_study_says_so(self, swapped, tmp_path, capsys):
        (tmp_path / "swapped.toml").write_text(self.STUDY)
        assert main(["study", "run", "swapped.toml", "--store", "store", "--workers", "1"]) == 0
        out = " ".join(capsys.readouterr().out.split())
        assert "external_study, chosen by a model trained on labels of this very dataset" in out
        page = (tmp_path / "store" / "studies" / "swapped" / "report.html").read_text()
        assert "trained on labels of this very dataset" in page

    def test_a_record_holds_the_words_and_the_content(self, swapped, tmp_path):
        (tmp_path / "swapped.toml").write_text(self.STUDY)
        study = Study.read("swapped.toml", "store")
        spec = study.plan.runs[1].spec["strategy"]
        assert spec["trained_on"] == swapped["trained_on"]
        assert spec["path"] == file_digest(tmp_path / "test.npy")
        assert strategies.build(spec).external_study  # built from the record alone, where there is no card
        (tmp_path / "test.npy").rename("moved.npy")
        (tmp_path / "test.json").rename("moved.json")
        (tmp_path / "swapped.toml").write_text(self.STUDY.replace("test.npy", "moved.npy"))
        again = Study.read("swapped.toml", "store").plan.runs[1].spec["strategy"]
        assert again == spec

    def test_a_card_of_another_file_is_refused(self, swapped, tmp_path, capsys):
        values = np.load("test.npy")
        np.save(tmp_path / "test.npy", values[::-1])
        words = ["select", "digits", "-b", 3, "-s", "external_model_rank(path='test.npy')"]
        assert "test.npy is not the file that test.json is the card of" in refusal(words, capsys)

    def test_a_study_on_other_items_is_refused(self, swapped, tmp_path, capsys):
        text = self.STUDY.replace('"digits"', '"sample(digits, pool=200)"')
        (tmp_path / "other.toml").write_text(text)
        said = refusal(["study", "run", "other.toml", "--store", "store"], capsys)
        assert "are of other items than those to choose from" in said


class TestClasses:
    """``querist select --classes``."""

    @pytest.fixture
    def features(self):
        np.save("f.npy", np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32))
        return ["select", "f.npy", "--budget", "4"]

    def test_labels_per_class_are_counted_among_the_declared_ones(self, features, tmp_path, capsys):
        with (tmp_path / "l.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("id", "label"), (0, "cat"), (1, "dog"), (2, "cat"), (3, "dog")])
        words = [*features, "--labels", "l.csv", "--strategy", "margin"]
        few = document(words, capsys)
        many = document([*words, "--classes", "cat,dog,bird"], capsys)
        assert few["spec"]["dataset"]["fingerprint"] != many["spec"]["dataset"]["fingerprint"]
        assert "bird" not in json.dumps(few)

    def test_a_label_that_is_not_declared_is_refused(self, features, tmp_path, capsys):
        with (tmp_path / "l.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("id", "label"), (0, "cta"), (1, "dog")])
        said = refusal([*features, "--labels", "l.csv", "--classes", "cat,dog,bird"], capsys)
        assert "'cta'" in said
        assert "cat" in said

    def test_a_dataset_has_its_own(self, capsys):
        assert "digits has classes of its own" in refusal(["select", "digits", "-b", "2", "--classes", "a,b"], capsys)

    @pytest.mark.usefixtures("features")
    def test_they_are_what_a_zero_shot_encoder_looks_for(self):
        declared, unknown = (open_source("f.npy", classes=classes) for classes in (("cat", "dog"), None))
        encoder = ZeroShot(model="anywhere")
        assert with_classes(encoder, declared).classes == ("cat", "dog")
        assert with_classes(encoder, unknown) == encoder
        named = ZeroShot(model="anywhere", classes=("x", "y"))
        assert with_classes(named, declared) == named
        assert with_classes(Handcrafted(), declared) == Handcrafted()

    def test_probabilities_without_a_card_are_read_once_classes_are_declared(self, features, capsys):
        np.save("p.npy", np.random.default_rng(0).dirichlet(np.ones(5), 40))
        words = [*features, "--strategy", "external_model_rank(path='p.npy', trained_on='somewhere', base=margin)"]
        assert "--classes 5 of querist select" in refusal(words, capsys)
        assert len(document([*words, "--classes", "5"], capsys)["picks"]) == 4
        built = ExternalModelRank(path="p.npy", trained_on="somewhere")
        assert flags_of(built) == {"external"}


def test_help_teaches_with_an_example(capsys):
    assert main(["scorer", "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "querist scorer photos-2024 photos-2025 --out probs.npy" in shown
