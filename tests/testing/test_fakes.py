"""Fake evidence agrees with itself, whatever is asked of it."""

import itertools
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from querist.arrays import SealedArray
from querist.errors import DataError, LeakError
from querist.evidence.evidence import Evidence
from querist.evidence.needs import (
    Aux,
    Draws,
    Embeddings,
    Features,
    Gradients,
    Head,
    History,
    InputGradients,
    Labels,
    Logits,
    Need,
    Neighbours,
    PretrainTrace,
    Previous,
    Probs,
    Refit,
    Sealed,
)
from querist.strategies.margin import Margin
from querist.testing.fakes import NEEDS, FakeLearner, PoisonedArray, fake_dataset, fake_evidence, fake_view
from querist.testing.world import Kind, Numbering


def subclasses(cls: type) -> set[type]:
    return {cls}.union(*map(subclasses, cls.__subclasses__())) if cls.__subclasses__() else {cls}


def test_the_whole_vocabulary_is_listed():
    ours = {cls for cls in subclasses(Need) if cls.__module__ == "querist.evidence.needs"}
    assert ours == {type(need) for need in NEEDS} | {Need}


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(get_args(Kind)),
    ids=st.sampled_from(get_args(Numbering)),
    n=st.integers(1, 30),
    labelled=st.integers(0, 9),
    c=st.integers(2, 6),
    d=st.integers(4, 7),
    seed=st.integers(0, 3),
)
def test_needs_agree_with_one_another(kind, ids, n, labelled, c, d, seed):
    # Evidence itself checks shapes, finiteness, probabilities, labels in range and disjoint frames.
    all_frames = [need.on(f) for need in (Probs(), Features(), Gradients()) for f in ("labelled", "all", "targets")]
    ev = fake_evidence([*NEEDS, *all_frames], n, labelled, c, d, seed=seed, ids=ids, kind=kind)
    assert (len(ev.candidates), len(ev.labelled), ev.c) == (n, labelled, c)
    logits = ev[Logits()]
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    if kind == "one_hot":
        assert set(np.unique(ev[Probs()])) <= {0.0, 1.0}
    else:
        np.testing.assert_allclose(p / p.sum(axis=1, keepdims=True), ev[Probs()], atol=1e-9)
    if kind != "shifted":
        np.testing.assert_allclose(ev[Head()](ev[Embeddings()]), logits, rtol=1e-9, atol=1e-9)
    likeliest = np.eye(c)[ev[Probs()].argmax(axis=1)]
    np.testing.assert_array_equal(ev[Gradients()].residual, ev[Probs()] - likeliest)
    np.testing.assert_array_equal(ev[Gradients()].embedding, ev[Embeddings()])
    true = ev[Gradients(frame="labelled")].residual
    np.testing.assert_array_equal(true, ev[Probs(frame="labelled")] - np.eye(c)[ev[Labels()]])
    # The same row is the same in every frame.
    for frame in ("candidates", "labelled"):
        at = ev.rows(frame)
        np.testing.assert_array_equal(ev[Probs(frame="all")][at], ev[Probs(frame=frame)])
        np.testing.assert_array_equal(ev[Gradients(frame="all")].residual[at], ev[Gradients(frame=frame)].residual)
    norm = np.linalg.norm(ev[Features()], axis=1)
    zero = ~ev[Features(normalise=False)].any(axis=1)
    np.testing.assert_allclose(norm, np.where(zero, 0.0, 1.0), atol=1e-6)
    assert ev[Features()].dtype == np.float32
    assert len(ev[Draws(k=4)]) == 4
    if len(ev.labelled):
        assert ev[Refit()](np.arange(1)).shape == (n, c)
    assert all(np.array_equal(a, b) for a, b in zip(ev[Draws(k=4)], ev[Draws(k=4, coherent=True)], strict=True))
    assert ev[InputGradients()].shape == (n, d)
    assert ev[PretrainTrace(name="loss")].shape[0] == n
    assert ev[Aux(helper="fake")].shape == (n,)
    assert sorted(itertools.chain(*ev[History()].ids)) == ev.labelled.tolist()
    graph = ev[Neighbours(k=5)]
    k = min(5, n - 1)
    assert np.array_equal(graph.indptr, np.arange(n + 1) * k)
    x = ev[Features(normalise=False)].astype(float)
    if n > 1 and kind not in ("zeros", "duplicates"):
        unit = x / np.linalg.norm(x, axis=1, keepdims=True)
        distance = np.linalg.norm(unit[0] - unit, axis=1)
        distance[0] = np.inf
        np.testing.assert_allclose(np.sort(distance)[:k], graph.distances[:k], atol=1e-6)


@pytest.mark.parametrize("kind", get_args(Kind))
def test_the_same_settings_give_the_same_evidence(kind):
    one, other = (fake_evidence((Probs(), Features()), kind=kind, seed=3) for _ in range(2))
    assert np.array_equal(one[Probs()], other[Probs()])
    assert np.array_equal(one.candidates, other.candidates)
    assert not np.array_equal(one[Features()], fake_evidence((Features(),), kind=kind, seed=4)[Features()])


def test_the_previous_model_is_another_one_about_the_same_rows():
    ev = fake_evidence((Previous(need=Probs()), Previous(need=Embeddings()), Probs(), Embeddings()))
    assert not np.isclose(ev[Previous(need=Probs())], ev[Probs()]).all()
    assert np.array_equal(ev[Previous(need=Embeddings())], ev[Embeddings()])


