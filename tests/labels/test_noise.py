"""The noisy oracle: wrong as often as it says, always in the same way, never where it may not be."""

from math import sqrt

import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy.stats import chi2, norm

from querist.arrays import SealedArray
from querist.errors import LeakError, SpecError
from querist.labels.events import INITIAL, PURPOSES, QUERY, VALIDATION
from querist.labels.noise import Noise, NoisyOracle
from querist.labels.oracle import Query, SimulatedOracle
from querist.seeds import Seed

N, C = 40_000, 4
CLASSES = ("ant", "bee", "cat", "dog")
TRUTH = np.random.default_rng(0).integers(C, size=N)
IDS = np.arange(N)
ALPHA = 1e-6
MATRIX = ((0.7, 0.1, 0.2, 0.0), (0.0, 1.0, 0.0, 0.0), (0.25, 0.25, 0.25, 0.25), (0.0, 0.0, 1.0, 0.0))


def oracle(noise, seed=0, annotator=0, pool=IDS, truth=TRUTH):
    clean = SimulatedOracle(SealedArray(truth), pool)
    return NoisyOracle(clean, noise, CLASSES, Seed(seed).child("toy"), annotator=annotator)


def told(noise, ids=IDS, purpose=QUERY, **where):
    answers = oracle(noise, **where).answer(Query(ids, purpose=purpose))
    assert list(answers) == ids.tolist()
    return np.array(list(answers.values()))


def test_nothing_is_wrong_but_the_share_that_was_asked_for():
    """A binomial test at alpha 1e-6: the share is exact in expectation."""
    for rate in (0.05, 0.2, 0.6):
        wrong = (told(Noise(rate=rate)) != TRUTH).sum()
        assert abs(wrong - rate * N) < norm.isf(ALPHA / 2) * sqrt(N * rate * (1 - rate))


@pytest.mark.parametrize(
    "noise",
    [
        Noise(rate=0.3),
        Noise(rate=0.3, truth=True),
        Noise(kind="class_conditional", rate=0.4, confused=(("cat", "dog"), (0, 1))),
        Noise(kind="class_conditional", matrix=MATRIX),
    ],
)
def test_answers_are_distributed_as_the_confusion_says(noise):
    expected = noise.confusion(CLASSES)
    np.testing.assert_allclose(expected.sum(axis=1), 1.0)
    given_n = told(noise)
    for c in range(C):
        of_class = c == TRUTH
        n, seen = of_class.sum(), np.bincount(given_n[of_class], minlength=C)
        possible = expected[c] > 0
        assert not seen[~possible].any()
        statistic = ((seen - n * expected[c])[possible] ** 2 / (n * expected[c][possible])).sum()
        assert statistic < (chi2.isf(ALPHA, possible.sum() - 1) if possible.sum() > 1 else 1e-12)


def test_uniform_noise_that_may_hit_the_truth_is_wrong_less_often():
    np.testing.assert_allclose(np.diagonal(Noise(rate=0.4).confusion(CLASSES)), 0.6)
    np.testing.assert_allclose(np.diagonal(Noise(rate=0.4, truth=True).confusion(CLASSES)), 0.7)
    assert (told(Noise(rate=1.0)) != TRUTH).all()
    assert not (told(Noise(rate=1.0, truth=True)) != TRUTH).all()


def test_t12_the_same_item_gets_the_same_wrong_answer_whenever_and_with_whomever_it_is_asked():
    noise = Noise(rate=0.3)
    whole = told(noise)
    order = np.random.default_rng(1).permutation(N)
    np.testing.assert_array_equal(told(noise, order), whole[order])
    one = oracle(noise)
    for i in order[:50]:
        for number in (0, 7):
            assert one.answer(Query(np.array([i]), round=number)) == {int(i): int(whole[i])}
    np.testing.assert_array_equal(told(noise), whole)


def test_noise_is_a_function_of_the_id_and_not_of_the_labels_or_the_pool():
    noise = Noise(rate=0.3)
    part = np.arange(0, N, 3)
    np.testing.assert_array_equal(told(noise, part, pool=part), told(noise)[part])
    shifted = (TRUTH + 1) % C
    np.testing.assert_array_equal(told(noise, truth=shifted) != shifted, told(noise) != TRUTH)


def independent(first, second, rate):
    """Both wrong as often as chance has it (alpha 1e-6)."""
    both, p = (first & second).sum(), rate * rate
    return abs(both - p * N) < norm.isf(ALPHA / 2) * sqrt(N * p * (1 - p))


def test_another_seed_or_annotator_errs_independently():
    noise, rate = Noise(rate=0.3), 0.3
    wrong = told(noise) != TRUTH
    assert independent(wrong, told(noise, seed=1) != TRUTH, rate)
    assert independent(wrong, told(noise, annotator=1) != TRUTH, rate)


def test_a_relabelling_by_another_annotator_draws_anew_and_the_first_one_stays_as_it_was():
    one = oracle(Noise(rate=0.5))
    query = Query(IDS[:200])
    first, second = one.answer(query), one.by(1).answer(query)
    assert first != second
    assert one.answer(query) == one.by(1).by(0).answer(query) == first
    assert one.by(1).answer(query) == oracle(Noise(rate=0.5), annotator=1).answer(query) == second


@given(st.floats(0.01, 1.0), st.floats(0.01, 1.0))
def test_a_higher_rate_keeps_every_wrong_answer(a, b):
    low, high = (told(Noise(rate=rate), IDS[:500]) for rate in sorted((a, b)))
    wrong = low != TRUTH[:500]
    np.testing.assert_array_equal(high[wrong], low[wrong])


