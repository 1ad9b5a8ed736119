"""A noisy oracle: answers that are wrong now and then, always the same wrong answer for the same item."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from querist.arrays import Array, Bools, Ids, Labels
from querist.errors import SpecError, suggest
from querist.labels.events import INITIAL, VALIDATION
from querist.labels.oracle import Oracle, Query
from querist.seeds import Seed

REVISION = 1
"""Raised by hand when the same settings would give other answers."""


@dataclass(frozen=True, kw_only=True)
class Noise:
    """How often an annotator errs, and towards which class.

    Attributes:
        kind: ``uniform``: each item is mislabelled with probability `rate`, every other class being as likely.
            ``class_conditional``: as `confused` or `matrix` say.
        rate: probability of an error, above 0 and at most 1.
        truth: ``uniform`` draws from all c classes, the true one included, so that a share of
            ``rate (c - 1) / c`` is wrong; some published studies did this.
        confused: pairs of a true class and the one it is mistaken for with probability `rate`; the others are always
            right.
        matrix: rows of true classes, columns of answers, each row a distribution; takes no `rate`.
        initial: whether the labels of the initial pool are noisy too.
        validation: whether those of the validation set are.

    Raises:
        SpecError: settings that do not go together.
    """

    kind: Literal["uniform", "class_conditional"] = "uniform"
    rate: float | None = None
    truth: bool = False
    confused: tuple[tuple[str | int, str | int], ...] = ()
    matrix: tuple[tuple[float, ...], ...] = ()
    initial: bool = True
    validation: bool = True

    def __post_init__(self) -> None:
        if self.kind == "uniform":
            _forbid(bool(self.confused or self.matrix), "uniform noise takes no confused and no matrix", "rate = 0.2")
        else:
            one = bool(self.confused) != bool(self.matrix)
            _forbid(not one, "class_conditional noise takes either confused or matrix", 'confused = { cat = "dog" }')
            _forbid(self.truth, "truth = true belongs to uniform noise", "a diagonal of matrix")
        if self.matrix:
            _forbid(self.rate is not None, "a matrix says how often each class is mistaken", "no rate beside it")
        elif self.rate is None or not 0 < self.rate <= 1:
            got = "none" if self.rate is None else self.rate
            raise SpecError(f"expected a rate above 0 and at most 1, for example rate = 0.2, got {got}")

    def confusion(self, classes: Sequence[str]) -> Array:
        """Return ``(c, c)``: the probability of each answer (column) where a class (row) is true.

        Raises:
            SpecError: a class that is not declared, or a matrix that is no ``(c, c)`` matrix of distributions.
        """
        c = len(classes)
        if self.matrix:
            return _distributions(self.matrix, c)
        rate = self.rate or 0.0
        if self.kind == "uniform":
            others = rate / c if self.truth else rate / (c - 1)
            p_c_c = np.full((c, c), others)
            np.fill_diagonal(p_c_c, 1 - others * (c - 1))
            return p_c_c
        p_c_c = np.eye(c)
        for true, wrong in self._pairs(classes):
            p_c_c[true, true], p_c_c[true, wrong] = 1 - rate, rate
        return p_c_c

    def identity(self, classes: Sequence[str]) -> dict[str, object]:
        """Return what answers depend on, as JSON values; classes by number."""
        how: dict[str, object] = {"noise": self.kind, "revision": REVISION}
        if self.matrix:
            how["matrix"] = self.confusion(classes).tolist()
        else:
            how["rate"] = self.rate
        if self.kind == "uniform":
            how["truth"] = self.truth
        elif self.confused:
            how["confused"] = [list(pair) for pair in sorted(self._pairs(classes))]
        return {**how, "initial": self.initial, "validation": self.validation}

    def __str__(self) -> str:
        """What a reader of results must know, in words."""
        share = f"{100 * (self.rate or 0):.3g} %"
        if self.matrix:
            wrong = 1 - np.diagonal(np.array(self.matrix)).mean()
            words = f"{100 * wrong:.3g} % of answers wrong where classes are equally frequent, by a confusion matrix"
        elif self.truth:
            words = f"{share} of answers drawn from all classes, the true one included"
        elif self.kind == "uniform":
            words = f"{share} of answers wrong, uniformly over the other classes"
        else:
            pairs = ", ".join(f"{true} taken for {wrong}" for true, wrong in self.confused)
            words = f"{share} of answers wrong where classes are confused: {pairs}"
        clean = [
            name for name, noisy in (("initial pool", self.initial), ("validation set", self.validation)) if not noisy
        ]
        return f"{words}; {' and '.join(clean)} clean" if clean else words

    def _pairs(self, classes: Sequence[str]) -> list[tuple[int, int]]:
        pairs = [(_number(true, classes), _number(wrong, classes)) for true, wrong in self.confused]
        for true, wrong in pairs:
            _forbid(true == wrong, f"{classes[true]!r} is mistaken for itself", "another class")
        twice = len({true for true, _ in pairs}) < len(pairs)
        _forbid(twice, "a class is mistaken for two others", "a matrix, which can say that")
        return pairs


class NoisyOracle:
    """Answers like another oracle, and errs as `Noise` says.

    Whether and how an item is mislabelled is a function of its id, the annotator and the seed alone: not of the round,
    of the strategy, or of what else is asked. So the same item always gets the same wrong answer, every arm of a study
    hears the same, and an answer that is wrong at one rate is the same wrong answer at every higher one. The share
    achieved is exact in expectation. Test labels never pass through an oracle and are not touched.

    Args:
        oracle: the one who knows, e.g. `SimulatedOracle`; what it declines stays declined.
        noise: how often, and towards which class.
        classes: the declared class names.
        seed: the address of this noise.
        annotator: number of the person who answers; another one errs independently.
    """

    def __init__(self, oracle: Oracle, noise: Noise, classes: Sequence[str], seed: Seed, *, annotator: int = 0) -> None:
        self.noise, self.annotator = noise, annotator
        self._oracle, self._classes, self._seed = oracle, tuple(classes), seed
        self._key = seed.child("annotator", annotator).key()
        wrong_c_c = noise.confusion(classes)
        np.fill_diagonal(wrong_c_c, 0.0)
        self._rate = wrong_c_c.sum(axis=1)
        self._wrong = np.cumsum(wrong_c_c, axis=1)

    def by(self, annotator: int) -> "NoisyOracle":
        """Return another annotator with the same habits: asked about the same item, the errors are drawn anew."""
        return NoisyOracle(self._oracle, self.noise, self._classes, self._seed, annotator=annotator)

    def answer(self, query: Query) -> Mapping[int, int | None]:
        """Return labels by id, some of them wrong; clean where the noise leaves the purpose of the query alone."""
        true = self._oracle.answer(query)
        spared = {INITIAL: not self.noise.initial, VALIDATION: not self.noise.validation}
        if spared.get(query.purpose, False):
            return true
        known = {i: y for i, y in true.items() if y is not None}
        ids = np.fromiter(known.keys(), dtype=np.int64, count=len(known))
        given = self.heard(ids, np.fromiter(known.values(), dtype=np.int64, count=len(known)))
        return {**true, **dict(zip(ids.tolist(), given.tolist(), strict=True))}

    def heard(self, ids: Ids, true_n: Labels) -> Labels:
        """Return the answers to items whose true classes are given, ``(n,)``."""
        errs_n: Bools = self._key.child("errs").uniform(ids) < self._rate[true_n]
        # Two draws, not one: so a higher rate leaves the wrong answers as they are.
        turn_n = self._key.child("as").uniform(ids)
        given_n = true_n.copy()
        for c in np.unique(true_n[errs_n]):
            rows = np.flatnonzero(errs_n & (true_n == c))
            share = self._wrong[c] / self._wrong[c, -1]
            given_n[rows] = np.searchsorted(share, turn_n[rows], side="right")
        return given_n


def _distributions(matrix: Sequence[Sequence[float]], c: int) -> Array:
    if len(matrix) != c or any(len(row) != c for row in matrix):
        shape = f"{len(matrix)} rows of {', '.join(map(str, sorted({len(row) for row in matrix})))} numbers"
        raise SpecError(f"expected a matrix with {c} rows of {c} numbers, one per class, got {shape}")
    p_c_c = np.array(matrix, dtype=np.float64)
    bad = ~(np.isfinite(p_c_c).all(axis=1) & (p_c_c >= 0).all(axis=1) & (np.abs(p_c_c.sum(axis=1) - 1) < 1e-6))
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise SpecError(
            f"expected each row of matrix to be a distribution: numbers from 0 to 1 that add up to 1; "
            f"row {row} is {list(matrix[row])}"
        )
    return p_c_c / p_c_c.sum(axis=1, keepdims=True)


def _number(word: Any, classes: Sequence[str]) -> int:
    """Return a class number; a name counts before a number that is written as text."""
    if word in classes:
        return list(classes).index(word)
    if isinstance(word, int) and not isinstance(word, bool) and 0 <= word < len(classes):
        return word
    if isinstance(word, str) and word.isdecimal() and int(word) < len(classes):
        return int(word)
    raise SpecError(f"{word!r} is no declared class. {suggest(str(word), classes)}")


def _forbid(broken: bool, what: str, better: str) -> None:
    if broken:
        raise SpecError(f"{what}; expected {better}")
