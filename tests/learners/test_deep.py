"""What all deep learners do: files that give the same bits, draws of every kind, early refusals, seeds without arms."""

import dataclasses
import json

import numpy as np
import pytest

from querist.errors import DataError, SpecError, UnknownNameError, UnmetNeedError
from querist.evidence.needs import Draws, Embeddings, Head, Probs
from querist.evidence.provider import Offer
from querist.evidence.view import View
from querist.kernels.inner import softmax
from querist.labels.oracle import SimulatedOracle
from querist.learners.base import learners
from querist.learners.scratch import Scratch
from querist.learners.warm import Warm
from querist.progress import recording
from querist.session.session import Session
from querist.session.setting import Setting
from querist.testing.contract import LearnerContract
from querist.testing.fakes import fake_dataset

pytestmark = [pytest.mark.deep, pytest.mark.usefixtures("deep")]

TINY = {"updates": 20, "batch": 16, "lr": 0.05, "crop": 0.0, "flip": False}
KINDS = {
    "dropout": {"dropout": 0.4},
    "inside": {"net": "vgg_tiny", "updates": 6},
    "laplace": {"draws": "laplace"},
    "views": {"draws": "views", "flip": True, "crop": 0.25},
}


@pytest.fixture(scope="module", autouse=True)
def _a_net_with_dropout_inside():
    """Register a net with dropout between its layers, and batch statistics after it."""
    from torch import nn

    from querist.nets.base import nets

    def vgg_tiny(channels: int, dropout: float = 0.5):
        return nn.Sequential(
            nn.Conv2d(channels, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout(dropout),
            nn.Conv2d(6, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        )  # fmt: skip

    nets.register("vgg_tiny")(vgg_tiny)
    yield
    del nets._cards["vgg_tiny"], nets._names["vgg_tiny"]


@pytest.fixture(scope="module")
def models(data, job):
    """A model of thirty labels for every kind of draws."""
    return {name: Scratch(**{**TINY, **more}).fit(job(data, data.pool[:30])) for name, more in KINDS.items()}


class TestLaplaceDraws(LearnerContract):
    """The contract, with draws that need no dropout."""

    shape = (8, 8)

    @staticmethod
    def make():
        return Scratch(draws="laplace", **TINY)

    @pytest.fixture(autouse=True)
    def _pictures(self, pictured):
        self.pictured = pictured

    def dataset(self, c=5):
        return self.pictured(super().dataset(c))


# --------------------------------------------------------------------------------------------------------------- draws


@pytest.mark.parametrize("kind", KINDS)
def test_T9_Q1_Q3_scoring_and_drawing_change_nothing_and_repeat(kind, models, data, weights):
    """Parameters, batch statistics and the mode of every part are as before; two calls give the same bits."""
    model = models[kind]
    before, modes = weights(model), [part.training for part in model.net.modules()]
    first = [model.provide(Draws(k=4), View(data, data.pool)), [model.provide(Probs(), View(data, data.pool))]]
    again = [model.provide(Draws(k=4), View(data, data.pool)), [model.provide(Probs(), View(data, data.pool))]]
    assert weights(model) == before
    assert [part.training for part in model.net.modules()] == modes
    assert not any(modes)
    for one, other in zip(first, again, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_T9_a_draw_on_a_permuted_pool_has_the_same_rows(kind, models, data):
    """For views, too: they are keyed by id, so that a row is varied alike in any company."""
    model, ids = models[kind], data.pool
    whole = np.stack(model.provide(Draws(k=4), View(data, ids)))
    order = np.random.default_rng(1).permutation(len(ids))
    assert np.array_equal(np.stack(model.provide(Draws(k=4), View(data, ids[order]))), whole[:, order])
    parts = [np.stack(model.provide(Draws(k=4), part)) for part in View(data, ids).stream(31)]
    assert np.array_equal(np.concatenate(parts, axis=1), whole)
    assert np.array_equal(np.stack(model.provide(Draws(k=6), View(data, ids)))[:4], whole)
    assert len(np.unique(whole, axis=0)) == 4
    assert whole.dtype == np.float32
    np.testing.assert_allclose(whole.sum(axis=2), 1.0, atol=1e-5)


def test_dropout_acts_inside_the_net_while_statistics_rest(models, data):
    """The twin by torch: dropout in training mode, everything else not; the mean of many draws of both is one."""
    import torch

    model, view = models["inside"], View(data, data.pool[:40])
    x = model.normalise(torch.from_numpy(data.items[view.ids][:, None].copy()))
    ours = np.stack(model.provide(Draws(k=300), view))
    theirs = []
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.default_generator.manual_seed(0)
        for part in model.net.modules():
            if isinstance(part, torch.nn.Dropout):
                part.train()
        theirs = np.stack([model.net(x).softmax(dim=1).numpy() for _ in range(300)])
    model.net.eval()
    error = np.sqrt((ours.var(axis=0) + theirs.var(axis=0)) / 300)
    assert (np.abs(ours.mean(axis=0) - theirs.mean(axis=0)) < 6 * error + 1e-6).all()
    assert ours.std(axis=0).max() > 0.005


def test_draws_by_views_are_not_coherent_and_say_so(models, data):
    learner = Scratch(**{**TINY, **KINDS["views"]})
    assert isinstance(learner.offers(Draws(k=4)), Offer)
    assert "no draw is one function of all rows" in learner.offers(Draws(k=4, coherent=True))
    with pytest.raises(UnmetNeedError, match="no draw is one function"):
        models["views"].provide(Draws(k=4, coherent=True), View(data, data.pool))
    with pytest.raises(UnmetNeedError, match="no draw is one function"):
        Session(Setting(data), learner=learner, strategy="batch_bald", initial="random")


def test_T9_a_net_without_dropout_is_refused_before_anything_is_trained(data):
    for need in (Draws(k=4), Draws(k=4, coherent=True)):
        answer = Scratch(**TINY).offers(need)
        assert "set dropout=0.5" in answer
        assert "draws='laplace'" in answer
        assert isinstance(Scratch(net="vgg_tiny", **TINY).offers(need), Offer)
        assert isinstance(Scratch(draws="laplace", **TINY).offers(need), Offer)
        assert isinstance(learners.build({"name": "scratch", "net": "vgg_tiny(dropout=0.0)"}).offers(need), str)
    with pytest.raises(UnmetNeedError, match=r"learner 'scratch': the net has no dropout"):
        Session(Setting(data), learner="scratch", strategy="bald", initial="random")


def test_laplace_draws_are_heads_around_the_fitted_one(models, data):
    model, view = models["laplace"], View(data, data.pool)
    x = np.asarray(model.provide(Embeddings(), view), np.float64)
    weight, bias = model.head
    np.testing.assert_array_equal(model.posterior.mean, np.column_stack([weight, bias]))
    for j, draw in enumerate(model.provide(Draws(k=3), view)):
        drawn = model.weights(j)
        np.testing.assert_allclose(draw, softmax(x @ drawn[:, :-1].T + drawn[:, -1]), rtol=1e-4, atol=1e-6)
    spread = np.stack([model.weights(j) for j in range(300)])
    assert np.abs(spread.mean(axis=0) - model.posterior.mean).max() < 6 * spread.std(axis=0).max() / np.sqrt(300)


def test_the_prior_of_laplace_is_the_weight_decay(data, job):
    """Stronger decay, tighter heads: where the data say nothing a weight has the variance 1 / (labels x decay)."""
    for decay in (0.01, 1.0):
        model = Scratch(**{**TINY, "updates": 5, "weight_decay": decay, "draws": "laplace"}).fit(
            job(data, data.pool[:20])
        )
        heads = np.stack([model.weights(j) for j in range(400)])
        dead = np.flatnonzero(np.abs(model.provide(Embeddings(), View(data, data.pool[:20]))).max(axis=0) == 0)
        if len(dead):
            assert heads[:, :, dead].var() == pytest.approx(1 / (20 * decay), rel=0.2)
        assert heads.var(axis=0).max() <= 1.5 / (20 * decay)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"draws": "laplace", "weight_decay": 0.0}, SpecError, "takes its prior from the weight decay"),
        ({"draws": "views", "crop": 0.0, "flip": False}, SpecError, "needs an augmentation"),
        ({"draws": "view"}, SpecError, "draws: expected 'dropout' or 'laplace' or 'views', got 'view'"),
        ({"optimizer": "SGD"}, SpecError, "optimizer: expected 'sgd'"),
        ({"policy": "rand"}, SpecError, "policy: expected 'none'"),
        ({"flip": "False"}, SpecError, "flip: expected bool, got 'False'"),
        ({"net": "vgg_tinyy"}, UnknownNameError, "Did you mean 'vgg_tiny'"),
    ],
)
def test_T21_T22_mistakes_are_found_before_anything_is_trained(settings, error, message):
    with pytest.raises(error, match=message):
        learners.build({"name": "scratch", **settings})


