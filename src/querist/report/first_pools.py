"""Many random first pools of a study: what tells how a pool ends, and how soon one can tell."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from querist.analysis.bands import budgets_of, mean_curves
from querist.analysis.correlation import FEWEST, Correlation, correlation
from querist.analysis.curves import Curve, Run, curves_of, unfinished, value_at
from querist.analysis.paired import paired_test
from querist.analysis.pool import class_counts
from querist.arrays import Array, Ids
from querist.kernels.owners import owners
from querist.report.figures import DIGITS
from querist.report.markup import Html, join, table, tag
from querist.report.palette import PAPERS, theme
from querist.report.pictures import INITIAL
from querist.report.results import BASELINE, StudyResults, component_name
from querist.report.wording import NOTHING, factor, metric_name, unit
from querist.seeds import Seed

SCORES = {
    "classes": "classes in the first pool",
    "entropy": "entropy of its classes, bits",
    "distance": "mean distance to its nearest label",
}
"""What is known of a first pool before a model is trained, by column."""
FIRST = "first"
SIDE_BY_SIDE = "display:grid;gap:0 2rem;grid-template-columns:repeat(auto-fit,minmax(min(22rem,100%),1fr))"


@dataclass(frozen=True, kw_only=True, eq=False)
class Part:
    """A section with figures of its own: their specifications, their colours, and what stands around them."""

    figures: Mapping[str, object]
    themes: Mapping[Any, object]
    body: Html

    def section(self, number: int) -> Html:
        """Return the section; `number` says which of the page's themes is its own."""
        return tag("section", {"data-regime": number, "data-axis": "linear"}, self.body)


@dataclass(frozen=True, kw_only=True, eq=False)
class Pools:
    """The random first pools of comparable arms, and the arms that chose theirs otherwise.

    Attributes:
        name: what tells these arms from the others of the study; empty if there are no others.
        metric: what was measured.
        curves: finished runs by label of arm; `BASELINE` are the random pools.
        budgets: labels at the checkpoints common to all.
        scores: ``(pools,)`` of each random pool by name of the score, and `FIRST`, the metric at the first checkpoint.
        final: ``(pools,)`` the metric at the last.
        level: ``(budgets, pools)`` the metric at each.
        others: the same of arms with other first pools: scores and final by label.
    """

    name: str
    metric: str
    curves: Mapping[Run, Curve]
    budgets: list[float]
    scores: Mapping[str, Array]
    final: Array
    level: Array
    others: Mapping[str, Mapping[str, Array]]

    def correlation(self, score: str) -> Correlation:
        """Return how a score goes with the end."""
        generator = Seed(0).child("first pools", self.name, score).generator()
        return correlation(self.scores[score], self.final, generator)

    def early(self) -> list[tuple[float, Correlation]]:
        """Return how the metric at each checkpoint but the last goes with that at the last."""
        generator = Seed(0).child("first pools", self.name, "early").generator()
        return [
            (n, correlation(values, self.final, generator))
            for n, values in zip(self.budgets[:-1], self.level, strict=False)
        ]  # fmt: skip


def score_pools(picks: pd.DataFrame, labels: Mapping[int, int], c: int, x_N_d: Array, pool: Ids) -> pd.DataFrame:
    """Return what is known of first pools before a model is trained: a row per arm and pool.

    Args:
        picks: of all runs; the first round of each is its first pool.
        labels: of all items bought, by id.
        c: number of declared classes.
        x_N_d: features of all items.
        pool: what distances are averaged over.

    Returns:
        columns arm, pool, labels, and those of `SCORES`.
    """
    rows: list[tuple[object, ...]] = []
    known: dict[bytes, tuple[int, int, float, float]] = {}
    first = picks.loc[picks["round"] == INITIAL]
    for (arm, number), part in first.groupby(["arm", "pool"], sort=True):  # pyright: ignore[reportGeneralTypeIssues]
        part = part.loc[part["seed"] == part["seed"].min()]
        ids = np.sort(part["id"].to_numpy(np.int64))
        # Arms share their pools: each is measured once.
        if (content := ids.tobytes()) not in known:
            answered = [labels[i] for i in ids.tolist() if i in labels]
            counts = class_counts(np.array(answered, np.int64), c)
            gap = float(owners(x_N_d, pool, ids)[1].mean())
            known[content] = (len(ids), int(np.count_nonzero(counts.count_c)), counts.entropy, gap)
        rows.append((arm, int(number), *known[content]))
    return pd.DataFrame(rows, columns=["arm", "pool", "labels", *SCORES])


