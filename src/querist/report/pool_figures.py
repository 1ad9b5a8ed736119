"""The figures of the page of a pool, as Altair charts; colours come from the theme, for light and dark paper."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np

from querist.analysis.budget import expected_classes
from querist.analysis.data_map import DataMap
from querist.arrays import Array, Ids
from querist.report.figures import DIGITS
from querist.report.palette import HUES, MUTED, REFERENCE, Paper, theme
from querist.report.pool import PURE, Chosen, Classes, Plan, Purity
from querist.report.pool_map import MOST_COLOURS, RAMPS, shades

BINS = 40
MOST_CLASSES = 60
"""Classes up to which each has a bar with its name; more are a curve from the largest to the smallest."""
POINTS = 3000
"""Items of a data map that are drawn."""
HEIGHT = 260
REGIONS = ("easy", "ambiguous", "hard")


def pool_theme(paper: Paper) -> dict[str, object]:
    """Return the theme of these figures: that of the report, a colour for what is shown, and one for each round."""
    base: dict[str, Any] = theme(paper, 5)
    main = {"color": HUES[paper][0]}
    styles = {"main": main, "pool": {"color": REFERENCE[paper]}, "note": {"color": MUTED[paper], "fontSize": 12}}
    ranges = {**base["range"], "ordinal": list(RAMPS[paper])}
    return {**base, "range": ranges, "style": {**base["style"], **styles}}


def class_figure(classes: Classes) -> alt.LayerChart:
    """Return the share of each class in the pool, and among the picks."""
    picked = classes.rounds[-1].count_c if classes.rounds else None
    pool = None if classes.pool is None else classes.pool.count_c
    counts = {name: n for name, n in (("pool", pool), ("picks", picked)) if n is not None and n.sum()}
    order = list(classes.names)
    many = len(order) > MOST_CLASSES
    first = next(iter(counts.values()))
    ranked = np.argsort(-first, kind="stable").tolist() if many else range(len(order))
    rows = {
        name: [
            {"class": order[i], "rank": at + 1, "share": _number(100 * n[i] / n.sum()), "labels": int(n[i])}
            for at, i in enumerate(ranked)
        ]
        for name, n in counts.items()
    }
    x = alt.X("share:Q", title="share of labels, %", axis=_few())
    y = alt.Y("class:N", sort=order, title=None, axis=alt.Axis(labelLimit=200, grid=False))
    tooltip = [alt.Tooltip("class:N"), alt.Tooltip("share:Q", title="share, %", format=".1f"), alt.Tooltip("labels:Q")]
    layers = []
    for name, style in (("picks", "main"), ("pool", "pool")):
        if name not in counts:
            continue
        base = _chart(rows[name])
        if many:
            across = alt.X("rank:Q", title="classes, by size")
            up = alt.Y("share:Q", title="share of labels, %")
            layers.append(base.mark_point(style=style, filled=True, size=14).encode(x=across, y=up, tooltip=tooltip))
        elif name == "picks" or "picks" not in counts:
            layers.append(base.mark_bar(style=style, height=9).encode(x=x, y=y, tooltip=tooltip))
        else:
            tick = base.mark_tick(style=style, thickness=3, height=16)
            layers.append(tick.encode(x=x, y=y, tooltip=tooltip))
    words = "Share of each class" + (" in the pool and among the picks." if len(counts) > 1 else ".")
    return _layered(layers, words, HEIGHT if many else 20 * len(order))


def nearest_figure(nearest: Array, chosen: Chosen, pool: Ids) -> alt.LayerChart:
    """Return histograms of the distance to the nearest label after some of the rounds, of items without a label."""
    shown = _spread_out(len(nearest))
    edges = np.linspace(0.0, float(nearest.max()) or 1.0, BINS + 1)
    rows: list[dict[str, object]] = []
    # A round has the colour it has on the map: colours that no round has are taken by names that no legend shows.
    domain = [" " * (slot + 1) for slot in range(MOST_COLOURS)]
    for number, colour in zip(shown, shades(len(shown)), strict=True):
        domain[colour] = f"{chosen.counts[number]:,} labels"
        open_n = ~np.isin(pool, chosen.ids[: chosen.counts[number]])
        rows += [{"after": domain[colour], **row} for row in _histogram(nearest[number][open_n], edges)]
    named = [name for name in domain if name.strip()]
    chart = _chart(rows).mark_line(interpolate="step-after", strokeWidth=2).encode(
        x=alt.X("from:Q", title="distance to the nearest label", axis=_few()),
        y=alt.Y("share:Q", title="items, %"),
        color=alt.Color(
            "after:O", scale=alt.Scale(domain=domain), legend=alt.Legend(title=None, symbolType="stroke", values=named)
        ),
        tooltip=[alt.Tooltip("after:N"), alt.Tooltip("share:Q", title="items, %", format=".1f")],
    )  # fmt: skip
    return _layered([chart], "How far items are from the nearest label, by round.")


def purity_figure(purity: Purity) -> alt.LayerChart:
    """Return the share of pure balls by radius, and the radius at which `PURE` of them are."""
    finite = np.sort(purity.radius[np.isfinite(purity.radius)])
    radius = np.linspace(0.0, float(finite[-1]), 81)
    share = 1.0 - np.searchsorted(finite, radius, side="left") / len(purity.radius)
    rows = [{"radius": _number(r), "pure": _number(100 * s)} for r, s in zip(radius, share, strict=True)]
    x = alt.X("radius:Q", title="radius of the balls", axis=_few())
    curve = _chart(rows).mark_line(style="main", strokeWidth=2.2).encode(
        x=x, y=alt.Y("pure:Q", title="balls of one label, %", scale=alt.Scale(domain=[0, 100])),
        tooltip=[alt.Tooltip("radius:Q", format=".3f"), alt.Tooltip("pure:Q", title="pure, %", format=".1f")],
    )  # fmt: skip
    advised = _number(purity.advised)
    note = [{"radius": advised, "words": f"{PURE:.0%} pure up to {advised:.3f}"}]
    rule = _chart(note).mark_rule(style="zero", strokeDash=[4, 3]).encode(x=x)
    side = "right" if advised > float(finite[-1]) / 2 else "left"
    text = _chart(note).mark_text(style="note", align=side, dx=-6 if side == "right" else 6, baseline="bottom")
    words = f"Share of balls that hold one label only, by radius; {PURE:.0%} of them up to {advised:.3f}."
    return _layered([rule, curve, text.encode(x=x, y=alt.value(HEIGHT - 6), text="words:N")], words)


def data_map_figure(found: DataMap) -> alt.LayerChart:
    """Return confidence against variability, a point per label."""
    rows = np.arange(len(found.ids))
    # Every so many of the ids in ascending order: which are left out says nothing about a label.
    rows = rows[:: -(-len(rows) // POINTS)] if len(rows) else rows
    points = [
        {
            "id": int(found.ids[i]), "confidence": _number(found.confidence[i]), "region": str(found.regions[i]),
            "variability": _number(found.variability[i]),
        }
        for i in rows
    ]  # fmt: skip
    legend = alt.Legend(title=None)
    chart = _chart(points).mark_point(filled=True, size=18, opacity=0.6).encode(
        x=alt.X("variability:Q", title="variability: standard deviation over epochs", axis=_few()),
        y=alt.Y("confidence:Q", title="confidence: mean probability", scale=alt.Scale(domain=[0, 1])),
        color=alt.Color("region:N", scale=alt.Scale(domain=list(REGIONS)), legend=legend),
        shape=alt.Shape("region:N", scale=alt.Scale(domain=list(REGIONS)), legend=legend),
        tooltip=["id:Q", alt.Tooltip("confidence:Q", format=".3f"), alt.Tooltip("variability:Q", format=".3f")],
    )  # fmt: skip
    return _layered([chart], "Data map: confidence against variability, one point per label.", 320)


def trace_figure(name: str, values: Array) -> alt.LayerChart:
    """Return the histogram of a statistic of a pre-training over the pool."""
    low, high = float(values.min()), float(values.max())
    rows = _histogram(values, np.linspace(low, high if high > low else low + 1.0, BINS + 1))
    chart = _chart(rows).mark_bar(style="main").encode(
        x=alt.X("from:Q", title=name, axis=_few()), x2="to:Q", y=alt.Y("share:Q", title="items, %"),
        tooltip=[alt.Tooltip("from:Q", format=".3g"), alt.Tooltip("share:Q", title="items, %", format=".1f")],
    )  # fmt: skip
    return _layered([chart], f"Histogram of {name} over the pool.", 160)


def coverage_figure(plan: Plan) -> alt.LayerChart:
    """Return coverage by number of labels, for two ways of choosing and for random draws."""
    order = ["random", *(name for name in plan.covered if name != "random")]
    rows = [
        {"by": name, "n_labels": t + 1, "covered": _number(100 * curve[t])}
        for name, curve in plan.covered.items() for t in range(len(curve))
    ]  # fmt: skip
    chart = _chart(rows).mark_line(strokeWidth=2.2).encode(
        x=_labels(), y=alt.Y("covered:Q", title="coverage, %", scale=alt.Scale(zero=False)),
        color=alt.Color(
            "by:N", scale=alt.Scale(domain=order), legend=alt.Legend(title=None, symbolType="stroke", symbolOpacity=1)
        ),
        tooltip=["by:N", alt.Tooltip("n_labels:Q", title="labels"), alt.Tooltip("covered:Q", format=".1f")],
    )  # fmt: skip
    return _layered([chart], "Coverage of the pool by number of labels.")


def seen_figure(plan: Plan) -> alt.LayerChart:
    """Return how many groups random labels are expected to hold, by number of labels."""
    sizes = np.asarray(plan.size_k)
    most = int(min(sizes.sum(), max(max(map(len, plan.covered.values()), default=1), 2 * len(sizes))))
    seen = expected_classes(sizes, most)
    at = np.unique(np.geomspace(1, most, 60).round().astype(int))
    rows = [{"n_labels": int(n), "seen": _number(seen[n])} for n in at]
    chart = _chart(rows).mark_line(style="main", strokeWidth=2.2).encode(
        x=_labels(), y=alt.Y("seen:Q", title=f"{plan.groups} among random labels"),
        tooltip=[alt.Tooltip("n_labels:Q", title="labels"), alt.Tooltip("seen:Q", format=".2f")],
    )  # fmt: skip
    return _layered([chart], f"Expected number of {plan.groups} among random labels.")


def _few() -> alt.Axis:
    return alt.Axis(tickCount=7)


def _labels() -> alt.X:
    return alt.X("n_labels:Q", title="labels", scale=alt.Scale(type="log", nice=False), axis=alt.Axis(tickCount=6))


def _spread_out(rounds: int) -> list[int]:
    """At most as many rounds as there are colours, the first and the last among them."""
    return np.unique(np.linspace(0, rounds - 1, min(rounds, MOST_COLOURS)).round().astype(int)).tolist()


def _histogram(values: Array, edges: Array) -> list[dict[str, float]]:
    count, _ = np.histogram(values, edges)
    share = 100 * count / max(1, len(values))
    return [
        {"from": _number(low), "to": _number(high), "share": _number(part)}
        for low, high, part in zip(edges[:-1], edges[1:], share, strict=True)
    ]


def _number(value: object) -> float:
    return round(float(value), DIGITS)  # pyright: ignore[reportArgumentType]


def _chart(rows: Iterable[Mapping[str, object]]) -> alt.Chart:
    return alt.Chart(alt.Data(values=[dict(row) for row in rows]))


def _layered(layers: Sequence[alt.Chart], description: str, height: int = HEIGHT) -> alt.LayerChart:
    return alt.LayerChart(layer=list(layers)).properties(width="container", height=height, description=description)