# --------------------------------------------------------------------------------------------------------------- files


@pytest.mark.parametrize("kind", KINDS)
def test_T3_a_model_that_was_saved_gives_the_same_bits(kind, models, data, tmp_path, weights):
    learner, model = Scratch(**{**TINY, **KINDS[kind]}), models[kind]
    learner.save(model, tmp_path / "model")
    again = learner.load(tmp_path / "model")
    view, other = View(data, data.pool), View(data, data.pool)
    for need in (Probs(), Embeddings()):
        assert np.array_equal(model.provide(need, view), again.provide(need, other))
    draws = [m.provide(Draws(k=3), v) for m, v in ((model, view), (again, other))]
    assert all(np.array_equal(a, b) for a, b in zip(*draws, strict=True))
    x = model.provide(Embeddings(), view)
    assert np.array_equal(model.provide(Head(), view)(x), again.provide(Head(), other)(x))
    assert weights(again) == weights(model)
    card = json.loads((tmp_path / "model" / "card.json").read_bytes())
    assert card["kind"] == "model"
    assert card["learner"] == learner.identity()
    assert learners.build(card["learner"]) == learner


def test_a_file_of_another_learner_or_none_is_refused(models, tmp_path, data, job):
    learner = Scratch(**TINY)
    with pytest.raises(DataError, match="Expected a checkpoint"):
        learner.load(tmp_path / "nothing")
    learner.save(models["dropout"], tmp_path / "model")
    with pytest.raises(DataError, match="is of the learner 'scratch'; expected one of 'warm'"):
        Warm(**TINY).load(tmp_path / "model")
    with pytest.raises(SpecError, match="keeps models of its own"):
        learner.save(object(), tmp_path / "other")
    path = tmp_path / "model" / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(DataError, match="damaged"):
        learner.load(tmp_path / "model")


