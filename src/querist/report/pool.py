"""What can be said of a pool, and of what was chosen from it: everything that the page of a pool shows, as numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from querist.analysis.budget import Suggestion, coverage_curve, suggest
from querist.analysis.data_map import DataMap
from querist.analysis.pool import (
    ClassCounts,
    NearPairs,
    class_counts,
    near_across,
    near_within,
    nearest_labelled,
    pure_until,
)
from querist.arrays import Array, Ids, Labels, Rows
from querist.data.dataset import Dataset
from querist.data.images.items import ImageItems
from querist.data.images.near import NearCopies, near_copies
from querist.errors import UsageError
from querist.evidence.needs import Features
from querist.kernels.coverage import gaussian, greedy_cover
from querist.kernels.hubness import Hubness
from querist.kernels.kmeans import kmeans
from querist.kernels.typicality import typical_rows
from querist.progress import tell
from querist.report.maps import EmbeddingMap
from querist.report.results import StudyResults
from querist.seeds import Key, Seed
from querist.session.hubs import pool_hubness
from querist.session.setting import Setting

COMPARED = 20_000
"""Rows that are compared with one another; of a larger pool a random sample is."""
PLANNED = 4_000
"""Rows that coverage is planned on: a budget is a rough number, and a sample tells it."""
LONGEST = 300
"""Labels up to which coverage is followed."""
LEAST = 10
"""Members that a cluster has on average, so that typiclust finds typical ones."""
BALLS = 1_000
"""Balls whose purity is looked at."""
LOOKED_AT = 20_000
"""Pictures up to which all are looked at for copies, where nothing is remembered of them."""
SMALLEST = 16
"""Pixels below which pictures of one kind look like copies of one another."""
PSEUDO = 10
"""Clusters in the place of classes, where nobody says how many classes there are."""
PURE = 0.95
"""Share of pure balls that ProbCover asks for."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Chosen:
    """What was chosen from a pool, round by round.

    Attributes:
        rounds: ids of each round, at least one each.
        names: what the rounds are called.
        words: who chose, for a caption.
    """

    rounds: tuple[Ids, ...]
    names: tuple[str, ...]
    words: str

    def __post_init__(self) -> None:
        if not self.rounds or len(self.rounds) != len(self.names) or any(not len(ids) for ids in self.rounds):
            raise UsageError("Expected at least one round of picks, and at least one pick in each.")

    @property
    def ids(self) -> Ids:
        """All of them, in the order chosen."""
        return np.concatenate(self.rounds)

    @property
    def counts(self) -> list[int]:
        """Labels after each round."""
        return np.cumsum([len(ids) for ids in self.rounds]).tolist()


class Classes(NamedTuple):
    """How labels fall on the classes.

    Attributes:
        names: the declared classes.
        pool: of all items of the pool, or of those whose labels are known; None if only picks have labels.
        rounds: of everything chosen after each round; empty if nothing was.
        words: whose labels these are, for a caption.
    """

    names: tuple[str, ...]
    pool: ClassCounts | None
    rounds: tuple[ClassCounts, ...]
    words: str


class Purity(NamedTuple):
    """Radii up to which balls around items hold one label only, and what the labels are."""

    radius: Array
    words: str

    @property
    def advised(self) -> float:
        """The largest radius at which a share `PURE` of the balls is pure."""
        ascending = np.sort(self.radius)
        return float(
            ascending[len(ascending) - max(1, min(int(np.ceil(PURE * len(ascending) - 1e-9)), len(ascending)))]
        )


class Near(NamedTuple):
    """Near-duplicates by features, as ids, and by eye where the items are pictures."""

    pool: NearPairs
    test: NearPairs
    by_eye: NearCopies | None
    compared: int


class Plan(NamedTuple):
    """Coverage by number of labels, how many groups random labels hold, and what this suggests.

    Attributes:
        covered: ``(b,)`` each, by who picked.
        size_k: members of each class or cluster.
        groups: which of the two.
        suggestions: first budgets.
        rows: rows that coverage was followed on.
    """

    covered: Mapping[str, Array]
    size_k: Rows
    groups: str
    suggestions: tuple[Suggestion, ...]
    rows: int