def test_kinds_are_what_they_say():
    def rows(kind, need, **settings):
        return fake_evidence(need, kind=kind, **settings)[need]

    assert len(np.unique(rows("duplicates", Features(frame="all")), axis=0)) == 1
    assert len(np.unique(rows("duplicates", Sealed()))) == 1
    assert len(np.unique(rows("ties", Probs()), axis=0)) <= 6
    assert len(np.unique(rows("ties", Features()) @ rows("ties", Features()).T)) < 12
    assert (~rows("zeros", Features()).any(axis=1)).sum() == 20
    assert np.abs(rows("large", Features(normalise=False))).max() > 1e4
    assert set(rows("one_class", Labels())) == {1}
    assert set(rows("missing_class", Labels(), c=7)) == {0, 6}
    assert set(rows("generic", Labels())) == {0, 1, 2, 3}
    near = fake_evidence((Features(frame="labelled"), Features()), kind="near_duplicates")
    x, y = near[Features()], near[Features(frame="labelled")]
    gap = np.linalg.norm(x[:, None] - y, axis=2).min(axis=1)
    assert gap.max() < 1e-6
    assert (gap > 0).any()
    plain, shifted = (fake_evidence((Probs(), Logits()), kind=kind) for kind in ("generic", "shifted"))
    assert np.array_equal(plain[Probs()], shifted[Probs()])
    shift = shifted[Logits()] - plain[Logits()]
    np.testing.assert_allclose(shift, np.repeat(shift[:, :1], 4, axis=1))
    assert np.ptp(shift) > 1
    assert fake_evidence(Probs(), dtype="float16", kind="one_hot")[Probs()].dtype == np.float16


def test_numbering_moves_labelled_ids_and_nothing_else():
    gaps, apart, dense = (fake_evidence((Features(), Labels()), ids=ids) for ids in ("gaps", "apart", "dense"))
    assert np.array_equal(gaps.candidates, apart.candidates)
    assert gaps.candidates[0] < gaps.labelled[-1]
    assert gaps.candidates[-1] > gaps.labelled[0]
    assert apart.labelled.min() > apart.candidates.max()
    assert np.array_equal(dense.all, np.arange(72))
    assert (np.diff(gaps.candidates) > 1).all()
    for ev in (apart, dense):
        assert np.array_equal(ev[Features()], gaps[Features()])
        assert np.array_equal(ev[Labels()], gaps[Labels()])


def test_neighbours_are_near_in_the_space_they_are_asked_for():
    needs = [Neighbours(k=3, frame="all", encoder=e, normalise=unit) for e in (None, "other") for unit in (True, False)]
    ev = fake_evidence([need for pair in needs for need in (pair, pair.features)])
    for need in needs:
        x = ev[need.features].astype(float)
        gap = np.linalg.norm(x[:, None] - x, axis=2) + np.diag(np.full(len(x), np.inf))
        np.testing.assert_allclose(ev[need].distances.reshape(-1, 3), np.sort(gap, axis=1)[:, :3])
    assert len({ev[need].indices.tobytes() for need in needs}) == 4


def test_a_strategy_gets_what_it_declares():
    assert fake_evidence(Margin()).needs == {Probs()}


def test_labels_nobody_bought_are_not_given():
    with pytest.raises(LeakError, match="Sealed"):
        fake_evidence(Labels(frame="candidates"))


def test_unknown_kinds_and_needs_are_refused():
    with pytest.raises(DataError, match="weird"):
        fake_evidence(Probs(), kind="weird")  # pyright: ignore
    with pytest.raises(DataError, match="vocabulary"):
        fake_evidence(Need())


def test_targets_are_rows_there_are():
    assert np.isin(fake_evidence(Probs(frame="targets")).ids("targets"), fake_evidence(()).labelled).all()
    cold = fake_evidence(Probs(frame="targets"), labelled=0)
    assert np.isin(cold.ids("targets"), cold.candidates).all()
    assert isinstance(cold, Evidence)


def test_fake_dataset_and_its_poison():
    data = fake_dataset(n=40, c=3)
    assert np.array_equal(data.labels.unseal(), np.arange(40) % 3)
    assert len(data.test) == 10
    assert np.array_equal(np.union1d(data.pool, data.test), np.arange(40))
    assert data.fingerprint == fake_dataset(n=40, c=3).fingerprint != fake_dataset(n=40, c=3, seed=1).fingerprint
    poisoned = fake_dataset(n=40, c=3, poisoned=True)
    assert isinstance(poisoned.labels, PoisonedArray | SealedArray)
    with pytest.raises(LeakError, match="poisoned"):
        poisoned.labels.unseal()
    assert poisoned.fingerprint == data.fingerprint
    assert fake_dataset(shape=(4, 4)).items[np.array([2])].shape == (1, 4, 4)


def test_fake_views_have_features_of_every_name():
    data = fake_dataset(n=40)
    view = fake_view(data, data.pool, encoder="pixels")
    assert np.array_equal(view[Features(encoder="pixels")], view[Features()])
    np.testing.assert_allclose(np.linalg.norm(view[Features()], axis=1), 1, atol=1e-6)
    assert np.array_equal(view[Features(normalise=False)], data.items[data.pool])
    with pytest.raises(LeakError):
        _ = view.labels


def test_the_fake_learner_says_what_it_cannot():
    assert "one linear layer" in str(FakeLearner().offers(Draws()))
