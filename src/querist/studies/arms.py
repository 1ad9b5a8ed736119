"""The arms of a study: every combination of strategy and grid, built and named."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from querist.data.dataset import Dataset
from querist.encoders.base import Encoder, encoders
from querist.errors import SpecError
from querist.files import require_file
from querist.learners.base import Learner, learners
from querist.registry import describe, digest
from querist.session.setting import Setting
from querist.strategies.base import Strategy, strategies
from querist.strategies.composition import flags_of, identity_of, resolved
from querist.studies.spec import BudgetTable, Component, GridTable, StudySpec, collect

ONE_SHOT = "one_shot"
FILES = {"path", "weights"}
"""Settings of encoders that name a file."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Arm:
    """One line of a comparison.

    Attributes:
        name: what the report calls it.
        counts: training labels at each checkpoint.
        following: those that follow the first, where the budget tells even if this study ends there.
    """

    name: str
    setting: Setting
    learner: Learner
    strategy: Strategy
    initial: Strategy
    counts: tuple[int, ...]
    following: int | None

    @property
    def flags(self) -> frozenset[str]:
        """What a reader must know about this arm."""
        return flags_of(self.strategy) | {f"initial_{flag}" for flag in flags_of(self.initial)}

    @property
    def one_shot(self) -> bool:
        """Whether every checkpoint is a selection of its own, from an unlabelled pool."""
        return ONE_SHOT in flags_of(self.strategy)

    @property
    def spec(self) -> dict[str, object]:
        """The full resolved configuration, as JSON values."""
        return {
            **self.setting.spec,
            "learner": self.learner.identity(),
            "strategy": identity_of(self.strategy),
            "initial": identity_of(self.initial),
        }


def build_arms(spec: StudySpec, dataset: Dataset | None, options: Mapping[str, Any]) -> tuple[list[Arm], list[str]]:
    """Return the arms that can be built, and one sentence per mistake in the others.

    Args:
        spec: the study.
        dataset: None if it could not be built; then components are only checked.
        options: of the feature store.
    """
    grid = {name: choices for name, choices in spec.grid if choices}
    choices = {name: grid.get(name, [getattr(spec.study, name)]) for name in GridTable.model_fields}
    settings: dict[str, Setting] = {}
    # Once per choice and not per arm: to learn that weights cannot be downloaded may take seconds.
    encoded = [
        collect(("study.features", lambda s=features: _setting(settings, dataset, s, spec, options)))
        for features in choices["features"]
    ]
    arms: list[Arm] = []
    mistakes: list[str] = []
    for learner_spec, (found, missing), initial_spec in product(choices["learner"], encoded, choices["initial"]):
        for i, strategy_spec in enumerate(spec.study.strategy):
            where = f"study.strategy[{i}]" if len(spec.study.strategy) > 1 else "study.strategy"
            built, wrong = collect(
                ("study.learner", lambda s=learner_spec: learners.build(s, "study.learner")),
                (where, lambda s=strategy_spec, w=where: _strategy(s, w)),
                ("study.initial", lambda s=initial_spec: _initial(s, spec, dataset)),
            )
            wrong += missing
            mistakes += [mistake for mistake in wrong if mistake not in mistakes]
            if wrong or dataset is None:
                continue
            (learner, strategy, (initial, (counts, following))), (setting,) = built, found
            strategy = resolved(strategy, learner.trains_backbone)
            words = {
                "learner": _word(learner_spec),
                "features": _encoder_word(setting.encoder),
                "initial": _word(initial_spec),
            }
            name = " | ".join([compact(describe(strategy), strategy), *(f"{k}={words[k]}" for k in words if k in grid)])
            arms.append(
                Arm(
                    name=name, setting=setting, learner=learner, strategy=strategy, initial=initial,
                    counts=counts, following=following,
                )
            )  # fmt: skip
    return arms, mistakes


def _schedule(budget: BudgetTable, c: int, size: int | None) -> tuple[tuple[int, ...], int | None]:
    """Return the training labels at each checkpoint, and those after the first one if the budget tells.

    Args:
        budget: as the study says it.
        c: number of classes.
        size: of the initial pool; by default the first count, or one step.
    """
    if counts := budget.counts:
        if size not in (None, counts[0]):
            raise SpecError(
                f"study.initial: a size of {size} disagrees with budget.counts, which starts at {counts[0]}."
            )
        return tuple(counts), counts[1] if len(counts) > 1 else None
    step = budget.step or (budget.per_class or 0) * c
    start = size or step
    return tuple(start + t * step for t in range((budget.rounds or 0) + 1)), start + step