def first_pools(study: StudyResults) -> tuple[Part, ...]:
    """Return a section for each group of arms with at least `FEWEST` random first pools."""
    return tuple(_part(pools, number) for number, pools in enumerate(pools_of(study)))


def correlations_of(study: StudyResults) -> list[dict[str, Any]]:
    """Return the correlations of `first_pools` as a list for a JSON document."""
    found = []
    for pools in pools_of(study):
        scores = {score: _document(pools.correlation(score)) for score in pools.scores}
        early = [{"labels": n, **_document(tells)} for n, tells in pools.early()]
        found.append({"group": pools.name, "pools": len(pools.final), "with_final": scores, "early_with_late": early})
    return found


def pools_of(study: StudyResults) -> Iterator[Pools]:
    """Yield each group of comparable arms with at least `FEWEST` random first pools whose runs are finished."""
    arms = study.arms
    if not {"strategy", "learner", "initial", "features"} <= set(arms.columns):
        return
    groups = list(arms.groupby([arms["learner"].astype(str), arms["features"].astype(str)], sort=False))
    for (learner, features), part in groups:  # pyright: ignore[reportGeneralTypeIssues]
        labels = _labels(part)
        rounds = study.rounds.loc[study.rounds["arm"].isin(list(labels))]
        if BASELINE not in labels.values() or rounds.empty:
            continue
        every = curves_of(rounds.assign(arm=rounds["arm"].map(labels)), study.metric)
        late = unfinished(every)
        curves = {run: curve for run, curve in every.items() if run not in late}
        if len({run.pool for run in curves if run.arm == BASELINE}) >= FEWEST:
            name = f"learner {component_name(learner)}, features {component_name(features)}" if len(groups) > 1 else ""
            yield _pools(study, name, labels, curves)


def _labels(arms: pd.DataFrame) -> dict[str, str]:
    """What arms that query at random are called: by how the first pool was chosen."""
    found: dict[str, str] = {}
    for arm, strategy, initial in zip(arms["arm"], arms["strategy"], arms["initial"], strict=True):
        name = component_name(initial)
        if component_name(strategy) == BASELINE and name not in found.values():
            found[str(arm)] = name
    return found


def _pools(study: StudyResults, name: str, labels: Mapping[str, str], curves: Mapping[Run, Curve]) -> Pools:
    budgets = budgets_of(curves)
    level: dict[str, dict[int, Array]] = {}
    for label in labels.values():
        mine = {run: value_at(curve.n, curve.value, budgets) for run, curve in curves.items() if run.arm == label}
        numbers = sorted({run.pool for run in mine})
        level[label] = {p: np.mean([v for run, v in mine.items() if run.pool == p], axis=0) for p in numbers}
    scored = {label: _scores(study, arm, level[label]) for arm, label in labels.items() if level[label]}
    return Pools(
        name=name, metric=study.metric, curves=curves, budgets=budgets, scores=scored[BASELINE],
        final=np.array([v[-1] for v in level[BASELINE].values()]),
        level=np.array(list(level[BASELINE].values())).T,
        others={
            label: {**scores, "final": np.array([v[-1] for v in level[label].values()])}
            for label, scores in scored.items() if label != BASELINE
        },
    )  # fmt: skip


def _scores(study: StudyResults, arm: str, level: Mapping[int, Array]) -> dict[str, Array]:
    first = {FIRST: np.array([values[0] for values in level.values()])}
    if study.first_pools is None:
        return first
    mine = study.first_pools.loc[study.first_pools["arm"] == arm].set_index("pool")
    if not set(level) <= set(mine.index):
        return first
    return {**{score: mine.loc[list(level), score].to_numpy(np.float64) for score in SCORES}, **first}


