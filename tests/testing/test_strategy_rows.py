"""Unfriendly rows: a rule that breaks on duplicates, zeros, certainties or empty sets is caught."""

from typing import Any, ClassVar

import numpy as np
import pytest

from querist.errors import NeedError
from querist.evidence.needs import Embeddings, Features, Gradients, Labels, Probs
from querist.registry import Registry
from querist.strategies.base import Picks, Scoring, Strategy
from querist.testing.contract import StrategyContract
from querist.testing.plants import Plants, own_checks
from querist.testing.strategy_rows import UnfriendlyRows

toys: Registry[Any] = Registry("toy", "querist.testing")
plants = Plants(StrategyContract)


class Leans(Scoring):
    """Wants confident rows."""

    needs: ClassVar = (Probs(),)

    def score(self, ev):
        return ev[Probs()].max(axis=1)


class Takes(Strategy):
    """Takes the `b` largest values of what a subclass computes, ties keyed."""

    needs: ClassVar = (Features(),)

    def value(self, ev):
        return ev[Features()].sum(axis=1)

    def select(self, ev, b, key):
        value = np.asarray(self.value(ev), dtype=float)
        return Picks(np.lexsort((key.hash(ev.candidates), -value))[:b], np.sort(-value)[:b] * -1)


@plants("test_duplicate_rows", ValueError)
class ZeroWeights(Strategy):
    needs: ClassVar = (Features(),)

    def select(self, ev, b, key):
        weight = ((ev[Features()] - ev[Features()].mean(axis=0)) ** 2).sum(axis=1).round(9)
        with np.errstate(all="ignore"):
            p = weight / weight.sum()
        return Picks(key.generator().choice(len(weight), b, replace=False, p=p))


@plants("test_near_duplicates_of_labelled_rows")
class N3_NegativeRoot(Takes):  # noqa: N801
    needs: ClassVar = (Features(normalise=False), Features(normalise=False, frame="labelled"))

    def value(self, ev):
        x, y = ev[Features(normalise=False)], ev[Features(normalise=False, frame="labelled")]
        d2 = (x * x).sum(axis=1)[:, None] + (y * y).sum(axis=1) - 2 * x @ y.T
        return np.sqrt(d2).min(axis=1)


@plants("test_many_ties")
class OnePerValue(Leans):
    def select(self, ev, b, key):
        _, first = np.unique(self.score(ev).round(12), return_index=True)
        return Picks(first[:b])


@plants("test_zero_features")
class N10_NoEpsilon(Takes):  # noqa: N801
    needs: ClassVar = (Features(normalise=False),)

    def value(self, ev):
        x = ev[Features(normalise=False)]
        return (x / np.linalg.norm(x, axis=1, keepdims=True)).sum(axis=1)


@plants("test_large_features")
class Overflows(Takes):
    needs: ClassVar = (Features(normalise=False),)

    def value(self, ev):
        return np.exp(np.abs(ev[Features(normalise=False)]).max(axis=1))


@plants("test_probabilities_of_zero_and_one")
class N1_Unguarded(Leans):  # noqa: N801
    def score(self, ev):
        with np.errstate(all="ignore"):
            return -(ev[Probs()] * np.log(ev[Probs()])).sum(axis=1)


@plants("test_probabilities_of_zero_and_one")
class ZeroGradients(Takes):
    needs: ClassVar = (Gradients(),)

    def value(self, ev):
        residual = ev[Gradients()].residual
        return (residual / np.linalg.norm(residual, axis=1, keepdims=True)).max(axis=1)


class PerClass(Takes):
    """Works with the means of classes."""

    needs: ClassVar = (Features(), Features(frame="labelled"), Labels())

    def means(self, ev, classes):
        x, y = ev[Features(frame="labelled")].astype(float), ev[Labels()]
        return np.stack([x[y == j].sum(axis=0) / (y == j).sum() for j in classes])


@plants("test_one_class_seen")
class BetweenClasses(PerClass):
    def value(self, ev):
        means = self.means(ev, np.unique(ev[Labels()]))
        return ev[Features()].astype(float) @ means.var(axis=0) / means.var(axis=0).sum()


@plants("test_missing_classes")
class M15_NaNAnchor(PerClass):  # noqa: N801
    def value(self, ev):
        return (ev[Features()] @ self.means(ev, range(len(np.unique(ev[Labels()])))).T).max(axis=1)


@plants("test_two_classes", ValueError)
class ThirdClass(Leans):
    def score(self, ev):
        return 1.0 - np.partition(ev[Probs()], -3, axis=1)[:, -3]


@plants("test_one_label")
class SampleSpread(Takes):
    needs: ClassVar = (Features(), Features(frame="labelled"))

    def value(self, ev):
        y = ev[Features(frame="labelled")].astype(float)
        spread = ((y - y.mean(axis=0)) ** 2).sum(axis=0) / np.float64(len(y) - 1)
        return ev[Features()] @ spread


@plants("test_one_dimension", IndexError)
class SecondAxis(Takes):
    def value(self, ev):
        return ev[Features()][:, 1]


@plants("test_one_candidate", ValueError)
class NearestOther(Takes):
    def value(self, ev):
        x = ev[Features()].astype(float)
        return np.partition(((x[:, None] - x) ** 2).sum(axis=2), 1, axis=1)[:, 1]


@plants("test_cold_start")
class C17_MeanOfNothing(Takes):  # noqa: N801
    needs: ClassVar = (Features(), Features(frame="labelled"))

    def value(self, ev):
        y = ev[Features(frame="labelled")].astype(float)
        return ev[Features()] @ (y.sum(axis=0) / np.float64(len(y)))


@plants("test_cold_start", cold=True)
class ClaimsCold(Leans):
    pass


@plants("test_embeddings_do_as_well_as_features", NeedError)
class FeaturesAnyway(Takes):
    space: str = "auto"

    def needs_at(self, state):
        return (Features() if self.space == "features" else Embeddings(),)


@plants("test_memory_stays_linear")
class Q17_AllPairs(Takes):  # noqa: N801
    def value(self, ev):
        x = ev[Features()]
        return (x @ x.T).max(axis=1)


@plants("test_memory_stays_linear", memory_rows=3000)
class Q17_WrittenOutGradients(Takes):  # noqa: N801
    needs: ClassVar = (Gradients(),)

    def value(self, ev):
        residual, embedding = ev[Gradients()]
        return np.abs(residual[:, :, None] * embedding[:, None, :]).reshape(len(residual), -1).sum(axis=1)


@pytest.mark.parametrize("plant", plants, ids=str)
def test_plants_are_caught(plant):
    plant.verify()


def test_every_check_has_a_plant():
    assert plants.checks == own_checks(UnfriendlyRows)
