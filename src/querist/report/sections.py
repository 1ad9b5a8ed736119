"""The parts of the page that show one group of comparable arms: verdicts, table, figures, picks, method."""

from collections.abc import Collection, Iterable
from dataclasses import replace

import altair as alt

from querist.analysis.gaps import keys_in_words
from querist.analysis.verdicts import ArmVerdict, Comparison
from querist.report.figures import arms_in_order, difference_figure, forest, learning_curves
from querist.report.markup import Html, html, join, mark, swatch, table, tag, void
from querist.report.palette import arm_colours, arm_dashes
from querist.report.pictures import INITIAL, Strip, strips
from querist.report.results import Regime
from querist.report.wording import (
    FLAGS,
    amount,
    claim,
    headline,
    interval,
    level,
    metric_name,
    p_value,
    signed,
    unit,
)

LOG_FROM = 20
"""Budgets that grow this many times are drawn on a logarithmic axis at first."""


def figures_of(regime: Regime, prefix: str) -> dict[str, alt.LayerChart]:
    """Return the figures of a group under the names by which the page finds them."""
    found = regime.comparison
    figures = {
        f"{prefix}curves": learning_curves(found, legend=False),
        f"{prefix}differences": difference_figure(found, legend=False),
    }
    if any(row.lower == row.lower for row in found.arms):
        figures[f"{prefix}forest"] = forest(found)
    return figures


def verdicts(regime: Regime) -> Html:
    """Return headline, claims, warnings and the table of verdicts."""
    found = regime.comparison
    claims = [
        tag("li", None, tag("span", {"class": row.verdict}, mark(row.verdict)), tag("span", None, _claim(row, regime)))
        for row in sorted(found.arms, key=_by_verdict) if row.verdict != "reference"
    ]  # fmt: skip
    return join(
        [
            tag("p", {"class": "headline"}, headline(found)),
            tag("p", {"class": "small"}, _what_is_compared(found)),
            tag("ul", {"class": "claims"}, *claims),
            _notices(found),
            _main_table(regime),
            tag("details", None, tag("summary", None, "All numbers"), _full_table(found)),
        ]
    )


def figures(regime: Regime, prefix: str, names: Collection[str]) -> Html:
    """Return the places of the figures, with the legend that works on both line charts."""
    found = regime.comparison
    metric = metric_name(found.metric)
    rope = f"±{amount(found.rope, found.metric)}"
    parts: list[Html] = []
    if f"{prefix}forest" in names:
        words = f"Inside the grey stripe ({rope}) a difference is declared not to matter."
        area = f"Difference to {found.reference} in area under the budget curve, with 95 % intervals."
        parts.append(_figure(f"{prefix}forest", f"{area} {words}"))
    parts += [
        tag("h2", {"id": f"{prefix}learning"}, "Learning curves"),
        _legend(found),
        _figure(
            f"{prefix}curves",
            f"Mean {metric} over pools against labels bought; bands are pointwise 95 % t intervals over pools, thin "
            f"grey lines are single runs of {found.reference}. Point at a line, or press a name, to single a strategy "
            "out.",
            legend=True,
        ),
        _figure(
            f"{prefix}differences",
            f"The same as paired differences to {found.reference}. Its bands cover one budget at a time: they show "
            "where a strategy gains or loses, and support no verdict.",
            legend=True,
        ),
    ]
    return join(parts)


def picked(regime: Regime) -> Html:
    """Return what each arm bought first, as pictures; nothing if there are none."""
    study = regime.study
    if not study.pictures:
        return Html("")
    arms = [row.arm for row in regime.comparison.arms]
    found = strips(regime.picks, study.pictures, study.captions, arms=arms)
    if not found:
        return Html("")
    parts: list[Html] = []
    for arm in dict.fromkeys(strip.arm for strip in found):
        mine = [strip for strip in found if strip.arm == arm]
        parts.append(tag("h3", None, arm or "Common start"))
        afresh = bool(arm) and "one_shot" in regime.flags(arm)
        parts += [_strip(strip, afresh) for strip in mine]
    return join([
        tag("h2", None, "What each strategy picked"),
        tag(
            "p", {"class": "small"},
            "The first picks of the first pool, in the order picked, with the labels that were bought.",
        ),
        tag("div", {"class": "picks"}, *parts),
    ])  # fmt: skip


