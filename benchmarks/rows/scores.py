"""Scores of rows beside scikit-activeml, modAL, batchbald-redux and plain numpy, with the top b of each."""

import numpy as np
from machine import reading
from measure import alternate
from ours import top_entropy, top_information, top_margin, top_uncertainties
from references import GivenProbabilities, naive_information, naive_uncertainty
from settings import scaled
from structured import member_probabilities, points

from rows.table import ALONE, Row, row, table, times


@row
def scores() -> list[Row]:
    from modAL import uncertainty as modal
    from skactiveml.pool import uncertainty_scores

    rows, b = [], scaled(1000, 5)
    for N, c in ((scaled(1_280_000, 5000), 100), (scaled(1_280_000, 5000), 10)):
        rng = np.random.default_rng(0)
        p = rng.standard_gamma(0.3, size=(N, c), dtype=np.float32)
        p += np.float32(1e-20)
        p /= p.sum(axis=1, keepdims=True)
        given = GivenProbabilities(p)

        def theirs(method: str, p: np.ndarray = p) -> np.ndarray:
            # Its own batch step writes b x N utilities, 10 GB here; plain numpy picks from its scores instead.
            return np.argpartition(-uncertainty_scores(p, method=method), b)[:b]

        top_uncertainties(p[:5000], b), top_entropy(p[:5000], b), top_margin(p[:5000], b)
        calls = {
            "querist": lambda p=p: top_uncertainties(p, b),
            "naive numpy": lambda p=p: naive_uncertainty(p, b),
            "querist, entropy": lambda p=p: top_entropy(p, b),
            "querist, margin": lambda p=p: top_margin(p, b),
        }
        if ALONE:
            calls |= {
                "scikit-activeml, entropy": lambda theirs=theirs: theirs("entropy"),
                "scikit-activeml, margin": lambda theirs=theirs: theirs("margin_sampling"),
                "modAL, entropy": lambda given=given, p=p: modal.entropy_sampling(given, p, n_instances=b),
                "modAL, margin": lambda given=given, p=p: modal.margin_sampling(given, p, n_instances=b),
            }
        found = alternate(calls)
        goals, same = [], {}
        if ALONE:
            for who in ("scikit-activeml", "modAL"):
                for score, place in (("entropy", 0), ("margin", 1)):
                    one = {"querist": found[f"querist, {score}"], f"{who}, {score}": found[f"{who}, {score}"]}
                    goals += [times(one, f"{who}, {score}", 4)] if c == 100 else []
                    theirs_too = {int(i) for i in np.asarray(found[f"{who}, {score}"].result[:b]).ravel()}
                    mine = {int(i) for i in found["querist"].result[place]}
                    same[f"{score}, rows in common with {who}"] = len(mine & theirs_too)
        rows.append(
            table(
                f"entropy + margin + least confidence, top {b} of each", f"{N} x {c}", found,
                limit=("reading the probabilities once", reading(4.0 * N * c)), goals=goals, **same,
                notes=["querist and naive numpy give all three scores, the others one; goals compare one with one"],
            )
        )  # fmt: skip
    return rows


@row
def bald() -> list[Row]:
    N, k, c, b = scaled(50_000, 2000), 20, 100, scaled(1000, 5)
    x, group = points(N, 64)
    members = member_probabilities(x, group, c, k)
    top_information([p[:2000] for p in members], 5)
    calls = {"querist": lambda: top_information(members, b), "naive numpy": lambda: naive_information(members, b)}
    if ALONE:
        calls["batchbald-redux"] = _redux(members, b)
    found = alternate(calls)
    mine = {int(i) for i in found["querist"].result}
    same = {f"rows in common with {n}": len(mine & {int(i) for i in m.result}) for n, m in found.items()}
    same.pop("rows in common with querist")
    goals = [times(found, "batchbald-redux", 100)] if ALONE else []
    limit = "reading the probabilities once", reading(4.0 * N * k * c)
    return [table("bald", f"{N} x K={k} x C={c}, b={b}", found, limit=limit, goals=goals, **same)]


def _redux(members: list[np.ndarray], b: int):
    import torch
    from batchbald_redux.batchbald import get_bald_batch
    from settings import THREADS

    torch.set_num_threads(THREADS)
    # In the form it asks for, which is not timed.
    logs = torch.log(torch.from_numpy(np.stack(members, axis=1)))
    return lambda: get_bald_batch(logs, b).indices
