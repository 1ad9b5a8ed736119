"""Coverage beside scikit-activeml, apricot, submodlib and plain numpy: ProbCover, facility location, herding."""

import numpy as np
from machine import products
from measure import alternate
from ours import cover, prob_cover as our_prob_cover, ties
from references import covered_by_balls, facility_value, halved_cosine, naive_balls, naive_facility
from settings import scaled
from structured import points, probabilities, radius

from querist.kernels.coverage import cosine, gaussian
from rows.table import ALONE, Row, at_least, at_most, row, table, times

PASS = "the products of one half pass over all pairs"


def half_pass(N: int, d: int) -> float:
    return products(N, N, d) / 2


@row
def prob_cover() -> list[Row]:
    rows = []
    small, wide = (scaled(10_000, 1000), scaled(100, 5), False), (scaled(50_000, 2000), scaled(1000, 5), True)
    for N, b, large in (small, wide):
        d = 64
        x, _ = points(N, d)
        delta = radius(x)
        our_prob_cover(x[:1000], delta, 5)
        calls = {"querist": lambda x=x, delta=delta, b=b: our_prob_cover(x, delta, b)}
        if ALONE and not large:
            calls["scikit-activeml"] = lambda x=x, delta=delta, b=b: scikit_activeml_balls(x, delta, b)
            calls["naive numpy"] = lambda x=x, delta=delta, b=b: naive_balls(x, delta, ties(len(x)), b)
        found = alternate(calls)
        covered = {f"rows covered by {name}": covered_by_balls(x, delta, m.result) for name, m in found.items()}
        if large:
            share = found["querist"].megabytes / (8.0 * N * N / 2**20)
            goals = [at_most(0.02, "of the memory of N x N distances in float64", share)]
            notes = ["scikit-activeml and naive numpy want N x N arrays, 20 GB and 2.5 GB, and were not run"]
        else:
            goals = [times(found, "scikit-activeml", 40)] if ALONE else []
            notes = ["scikit-activeml breaks ties at random"] if ALONE else []
            if ALONE:
                mine, naive = found["querist"].result, found["naive numpy"].result
                covered["same picks as naive numpy"] = int((naive == mine[: len(naive)]).sum())
        rows.append(
            table(
                "prob_cover", f"{N} x {d}, mean degree 100, b={b}", found, limit=(PASS, half_pass(N, d)),
                goals=goals, notes=notes, **covered,
            )
        )  # fmt: skip
    return rows


def scikit_activeml_balls(x: np.ndarray, delta: float, b: int) -> np.ndarray:
    from skactiveml.pool import ProbCover

    rule = ProbCover(n_classes=10, deltas=[delta], random_state=0)
    return np.asarray(rule.query(x, np.full(len(x), np.nan), batch_size=b))


def apricot(x: np.ndarray, b: int) -> np.ndarray:
    from apricot import FacilityLocationSelection

    return FacilityLocationSelection(b, metric="precomputed", optimizer="lazy").fit(halved_cosine(x)).ranking


def submodlib(x: np.ndarray, b: int) -> np.ndarray:
    import submodlib as library

    rule = library.FacilityLocationFunction(n=len(x), mode="dense", sijs=halved_cosine(x), separate_rep=False)
    return np.array([i for i, _ in rule.maximize(budget=b, optimizer="LazyGreedy", show_progress=False)])


@row
def facility_location() -> list[Row]:
    N, d, b = scaled(10_000, 800), 64, scaled(1000, 10)
    x, _ = points(N, d)
    cover(x[:500], cosine(), 5)
    calls = {
        "querist": lambda: cover(x, cosine(), b).rows,
        "apricot": lambda: apricot(x, b),
        "submodlib": lambda: submodlib(x, b),
        "naive numpy, lazy": lambda: naive_facility(x, b),
    }
    found = alternate(calls)
    reached = {name: facility_value(x, m.result) for name, m in found.items()}
    goals = [times(found, "apricot", 3.5), times(found, "submodlib", 10)]
    goals += [
        at_least(0.999, f"times the objective of {who}", reached["querist"] / reached[who])
        for who in ("apricot", "submodlib")
    ]
    return [
        table(
            "facility_location", f"{N} x {d}, b={b}", found, limit=(PASS, half_pass(N, d)), goals=goals,
            notes=["apricot and submodlib are given the N x N similarities, computed by numpy within their time"],
            **{f"objective of {name}": round(value, 4) for name, value in reached.items()},
        )
    ]  # fmt: skip


@row
def herding() -> list[Row]:
    from skactiveml.pool import MaxHerding

    N, d, b = scaled(10_000, 800), 64, scaled(20, 5)
    x, _ = points(N, d)
    cover(x[:500], gaussian(1.0), 5)
    calls = {"querist": lambda: cover(x, gaussian(1.0), b).rows}
    if ALONE:
        rule = MaxHerding(metric_dict={"gamma": 1.0}, random_state=0)
        calls["scikit-activeml"] = lambda: np.asarray(rule.query(x, np.full(N, np.nan), batch_size=b))
    found = alternate(calls)
    same = {f"same picks as {n}": int((m.result == found["querist"].result).sum()) for n, m in found.items()}
    same.pop("same picks as querist")
    return [table("max_herding", f"{N} x {d}, b={b}", found, limit=(PASS, half_pass(N, d)), **same)]


@row
def herding_large() -> list[Row]:
    """Minutes: no peer can do this, and plain numpy would want 10 GB."""
    N, d, b = scaled(50_000, 2000), 512, scaled(1000, 10)
    x, group = points(N, d)
    p = np.partition(probabilities(x, group, 100), -2, axis=1)
    unsure = 1.0 - (p[:, -1] - p[:, -2]).astype(np.float64)
    cover(x[:500], gaussian(1.0), 5)
    rows = []
    for name, weight in (("max_herding", None), ("uherding", unsure)):
        found = alternate({"querist": lambda weight=weight: cover(x, gaussian(1.0), b, weight)}, repeats=1)
        picks = found["querist"].result
        sure = picks.certificate
        goals = [at_least(N, "rows that gains are summed over", sure.references)]
        rows.append(
            table(
                name, f"{N} x {d}, sigma=1, b={b}", found, limit=(PASS, half_pass(N, d)), goals=goals,
                **{"picks": len(picks.rows), "share of the best possible coverage, certified": round(sure.share, 4)},
            )
        )  # fmt: skip
    return rows
