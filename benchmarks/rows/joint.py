"""BatchBALD beside batchbald-redux, scikit-activeml and plain numpy."""

import numpy as np
from machine import products
from measure import alternate
from ours import joint
from references import naive_joint
from settings import THREADS, scaled
from structured import member_probabilities, points

from rows.table import ALONE, Row, at_least, at_most, row, table, times

K, C, SAMPLES = 20, 10, 10_000


def scikit_activeml(members: list[np.ndarray], b: int) -> np.ndarray:
    from skactiveml.pool._bald import batch_bald

    utilities = batch_bald(np.stack(members).astype(np.float64), b, n_MC_samples=SAMPLES, random_state=0)
    return np.nanargmax(utilities, axis=1)


def redux(members: list[np.ndarray], b: int):
    import torch
    from batchbald_redux.batchbald import get_batchbald_batch

    torch.set_num_threads(THREADS)
    logs = torch.log(torch.from_numpy(np.stack(members, axis=1)))
    return lambda: np.array(get_batchbald_batch(logs, b, SAMPLES, dtype=torch.double).indices)


@row
def batch_bald() -> list[Row]:
    rows, b = [], 5
    for N, large in ((scaled(1000, 200), False), (scaled(10_000, 400), True)):
        x, group = points(N, 64)
        members = member_probabilities(x, group, C, K)
        joint([p[:200] for p in members], 5, 1000)
        calls = {"querist": lambda members=members: joint(members, b, SAMPLES)}
        notes = []
        if ALONE:
            calls["batchbald-redux"] = redux(members, b)
            calls["naive numpy"] = lambda members=members: naive_joint(members, b)
        if ALONE and large:
            notes = ["scikit-activeml is in the row of fewer rows: here it asks for 15 GB"]
        elif ALONE:
            calls["scikit-activeml"] = lambda members=members: scikit_activeml(members, b)
        found = alternate(calls)
        mine = found["querist"].result
        same = {f"same picks as {name}": int((m.result == mine).sum()) for name, m in found.items()}
        same.pop("same picks as querist")
        goals = [at_most(100, "MB beyond the inputs", found["querist"].megabytes)] if large else []
        goals += [times(found, "batchbald-redux", 100)] if large and ALONE else []
        configurations = sum(C**step for step in range(b))
        limit = "the products of all candidates and configurations", products(configurations, N * C, K)
        rows.append(
            table("batch_bald", f"{N} x K={K} x C={C}, b={b}", found, limit=limit, goals=goals, notes=notes, **same)
        )
    return rows


@row
def batch_bald_long() -> list[Row]:
    N, b = scaled(10_000, 400), scaled(50, 6)
    x, group = points(N, 64)
    members = member_probabilities(x, group, C, K)
    joint([p[:200] for p in members], 5, 1000)
    found = alternate({"querist": lambda: joint(members, b, SAMPLES)}, repeats=1)
    limit = "the products of all candidates and samples", products(b * SAMPLES, N * C, K)
    goals = [
        at_least(b, "distinct picks", len(set(found["querist"].result.tolist()))),
        at_most(120, "seconds", found["querist"].seconds),
    ]
    notes = ["batchbald-redux takes about 15 s for each pick after the fifth and was not run"]
    return [table("batch_bald", f"{N} x K={K} x C={C}, b={b}", found, limit=limit, goals=goals, notes=notes)]