@dataclass(frozen=True, kw_only=True, eq=False)
class PoolReport:
    """Everything that is shown of a pool. In the place of what cannot be shown stands the sentence that says why.

    Attributes:
        dataset: the pool.
        encoder: what made the features, in words.
        chosen: what was chosen from it.
        classes: class histograms.
        map: the pool in two dimensions.
        nearest: ``(rounds, n)`` distance of each item of the pool to what is labelled after each round.
        purity: balls.
        near: near-duplicates.
        hubness: of the features.
        plan: first budgets.
        data_map: how labels fared in a training.
        traces: statistics of a pre-training, one number per item of the pool.
        study: the study that the picks come from.
        facts: what else to print.
    """

    dataset: Dataset
    encoder: str
    chosen: Chosen | str
    classes: Classes | str
    map: EmbeddingMap | str
    nearest: Array | str
    purity: Purity | str
    near: Near
    hubness: Hubness
    plan: Plan
    data_map: DataMap | str
    traces: Mapping[str, Array] | str
    study: StudyResults | None = None
    facts: Mapping[str, str] = field(default_factory=dict)


def look_at_pool(
    setting: Setting,
    *,
    labels: Mapping[int, int],
    encoder: str,
    chosen: Chosen | str,
    pool_map: EmbeddingMap | str,
    data_map: DataMap | str,
    declared: bool,
    benchmark: bool,
    study: StudyResults | None = None,
    seed: int = 0,
) -> PoolReport:
    """Return everything that is shown of a pool.

    Args:
        setting: dataset and features.
        labels: known labels by id.
        encoder: what made the features, in words.
        chosen: what was chosen, or why nothing was.
        pool_map: the pool in two dimensions, or why it is not drawn.
        data_map: how labels fared in a training, or why that is not shown.
        declared: whether the number of classes means anything.
        benchmark: whether `labels` are those of a benchmark, known for the whole pool.
        study: where the picks come from, if they come from a study.
        seed: randomness of samples and clusterings.
    """
    data, key = setting.dataset, Seed(seed).child(setting.dataset.name, "pool report").key()
    x_N_d = setting.features[Features(frame="all")]
    sample = _sample(data.pool, COMPARED, key)
    x_m_d = np.ascontiguousarray(x_N_d[sample])
    c = data.c if declared else None
    cluster_m = kmeans(x_m_d, min(c or PSEUDO, len(sample)), key.child("clusters").generator()).label_N
    known = np.array([labels.get(i, -1) for i in sample.tolist()], np.int64)
    tell("looking at the pool", 1, 4)
    near = _near(data, x_N_d, sample, key)
    tell("looking at the pool", 2, 4)
    purity = _purity(x_m_d, known if benchmark else cluster_m.astype(np.int64), benchmark, key)
    tell("looking at the pool", 3, 4)
    group_m, groups = (known, "classes") if benchmark else (cluster_m, "clusters")
    report = PoolReport(
        dataset=data, encoder=encoder, chosen=chosen, map=pool_map, data_map=data_map, study=study,
        classes=_classes(data, labels, chosen, benchmark),
        nearest=chosen if isinstance(chosen, str) else nearest_labelled(x_N_d, data.pool, chosen.rounds),
        purity=purity, near=near, hubness=pool_hubness(setting), traces=_traces(setting),
        plan=_plan(x_m_d, group_m.astype(np.intp), groups, c, key),
        facts={
            "source": f"{data.name}: {len(data.pool):,} items in the pool, {len(data.test):,} to test on "
            f"(content {data.fingerprint[:12]})",
            "features": f"{encoder}, {x_N_d.shape[1]:,} numbers per item, scaled to unit length",
            "labels": _whose(benchmark, bool(labels)),
            "seed": str(seed),
        },
    )  # fmt: skip
    tell("looking at the pool", 4, 4)
    return report


def _sample(ids: Ids, most: int, key: Key) -> Ids:
    return ids if len(ids) <= most else np.sort(ids[np.argsort(key.child("sample").hash(ids))[:most]])


def _whose(benchmark: bool, some: bool) -> str:
    if benchmark:
        return "the sealed labels of a benchmark, opened for this page; nothing that chooses items has seen them"
    return "those that the source or the picks have" if some else "none are known"