def _part(pools: Pools, number: int) -> Part:
    prefix = f"f{number}-"
    charts = {f"{prefix}pools": _curves(pools), f"{prefix}early": _early(pools)}
    charts |= {f"{prefix}{score}": _against_final(pools, score) for score in pools.scores}
    metric, count = metric_name(pools.metric), len(pools.final)
    rows: list[tuple[str, list[object]]] = [("", _cells(_title(pools, s), pools.correlation(s))) for s in pools.scores]
    heads = [("Score of the first pool", "text"), ("Spearman", ""), ("95 % interval", ""), ("Pearson", "")]
    last = f"{pools.budgets[-1]:,.0f} labels"
    body = join([
        tag("h2", {"id": f"{prefix}first-pools"}, f"What the first pool is worth{pools.name and ': '}{pools.name}"),
        tag(
            "p", {"class": "small"},
            f"{count} random first pools, all queried at random afterwards: each grey point is one of them. Ways of "
            "choosing the first pool are means with 95 % t intervals over pools.",
        ),
        _figure(f"{prefix}pools", f"The {metric} by number of labels, on a logarithmic axis."),
        table(f"How a first pool goes with the {metric} at {last}, over the random pools", heads, rows),
        tag("div", {"style": SIDE_BY_SIDE}, *(
            _figure(f"{prefix}{score}", f"{_title(pools, score)}: {_words(pools.correlation(score))}")
            for score in pools.scores
        )),
        _figure(
            f"{prefix}early",
            f"Early and late: rank correlation of the {metric} at each checkpoint with that at {last}, over the random "
            "pools, with 95 % bootstrap intervals.",
        ),
    ])  # fmt: skip
    arms = 1 + len(pools.others)
    return Part(
        figures={name: _drawn(chart) for name, chart in charts.items()},
        themes={paper: theme(paper, arms) for paper in PAPERS}, body=body,
    )  # fmt: skip


def _curves(pools: Pools) -> alt.LayerChart:
    scale, order = factor(pools.metric), [BASELINE, *pools.others]
    points = [
        {"n_labels": n, "value": _number(scale * v)}
        for n, values in zip(pools.budgets, pools.level, strict=True) for v in values
    ]  # fmt: skip
    means = mean_curves(pools.curves)
    means[["mean", "lower", "upper"]] *= scale
    rows = [
        {key: _number(row[key]) if isinstance(row[key], float) else row[key] for key in row}
        for row in means.to_dict("records") if row["arm"] != BASELINE
    ]  # fmt: skip
    x = alt.X(
        "n_labels:Q", title="labels bought", scale=alt.Scale(type="log", nice=False, padding=14),
        axis=alt.Axis(values=pools.budgets if len(pools.budgets) <= 12 else alt.Undefined, format=",.0f"),
    )  # fmt: skip
    y = alt.Y("value:Q", title=_axis(pools), scale=alt.Scale(zero=False))
    layers = [_chart(points).mark_point(style="cloud", filled=True, size=14, opacity=0.4).encode(x=x, y=y)]
    if rows:
        colour = _colour(order, alt.Legend(title=None, values=list(pools.others), symbolOpacity=1))
        base = _chart(rows)
        layers += [
            base.mark_line(strokeWidth=1.2, opacity=0.5).encode(x=x, y="mean:Q", color=colour),
            base.mark_rule(strokeWidth=2).encode(x=x, y="lower:Q", y2="upper:Q", color=colour),
            base.mark_point(filled=True, size=45, opacity=1).encode(
                x=x, y="mean:Q", color=colour,
                tooltip=[alt.Tooltip("arm:N", title="first pool"), "n_labels:Q", alt.Tooltip("mean:Q", format=".2f")],
            ),
        ]  # fmt: skip
    return _layered(layers, f"{_axis(pools)} by labels: random first pools, and other ways of choosing them.", 360)


