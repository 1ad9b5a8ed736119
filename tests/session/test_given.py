"""Features used where they lie: the same picks as through the encoder, and no copy of what need not be scaled."""

import numpy as np
import pytest

from querist.data.memory import from_arrays
from querist.evidence.needs import Features
from querist.session.given import GivenFeatures, are_given
from querist.session.session import Session
from querist.session.setting import Setting


def data(dtype=np.float32, shape=(80, 6), **settings):
    x = np.random.default_rng(0).normal(size=shape).astype(dtype)
    return from_arrays("toy", x, classes=["a", "b"], **settings)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("strategy", ["k_center_greedy", "k_center_greedy(normalise=True)", "typiclust", "margin"])
def test_picks_are_those_of_the_encoder(strategy, dtype):
    dataset = data(dtype)
    asked = []
    for setting in (Setting(dataset, "pixels"), GivenFeatures(dataset)):
        session = Session(setting, strategy=strategy, seed=1)
        session.adopt({3: "a", 9: "b", 40: "a"})
        query = session.ask(12)
        asked.append((query.ids.tolist(), query.reasons, session.spec))
    assert asked[0] == asked[1]


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_nothing_is_copied(dtype):
    dataset = data(dtype)
    given = GivenFeatures(dataset)
    need = Features(frame="all", normalise=False)
    assert np.shares_memory(given.provide(need, np.arange(80)), dataset.items.all)
    assert given.provide(need, np.arange(80)).dtype == dtype
    assert not given.provide(need, np.arange(80)).flags.writeable
    some = given.provide(need, np.arange(0, 80, 3))
    np.testing.assert_array_equal(some, dataset.items.all[::3].astype(np.float32))


def test_rows_of_unit_length_are_made_once():
    given = GivenFeatures(data(np.float16))
    unit = given.provide(Features(frame="all"), np.arange(80))
    np.testing.assert_allclose(np.linalg.norm(unit, axis=1), 1.0, atol=1e-6)
    assert given.provide(Features(frame="all", encoder="pixels"), np.arange(80)) is unit


def test_which_items_are_features():
    assert are_given(data(np.float16))
    assert are_given(data(np.float32))
    assert not are_given(data(np.float64))
    assert not are_given(data(np.uint8, (9, 4, 4)))
    assert not are_given(data(np.float32, (9, 4, 4)))