def _classes(data: Dataset, labels: Mapping[int, int], chosen: Chosen | str, benchmark: bool) -> Classes | str:
    if not labels:
        return "No label is known, so there are no classes to count: label some items, or use a labelled benchmark."
    every = np.array(list(labels.values()), np.int64)
    rounds: tuple[ClassCounts, ...] = ()
    if not isinstance(chosen, str) and all(i in labels for i in chosen.ids.tolist()):
        bought: Labels = np.array([labels[i] for i in chosen.ids.tolist()], np.int64)
        rounds = tuple(class_counts(bought[:n], data.c) for n in chosen.counts)
    return Classes(data.classes, class_counts(every, data.c), rounds, _whose(benchmark, True))


def _near(data: Dataset, x_N_d: Array, sample: Ids, key: Key) -> Near:
    found = near_within(np.ascontiguousarray(x_N_d[sample]))
    held = _sample(data.test, COMPARED, key)
    by_eye = None
    if data.picture is not None and (isinstance(data.items, ImageItems) or _can_be_looked_at(data)):
        by_eye = near_copies(data)
    across = near_across(x_N_d, held, data.pool, found.threshold)
    return Near(found._replace(worst=sample[found.worst]), across, by_eye, len(sample))


def _can_be_looked_at(data: Dataset) -> bool:
    """Whether there are not too many pictures, and in each enough to tell it from others."""
    if data.picture is None or not len(data.pool) or len(data.items) > LOOKED_AT:
        return False
    return min(data.picture(int(data.pool[0])).shape[:2]) >= SMALLEST


def _purity(x_m_d: Array, label_m: Labels, benchmark: bool, key: Key) -> Purity | str:
    if len(np.unique(label_m)) < 2:
        return "There is only one class or cluster here, so every ball is pure."
    rows = np.sort(np.argsort(key.child("balls").hash(np.arange(len(x_m_d))))[:BALLS])
    groups = len(np.unique(label_m))
    words = "the true classes" if benchmark else f"{groups} k-means clusters in their place, as ProbCover takes them"
    return Purity(pure_until(x_m_d, label_m, rows), words)


def _plan(x_m_d: Array, group_m: Rows, groups: str, c: int | None, key: Key) -> Plan:
    every = np.arange(len(x_m_d))
    rows = np.sort(np.argsort(key.child("plan").hash(every))[:PLANNED])
    x_p_d, tie_p = np.ascontiguousarray(x_m_d[rows]), key.hash(rows)
    b, open_p = min(LONGEST, len(rows)), np.ones(len(rows), np.bool_)
    herded, _ = greedy_cover(x_p_d, gaussian(1.0), np.empty(0, np.intp), open_p, tie_p, b)
    # As many clusters as labels would leave those of a small pool without members to be typical of.
    label_p = kmeans(x_p_d, max(1, min(b, len(rows) // LEAST)), key.child("typical").generator()).label_N
    typical, _ = typical_rows(x_p_d, label_p, open_p, tie_p, b)
    drawn = np.argsort(key.child("random").hash(rows))[:b]
    orders = {"max_herding": herded, "typiclust": typical, "random": drawn}
    covered = {name: coverage_curve(x_p_d, picks) for name, picks in orders.items() if len(picks)}
    size_k = np.bincount(group_m[group_m >= 0]).astype(np.intp)
    advisers = {name: curve for name, curve in covered.items() if name != "random"}
    return Plan(covered, size_k, groups, suggest(covered=advisers, size_k=size_k, groups=groups, c=c), len(rows))


def _traces(setting: Setting) -> Mapping[str, Array] | str:
    names: Sequence[str] = setting.encoder.traces()
    if not names:
        return "The encoder kept no statistics of a pre-training; 'querist pretrain' makes encoders that do."
    return {name: _last(setting.encoder.trace(name, setting.dataset)[setting.dataset.pool]) for name in names}


def _last(trace_n_t: Array) -> Array:
    """The last column, where a pre-training kept one per epoch."""
    return trace_n_t.reshape(len(trace_n_t), -1)[:, -1]
