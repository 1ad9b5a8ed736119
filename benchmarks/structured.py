"""Structured points, class probabilities and gradients for benchmarks: uneven groups with a decaying spectrum."""

import numpy as np
import numpy.typing as npt

Float32s = npt.NDArray[np.float32]
GROUPS = 100
STEP = 16_384


def points(N: int, d: int, seed: int = 0) -> tuple[Float32s, npt.NDArray[np.int64]]:
    """Return unit rows ``(N, d)`` around 100 means, and each row's group.

    Group sizes fall as ``rank^-0.8``; means are N(0, I / d); noise is 0.8 times a vector whose variances fall as 1 / j
    along the axes of one random rotation, 1 in total.
    """
    rng = np.random.default_rng(seed)
    share = np.arange(1, GROUPS + 1) ** -0.8
    group = np.sort(rng.choice(GROUPS, N, p=share / share.sum()))
    rng.shuffle(group)
    mean = rng.normal(size=(GROUPS, d)) / np.sqrt(d)
    spread = np.arange(1, d + 1) ** -0.5
    spread /= np.linalg.norm(spread)
    rotation = np.linalg.qr(rng.normal(size=(d, d)))[0]
    turn = (0.8 * spread[:, None] * rotation).astype(np.float32)
    x = np.empty((N, d), np.float32)
    for start in range(0, N, STEP):
        part = slice(start, start + STEP)
        z = rng.standard_normal((len(group[part]), d), dtype=np.float32)
        x[part] = mean[group[part]] + z @ turn
        x[part] /= np.linalg.norm(x[part], axis=1, keepdims=True)
    return x, group


def probabilities(x_N_d: Float32s, group_N: npt.NDArray[np.int64], c: int) -> Float32s:
    """Return ``softmax(temperature <x, unit class mean>)``, ``(N, c)``; a row's class is its group modulo `c`."""
    total = np.zeros((c, x_N_d.shape[1]), np.float32)
    np.add.at(total, group_N[:50_000] % c, x_N_d[:50_000])
    weight = (total / np.linalg.norm(total, axis=1, keepdims=True)).T * np.float32(12.0 if c <= 10 else 6.7)
    p = np.empty((len(x_N_d), c), np.float32)
    for start in range(0, len(x_N_d), STEP):
        z = x_N_d[start : start + STEP] @ weight
        z = np.exp(z - z.max(axis=1, keepdims=True))
        p[start : start + STEP] = z / z.sum(axis=1, keepdims=True)
    return p


def member_probabilities(x_N_d: Float32s, group_N: npt.NDArray[np.int64], c: int, k: int) -> list[Float32s]:
    """Return what `k` members of a committee say, each ``(N, c)``: `probabilities` with noise of sd 1 on the logits."""
    p = np.log(probabilities(x_N_d, group_N, c))
    rng = np.random.default_rng(1)
    members = []
    for _ in range(k):
        noise = rng.standard_normal((x_N_d.shape[1], c), dtype=np.float32)
        q = np.empty_like(p)
        for start in range(0, len(p), STEP):
            z = p[start : start + STEP] + x_N_d[start : start + STEP] @ noise
            z = np.exp(z - z.max(axis=1, keepdims=True))
            q[start : start + STEP] = z / z.sum(axis=1, keepdims=True)
        members.append(q)
    return members


def radius(x_N_d: Float32s, degree: int = 100, sample: int = 500) -> float:
    """Return the distance within which a row has about `degree` neighbours."""
    some = x_N_d[:: max(1, len(x_N_d) // sample)]
    rate = min(1.0, degree / len(x_N_d))
    gap = np.concatenate([2.0 - 2.0 * (some @ x_N_d[s : s + STEP].T).ravel() for s in range(0, len(x_N_d), STEP)])
    place = min(len(gap) - 1, int(rate * len(gap)))
    return float(np.sqrt(max(1e-12, np.partition(gap, place)[place])))
