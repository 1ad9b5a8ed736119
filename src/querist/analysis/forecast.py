"""What the next labels are worth: the forecast of the gain with its bands, and the advice to stop.

The forecast reads nothing but labels that were bought and outputs on the pool. How far it can be trusted was measured
on frozen features with a linear head whose labels were chosen by `adaptive` from a uniform initial pool.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt

from querist.arrays import Array, Bools, Labels, Rows
from querist.errors import DataError, UsageError

APART = 50
"""Labels between the two checks that an advice to stop rests on, at least."""

BANDS = (0.5, 0.8, 0.9)
"""How often each of the three bands is to hold the gain."""

_DEVIATIONS = (0.0, 0.6744897501960817, 1.2815515655446004, 1.6448536269514722)
"""Standard deviations of a Gaussian from its middle to the edge of no band and of the three in `BANDS`."""


@dataclass(frozen=True, kw_only=True)
class Constants:
    """The numbers of the forecast. They belong to one head and one policy, and to no other.

    Head: multinomial logistic regression with a small penalty on 128 principal components of frozen unit-norm features,
    the learner ``linear(components=128)``. Policy: the strategy `adaptive` after a uniform initial pool. Estimated on
    13 sets, on forecasts from 150 labels on; for another head estimate them again from stored studies, as
    ``benchmarks/forecast_constants.py`` does.

    Attributes:
        trend: weight of the gain that the last labels bought, carried on.
        headroom: weight of what is left to gain, at the rate of a power law.
        exponent: of that power law.
        audits: audit picks at which they count half in the level.
        floor: half-width that no band falls below, before the factors, as a share.
        share: half-width as a share of the gain.
        early: labels up to which the share counts a second time.
        halves: factors of the half-widths of the bands of 50, 80 and 90 %.
        level_half: half-width of the 90 % band of the level; 1.645 times a root-mean-square error of 10 points.
        least: labels from which on the bands were checked.
    """

    trend: float = 0.24
    headroom: float = 0.245
    exponent: float = 0.4
    audits: float = 60.0
    floor: float = 0.002
    share: float = 0.5
    early: float = 100.0
    halves: tuple[float, float, float] = (0.56, 1.05, 1.45)
    level_half: float = 0.165
    least: int = 150

    def __post_init__(self) -> None:
        for field in fields(self):
            values = np.atleast_1d(getattr(self, field.name))
            if not (np.isfinite(values) & (values >= 0.0)).all():
                raise UsageError(
                    f"Expected {field.name} to be finite and 0 or larger, got {getattr(self, field.name)}."
                )
        if not 0.0 < self.halves[0] < self.halves[1] < self.halves[2] or not self.floor:
            raise UsageError(
                f"Expected a floor above 0 and bands that widen, got {self.floor} and the factors {self.halves}."
            )


STUDIED = Constants()
"""The constants of the study that proposed the forecast."""

ESTIMATED = replace(STUDIED, trend=0.250, headroom=0.091, halves=(0.83, 1.78, 2.46))
"""Estimated anew on the sets of `studies/adaptive`, where the 90 % bands of `STUDIED` held 82 % of 1,510 gains."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a forecast is made from, free of any constant and any horizon.

    Attributes:
        n: labels the head is fitted on.
        m: labels the heads on fewer labels are fitted on.
        pool: rows of the pool, labelled ones among them.
        expected: expected accuracy of the head on the pool, by its own calibrated probabilities.
        fewer: the same of the heads on fewer labels, by the probabilities of the head on all.
        confidence: level before the audit: confidence of the head where it has no label, out of fold where it has.
        audits: labelled rows that were uniform draws.
        surprise: mean of correct minus confidence over those, out of fold; 0 without any.
        temperature: by which the probabilities were divided, for the record.
    """

    n: int
    m: int
    pool: int
    expected: float
    fewer: float
    confidence: float
    audits: int
    surprise: float
    temperature: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """The gain in accuracy that the next labels will bring, as shares (0..1), and how sure that is.

    Attributes:
        n: labels so far.
        horizon: labels to come.
        gain: the forecast.
        halves: half-widths of its bands of 50, 80 and 90 %.
        level: accuracy on the pool; off by 7 to 10 points in the study, so it is shown with its band or not at all.
        level_half: half-width of the 90 % band of the level.
        trend: the part of the gain that carries on what the last labels bought, before its weight.
        headroom: the part that is what a power law leaves to gain, before its weight.
        audits: labelled rows that were uniform draws; the level leans on them.
        checked: whether there are as many labels as the bands were checked with.
    """

    n: int
    horizon: int
    gain: float
    halves: tuple[float, float, float]
    level: float
    level_half: float
    trend: float
    headroom: float
    audits: int
    checked: bool

    @property
    def half(self) -> float:
        """Half-width of the 90 % band of the gain."""
        return self.halves[-1]

    def p_gain_at_least(self, price: float) -> float:
        """Return the probability that the next labels bring at least `price` points per 100 labels.

        The distribution is the one that goes through the edges of the three bands: Gaussian deviates, linear in
        between and with the last slope beyond. So a price at the lower edge of the 90 % band has the probability 0.95.
        """
        distance = self.gain - self.in_shares(price)
        edges = (0.0, *self.halves)
        z = float(np.interp(abs(distance), edges, _DEVIATIONS))
        if abs(distance) > edges[-1]:
            slope = (_DEVIATIONS[-1] - _DEVIATIONS[-2]) / (edges[-1] - edges[-2])
            z += slope * (abs(distance) - edges[-1])
        return 0.5 * (1.0 + math.erf(math.copysign(z, distance) / math.sqrt(2.0)))

    def in_shares(self, price: float) -> float:
        """Return what `price` points per 100 labels ask of this horizon, as a share."""
        return price / 100.0 * self.horizon / 100.0

    @property
    def text(self) -> str:
        """The gain for people: ``+1.2 ± 0.6 points for the next 100 labels (90 %)``."""
        words = (
            f"{points(self.gain, signed=True)} ± {points(self.half)} points for the next {self.horizon} labels (90 %)"
        )
        return words if self.checked else f"{words}; with so few labels the band is a guess"

    def __str__(self) -> str:
        return self.text

    @property
    def level_text(self) -> str:
        """The level for people, never without its band and what it is a level of: ``84 % ± 16 on the pool``."""
        return f"{100 * self.level:.0f} % ± {100 * self.level_half:.0f} on the pool"


@dataclass(frozen=True, kw_only=True)
class Advice:
    """Whether to buy more labels at a price.

    Attributes:
        stop: True if both checks promise less than the price.
        price: points of accuracy that 100 labels must bring.
        last: the newest forecast.
        before: the nearest one at least 50 labels earlier; None if there is none, and then the advice is to go on.
        p_worth_it: probability that the next labels bring the price, by the newest forecast.
    """

    stop: bool
    price: float
    last: Forecast
    before: Forecast | None
    p_worth_it: float

    @property
    def text(self) -> str:
        """The advice in one sentence, with the checks it rests on."""
        now = f"{self.last.text} at {self.last.n:,} labels"
        chance = f"a price of {self.price:g} per 100 labels is met with probability {self.p_worth_it:.0%}"
        if self.before is None:
            return f"go on: {now}; {chance}; a check at least {APART} labels apart is missing"
        then = f"{points(self.before.gain, signed=True)} ± {points(self.before.half)} at {self.before.n:,}"
        return f"{'stop' if self.stop else 'go on'}: {now}, {then}; {chance}"

    def __str__(self) -> str:
        return self.text


def measure(
    p_N_c: Array,
    fewer_k_N: npt.NDArray[np.integer],
    labelled_l: Rows,
    held_out_l_c: Array,
    y_l: Labels,
    audited_l: Bools,
    *,
    m: int,
    temperature: float = 1.0,
) -> Measured:
    """Return what a forecast is made from.

    Identities: ``A(n) = mean_N max_c p``; ``A(m) = mean over k and N of p[N, fewer_k(N)]``, so both are expected
    accuracies under the same posterior and only the predictions differ; ``confidence = (sum over unlabelled of max_c p
    + sum over labelled of max_c held_out) / N``.

    Args:
        p_N_c: calibrated probabilities of the whole pool under the head on all labels.
        fewer_k_N: class that each of `k` heads on `m` labels predicts for each row.
        labelled_l: rows of the pool that are labelled, distinct.
        held_out_l_c: calibrated probabilities of the labelled rows, each under a head that did not see it.
        y_l: their labels.
        audited_l: which of them were uniform draws.
        m: labels that the heads on fewer labels were fitted on, below the number of labels.
        temperature: by which the probabilities were divided.

    Raises:
        DataError: arrays that do not fit one another, or `m` outside ``1..n-1``.
    """
    n, N = len(labelled_l), len(p_N_c)
    expected = (n, p_N_c.shape[1]), (n,), (n,), (len(fewer_k_N), N)
    got = held_out_l_c.shape, np.shape(y_l), np.shape(audited_l), np.shape(fewer_k_N)
    if expected != got or not len(fewer_k_N):
        raise DataError(
            f"Expected out-of-fold probabilities, labels, audits and predictions of shapes {expected}, got {got}."
        )
    if not 1 <= m < n:
        raise DataError(f"Expected heads on 1 to {n - 1} of {n} labels, got {m}.")
    top_N = p_N_c.max(axis=1)
    agreed_N = np.take_along_axis(p_N_c, fewer_k_N.T, axis=1).mean(axis=1)
    sure_l = held_out_l_c.max(axis=1)
    unlabelled_N = np.ones(N, dtype=bool)
    unlabelled_N[labelled_l] = False
    surprise_l = (held_out_l_c.argmax(axis=1) == y_l) - sure_l
    audits = int(np.count_nonzero(audited_l))
    return Measured(
        n=n, m=m, pool=N, expected=float(top_N.mean()), fewer=float(agreed_N.mean()),
        confidence=float((top_N[unlabelled_N].sum() + sure_l.sum()) / N), audits=audits,
        surprise=float(surprise_l[audited_l].mean()) if audits else 0.0, temperature=float(temperature),
    )  # fmt: skip


def fewer_labels(n: int) -> int:
    """Return how many of `n` labels the heads on fewer labels see: all but 15 % or 100, or 90 % up to 150 labels."""
    return min(n - 1, round(n * (0.9 if n <= 150 else max(0.85, 1.0 - 100.0 / n))))


def forecast(measured: Measured, horizon: int = 100, constants: Constants = ESTIMATED) -> Forecast:
    """Return what the next `horizon` labels will bring.

    Identities, with the names of `Constants`::

        g_l  = max(0, A(n) - A(m)) ln((n + h) / n) / ln(n / m)
        e    = confidence + a / (a + audits) surprise                    within 0..1
        g_0  = (1 - e) (1 - (n / (n + h))^exponent)
        gain = trend g_l + headroom g_0
        half = factor sqrt(floor^2 + (share gain)^2 + (share gain min(1, early / n))^2)

    Args:
        measured: see `measure`.
        horizon: labels to come, at least 1; no more than are left in the pool.
        constants: those of the head and the policy.

    Raises:
        UsageError: a horizon below 1, or a pool of which nothing is left.
    """
    n, k = measured.n, constants
    h = min(horizon, measured.pool - n)
    if h < 1:
        raise UsageError(f"Expected 1 label or more to come, got a horizon of {horizon} and {measured.pool - n} left.")
    trend = max(0.0, measured.expected - measured.fewer) * math.log((n + h) / n) / math.log(n / measured.m)
    weight = measured.audits / (measured.audits + k.audits) if measured.audits else 0.0
    level = min(1.0, max(0.0, measured.confidence + weight * measured.surprise))
    headroom = (1.0 - level) * (1.0 - (n / (n + h)) ** k.exponent)
    gain = k.trend * trend + k.headroom * headroom
    width = spread(gain, n, k)
    return Forecast(
        n=n, horizon=h, gain=gain, halves=(k.halves[0] * width, k.halves[1] * width, k.halves[2] * width),
        level=level, level_half=k.level_half, trend=trend, headroom=headroom, audits=measured.audits,
        checked=n >= k.least,
    )  # fmt: skip


def spread(gain: float, n: int, constants: Constants) -> float:
    """Return the half-width of a band of factor 1 around a gain, as a share."""
    about = constants.share * gain
    return math.sqrt(constants.floor**2 + about**2 + (about * min(1.0, constants.early / n)) ** 2)


def advise(checks: Sequence[Forecast], price: float) -> Advice:
    """Return whether to stop, at a price in points of accuracy per 100 labels.

    Stop when the newest forecast and the nearest one at least `APART` labels before it both promise less than the
    price. One check alone never says stop: a single forecast below the price is common while there is much to gain.

    Args:
        checks: forecasts of one session, labels rising.
        price: points that 100 labels must bring to be worth it, above 0.

    Raises:
        UsageError: no checks, checks out of order, or a price that is not positive.
    """
    counts = [check.n for check in checks]
    if not counts or sorted(set(counts)) != counts:
        raise UsageError(f"Expected at least one forecast, and their labels to rise, got those at {counts} labels.")
    if not (0.0 < price < math.inf):
        raise UsageError(f"Expected a price above 0 points per 100 labels, got {price}.")
    last = checks[-1]
    before = next((check for check in reversed(checks) if check.n <= last.n - APART), None)
    stop = before is not None and all(check.gain < check.in_shares(price) for check in (before, last))
    return Advice(stop=stop, price=price, last=last, before=before, p_worth_it=last.p_gain_at_least(price))


def points(share: float, signed: bool = False) -> str:
    """Return a share in points, one digit or two where it is small: ``+1.2``, ``0.35``."""
    return f"{100 * share:{'+' if signed else ''}.{1 if abs(share) >= 0.00995 else 2}f}"
