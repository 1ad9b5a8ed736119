"""What a report is made from: the tables of one study, and how its arms fall into comparable groups."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

from querist.analysis.curves import COLUMNS, require_columns
from querist.analysis.verdicts import ROPE, Comparison, compare
from querist.errors import DataError
from querist.report.maps import EmbeddingMap

PICK_COLUMNS = ("arm", "pool", "seed", "round", "rank", "id", "key")
REGIME = ("learner", "features", "initial")
"""Columns of the table of arms that have to be alike before two arms are compared."""
BASELINE = "random"

Picture = npt.NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True, eq=False)
class StudyResults:
    """The tables of one study on one data set.

    Attributes:
        name: what the study is called.
        rounds: one row per run, checkpoint and metric: arm, pool, seed, checkpoint, n_labels, metric, value (0..1).
        picks: one row per pick: arm, pool, seed, round (-1 is the initial pool), rank, id, key.
        arms: one row per arm: arm, flags (a tuple, or words separated by commas), strategy, learner, initial, features.
        metric: the primary metric, declared before the runs.
        rope: half-width of the region of equivalence.
        settings: what else to print about the study, in this order.
        pictures: uint8 images ``(h, w)`` or ``(h, w, 3)`` of items by id; only picked ids are looked up.
        captions: class names of items by id, of bought labels only.
        map: the pool in two dimensions.
        forecasts: what was forecast before, see `querist.studies.outlooks.forecast_table`.
        first_pools: scores of first pools, see `querist.report.first_pools.score_pools`.

    Raises:
        DataError: a table lacks columns, or results belong to arms that the table of arms does not list.
    """

    name: str
    rounds: pd.DataFrame
    picks: pd.DataFrame
    arms: pd.DataFrame
    metric: str
    rope: float = ROPE
    settings: Mapping[str, str] = field(default_factory=dict)
    pictures: Mapping[int, Picture] | None = None
    captions: Mapping[int, str] | None = None
    map: EmbeddingMap | None = None
    forecasts: pd.DataFrame | None = None
    first_pools: pd.DataFrame | None = None

    def __post_init__(self) -> None:
        require_columns(self.rounds, COLUMNS, "rounds")
        require_columns(self.picks, PICK_COLUMNS, "picks")
        require_columns(self.arms, ("arm",), "arms")
        if unlisted := sorted(set(self.rounds["arm"]) - set(self.arms["arm"])):
            raise DataError(f"rounds hold arms that the table of arms lacks: {', '.join(map(repr, unlisted))}.")

    @property
    def datasets(self) -> tuple[str, ...]:
        """Names of the data sets measured; one, unless the results are not comparable."""
        return tuple(dict.fromkeys(self.rounds["dataset"])) if "dataset" in self.rounds else ()

    @cached_property
    def regimes(self) -> tuple["Regime", ...]:
        """The groups of arms with the same learner, features and initial pool, in the order of the table of arms.

        Arms are compared with the random arm of their own group: against another learner's, the learner would win or
        lose, not the strategy. A study of one strategy and several initial pools compares the pools instead.
        """
        one_strategy = "strategy" in self.arms and len(set(self.arms["strategy"])) == 1
        columns = [c for c in REGIME if c in self.arms.columns and not (one_strategy and c == "initial")]
        if not columns:
            return (Regime(study=self, name="", suffix="", members=tuple(self.arms["arm"])),)
        groups = self.arms.groupby([self.arms[c].astype(str) for c in columns], sort=False)
        parts = [part for _, part in groups]
        if len(parts) == 1:
            return (Regime(study=self, name="", suffix="", members=tuple(parts[0]["arm"])),)
        named = [(*_name_of(part), tuple(part["arm"])) for part in parts]
        return tuple(Regime(study=self, name=name, suffix=suffix, members=arms) for name, suffix, arms in named)


@dataclass(frozen=True, kw_only=True, eq=False)
class Regime:
    """Arms that differ in nothing but the strategy.

    Attributes:
        study: where they come from.
        name: what distinguishes this group from the others of the study; empty if there is one group.
        suffix: what all names of its arms in the study end with; left out wherever the group is shown alone.
        members: full names of its arms.
    """

    study: StudyResults
    name: str
    suffix: str
    members: tuple[str, ...]

    @cached_property
    def arms(self) -> pd.DataFrame:
        """The rows of the table of arms, names without suffix."""
        return self._mine(self.study.arms)

    @cached_property
    def picks(self) -> pd.DataFrame:
        """The picks of these arms, names without suffix."""
        return self._mine(self.study.picks)

    @cached_property
    def forecasts(self) -> pd.DataFrame | None:
        """The forecasts of these arms, names without suffix; None if there are none."""
        return None if self.study.forecasts is None else self._mine(self.study.forecasts)

    @cached_property
    def reference(self) -> str:
        """The arm whose strategy is random, with a random initial pool if there are several; `BASELINE` if none is."""
        strategies = self.arms["strategy"] if "strategy" in self.arms else self.arms["arm"]
        initials = self.arms["initial"] if "initial" in self.arms else strategies  # noqa: SIM401 - not a mapping
        candidates = [
            (component_name(initial) != BASELINE, i, str(arm))
            for i, (arm, strategy, initial) in enumerate(zip(self.arms["arm"], strategies, initials, strict=True))
            if BASELINE in (arm, component_name(strategy))
        ]
        return min(candidates)[2] if candidates else BASELINE

    @cached_property
    def comparison(self) -> Comparison:
        """Verdicts on the arms; raises what `analysis.verdicts.compare` raises."""
        rounds = self._mine(self.study.rounds)
        return compare(rounds, self.study.metric, reference=self.reference, rope=self.study.rope)

    def flags(self, arm: str) -> tuple[str, ...]:
        """What a reader must know about an arm, sorted."""
        if "flags" not in self.arms:
            return ()
        value = self.arms.loc[self.arms["arm"] == arm, "flags"].iloc[0]
        words = value.split(",") if isinstance(value, str) else tuple(value)
        return tuple(sorted(word.strip() for word in words if word.strip()))

    def _mine(self, table: pd.DataFrame) -> pd.DataFrame:
        mine = table.loc[table["arm"].isin(self.members)]
        return mine.assign(arm=[str(arm).removesuffix(self.suffix) for arm in mine["arm"]])


def component_name(described: object) -> str:
    """Return the name of a component stored as ``random`` or as ``{"name": "random", ...}``."""
    text = str(described)
    if not text.startswith("{"):
        return text
    try:
        return str(json.loads(text).get("name", ""))
    except json.JSONDecodeError:
        return text


def _name_of(arms: pd.DataFrame) -> tuple[str, str]:
    """Name and suffix: what follows `` | `` in the names of varied arms, otherwise the settings themselves."""
    endings = {str(arm).partition(" | ")[2] for arm in arms["arm"]}
    if len(endings) == 1 and (ending := endings.pop()):
        return ending, f" | {ending}"
    first = arms.iloc[0]
    return ", ".join(f"{c} {component_name(first[c])}" for c in REGIME if c in arms.columns), ""
