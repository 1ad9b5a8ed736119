"""What the pictures of several folders of studies share: tables of differences to random, and panels of them."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import altair as alt
import pandas as pd

from querist.analysis.bands import difference_curves
from querist.analysis.judge import VERDICTS
from querist.analysis.verdicts import ROPE, Comparison, compare
from querist.report.palette import VERDICT_COLOURS, VERDICT_SHAPES
from querist.strategies.base import strategies

ORACLES = {"oracle": "*"}
"""What stands behind the name of a strategy with such a flag."""
COMMITTEE = "a committee of linear heads"
SAME = ("k=", "samples=", "beta=")
"""Settings that all arms of their kind have in these studies."""


class Study(NamedTuple):
    """A study and how its arms are titled."""

    name: str
    dataset: str
    learner: str
    classes: int


def comparison(store: Path, name: str) -> Comparison:
    """Return what the tables of a study say."""
    return compare(pd.read_parquet(store / "studies" / name / "rounds.parquet"), "accuracy", rope=ROPE)


def short(arm: str, marks: Mapping[str, str]) -> str:
    """Return an arm's name without the settings that all arms of its kind have, and with the marks of its flags."""
    name, _, settings = arm.partition("(")
    kept = [part for part in settings.rstrip(")").split(", ") if part and not part.startswith(SAME)]
    behind = "".join(mark for flag, mark in marks.items() if flag in strategies.card(name).flags)
    return (f"{name}({', '.join(kept)})" if kept else name) + (f" {behind}" if behind else "")


def tables(
    store: Path, studies: Iterable[Study], marks: Mapping[str, str] = ORACLES
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return cells (one per dataset, strategy and budget) and verdicts (one per dataset and strategy)."""
    cells, verdicts = [], []
    for study in studies:
        found = comparison(store, study.name)
        where = {"dataset": study.dataset, "learner": study.learner}
        for row in difference_curves(found.curves, found.reference).to_dict("records"):
            each = round(row["n_labels"] / study.classes)
            cells.append({**where, "arm": short(row["arm"], marks), "each": each, "points": 100 * row["difference"]})
        verdicts += [
            {
                **where, "arm": short(row.arm, marks), "points": 100 * row.difference, "lower": 100 * row.lower,
                "upper": 100 * row.upper, "p": row.p_holm, "verdict": row.verdict, "pools": row.pools,
                "aubc": 100 * row.aubc,
            }
            for row in found.arms
        ]  # fmt: skip
    return pd.DataFrame(cells), pd.DataFrame(verdicts)


def forest(
    verdicts: pd.DataFrame,
    order: list[str],
    *,
    domain: tuple[float, float],
    width: int,
    height: int,
    size: int,
    column: str = "arm",
    zebra: bool = False,
) -> alt.LayerChart:
    """Return a point with its interval for each line, coloured and shaped by the verdict.

    Args:
        verdicts: rows of one dataset.
        order: the lines from top to bottom.
        domain: of the points; what lies beyond is cut.
        width: in pixels.
        height: in pixels.
        size: of a mark.
        column: that names the lines.
        zebra: whether every other line has a shade, for pictures of many.
    """
    span = alt.X("lower:Q", title="area under the curve, points", scale=alt.Scale(domain=list(domain), clamp=True))
    shades = alt.Scale(domain=list(VERDICTS), range=[VERDICT_COLOURS["light"][v] for v in VERDICTS])
    shapes = alt.Scale(domain=list(VERDICTS), range=[VERDICT_SHAPES[v] for v in VERDICTS])
    hue = alt.Color("verdict:N", scale=shades, legend=None)
    sides = alt.Y(f"{column}:N", sort=order, axis=None)
    area = alt.Chart(verdicts)
    zero = alt.Chart(alt.Data(values=[{"zero": 0}])).mark_rule(style="zero").encode(x="zero:Q")
    rule = area.mark_rule(strokeWidth=2.2 if size > 60 else 1.6).encode(x=span, x2="upper:Q", y=sides, color=hue)
    point = area.mark_point(filled=True, size=size, opacity=1).encode(
        x="points:Q", y=sides, color=hue, shape=alt.Shape("verdict:N", scale=shapes, legend=None)
    )
    layers: list[Any] = [zero, rule, point]
    if zebra:
        shaded = alt.Chart(pd.DataFrame({column: order[::2]}))
        layers.insert(0, shaded.mark_rect(color="#f3f5f7").encode(y=sides))
    return alt.layer(*layers).properties(width=width, height=height)


def differences(row: Any) -> str:
    """Return points with their interval, as tables have them."""
    return f"{row.points:+.1f} ({row.lower:+.1f} to {row.upper:+.1f})".replace("-", "−")
