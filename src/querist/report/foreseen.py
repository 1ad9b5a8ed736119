"""What the next labels were forecast to bring, by strategy and number of labels, where somebody asked for it."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from querist.analysis.forecast import points
from querist.report.markup import Html, table, tag
from querist.report.results import Regime
from querist.report.wording import NOTHING

PRICE = 1.0
"""Points per 100 labels that the advice on the page assumes."""


def foreseen(regime: Regime, prefix: str) -> Html:
    """Return the forecasts of a group of arms as a table of means over runs; nothing if none were computed.

    Args:
        regime: the arms.
        prefix: what the names of elements begin with, so that groups on one page do not collide.
    """
    found = regime.forecasts
    if found is None:
        return Html("")
    heads = [
        ("Strategy", "text"), ("Labels", ""), ("Runs", ""), ("Gain, points", ""), ("P(gain ≥ price)", ""),
        ("Say stop", ""), ("Right, on the pool", ""),
    ]  # fmt: skip
    order = [row.arm for row in regime.comparison.arms]
    groups: dict[tuple[str, int], list[dict[Hashable, Any]]] = {}
    for row in found.to_dict("records"):
        if row["arm"] in order:
            groups.setdefault((row["arm"], row["n_labels"]), []).append(row)
    if not groups:
        return Html("")
    keys = sorted(groups, key=lambda key: (order.index(key[0]), key[1]))
    rows: list[tuple[str, list[object]]] = [("", _cells(*key, groups[key])) for key in keys]
    words = (
        "What the next labels would bring, as it could be told at the time from labels that were bought and nothing "
        "else: the gain in accuracy with its 90 % band, means over runs. The advice is to stop when two checks at "
        f"least 50 labels apart promise less than a price of {PRICE:g} point per 100 labels; 'querist forecast' "
        "takes another price. The level on the pool is far harder to tell than the gain, as its band says."
    )
    horizon = max(row["horizon"] for part in groups.values() for row in part)
    return tag(
        "section", None, tag("h2", {"id": f"{prefix}forecasts"}, "Was it worth going on?"),
        tag("p", {"class": "small"}, words),
        tag(
            "details", None, tag("summary", None, f"Forecasts for the next {horizon} labels"),
            table(f"Forecasts for the next {horizon} labels", heads, rows),
        ),
    )  # fmt: skip


def _cells(arm: str, n: int, part: Sequence[Mapping[Hashable, Any]]) -> list[object]:
    columns = ("gain", "half", "p_worth_it", "level", "level_half")
    gain, half, p, level, wide = (sum(row[column] for row in part) / len(part) for column in columns)
    advised = [row["stop"] for row in part if row["n_before"]]
    return [
        arm, f"{n:,}", len(part), f"{points(gain, signed=True)} ± {points(half)}", f"{100 * p:.0f} %",
        f"{sum(advised)} of {len(advised)}" if advised else NOTHING, f"{100 * level:.0f} % ± {100 * wide:.0f}",
    ]  # fmt: skip
