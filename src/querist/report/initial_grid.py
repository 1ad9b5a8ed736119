"""How first pools and strategies go together: a heat map of every pair's difference to random after random."""

from collections.abc import Iterator
from typing import Any

import altair as alt
import pandas as pd

from querist.analysis.verdicts import Comparison, compare
from querist.errors import QueristError
from querist.report.figures import DIGITS
from querist.report.first_pools import Part
from querist.report.markup import join, tag
from querist.report.palette import INK, PAPERS, Paper, theme
from querist.report.results import BASELINE, StudyResults, component_name
from querist.report.wording import factor, interval, metric_name, signed, unit

DIVERGING: dict[Paper, list[str]] = {
    "light": ["#e58a5c", "#f7f7f8", "#6aa5dd"], "dark": ["#a34a1e", "#23272f", "#22639f"],
}  # fmt: skip
"""From worse over the same to better; text stays legible on all of them."""
ROW = 58
"""Height of a row in pixels: two lines of text."""


def grids(study: StudyResults) -> tuple[Part, ...]:
    """Return a section for each group of arms with several first pools and several strategies, compared in pairs."""
    return tuple(_part(study, number, *found) for number, found in enumerate(_groups(study)))


def _groups(study: StudyResults) -> Iterator[tuple[str, pd.DataFrame, Comparison]]:
    arms = study.arms
    if not {"strategy", "learner", "initial", "features"} <= set(arms.columns):
        return
    groups = list(arms.groupby([arms["learner"].astype(str), arms["features"].astype(str)], sort=False))
    for (learner, features), part in groups:  # pyright: ignore[reportGeneralTypeIssues]
        if len(set(part["initial"])) < 2 or len(set(part["strategy"])) < 2:
            continue
        rows = part.to_dict("records")
        random = [r["arm"] for r in rows if {component_name(r["initial"]), component_name(r["strategy"])} == {BASELINE}]
        if not random:
            continue
        rounds = study.rounds.loc[study.rounds["arm"].isin(part["arm"])]
        try:
            found = compare(rounds, study.metric, reference=str(random[0]), rope=study.rope)
        except QueristError:
            continue  # nothing to compare yet; the verdicts of the page say what is missing
        name = f"learner {component_name(learner)}, features {component_name(features)}" if len(groups) > 1 else ""
        yield name, part, found


def _part(study: StudyResults, number: int, name: str, arms: pd.DataFrame, found: Comparison) -> Part:
    figure, metric = f"g{number}-grid", metric_name(study.metric)
    words = (
        f"Area under the budget curve ({metric}) of every first pool with every strategy, minus that of random after "
        f"a random first pool, in {'points' if unit(study.metric) else 'units of the metric'}; below each its 95 % "
        "interval over pools, not corrected for their number."
    )
    place = tag("div", {"class": "chart", "data-figure": figure})
    body = join([
        tag("h2", {"id": figure}, "First pools and strategies" + f": {name}" * bool(name)),
        tag("figure", None, tag("figcaption", None, words), place),
    ])  # fmt: skip
    chart = grid_figure(arms, found)
    spec = {k: v for k, v in chart.to_dict().items() if k not in ("$schema", "config")}
    return Part(figures={figure: spec}, themes={paper: grid_theme(paper) for paper in PAPERS}, body=body)


def grid_theme(paper: Paper) -> dict[str, object]:
    """Return the theme of the heat map."""
    base: dict[str, Any] = theme(paper, 1)
    styles = {
        "cell": {"color": INK[paper], "fontSize": 13}, "ends": {"color": INK[paper], "fontSize": 10, "opacity": 0.8},
    }  # fmt: skip
    return {
        **base, "range": {**base["range"], "diverging": DIVERGING[paper]}, "style": {**base["style"], **styles},
    }  # fmt: skip


def grid_figure(arms: pd.DataFrame, found: Comparison) -> alt.LayerChart:
    """Return the heat map of a group of arms.

    Args:
        arms: columns arm, strategy, initial.
        found: the arms compared with random after random.
    """
    scale = factor(found.metric)
    names = {str(row["arm"]): row for row in arms.to_dict("records")}
    rows, others = [], {row.arm: row for row in found.arms}
    initials = list(dict.fromkeys(component_name(value) for value in arms["initial"]))
    strategies = list(dict.fromkeys(component_name(value) for value in arms["strategy"]))
    for arm, row in others.items():
        reference = row.verdict == "reference"
        difference = 0.0 if reference else row.difference * scale
        if difference != difference:
            continue
        rows.append({
            "first pool": component_name(names[arm]["initial"]), "strategy": component_name(names[arm]["strategy"]),
            "difference": round(difference, DIGITS),
            "shown": "reference" if reference else signed(row.difference, found.metric),
            "ends": "" if reference else interval(row, found.metric), "pools": row.pools,
        })  # fmt: skip
    most = max([abs(row["difference"]) for row in rows], default=0.0) or 1.0
    colour = alt.Color(
        "difference:Q", legend=None,
        scale=alt.Scale(domain=[-most, most], domainMid=0, reverse=not found.higher_is_better),
    )  # fmt: skip
    x = alt.X("strategy:N", sort=strategies, title="strategy", axis=alt.Axis(orient="top", labelAngle=0, domain=False))
    y = alt.Y("first pool:N", sort=initials, title="first pool", axis=alt.Axis(labelLimit=200, grid=False))
    tooltip = ["first pool:N", "strategy:N", alt.Tooltip("shown:N", title="difference"), "ends:N", "pools:Q"]
    base = alt.Chart(alt.Data(values=rows)).encode(x=x, y=y)
    cells = [f"{row['first pool']}, {row['strategy']}: {row['shown']}" for row in rows]
    return alt.LayerChart(
        layer=[
            base.mark_rect(cornerRadius=3).encode(color=colour, tooltip=tooltip),
            base.mark_text(style="cell", dy=-7).encode(text="shown:N"),
            base.mark_text(style="ends", dy=10).encode(text="ends:N"),
        ]
    ).properties(
        width="container", height=ROW * len(initials), description=f"Differences to random: {'; '.join(cells)}."
    )  # fmt: skip
