"""A base strategy fed with stored outputs of an external model."""

import json
import shlex
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from querist.cli.sources import declared_classes
from querist.errors import DataError, SpecError, StoreError
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Draws, Embeddings, Features, Probs
from querist.files import file_digest
from querist.labels.oracle import SimulatedOracle
from querist.learners.base import learners
from querist.registry import describe
from querist.seeds import Seed
from querist.session.pairing import starts, unmet
from querist.session.session import Session
from querist.strategies import _scorer_card
from querist.strategies._scorer_card import FORMAT, classes_option, read_card, write_with_card
from querist.strategies.bald import Bald
from querist.strategies.base import State, choose, strategies
from querist.strategies.clue import Clue
from querist.strategies.composition import flags_of, identity_of
from querist.strategies.entropy import Entropy
from querist.strategies.external_model_rank import ExternalModelRank
from querist.strategies.k_center_greedy import KCenterGreedy
from querist.strategies.margin import Margin
from querist.strategies.random import Random
from querist.strategies.ranking_file import RankingFile
from querist.testing.contract import StrategyContract
from querist.testing.fakes import fake_dataset

WHAT = "the test split of another year"


@pytest.fixture(scope="class")
def shared(request):
    with tempfile.TemporaryDirectory() as folder:
        request.cls.folder = Path(folder)
        rng = np.random.default_rng(0)
        for c in (2, 4, 7, 40):
            np.save(request.cls.folder / f"{c}.npy", rng.dirichlet(np.ones(c), 200_000).astype(np.float32))
        yield


@pytest.mark.usefixtures("shared")
class TestExternalModelRank(StrategyContract):
    symmetric = False  # rows that are alike still have rows of their own in the file
    cold = True

    def make(self):
        return ExternalModelRank(path=str(self.folder / "4.npy"), trained_on=WHAT)

    def evidence(self, strategy, **settings):
        settings["c"] = 4
        return super().evidence(strategy, **settings)


N, C = 40, 5


def world(labelled=(1, 7, 30)):
    labelled = np.array(labelled, np.int64)
    return Evidence(np.setdiff1d(np.arange(N), labelled), {}, labelled=labelled, c=C)


def outputs(*shape, seed=0):
    return np.random.default_rng(seed).dirichlet(np.ones(C), shape)


@pytest.fixture
def stored(tmp_path):
    def store(values, base, trained_on=WHAT):
        np.save(tmp_path / "outputs.npy", values)
        return ExternalModelRank(path=str(tmp_path / "outputs.npy"), trained_on=trained_on, base=base)

    return store


@pytest.mark.parametrize("base", [Entropy(), Margin()])
def test_N1_equals_the_base_fed_with_the_same_probabilities_exact_zeros_included(stored, base):
    ev, p, key = world(), outputs(N), Seed(0).key()
    p[::4] = np.eye(C)[np.arange(len(p[::4])) % C]
    plain = Evidence(ev.candidates, {Probs(): p[ev.candidates]}, labelled=ev.labelled, c=C)
    expected, got = choose(base, plain, 20, key), choose(stored(p, base), ev, 20, key)
    assert got.ids.tolist() == expected.ids.tolist()
    assert got.utility.tolist() == expected.utility.tolist()
    assert all(reason.startswith("by an external model: ") for reason in got.reasons)


def test_Q5_equals_bald_fed_with_the_same_draws(stored):
    ev, q, base, key = world(), outputs(N, 6), Bald(k=6), Seed(0).key()
    (need,) = base.needs_at(State(has_model=True))
    assert isinstance(need, Draws)
    plain = Evidence(ev.candidates, {need: [q[ev.candidates, j] for j in range(6)]}, labelled=ev.labelled, c=C)
    expected, got = choose(base, plain, 15, key), choose(stored(q, base), ev, 15, key)
    assert got.ids.tolist() == expected.ids.tolist()
    assert got.utility == pytest.approx(expected.utility)


def test_Q13_equals_k_center_on_the_same_logits_labelled_rows_included(stored):
    ev, z, base, key = world(), np.log(outputs(N)).astype(np.float32), KCenterGreedy(space="embeddings"), Seed(0).key()
    plain = Evidence(ev.candidates, {Embeddings(frame="all"): z}, labelled=ev.labelled, c=C)
    expected, got = choose(base, plain, 15, key), choose(stored(z, base), ev, 15, key)
    assert got.ids.tolist() == expected.ids.tolist()


def test_L8_it_is_flagged_and_its_provenance_is_recorded(stored):
    strategy = stored(outputs(N), Margin())
    assert flags_of(strategy) == {"external"}
    assert describe(strategy)["trained_on"] == WHAT
    one = identity_of(strategy)
    assert one["path"] != strategy.path
    assert identity_of(stored(outputs(N, seed=1), Margin()))["path"] != one["path"]
    with pytest.raises(SpecError, match="Expected trained_on to say which data"):
        stored(outputs(N), Margin(), trained_on=" ")


