"""The script that estimates the constants of the forecast: it finds constants that are known, and costs by hand."""

import importlib.util
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from querist.analysis.forecast import STUDIED, Measured, forecast, spread

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "forecast_constants.py"


@pytest.fixture(scope="module")
def script():
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("forecast_constants", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def measured(rng, n: int) -> Measured:
    expected = rng.uniform(0.6, 0.9)
    return Measured(
        n=n, m=round(0.85 * n), pool=5000, expected=expected, fewer=expected - rng.uniform(0, 0.03),
        confidence=expected, audits=20, surprise=rng.normal(0, 0.02),
    )  # fmt: skip


def cases(script, rng, truth, sets=6, each=150):
    """Forecasts whose outcomes are drawn from what `truth` says: a Gaussian whose spread is 0.9 of its unit."""
    found = []
    for name in range(sets):
        for _ in range(each):
            one = measured(rng, int(rng.integers(150, 900)))
            gain = forecast(one, 100, truth).gain
            realised = gain + 0.9 * spread(gain, one.n, truth) * rng.normal()
            found.append(script.Case(set=f"set {name}", measured=one, horizon=100, realised=realised))
    return found


def test_it_finds_the_constants_that_made_the_outcomes(script):
    truth = replace(STUDIED, trend=0.5, headroom=0.1)
    found = script.estimate(cases(script, np.random.default_rng(0), truth))
    assert found.trend == pytest.approx(0.5, rel=0.15)
    assert found.headroom == pytest.approx(0.1, rel=0.3)
    expected = script.MARGIN * 0.9 * np.array([0.6745, 1.2816, 1.6449])
    np.testing.assert_allclose(found.halves, expected, rtol=0.15)
    assert (found.floor, found.share, found.exponent) == (truth.floor, truth.share, truth.exponent)


def test_every_set_has_the_same_say(script):
    rng = np.random.default_rng(1)
    few, many = (replace(STUDIED, headroom=0.0, trend=trend) for trend in (0.2, 0.6))
    mixed = [replace(case, set="few") for case in cases(script, rng, few, 1, 60)]
    mixed += [replace(case, set="many") for case in cases(script, rng, many, 1, 1200)]
    assert script.estimate(mixed, replace(STUDIED, headroom=0.0)).trend == pytest.approx(0.4, abs=0.06)


def test_a_floor_that_made_the_outcomes_is_found(script):
    truth = replace(STUDIED, floor=0.008, share=0.25)
    found = script.estimate(cases(script, np.random.default_rng(4), truth, 4, 100), shape=True)
    one = measured(np.random.default_rng(5), 500)
    for gain in (0.0, 0.01, 0.03):
        expected = script.MARGIN * 0.9 * 1.6449 * spread(gain, one.n, truth)
        assert found.halves[2] * spread(gain, one.n, found) == pytest.approx(expected, rel=0.2)
    assert found.floor > STUDIED.floor


def test_the_interval_score_by_hand_and_least_at_the_right_width(script):
    one = measured(np.random.default_rng(6), 400)
    told = forecast(one, 100, STUDIED)
    case = script.Case(set="a", measured=one, horizon=100, realised=told.gain - 2 * told.halves[2])
    widths = 2 * sum(told.halves)
    missed = sum(
        2 / (1 - band) * (2 * told.halves[2] - half) for band, half in zip((0.5, 0.8, 0.9), told.halves, strict=True)
    )
    assert script.interval_score([case], STUDIED) == pytest.approx(widths + missed)
    inside = replace(case, set="b", realised=told.gain)
    assert script.interval_score([case, inside, inside], STUDIED) == pytest.approx(widths + missed / 2)
    found = cases(script, np.random.default_rng(7), STUDIED, 2, 200)
    right = script.estimate(found)
    for factor in (0.6, 1.6):
        off = replace(right, halves=tuple(factor * half for half in right.halves))
        assert script.interval_score(found, off) > script.interval_score(found, right)


def test_no_set_judges_itself(script):
    rng = np.random.default_rng(2)
    found = cases(script, rng, STUDIED, 3, 40)
    strange = [replace(case, realised=case.realised + 1.0) if case.set == "set 1" else case for case in found]
    without = script.without(["set 0", "set 1", "set 2"], strange)
    assert without["set 1"] == script.estimate([case for case in found if case.set != "set 1"])
    assert without["set 0"] != script.estimate([case for case in found if case.set != "set 0"])
    assert script.without(["alone"], [replace(case, set="alone") for case in found]) == {"alone": STUDIED}


def test_judged_by_hand(script):
    rng = np.random.default_rng(3)
    one = measured(rng, 400)
    told = forecast(one, 100, STUDIED)
    offsets = np.array([0.0, 1.01, -0.99, 0.99]) * [told.halves[0], told.halves[0], told.halves[1], told.halves[2]]
    made = [script.Case(set="s", measured=one, horizon=100, realised=told.gain + offset) for offset in offsets]
    found = script.judge(made, STUDIED)
    assert (found["coverage 50%"], found["coverage 80%"], found["coverage 90%"]) == (0.25, 0.75, 1.0)
    assert found["half"] == pytest.approx(100 * told.halves[2])
    assert found["rmse"] == pytest.approx(100 * np.sqrt(np.mean(offsets**2)))
    assert found["bias"] == pytest.approx(-100 * offsets.mean())


def flat(script, gains: dict[int, float], accuracy: dict[int, float]):
    """A run whose forecasts promise the given gains (in points) at numbers of labels."""
    made = []
    for n, points in gains.items():
        one = Measured(
            n=n, m=round(0.85 * n), pool=9000, expected=0.9, fewer=0.9, confidence=1.0, audits=0, surprise=0.0
        )
        unit = forecast(replace(one, confidence=0.0), 100, STUDIED).gain
        made.append(replace(one, confidence=1.0 - points / 100 / unit))
        assert forecast(made[-1], 100, STUDIED).gain == pytest.approx(points / 100)
    return script.Track(
        set="s", pool=0, measured=tuple(made), labels=tuple(accuracy), accuracy=tuple(accuracy.values())
    )


def test_the_regret_of_a_stop_by_hand(script):
    run = flat(
        script, {200: 1.5, 250: 0.8, 300: 0.7, 400: 0.6}, {100: 0.5, 200: 0.80, 250: 0.81, 300: 0.812, 400: 0.813}
    )
    # Worth at price 1: 80, 81 - 0.5, 81.2 - 1, 81.3 - 2. The advice stops at 300 (0.8 and 0.7 are below 1).
    found = script.regrets([run], 100, 1.0, STUDIED)
    assert found == {
        "advice": pytest.approx(80.5 - 80.2), "never": pytest.approx(80.5 - 79.3), "labels": 300.0
    }  # fmt: skip
    # At price 0.5 nothing says stop: 80, 80.75, 80.7, 80.3.
    found = script.regrets([run], 100, 0.5, STUDIED)
    assert found["advice"] == found["never"] == pytest.approx(80.75 - 80.3)
    assert found["labels"] == 400.0
    # At price 2 the second check says stop: 80, 80, 79.2, 77.3.
    assert script.regrets([run], 100, 2.0, STUDIED)["advice"] == pytest.approx(0.0)


def test_outcomes_lie_on_the_straight_line_between_checkpoints(script):
    run = flat(script, {200: 1.0, 250: 1.0, 350: 1.0}, {200: 0.8, 250: 0.82, 350: 0.86, 400: 0.87})
    found = script.cases_of([run], 100)
    assert [case.measured.n for case in found] == [200, 250]
    assert [case.realised for case in found] == pytest.approx([0.84 - 0.8, 0.86 - 0.82])


def test_from_a_stored_study_to_a_table_and_a_file(script, tmp_path, monkeypatch, capsys):
    (tmp_path / "s.toml").write_text(
        '[study]\nname = "s"\ndataset = "digits"\nstrategy = ["random", "adaptive"]\npools = 2\n'
        "[budget]\ncounts = [20, 50, 80, 130, 180]\n"
    )
    from querist.studies.study import Study

    monkeypatch.setattr("os.fsync", lambda handle: None)
    Study.read(tmp_path / "s.toml", tmp_path / "store").run()
    out = tmp_path / "out.json"
    for place in (f"{tmp_path}/store", f"{tmp_path}/store:s", f"{tmp_path}/store:{tmp_path}/s.toml"):
        words = ["forecast_constants.py", place, "--least", "50", "--out", str(out)]
        monkeypatch.setattr(sys, "argv", words)
        script.main()
        found = json.loads(out.read_text())
        assert found["forecasts"] == 4, "two pools; 150 and 180 labels are on record after 50 and 80"
        assert found["sets"]["s"]["published"]["forecasts"] == 4
        assert "s: 2 runs of adaptive" in capsys.readouterr().out
    assert set(found["all"]["regret"]) == {"0.5", "1", "2"}
    monkeypatch.setattr(sys, "argv", [*words, "--horizon", "900"])
    with pytest.raises(SystemExit, match="no run goes on for 900"):
        script.main()
