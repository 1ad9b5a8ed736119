"""k-center greedy beside scikit-activeml, small-text and plain numpy."""

import numpy as np
from machine import products, reading
from measure import alternate
from ours import farthest_first
from references import naive_farthest_first
from settings import scaled
from structured import points

from rows.table import ALONE, Row, at_least, at_most, row, table, times


def scikit_activeml(x: np.ndarray, b: int) -> np.ndarray:
    from skactiveml.pool import CoreSet

    y = np.full(len(x), np.nan)
    y[0] = 0
    return np.asarray(CoreSet(random_state=0).query(x, y, batch_size=b))


def small_text(x: np.ndarray, b: int) -> np.ndarray:
    from small_text.query_strategies.coresets import greedy_coreset

    # It takes positions among unlabelled rows for positions among all: right only if the labelled row is the last.
    turned = np.roll(x, -1, axis=0)
    labelled = np.array([len(x) - 1])
    return greedy_coreset(turned, np.arange(len(x) - 1), labelled, b, "euclidean", 4096, True) + 1


@row
def k_center() -> list[Row]:
    rows = []
    for N, d, b in ((scaled(10_000, 500), 64, scaled(100, 5)), (scaled(50_000, 500), 512, scaled(1000, 5))):
        x, _ = points(N, d)
        farthest_first(x[:3000], 5)
        calls = {
            "querist": lambda x=x, b=b: farthest_first(x, b),
            "naive numpy": lambda x=x, b=b: naive_farthest_first(x, 0, b),
        }
        if ALONE:
            calls["scikit-activeml"] = lambda x=x, b=b: scikit_activeml(x, b)
        if ALONE and d == 64:
            calls["small-text"] = lambda x=x, b=b: small_text(x, b)
        found = alternate(calls)
        mine = found["querist"].result
        same = {f"same picks as {name}": int((m.result == mine).sum()) for name, m in found.items() if name in calls}
        same.pop("same picks as querist")
        goals = []
        if d == 512:
            # Products in float32 confuse rows that are nearly as far; in float64 none is.
            exact = int((naive_farthest_first(x.astype(np.float64), 0, b) == mine).sum())
            goals = [at_least(b, "picks as naive numpy in float64, in order", exact)]
            goals += [times(found, "scikit-activeml", 20)] if ALONE else []
        limit = "one product of all rows and all centres", products(N, b, d)
        rows.append(table("k_center_greedy", f"{N} x {d}, b={b}", found, limit=limit, goals=goals, **same))
    return rows


@row
def k_center_large() -> list[Row]:
    N, d, b, steps = scaled(1_280_000, 500), 512, scaled(1000, 5), scaled(100, 2)
    x, _ = points(N, d)
    farthest_first(x[:3000], 10)
    found = alternate({
        "querist": lambda: farthest_first(x, b),
        f"naive numpy, {steps} steps": lambda: naive_farthest_first(x, 0, steps),
    })  # fmt: skip
    naive = found[f"naive numpy, {steps} steps"]
    same = int((found["querist"].result[:steps] == naive.result).sum())
    half = x.astype(np.float16)
    farthest_first(half[:3000], 10)
    found |= alternate({"querist, float16 features": lambda: farthest_first(half, b)}, repeats=1)
    return [
        table(
            "k_center_greedy", f"{N} x {d}, b={b}", found,
            limit=("reading all rows once a pick", reading(4.0 * N * d * b)),
            goals=[
                at_most(2, f"of the time of {steps} naive steps", found["querist"].seconds / naive.seconds),
                at_most(150, "MB beyond the features", found["querist"].megabytes),
            ],
            **{f"same picks as naive numpy, of the first {steps}": same},
        )
    ]  # fmt: skip
