"""Every need refuses values that are not what it says, cuts them by rows, and is a value itself."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from querist.errors import DataError
from querist.evidence.needs import (
    Draws,
    Embeddings,
    Factors,
    Features,
    Gradients,
    Head,
    History,
    Labels,
    Logits,
    Need,
    Neighbourhood,
    Neighbours,
    Past,
    PretrainTrace,
    Previous,
    Probs,
    Refit,
    Sealed,
)
from querist.seeds import Seed
from querist.testing.component import fingerprint
from querist.testing.fakes import NEEDS
from querist.testing.world import FakeWorld

IDS = np.array([10, 20, 30])
P = np.array([[0.2, 0.8], [1.0, 0.0], [0.5, 0.5]])
X = np.arange(6.0).reshape(3, 2)
GRAPH = Neighbourhood(np.array([0, 1, 2, 3]), np.array([1, 0, 0]), np.ones(3))


def spoiled(array, value, row=1):
    array = np.array(array, dtype=float)
    array[row] = value
    return array


GOOD = [
    (Probs(), P),
    (Probs(), P.astype(np.float32)),
    (Probs(), P.tolist()),
    (Logits(), X - 3),
    (Draws(k=2), [P, P]),
    (Draws(k=2), np.stack([P, P])),
    (Embeddings(), X),
    (Features(), np.zeros((3, 7))),
    (Neighbours(k=1), GRAPH),
    (Neighbours(k=1), Neighbourhood(np.zeros(4, int), np.empty(0, int), np.empty(0))),
    (Gradients(), Factors(P - 1, X)),
    (Labels(), np.array([0, 1, 1])),
    (Sealed(), np.array([1, 1, 0])),
    (PretrainTrace(name="loss"), X),
    (Previous(need=Probs()), P),
    (Previous(need=Gradients()), Factors(P - 1, X)),
    (Previous(need=Draws(k=2)), [P, P]),
    (Need(), np.zeros((3, 2, 2))),
]

BAD = [
    (Probs(), P[:2], r"probs of \(3, 2\), got shape \(2, 2\)"),
    (Probs(), P[:, :1], r"got shape \(3, 1\)"),
    (Probs(), np.ones(3), r"got shape \(3,\)"),
    (Probs(), P[None], r"got shape \(1, 3, 2\)"),
    (Probs(), spoiled(P, np.nan), "probs: 1 of 3 rows hold NaN or infinite values, ids 20"),
    (Probs(), spoiled(P, [0.9, 0.9]), "probs: 1 of 3 rows are not probabilities .*ids 20.*softmax"),
    (Probs(), spoiled(P, [1.2, -0.2], 2), "ids 30"),
    (Logits(), X[:2], "logits"),
    (Logits(), np.zeros((3, 3)), r"\(3, 2\)"),
    (Logits(), spoiled(X, np.inf, 0), "logits: 1 of 3 rows .* ids 10"),
    (Draws(k=2), [P], "at least 2 members"),
    (Draws(k=2), [P, P[:2]], r"draws\[1\] of \(3, 2\)"),
    (Draws(k=2), [spoiled(P, 2.0), P], r"draws\[0\]: 1 of 3 rows are not probabilities"),
    (Embeddings(), np.ones(3), "embeddings"),
    (Embeddings(), spoiled(X, np.nan), "embeddings: 1 of 3"),
    (Features(), X[:2], "features of 3 rows"),
    (Features(), np.ones((3, 2, 2)), r"shape \(n, d\)"),
    (Features(), spoiled(X, -np.inf), "features: 1 of 3 rows .* ids 20"),
    (Neighbours(), GRAPH._replace(indptr=np.array([0, 1, 2])), "neighbours of 3 rows, got 2"),
    (Neighbours(), GRAPH._replace(indices=np.array([1, 0])), "2 indices and 3 distances for 3"),
    (Neighbours(), GRAPH._replace(distances=np.ones(2)), "3 indices and 2 distances"),
    (Neighbours(), GRAPH._replace(indptr=np.array([0, 2, 1, 3])), "an index and a distance per neighbour"),
    (Neighbours(), GRAPH._replace(indices=np.array([1, 0, 3])), r"rows in 0\.\.2, got 3"),
    (Neighbours(), GRAPH._replace(indices=np.array([1, -1, 0])), r"rows in 0\.\.2, got -1"),
    (Neighbours(), GRAPH._replace(distances=np.array([1, np.nan, 1])), "distances of neighbours"),
    (Gradients(), Factors(P[:, :1], X), "gradient residuals"),
    (Gradients(), Factors(P, X[:2]), "gradient embeddings"),
    (Gradients(), Factors(spoiled(P, np.nan), X), "gradient residuals: 1"),
    (Gradients(), Factors(P, spoiled(X, np.inf)), "gradient embeddings: 1"),
    (Labels(), np.array([0, 1]), "labels of 3 rows"),
    (Labels(), np.array([0, 2, 1]), r"labels in 0\.\.1, got 2 for id 20"),
    (Labels(), np.array([0, 1, -1]), "got -1 for id 30"),
    (Labels(), np.array([0.0, 1.0, np.nan]), "class numbers, got float64"),
    (Labels(), np.array([[0], [1], [1]]), r"got int64 \(3, 1\)"),
    (Sealed(), np.array([0, 1, 7]), "got 7 for id 30"),
    (PretrainTrace(name="loss"), spoiled(X, np.nan), "statistics of a pre-training: 1"),
    (PretrainTrace(name="loss"), np.ones(3), "statistics of a pre-training"),
    (Previous(need=Probs()), spoiled(P, 2.0), "probs"),
    (Previous(need=Gradients()), Factors(P, X[:2]), "gradient embeddings"),
    (Need(), np.zeros(2), "3 rows"),
    (Need(), np.float64(1), "3 rows"),
]  # fmt: skip


@pytest.mark.parametrize(("need", "value"), GOOD, ids=lambda x: str(x)[:30])
def test_good_values_pass_unchanged(need, value):
    checked = need.check(value, IDS, 2)
    if isinstance(value, np.ndarray) and not isinstance(need, Draws):
        assert checked.dtype == value.dtype
    for one, other in zip(np.atleast_1d(checked), np.atleast_1d(value), strict=True) if isinstance(value, list) else []:
        assert np.array_equal(one, other)


@pytest.mark.parametrize(("need", "value", "says"), BAD, ids=lambda x: str(x)[:30])
def test_bad_values_are_refused_with_what_and_where(need, value, says):
    with pytest.raises(DataError, match=says):
        need.check(value, IDS, 2)


@pytest.mark.parametrize(("need", "value"), GOOD, ids=lambda x: str(x)[:30])
def test_checked_values_are_read_only(need, value):
    arrays = need.check(value, IDS, 2)
    for array in arrays if isinstance(arrays, tuple | list) else [arrays]:
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0


def test_the_providers_own_array_stays_writable():
    mine = P.copy()
    Probs().check(mine, IDS, 2)
    mine[0] = [1.0, 0.0]


def test_empty_frames_pass():
    none = np.empty(0, np.int64)
    for need, value in [
        (Probs(), np.empty((0, 2))), (Labels(), none), (Features(), np.empty((0, 4))),
        (Gradients(), Factors(np.empty((0, 2)), np.empty((0, 3)))), (Draws(), [np.empty((0, 2))] * 2),
    ]:  # fmt: skip
        need.check(value, none, 2)


def test_history_and_heads_pass_through():
    past = Past((np.array([3, 1]), np.array([7])), (np.array([0.5, 0.1]), None))
    checked = History().check(past, IDS, 2)
    assert [ids.tolist() for ids in checked.ids] == [[3, 1], [7]]
    assert not checked.ids[0].flags.writeable
    assert History().cut(past, np.array([0])) is past
    head = np.tanh
    assert Head().check(head, IDS, 2) is head
    assert Head().cut(head, np.array([0])) is head


@settings(deadline=None, max_examples=30)
@given(st.sampled_from([need for need in NEEDS if need.frame == "candidates"]), st.lists(st.integers(0, 8), max_size=9))
def test_cutting_is_taking_rows(need, rows):
    world = FakeWorld(n=9, labelled=3, c=3, d=4, seed=Seed(0))
    rows = np.array(rows, dtype=int)
    value = world.value(need)
    if isinstance(need, Neighbours):
        with pytest.raises(DataError, match="frame 'all'"):
            need.cut(value, rows)
        return
    if isinstance(need, Head):
        assert need.cut(value, rows) is value
        return
    parts = need.cut(value, rows)
    if isinstance(need, Refit):
        parts, value = parts(np.arange(3)), value(np.arange(3))
    pairs = zip(parts, value, strict=True) if isinstance(value, tuple | list) else [(parts, value)]
    for part, whole in pairs:
        assert np.array_equal(part, whole[rows])


# ------------------------------------------------------------------------------------------------------------- values


def test_needs_are_values():
    fresh = [type(need)(**vars(need)) for need in NEEDS]
    assert fresh == list(NEEDS)
    assert [hash(a) for a in fresh] == [hash(b) for b in NEEDS]
    assert len(set(NEEDS)) == len(NEEDS)
    for one, other in itertools.combinations(NEEDS, 2):
        assert one != other


def test_settings_and_frames_make_different_needs():
    different = [
        Features(), Features(normalise=False), Features(encoder="pixels"), Features(frame="all"),
        Draws(), Draws(k=3), Draws(coherent=True), Probs(), Probs(frame="labelled"), Logits(), Need(),
        Previous(need=Probs()), Previous(need=Logits()), Previous(need=Previous(need=Probs())),
    ]  # fmt: skip
    assert len(set(different)) == len(different)
    assert len({str(need) for need in different}) == len(different)


def test_a_need_on_another_frame_keeps_its_settings():
    moved = Features(encoder="pixels", normalise=False).on("all")
    assert moved == Features(encoder="pixels", normalise=False, frame="all")
    assert moved.on("candidates") == Features(encoder="pixels", normalise=False)
    assert Labels().frame == History().frame == "labelled"
    assert Sealed().frame == Probs().frame == "candidates"


@pytest.mark.parametrize(
    ("need", "shown"),
    [
        (Probs(), "Probs()"),
        (Probs(frame="all"), "Probs(frame='all')"),
        (Features(encoder="pixels"), "Features(encoder='pixels', normalise=True)"),
        (Draws(k=5), "Draws(k=5, coherent=False)"),
        (Labels(), "Labels(frame='labelled')"),
    ],
)
def test_needs_are_shown_as_they_are_written(need, shown):
    assert str(need) == shown


def test_fingerprints_tell_values_apart():
    values = [P, P.astype(np.float32), P.T.copy(), [P], [P, P], Factors(P, X), X, spoiled(P, [0.2, 0.8])]
    assert len({fingerprint(v) for v in values}) == len(values)
    assert fingerprint(P) == fingerprint(P.copy())


def test_a_refit_checks_whatever_it_returns():
    rows = np.array([1])
    good = Refit().check(lambda fitted: P if fitted is rows else P[:1], IDS, 2)
    np.testing.assert_array_equal(good(rows), P)
    np.testing.assert_array_equal(Refit().cut(good, np.array([2, 0]))(rows), P[[2, 0]])
    for bad, words in ((spoiled(P, np.nan), "ids 20"), (P[:2], r"\(3, 2\)")):
        with pytest.raises(DataError, match=words):
            Refit().check(lambda _fitted, value=bad: value, IDS, 2)(rows)
