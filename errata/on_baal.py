"""baal: heuristics, the loop, the experiment and Monte Carlo dropout."""

import logging
import warnings
from functools import partial
from unittest import mock

import numpy as np
from case import Case, Seen

baal = partial(Case, distribution="baal", module="baal")


def numbered(size):
    """Return a torch dataset whose item i is the number i."""
    import structlog
    import torch
    from baal.active import ActiveLearningDataset

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))

    class Numbered(torch.utils.data.Dataset):
        def __len__(self):
            return size

        def __getitem__(self, i):
            if not 0 <= i < size:
                raise IndexError(i)
            return torch.tensor([float(i)]), 0

    return ActiveLearningDataset(Numbered())


def scores_of(items):
    """Return (n, 2, 3) probabilities whose entropy grows with the number of the item."""
    p = np.array([0.5 + 0.4 * (1 - float(x[0]) / 200) for x, *_ in items])
    return np.repeat(np.stack([p, 1 - p], 1)[:, :, None], 3, axis=2)


def pool_size() -> Seen:
    """Run one round of the experiment on a random part of the pool, and look which items were labelled."""
    from baal.active.heuristics import Entropy
    from baal.experiments import base

    rounds, right = 50, 0
    offered: list[set[int]] = []

    class Adapter:
        def reset_weights(self):
            pass

        def train(self, dataset):
            return {}

        def evaluate(self, dataset, average_predictions):
            return {}

        def predict(self, pool, iterations):
            items = [pool[i] for i in range(len(pool))]
            offered.append({int(x[0]) for x, *_ in items})
            return scores_of(items)

    class Once:
        def should_stop(self, metrics, uncertainty):
            return True

    for seed in range(rounds):
        data = numbered(200)
        data.label(list(range(10)))
        known = set(np.flatnonzero(data.labelled))
        with mock.patch.object(base.ActiveLearningExperiment, "_get_adapter", return_value=Adapter()):
            run = base.ActiveLearningExperiment(
                None, data, data, Entropy(), query_size=5, pool_size=20, criterion=Once()
            )
        np.random.seed(seed)  # noqa: NPY002
        with mock.patch.object(base, "tqdm", lambda items, **_: items):
            run.start()
        bought = set(np.flatnonzero(data.labelled)) - known
        right += bought == set(sorted(offered[-1])[-5:])
    return Seen(
        fails=right < rounds,
        happened=f"in {rounds - right} of {rounds} rounds the five labelled items are not the five most "
        f"uncertain of the "
        "20 that were scored; positions in the random part of the pool are passed to `label`, which takes them as "
        "positions in the whole pool.",
        numbers={"rounds with the right items": right},
    )


def power_in_loop() -> Seen:
    """Take one step of the loop with a stochastic heuristic."""
    from baal.active import ActiveLearningLoop
    from baal.active.heuristics import BALD
    from baal.active.heuristics.stochastics import GibbsSampling, PowerSampling, RankBasedSampling

    said = ""
    failed = 0
    for kind in (PowerSampling, GibbsSampling, RankBasedSampling):
        loop = ActiveLearningLoop(numbered(20), scores_of, heuristic=kind(BALD(), query_size=3), query_size=3)
        try:
            loop.step()
        except TypeError as error:
            failed, said = failed + 1, str(error)
    return Seen(fails=failed == 3, happened=f"{failed} of the 3 heuristics end in `TypeError: {said}`.")


def ties() -> Seen:
    """Rank equal scores twenty times."""
    from baal.active.heuristics import BALD, Certainty, Entropy, Margin

    equal = np.full((1000, 4, 3), 0.25)
    got = {
        kind.__name__: {tuple(sorted(kind().get_ranks(equal)[0][:5].tolist())) for _ in range(20)}
        for kind in (BALD, Entropy, Margin, Certainty)
    }
    return Seen(
        fails=all(len(batches) == 1 for batches in got.values()),
        happened=f"20 rankings of 1000 ties give one batch each: BALD {min(got['BALD'])}, Entropy "
        f"{min(got['Entropy'])}, "
        f"Margin {min(got['Margin'])}, Certainty {min(got['Certainty'])}.",
    )


def max_sample() -> Seen:
    """Take steps of the loop with `max_sample`, and look which items were labelled."""
    from baal.active import ActiveLearningLoop
    from baal.active.heuristics import Entropy

    rounds, right = 50, 0
    for seed in range(rounds):
        data, offered = numbered(200), []
        data.label(list(range(10)))
        known = set(np.flatnonzero(data.labelled))

        def predict(pool, seen=offered):
            items = [pool[i] for i in range(len(pool))]
            seen.extend(int(x[0]) for x, *_ in items)
            return scores_of(items)

        np.random.seed(seed)  # noqa: NPY002
        ActiveLearningLoop(data, predict, heuristic=Entropy(), query_size=5, max_sample=20).step()
        right += set(np.flatnonzero(data.labelled)) - known == set(sorted(offered)[-5:])
    return Seen(fails=right < rounds, happened=f"the right items were labelled in {right} of {rounds} rounds.")


