"""Where sets of labels to evaluate come from: files of ids, and the runs of a stored study."""

import json
from dataclasses import dataclass

import numpy as np

from querist.arrays import Ids, as_ids, some
from querist.data.dataset import Dataset, datasets
from querist.data.indices import read_ids
from querist.data.manifest import SPLITS
from querist.encoders.base import encoders
from querist.errors import DataError, UsageError
from querist.labels.events import QUERY
from querist.labels.oracle import Query, SimulatedOracle
from querist.seeds import Seed
from querist.session.setting import Setting
from querist.strategies._scorer_card import require_items
from querist.studies.evaluations import LabelSet, split_off
from querist.studies.plan import Run, plan_study
from querist.studies.spec import StudySpec
from querist.studies.store import Store


@dataclass(frozen=True, kw_only=True)
class IndexFiles:
    """Files that list ids of a dataset; their labels are looked up, and no others.

    Attributes:
        files: each a set, in the order of picking.
        dataset: as a JSON value: a name, a composition, or a table.
        encoder: of the features that learners on frozen features read.
        first: sizes of the beginnings of each file to evaluate; none: whole files.
        seeds: training seeds.
        validation: how many labels of each set are for validation instead of training.
        seed: randomness of fits and of that draw; the same for every file.
        store: where features are kept.
    """

    files: tuple[str, ...]
    dataset: str
    encoder: str = "pixels"
    first: tuple[int, ...] = ()
    seeds: int = 1
    validation: int = 0
    seed: int = 0
    store: str = "querist-store"

    def sets(self) -> list[LabelSet]:
        """Return one set per file, size and seed.

        Raises:
            DataError: a file cannot be read, or holds ids that are not in the pool.
            UsageError: fewer ids in a file than are to be used, or too many for validation.
        """
        data = datasets.build(json.loads(self.dataset), "--dataset")
        setting = Setting(
            data, encoders.build(self.encoder, "--encoder"), seed=self.seed, cache=Store(self.store).cache
        )
        address = Seed(self.seed).child(data.name, "evaluate")
        return [
            self._set(setting, file, place, ids, k, address)
            for file in self.files
            for place, ids in enumerate(self._beginnings(file, _ids_of(file, data)))
            for k in range(self.seeds)
        ]

    def _beginnings(self, file: str, ids: Ids) -> list[Ids]:
        if self.first and max(self.first) > len(ids):
            raise UsageError(f"{file} has {len(ids)} ids; its first {max(self.first)} cannot be used.")
        return [ids[:n] for n in self.first] or [ids]

    def _set(self, setting: Setting, file: str, place: int, ids: Ids, k: int, address: Seed) -> LabelSet:
        data = setting.dataset
        train, held = split_off(np.sort(ids), self.validation, address.child("validation", k))
        answers = SimulatedOracle(data.labels, data.pool).answer(Query(np.sort(ids)))
        labels, held_labels = (np.array([answers[i] for i in part.tolist()], np.int64) for part in (train, held))
        return LabelSet(
            arm=file, pool=0, seed=k, checkpoint=place, setting=setting, ids=train, labels=labels, held=held,
            held_labels=held_labels, initial=len(train), taken=np.sort(ids),
            address=address.child("seed", k, "fit"),
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class StoredStudy:
    """The labelled sets of every checkpoint of a stored study.

    With the learner of the study itself, the results are those on record, to the last bit: fits have the same seeds.

    Attributes:
        study: the specification of the study, as JSON.
        store: where its runs are.
        fork: the fork, if it is one.
        arms: their names; none: all.
        encoder: of other features than those of the study; None: those of the study.
        source: what an error message calls the study.
    """

    study: str
    store: str
    fork: str | None = None
    arms: tuple[str, ...] = ()
    encoder: str | None = None
    source: str = "study"

    def sets(self) -> list[LabelSet]:
        """Return one set per run and checkpoint, as far as the labels of the checkpoint were bought.

        Raises:
            UsageError: nothing is on record.
        """
        store, spec = Store(self.store), StudySpec.model_validate_json(self.study)
        plan = plan_study(spec, source=self.source, fork=self.fork, cache=store.cache)
        other = None
        if self.encoder is not None:
            data = plan.arms[0].setting.dataset
            other = Setting(data, encoders.build(self.encoder, "--encoder"), seed=spec.study.seed, cache=store.cache)
        runs = [run for run in plan.runs if not self.arms or run.arm.name in self.arms]
        found = [one for run in runs for one in _sets_of(run, store, other)]
        if not found:
            raise UsageError(f"nothing is on record of {self.source} in {store.path}. Run it first: querist study run.")
        return found


def _sets_of(run: Run, store: Store, other: Setting | None) -> list[LabelSet]:
    book, setting = store.book(run), other or run.arm.setting
    held, held_labels = book.known(validation=True)
    initial = len(book.known(before=0)[0])
    # A checkpoint has its labels once the query before it, or the initial pool, is answered.
    begun = initial and (book.pending is None or book.pending.purpose == QUERY)
    last = min(book.round, len(run.counts) - 1) if begun else -1
    sets: list[LabelSet] = []
    for number in range(last + 1):
        ids, labels = book.known(before=number)
        sets.append(
            LabelSet(
                arm=run.arm.name, pool=run.pool, seed=run.seed, checkpoint=run.first + number, setting=setting,
                ids=ids, labels=labels, held=held, held_labels=held_labels, initial=initial,
                taken=np.sort(book.taken(before=number)),
                address=run.address.child("seed", run.seed, "round", number, "fit"),
            )
        )  # fmt: skip
    return sets


def _ids_of(file: str, data: Dataset) -> Ids:
    """The ids in a file, all of them in the pool; of a ranking of the whole dataset, those in the pool."""
    require_items(file, data.manifest.key_fingerprint, data.classes, "querist evaluate")
    advice = (
        f"Ids are positions in {data.name!r}, counted from 0; it has {len(data.manifest):,} items, {len(data.pool):,} "
        "of them in the pool. Is it the dataset, with the split, that they were written for?"
    )
    try:
        ids = read_ids(file)
    except DataError as error:
        if "pickled" not in str(error):
            raise
        # As some published index files are: arrays of objects, each an integer.
        convert = "np.save(NEW, np.load(FILE, allow_pickle=True).astype(np.int64))"
        raise DataError(f"{file}: it holds pickled Python objects. If you trust it, convert it: {convert}.") from error
    try:
        as_ids(ids, len(data.manifest), what=f"{file}: ids")
    except DataError as error:
        raise DataError(f"{error} {advice}") from error
    if not len(ids):
        raise DataError(f"{file}: there are no ids in it.")
    inside = np.isin(ids, data.pool)
    outside = ids[~inside]
    if len(ids) == len(data.manifest):  # nobody buys all there is: as a ranking, it has to name every item
        return ids[inside]
    if len(outside):
        where = ", ".join(sorted({SPLITS[data.manifest.split[i]] for i in outside.tolist()}))
        raise DataError(
            f"{file}: {len(outside)} of {len(ids)} ids are not in the pool but in {where}: {some(outside)}. {advice}"
        )
    return ids
