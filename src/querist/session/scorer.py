"""Scorers: models trained on other labelled items, whose outputs about a pool can start a session without labels."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from querist.arrays import Array, Ids, Labels as LabelArray
from querist.data.dataset import Dataset, datasets
from querist.data.joined import copies_in, joined
from querist.data.manifest import LEFT_OUT, POOL, SPLITS
from querist.encoders.base import Encoder
from querist.errors import DataError, QueristError, UnmetNeedError, UsageError
from querist.evidence.cache import Cache
from querist.evidence.needs import Draws, Embeddings, Logits, Need, Probs
from querist.evidence.provider import Fit, Model
from querist.kernels.threads import single_threaded_blas
from querist.labels.book import Book
from querist.labels.ledger import JsonlLedger
from querist.labels.oracle import Query, SimulatedOracle
from querist.learners.base import Learner, learners
from querist.registry import describe, digest
from querist.seeds import Seed
from querist.session.checkpoints import card_of, remove
from querist.session.desk import Desk
from querist.session.setting import Setting

Shared: TypeAlias = Mapping[str, int]

OUTPUTS: Mapping[str, Need[Any]] = {
    "probs": Probs(), "logits": Logits(), "draws": Draws(), "embeddings": Embeddings(),
}  # fmt: skip
"""What a scorer can write, by the word for it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Lesson:
    """What a scorer is trained on.

    Attributes:
        data: where the items are from.
        ids: which, ascending.
        split: their split, in words.
        shared: how many of them are items of the pool's dataset too, by split there.
        dropped: how many were left out because they are.
    """

    data: Dataset
    ids: Ids
    split: str
    shared: Shared = field(default_factory=dict)
    dropped: int = 0


