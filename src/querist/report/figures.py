"""The three figures of a comparison, as Altair charts: learning curves, differences per budget, and the forest plot.

Colours of arms and papers come from the theme (`palette.theme`), so one specification serves light and dark paper.
"""

import json

import altair as alt
import pandas as pd

from querist.analysis.bands import difference_curves, mean_curves
from querist.analysis.judge import VERDICTS
from querist.analysis.verdicts import Comparison
from querist.report.palette import VERDICT_SHAPES, arm_dashes
from querist.report.wording import factor, interval, metric_name, p_value, signed, unit

DIGITS = 5
"""Decimals of the numbers drawn: below a pixel, and a quarter of the file."""
MOST_TICKS = 12
STANDOUT, FADED = 1.0, 0.08


def arms_in_order(comparison: Comparison) -> list[str]:
    """Return the reference, then the other arms by name: the order that fixes their colours."""
    return [comparison.reference, *sorted(row.arm for row in comparison.arms if row.arm != comparison.reference)]


def learning_curves(comparison: Comparison, *, log: bool = False, legend: bool = True) -> alt.LayerChart:
    """Return each arm's mean curve over pools with its pointwise 95 % t band, and every run of the reference in grey.

    Args:
        comparison: what to draw; unfinished runs are not in it.
        log: budgets on a logarithmic axis.
        legend: draw one; a page that brings its own sets the parameter ``chosen`` to an arm's name instead.
    """
    scale = factor(comparison.metric)
    means = mean_curves(comparison.curves)
    means[["mean", "lower", "upper"]] *= scale
    title = f"{metric_name(comparison.metric)}{', %' if unit(comparison.metric) else ''}"
    layers = [
        _chart(_cloud(comparison, scale)).mark_line(style="cloud").encode(
            x=_budget(comparison, log), y=alt.Y("value:Q", title=title, scale=alt.Scale(zero=False)), detail="run:N",
        ),
        *_lines(comparison, means, "mean", title, log, legend),
    ]  # fmt: skip
    return _finished(
        layers, legend,
        f"Learning curves: {metric_name(comparison.metric)} against labels bought, one line per strategy, "
        f"{comparison.start:,.0f} to {comparison.stop:,.0f} labels.",
    )  # fmt: skip


def difference_figure(comparison: Comparison, *, log: bool = False, legend: bool = True) -> alt.LayerChart:
    """Return each arm's mean paired difference to the reference at every budget, with pointwise 95 % t bands.

    The grey stripe is the region of equivalence. A picture of where an arm gains or loses, never a verdict.
    """
    scale = factor(comparison.metric)
    table = difference_curves(comparison.curves, comparison.reference)
    table[["difference", "lower", "upper"]] *= scale
    layers = [
        *_rope(comparison, "y"),
        *_lines(comparison, table, "difference", _difference_title(comparison), log, legend),
    ]
    return _finished(
        layers, legend, f"Difference to {comparison.reference} against labels bought, one line per strategy."
    )


def forest(comparison: Comparison) -> alt.LayerChart:
    """Return the AUBC difference to the reference of every arm with its 95 % interval, largest first.

    The grey stripe is the region of equivalence; shape and colour tell the verdict. Arms without an interval are left
    out.
    """
    scale, metric = factor(comparison.metric), comparison.metric
    rows = [row for row in comparison.arms if row.verdict != "reference" and row.lower == row.lower]
    rows.sort(key=lambda row: -row.difference if comparison.higher_is_better else row.difference)
    table = pd.DataFrame({
        "arm": [row.arm for row in rows],
        "difference": [row.difference * scale for row in rows],
        "lower": [row.lower * scale for row in rows],
        "upper": [row.upper * scale for row in rows],
        "verdict": [row.verdict for row in rows],
        "shown": [f"{signed(row.difference, metric)} ({interval(row, metric)})" for row in rows],
        "p": [p_value(row.p_holm) for row in rows],
        "pools": [row.pools for row in rows],
    })  # fmt: skip
    order = [row.arm for row in rows]
    y = alt.Y("arm:N", sort=order, title=None, axis=alt.Axis(labelLimit=230, grid=False))
    x = alt.X("difference:Q", title=_difference_title(comparison), axis=alt.Axis(tickCount=7))
    tooltip = [
        alt.Tooltip("arm:N", title="strategy"), alt.Tooltip("shown:N", title="difference (95 % interval)"),
        alt.Tooltip("p:N", title="p after Holm"), alt.Tooltip("pools:Q", title="pools"), alt.Tooltip("verdict:N"),
    ]  # fmt: skip
    layers = _rope(comparison, "x")
    for verdict in VERDICTS:
        if verdict not in table["verdict"].tolist():
            continue  # an empty layer would draw nothing and warn the reader's console
        part = _chart(table.loc[table["verdict"] == verdict])
        # A style is a colour of the theme; an encoding would fix one paper's colour in the figure.
        style = f"verdict-{verdict}"
        layers.append(
            part.mark_rule(style=style, strokeWidth=2.5).encode(y=y, x=alt.X("lower:Q"), x2="upper:Q", tooltip=tooltip)
        )
        shape = VERDICT_SHAPES[verdict]
        layers.append(
            part.mark_point(style=style, shape=shape, size=170, filled=True, opacity=1).encode(
                y=y, x=x, tooltip=tooltip
            )
        )
    description = "; ".join(f"{row.arm} {signed(row.difference, metric)} {row.verdict}" for row in rows)
    return alt.LayerChart(layer=layers).properties(
        width="container",
        height=28 * len(rows),
        description=f"Differences to {comparison.reference}: {description}.",
    )


