"""200 linear heads at once beside one scikit-learn fit after another, in alternating calls of one process.

Run it with `make bench-fit`. Both get the same unit rows of the digits and the same penalty; scikit-learn has one
thread, ours one and two. Ours goes to its optimum; scikit-learn stops at its default tolerance, and at a tight one for
the comparison of coefficients.
"""

import json
import os
import platform
import sys
import time
import warnings
from importlib.metadata import version
from itertools import product
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from querist.data.digits import digits
from querist.evidence.provider import Fit
from querist.kernels.workers import workers
from querist.learners.linear import Linear
from querist.seeds import Seed
from querist.session.setting import Setting

SETS, LABELS, REPEATS = 200, 100, 5


def main() -> None:
    """Print one row per penalty, and write them as JSON where an argument says."""
    warnings.simplefilter("ignore")
    setting = Setting(digits())
    data = setting.dataset
    truth = data.labels.unseal()
    draw = Seed(0).child("benchmark").generator()
    chosen = [np.sort(draw.choice(data.pool, LABELS, replace=False)) for _ in range(SETS)]
    jobs = [Fit(setting.view(ids, truth[ids]), setting.view(data.pool), Seed(0)) for ids in chosen]
    rows = [(job.labelled[Linear().features].astype(np.float64), job.labelled.labels) for job in jobs]
    table = []
    with threadpool_limits(1):
        for penalty, threads in product((1.0, 20.0), (1, 2)):
            learner = Linear(C=penalty)
            learner.fit_many(jobs[:2])  # compiles
            ours, theirs = [], []
            for _ in range(REPEATS):
                start = time.perf_counter()
                with workers(threads):
                    models = learner.fit_many(jobs)
                middle = time.perf_counter()
                for x, y in rows:
                    LogisticRegression(C=penalty, max_iter=1000).fit(x, y)
                ours.append(middle - start)
                theirs.append(time.perf_counter() - middle)
            tight = [LogisticRegression(C=penalty, tol=1e-10, max_iter=100_000).fit(x, y) for x, y in rows[:20]]
            gap = max(
                float(np.abs(m.head.coef[t.classes_] - t.coef_).max())  # pyright: ignore[reportAttributeAccessIssue]
                for m, t in zip(models, tight, strict=False)
            )
            table.append({
                "C": penalty, "querist_threads": threads, "querist_ms": round(min(ours) / SETS * 1e3, 3),
                "scikit_learn_ms": round(min(theirs) / SETS * 1e3, 3), "ratio": round(min(theirs) / min(ours), 1),
                "largest_coefficient_gap": gap,
            })  # fmt: skip
            print(table[-1], flush=True)
    document = {
        "sets": SETS, "labels": LABELS, "d": 64, "classes": 10, "repeats": REPEATS,
        "python": platform.python_version(), "scikit-learn": version("scikit-learn"),
        "load": round(os.getloadavg()[0], 2), "rows": table,
    }  # fmt: skip
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