def test_the_course_of_every_label_is_kept_beside_the_model(data, job, tmp_path):
    import pyarrow.parquet as pq

    learner = Scratch(**{**TINY, "dynamics": True})
    ids = data.pool[:20]
    model = learner.fit(job(data, ids))
    learner.save(model, tmp_path)
    table = pq.read_table(tmp_path / "dynamics.parquet").to_pandas()
    assert set(table["id"]) == set(ids.tolist())
    last = table[table["epoch"] == table["epoch"].max()].set_index("id").loc[ids]
    p = model.provide(Probs(), View(data, ids))
    np.testing.assert_allclose(last["p_true"], p[np.arange(20), ids % 3], atol=1e-4)


# ------------------------------------------------------------------------------------------------- seeds and sessions


def test_T1_a_set_smaller_than_the_batch_still_trains(data, job, weights):
    """Three labels, a batch of 16: the updates that were asked for, and a net that knows them."""
    learner, heard = Scratch(**{**TINY, "updates": 40}), []
    ids = data.pool[:3]
    with recording(lambda event, values: heard.append((event, values))):
        model = learner.fit(job(data, ids))
    assert max(values["update"] for event, values in heard if event == "epoch") == 40
    p = model.provide(Probs(), View(data, ids))
    assert (p.argmax(axis=1) == ids % 3).all()


