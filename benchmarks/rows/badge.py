"""BADGE beside scikit-activeml and plain numpy on factored gradients."""

import numpy as np
from machine import reading
from measure import alternate
from ours import seeding
from references import naive_seeding, potential, residuals
from settings import scaled
from structured import points, probabilities

from rows.table import ALONE, Goal, Row, at_most, row, table, times


def potentials(a: np.ndarray, z: np.ndarray, b: int, seeds: int) -> Row:
    """Return how our potentials compare with naive ones over some seeds."""
    ours = np.array([potential(a, z, seeding(a, z, b, s)) for s in range(seeds)])
    naive = np.array([potential(a, z, naive_seeding(a, z, b, s)) for s in range(seeds)])
    error = np.hypot(ours.std(ddof=1) / ours.mean(), naive.std(ddof=1) / naive.mean()) / np.sqrt(seeds)
    return {
        f"potential / naive, mean of {seeds} seeds": round(float(ours.mean() / naive.mean()), 5),
        "standard error of that": round(float(error), 5),
    }


def scikit_activeml(p: np.ndarray, x: np.ndarray, b: int) -> list[int]:
    from skactiveml.base import SkactivemlClassifier
    from skactiveml.pool import Badge

    class Given(SkactivemlClassifier):
        """A classifier whose probabilities are known."""

        def fit(self, X: np.ndarray, y: np.ndarray) -> "Given":
            return self

        def predict_proba(self, X: np.ndarray) -> np.ndarray:
            return p

    clf = Given(classes=list(range(p.shape[1])))
    return Badge(random_state=0).query(x, np.full(len(x), np.nan), clf, fit_clf=False, batch_size=b)


@row
def badge() -> list[Row]:
    rows = []
    small = scaled(10_000, 3000), 64, scaled(100, 5), 30
    wide = scaled(50_000, 3000), 512, scaled(1000, 5), 3
    for N, d, b, seeds in (small, wide):
        c = 100
        x, group = points(N, d)
        p = probabilities(x, group, c)
        a = residuals(p)
        seeding(a[:3000], x[:3000], 5)
        calls = {
            "querist": lambda a=a, x=x, b=b: seeding(a, x, b),
            "naive numpy": lambda a=a, x=x, b=b: naive_seeding(a, x, b, 0),
        }
        if ALONE and d == 64:
            calls["scikit-activeml"] = lambda p=p, x=x, b=b: scikit_activeml(p, x, b)
        found = alternate(calls)
        quality = potentials(a, x, b, seeds) if ALONE else {}
        goals: list[Goal] = [times(found, "naive numpy", 10)] if d == 512 else []
        goals += [times(found, "scikit-activeml", 300)] if "scikit-activeml" in found else []
        if quality:
            apart, error = abs(next(iter(quality.values())) - 1.0), quality["standard error of that"]
            goals.append(at_most(0.01, f"potential apart from naive (standard error {error})", apart))
        limit = "reading all gradients once a pick", reading(4.0 * N * (c + d) * b)
        rows.append(table("badge", f"{N} x {d}, C={c}, b={b}", found, limit=limit, goals=goals, **quality))
    return rows


@row
def badge_large() -> list[Row]:
    N, d, c, b, steps = scaled(1_280_000, 3000), 512, 100, scaled(1000, 25), 20
    x, group = points(N, d)
    a = residuals(probabilities(x, group, c))
    seeding(a[:3000], x[:3000], 5)
    naive = f"naive numpy, {steps} picks"
    found = alternate({"querist": lambda: seeding(a, x, b), naive: lambda: naive_seeding(a, x, steps, 0)})
    share = found["querist"].seconds * (steps - 1) / (found[naive].seconds * (b - 1))
    goals = [
        at_most(1024, "MB beyond the inputs", found["querist"].megabytes),
        at_most(10, "seconds", found["querist"].seconds),
    ]
    limit = "reading all gradients once a pick", reading(4.0 * N * (c + d) * b)
    return [
        table(
            "badge", f"{N} x {d}, C={c}, b={b}", found, limit=limit, goals=goals,
            **{"share of naive numpy, extrapolated": round(share, 4)},
        )
    ]  # fmt: skip