def method(regime: Regime) -> list[tuple[str, object]]:
    """Return what was done, as terms and descriptions."""
    found = regime.comparison
    arms = [row for row in found.arms if row.verdict != "reference"]
    pools = sorted({run.pool for run in found.curves})
    seeds = sorted({run.seed for run in found.curves})
    grid = ", ".join(f"{n:,.0f}" for n in found.grid[:16]) + (", ..." if len(found.grid) > 16 else "")
    metric = metric_name(found.metric)
    entries: list[tuple[str, object]] = [
        ("Metric", f"{metric}, {'higher' if found.higher_is_better else 'lower'} is better, declared before the runs"),
        (
            "Area (AUBC)",
            f"trapezoid of {metric} over labels from {found.start:,.0f} to {found.stop:,.0f}, at the budgets really "
            "bought, divided by the width: the mean over the budget",
        ),
        ("Checkpoints", f"{grid} labels"),
        (
            "Repeats",
            f"{len(pools)} initial pools x {len(seeds)} training seed{'s' * (len(seeds) != 1)}; {len(found.curves)} "
            "finished runs; every strategy on the same pools, paired by pool and seed, seeds averaged inside a pool",
        ),
        ("Region of equivalence", f"±{amount(found.rope, found.metric)}"),
        (
            "Tests",
            "two-sided paired t test over pools and exact Wilcoxon signed-rank test (Pratt zeros, mid-ranks) beside "
            "it; where they disagree the verdict is undecided; fewer than 5 pools give no verdict, fewer than 10 none "
            "on a small effect",
        ),
        ("Correction", f"Holm, over all {len(arms)} comparisons with {found.reference}; intervals are not corrected"),
    ]  # fmt: skip
    flagged = [(row.arm, flag) for row in found.arms for flag in regime.flags(row.arm)]
    if flagged:
        lines = [
            tag("div", None, f"{arm}: {flag}, {FLAGS.get(flag, 'see its documentation')}") for arm, flag in flagged
        ]
        entries.append(("Flags", join(lines)))
    if found.missing:
        entries.append(("Missing runs", join(_missing(found))))
    else:
        entries.append(("Missing runs", "none"))
    return entries


def _what_is_compared(found: Comparison) -> str:
    points = "Points are differences" if unit(found.metric) else "Differences are those"
    return (
        f"{points} in area under the budget curve (AUBC): {metric_name(found.metric)} averaged over "
        f"{found.start:,.0f} to {found.stop:,.0f} labels. p-values are corrected for all comparisons (Holm)."
    )


def _claim(row: ArmVerdict, regime: Regime) -> Html:
    """The claim with the arm's name in bold, wherever it stands and whatever it is."""
    text = html(claim(replace(row, arm="\0"), regime.comparison, regime.flags(row.arm)))
    return Html(text.replace("\0", tag("strong", None, row.arm)))


def _by_verdict(row: ArmVerdict) -> tuple[int, float]:
    order = ["better", "worse", "equivalent", "undecided", "withheld", "reference"]
    return order.index(row.verdict), -abs(row.difference) if row.difference == row.difference else 0.0


def _notices(found: Comparison) -> Html:
    lines = [*found.warnings]
    if found.missing:
        some = "1 run is" if len(found.missing) == 1 else f"{len(found.missing)} runs are"
        lines.append(f"{some} missing or unfinished and left out with the partner (listed under Method).")
    return (
        tag("div", {"class": "notice", "role": "note"}, *(tag("p", None, line) for line in lines))
        if lines
        else Html("")
    )


def _main_table(regime: Regime) -> Html:
    found, metric = regime.comparison, regime.comparison.metric
    share = f", {unit(metric)}" if unit(metric) else ""
    points = ", points" if unit(metric) else ""
    heads = [
        ("Strategy", "text"), ("Verdict", "text"), (f"AUBC{share}", ""), (f"vs {found.reference}{points}", ""),
        ("95 % interval", ""), ("p (Holm)", ""), ("Pools won", ""),
    ]  # fmt: skip
    rows = []
    for row in found.arms:
        reference = row.verdict == "reference"
        flags = [
            tag("span", {"class": "flag", "title": FLAGS.get(f, f)}, f.replace("_", " ")) for f in regime.flags(row.arm)
        ]
        cells = [
            join([row.arm, *flags]), _verdict(row), level(row.aubc, metric), signed(row.difference, metric),
            interval(row, metric), p_value(row.p_holm), "–" if reference else f"{row.wins} of {row.pools}",
        ]  # fmt: skip
        rows.append(("reference" if reference else "", cells))
    caption = f"AUBC: {metric_name(metric)} averaged over {found.start:,.0f} to {found.stop:,.0f} labels, best first"
    return table(caption, heads, rows)