class Scorer(NamedTuple):
    """A trained model before the items it is to score.

    Attributes:
        learner: that trained it.
        model: itself.
        setting: of training and scored items together; the scored ones are the last.
        scored: the dataset of the scored items.
        lesson: what it was trained on.
        seed: of the training.
        room: where the training keeps what a kill would lose; None: nowhere.
    """

    learner: Learner
    model: Model
    setting: Setting
    scored: Dataset
    lesson: Lesson
    seed: int
    room: Path | None = None

    def forget(self) -> None:
        """Delete what the training kept, for what it was wanted for is written."""
        if self.room is not None:
            remove(self.room)

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes it knows, in order."""
        return self.lesson.data.classes

    @property
    def trained_on(self) -> str:
        """Learner, labels and data in words, for records."""
        lesson, count = self.lesson, len(self.lesson.ids)
        words = f"{describe(self.learner)['name']} on {count:,} labels of {lesson.data.name} ({lesson.split})"
        if lesson.shared:
            words += f", external study: it scores {_in_words(lesson.shared)} that it was trained on"
        return words

    def outputs(self, output: str, k: int = 20) -> Array:
        """Return what it says of every item, ``(N, c)``, ``(N, d)``, or for draws ``(N, k, c)`` float32.

        Columns of classes are in the order of `classes`.

        Raises:
            UnmetNeedError: such a model has no such output; says why.
        """
        need = need_of(output, k)
        require_offered(self.learner, need)
        start, n = len(self.setting.dataset.manifest) - len(self.scored.manifest), len(self.scored.manifest)
        view = self.setting.view(np.arange(start, start + n))
        with single_threaded_blas():
            value = need.check(self.model.provide(need, view), view.ids, len(self.classes))
        return (np.stack(value, axis=1) if isinstance(need, Draws) else np.asarray(value)).astype(np.float32)


def need_of(output: str, k: int) -> Need[Any]:
    """Return the need for an output of `OUTPUTS`."""
    return Draws(k=k) if output == "draws" else OUTPUTS[output]


def require_offered(learner: Learner, need: Need[Any]) -> None:
    """Raise `UnmetNeedError` with the reason if a learner does not have an output."""
    if isinstance(refusal := learner.offers(need), str):
        raise UnmetNeedError(f"learner {describe(learner)['name']!r} gives no {type(need).__name__}: {refusal}")


def lesson_of(data: Dataset, split: str, size: int | None, seed: int) -> Lesson:
    """Return the labelled items of a split, or a random part of them.

    Args:
        data: the labelled source.
        split: one of its splits.
        size: how many; None: all. A larger part contains the smaller one.
        seed: of the draw.

    Raises:
        DataError: there are no labels in that split, or fewer than asked for.
    """
    ids = data.manifest.ids(split)
    ids = ids[data.labels.known[ids]]
    if not len(ids):
        kept = Counter(SPLITS[code] for code in data.manifest.split[data.labels.known].tolist())
        where = ", ".join(f"{count:,} in {name!r}" for name, count in kept.items()) or "none anywhere"
        raise DataError(f"{data.name!r} has no labels in the split {split!r}; it has {where}.")
    if size is not None:
        if not 1 <= size <= len(ids):
            raise DataError(f"Expected 1 to {len(ids):,} labels of {data.name!r} to train on, got {size:,}.")
        order = np.argsort(Seed(seed).child("scorer", data.name, "labels").key().hash(ids))
        ids = np.sort(ids[order[:size]])
    return Lesson(data=data, ids=ids, split=split)


def against(lesson: Lesson, pool: Dataset, *, leave_out: bool = False, external_study: bool = False) -> Lesson:
    """Return a lesson that may be used to score a dataset, with what both share on record.

    A scorer that was trained on items of the dataset it scores has seen answers that nobody is charged for: those of
    test items where splits are swapped. It is found out by the items themselves, not by names.

    Args:
        lesson: what is to be trained on.
        pool: what is to be scored.
        leave_out: train on the other items alone.
        external_study: go on, and say so wherever results stand.

    Raises:
        UsageError: they share items, and neither is asked for; or nothing is left to train on.
    """
    copies = copies_in(lesson.data, lesson.ids, pool)
    common = copies[copies >= 0]
    if not len(common):
        return lesson
    shared = dict(Counter(SPLITS[code] for code in pool.manifest.split[common].tolist()))
    if leave_out and len(common) < len(lesson.ids):
        return Lesson(data=lesson.data, ids=lesson.ids[copies < 0], split=lesson.split, dropped=len(common))
    if external_study and not leave_out:
        return Lesson(data=lesson.data, ids=lesson.ids, split=lesson.split, shared=shared)
    raise UsageError(refusal(lesson, shared, len(common)))


def refusal(lesson: Lesson, shared: Shared, count: int) -> str:
    """Return why a lesson is refused, and what to do instead."""
    every = count == len(lesson.ids)
    held = any(split not in (POOL, LEFT_OUT) for split in shared)
    seen = "test or validation labels, and must not be judged by them" if held else "labels of the pool"
    many = f"all {count:,}" if every else f"{count:,} of {len(lesson.ids):,}"
    ways = [] if every else ["--leave-out-shared trains on the others"]
    if not held:
        ways.append("querist select --labels takes labels of the pool and charges them")
    ways.append("--external-study goes on and marks every result")
    return (
        f"{many} training items from {lesson.data.name!r} are items of the source to score, {_in_words(shared)}. Such "
        f"a scorer has seen {seen}. {'; '.join(ways)}."
    )


def train_scorer(
    lesson: Lesson,
    pool: Dataset,
    learner: Learner,
    encoder: Encoder,
    *,
    seed: int = 0,
    cache: Cache | None = None,
    rooms: Path | None = None,
) -> Scorer:
    """Return a model trained on the labels of a lesson, before the items of a pool.

    Labels of the pool are not read. Its unlabelled items are what the learner's pool is: what looks at one, as
    principal axes, normalisation or consistency do, looks at them and at the training items.

    Args:
        lesson: what to train on, by `against`.
        pool: what to score.
        learner: what trains.
        encoder: of both, for learners on frozen features.
        seed: of encoder and training.
        cache: where features are kept.
        rooms: folder in which a training that takes long has one of its own, to go on from there after a kill.

    Raises:
        UnmetNeedError: the learner reads other features.
        DataError: the items of both are of different kinds.
    """
    data = lesson.data
    setting = Setting(joined(data, lesson.ids, pool), encoder, seed=seed, cache=cache)
    Desk(setting, learner, Book())  # refuses a learner that reads other features
    answers = SimulatedOracle(data.labels, lesson.ids).answer(Query(lesson.ids))
    labels: LabelArray = np.fromiter(answers.values(), dtype=np.int64, count=len(lesson.ids))
    r = len(lesson.ids)
    depends = [setting.spec, data.fingerprint, learner.identity(), seed]
    room = None if rooms is None else rooms / digest(depends)
    with single_threaded_blas():
        model = learner.fit(
            Fit(
                labelled=setting.view(np.arange(r), labels), pool=setting.view(r + pool.pool),
                seed=Seed(seed).child("scorer", data.name, "fit"), folder=room,
            )
        )  # fmt: skip
    return Scorer(learner, model, setting, pool, lesson, seed, room)


def stored_scorer(
    folder: Path, pool: Dataset, source: Dataset | None = None, *, external_study: bool = False
) -> Scorer:
    """Return a model that a run or session kept, before the items of a pool.

    Args:
        folder: of the model.
        pool: what to score.
        source: what it was trained on, where that cannot be had by its name.
        external_study: see `against`.

    Raises:
        UsageError: what it was trained on cannot be told, or is shared with the pool.
        DataError: the model is damaged.
    """
    card = card_of(folder)
    if card is None:
        raise UsageError(f"{folder} holds no whole model of a run.")
    learner = learners.build(card["learner"], str(folder))
    if not learner.trains_backbone:
        raise UsageError(
            f"the model in {folder} reads frozen features, which belong to the dataset it was trained on. Train it "
            f"again, which takes moments: querist scorer SOURCE POOL --learner {describe(learner)['name']}."
        )
    data = _trained_on(card["spec"], source, folder)
    lesson = Lesson(data=data, ids=_bought(folder, card), split=f"bought by run {folder.parent.parent.name[:12]}")
    lesson = against(lesson, pool, external_study=external_study)
    setting = Setting(joined(data, np.empty(0, np.int64), pool), "pixels")
    return Scorer(learner, learner.load(folder), setting, pool, lesson, int(card["spec"].get("seed", 0)))


def _trained_on(spec: Mapping[str, Any], source: Dataset | None, folder: Path) -> Dataset:
    name, print_ = spec["dataset"]["name"], spec["dataset"]["fingerprint"]
    try:
        data = datasets.build(name) if source is None else source
    except QueristError as error:
        raise UsageError(
            f"what the model in {folder} was trained on, {name!r}, cannot be had by its name: {error} Say where it is: "
            "--dataset SOURCE."
        ) from error
    if data.fingerprint != print_:
        raise UsageError(
            f"the model in {folder} was trained on {name!r} of content {print_[:12]}, not on {data.name!r} of content "
            f"{data.fingerprint[:12]}. Say where the former is: --dataset SOURCE."
        )
    return data


def _bought(folder: Path, card: Mapping[str, Any]) -> Ids:
    """Return the ids whose labels a model has seen, those for validation included."""
    ledger = folder.parent.parent / "ledger.jsonl"
    if not ledger.is_file():
        raise UsageError(f"there is no ledger beside {folder}, so nobody can tell on which labels it was trained.")
    book, number = Book.replay(JsonlLedger(ledger)), card["round"]
    if book.spec != card["spec"] or book.round < number:
        raise UsageError(
            f"{ledger} is not the ledger of the run that kept {folder}, or not all of it, so nobody can tell on which "
            "labels the model was trained. Copy both from the store of the study."
        )
    return np.union1d(book.known(before=number)[0], book.known(validation=True)[0]).astype(np.int64)


def _in_words(shared: Shared) -> str:
    """Return ``500 test items and 3 pool items``."""
    return " and ".join(
        f"{count:,} {split.replace('_', ' ')} item{'s' * (count != 1)}" for split, count in shared.items()
    )
