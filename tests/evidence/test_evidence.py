"""Evidence gives exactly what was declared, on frames that carry their ids; parts share what they can."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from querist.errors import DataError, NeedError
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Draws, Features, Gradients, Head, Labels, Neighbours, Probs, Sealed
from querist.testing.component import fingerprint
from querist.testing.fakes import fake_evidence

ROWWISE = (Probs(), Features(), Gradients(), Draws(k=3), Sealed())
SHARED = (Features(frame="all"), Labels(), Probs(frame="labelled"), Head(), Neighbours(k=3, frame="all"))


def test_reading_what_was_not_declared_says_what_was():
    ev = fake_evidence((Probs(), Labels()))
    with pytest.raises(
        NeedError, match=r"Features\(normalise=True\) was read but not declared. Declared: Probs\(\), Labels"
    ):
        ev[Features()]
    with pytest.raises(NeedError, match="Declared: nothing"):
        fake_evidence(())[Probs()]
    for near_miss in (Probs(frame="all"), Features(normalise=False)):
        with pytest.raises(NeedError):
            fake_evidence((Probs(), Features()))[near_miss]
    with pytest.raises(LookupError):
        ev[Features()]
    assert ev.needs == {Probs(), Labels()}


@settings(deadline=None, max_examples=50)
@given(st.sets(st.integers(0, 60), min_size=1, max_size=20), st.sets(st.integers(0, 60), max_size=10))
def test_frames_are_sorted_unions(candidates, labelled):
    labelled -= candidates
    ev = Evidence(np.array(sorted(candidates)), {}, labelled=np.array(sorted(labelled), dtype=int), c=2)
    assert ev.all.tolist() == sorted(candidates | labelled)
    assert ev.ids("all").tolist() == ev.all.tolist()
    for frame in ("candidates", "labelled"):
        assert np.array_equal(ev.all[ev.rows(frame)], ev.ids(frame))
    assert ev.rows("all").tolist() == list(range(len(ev.all)))
    for ids in (ev.candidates, ev.labelled, ev.all):
        assert ids.dtype == np.int64
        with pytest.raises(ValueError, match="read-only"):
            ids[:1] = 0


def test_c4_ids_that_do_not_ascend_are_refused_for_their_rows_would_be_mixed_up():
    for wrong in (
        {"candidates": np.array([3, 1, 2])},
        {"candidates": np.array([1]), "labelled": np.array([9, 8])},
        {"candidates": np.array([1]), "targets": np.array([5, 2])},
    ):
        with pytest.raises(DataError, match=r"to ascend, got \d after \d"):
            Evidence(wrong["candidates"], {}, labelled=wrong.get("labelled"), targets=wrong.get("targets"), c=2)


@pytest.mark.parametrize("labelled", [[1, 4, 9], [0, 9], [9], [0, 1, 2, 3, 9]])
def test_c3_a_labelled_candidate_is_refused(labelled):
    with pytest.raises(DataError, match="candidates to be unlabelled, but ids 9 are labelled"):
        Evidence(np.array([5, 9]), {}, labelled=np.array(labelled), c=2)
    Evidence(np.array([5, 9]), {}, labelled=np.array([i for i in labelled if i != 9] + [10]), c=2)


@pytest.mark.parametrize("candidates", [[1, 1], [-1, 2], [0.5], [[1]]])
def test_candidates_are_ids(candidates):
    with pytest.raises(DataError, match="candidates"):
        Evidence(np.array(candidates), {}, c=2)


def test_values_are_checked_against_the_ids_of_their_frame():
    ids = np.array([2, 5])
    good = np.array([[0.5, 0.5], [1.0, 0.0]])
    assert np.array_equal(Evidence(ids, {Probs(): good}, c=2)[Probs()], good)
    for need, value, says in [
        (Probs(), good[:1], r"\(2, 2\)"),
        (Probs(), good * 2, "ids 2, 5"),
        (Probs(frame="labelled"), good, r"\(0, 2\)"),
        (Labels(), np.array([0]), "labels of 0 rows"),
    ]:
        with pytest.raises(DataError, match=says):
            Evidence(ids, {need: value}, c=2)
    with pytest.raises(DataError, match=r"\(2, 3\)"):
        Evidence(ids, {Probs(): good}, c=3)


def test_evidence_is_read_only():
    ev = fake_evidence(ROWWISE)
    for need in ROWWISE:
        value = ev[need]
        for array in value if isinstance(value, tuple | list) else [value]:
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 0
    with pytest.raises(TypeError):
        ev[Probs()] = 0  # pyright: ignore


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(0, 19), max_size=20), st.sampled_from(["gaps", "dense", "apart"]))
def test_a_part_holds_its_rows_and_shares_the_rest(rows, ids):
    whole = fake_evidence((*ROWWISE, *SHARED), 20, 7, ids=ids)
    rows = np.array(rows, dtype=int)
    part = whole.cut(rows)
    assert np.array_equal(part.candidates, whole.candidates[rows])
    assert part.needs == whole.needs
    assert part.c == whole.c
    for need in (Probs(), Features(), Sealed()):
        assert np.array_equal(part[need], whole[need][rows])
    for one, other in zip(
        (*part[Gradients()], *part[Draws(k=3)]), (*whole[Gradients()], *whole[Draws(k=3)]), strict=True
    ):
        assert np.array_equal(one, other[rows])
    for need in SHARED:
        assert part[need] is whole[need], f"{need} was copied"
    # Frames other than the candidates stay those of the whole, so that shared values keep their rows.
    assert part.labelled is whole.labelled
    assert np.array_equal(part.all, whole.all)
    assert np.array_equal(part.all[part.rows("candidates")], part.candidates)
    assert np.array_equal(part[Features(frame="all")][part.rows("candidates")], part[Features()])


@pytest.mark.parametrize("size", [1, 3, 7, 20, 100])
def test_n2_streaming_is_the_whole_in_parts(size):
    whole = fake_evidence((*ROWWISE, *SHARED), 20)
    parts = list(whole.stream(size))
    assert [len(p.candidates) for p in parts] == [min(size, 20 - s) for s in range(0, 20, size)]
    assert np.array_equal(np.concatenate([p.candidates for p in parts]), whole.candidates)
    assert np.array_equal(np.concatenate([p[Probs()] for p in parts]), whole[Probs()])
    assert np.array_equal(
        np.concatenate([p[Gradients()].residual for p in parts]), whole[Gradients()].residual
    )  # fmt: skip
    with pytest.raises(NeedError):
        parts[0][Probs(frame="all")]


def test_a_part_of_a_part_is_a_part():
    whole = fake_evidence(ROWWISE, 20)
    twice = whole.cut(np.arange(5, 15)).cut(np.array([0, 9]))
    once = whole.cut(np.array([5, 14]))
    assert all(fingerprint(twice[need]) == fingerprint(once[need]) for need in ROWWISE)
    assert np.array_equal(twice.all, whole.all)


def test_a_neighbourhood_of_candidates_cannot_be_cut():
    with pytest.raises(DataError, match="declare it on the frame 'all'"):
        next(fake_evidence(Neighbours(k=3)).stream(5))


def test_nothing_labelled_and_nothing_to_pick():
    ev = Evidence(np.empty(0, np.int64), {Probs(): np.empty((0, 3))}, c=3)
    assert len(ev.candidates) == len(ev.labelled) == len(ev.all) == 0
    assert list(ev.stream(4)) == []