def _against_final(pools: Pools, score: str) -> alt.LayerChart:
    scale, order = factor(pools.metric), [BASELINE, *pools.others]
    wide = scale if score == FIRST else 1.0
    points = [
        {"score": _number(wide * s), "final": _number(scale * f)}
        for s, f in zip(pools.scores[score], pools.final, strict=True)
    ]  # fmt: skip
    x = alt.X("score:Q", title=_title(pools, score), scale=alt.Scale(zero=False, padding=8))
    y = alt.Y("final:Q", title=_axis(pools, "at the end"), scale=alt.Scale(zero=False, padding=8))
    layers = [_chart(points).mark_point(style="cloud", filled=True, size=26, opacity=0.5).encode(x=x, y=y)]
    rows = []
    for label, values in pools.others.items():
        if score in values:
            across, up = paired_test(values[score]), paired_test(values["final"])
            rows.append({
                "arm": label,
                **{f"score_{end}": _number(wide * getattr(across, end)) for end in ("mean", "lower", "upper")},
                **{f"final_{end}": _number(scale * getattr(up, end)) for end in ("mean", "lower", "upper")},
            })  # fmt: skip
    if rows:
        base, colour = _chart(rows), _colour(order, None)
        middle = {"x": alt.X("score_mean:Q"), "y": alt.Y("final_mean:Q"), "color": colour}
        layers += [
            base.mark_rule(strokeWidth=2).encode(x="score_lower:Q", x2="score_upper:Q", y="final_mean:Q", color=colour),
            base.mark_rule(strokeWidth=2).encode(y="final_lower:Q", y2="final_upper:Q", x="score_mean:Q", color=colour),
            base.mark_point(filled=True, size=60, opacity=1).encode(**middle, tooltip=["arm:N"]),
        ]  # fmt: skip
    return _layered(
        layers, f"{_title(pools, score)} against {_axis(pools, 'at the end')}; {_words(pools.correlation(score))}.", 240
    )


def _early(pools: Pools) -> alt.LayerChart:
    rows = [
        {"n_labels": n, "rho": _number(c.rho), "lower": _number(c.lower), "upper": _number(c.upper)}
        for n, c in pools.early() if c.rho == c.rho
    ]  # fmt: skip
    x = alt.X("n_labels:Q", title="labels bought", scale=alt.Scale(type="log", nice=False, padding=14))
    y = alt.Y("rho:Q", title="Spearman with the end", scale=alt.Scale(domain=[-1, 1]))
    base = _chart(rows)
    layers = [
        _chart([{"zero": 0}]).mark_rule(style="zero").encode(y=alt.Y("zero:Q", title="Spearman with the end")),
        base.mark_rule(strokeWidth=2, style="verdict-better").encode(x=x, y="lower:Q", y2="upper:Q"),
        base.mark_line(strokeWidth=1.2, opacity=0.5, style="verdict-better").encode(x=x, y=y),
        base.mark_point(filled=True, size=45, opacity=1, style="verdict-better").encode(
            x=x, y=y, tooltip=["n_labels:Q", alt.Tooltip("rho:Q", format=".2f"), "lower:Q", "upper:Q"]
        ),
    ]
    return _layered(layers, "Rank correlation of early with late performance, by labels.", 220)


def _colour(order: list[str], legend: alt.Legend | None) -> alt.Color:
    return alt.Color("arm:N", scale=alt.Scale(domain=order), legend=legend)


def _axis(pools: Pools, when: str = "") -> str:
    return f"{metric_name(pools.metric)}{when and ' '}{when}{', %' if unit(pools.metric) else ''}"


def _title(pools: Pools, score: str) -> str:
    return SCORES.get(score, _axis(pools, f"at {pools.budgets[0]:,.0f} labels"))


def _cells(title: str, found: Correlation) -> list[object]:
    if found.rho != found.rho:
        return [title, NOTHING, NOTHING, NOTHING]
    return [title, _signed(found.rho), f"{_signed(found.lower)} to {_signed(found.upper)}", _signed(found.pearson)]


def _words(found: Correlation) -> str:
    if found.rho != found.rho:
        return "the same for all pools"
    return f"Spearman {_signed(found.rho)} ({_signed(found.lower)} to {_signed(found.upper)})"


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")


def _document(found: Correlation) -> dict[str, float | int | None]:
    return {key: None if value != value else value for key, value in found._asdict().items()}


def _number(value: float) -> float | None:
    return round(float(value), DIGITS) if value == value else None


def _figure(name: str, caption: str) -> Html:
    return tag("figure", None, tag("figcaption", None, caption), tag("div", {"class": "chart", "data-figure": name}))


def _chart(rows: list[Any]) -> alt.Chart:
    return alt.Chart(alt.Data(values=rows))


def _layered(layers: list[alt.Chart], description: str, height: int) -> alt.LayerChart:
    return alt.LayerChart(layer=layers).properties(width="container", height=height, description=description)


def _drawn(chart: alt.LayerChart) -> dict[str, object]:
    return {k: v for k, v in chart.to_dict().items() if k not in ("$schema", "config")}
