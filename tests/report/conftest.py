"""A made-up study with a clear winner, a clear loser, an oracle and a name that attacks the page."""

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from querist.report.results import StudyResults

HOSTILE = '<script>alert("x")</script>'
GAINS = {
    "random": 0.0, "margin": 0.03, "entropy": -0.03, "badge": 0.0002, "stochastic(margin, beta=1)": 0.01,
    "oracle_uniform": 0.05, HOSTILE: 0.004,
}  # fmt: skip


def make_study(
    gains: dict[str, float] | None = None,
    pools: int = 10,
    metric: str = "accuracy",
    budgets=(10, 20, 40, 80),
    **changes,
) -> StudyResults:
    rng = np.random.default_rng(0)
    gains = GAINS if gains is None else gains
    rounds, picks = [], []
    for pool in range(pools):
        level = rng.normal(0.5, 0.02)
        for arm, gain in gains.items():
            jitter = rng.normal(0, 0.001)
            for checkpoint, n in enumerate(budgets):
                value = level + gain + jitter + 0.1 * math.log10(n / 10)
                rounds.append(("made up", arm, "digits", pool, 0, checkpoint, n, metric, value))
            for number in range(-1, len(budgets) - 1):
                ids = np.arange(4) + 10 * pool if number < 0 else rng.choice(np.arange(200, 300), 4, replace=False)
                picks += [(arm, pool, 0, number, rank, int(i), f"item/{i}") for rank, i in enumerate(ids)]
    columns = ["study", "arm", "dataset", "pool", "seed", "checkpoint", "n_labels", "metric", "value"]
    settings = {
        "name": "made up", "metric": metric,
        "rounds": pd.DataFrame(rounds, columns=columns),
        "picks": pd.DataFrame(picks, columns=["arm", "pool", "seed", "round", "rank", "id", "key"]),
        "arms": pd.DataFrame({"arm": list(gains), "flags": ["oracle" if "oracle" in arm else "" for arm in gains]}),
        "settings": {"learner": "linear", "digest": "0123abcd"},
    }  # fmt: skip
    return StudyResults(**(settings | changes))


@pytest.fixture(scope="session")
def make() -> Callable[..., StudyResults]:
    return make_study


@pytest.fixture(scope="session")
def hostile() -> str:
    return HOSTILE


@pytest.fixture(scope="session")
def study() -> StudyResults:
    pictures = {i: np.full((8, 8), i % 256, dtype=np.uint8) for i in range(300)}
    return make_study(pictures=pictures, captions={i: f"class {i % 10}" for i in range(300)})