def test_arms_share_order_and_initial_weights(data, monkeypatch):
    """Sessions of two strategies on one pool: nets that start alike, and batches in one order, in every round."""
    from querist.nets.running import fingerprint
    from querist.nets.training import Trainer

    seen = {}
    trained = Trainer.fit
    for strategy in ("margin", "random"):
        begun = []

        def fit(self, net, train, seed, begun=begun, **more):
            rows = next(self.batches(len(train.labels), seed))
            begun.append((fingerprint(net), seed, rows.tolist()))
            return trained(self, net, train, seed, **more)

        monkeypatch.setattr(Trainer, "fit", fit)
        session = Session(Setting(data_of(data)), learner=Scratch(**TINY), strategy=strategy, initial="random", seed=1)
        oracle = SimulatedOracle(session.dataset.labels, session.dataset.pool)
        for b in (6, 4):
            session.tell(oracle.answer(session.ask(b)))
        session.conclude()
        seen[strategy] = begun
    assert seen["margin"] == seen["random"]
    assert len(seen["margin"]) == 2
    assert seen["margin"][0] != seen["margin"][1]


def data_of(data):
    """The same pictures with labels that may be read."""
    return dataclasses.replace(data, labels=fake_dataset(n=150, c=3, shape=(8, 8)).labels)


@pytest.mark.parametrize("settings", [{"draws": "laplace"}, {"net": "vgg_tiny"}], ids=str)
def test_batch_bald_runs_on_every_coherent_kind(settings, data):
    data, picks = data_of(data), []
    for _ in range(2):
        learner = Scratch(**{**TINY, **settings})
        strategy = {"name": "batch_bald", "k": 4, "samples": 200}
        session = Session(Setting(data), learner=learner, strategy=strategy, initial="random")
        oracle = SimulatedOracle(data.labels, data.pool)
        for b in (8, 3):
            session.tell(oracle.answer(session.ask(b)))
        picks.append([query.ids for query in session.book.asked])
    assert picks[0] == picks[1]
    assert [len(ids) for ids in picks[0]] == [8, 3]


def test_validation_decides_what_is_kept_only_if_asked_to(data, job):
    held = data.pool[40:80]
    chance = np.random.default_rng(0).integers(3, size=40)  # nothing to learn: the best look is a lucky one
    validation = View(data, held, labels=chance)
    accuracy = {}
    for keep in ("last", "best"):
        learner = Scratch(**{**TINY, "keep": keep})
        p = learner.fit(job(data, data.pool[:20], validation=validation)).provide(Probs(), validation)
        accuracy[keep] = (p.argmax(axis=1) == chance).mean()
    assert accuracy["best"] > accuracy["last"]
    with pytest.raises(SpecError, match="keep = 'best'"):
        learner.fit(job(data, data.pool[:20]))


def test_two_devices_give_the_evidence_of_one(data, job):
    """Two processes of the CPU, each with half of every batch: the same probabilities up to rounding."""
    view, p = View(data, data.pool), {}
    for devices in (1, 2):
        learner = Scratch(**{**TINY, "updates": 5, "devices": devices, "device": "cpu"})
        p[devices] = learner.fit(job(data, data.pool[:20])).provide(Probs(), view)
    np.testing.assert_allclose(p[2], p[1], atol=1e-3)
    with pytest.raises(SpecError, match="devices to be at least 1 and at most 16"):
        Scratch(**{**TINY, "devices": 17})