def _setting(
    settings: dict[str, Setting],
    dataset: Dataset | None,
    features: Component,
    spec: StudySpec,
    options: Mapping[str, Any],
) -> Setting | None:
    encoder_spec = features if isinstance(features, str) or "name" in features else _encoder_table(features)
    encoder = encoders.build(encoder_spec, "study.features")
    encoder.identity()  # whoever runs the study asks for it too: weights that cannot be had are a mistake of the study
    if dataset is None:
        return None
    encoder.require_items(dataset)
    key = digest(describe(encoder))
    return settings.setdefault(key, Setting(dataset, encoder, seed=spec.study.seed, **options))


def _encoder_table(features: Mapping[str, Any]) -> dict[str, Any]:
    """``{ encoder = "pixels", pca = 64 }`` says the encoder under its own key."""
    if "encoder" not in features:
        raise SpecError(
            "study.features: expected a table with 'encoder', for example { encoder = \"pixels\", pca = 64 }."
        )
    return {"name": features["encoder"], **{k: v for k, v in features.items() if k != "encoder"}}


def _initial(
    initial: Component, spec: StudySpec, dataset: Dataset | None
) -> tuple[Strategy, tuple[tuple[int, ...], int | None]]:
    """Return the strategy of ``{ strategy = "random", size = 10 }``, or of a strategy alone, and the schedule."""
    sized = dict(initial) if isinstance(initial, dict) and "strategy" in initial else {"strategy": initial}
    strategy = resolved(_strategy(sized.pop("strategy"), "study.initial"), trains_backbone=False)
    size, per_class = (_count(name, sized.pop(name, None)) for name in ("size", "per_class"))
    if sized:
        raise SpecError(f"study.initial: unknown keys {', '.join(sized)}. Known: strategy, size, per_class.")
    if size is not None and per_class is not None:
        raise SpecError("study.initial: give size or per_class, not both.")
    if dataset is None:
        return strategy, ((), None)
    return strategy, _schedule(spec.budget, dataset.c, size or (per_class or 0) * dataset.c or None)


def _strategy(strategy: Component, where: str) -> Strategy:
    """Return a strategy whose files, if it has any, are there: one that is missing is a mistake of the study."""
    built = strategies.build(strategy, where)
    identity_of(built)
    return built


def _count(name: str, value: object) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
        return value
    raise SpecError(f"study.initial: expected a {name} of at least 1, got {value!r}.")


def compact(described: Mapping[str, Any], component: Strategy | Encoder) -> str:
    """Return a component as a composition that leaves defaults out: ``stochastic(margin, beta=2.0)``."""
    parts: list[str] = []
    for key, value in described.items():
        default, nested = getattr(type(component), key, None), getattr(component, key, None)
        if key in ("name", "revision", "space") or value == default or (nested is not None and nested == default):
            continue
        if isinstance(nested, Strategy):
            parts.append(compact(value, nested))
            continue
        # A file has its name, for its place is a machine's own.
        word = Path(value).stem if isinstance(component, Strategy) and key in component.files else value
        if isinstance(nested, tuple) and isinstance(value, list):
            # In round brackets, for square ones are markup to a terminal; a composition is read with either.
            pairs = zip(value, nested, strict=True)
            words = [compact(v, part) if isinstance(part, Strategy) else str(v) for v, part in pairs]
            word = f"({', '.join(words)}{',' * (len(words) == 1)})"
        parts.append(f"{key}={word}")
    return f"{described['name']}({', '.join(parts)})" if parts else str(described["name"])


def _encoder_word(encoder: Encoder) -> str:
    """Return an encoder as a composition in which a file of weights has its name, for its place is a machine's own."""
    described = describe(encoder)
    for setting in FILES & described.keys():
        if isinstance(path := described[setting], str):
            described[setting] = require_file(path, f"encoder {described['name']}", "a file of weights").stem
    return compact(described, encoder)


def _word(value: Component) -> str:
    if isinstance(value, str):
        return value
    name = value.get("name") or value.get("encoder") or _word(value.get("strategy", ""))
    rest = ", ".join(f"{k}={v}" for k, v in value.items() if k not in ("name", "encoder", "strategy"))
    return f"{name}({rest})" if rest else str(name)
