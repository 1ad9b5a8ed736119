"""What features are worth, measured with labels: an evaluation of benchmark datasets, never a part of a session.

Labels of the whole pool are asked of the simulated oracle and those of the test split are read by the evaluator, so
nothing here may lead to a choice that is then tested on the same data. A pre-training does not see any of it.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from querist.analysis.clusterings import agreement
from querist.arrays import Array, Ids, Labels
from querist.data.dataset import Dataset
from querist.encoders.base import Encoder
from querist.evidence.cache import Cache
from querist.evidence.features import unit_rows
from querist.evidence.needs import Features, Probs
from querist.evidence.provider import Fit
from querist.evidence.view import View
from querist.kernels.kmeans import kmeans
from querist.labels.oracle import Query, SimulatedOracle
from querist.learners.base import learners
from querist.learners.knn import KNNModel
from querist.progress import tell
from querist.seeds import Seed
from querist.session.metrics import evaluate
from querist.session.setting import Setting

PROBES: Mapping[str, tuple[dict[str, Any], int]] = {
    "knn": ({"name": "knn", "k": 20}, 50_000),
    "linear": ({"name": "linear"}, 10_000),
    "mlp": (
        {
            "name": "sklearn",
            "classifier": "MLPClassifier",
            "params": {
                "hidden_layer_sizes": [256],
                "learning_rate_init": 0.01,
                "early_stopping": True,
                "max_iter": 100,
            },
        },
        10_000,
    ),
}
"""Learners on frozen features that stand for what features are worth, and on how many labels at most."""

CLUSTERED = 10_000
"""Pool items that are clustered, and how many starts that has."""
STARTS = 10

BANK, ASKED = 5_000, 1_000
"""Pool items that vote, and that are voted on, whenever a pre-training is looked at."""
VOTERS = 20


def are_probed(dataset: Dataset) -> bool:
    """Return whether every pool item and test item has a label and there are enough to test on: a benchmark."""
    known = dataset.labels.known
    used = np.concatenate([dataset.pool, dataset.test])
    return len(dataset.pool) >= 10 and bool(known[used].all())


def probe(
    dataset: Dataset, encoder: Encoder, *, seed: int = 0, cache: Cache | None = None, name: str = ""
) -> dict[str, float]:
    """Return test accuracies of simple learners on frozen features, and the agreement of their clusters with classes.

    ``knn``, ``linear`` and ``mlp`` are fitted on labels of a random part of the pool, all of it up to the bounds in
    `PROBES`, and tested on the test split; without one, on a random fifth of the pool that they do not see. ``kmeans``,
    ``nmi`` and ``ari`` are of k-means with as many clusters as classes on unit rows of the pool.

    Args:
        dataset: for which `are_probed` holds.
        encoder: whose features.
        seed: which part of the pool, and starts.
        cache: where features are kept.
        name: what progress is called.
    """
    setting = Setting(dataset, encoder, seed=seed, cache=cache)
    root = Seed(seed).child(dataset.name, "probes")
    order = _shuffled(dataset.pool, root)
    held = order[: len(order) // 5] if not len(dataset.test) else order[:0]
    labels = _labels(dataset)
    found: dict[str, float] = {}
    for done, (title, (spec, most)) in enumerate(PROBES.items()):
        tell(f"probing {name}".strip(), done, len(PROBES) + 1)
        ids = np.sort(order[len(held) :][:most])
        view = setting.view(ids, labels[ids])
        model = learners.build(spec).fit(Fit(labelled=view, pool=setting.view(order[:0]), seed=root.child(title)))
        if setting.evaluator is not None:
            found[title] = setting.evaluator.test(model)["accuracy"]
        else:
            probs = model.provide(Probs(), setting.view(np.sort(held)))
            found[title] = evaluate(probs, labels[np.sort(held)])["accuracy"]
    ids = np.sort(order[:CLUSTERED])
    x = setting.view(ids)[Features()]
    clusters = kmeans(x, dataset.c, root.child("kmeans").generator(), restarts=STARTS)
    tell(f"probing {name}".strip(), len(PROBES) + 1, len(PROBES) + 1)
    accuracy, nmi, ari = agreement(clusters.label_N, labels[ids])
    return {**found, "kmeans": accuracy, "nmi": nmi, "ari": ari}


def probe_groups(dataset: Dataset, group_N: Labels) -> dict[str, float]:
    """Return how well clusters of the pool agree with its classes: ``accuracy`` under the best matching, and more.

    Args:
        dataset: for which `are_probed` holds.
        group_N: the cluster of every item of the dataset; those outside of the pool do not matter.
    """
    return agreement(group_N[dataset.pool], _labels(dataset)[dataset.pool])._asdict()


def knn_monitor(
    dataset: Dataset, epochs: int, *, every: int, seed: int = 0
) -> Callable[[int, Callable[[View], Array]], dict[str, float]]:
    """Return what a pre-training asks after every epoch: the accuracy of a vote of neighbours, ``knn``.

    Of random pool items, `ASKED` are classified by the 20 nearest of `BANK` others, by the cosine. Labels of these
    pool items are read for this number and for nothing else; test items are not touched.

    Args:
        dataset: for which `are_probed` holds.
        epochs: of the training; it looks after the first and the last one in any case.
        every: epochs between two looks.
        seed: which items.
    """
    order = _shuffled(dataset.pool, Seed(seed).child(dataset.name, "probes"))
    asked, bank = order[: min(ASKED, len(order) // 5)], order[min(ASKED, len(order) // 5) :][:BANK]
    labels = _labels(dataset)

    def look(epoch: int, embed: Callable[[View], Array]) -> dict[str, float]:
        if epoch != 1 and epoch != epochs and epoch % every:
            return {}
        voters, rows = (unit_rows(embed(View(dataset, ids))) for ids in (bank, asked))
        model = KNNModel(features=Features(), c=dataset.c, x=voters, y=labels[bank], k=min(VOTERS, len(bank)))
        return {"knn": float((model.probs(rows).argmax(axis=1) == labels[asked]).mean())}

    return look


def _shuffled(ids: Ids, seed: Seed) -> Ids:
    return ids[np.argsort(seed.key().hash(ids))]


def _labels(dataset: Dataset) -> Labels:
    """Return labels of the pool, -1 elsewhere."""
    answers = SimulatedOracle(dataset.labels, dataset.pool).answer(Query(dataset.pool, purpose="probe"))
    labels = np.full(len(dataset.manifest), -1)
    labels[list(answers)] = list(answers.values())
    return labels  # pyright: ignore[reportReturnType]
