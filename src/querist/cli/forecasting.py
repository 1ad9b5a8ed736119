"""``querist forecast``: what the next labels of stored runs will bring, and whether they are worth their price."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.table import Table

from querist.analysis.forecast import BANDS, ESTIMATED, Advice, Forecast, advise, points
from querist.cli.background import in_background
from querist.cli.output import bars, emit, err, out
from querist.errors import UnmetNeedError, UsageError
from querist.progress import tell
from querist.studies.outlooks import Kept, checks_of, kept_by_name, kept_of, measured_of, stored_studies
from querist.studies.store import Store
from querist.studies.study import Study

ON_POOL = "on the pool"


@dataclass(frozen=True, kw_only=True, eq=False)
class Foreseen:
    """One run: its forecasts by checkpoint, the newest last, and the advice at each."""

    run: Kept
    checks: Sequence[tuple[int, Forecast]]
    advice: Sequence[Advice]


def forecast(
    store: Annotated[Path, typer.Argument(help="Folder of runs, as querist study run leaves it.", show_default=False)],
    study: Annotated[
        str | None,
        typer.Option(
            help="The study: its file, or its name where data and features can be had by their names. May be left out "
            "if the store has one study.",
            show_default=False,
        ),
    ] = None,
    arms: Annotated[list[str] | None, typer.Option("--arm", help="Only this arm. Repeatable.")] = None,
    run: Annotated[
        str | None, typer.Option(help="Only the run whose folder's name begins so.", show_default=False)
    ] = None,
    price: Annotated[
        float, typer.Option(help="Points of accuracy that 100 labels must bring to be worth buying.")
    ] = 1.0,
    horizon: Annotated[int, typer.Option(min=1, help="Labels to come.")] = 100,
    each: Annotated[bool, typer.Option("--each", help="Every checkpoint, not the last one alone.")] = False,
    runs: Annotated[bool, typer.Option("--runs", help="One line per run, not the mean of an arm.")] = False,
    sets: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="As given to querist study run. Repeatable.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Say what the next labels will bring, and whether to stop.

    The gain in accuracy comes with its 90 % band; the advice is to stop when two checks at least 50 labels apart
    promise less than the price. Heads are fitted again from the ledgers, on cached features; what is computed is kept
    beside the runs, and shown by `querist study report`. No label is read that was not bought, and no test label.
    """
    with bars():
        name, found, refused = in_background(lambda: _carry_out(store, study, arms, run, price, horizon, each, sets))
    for arm, reason in refused.items():
        err.print(f"No forecast for {arm}: {reason}", highlight=False, markup=False, soft_wrap=True)
    if as_json:
        settings = {"study": name, "store": str(store), "price": price, "horizon": horizon, "each": each}
        emit(
            {**settings, "constants": asdict(ESTIMATED), "refused": refused, "runs": [_described(one) for one in found]}
        )
        return
    title = f"{name}: the next {horizon} labels, at a price of {price:g} point{'s' * (price != 1)} per 100 labels"
    out.print((_table_of_runs if runs or run else _table_of_arms)(found, title, each))
    err.print(
        "gain: points of accuracy, with the 90 % band. P(≥ price): how likely the labels are worth it. "
        f"{ON_POOL}: accuracy now, roughly. The bands were checked for the learner linear(components=128) on labels "
        f"that 'adaptive' chose, from {ESTIMATED.least} labels on; elsewhere they are a guess.",
        highlight=False,
    )


def _carry_out(
    path: Path, study: str | None, arms: Sequence[str] | None, run: str | None, price: float, horizon: int, each: bool,
    sets: Sequence[str] | None,
) -> tuple[str, list[Foreseen], dict[str, str]]:  # fmt: skip
    store = Store(path)
    name, kept = _study(store, study, sets or ())
    if unknown := sorted({*(arms or ())} - {one.arm for one in kept}):
        known = ", ".join(dict.fromkeys(one.arm for one in kept))
        raise UsageError(f"--arm: {', '.join(unknown)} has no runs in study {name!r}. Arms with runs: {known}.")
    kept = [one for one in kept if (not arms or one.arm in arms) and one.digest.startswith(run or "")]
    if not kept:
        raise UsageError(f"there are no such runs of study {name!r} in {path}. Run it first: querist study run.")
    found: list[Foreseen] = []
    refused: dict[str, str] = {}
    for done, one in enumerate(kept):
        tell("forecasting runs", done, len(kept))
        if one.arm in refused:
            continue
        try:
            measured = measured_of(one, each)
        except UnmetNeedError as error:
            refused[one.arm] = str(error)
            continue
        if measured:
            checks = checks_of(measured, horizon)
            told = [advise([check for _, check in checks[: i + 1]], price) for i in range(len(checks))]
            found.append(Foreseen(run=one, checks=checks, advice=told))
    if not found:
        raise UsageError(next(iter(refused.values()), f"study {name!r} has no checkpoint with 10 labels or more."))
    return name, found, refused


