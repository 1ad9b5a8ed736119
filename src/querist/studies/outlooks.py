"""Forecasts of stored runs: measured by a replay of their ledgers, and kept beside them, apart from every record."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

import pandas as pd

from querist.analysis.forecast import APART, ESTIMATED, Constants, Forecast, Measured, advise, forecast
from querist.errors import UsageError
from querist.labels.book import Book
from querist.labels.ledger import JsonlLedger
from querist.learners.base import Learner, learners
from querist.progress import tell
from querist.registry import digest
from querist.seeds import Seed
from querist.session.outlook import LEAST, Standing, outlook, standings
from querist.session.refit import at_rest
from querist.session.setting import Setting
from querist.studies.plan import StudyPlan
from querist.studies.rebuilding import SETTING, setting_again
from querist.studies.store import RunFolder, Store, write_json

REVISION = 1
"""Raised when the same run would be measured otherwise; what was measured before is then measured again."""
FILE = "outlook.json"
COLUMNS = (
    "arm", "pool", "seed", "checkpoint", "n_labels", "horizon", "gain", "half", "p_worth_it", "n_before", "stop",
    "level", "level_half",
)  # fmt: skip


class Kept(NamedTuple):
    """A run on record, and what is needed to fit its heads again."""

    arm: str
    pool: int
    seed: int
    folder: RunFolder
    setting: Setting
    learner: Learner
    address: Seed

    @property
    def digest(self) -> str:
        """Identity of the run: the name of its folder."""
        return self.folder.path.name


def kept_of(plan: StudyPlan, store: Store) -> list[Kept]:
    """Return the runs of a plan that have a ledger."""
    found = [
        Kept(run.arm.name, run.pool, run.seed, store.run(run), run.arm.setting, run.arm.learner, run.address)
        for run in plan.runs
    ]  # fmt: skip
    return [run for run in found if (run.folder.path / "ledger.jsonl").exists()]


def kept_by_name(store: Store, name: str) -> list[Kept]:
    """Return the runs of a stored study, sorted by arm and pool, built again from what the store says of them.

    Raises:
        UsageError: no such study, or its data or features cannot be had by their names alone; give its file then.
    """
    try:
        arms = json.loads((store.study(name) / "study.json").read_bytes())["arms"]
    except FileNotFoundError:
        known = ", ".join(stored_studies(store)) or "none"
        raise UsageError(f"there is no study {name!r} in {store.path}. Studies there: {known}.") from None
    names = {digest(spec): arm for arm, spec in arms.items()}
    settings: dict[str, Setting] = {}
    found: list[Kept] = []
    for path in sorted(store.path.glob("runs/*/spec.json")):
        spec = json.loads(path.read_bytes())
        arm = names.get(digest({k: v for k, v in spec.items() if k not in ("pool", "seed", "fork")}))
        if arm is None or spec.get("fork") not in (None, name) or not (path.parent / "ledger.jsonl").exists():
            continue
        key = digest([spec[part] for part in SETTING])
        if key not in settings:
            advice = f"Give the file of the study, which says how to get it: --study {name}.toml."
            settings[key] = setting_again(spec, store.cache, advice=advice)
        setting = settings[key]
        address = Seed(spec["entropy"]).child(setting.dataset.name, "pool", spec["pool"])
        learner = learners.build(spec["learner"], f"study {name}")
        found.append(Kept(arm, spec["pool"], spec["seed"], RunFolder(path.parent), setting, learner, address))
    return sorted(found, key=lambda run: (run.arm, run.pool, run.seed, run.digest))


def stored_studies(store: Store) -> list[str]:
    """Return the names of the studies in a store, sorted."""
    return sorted(path.parent.name for path in store.path.glob("studies/*/study.json"))


def measured_of(run: Kept, each: bool = False) -> list[tuple[int, Measured]]:
    """Return checkpoints of a run with what their forecasts are made from; what is not kept yet is measured and kept.

    Args:
        run: on record.
        each: every checkpoint with at least 10 labels; otherwise the last, and the one its advice looks back to.

    Raises:
        UnmetNeedError: the learner of the run trains a backbone, or gives no probabilities.
    """
    ledger = JsonlLedger(run.folder.path / "ledger.jsonl")
    found, tuning = standings(ledger, run.setting.dataset.pool), Book.replay(ledger).tuning
    usable = [standing for standing in found if len(standing.labelled) >= LEAST and len(standing.candidates)]
    kept = measured_before(run)
    missing = [standing for standing in (usable if each else _last_two(usable)) if standing.checkpoint not in kept]
    for done, standing in enumerate(missing):
        tell("fitting heads again", done, len(missing))
        learner = at_rest(run.learner, tuning, standing.checkpoint)
        kept[standing.checkpoint] = outlook(run.setting, learner, standing, run.address, run.seed)
    if missing:
        tell("fitting heads again", len(missing), len(missing))
        checkpoints = {str(number): asdict(kept[number]) for number in sorted(kept)}
        write_json(run.folder.path / FILE, {"schema": 1, "revision": REVISION, "checkpoints": checkpoints})
    return sorted(kept.items())


def measured_before(run: Kept) -> dict[int, Measured]:
    """Return what is kept of a run by checkpoint; nothing if it was never asked for, or by another revision."""
    try:
        stored = json.loads((run.folder.path / FILE).read_bytes())
    except FileNotFoundError:
        return {}
    if stored.get("revision") != REVISION:
        return {}
    return {int(number): Measured(**values) for number, values in stored["checkpoints"].items()}


def checks_of(
    measured: Iterable[tuple[int, Measured]], horizon: int = 100, constants: Constants = ESTIMATED
) -> list[tuple[int, Forecast]]:
    """Return the forecast of every checkpoint."""
    return [(number, forecast(values, horizon, constants)) for number, values in measured]


def forecast_table(runs: Iterable[Kept], price: float = 1.0, horizon: int = 100) -> pd.DataFrame:
    """Return one row per run and checkpoint that was forecast before; shares (0..1), no head is fitted.

    ``n_before`` is where the check before it stands, 0 if there is none, and then there is no advice to stop.

    Args:
        runs: on record.
        price: points per 100 labels, of the advice.
        horizon: labels to come.
    """
    rows: list[tuple[Any, ...]] = []
    for run in runs:
        checks = checks_of(sorted(measured_before(run).items()), horizon)
        for place, (number, check) in enumerate(checks):
            advice = advise([earlier for _, earlier in checks[: place + 1]], price)
            rows.append((
                run.arm, run.pool, run.seed, number, check.n, check.horizon, check.gain, check.half,
                advice.p_worth_it, advice.before.n if advice.before else 0, advice.stop, check.level, check.level_half,
            ))  # fmt: skip
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _last_two(usable: Sequence[Standing]) -> list[Standing]:
    if not usable:
        return []
    *earlier, last = usable
    before = [standing for standing in earlier if len(standing.labelled) <= len(last.labelled) - APART]
    return [*before[-1:], last]
