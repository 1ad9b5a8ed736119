"""batchbald_redux: BALD and BatchBALD of given log-probabilities."""

import itertools
from functools import partial

import numpy as np
from case import Case, Seen

batchbald = partial(Case, distribution="batchbald-redux", module="batchbald_redux")


def silent(name, *args):
    """Call a function of theirs without its progress bars."""
    from unittest import mock

    from batchbald_redux import batchbald as module, joint_entropy

    class Bar:
        def __init__(self, items=(), **_):
            self.items = items

        def __iter__(self):
            return iter(self.items)

        def update(self, n):
            pass

        def close(self):
            pass

    with mock.patch.object(module, "tqdm", Bar), mock.patch.object(joint_entropy, "tqdm", Bar):
        return getattr(module, name)(*args)


def zeros() -> Seen:
    """Put one certain item, whose members all agree, into a pool of uncertain ones."""
    import torch

    import querist

    p = np.random.default_rng(0).dirichlet(np.ones(3), size=(50, 10))
    p[7] = 1.0, 0.0, 0.0
    with np.errstate(divide="ignore"):
        log_p = torch.tensor(np.log(p))
    bald = silent("get_bald_batch", log_p, 3)
    batch = silent("get_batchbald_batch", log_p, 3, 1000)
    right = querist.select("bald", 3, draws=p.transpose(1, 0, 2)).ids.tolist()
    return Seen(
        fails=7 in bald.indices or 7 in batch.indices,
        happened=f"BALD returns {bald.indices} with scores {[round(s, 3) for s in bald.scores]}, BatchBALD "
        f"{batch.indices} "
        f"with {batch.scores}; item 7 is the certain one, its score is 0. Querist's BALD on the same draws: {right}.",
    )


def first_pick() -> Seen:
    """Compare the first pick with the best BALD score in closed form over many pools."""
    import torch

    wrong = 0
    for seed in range(50):
        p = np.random.default_rng(seed).dirichlet(np.ones(3), size=(20, 5))
        mean = p.mean(1)
        score = -(mean * np.log(mean)).sum(-1) + (p * np.log(p)).sum(-1).mean(-1)
        wrong += silent("get_batchbald_batch", torch.tensor(np.log(p)), 1, 1000).indices != [int(score.argmax())]
    return Seen(fails=wrong > 0, happened=f"{50 - wrong} of 50 first picks are the argmax of BALD.")


def exact_table() -> Seen:
    """Compare the score of the third pick with the enumeration of all configurations of labels."""
    import torch

    worst = 0.0
    for seed in range(20):
        p = np.random.default_rng(seed).dirichlet(np.ones(3), size=(12, 5))
        got = silent("get_batchbald_batch", torch.tensor(np.log(p)), 3, 10_000)
        q = p[got.indices]
        joint = [
            np.prod([q[i, :, y] for i, y in enumerate(ys)], 0).mean() for ys in itertools.product(range(3), repeat=3)
        ]
        want = -sum(v * np.log(v) for v in joint) + (q * np.log(q)).sum(-1).mean(-1).sum()
        worst = max(worst, abs(got.scores[2] - want))
    return Seen(fails=worst > 1e-6, happened=f"the largest difference over 20 pools is {worst:.0e} nats.")


CASES = (
    batchbald(
        id="batchbald-redux-N1",
        row="N1",
        mistake="`p log p` without a guard is NaN at p = 0, and the most confident item is bought first",
        subject="`get_bald_batch`, `get_batchbald_batch`",
        expected="an item about which all members are certain scores 0 and is not among the best three of 50.",
        check=zeros,
    ),
    batchbald(
        id="batchbald-redux-M1-sound",
        row="M1",
        mistake="first picks from uninitialised memory",
        kind="sound",
        subject="`get_batchbald_batch` with b = 1",
        expected="the argmax of BALD.",
        check=first_pick,
    ),
    batchbald(
        id="batchbald-redux-M1-exact-sound",
        row="M1",
        mistake="the exact branch is wrong",
        kind="sound",
        subject="`get_batchbald_batch` with b = 3",
        expected="the joint information equals the enumeration of all 27 configurations.",
        check=exact_table,
    ),
)
