"""Rounds per second of the demo study beside the same loop in scikit-activeml, arm by arm, in one process.

Run it with `make bench-session`. Both sides get the same unit-length features, the same initial pools, batches and
number of rounds, the same penalty of the logistic regression, and one thread. Ours writes and syncs its ledgers.
"""

import json
import platform
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

import numpy as np
from skactiveml.classifier import SklearnClassifier
from skactiveml.pool import Badge, CoreSet, RandomSampling, TypiClust, UncertaintySampling
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from querist.evidence.needs import Features
from querist.labels.book import Book
from querist.studies.execute import execute
from querist.studies.plan import Run
from querist.studies.study import Study

REPEATS = 3
PEERS: dict[str, Callable[[int], object]] = {
    "random": lambda seed: RandomSampling(random_state=seed),
    "margin": lambda seed: UncertaintySampling(method="margin_sampling", random_state=seed),
    "entropy": lambda seed: UncertaintySampling(method="entropy", random_state=seed),
    "k_center_greedy": lambda seed: CoreSet(random_state=seed),
    "badge": lambda seed: Badge(random_state=seed),
    "typiclust": lambda seed: TypiClust(random_state=seed),
}


def ours(study: Study, runs: list[Run]) -> tuple[float, float]:
    """Return the seconds our side takes for some runs in a fresh store, and the mean of their last accuracies."""
    with tempfile.TemporaryDirectory() as folder:
        fresh = Study(study.spec, folder)
        same = [run for run in fresh.plan.runs if run.digest in {r.digest for r in runs}]
        _ = same[0].arm.setting.features
        start = time.perf_counter()
        execute(same, fresh.store)
        seconds = time.perf_counter() - start
        table = fresh.records().rounds
    last = table[(table.metric == "accuracy") & (table.checkpoint == table.checkpoint.max())]
    return seconds, float(last.value.mean())


def theirs(name: str, run: Run, initial: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Return the seconds scikit-activeml takes for one run, and its last accuracy."""
    data = run.arm.setting.dataset
    x = run.arm.setting.features[Features(frame="all")].astype(np.float64)
    pool, test = data.pool, data.test
    x_pool, y_pool, x_test, y_test = x[pool], truth[pool], x[test], truth[test]
    start = time.perf_counter()
    known = np.full(len(pool), np.nan)
    known[np.searchsorted(pool, initial)] = truth[initial]
    strategy = PEERS[name](run.pool)
    accuracy = 0.0
    for t in range(len(run.counts)):
        head = LogisticRegression(C=run.arm.learner.C, max_iter=1000)
        model = SklearnClassifier(head, classes=list(range(data.c)), random_state=run.pool).fit(x_pool, known)
        accuracy = float((model.predict(x_test) == y_test).mean())
        if t + 1 < len(run.counts):
            b = run.counts[t + 1] - run.counts[t]
            options = {"fit_clf": False} if name in ("margin", "entropy") else {}
            options |= {"clf": model} if name in ("margin", "entropy", "badge") else {}
            picked = strategy.query(X=x_pool, y=known, batch_size=b, **options)
            known[picked] = y_pool[picked]
    return time.perf_counter() - start, accuracy


def main() -> None:
    """Print the table, and write it as JSON where an argument says."""
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder, threadpool_limits(1):
        demo = Path(folder) / "demo.toml"
        demo.write_text((files("querist.studies") / "demo.toml").read_text())
        study = Study.read(demo, folder)
        truth = study.plan.arms[0].setting.dataset.labels.unseal()
        rows = []
        for name in PEERS:
            runs = [run for run in study.plan.runs if run.arm.name == name]
            rounds = sum(len(run.counts) for run in runs)
            execute(runs, study.store)  # compiles, and gives the initial pools
            initials = [np.array(Book.replay(study.store.run(run).ledger).asked[0].ids) for run in runs]
            times: dict[str, list[float]] = {"ours": [], "theirs": []}
            for _ in range(REPEATS):
                seconds, accuracy = ours(study, runs)
                times["ours"].append(seconds)
                results = [theirs(name, run, ids, truth) for run, ids in zip(runs, initials, strict=True)]
                times["theirs"].append(sum(seconds for seconds, _ in results))
            mine, peer = rounds / min(times["ours"]), rounds / min(times["theirs"])
            rows.append({
                "arm": name, "querist_rounds_per_s": round(mine, 1), "scikit_activeml_rounds_per_s": round(peer, 1),
                "ratio": round(mine / peer, 2), "querist_accuracy": round(accuracy, 4),
                "scikit_activeml_accuracy": round(float(np.mean([a for _, a in results])), 4),
            })  # fmt: skip
            print(rows[-1], flush=True)
    document = {
        "python": platform.python_version(), "numpy": np.__version__, "scikit-learn": version("scikit-learn"),
        "scikit-activeml": version("scikit-activeml"), "machine": platform.processor() or platform.machine(),
        "threads": 1, "repeats": REPEATS, "rows": rows,
    }  # fmt: skip
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
