"""The contract of encoders catches planted defects, one at least per check, and lets the fake pass."""

import random
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from querist.encoders.base import FittedEncoder
from querist.testing.contract import EncoderContract
from querist.testing.fakes import FakeEncoder, FakeFittedEncoder
from querist.testing.plants import Plants, own_checks

plants = Plants(EncoderContract)


class TestFakeEncoder(EncoderContract):
    make = FakeEncoder


class TestFlatEncoder(EncoderContract):
    shape = (5,)

    def make(self):
        return FakeEncoder(dims=2)


class Bends(FakeEncoder):
    """Passes what is encoded through `bend`."""

    def fit(self, pool, seed):
        return Bent(super().fit(pool, seed), self)

    def bend(self, f, view):
        return f


@dataclass(frozen=True, eq=False)
class Bent(FittedEncoder):
    inner: FakeFittedEncoder
    encoder: Any

    def encode(self, view):
        return self.encoder.bend(self.inner.encode(view), view)


@plants("test_features_are_finite_float32")
class Float64(Bends):
    def bend(self, f, view):
        return f.astype(np.float64)


@plants("test_features_are_finite_float32")
class Images(Bends):
    def bend(self, f, view):
        return f[:, None]


@plants("test_encoding_is_row_wise")
class CentresByView(Bends):
    def bend(self, f, view):
        return f - f.mean(axis=0)


@plants("test_fit_sees_the_pool_alone")
class L9_WholeDataset(FakeEncoder):  # noqa: N801
    def fit(self, pool, seed):
        pool._dataset.items[np.arange(len(pool._dataset.items))]
        return super().fit(pool, seed)


@plants("test_reads_no_labels")
class Supervised(FakeEncoder):
    def fit(self, pool, seed):
        pool._dataset.labels.unseal()
        return super().fit(pool, seed)


@plants("test_reads_no_labels")
class AsksTheView(FakeEncoder):
    def fit(self, pool, seed):
        return super().fit(pool, seed.child(len(np.unique(pool.labels))))


@plants("test_same_pool_same_features")
class Unseeded(FakeEncoder):
    def fit(self, pool, seed):
        return super().fit(pool, seed.child(random.Random().randrange(2**31)))


@dataclass(frozen=True, eq=False)
class Updating(FakeFittedEncoder):
    def encode(self, view):
        f = super().encode(view)
        self.mean[:] += 0.01 * view.items().mean()
        return f


@plants("test_encoding_twice_is_identical")
class UpdatesMean(FakeEncoder):
    def fit(self, pool, seed):
        inner = super().fit(pool, seed)
        return Updating(inner.mean.copy(), inner.directions)


@plants("test_global_generators_are_left_alone")
class GlobalSeed(FakeEncoder):
    def fit(self, pool, seed):
        random.seed(seed.integer())
        return super().fit(pool, seed)


@plants("test_items_are_left_alone")
class Whitens(FakeEncoder):
    def fit(self, pool, seed):
        base = pool._dataset.items._array.base
        base -= base.mean()
        return super().fit(pool, seed)


@plants("test_different_items_are_told_apart")
class Collapsed(Bends):
    def bend(self, f, view):
        return np.ones_like(f)


@plants("test_constant_items")
class Standardises(FakeEncoder):
    def fit(self, pool, seed):
        inner = super().fit(pool, seed)
        spread = pool.items().reshape(len(pool), -1).astype(float).std(axis=0)
        with np.errstate(all="ignore"):
            return FakeFittedEncoder(inner.mean, inner.directions / spread[:, None])


@pytest.mark.parametrize("plant", plants, ids=str)
def test_plants_are_caught(plant):
    plant.verify()


def test_every_check_has_a_plant():
    assert plants.checks == own_checks(EncoderContract)
