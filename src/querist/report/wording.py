"""Numbers and claims as people read them. Claim sentences are made from verdicts and from nothing else."""

import math

from querist.analysis.curves import NO_SHARE
from querist.analysis.verdicts import ArmVerdict, Comparison

FLAGS = {
    "oracle": "reads hidden labels: a bound, no strategy one could use",
    "initial_oracle": "starts from a pool chosen with hidden labels",
    "one_shot": "selects afresh for every budget instead of adding to what was bought",
    "sequential": "waits for each answer before it asks again: a query of b items takes b answers in turn",
    "external": "computed outside this library",
    "initial_external": "starts from a pool that was computed outside this library",
    "external_study": "chosen by a model trained on labels of this very dataset, test labels maybe: no fair comparison",
    "initial_external_study": "starts from a pool chosen by a model trained on labels of this very dataset: not fair",
}
ABBREVIATIONS = frozenset({"nll", "ece"})
NOTHING = "–"


def metric_name(metric: str) -> str:
    """Return ``balanced accuracy`` for ``balanced_accuracy``, and ``NLL`` for ``nll``."""
    return metric.upper() if metric in ABBREVIATIONS else metric.replace("_", " ")


def factor(metric: str) -> float:
    """Return what a stored value is multiplied with to be printed: 100 for shares."""
    return 1.0 if metric in NO_SHARE else 100.0


def unit(metric: str) -> str:
    """Return the unit of a level: ``%``, or nothing."""
    return "" if metric in NO_SHARE else "%"


def level(value: float, metric: str) -> str:
    """Return a value of the metric: ``85.3``, in percent with one decimal; NLL and the like with three."""
    if not math.isfinite(value):
        return NOTHING
    return f"{value:.3f}" if metric in NO_SHARE else f"{100 * value:.1f}"


def signed(value: float, metric: str) -> str:
    """Return a difference with its sign: ``+2.1``, in points."""
    if not math.isfinite(value):
        return NOTHING
    text = f"{value:+.3f}" if metric in NO_SHARE else f"{100 * value:+.1f}"
    # A minus sign as wide as the plus; and what rounds to nothing has no sign.
    return text.replace("-", "−") if float(text) else text[1:]


def amount(value: float, metric: str) -> str:
    """Return the size of a difference with its unit: ``2.1 points``."""
    return level(abs(value), metric) + ("" if metric in NO_SHARE else " points")


def interval(row: ArmVerdict, metric: str) -> str:
    """Return ``+1.2 to +3.0``."""
    if not math.isfinite(row.lower):
        return NOTHING
    return f"{signed(row.lower, metric)} to {signed(row.upper, metric)}"


def p_value(p: float) -> str:
    """Return ``.013``, ``< .001`` or ``1``."""
    if not math.isfinite(p):
        return NOTHING
    if p < 0.001:
        return "< .001"
    return "> .999" if p > 0.999 else f"{p:.3f}"[1:]


def claim(row: ArmVerdict, comparison: Comparison, flags: tuple[str, ...] = ()) -> str:
    """Return the one sentence that the verdict on an arm supports; nothing for the reference."""
    metric, reference = comparison.metric, comparison.reference
    arm = f"{row.arm} ({', '.join(flags)})" if flags else row.arm
    size = amount(row.difference, metric)
    where = f"95 % interval {interval(row, metric)}"
    if row.verdict in ("better", "worse"):
        by = f"{size} of {metric_name(metric)}"
        return f"{arm} is {row.verdict} than {reference} by {by} ({where}; p {_p(row.p_holm)}).{_also(row)}"
    if row.verdict == "equivalent":
        region = f"±{amount(comparison.rope, metric)}"
        return f"{arm} is equivalent to {reference}: the difference lies within {region} ({where}).{_also(row)}"
    if row.verdict == "undecided":
        seen = f"{signed(row.difference, metric)} ({where})"
        return f"Whether {arm} differs from {reference} is undecided: {seen}.{_also(row)}"
    return f"No verdict on {arm}.{_also(row)}" if row.verdict == "withheld" else ""


def headline(comparison: Comparison) -> str:
    """Return the count of verdicts in one sentence: ``4 of 9 strategies are better than random, 1 is worse, ...``."""
    verdicts = [row.verdict for row in comparison.arms if row.verdict != "reference"]
    forms = {
        "better": f"better than {comparison.reference}", "worse": "worse", "equivalent": "equivalent",
        "undecided": "undecided", "withheld": "without a verdict",
    }  # fmt: skip
    parts = []
    for verdict, words in forms.items():
        count = verdicts.count(verdict)
        if count or verdict == "better":
            parts.append(f"{count or 'none'} {'are' if count > 1 else 'is'} {words}")
    total = "1 strategy" if len(verdicts) == 1 else f"{len(verdicts)} strategies"
    return f"Of {total}, {', '.join(parts)}."


def notes_of(comparison: Comparison) -> dict[str, list[str]]:
    """Return every note on a verdict with the arms that have it, best arm first."""
    notes: dict[str, list[str]] = {}
    for row in comparison.arms:
        if row.note:
            notes.setdefault(row.note, []).append(row.arm)
    return notes


def _p(p: float) -> str:
    return p_value(p) if p < 0.001 else f"= {p_value(p)}"


def _also(row: ArmVerdict) -> str:
    return f" {row.note}" if row.note else ""
