"""The forecast and the advice, against loops and by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy.stats import norm

from querist.analysis.forecast import (
    APART,
    STUDIED,
    Constants,
    Forecast,
    Measured,
    advise,
    fewer_labels,
    forecast,
    measure,
    points,
    spread,
)
from querist.errors import DataError, UsageError


def made(**changes) -> Measured:
    values = {
        "n": 200, "m": 170, "pool": 2000, "expected": 0.84, "fewer": 0.82, "confidence": 0.8, "audits": 40,
        "surprise": 0.05,
    }  # fmt: skip
    return Measured(**(values | changes))


def a_check(n: int, gain: float, horizon: int = 100) -> Forecast:
    halves = (0.004, 0.008, 0.011)
    return Forecast(
        n=n, horizon=horizon, gain=gain, halves=halves, level=0.8, level_half=0.165, trend=0.0, headroom=0.0, audits=0,
        checked=True,
    )  # fmt: skip


def arrays(rng, N: int, c: int, n: int, k: int):
    p = rng.dirichlet(np.full(c, 0.5), size=N)
    held = rng.dirichlet(np.full(c, 0.5), size=n)
    return (
        p, rng.integers(c, size=(k, N)), rng.permutation(N)[:n], held, rng.integers(c, size=n), rng.random(n) < 0.4,
    )  # fmt: skip


def naive(p, fewer, labelled, held, y, audited):
    """The definitions as loops over rows."""
    N = len(p)
    expected = sum(max(row) for row in p.tolist()) / N
    agreed = sum(p[i][one[i]] for one in fewer.tolist() for i in range(N)) / (N * len(fewer))
    sure = sum(max(p[i]) for i in range(N) if i not in set(labelled.tolist())) + sum(max(row) for row in held.tolist())
    surprises = [
        (1.0 if max(range(len(row)), key=row.__getitem__) == label else 0.0) - max(row)
        for row, label, is_audit in zip(held.tolist(), y.tolist(), audited.tolist(), strict=True)
        if is_audit
    ]
    return expected, agreed, sure / N, len(surprises), sum(surprises) / len(surprises) if surprises else 0.0


@given(st.integers(2, 6), st.integers(2, 12), st.integers(1, 4), st.integers(0, 10_000))
def test_what_is_measured_equals_a_loop_over_rows(c, n, k, seed):
    given_ = arrays(np.random.default_rng(seed), N=15, c=c, n=n, k=k)
    found = measure(*given_, m=n - 1, temperature=2.0)
    assert (found.n, found.m, found.pool, found.temperature) == (n, n - 1, 15, 2.0)
    got = found.expected, found.fewer, found.confidence, found.audits, found.surprise
    np.testing.assert_allclose(got, naive(*given_), rtol=0, atol=1e-12)


def test_heads_that_predict_the_same_have_the_same_expected_accuracy():
    p, _, labelled, held, y, audited = arrays(np.random.default_rng(0), N=30, c=4, n=6, k=3)
    same = np.repeat(p.argmax(axis=1)[None], 3, axis=0)
    found = measure(p, same, labelled, held, y, audited, m=5)
    assert found.fewer == pytest.approx(found.expected, abs=1e-15)
    assert forecast(found).trend == pytest.approx(0.0, abs=1e-12)


def test_arrays_that_do_not_fit_are_refused():
    p, fewer, labelled, held, y, audited = arrays(np.random.default_rng(0), N=15, c=3, n=6, k=2)
    with pytest.raises(DataError, match="shapes"):
        measure(p, fewer, labelled, held[:5], y, audited, m=5)
    with pytest.raises(DataError, match="shapes"):
        measure(p, fewer[:, :9], labelled, held, y, audited, m=5)
    with pytest.raises(DataError, match="shapes"):
        measure(p, fewer[:0], labelled, held, y, audited, m=5)
    for m in (0, 6):
        with pytest.raises(DataError, match="1 to 5 of 6"):
            measure(p, fewer, labelled, held, y, audited, m=m)


@given(
    st.integers(10, 900), st.integers(1, 300), st.floats(0, 1), st.floats(-0.1, 0.1), st.integers(0, 200),
    st.floats(-0.3, 0.3),
)  # fmt: skip
def test_the_forecast_follows_its_definition(n, h, confidence, fell, audits, surprise):
    m = fewer_labels(n)
    given_ = made(n=n, m=m, fewer=0.84 - fell, confidence=confidence, audits=audits, surprise=surprise)
    found = forecast(given_, h, STUDIED)
    trend = max(0.0, fell) * math.log((n + h) / n) / math.log(n / m)
    level = min(1.0, max(0.0, confidence + audits / (audits + 60) * surprise))
    gain = 0.24 * trend + 0.245 * (1 - level) * (1 - (n / (n + h)) ** 0.4)
    width = math.sqrt(0.002**2 + (0.5 * gain) ** 2 + (0.5 * gain * min(1, 100 / n)) ** 2)
    assert found.gain == pytest.approx(gain, abs=1e-12)
    assert found.halves == pytest.approx((0.56 * width, 1.05 * width, 1.45 * width), abs=1e-12)
    assert found.half == found.halves[2]
    assert found.level == pytest.approx(level, abs=1e-12)
    assert (found.n, found.horizon, found.audits, found.checked) == (n, h, audits, n >= 150)


def test_one_forecast_by_hand():
    # ln(300/200) / ln(200/170) = 2.49488..., 0.245 (1 - 0.82) (1 - (2/3)^0.4)
    found = forecast(made(), constants=STUDIED)
    assert found.level == pytest.approx(0.8 + 0.4 * 0.05)
    assert found.gain == pytest.approx(0.24 * 0.02 * 2.494885 + 0.245 * 0.18 * 0.149717, abs=1e-7)
    assert found.text == "+1.9 ± 1.5 points for the next 100 labels (90 %)"
    assert found.level_text == "82 % ± 16 on the pool"
    assert str(found) == found.text
    assert str(advise([found], 1.0)) == advise([found], 1.0).text


def test_few_labels_are_told_apart():
    assert "a guess" in forecast(made(n=149, m=134)).text
    assert "a guess" not in forecast(made(n=150, m=135)).text


def test_no_more_labels_are_promised_than_are_left():
    assert forecast(made(pool=230)).horizon == 30
    assert forecast(made(pool=230)) == forecast(made(pool=230), horizon=30)
    for measured, horizon in ((made(pool=200), 100), (made(), 0)):
        with pytest.raises(UsageError, match="1 label or more"):
            forecast(measured, horizon)


def test_how_many_labels_the_smaller_heads_see():
    expected = {2: 1, 5: 4, 10: 9, 100: 90, 150: 135, 151: 128, 200: 170, 600: 510, 1000: 900, 5000: 4900}
    assert {n: fewer_labels(n) for n in expected} == expected
    assert all(1 <= fewer_labels(n) < n for n in range(2, 3000))


def test_bands_widen_with_the_gain_and_narrow_with_labels():
    assert spread(0.0, 10, STUDIED) == 0.002
    assert spread(0.02, 50, STUDIED) == pytest.approx(math.hypot(0.002, 0.01, 0.01))
    assert spread(0.02, 50, STUDIED) == spread(0.02, 100, STUDIED) > spread(0.02, 200, STUDIED)


# ------------------------------------------------------------------------------------------------------- probability


def test_the_probability_goes_through_the_edges_of_the_bands():
    check = forecast(made())
    for half, band in zip(check.halves, (0.5, 0.8, 0.9), strict=True):
        for side in (-1, 1):
            price = 100 * (check.gain + side * half)
            assert check.p_gain_at_least(price) == pytest.approx(0.5 - side * band / 2, abs=1e-9)
    assert check.p_gain_at_least(100 * check.gain) == pytest.approx(0.5)


def test_bands_of_a_gaussian_give_its_own_probabilities():
    sd = 0.01
    check = replace(a_check(300, 0.02), halves=tuple(sd * norm.ppf(0.5 + band / 2) for band in (0.5, 0.8, 0.9)))
    for price in np.linspace(-3, 7, 41):
        assert check.p_gain_at_least(price) == pytest.approx(norm.sf(price / 100, 0.02, sd), abs=1e-9)


@given(st.floats(-0.05, 0.2), st.integers(10, 300))
def test_a_higher_price_is_less_likely_met(gain, horizon):
    check = a_check(300, gain, horizon)
    p = [check.p_gain_at_least(price) for price in np.linspace(0.01, 30, 200)]
    assert all(0.0 <= value <= 1.0 for value in p)
    assert np.all(np.diff(p) <= 0)


def test_the_price_is_per_100_labels_whatever_the_horizon():
    assert a_check(300, 0.004, 50).p_gain_at_least(0.8) == pytest.approx(0.5)
    assert a_check(300, 0.016, 200).p_gain_at_least(0.8) == pytest.approx(0.5)


# ------------------------------------------------------------------------------------------------------------ advice


@pytest.mark.parametrize(
    ("checks", "stop", "before"),
    [
        ([(300, 0.004), (350, 0.003)], True, 300),
        ([(300, 0.004), (349, 0.003)], False, None),
        ([(300, 0.011), (350, 0.003)], False, 300),
        ([(300, 0.004), (350, 0.011)], False, 300),
        ([(300, 0.010), (350, 0.003)], False, 300),  # a gain equal to the price is worth it
        ([(350, 0.003)], False, None),
        ([(200, 0.02), (300, 0.004), (320, 0.02), (350, 0.003)], True, 300),  # the nearest that is far enough away
        ([(200, 0.004), (300, 0.02), (310, 0.004), (350, 0.003)], False, 300),
    ],
)
def test_the_advice_rests_on_two_checks_that_lie_apart(checks, stop, before):
    told = advise([a_check(n, gain) for n, gain in checks], price=1.0)
    assert told.stop is stop
    assert (told.before.n if told.before else None) == before
    assert told.last.n == checks[-1][0]
    assert told.p_worth_it == told.last.p_gain_at_least(1.0)
    assert told.text.startswith("stop: " if stop else "go on: ")
    assert ("is missing" in told.text) == (before is None)
    assert f"at {told.last.n} labels" in told.text


def test_a_higher_price_never_turns_stop_into_go_on():
    checks = [a_check(300, 0.012), a_check(300 + APART, 0.009)]
    assert [advise(checks, price).stop for price in (0.5, 0.9, 1.0, 1.21, 2.0)] == [False, False, False, True, True]


def test_what_cannot_be_advised_is_refused():
    with pytest.raises(UsageError, match="at least one"):
        advise([], 1.0)
    for counts in ((350, 300), (300, 300)):
        with pytest.raises(UsageError, match="rise"):
            advise([a_check(n, 0.01) for n in counts], 1.0)
    for price in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(UsageError, match="price above 0"):
            advise([a_check(300, 0.01)], price)


@pytest.mark.parametrize(
    "wrong", [{"floor": 0.0}, {"halves": (0.6, 0.5, 1.4)}, {"share": -0.1}, {"trend": math.nan}, {"halves": (0, 1, 2)}]
)
def test_constants_that_make_no_bands_are_refused(wrong):
    with pytest.raises(UsageError, match="Expected"):
        Constants(**wrong)


def test_points_have_as_many_digits_as_they_need():
    assert [points(v) for v in (0.1234, 0.00994, 0.00995, 0.0, 0.001)] == ["12.3", "0.99", "1.0", "0.00", "0.10"]
    assert points(0.012, signed=True) == "+1.2"
    assert points(-0.012, signed=True) == "-1.2"
