"""What a model trained on other labels is worth for the choice of first labels: the table of "Scorers" in the docs.

``python studies/low_budget/scorers.py DATASET ENCODER`` halves the pool of a labelled dataset at random: the first half
is "last year's". Ten scorers, each a linear head on 100 labels of the first half, of all classes or of a half of them,
choose first labels in the second half, each paired with a random choice. Another linear head is trained on these first
labels alone and tested on the test split. It prints Markdown.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

from querist.analysis.paired import paired_test
from querist.arrays import Array, Ids
from querist.data.dataset import Dataset, datasets
from querist.data.memory import from_arrays
from querist.encoders.pixels import Pixels
from querist.evidence.needs import Features
from querist.evidence.provider import Fit
from querist.learners.base import learners
from querist.seeds import Seed
from querist.session.scorer import against, lesson_of, train_scorer
from querist.session.select import select
from querist.session.setting import Setting

SCORERS, LABELS, PER_CLASS = 10, 100, (1, 2, 5)
HEAD = learners.build("linear")


def halves(dataset: str, encoder: str) -> tuple[Dataset, Dataset]:
    """Return last year's items, all with labels, and this year's, with the test split, as rows of features."""
    data = datasets.build(dataset)
    x = np.asarray(Setting(data, encoder).features[Features(frame="all", normalise=False)], np.float32)
    y = data.labels.unseal()
    order = data.pool[np.argsort(Seed(0).child("last year", data.name).key().hash(data.pool))]
    last, this = np.sort(order[: len(order) // 2]), np.sort(order[len(order) // 2 :])
    rows = np.concatenate([this, data.test])
    split = ["pool"] * len(this) + ["test"] * len(data.test)
    return (
        from_arrays("last", x[last], y[last], classes=data.classes),
        from_arrays("this", x[rows], y[rows], split=split, classes=data.classes),
    )


def known(data: Dataset, share: float) -> Dataset:
    """Return the items of the first classes alone."""
    y = data.labels.unseal()
    rows = np.flatnonzero(y < share * data.c)
    return from_arrays(data.name, data.items[rows], y[rows], classes=data.classes)


def choices(pool: Ids, x: Array, p: Array, b: int, seed: int, folder: Path) -> dict[str, Ids]:
    """Return the first labels by every rule, ids of the pool."""
    groups = folder / "groups.npy"
    np.save(groups, p.argmax(axis=1))
    found = {name: select(name, b, probs=p, seed=seed).ids for name in ("entropy", "margin", "least_confidence")}
    found["surest first"] = np.argsort(-p.max(axis=1), kind="stable")[:b]
    shares = f"cluster_balanced_random(groups='{groups}')"
    found["random, equal shares of predicted classes"] = select(shares, b, features=x, seed=seed).ids
    found["typiclust, without a scorer"] = select("typiclust", b, features=x, seed=seed).ids
    found["random"] = select("random", b, size=len(pool), seed=seed).ids
    return {name: np.sort(pool[rows]) for name, rows in found.items()}


def accuracy(setting: Setting, ids: Ids, seed: int) -> float:
    """Return the test accuracy of a head on some labels."""
    data = setting.dataset
    rest = setting.view(np.setdiff1d(data.pool, ids))
    model = HEAD.fit(Fit(labelled=setting.view(ids, data.labels.unseal()[ids]), pool=rest, seed=Seed(seed)))
    assert setting.evaluator is not None
    return 100 * setting.evaluator.test(model)["accuracy"]


def main(dataset: str, encoder: str) -> None:
    """Print the table."""
    last, this = halves(dataset, encoder)
    setting = Setting(this)
    x = setting.view(this.pool)[Features()]
    counts = [this.c * k for k in PER_CLASS]
    print(f"| {dataset} | {' | '.join(f'{n} labels' for n in counts)} |\n|---|{'---:|' * len(counts)}")
    for share, words in ((1.0, "all classes"), (0.5, "half of the classes")):
        found: dict[str, list[list[float]]] = {}
        seen: dict[str, list[list[int]]] = {}
        for seed in range(SCORERS):
            lesson = against(lesson_of(known(last, share), "pool", LABELS, seed), this, leave_out=True)
            p = train_scorer(lesson, this, HEAD, Pixels(), seed=seed).outputs("probs")
            right = (p[this.test].argmax(axis=1) == this.labels.unseal()[this.test]).mean()
            found.setdefault("the scorer itself", []).append([100 * right] * len(counts))
            with tempfile.TemporaryDirectory() as folder:
                for place, b in enumerate(counts):
                    for name, ids in choices(this.pool, x, p[this.pool], b, seed, Path(folder)).items():
                        found.setdefault(name, []).extend([[]] if not place else [])
                        found[name][seed].append(accuracy(setting, ids, seed))
                        seen.setdefault(name, []).extend([[]] if not place else [])
                        seen[name][seed].append(len(np.unique(this.labels.unseal()[ids])))
        table = {name: np.array(values) for name, values in found.items()}
        covered = {name: np.mean(values, axis=0) for name, values in seen.items()}
        base = table.pop("random")
        itself = table.pop("the scorer itself").mean()
        print(f"| *scorer of {words}, {itself:.1f} % right* |{' |' * len(counts)}")
        print(f"| random | {' | '.join(f'{v:.1f}' for v in base.mean(axis=0))} |")
        for name, values in table.items():
            tests = [paired_test(column) for column in (values - base).T]
            cells = [f"{t.mean:+.1f} ± {(t.upper - t.lower) / 2:.1f}".replace("-", "−") for t in tests]
            print(f"| {name} | {' | '.join(cells)} |")
        print("classes seen:", {name: values.round(1).tolist() for name, values in covered.items()}, file=sys.stderr)


if __name__ == "__main__":
    main(*sys.argv[1:])
