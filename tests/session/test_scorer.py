"""Scorers: what they are trained on, what they say of another pool, and which are refused."""

import numpy as np
import pytest

from querist.data.digits import digits
from querist.data.memory import from_arrays
from querist.data.variations import sample
from querist.encoders.pixels import Pixels
from querist.errors import DataError, LeakError, UnmetNeedError, UsageError
from querist.evidence.needs import Draws, Probs
from querist.evidence.provider import Fit
from querist.learners.base import learners
from querist.learners.linear import Linear
from querist.seeds import Seed
from querist.session import scorer as scorers
from querist.session.scorer import against, lesson_of, require_offered, train_scorer
from querist.session.setting import Setting

RNG = np.random.default_rng(0)
Y = np.arange(90) % 3
X = (3 * RNG.normal(size=(3, 6))[Y] + RNG.normal(size=(90, 6))).astype(np.float32)
CLASSES = ("a", "b", "c")


def part(rows, name, **settings):
    settings = {"classes": CLASSES, **settings}
    return from_arrays(name, X[rows], Y[rows], **settings)


LAST_YEAR, THIS_YEAR = part(np.arange(50), "last"), part(np.arange(50, 90), "this")


def trained(learner="linear", lesson=None, pool=THIS_YEAR, encoder=None, **settings):
    lesson = against(lesson_of(LAST_YEAR, "pool", None, 0), pool) if lesson is None else lesson
    return train_scorer(lesson, pool, learners.build(learner), encoder or Pixels(), **settings)


class TestOutputs:
    def test_are_those_of_the_learner_fitted_on_the_source_alone(self):
        """The twin: both parts in one dataset, fitted by hand on the rows of the first."""
        whole = Setting(part(np.arange(90), "whole"), Pixels())
        fit = Fit(labelled=whole.view(np.arange(50), Y[:50]), pool=whole.view(np.arange(50, 90)), seed=Seed(0))
        expected = learners.build("linear").fit(fit).provide(Probs(), whole.view(np.arange(50, 90)))
        got = trained().outputs("probs")
        assert got.dtype == np.float32
        assert got == pytest.approx(expected, abs=1e-4)
        assert (got.argmax(axis=1) == Y[50:]).mean() > 0.9

    def test_principal_axes_of_the_encoder_are_common_to_both(self):
        common = Setting(part(np.arange(90), "whole"), Pixels(pca=2))
        fit = Fit(labelled=common.view(np.arange(50), Y[:50]), pool=common.view(np.arange(50, 90)), seed=Seed(0))
        expected = learners.build("linear").fit(fit).provide(Probs(), common.view(np.arange(50, 90)))
        assert trained(encoder=Pixels(pca=2)).outputs("probs") == pytest.approx(expected, abs=1e-4)

    def test_draws_have_the_axes_of_a_stored_file(self):
        made = trained("committee(linear, members=4)")
        draws = made.outputs("draws", 4)
        assert draws.shape == (40, 4, 3)
        assert draws.sum(axis=2) == pytest.approx(1, abs=1e-3)
        assert np.ptp(draws, axis=1).max() > 0

    def test_what_a_learner_does_not_have_is_refused_with_the_reason(self):
        with pytest.raises(UnmetNeedError, match="learner 'linear' gives no Draws: it is one deterministic function"):
            require_offered(learners.build("linear"), Draws(k=4))
        with pytest.raises(UnmetNeedError, match="gives no Embeddings"):
            trained().outputs("embeddings")

    def test_labels_of_the_pool_are_not_read(self):
        blind = from_arrays("this", X[50:], None, classes=CLASSES)
        assert np.array_equal(trained(pool=blind).outputs("probs"), trained().outputs("probs"))

    def test_a_learner_that_reads_other_features_is_refused(self):
        with pytest.raises(UnmetNeedError, match="handcrafted"):
            trained("linear(encoder='handcrafted')")

    def test_the_same_seed_gives_the_same_bytes(self):
        one, two = (trained("committee(linear, members=3)", seed=seed).outputs("draws", 3) for seed in (1, 1))
        assert np.array_equal(one, two)
        assert not np.array_equal(one, trained("committee(linear, members=3)", seed=2).outputs("draws", 3))


class TestRooms:
    """A training that was killed goes on."""

    def test_the_same_training_finds_its_room_again_until_it_is_forgotten(self, tmp_path, monkeypatch):
        seen, real = [], Linear.fit

        def killed_once(learner, job):
            seen.append(job.folder)
            job.folder.mkdir(parents=True, exist_ok=True)
            (job.folder / "state").write_text("half")
            if len(seen) == 1:
                raise KeyboardInterrupt
            return real(learner, job)

        monkeypatch.setattr(Linear, "fit", killed_once)
        with pytest.raises(KeyboardInterrupt):
            trained(rooms=tmp_path)
        made = trained(rooms=tmp_path)
        assert seen[0] == seen[1] == made.room
        assert (made.room / "state").is_file()
        made.forget()
        assert not list(tmp_path.iterdir())
        few = against(lesson_of(LAST_YEAR, "pool", 20, 0), THIS_YEAR)
        others = [{"seed": 1}, {"learner": "linear(C=0.5)"}, {"lesson": few}, {"pool": part(np.arange(60, 90), "this")}]
        rooms = {trained(rooms=tmp_path, **other).room for other in others}
        assert len(rooms | {made.room}) == 5

    def test_without_rooms_nothing_is_kept(self):
        made = trained()
        assert made.room is None
        made.forget()