def batch_norm() -> Seen:
    """Score with Monte Carlo dropout and compare all parameters and buffers."""
    import torch
    from baal.bayesian.dropout import MCDropoutModule
    from baal.modelwrapper import ModelWrapper, TrainingArgs

    nn = torch.nn
    net = MCDropoutModule(nn.Sequential(nn.Linear(1, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 3)))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with mock.patch("baal.modelwrapper.tqdm", lambda items, **_: items):
        wrapper = ModelWrapper(net, TrainingArgs(use_cuda=False, batch_size=5))
        drawn = wrapper.predict_on_dataset(numbered(20).pool, iterations=4)
    same = all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    spread = float(drawn.std(-1).mean())
    return Seen(
        fails=not same or spread == 0,
        happened=f"parameters and buffers are {'unchanged' if same else 'changed'}, the draws differ (mean spread "
        f"{spread:.2f}).",
    )


def no_dropout() -> Seen:
    """Patch nets without dropout, and with kinds of dropout that are not replaced."""
    import torch
    from baal.bayesian.dropout import patch_module

    nn = torch.nn
    told = 0
    nets = ([], [nn.Dropout1d(0.5)], [nn.Dropout3d(0.5)], [nn.AlphaDropout(0.5)])
    for layers in nets:
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            patch_module(nn.Sequential(nn.Linear(4, 4), *layers))
        told += any("No layer was modified" in str(one.message) for one in heard)
    return Seen(fails=told < len(nets), happened=f"{told} of {len(nets)} such nets are told of by a warning.")


def zeros() -> Seen:
    """Rank one-hot rows and one uncertain row."""
    from baal.active.heuristics import Certainty, Entropy, Margin

    proba = np.eye(4, dtype=np.float32)[np.random.default_rng(0).integers(0, 4, 50)]
    proba[7] = 0.5, 0.5, 0, 0
    got = [int(kind().get_ranks(np.repeat(proba[:, :, None], 3, 2))[0][0]) for kind in (Entropy, Margin, Certainty)]
    return Seen(fails=set(got) != {7}, happened=f"the uncertain row comes first in {got.count(7)} of 3 heuristics.")


def shifts() -> Seen:
    """Add a constant to logits in [0, 1], which could be taken for probabilities."""
    from baal.active.heuristics import Entropy

    logits = [np.random.default_rng(seed).random((50, 4)) for seed in range(100)]
    moved = sum((Entropy().get_ranks(z)[0] != Entropy().get_ranks(z + 5)[0]).any() for z in logits)
    return Seen(fails=moved > 0, happened=f"the ranking changed for {moved} of 100 pools.")


CASES = (
    baal(
        id="baal-C4",
        row="C4",
        mistake="positions inside a subset used as positions in the pool",
        subject="`ActiveLearningExperiment(pool_size=...)`",
        expected="the most uncertain of the scored items are labelled.",
        check=pool_size,
    ),
    baal(
        id="baal-C17",
        row="C17",
        mistake="a path that is never executed crashes",
        subject="`PowerSampling`, `GibbsSampling`, `RankBasedSampling` in `ActiveLearningLoop`",
        expected="heuristics can be given to the loop, which is annotated to take any `AbstractHeuristic`.",
        check=power_in_loop,
    ),
    baal(
        id="baal-N6",
        row="N6",
        mistake="ties resolved by position, reversed where the score is",
        subject="`BALD`, `Entropy`, `Margin`, `Certainty`",
        expected="tied rows have the same chance.",
        check=ties,
    ),
    baal(
        id="baal-C4-sound",
        row="C4",
        mistake="positions inside a subset used as positions in the pool",
        kind="sound",
        subject="`ActiveLearningLoop(max_sample=...)`",
        expected="the most uncertain of the scored items are labelled.",
        check=max_sample,
    ),
    baal(
        id="baal-Q3-sound",
        row="Q3",
        mistake="Monte Carlo dropout that uses and overwrites batch-norm statistics",
        kind="sound",
        subject="`MCDropoutModule`, `ModelWrapper.predict_on_dataset`",
        expected="only dropout is active; parameters and buffers stay.",
        check=batch_norm,
    ),
    baal(
        id="baal-Q5-sound",
        row="Q5",
        mistake="BALD on a network without dropout",
        kind="sound",
        subject="`patch_module`",
        expected="a net in which nothing becomes stochastic is told of.",
        check=no_dropout,
    ),
    baal(
        id="baal-N1-sound",
        row="N1",
        mistake="NaN at p = 0",
        kind="sound",
        subject="`Entropy`, `Margin`, `Certainty`",
        expected="the uncertain row comes before one-hot rows.",
        check=zeros,
    ),
    baal(
        id="baal-N5-sound",
        row="N5",
        mistake="a shift of the logits changes the order",
        kind="sound",
        subject="`Entropy` on logits",
        expected="logits that lie in [0, 1] are not taken for probabilities.",
        check=shifts,
    ),
)
