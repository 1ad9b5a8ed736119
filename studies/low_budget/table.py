"""The tables of these studies: what few labels bring by how they are chosen, and what the first pool brings later.

``python studies/low_budget/table.py STORE NAME DATASET`` reads the tables of the study NAME and prints Markdown;
DATASET is its dataset as a composition, for the classes that picks are of.
"""

import sys
from pathlib import Path

import pandas as pd

from querist.analysis.paired import paired_test
from querist.data.dataset import datasets

FIRST = ("random", "kmeans_multi_batch", "typiclust")
ARMS = {"kmeans_multi_batch": "kmeans_multi_batch", "typiclust": "typiclust", "entropy": "random"}
"""Strategies, each beginning with a first pool of its own, or with a random one if it needs a model."""


def parts(arm: str) -> tuple[str, str, str]:
    """Return strategy, learner and first pool of an arm."""
    strategy, *rest = arm.split(" | ")
    settings = dict(word.split("=", 1) for word in rest)
    return strategy, settings["learner"], settings["initial"]


def curves(rounds: pd.DataFrame, metric: str = "accuracy") -> dict[tuple[str, str, str], pd.DataFrame]:
    """Return a table of pools by labels for every arm."""
    chosen = rounds[rounds["metric"] == metric]
    return {
        parts(str(arm)): table.pivot_table(index="pool", columns="n_labels", values="value")
        for arm, table in chosen.groupby("arm")
    }


def covered(picks: pd.DataFrame, labels: pd.Series) -> dict[tuple[str, str, str], pd.DataFrame]:
    """Return how many classes the labels of every arm are of, pools by rounds."""
    picks = picks.assign(label=labels.reindex(picks["id"]).to_numpy())
    found: dict[tuple[str, str, str], pd.DataFrame] = {}
    for arm, table in picks.groupby("arm"):
        seen = {
            pool: [part[part["round"] <= last]["label"].nunique() for last in sorted(part["round"].unique())]
            for pool, part in table.groupby("pool")
        }
        found[parts(str(arm))] = pd.DataFrame(seen).T
    return found


def difference(one: pd.DataFrame, other: pd.DataFrame, count: int) -> str:
    """Return the paired difference at a number of labels with its 95 % interval, in points."""
    test = paired_test(100 * (one[count] - other[count]).to_numpy())
    return f"{test.mean:+.1f} ± {(test.upper - test.lower) / 2:.1f}"


def main(store: Path, name: str, dataset: str) -> None:
    """Print the tables."""
    folder = store / "studies" / name
    found, picks = curves(pd.read_parquet(folder / "rounds.parquet")), pd.read_parquet(folder / "picks.parquet")
    seen = covered(picks, pd.Series(datasets.build(dataset).labels.unseal()))
    counts = list(next(iter(found.values())).columns)
    for learner in sorted({key[1] for key in found}):
        base = found["random", learner, "random"]
        print(f"\n{name}, {learner}: accuracy, then minus random, in points, {len(base)} pools\n")
        print("| labels | " + " | ".join(map(str, counts)) + " |\n|---|" + "---:|" * len(counts))
        print("| random | " + " | ".join(f"{100 * base[n].mean():.1f}" for n in counts) + " |")
        for strategy, initial in ARMS.items():
            row = [difference(found[strategy, learner, initial], base, n) for n in counts]
            print(f"| {strategy} | " + " | ".join(row) + " |")
        for strategy, initial in {"random": "random", **ARMS}.items():
            row = [f"{v:.1f}" for v in seen[strategy, learner, initial].mean()]
            print(f"| classes seen: {strategy} | " + " | ".join(row) + " |")
        for initial in FIRST[1:]:
            row = [difference(found["random", learner, initial], base, n) for n in counts]
            print(f"| first pool {initial}, then random | " + " | ".join(row) + " |")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
