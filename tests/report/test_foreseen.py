"""The table of forecasts on the page of a study."""

import pandas as pd

from querist.report.foreseen import foreseen
from querist.report.page import report_page


def table(arms, n_before=(0, 0, 100), **changes) -> pd.DataFrame:
    """Two pools of every arm at 50, 100 and 150 labels."""
    rows = [
        {
            "arm": arm, "pool": pool, "seed": 0, "checkpoint": t, "n_labels": 50 * (t + 1), "horizon": 100,
            "gain": 0.02 / (t + 1) + 0.002 * pool, "half": 0.01, "p_worth_it": 0.5 + 0.1 * pool,
            "n_before": n_before[t], "stop": t == 2 and pool == 1, "level": 0.7, "level_half": 0.165, **changes,
        }
        for arm in arms for pool in range(2) for t in range(3)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def cells(html: str) -> list[str]:
    body = html[html.index("<tbody") :]
    return [row.replace("</td>", "|").replace("</th>", "|") for row in body.split("</tr>")][:-1]


def test_means_over_runs_by_arm_and_labels(make):
    study = make(forecasts=table(["margin", "random"]))
    (regime,) = study.regimes
    html = foreseen(regime, "r0-")
    rows = cells(html)
    assert len(rows) == 6
    order = [row.arm for row in regime.comparison.arms if row.arm in ("margin", "random")]
    assert [order[0] in row for row in rows] == [True] * 3 + [False] * 3
    assert "+2.1 ± 1.0" in rows[0]
    assert "55 %" in rows[0]
    assert "70 % ± 16" in rows[0]
    assert ">–|" in rows[0], "without a check before there is no advice"
    assert "1 of 2" in rows[2]
    assert 'id="r0-forecasts"' in html
    assert "on the pool" in html


def test_without_forecasts_the_page_is_as_it_was(make):
    plain = make()
    assert foreseen(plain.regimes[0], "r0-") == ""
    empty = make(forecasts=table([]).reindex(columns=table(["random"]).columns))
    assert report_page(empty) == report_page(plain)
    stranger = make(forecasts=table(["nobody"]))
    assert report_page(stranger) == report_page(plain)
    assert "Was it worth going on?" in report_page(make(forecasts=table(["margin"])))


def test_a_hostile_name_stays_text(make, hostile):
    html = foreseen(make(forecasts=table([hostile])).regimes[0], "r0-")
    assert hostile not in html
    assert "&lt;script&gt;" in html


def test_names_lose_the_suffix_of_their_group(make):
    names = ["random | learner=linear", "margin | learner=linear", "random | learner=knn", "margin | learner=knn"]
    arms = pd.DataFrame({
        "arm": names, "strategy": ["random", "margin"] * 2, "learner": ["linear"] * 2 + ["knn"] * 2,
        "features": "pixels", "initial": "random",
    })  # fmt: skip
    study = make(dict.fromkeys(names, 0.0), arms=arms, forecasts=table(names[:2]))
    linear, knn = (foreseen(regime, "r-") for regime in study.regimes)
    assert len(cells(linear)) == 6
    assert "learner=linear" not in linear
    assert knn == ""
