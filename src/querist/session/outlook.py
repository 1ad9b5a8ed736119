"""What a forecast needs to know about a session: heads fitted again at a checkpoint, as a replay of its ledger."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from querist.analysis.forecast import Measured, fewer_labels, measure
from querist.arrays import Bools, Ids, Labels
from querist.errors import UnmetNeedError, UsageError
from querist.evidence.needs import Refit
from querist.kernels.calibration import likeliest_temperature, tempered
from querist.kernels.folds import held_out
from querist.labels.book import Book
from querist.labels.events import QUERY, Asked, Event
from querist.learners.base import Learner
from querist.registry import describe
from querist.seeds import Seed
from querist.session.refit import RefitSource
from querist.session.setting import Setting
from querist.strategies.adaptive import FOLDS, TEMPERATURES

SUBSETS = 5
LEAST = 10
"""Labels below which there is nothing to hold out."""


class Standing(NamedTuple):
    """What was known at a checkpoint.

    Attributes:
        checkpoint: its number.
        labelled: ids with labels for training, ascending.
        labels: those labels.
        audited: which of them were uniform draws from what was then left of the pool.
        candidates: ids that could still be asked for, ascending.
    """

    checkpoint: int
    labelled: Ids
    labels: Labels
    audited: Bools
    candidates: Ids


def standings(events: Iterable[Event], pool: Ids) -> list[Standing]:
    """Return every checkpoint of a ledger at which there were labels for training, in order.

    Args:
        events: of a run or a session.
        pool: ids that can be bought.
    """
    book, audits, found = Book(), set[int](), list[Standing]()
    for event in events:
        if isinstance(event, Asked):
            if event.purpose == QUERY and book.pending is None:  # not the next item of a query asked one by one
                found.append(_standing(book, audits, pool))
            left = len(pool) - len(book.labels) - len(book.declined)
            audits.update(np.array(event.ids)[drawn_uniformly(event, left)].tolist())
        book.apply(event)
    if book.pending is None and book.known()[0].size:
        found.append(_standing(book, audits, pool))
    return found


def drawn_uniformly(asked: Asked, left: int) -> Bools:
    """Return which picks of a query were drawn uniformly from all that was left.

    Such a draw has the propensity ``1 / r``, where `r` is the number of items left when it was made; nothing else that
    draws with a weight, and no pick that was certain, does.

    Args:
        asked: the query.
        left: items that could be asked for before it.
    """
    if asked.propensity is None:
        return np.zeros(len(asked.ids), dtype=bool)
    p = np.array(asked.propensity)
    r = np.rint(1.0 / p)
    return (p < 1.0) & (r <= left) & (r > left - len(p)) & (np.abs(p * r - 1.0) < 1e-9)


def outlook(setting: Setting, learner: Learner, standing: Standing, seed: Seed, repeat: int = 0) -> Measured:
    """Return what a forecast at a checkpoint is made from; eleven fits, all at once on one thread.

    The temperature makes the labels likeliest out of fold (5 folds, 26 values from 0.1 to 31.6). Five heads on random
    subsets of the labels say what fewer labels would have given. Folds and subsets depend on the seed, the checkpoint
    and the ids alone, so a forecast can be made at any time afterwards and is always the same.

    Args:
        setting: dataset and frozen features.
        learner: fits in milliseconds on those.
        standing: what was known.
        seed: that of the session.
        repeat: training seed of the session.

    Raises:
        UnmetNeedError: the learner trains a backbone, or gives no probabilities.
        UsageError: fewer than 10 labels, or nothing left to label.
    """
    source, name = RefitSource(learner), describe(learner)["name"]
    if isinstance(refusal := source.offers(Refit()), str):
        raise UnmetNeedError(
            f"a forecast fits the learner {name!r} again {FOLDS + SUBSETS + 1} times: {refusal} "
            "Forecasts are for learners on frozen features, such as 'linear'."
        )
    if (n := len(standing.labelled)) < LEAST:
        raise UsageError(f"a forecast needs at least {LEAST} labels, got {n} at checkpoint {standing.checkpoint}.")
    if not len(standing.candidates):
        raise UsageError(f"nothing is left to label after {n} labels, so there is nothing to forecast.")
    fit_seed = seed.child("seed", repeat, "round", standing.checkpoint, "fit")
    key = seed.child("round", standing.checkpoint, "forecast").key()
    bought = setting.view(standing.labelled, standing.labels)
    ids = np.union1d(standing.candidates, standing.labelled)
    on_labelled = source.provide(bought, setting.view(standing.labelled), fit_seed)
    on_pool = source.provide(bought, setting.view(ids), fit_seed)
    held_out_l_c = held_out(on_labelled, key.child("folds").hash(standing.labelled), FOLDS)
    t = likeliest_temperature(held_out_l_c, standing.labels, TEMPERATURES)
    m = fewer_labels(n)
    order_k_l = (np.argsort(key.child("subset", j).hash(standing.labelled)) for j in range(SUBSETS))
    fewer_k_N = np.stack([on_pool(np.sort(order_l[:m])).argmax(axis=1) for order_l in order_k_l])
    return measure(
        tempered(on_pool(np.arange(n)), t), fewer_k_N, np.searchsorted(ids, standing.labelled),
        tempered(held_out_l_c, t), standing.labels, standing.audited, m=m, temperature=t,
    )  # fmt: skip


def _standing(book: Book, audits: set[int], pool: Ids) -> Standing:
    labelled, labels = book.known()
    audited = np.isin(labelled, np.fromiter(audits, dtype=np.int64, count=len(audits)))
    return Standing(book.round, labelled, labels, audited, np.setdiff1d(pool, book.taken()))