def _chart(table: pd.DataFrame) -> alt.Chart:
    return alt.Chart(alt.Data(values=table.round(DIGITS).astype(object).where(table.notna(), None).to_dict("records")))


def _cloud(comparison: Comparison, scale: float) -> pd.DataFrame:
    """Every finished run of the reference."""
    runs = [(run, curve) for run, curve in comparison.curves.items() if run.arm == comparison.reference]
    return pd.DataFrame(
        [
            (f"{run.pool}/{run.seed}", n, value * scale)
            for run, curve in runs for n, value in zip(curve.n.tolist(), curve.value.tolist(), strict=True)
        ],
        columns=["run", "n_labels", "value"],
    )  # fmt: skip


def _lines(
    comparison: Comparison, table: pd.DataFrame, column: str, title: str, log: bool, legend: bool
) -> list[alt.Chart]:
    """Bands, lines, and points to hover over; the nearest point's arm stands out, as does the chosen one."""
    arms = arms_in_order(comparison)
    x, y = _budget(comparison, log), alt.Y(f"{column}:Q", title=title, scale=alt.Scale(zero=False))
    shown = alt.Legend(title=None, symbolType="stroke", symbolOpacity=1) if legend else None
    colour = alt.Color("arm:N", scale=alt.Scale(domain=arms), legend=shown)
    dash = alt.StrokeDash("arm:N", scale=alt.Scale(domain=arms, range=arm_dashes(len(arms))), legend=shown)
    signs = metric_signs(comparison.metric, column)
    table = table.assign(shown=[_shown(row, column, signs) for row in table.to_dict("records")])
    tooltip = [
        alt.Tooltip("arm:N", title="strategy"), alt.Tooltip("n_labels:Q", title="labels", format=",.0f"),
        alt.Tooltip("shown:N", title=column), alt.Tooltip("pools:Q"),
    ]  # fmt: skip
    base = _chart(table)
    opacity = _standing_out(comparison.reference, legend, STANDOUT, FADED)
    hover = alt.selection_point(name="hover", fields=["arm"], on="pointerover", clear="pointerout", nearest=True)
    return [
        base.mark_area().encode(
            x=x, y=alt.Y("lower:Q", title=title), y2="upper:Q", color=colour,
            opacity=_standing_out(comparison.reference, legend, 0.11, 0.02),
        ),
        base.mark_line(strokeWidth=2.2).encode(
            x=x, y=y, color=colour, strokeDash=dash, opacity=opacity
        ),
        base.mark_point(size=22, filled=True).encode(
            x=x, y=y, color=colour, tooltip=tooltip, opacity=opacity
        ).properties(name="points").add_params(hover),
    ]  # fmt: skip


def metric_signs(metric: str, column: str) -> str:
    """Return the format of a tooltip's numbers: two decimals of a percentage, four of anything else."""
    return ("+" if column == "difference" else "") + (".2f" if unit(metric) else ".4f")


def _shown(row: dict[str, float], column: str, signs: str) -> str:
    text = format(row[column], signs)
    return text if row["lower"] != row["lower"] else f"{text} ({row['lower']:{signs}} to {row['upper']:{signs}})"


def _standing_out(reference: str, legend: bool, full: float, faded: float) -> alt.OpacityValue:
    """Full for the arm pointed at or chosen, for all while none is, and always for what they are compared with."""
    chosen = {"param": "chosen"} if legend else "chosen === '' || chosen === datum.arm"
    is_reference = f"datum.arm === {json.dumps(reference)}"
    test = {"or": [is_reference, {"and": [{"param": "hover"}, chosen]}]}
    return alt.OpacityValue(faded, condition={"test": test, "value": full})


def _finished(layers: list[alt.Chart], legend: bool, description: str) -> alt.LayerChart:
    chosen = (
        alt.selection_point(name="chosen", fields=["arm"], bind="legend") if legend
        else alt.param(name="chosen", value="")
    )  # fmt: skip
    if legend:
        layers[-1] = layers[-1].add_params(chosen)
        return alt.LayerChart(layer=layers).properties(width="container", height=360, description=description)
    return (
        alt.LayerChart(layer=layers)
        .properties(width="container", height=360, description=description)
        .add_params(chosen)
    )


def _budget(comparison: Comparison, log: bool) -> alt.X:
    scale = alt.Scale(type="log", nice=False, padding=8) if log else alt.Scale(zero=False, nice=False, padding=8)
    grid = list(comparison.grid)
    axis = alt.Axis(values=grid, format=",.0f") if len(grid) <= MOST_TICKS else alt.Axis(format=",.0f")
    return alt.X("n_labels:Q", title="labels bought", scale=scale, axis=axis)


def _difference_title(comparison: Comparison) -> str:
    points = ", points" if unit(comparison.metric) else ""
    return f"{metric_name(comparison.metric)} minus that of {comparison.reference}{points}"


def _rope(comparison: Comparison, axis: str) -> list[alt.Chart]:
    """The region of equivalence as a stripe, and the line of no difference."""
    half = comparison.rope * factor(comparison.metric)
    stripe = alt.Chart(alt.Data(values=[{"from": -half, "to": half, "zero": 0}]))
    if axis == "x":
        return [
            stripe.mark_rect(style="rope").encode(x="from:Q", x2="to:Q"),
            stripe.mark_rule(style="zero").encode(x="zero:Q"),
        ]
    return [
        stripe.mark_rect(style="rope").encode(y="from:Q", y2="to:Q"),
        stripe.mark_rule(style="zero").encode(y="zero:Q"),
    ]