@pytest.mark.parametrize("initial", [True, False])
@pytest.mark.parametrize("validation", [True, False])
def test_initial_pool_and_validation_set_have_switches_of_their_own(initial, validation):
    noise = Noise(rate=0.5, initial=initial, validation=validation)
    noisy = {INITIAL: initial, VALIDATION: validation, QUERY: True}
    for purpose in PURPOSES:
        answers = told(noise, IDS[:300], purpose)
        np.testing.assert_array_equal(answers, told(noise)[:300] if noisy[purpose] else TRUTH[:300])
    assert (Noise(rate=0.5).initial, Noise(rate=0.5).validation) == (True, True)


def test_ids_outside_the_pool_stay_a_leak_and_what_is_declined_stays_declined():
    with pytest.raises(LeakError, match="outside the pool"):
        oracle(Noise(rate=0.5), pool=IDS[:10]).answer(Query(np.array([11])))

    class Shy:
        def answer(self, query):
            return {int(i): None if i % 2 else int(TRUTH[i]) for i in query.ids}

    answers = NoisyOracle(Shy(), Noise(rate=1.0), CLASSES, Seed(0)).answer(Query(IDS[:10]))
    assert [answers[i] is None for i in range(10)] == [bool(i % 2) for i in range(10)]
    assert all(answers[i] != TRUTH[i] for i in range(0, 10, 2))
    assert all(type(i) is int and type(y) is int for i, y in answers.items() if y is not None)


def test_nobody_is_asked_nothing():
    assert oracle(Noise(rate=0.5)).answer(Query(IDS[:0])) == {}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "expected a rate above 0 and at most 1, for example rate = 0.2, got none"),
        ({"rate": 0.0}, "got 0.0"),
        ({"rate": 1.5}, "got 1.5"),
        ({"rate": float("nan")}, "got nan"),
        ({"rate": 0.1, "confused": (("cat", "dog"),)}, "uniform noise takes no confused"),
        ({"rate": 0.1, "matrix": MATRIX}, "uniform noise takes no confused and no matrix"),
        ({"kind": "class_conditional", "rate": 0.1}, "either confused or matrix"),
        ({"kind": "class_conditional", "confused": ((0, 1),), "matrix": MATRIX}, "either confused or matrix"),
        ({"kind": "class_conditional", "rate": 0.1, "matrix": MATRIX}, "no rate beside it"),
        ({"kind": "class_conditional", "confused": ((0, 1),)}, "expected a rate"),
        ({"kind": "class_conditional", "rate": 0.1, "confused": ((0, 1),), "truth": True}, "belongs to uniform"),
    ],
)
def test_settings_that_do_not_go_together(settings, words):
    with pytest.raises(SpecError, match=words):
        Noise(**settings)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"rate": 0.1, "confused": (("cot", "dog"),)}, "'cot' is no declared class. Did you mean 'cat'"),
        ({"rate": 0.1, "confused": ((4, "dog"),)}, "4 is no declared class"),
        ({"rate": 0.1, "confused": ((True, "dog"),)}, "True is no declared class"),
        ({"rate": 0.1, "confused": (("cat", 2),)}, "'cat' is mistaken for itself"),
        ({"rate": 0.1, "confused": (("cat", 0), (2, 1))}, "mistaken for two others"),
        ({"matrix": MATRIX[:3]}, "4 rows of 4 numbers, one per class, got 3 rows of 4"),
        ({"matrix": (*MATRIX[:3], (0.5, 0.5))}, "got 4 rows of 2, 4"),
        ({"matrix": (*MATRIX[:3], (0.5, 0.5, 0.5, 0.5))}, "row 3 is"),
        ({"matrix": (*MATRIX[:3], (1.5, -0.5, 0.0, 0.0))}, "row 3 is"),
    ],
)
def test_classes_that_are_not_those_of_the_dataset(settings, words):
    with pytest.raises(SpecError, match=words):
        Noise(kind="class_conditional", **settings).confusion(CLASSES)


def test_what_answers_depend_on_names_classes_by_number():
    by_name = Noise(kind="class_conditional", rate=0.1, confused=(("dog", "ant"), ("cat", "dog")))
    by_number = Noise(kind="class_conditional", rate=0.1, confused=((2, 3), ("3", 0)))
    assert by_name.identity(CLASSES) == by_number.identity(CLASSES)
    assert by_name.identity(CLASSES)["confused"] == [[2, 3], [3, 0]]
    assert Noise(rate=0.1).identity(CLASSES) == {
        "noise": "uniform", "revision": 1, "rate": 0.1, "truth": False, "initial": True, "validation": True,
    }  # fmt: skip


CONFUSED = Noise(kind="class_conditional", rate=0.3, confused=(("cat", "dog"),), initial=False, validation=False)
SAID = {
    Noise(rate=0.2): "20 % of answers wrong, uniformly over the other classes",
    Noise(rate=0.125, truth=True, initial=False): (
        "12.5 % of answers drawn from all classes, the true one included; initial pool clean"
    ),
    CONFUSED: (
        "30 % of answers wrong where classes are confused: cat taken for dog; initial pool and validation set clean"
    ),
    Noise(kind="class_conditional", matrix=((0.9, 0.1), (0.3, 0.7))): (
        "20 % of answers wrong where classes are equally frequent, by a confusion matrix"
    ),
}


@pytest.mark.parametrize(("noise", "words"), SAID.items())
def test_it_says_what_it_is(noise, words):
    assert str(noise) == words