def _study(store: Store, study: str | None, sets: Sequence[str]) -> tuple[str, list[Kept]]:
    """The name of a study and its runs."""
    if study is not None and study.endswith(".toml"):
        opened = Study.read(study, store, sets=sets)
        return opened.name, kept_of(opened.plan, store)
    if sets:
        raise UsageError("--set changes the settings of a file: give it with --study FILE.toml.")
    if study is None:
        known = stored_studies(store)
        if len(known) != 1:
            if not known:
                raise UsageError(
                    f"there is no study in {store.path}. Run one first: querist study run FILE --store DIR."
                )
            raise UsageError(f"there are {len(known)} studies in {store.path}: {', '.join(known)}. Name one: --study.")
        study = known[0]
    return study, kept_by_name(store, study)


def _described(one: Foreseen) -> dict[str, Any]:
    last = one.advice[-1]
    used = [check.n for check in (last.before, last.last) if check is not None]
    return {
        "arm": one.run.arm, "pool": one.run.pool, "seed": one.run.seed, "run": one.run.digest,
        "checks": [_check(number, told) for (number, _), told in zip(one.checks, one.advice, strict=True)],
        "advice": {"stop": last.stop, "text": last.text, "checks": used},
    }  # fmt: skip


def _check(number: int, told: Advice) -> dict[str, Any]:
    check = told.last
    return {
        "checkpoint": number, "labels": check.n, "horizon": check.horizon, "gain": check.gain,
        "half_widths": {f"{band:.0%}": half for band, half in zip(BANDS, check.halves, strict=True)},
        "p_worth_it": told.p_worth_it, "check_before": told.before and told.before.n, "stop": told.stop,
        "audits": check.audits, "band_was_checked": check.checked,
        "on_the_pool": {"level": check.level, "half_width_90%": check.level_half},
    }  # fmt: skip


def _table_of_runs(found: Sequence[Foreseen], title: str, each: bool) -> Table:
    table = _empty(title, "arm", "pool", "labels", "gain", "P(≥ price)", "check before", "advice", ON_POOL)
    for one in found:
        for told in one.advice if each else one.advice[-1:]:
            before = "–" if told.before is None else f"{points(told.before.gain, signed=True)} at {told.before.n:,}"
            table.add_row(
                one.run.arm, str(one.run.pool), f"{told.last.n:,}", _band(told.last),
                f"{told.p_worth_it:.0%}", before, "stop" if told.stop else "go on", _level(told.last),
            )  # fmt: skip
    return table


def _table_of_arms(found: Sequence[Foreseen], title: str, each: bool) -> Table:
    """Means over the runs of an arm at the same number of labels."""
    table = _empty(title, "arm", "runs", "labels", "gain", "P(≥ price)", "say stop", ON_POOL)
    for (arm, n), told in _by_labels(found, each):
        gain, half = (float(np.mean([getattr(one.last, part) for one in told])) for part in ("gain", "half"))
        level, wide = (float(np.mean([getattr(one.last, part) for one in told])) for part in ("level", "level_half"))
        table.add_row(
            arm, str(len(told)), f"{n:,}", f"{points(gain, signed=True)} ± {points(half)}",
            f"{np.mean([one.p_worth_it for one in told]):.0%}", f"{sum(one.stop for one in told)} of {len(told)}",
            f"{100 * level:.0f} % ± {100 * wide:.0f}",
        )  # fmt: skip
    return table


def _by_labels(found: Sequence[Foreseen], each: bool) -> Iterator[tuple[tuple[str, int], list[Advice]]]:
    order = list(dict.fromkeys(one.run.arm for one in found))
    told = [(one.run.arm, a.last.n, a) for one in found for a in (one.advice if each else one.advice[-1:])]
    told.sort(key=lambda entry: (order.index(entry[0]), entry[1]))
    for key, group in groupby(told, key=lambda entry: entry[:2]):
        yield key, [advice for _, _, advice in group]


def _empty(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, justify="left" if column in ("arm", "advice") else "right")
    return table


def _band(check: Forecast) -> str:
    return f"{points(check.gain, signed=True)} ± {points(check.half)}"


def _level(check: Forecast) -> str:
    return f"{100 * check.level:.0f} % ± {100 * check.level_half:.0f}"
