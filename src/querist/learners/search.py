"""A search for settings: trials in order, pruned by successive halving, each on record as soon as it is finished."""

import json
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from querist.errors import FitError
from querist.evidence.provider import Model
from querist.files import remove_leftovers, write_bytes
from querist.learners.spaces import Space
from querist.progress import record, tell
from querist.seeds import Seed

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler

Settings = Mapping[str, Any]


class Judged(NamedTuple):
    """What settings are worth."""

    accuracy: float
    loss: float
    """Mean negative log-likelihood, in nats; it decides between equal accuracies."""
    model: Model | None
    """The model that was judged; after the full training it is the one a fit with these settings would return."""


class Outcome(NamedTuple):
    """A finished trial at one level of training; accuracy and loss are None if its fit failed."""

    settings: dict[str, Any]
    accuracy: float | None
    loss: float | None

    def rank(self, trial: int) -> tuple[bool, float, float, int]:
        """Return what trials are sorted by, best first: accuracy, then lower loss, then the number of the trial."""
        return self.accuracy is None, -(self.accuracy or 0.0), self.loss or 0.0, trial


class Best(NamedTuple):
    """How a search ended."""

    outcome: Outcome
    model: Model | None
    """The model of the best trial, if it was judged in this process and is what a fit would return."""
    judged: tuple[tuple[Settings, float], ...]
    """Settings and share of training of every fit that was judged, in order."""


