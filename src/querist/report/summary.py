"""The verdicts for a terminal and for programs."""

import math
from dataclasses import asdict
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from querist.report.results import Regime, StudyResults
from querist.report.wording import FLAGS, headline, interval, level, metric_name, notes_of, p_value, signed, unit

SCHEMA = 1
"""Number of the JSON document; raised when a key changes its meaning."""
STYLES = {"better": "bold blue", "worse": "dark_orange3", "equivalent": "green", "reference": "dim"}


def summary_table(study: StudyResults) -> Group:
    """Return the table of verdicts to print with rich, one per group of comparable arms.

    Percentages and points with one decimal; 95 % intervals; p after Holm.
    """
    return Group(*(part for regime in study.regimes for part in _printed(regime)))


def summary_document(study: StudyResults) -> dict[str, Any]:
    """Return the verdicts as a JSON document: values as stored (0..1), not rounded, null where nothing can be said."""
    regimes = []
    for regime in study.regimes:
        found = regime.comparison
        regimes.append({
            "name": regime.name,
            "reference": found.reference + regime.suffix,
            "labels": [found.start, found.stop],
            "higher_is_better": found.higher_is_better,
            "arms": [
                {k: _json(v) for k, v in asdict(row).items()}
                | {
                    "arm": row.arm + regime.suffix, "win_rate": _json(row.win_rate),
                    "flags": list(regime.flags(row.arm)),
                }
                for row in found.arms
            ],
            "missing": [{**m._asdict(), "arm": m.arm + regime.suffix} for m in found.missing],
            "warnings": list(found.warnings),
        })  # fmt: skip
    return {
        "schema": SCHEMA, "study": study.name, "datasets": list(study.datasets), "metric": study.metric,
        "rope": study.rope, "regimes": regimes,
    }  # fmt: skip


def _printed(regime: Regime) -> list[Table | Text]:
    found, metric = regime.comparison, regime.study.metric
    share = f", {unit(metric)}" if unit(metric) else ""
    title = " | ".join(part for part in (regime.study.name, *regime.study.datasets, regime.name) if part)
    table = Table(title=Text(title), title_justify="left", box=None, pad_edge=False, caption_justify="left")
    pools = sorted({row.pools for row in found.arms})
    budget = f"{found.start:,.0f} to {found.stop:,.0f} labels"
    shared = f"; {pools[0]} pools" if len(pools) == 1 else ""
    table.caption = Text(
        f"AUBC: {metric_name(metric)} averaged over {budget}. Difference: paired, 95 % interval; p after Holm{shared}."
    )
    table.add_column("strategy", overflow="fold")
    # A column of equal numbers takes the room that names need in 80 columns.
    for heading in (
        f"AUBC{share}",
        f"vs {found.reference}",
        "95 % interval",
        "p",
        *(["pools"] if len(pools) > 1 else []),
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for row in found.arms:
        table.add_row(
            Text(row.arm + ("†" if regime.flags(row.arm) else "")), level(row.aubc, metric),
            signed(row.difference, metric), interval(row, metric), p_value(row.p_holm),
            *([str(row.pools)] if len(pools) > 1 else []), Text(row.verdict, style=STYLES.get(row.verdict, "")),
        )  # fmt: skip
    flagged = [(row.arm, flag) for row in found.arms for flag in regime.flags(row.arm)]
    notes = [f"† {arm}: {flag}, {FLAGS.get(flag, 'see its documentation')}" for arm, flag in flagged]
    notes += [f"{', '.join(arms)}: {note}" for note, arms in notes_of(found).items()]
    if found.missing:
        count = len(found.missing)
        some = "1 run, left out with its partner" if count == 1 else f"{count} runs, left out with their partners"
        notes.append(f"Missing: {some}.")
    return [table, Text(headline(found)), *(Text(line, style="dim") for line in (*notes, *found.warnings)), Text("")]


def _json(value: object) -> object:
    """NaN and infinities are null: JSON has neither."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