@pytest.mark.parametrize(
    ("values", "words"),
    [(outputs(N)[:, :3], r"shape \(n, 5\)"), (2 * outputs(N), "are not probabilities"), (outputs(9), "has 9 rows")],
)
def test_files_that_do_not_fit_are_refused(stored, values, words):
    with pytest.raises(DataError, match=words):
        choose(stored(values, Margin()), world(), 3, Seed(0).key())


@pytest.mark.parametrize(
    ("base", "words"), [(Random(), "it reads none"), (Clue(space="embeddings"), "Embeddings, Probs")]
)
def test_a_base_reads_one_kind_of_output(base, words):
    with pytest.raises(SpecError, match=words):
        ExternalModelRank(path="x.npy", trained_on=WHAT, base=base)


def test_what_no_model_puts_out_comes_from_the_session(stored):
    strategy = stored(outputs(N), Clue(space="features"))
    assert strategy.needs_at(State())
    assert all(isinstance(need, Features) for need in strategy.needs_at(State()))


@pytest.mark.parametrize("preset", ["S3_entropy", "S3_margin", "S3_bald", "S3_coreset"])
def test_C19_presets_build(preset):
    built = strategies.build({"name": "external_model_rank", "preset": preset, "path": "x.npy", "trained_on": WHAT})
    assert strategies.build(describe(built)) == built


def test_it_opens_a_session_without_labels(tmp_path):
    data = fake_dataset(n=80)
    p = np.random.default_rng(0).dirichlet(np.ones(3), 80)
    np.save(tmp_path / "p.npy", p)
    strategy = ExternalModelRank(path=str(tmp_path / "p.npy"), trained_on=WHAT)
    session = Session(data, strategy="margin", initial=strategy, learner=learners.build("linear"), seed=0)
    query = session.ask(5)
    best = sorted(data.pool.tolist(), key=lambda i: -float(-(p[i] * np.log(p[i])).sum()))[:5]
    assert list(query.ids) == best
    assert session.tell(SimulatedOracle(data.labels, data.pool).answer(query)) is not None


@pytest.mark.parametrize(
    ("base", "values"),
    [(Bald(k=5), outputs(80, 5)), (KCenterGreedy(space="embeddings"), outputs(80)), (Clue(space="features"), None)],
)
def test_a_session_is_not_asked_for_what_the_file_has(tmp_path, base, values):
    """Its learner has neither draws nor embeddings, and need not."""
    data = fake_dataset(n=80, c=C)
    np.save(tmp_path / "o.npy", outputs(80) if values is None else values)
    strategy = ExternalModelRank(path=str(tmp_path / "o.npy"), trained_on=WHAT, base=base)
    session = Session(data, strategy=strategy, learner=learners.build("linear"), seed=0)
    for _ in range(2):
        query = session.ask(4)
        session.tell(SimulatedOracle(data.labels, data.pool).answer(query))
    assert not unmet(strategy, learners.build("knn"))
    assert starts(strategy)


def card_for(path, **changes):
    """Write the card of a file, as ``querist scorer`` does."""
    card = {
        "format": "querist scorer 1", "file": file_digest(path), "trained_on": "linear on 9 labels of last (pool)",
        "external_study": False, "classes": [str(i) for i in range(C)], "pool": {"keys": "k"},
    }  # fmt: skip
    path.with_suffix(".json").write_text(json.dumps({**card, **changes}))