@dataclass(frozen=True, kw_only=True)
class Search:
    """Successive halving: all trials at the first level, the best of them at the next, the last at full training.

    Levels are closed one after the other, so which trials go on depends on their outcomes alone, not on which of them
    was finished first (Jamieson & Talwalkar, AISTATS 2016). Trial t draws its settings from ``(seed, t)``; ``tpe``
    looks at the outcomes of the earlier trials too, at the first level, which all trials reach.

    Attributes:
        space: what is searched.
        sampler: ``random``, or ``tpe`` (Bergstra et al., NeurIPS 2011).
        trials: how many settings are tried.
        levels: shares of the full training at which trials are pruned, ascending, below 1.
        reduction: of so many trials one goes on to the next level.
    """

    space: Space
    sampler: Literal["random", "tpe"]
    trials: int
    levels: tuple[float, ...]
    reduction: int

    def run(
        self, judge: Callable[[Settings, float, Path | None], Judged], seed: Seed, folder: Path | None = None
    ) -> Best:
        """Return the best settings.

        Args:
            judge: settings, a share of the training and a folder for the fit, to what they are worth.
            seed: of the settings that are tried.
            folder: where finished trials are kept; an interrupted search goes on from there.

        Raises:
            FitError: no trial that reached a level could be fitted.
        """
        known, ideas = Record(folder), Ideas(self, seed)
        alive, levels = list(range(self.trials)), (*self.levels, 1.0)
        total, done = sum(self._survivors(k) for k in range(len(levels))), 0
        tried: dict[int, Settings] = {}
        judged: list[tuple[Settings, float]] = []
        best: tuple[tuple[bool, float, float, int], Model | None] | None = None
        order, outcomes = alive, dict[int, Outcome]()
        for k, share in enumerate(levels):
            outcomes.clear()
            for trial in alive:
                tell("tuning", done, total)
                found, model = known.read(trial, k), None
                if found is None:
                    settings = dict(tried[trial] if k else ideas.next(trial))
                    found, model = _tried(judge, settings, share, known.room(trial, k))
                    known.write(trial, k, found)
                    _report(trial, share, found)
                if k == 0:
                    ideas.tell(found)
                    tried[trial] = found.settings
                judged.append((found.settings, share))
                outcomes[trial] = found
                if share == 1.0 and (best is None or found.rank(trial) < best[0]):
                    best = found.rank(trial), model
                done += 1
            order = sorted(alive, key=lambda trial: outcomes[trial].rank(trial))
            if outcomes[order[0]].accuracy is None:
                raise FitError(
                    f"none of the {len(alive)} trials at {share:.3g} of the training could be fitted, the settings "
                    f"tried last being {outcomes[alive[-1]].settings}. Lower the range of lr, for example."
                )
            alive = sorted(order[: self._survivors(k + 1)])
        tell("tuning", total, total)
        return Best(outcomes[order[0]], None if best is None else best[1], tuple(judged))

    def _survivors(self, level: int) -> int:
        return max(1, self.trials // self.reduction**level)


class Record:
    """Outcomes on disk: a file for each, there whole or not at all, so a kill loses the trial it interrupts at most.

    Args:
        folder: None keeps nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        if folder is not None and folder.exists():
            remove_leftovers(folder)

    def read(self, trial: int, level: int) -> Outcome | None:
        """Return an outcome; None if it is not there or cannot be read, for then the trial is made again."""
        if self._folder is None:
            return None
        try:
            return Outcome(**json.loads(self._path(trial, level).read_bytes()))
        except (OSError, ValueError, TypeError):
            return None

    def write(self, trial: int, level: int, outcome: Outcome) -> None:
        """Keep an outcome, and forget how far its fit was."""
        if self._folder is not None:
            write_bytes(self._path(trial, level), json.dumps(outcome._asdict(), allow_nan=False).encode())
            shutil.rmtree(self._path(trial, level).with_suffix(""), ignore_errors=True)

    def room(self, trial: int, level: int) -> Path | None:
        """Return where the fit of a trial may keep its progress."""
        return None if self._folder is None else self._path(trial, level).with_suffix("")

    def _path(self, trial: int, level: int) -> Path:
        assert self._folder is not None
        return self._folder / f"trial-{trial:04d}-{level}.json"


class Ideas:
    """Which settings to try next, as a sampler of Optuna suggests them."""

    def __init__(self, search: Search, seed: Seed) -> None:
        self._search, self._seed, self._told = search, seed, list[Outcome]()

    def next(self, trial: int) -> dict[str, Any]:
        """Return the settings of a trial, which follow from the seed, its number and what was told before."""
        with quiet() as optuna:
            # Study and sampler are new for every trial, so that it makes no difference whether the earlier outcomes
            # came a moment ago or from before a kill.
            axes = {name: _axis(entry) for name, entry in self._search.space.items()}
            study = optuna.create_study(study_name="tuning", direction="maximize", sampler=self._sampler(trial))
            states = optuna.trial.TrialState
            for settings, accuracy, _ in self._told if self._search.sampler != "random" else ():
                state = states.FAIL if accuracy is None else states.COMPLETE
                study.add_trial(optuna.create_trial(params=settings, distributions=axes, value=accuracy, state=state))
            return study.ask(axes).params

    def tell(self, outcome: Outcome) -> None:
        """Take the outcome of the next trial, made now or before a kill."""
        self._told.append(outcome)

    def _sampler(self, trial: int) -> "BaseSampler":
        from optuna.samplers import RandomSampler, TPESampler

        seed = self._seed.child("trial", trial).integer()
        if self._search.sampler == "random":
            return RandomSampler(seed=seed)
        return TPESampler(seed=seed, n_startup_trials=max(4, self._search.trials // 4), multivariate=False)


@contextmanager
def quiet() -> Iterator[Any]:
    """Within the block, Optuna prints and warns nothing; yields the module."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="optuna")
            yield optuna
    finally:
        optuna.logging.set_verbosity(before)


def _axis(entry: Any) -> "BaseDistribution":
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(entry, tuple):
        return CategoricalDistribution(entry)
    kind = FloatDistribution if isinstance(entry["low"], float) else IntDistribution
    return kind(entry["low"], entry["high"], log=entry["log"])


def _tried(
    judge: Callable[[Settings, float, Path | None], Judged], settings: dict[str, Any], share: float, room: Path | None
) -> tuple[Outcome, Model | None]:
    try:
        accuracy, loss, model = judge(settings, share, room)
    except FitError:  # a rate at which training diverges is a finding, and not the end of the search
        return Outcome(settings, None, None), None
    return Outcome(settings, accuracy, loss), model


def _report(trial: int, share: float, outcome: Outcome) -> None:
    measured = {"accuracy": outcome.accuracy, "loss": outcome.loss, **outcome.settings}
    record("trial", trial=trial, share=share, **{k: v for k, v in measured.items() if v is not None})