def _full_table(found: Comparison) -> Html:
    metric = found.metric
    heads = [
        ("Strategy", "text"), ("Runs", ""), ("Pools", ""), ("AUBC", ""), ("log-AUBC", ""),
        (f"At {found.stop:,.0f} labels", ""), ("sd of differences", ""), ("d_z", ""), ("Won / lost", ""), ("p (t)", ""),
        ("p (t, Holm)", ""), ("p (signed-rank)", ""), ("p (signed-rank, Holm)", ""),
    ]  # fmt: skip
    rows = [
        (
            "",
            [
                row.arm, row.runs, row.pools, level(row.aubc, metric), level(row.log_aubc, metric),
                level(row.final, metric), _plain(row.sd * (100 if unit(metric) else 1)), _plain(row.d_z),
                "–" if row.verdict == "reference" else f"{row.wins} / {row.losses}", p_value(row.p_t),
                p_value(row.p_holm), p_value(row.p_wilcoxon), p_value(row.p_wilcoxon_holm),
            ],
        )
        for row in found.arms
    ]  # fmt: skip
    return table("Every number behind the verdicts", heads, rows)


def _plain(value: float) -> str:
    return "–" if value != value else f"{value:.2f}".replace("-", "−").replace("inf", "∞")


def _verdict(row: ArmVerdict) -> Html:
    if row.verdict == "reference":
        return html("reference")
    return tag("span", {"class": f"verdict {row.verdict}"}, mark(row.verdict), row.verdict)


def _legend(found: Comparison) -> Html:
    arms = arms_in_order(found)
    light, dark = arm_colours(len(arms), "light"), arm_colours(len(arms), "dark")
    style = {arm: swatch(d, a, b) for arm, d, a, b in zip(arms, arm_dashes(len(arms)), light, dark, strict=True)}
    buttons = [
        tag("button", {"type": "button", "data-arm": row.arm, "aria-pressed": "false"}, style[row.arm], row.arm)
        for row in found.arms
    ]  # fmt: skip
    log = str(starts_logarithmic(found)).lower()
    axis = tag("button", {"type": "button", "class": "axis", "aria-pressed": log}, "logarithmic budget")
    return tag("div", {"class": "tools", "role": "group", "aria-label": "Strategies in the figures"}, *buttons, axis)


def starts_logarithmic(found: Comparison) -> bool:
    """Return whether the budgets span so much that a linear axis hides the beginning."""
    return found.start >= 1 and found.stop / found.start >= LOG_FROM


def _figure(name: str, caption: str, *, legend: bool = False) -> Html:
    place = tag("div", {"class": "chart", "data-figure": name, "data-legend": "" if legend else None})
    return tag("figure", None, tag("figcaption", None, caption), place)


def _strip(strip: Strip, afresh: bool) -> Html:
    """`afresh`: the picks are a whole selection for one budget, not an addition to earlier ones."""
    name = "Initial pool" if strip.round == INITIAL else f"Query {strip.round + 1}"
    name = f"Selection {strip.round + 2}" if afresh else name
    items = []
    for t in strip.thumbnails:
        words = f"item {t.key}" + (f", labelled {t.caption}" if t.caption else "")
        image = void("img", {"src": t.uri, "alt": words, "title": words, "loading": "lazy"})
        items.append(tag("li", None, image, tag("span", None, t.caption) if t.caption else ""))
    if strip.left_out:
        items.append(tag("li", {"class": "more"}, f"and {strip.left_out} more"))
    return tag("div", {"class": "strip"}, tag("span", None, name), tag("ul", None, *items))


def _missing(found: Comparison) -> Iterable[Html]:
    groups: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for arm, pool, seed, why in found.missing:
        groups.setdefault((arm, why), []).append((pool, seed))
    for (arm, why), keys in groups.items():
        yield tag("div", None, f"{arm}: {keys_in_words(keys, most=12)} ({why})")