class TestLesson:
    def test_a_larger_part_contains_the_smaller_one(self):
        small, large = (set(lesson_of(LAST_YEAR, "pool", n, 3).ids.tolist()) for n in (7, 20))
        assert small < large
        assert small != set(lesson_of(LAST_YEAR, "pool", 7, 4).ids.tolist())

    def test_items_without_labels_are_left_out(self):
        y = Y[:50].copy()
        y[::2] = -1
        data = from_arrays("last", X[:50], y, classes=CLASSES)
        assert lesson_of(data, "pool", None, 0).ids.tolist() == list(range(1, 50, 2))

    @pytest.mark.parametrize(
        ("split", "size", "words"),
        [("test", None, "no labels in the split 'test'; it has 50 in 'pool'"), ("pool", 51, "1 to 50 labels")],
    )
    def test_too_little_is_refused(self, split, size, words):
        with pytest.raises(DataError, match=words):
            lesson_of(LAST_YEAR, split, size, 0)

    def test_only_labels_of_the_lesson_are_read(self, monkeypatch):
        asked = []
        real = scorers.SimulatedOracle

        class Spy(real):
            def answer(self, query):
                asked.extend(query.ids.tolist())
                return super().answer(query)

        monkeypatch.setattr(scorers, "SimulatedOracle", Spy)
        lesson = lesson_of(digits(), "pool", 30, 0)
        pool = from_arrays("other", RNG.random((20, 64)).astype(np.float32), None, classes=digits().classes)
        trained(lesson=against(lesson, pool), pool=pool)
        assert sorted(asked) == lesson.ids.tolist()


class TestSwappedSplits:
    """S3 trained scorers on the test split of the dataset they scored."""

    def test_the_test_split_of_the_same_dataset_is_refused(self):
        with pytest.raises(UsageError, match="500 training items from 'digits' are items of the source to score, 500"):
            against(lesson_of(digits(), "test", None, 0), digits())

    @pytest.mark.parametrize("disguise", ["another name", "half precision", "a sample", "another order"])
    def test_it_is_found_by_content_and_not_by_name(self, disguise):
        data = digits()
        x, y = np.array(data.items[data.test]), data.labels.unseal()[data.test]
        match disguise:
            case "another name":
                swapped = from_arrays("my own photos", x, y, classes=data.classes)
            case "half precision":
                swapped = from_arrays("halves", x.astype(np.float16), y, classes=data.classes)
            case "a sample":
                swapped = sample(data, pool=5, test=40, seed=3)
            case _:
                swapped = from_arrays("turned", x[::-1].copy(), y[::-1].copy(), classes=data.classes)
        split = "test" if disguise == "a sample" else "pool"
        with pytest.raises(UsageError, match="test or validation labels"):
            against(lesson_of(swapped, split, None, 0), data)

    def test_a_few_are_enough(self):
        data = digits()
        x = np.concatenate([RNG.random((30, 64)).astype(np.float32), data.items[data.test[:2]]])
        mixed = from_arrays("mixed", x, np.arange(32) % 10, classes=data.classes)
        lesson = lesson_of(mixed, "pool", None, 0)
        with pytest.raises(UsageError, match=r"2 of 32 training items .*--leave-out-shared .*--external-study"):
            against(lesson, data)
        kept = against(lesson, data, leave_out=True)
        assert kept.ids.tolist() == list(range(30))
        assert (kept.dropped, dict(kept.shared)) == (2, {})

    def test_as_an_external_study_it_says_so(self):
        data = digits()
        lesson = against(lesson_of(data, "test", 100, 0), data, external_study=True)
        assert dict(lesson.shared) == {"test": 100}
        assert trained(lesson=lesson, pool=data).trained_on == (
            "linear on 100 labels of digits (test), external study: it scores 100 test items that it was trained on"
        )

    def test_labels_of_the_pool_itself_are_to_be_bought(self):
        with pytest.raises(UsageError, match=r"labels of the pool\. querist select --labels takes labels of the pool"):
            against(lesson_of(digits(), "pool", 100, 0), digits())

    def test_nothing_is_left_when_all_are_shared(self):
        with pytest.raises(UsageError, match="all 500"):
            against(lesson_of(digits(), "test", None, 0), digits(), leave_out=True)

    def test_strangers_are_welcome(self):
        lesson = lesson_of(LAST_YEAR, "pool", None, 0)
        assert against(lesson, THIS_YEAR, external_study=True) is lesson
        assert trained().trained_on == "linear on 50 labels of last (pool)"

    def test_the_sealed_labels_stay_sealed(self):
        made = trained()
        with pytest.raises(LeakError):
            np.asarray(made.setting.dataset.labels)


@pytest.mark.deep
class TestNets:
    @pytest.fixture(autouse=True)
    def _torch(self):
        pytest.importorskip("torch", reason="needs the extra deep")
        pytest.importorskip("lightning_fabric", reason="needs the extra deep")

    def test_a_net_scores_the_images_of_another_source(self):
        x = np.clip(128 + 20 * RNG.normal(size=(60, 8, 8)) + 90 * (Y[:60, None, None] - 1), 0, 255).astype(np.uint8)
        last = from_arrays("last", x[:40], Y[:40], classes=CLASSES)
        this = from_arrays("this", x[40:], None, classes=CLASSES)
        lesson = against(lesson_of(last, "pool", None, 0), this)
        made = trained("scratch(net='small_cnn', updates=30, batch=16, dropout=0.5)", lesson=lesson, pool=this)
        probs, draws = made.outputs("probs"), made.outputs("draws", 3)
        assert (probs.argmax(axis=1) == Y[40:60]).mean() > 0.6
        assert draws.shape == (20, 3, 3)
        assert made.outputs("embeddings").shape[0] == 20
        assert np.array_equal(made.outputs("draws", 3), draws)
        z = made.outputs("logits").astype(np.float64)
        assert np.exp(z) / np.exp(z).sum(axis=1, keepdims=True) == pytest.approx(probs, abs=1e-3)