class TestCard:
    """The card of ``querist scorer`` beside the file."""

    @pytest.fixture
    def path(self, tmp_path):
        np.save(tmp_path / "o.npy", outputs(N))
        return tmp_path / "o.npy"

    def test_provenance_is_read_from_it_and_stands_in_the_description(self, path):
        card_for(path)
        built = ExternalModelRank(path=str(path))
        assert describe(built)["trained_on"] == "linear on 9 labels of last (pool)"
        assert ExternalModelRank(path=str(path), trained_on="mine").trained_on == "mine"
        path.with_suffix(".json").unlink()
        assert describe(built)["trained_on"] == "linear on 9 labels of last (pool)"
        with pytest.raises(SpecError, match="no card of querist scorer beside"):
            ExternalModelRank(path=str(path))

    @pytest.mark.parametrize("text", ["[1]", "{", '{"format": "querist features 1"}', "\xff"])
    def test_other_files_of_that_name_are_none(self, path, text):
        path.with_suffix(".json").write_text(text, encoding="latin1")
        with pytest.raises(SpecError, match="no card of querist scorer beside"):
            ExternalModelRank(path=str(path))

    def test_a_damaged_card_is_refused(self, path):
        card_for(path, pool={})
        with pytest.raises(DataError, match=r"o\.json is damaged: KeyError\('keys'\) is missing"):
            ExternalModelRank(path=str(path), trained_on=WHAT)

    def test_a_card_cut_short_or_of_another_version_is_not_overlooked(self, path):
        """Or a ranking would lose its mark with it."""
        card_for(path, external_study=True)
        beside = path.with_suffix(".json")
        text = beside.read_text()
        beside.write_text(text[:60])
        with pytest.raises(DataError, match="is damaged"):
            flags_of(RankingFile(path=str(path)))
        beside.write_text(text.replace(FORMAT, "querist scorer 2"))
        with pytest.raises(DataError, match="expected the format 'querist scorer 1', got 'querist scorer 2'"):
            flags_of(RankingFile(path=str(path)))

    def test_a_file_that_cannot_be_written_leaves_the_old_one_and_its_card(self, path):
        card_for(path)
        before = read_card(path)

        def full():
            raise StoreError("the disk is full")

        with pytest.raises(StoreError, match="full"):
            write_with_card(path, {"trained_on": "new"}, full)
        assert read_card(path) == before
        with pytest.raises(StoreError, match="full"):
            write_with_card(path.with_name("new.npy"), {"trained_on": "new"}, full)
        assert not path.with_name("new.json").exists()

    def test_killed_between_file_and_card_nothing_is_taken_for_what_it_was(self, path, monkeypatch):
        card_for(path)
        real = _scorer_card.write_bytes

        def killed_before_the_second(target, data):
            if b'"file": ""' not in data:
                raise SystemExit
            real(target, data)

        monkeypatch.setattr(_scorer_card, "write_bytes", killed_before_the_second)
        new = {"trained_on": "x", "external_study": True, "classes": [], "pool": {"keys": "k"}}
        for file in (path, path.with_name("first.npy")):
            with pytest.raises(SystemExit):
                write_with_card(file, new, partial(np.save, file, outputs(N, seed=9)))
            assert file.is_file()
            with pytest.raises(DataError, match="is not the file that"):
                RankingFile(path=str(file)).flags()

    @pytest.mark.parametrize("names", [("cat", "dog"), ("a'; echo foo", "big dog"), ("$HOME", "`ls`", '"')])
    def test_classes_survive_the_shell(self, names):
        option, listed = shlex.split(classes_option(names))
        assert option == "--classes"
        assert declared_classes(listed) == names

    @pytest.mark.parametrize("names", [("red, dark", "red"), (" a", "b")])
    def test_classes_that_cannot_be_listed_are_counted(self, names):
        assert classes_option(names) == "--classes 2"

    def test_the_mark_of_an_external_study_cannot_be_talked_away(self, path):
        card_for(path, external_study=True)
        built = ExternalModelRank(path=str(path), trained_on=WHAT, external_study=False)
        assert flags_of(built) == {"external", "external_study"}
        assert "saw labels of this dataset" in built.reason(1.0)
        again = strategies.build({**identity_of(built), "base": describe(built.base)})
        assert flags_of(again) == {"external", "external_study"}

    def test_others_that_read_such_files_carry_it_too(self, path):
        np.save(path.with_name("r.npy"), outputs(3))
        cosine = {"name": "cosine_dissimilarity", "reference": str(path.with_name("r.npy")), "trained_on": WHAT}
        rules = [{"name": "pcoreset", "teacher": str(path)}, cosine | {"path": str(path)}]
        for marked in (False, True):
            card_for(path, external_study=marked)
            for rule in rules:
                built = strategies.build(rule)
                assert ("external_study" in flags_of(built)) == marked
                with pytest.raises(DataError, match="are of other items"):
                    built.require_items("other keys", ("a", "b"))
                built.require_items("k", ("a", "b"))

    def test_a_wrapped_one_is_asked_whose_items_its_rows_are(self, path):
        data = fake_dataset(n=N)
        card_for(path, classes=[])
        wrapped = {"name": "epsilon_random", "base": {"name": "external_model_rank", "path": str(path)}}
        with pytest.raises(DataError, match=r"the rows of .* are of other items than those to choose from"):
            Session(data, strategy=wrapped, initial="random", learner="linear", seed=0)
        card_for(path, classes=[], pool={"keys": data.manifest.key_fingerprint})
        Session(data, strategy=wrapped, initial="random", learner="linear", seed=0)

    def test_keys_are_the_items_whatever_classes_and_splits_are(self):
        plain, other = fake_dataset(n=20, c=3), fake_dataset(n=20, c=4)
        assert plain.manifest.fingerprint != other.manifest.fingerprint
        assert plain.manifest.key_fingerprint == other.manifest.key_fingerprint
        assert plain.manifest.key_fingerprint != fake_dataset(n=21, c=3).manifest.key_fingerprint
