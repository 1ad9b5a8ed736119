"""Rankings by a statistic of a pre-training: which end, from where, and that files say the same as encoders."""

import numpy as np
import pytest

from querist.errors import DataError, SpecError
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Features, PretrainTrace
from querist.seeds import Seed
from querist.strategies.base import State, choose, strategies
from querist.strategies.ranking_file import RankingFile
from querist.strategies.rotation_loss import RotationLoss
from querist.strategies.simclr_loss import SimclrLoss
from querist.strategies.tau_uncertainty import TauUncertainty
from querist.strategies.vae_loss import VaeLoss
from querist.testing.contract import StrategyContract


class TestSimclrLoss(StrategyContract):
    make = SimclrLoss


class TestVaeLoss(StrategyContract):
    make = VaeLoss


class TestRotationLoss(StrategyContract):
    make = staticmethod(lambda: RotationLoss(order="ascending"))


class TestTauUncertainty(StrategyContract):
    make = TauUncertainty


N = 40
TRACED = [SimclrLoss, VaeLoss, RotationLoss, TauUncertainty]


def evidence(rule, number):
    labelled = np.array([1, 8], np.int64)
    ids = np.setdiff1d(np.arange(N), labelled)
    need = PretrainTrace(name=rule.trace)
    return Evidence(ids, {need: number[ids].astype(np.float32)}, labelled=labelled, c=3)


@pytest.mark.parametrize("rule", TRACED)
@pytest.mark.parametrize("order", ["ascending", "descending"])
def test_F1_F2_the_wanted_end_in_the_order_of_the_numbers(rule, order):
    number = np.random.default_rng(0).random((N, 3))  # of several epochs the last counts
    ev = evidence(rule, number)
    picked = choose(rule(order=order), ev, 9, Seed(0).key())
    sign = 1 if order == "ascending" else -1
    expected = sorted(ev.candidates.tolist(), key=lambda i: sign * number[i, -1])[:9]
    assert picked.ids.tolist() == expected
    assert all(f"{number[i, -1]:.3g}" in why for i, why in zip(expected, picked.reasons, strict=True))


@pytest.mark.parametrize("rule", TRACED)
def test_F7_a_file_of_the_numbers_and_of_the_ranking_picks_the_same(rule, tmp_path):
    number = np.random.default_rng(1).random((N, 1)).astype(np.float32)
    np.save(tmp_path / "numbers.npy", number[:, 0])
    np.save(tmp_path / "ranking.npy", np.argsort(-number[:, 0]))
    ev, key = evidence(rule, number), Seed(0).key()
    bare = Evidence(ev.candidates, {}, labelled=ev.labelled, c=3)
    stored = rule(scores=str(tmp_path / "numbers.npy"))
    assert stored.needs_at(State()) == ()
    expected = choose(rule(), ev, 12, key).ids.tolist()
    assert choose(stored, bare, 12, key).ids.tolist() == expected
    assert choose(RankingFile(path=str(tmp_path / "ranking.npy")), bare, 12, key).ids.tolist() == expected


def test_C1_equal_numbers_are_drawn_by_key_and_a_batch_is_complete():
    ev = evidence(SimclrLoss, np.zeros((N, 1)))
    key = Seed(3).key()
    picked = choose(SimclrLoss(), ev, len(ev.candidates), key)
    assert picked.ids.tolist() == ev.candidates[np.argsort(key.hash(ev.candidates))].tolist()


def combined(weight=0.5):
    return strategies.build({"name": "scan_simclr_combined", "weight": weight, "members": 5})


def prototype(order="ascending", members=300):
    return strategies.build({"name": "scan_prototype", "order": order, "members": members})


class TestScanPrototype(StrategyContract):
    make = staticmethod(prototype)


class TestScanSimclrCombined(StrategyContract):
    make = staticmethod(combined)


def clustered(seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(N, 3)).astype(np.float32)
    p = rng.dirichlet(np.ones(4), N).astype(np.float32)
    loss = rng.random((N, 1)).astype(np.float32)
    labelled = np.array([1, 8], np.int64)
    values = {
        Features(frame="all"): x,
        PretrainTrace(frame="all", name="scan_probs"): p,
        PretrainTrace(frame="all", name="simclr_loss"): loss,
    }
    return Evidence(np.setdiff1d(np.arange(N), labelled), values, labelled=labelled, c=3), x, p, loss[:, 0]


def naive_distances(x, p, members):
    distance = np.empty(N)
    for i in range(N):
        cluster = [j for j in range(N) if p[j].argmax() == p[i].argmax()]
        best = sorted(cluster, key=lambda j: (-p[j].max(), j))[:members]
        distance[i] = np.linalg.norm(x[i] - x[best].astype(np.float64).mean(axis=0))
    return distance


@pytest.mark.parametrize("members", [3, 4, 300])
def test_F6_prototypes_are_means_of_the_most_confident_members(members):
    ev, x, p, _ = clustered()
    distance = naive_distances(x, p, members)
    near = choose(prototype(members=members), ev, len(ev.candidates), Seed(0).key())
    np.testing.assert_allclose(-near.utility, distance[near.ids], rtol=1e-5)
    assert near.ids.tolist() == sorted(ev.candidates.tolist(), key=lambda i: distance[i])
    far = choose(prototype("descending", members), ev, len(ev.candidates), Seed(0).key())
    assert far.ids.tolist() == near.ids.tolist()[::-1]


@pytest.mark.parametrize("weight", [0.0, 0.5, 1.0])
def test_the_combination_is_of_standard_scores(weight):
    ev, x, p, loss = clustered(1)
    distance = naive_distances(x, p, 5)
    z = weight * (loss - loss.mean()) / loss.std() - (1 - weight) * (distance - distance.mean()) / distance.std()
    picked = choose(combined(weight), ev, 15, Seed(0).key())
    np.testing.assert_allclose(picked.utility, z[picked.ids], rtol=1e-4, atol=1e-5)
    assert picked.ids.tolist() == sorted(ev.candidates.tolist(), key=lambda i: -z[i])[:15]


def test_M22_standard_scores_do_not_feel_scale_and_shift():
    ev, _, _, loss = clustered(2)
    values = {need: ev[need] for need in ev.needs}
    values[PretrainTrace(frame="all", name="simclr_loss")] = (5 + 7 * loss)[:, None]
    moved = Evidence(ev.candidates, values, labelled=ev.labelled, c=3)
    one, other = (choose(combined(), e, 15, Seed(0).key()) for e in (ev, moved))
    assert one.ids.tolist() == other.ids.tolist()


def test_equal_losses_leave_the_prototypes_alone():
    ev, *_ = clustered(3)
    values = {need: ev[need] for need in ev.needs}
    values[PretrainTrace(frame="all", name="simclr_loss")] = np.ones((N, 1), np.float32)
    flat = Evidence(ev.candidates, values, labelled=ev.labelled, c=3)
    assert (
        choose(combined(), flat, 9, Seed(0).key()).ids.tolist()
        == choose(combined(0.0), flat, 9, Seed(0).key()).ids.tolist()
    )


def test_one_cluster_of_probabilities_is_refused(tmp_path):
    np.save(tmp_path / "p.npy", np.ones((N, 1)))
    ev, *_ = clustered()
    with pytest.raises(DataError, match="2 clusters or more"):
        choose(
            strategies.build({"name": "scan_prototype", "memberships": str(tmp_path / "p.npy")}), ev, 3, Seed(0).key()
        )


def test_a_weight_outside_its_range_is_refused():
    with pytest.raises(SpecError, match="weight"):
        combined(1.5)
