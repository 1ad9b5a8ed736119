"""From a study to its runs: everything checked before anything runs, and the identity of every single run."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from typing import Any

from querist.data.dataset import Dataset, datasets
from querist.errors import StudyError
from querist.labels.book import Book
from querist.labels.noise import Noise, NoisyOracle
from querist.labels.oracle import Oracle, require_labelled
from querist.registry import digest
from querist.seeds import Seed
from querist.session.desk import Desk
from querist.session.machine import COLD, foresee
from querist.session.metrics import metrics_of
from querist.studies.arms import Arm, build_arms
from querist.studies.spec import StudySpec, collect


@dataclass(frozen=True, kw_only=True, eq=False)
class Run:
    """One loop of one arm: the unit that is stored, resumed and never done twice.

    Attributes:
        first: checkpoint number of ``counts[0]``; above 0 only for one-shot arms.
        counts: training labels at each of its checkpoints.
        noise: how often answers are wrong; None if never.
    """

    arm: Arm
    pool: int
    seed: int
    entropy: int
    validation: int
    first: int
    counts: tuple[int, ...]
    fork: str | None = None
    noise: Noise | None = None

    @cached_property
    def spec(self) -> dict[str, Any]:
        """Everything a pick depends on. The number of rounds is not: a longer study continues a shorter one."""
        following = None if self.arm.one_shot else self.arm.following
        start = {"start": self.counts[0]} | ({"next": following} if following else {})
        more: dict[str, Any] = {"fork": self.fork} if self.fork else {}
        if self.noise is not None:
            more["oracle"] = self.noise.identity(self.arm.setting.dataset.classes)
        return {
            **self.arm.spec, "budget": start, "validation": self.validation,
            "entropy": self.entropy, "pool": self.pool, "seed": self.seed, **more,
        }  # fmt: skip

    @cached_property
    def digest(self) -> str:
        """Identity of the run."""
        return digest(self.spec)

    @property
    def address(self) -> Seed:
        """Where its randomness comes from; the same for every arm, so arms are paired."""
        return Seed(self.entropy).child(self.arm.setting.dataset.name, "pool", self.pool)

    @property
    def reference(self) -> "Run | None":
        """The run whose settings this one takes over: the same with training seed 0; None if it finds its own."""
        return replace(self, seed=0) if self.seed and self.arm.learner.reuses else None

    def oracle(self, truth: Oracle) -> Oracle:
        """Return who answers this run: the one who knows, or an annotator who errs.

        Errors have the pool in their address and neither arm nor training seed, so every arm of a pool hears the same.
        """
        if self.noise is None:
            return truth
        return NoisyOracle(truth, self.noise, self.arm.setting.dataset.classes, self.address.child("oracle"))


@dataclass(frozen=True, eq=False)
class StudyPlan:
    """A validated study: every run it consists of.

    Attributes:
        spec: the file.
        arms: in the order of the file.
        runs: in the order they are started: all arms of the first pool, then of the second, and so on.
    """

    spec: StudySpec
    arms: tuple[Arm, ...]
    runs: tuple[Run, ...]


def plan_study(spec: StudySpec, *, source: str = "study", fork: str | None = None, **options: Any) -> StudyPlan:
    """Return the plan of a study. Builds and checks everything, trains nothing.

    Args:
        spec: the study.
        source: what an error message calls it.
        fork: a name that makes all runs new ones.
        options: of the feature store, ``cache`` and ``progress``.

    Raises:
        StudyError: every mistake, together.
    """
    arms, mistakes = _checked(spec, options)
    if mistakes:
        raise StudyError(source, mistakes)
    runs = tuple(
        run
        for pool, seed, arm in product(range(spec.study.pools), range(spec.study.seeds), arms)
        for run in _runs(spec, arm, pool, seed, fork)
    )
    return StudyPlan(spec, tuple(arms), runs)


def impossible(spec: StudySpec) -> list[str]:
    """Return one sentence per mistake in what a study asks for, none if it can be run."""
    return _checked(spec, {})[1]


def _checked(spec: StudySpec, options: Mapping[str, Any]) -> tuple[list[Arm], list[str]]:
    found, mistakes = collect(("study.dataset", lambda: _dataset(spec)))
    arms, more = build_arms(spec, found[0] if found else None, options)
    if found and spec.study.metric not in (known := metrics_of(found[0].c)):
        more.append(
            f"study.metric: {spec.study.metric!r} needs more than 5 classes, {found[0].name!r} has {found[0].c}; "
            f"take one of {', '.join(known)}"
        )
    noise = spec.oracle.model
    if found and noise is not None:
        more += collect(("oracle", lambda: noise.confusion(found[0].classes)))[1]
    return arms, [*mistakes, *more, *_impossible(spec, arms)]


def _dataset(spec: StudySpec) -> Dataset:
    dataset = datasets.build(spec.study.dataset, "study.dataset")
    require_labelled(dataset.pool, dataset.labels.known[dataset.pool])
    return dataset


def _runs(spec: StudySpec, arm: Arm, pool: int, seed: int, fork: str | None) -> list[Run]:
    parts = [(0, arm.counts)] if not arm.one_shot else [(t, (n,)) for t, n in enumerate(arm.counts)]
    return [
        Run(
            arm=arm, pool=pool, seed=seed, entropy=spec.study.seed, validation=spec.validation.size,
            first=first, counts=counts, fork=fork, noise=spec.oracle.model,
        )
        for first, counts in parts
    ]  # fmt: skip


def _impossible(spec: StudySpec, arms: list[Arm]) -> list[str]:
    """What each arm could not do, found before anything is trained."""
    mistakes: list[str] = []
    names: set[str] = set()
    specs: dict[str, str] = {}
    for arm in arms:
        desk = Desk(arm.setting, arm.learner, Book(), validation=spec.validation.size > 0)
        start = arm.strategy if arm.one_shot else arm.initial
        _, wrong = collect(
            (arm.name, lambda d=desk, a=arm: d.plan(a.strategy, COLD) if a.one_shot else foresee(d, a.strategy)),
            ("study.initial", lambda d=desk, s=start: d.plan(s, COLD)),
            (arm.name, lambda d=desk, a=arm: d.require_items(a.strategy, a.initial)),
        )
        pool = len(arm.setting.dataset.pool)
        if arm.counts[-1] + spec.validation.size > pool:
            wrong.append(
                f"budget: {arm.counts[-1]} labels and a validation set of {spec.validation.size} "
                f"do not fit the pool of {pool} items; lower rounds, step or counts"
            )
        if not len(arm.setting.dataset.test):
            wrong.append(f"study.dataset: {arm.setting.dataset.name!r} has no test split, so nothing can be compared")
        twin = specs.setdefault(digest([arm.spec, list(arm.counts)]), arm.name)
        if arm.name in names:
            wrong.append(f"study.strategy: {arm.name!r} occurs twice; the same arm twice is often a silent error")
        elif twin != arm.name:
            wrong.append(f"grid: {arm.name!r} is the same as {twin!r}; the same arm twice is often a silent error")
        names.add(arm.name)
        mistakes += [mistake for mistake in wrong if mistake not in mistakes]
    return mistakes
