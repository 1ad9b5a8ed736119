"""Spies do what the real thing does, and remember."""

import mmap
import random
import sys
import types

import numpy as np
import pytest

from querist.errors import NeedError
from querist.evidence.needs import Features, Probs
from querist.seeds import Key, Seed
from querist.testing.fakes import fake_dataset, fake_evidence
from querist.testing.spy import SpyItems, SpyKey, SpyOracle, global_rng_untouched, peak_memory, recording


def test_items_remember_what_was_read_in_which_phase():
    items = fake_dataset(n=20).items
    spy = SpyItems(items)
    with spy.during("fit"):
        assert np.array_equal(spy[np.array([7, 3, 7])], items[np.array([7, 3, 7])])
        with spy.during("score"):
            _ = spy[np.array([1])]
        _ = spy[np.array([5])]
    _ = spy[np.array([0])]
    assert (spy.read("fit"), spy.read("score"), spy.read(""), spy.read("test")) == ([3, 5, 7], [1], [0], [])
    assert spy.read() == [0, 1, 3, 5, 7]
    assert (len(spy), spy.fingerprint) == (20, items.fingerprint)


def test_items_remember_negative_and_boolean_positions():
    spy = SpyItems(fake_dataset(n=5).items)
    _ = spy[np.array([-1])], spy[np.array([True, False, False, True, False])]
    assert spy.read() == [0, 3, 4]


def test_a_phase_ends_when_its_body_raises():
    spy = SpyItems(fake_dataset(n=5).items)
    with pytest.raises(KeyError), spy.during("fit"):
        raise KeyError
    _ = spy[np.array([2])]
    assert spy.read("fit") == []


def test_oracle_passes_on_and_remembers():
    class Yes:
        def answer(self, query):
            return {int(i): 1 for i in query.ids}

    spy = SpyOracle(Yes())
    assert spy.answer(types.SimpleNamespace(ids=np.array([4, 2]))) == {4: 1, 2: 1}
    assert spy.answer(types.SimpleNamespace(ids=np.array([9]))) == {9: 1}
    assert spy.asked == [[4, 2], [9]]


def test_keys_draw_like_keys_and_remember():
    ids = np.array([5, 9])
    key, spy = Key(Seed(3)).child("step", 1), SpyKey(Seed(3)).child("step", 1)
    assert np.array_equal(key.hash(ids), spy.hash(ids))
    assert np.array_equal(key.uniform(ids), spy.uniform(ids))
    assert key.generator().random() == spy.generator().random()
    assert [h.tolist() for h in spy.hashed] == [[5, 9], [5, 9]]
    assert spy.streams == [Seed(3).child("step", 1)]
    parent = SpyKey(Seed(3))
    parent.child("a").child("b").generator()
    assert parent.streams == [Seed(3).child("a", "b")]


def test_evidence_remembers_what_was_read_also_from_parts_and_in_vain():
    ev = recording(fake_evidence((Probs(), Features()), n=20))
    assert ev.read == set()
    for part in ev.stream(7):
        assert len(part[Probs()]) == len(part.candidates)
    assert ev.read == {Probs()}
    with pytest.raises(NeedError):
        ev[Probs(frame="all")]
    assert ev.read == {Probs(), Probs(frame="all")}
    assert np.array_equal(ev.all, fake_evidence((Probs(),), n=20).all)


@pytest.mark.parametrize(
    ("move", "who"),
    [
        (lambda: np.random.random(), "numpy"),  # noqa: NPY002
        (lambda: np.random.seed(1), "numpy"),  # noqa: NPY002
        (lambda: random.random(), "Python"),
        (lambda: (random.random(), np.random.normal()), "Python and numpy"),  # noqa: NPY002
    ],
)
def test_a_moved_global_generator_is_named(move, who):
    with pytest.raises(AssertionError, match=f"global random state of {who} was"), global_rng_untouched():
        move()


def test_own_generators_and_drawn_then_restored_states_pass():
    with global_rng_untouched():
        np.random.default_rng(0).random()
        random.Random(0).random()
        state = random.getstate()
        random.random()
        random.setstate(state)


def test_torch_is_watched_only_if_it_is_there(monkeypatch):
    state = np.zeros(3)
    torch = types.SimpleNamespace(
        random=types.SimpleNamespace(get_rng_state=lambda: types.SimpleNamespace(numpy=lambda: state.copy())),
        cuda=types.SimpleNamespace(is_initialized=lambda: False),
    )
    monkeypatch.setitem(sys.modules, "torch", torch)
    with pytest.raises(AssertionError, match="torch"), global_rng_untouched():
        state[0] = 1
    with global_rng_untouched():
        monkeypatch.delitem(sys.modules, "torch")


def test_an_error_inside_is_not_hidden():
    with pytest.raises(ZeroDivisionError), global_rng_untouched():
        _ = random.random() / 0


def test_peak_memory_sees_numpy_and_what_numpy_does_not():
    with peak_memory() as small:
        np.ones(2**10)
    with peak_memory() as traced:
        np.ones(2**23).sum()
    assert small.megabytes < 16
    assert 60 < traced.megabytes < 100
    if sys.platform == "linux":
        with peak_memory() as compiled, mmap.mmap(-1, 2**26) as block:
            block.write(b"x" * 2**26)
        assert compiled.megabytes > 60
