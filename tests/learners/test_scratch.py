"""The deep learner: the contract, fresh weights, one pass for everything, and draws that are functions of all rows."""

import dataclasses
import inspect
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from querist.data.memory import ArrayItems, from_arrays
from querist.errors import DataError, MissingExtraError, SpecError, UnknownNameError, UnmetNeedError
from querist.evidence.needs import Draws, Embeddings, Gradients, Head, Logits, Probs
from querist.evidence.provider import Offer
from querist.evidence.view import View
from querist.kernels.inner import softmax
from querist.labels.oracle import SimulatedOracle
from querist.learners.base import learners
from querist.learners.scratch import Scratch
from querist.nets.base import nets
from querist.nets.recipe import Recipe
from querist.registry import describe
from querist.seeds import Seed
from querist.session.session import Session
from querist.session.setting import Setting
from querist.testing.contract import LearnerContract
from querist.testing.fakes import NEEDS, fake_dataset

TINY = {"updates": 30, "batch": 16, "lr": 0.05, "crop": 0.0, "flip": False}


@pytest.mark.deep
@pytest.mark.usefixtures("deep")
class TestScratch(LearnerContract):
    shape = (8, 8)

    @staticmethod
    def make():
        return Scratch(dropout=0.2, **TINY)

    @pytest.fixture(autouse=True)
    def _pictures(self, pictured):
        self.pictured = pictured

    def dataset(self, c=5):
        return self.pictured(super().dataset(c))


@pytest.fixture(scope="module")
def model(data, job):
    """A model of thirty labels, with dropout."""
    pytest.importorskip("torch", reason="needs the extra deep")
    return Scratch(dropout=0.5, **TINY).fit(job(data, data.pool[:30]))


# ----------------------------------------------------------------------------------------------------- without torch


def test_is_configured_described_and_listed_without_torch():
    code = (
        "import sys; from querist.learners.base import learners; from querist.registry import describe;"
        "from querist.evidence.needs import Probs; x = learners.build({'name': 'scratch', 'epochs': 3});"
        "x.offers(Probs()); describe(x); print(*sys.modules)"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "querist.learners.scratch" in loaded
    assert not {"torch", "timm", "torchvision", "lightning_fabric"} & set(loaded)


def test_without_torch_a_fit_says_what_to_install(data, monkeypatch, job):
    monkeypatch.setattr("querist.extras.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"learner 'scratch' needs the extra 'deep': pip install"):
        Scratch().fit(job(data, data.pool[:5]))


def test_every_setting_is_in_the_description():
    described = describe(learners.build({"name": "scratch", "epochs": 3, "net": "resnet18_cifar"}))
    assert described["net"] == "resnet18_cifar"
    assert described["epochs"] == 3.0
    recipe = {field.name for field in dataclasses.fields(Recipe)}
    own = {"name", "revision", "net", "dropout", "draws", "device", "devices"}
    assert own | recipe == set(described)
    assert learners.card("scratch").component.trains_backbone


def test_settings_that_everybody_sets_come_first_and_by_place():
    names = [field.name for field in dataclasses.fields(Scratch)]
    assert names[:6] == ["net", "updates", "epochs", "batch", "optimizer", "lr"]
    assert learners.build("scratch('resnet18_cifar', 20)") == Scratch(net="resnet18_cifar", updates=20)


def test_the_description_names_every_net_of_ours():
    """By its family: ``resnet20`` stands for the narrow ones of other depths."""
    text = inspect.getdoc(Scratch) or ""
    short = {"resnet32": "32", "resnet44": "44", "resnet56": "56", "resnet110": "110"}
    short |= {"resnet34_cifar": "34", "resnet50_cifar": "50", "wrn_28_8": "8", "wrn_28_10": "10"}
    assert [name for name in nets.names() if not re.search(rf"\b{short.get(name, name)}\b", text)] == []


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"dropout": 1.0}, SpecError, "dropout to be at least 0 and less than 1, got 1.0"),
        ({"batch": 1}, SpecError, "batch to be at least 2"),
        ({"batch_norm": "eval"}, SpecError, "keeps the statistics of a checkpoint, and this net starts from none"),
        ({"device": "gpu"}, SpecError, "device: expected 'auto' or 'cpu' or 'cuda', got 'gpu'"),
        ({"net": "tim/resnet18"}, UnknownNameError, "Did you mean 'timm'"),
        ({"epoch": 3}, UnknownNameError, "Did you mean 'epochs'"),
    ],
)
def test_mistakes_are_found_before_anything_is_trained(settings, error, message):
    with pytest.raises(error, match=message):
        learners.build({"name": "scratch", **settings})


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_Q5_draws_need_dropout(dropout):
    offers = {need: Scratch(dropout=dropout).offers(need) for need in NEEDS}
    for need in (Probs(), Logits(), Embeddings(), Gradients(), Head()):
        assert isinstance(offers[need], Offer)
    for coherent in (True, False):
        answer = offers[Draws(k=4, coherent=coherent)]
        assert isinstance(answer, Offer) if dropout else "set dropout=0.5" in answer


def test_bald_on_a_net_without_dropout_is_refused_before_training(data):
    with pytest.raises(UnmetNeedError, match=r"learner 'scratch': the net has no dropout.*set dropout=0.5"):
        Session(Setting(data), learner="scratch", strategy="bald", initial="random")


# ------------------------------------------------------------------------------------------------------- fresh weights


@pytest.mark.deep
@pytest.mark.usefixtures("deep")
def test_T2_T3_T11_nothing_of_an_earlier_model_is_left(data, job, weights):
    """Neither a weight, nor a batch statistic, nor the head: with and without an earlier model, the same bits."""
    learner = Scratch(**TINY)
    cold = learner.fit(job(data, data.pool[:20]))
    other = learner.fit(job(data, data.pool[20:40], seed=9))
    before = weights(other)
    for warm in (other, cold, None):
        assert weights(learner.fit(job(data, data.pool[:20], warm=warm))) == weights(cold)
    assert weights(other) == before != weights(cold)


@pytest.mark.deep
@pytest.mark.usefixtures("deep")
def test_T10_training_starts_from_a_fresh_net_of_the_seed(data, monkeypatch, job):
    """What the loop is given equals a net built on the spot: parameters, statistics and all."""
    import torch

    from querist.nets.net import build_net
    from querist.nets.running import fingerprint, reproducible
    from querist.nets.training import Trainer

    started = []

    def fit(self, net, *rest, **more):
        started.append(fingerprint(net))
        return trained(self, net, *rest, **more)

    trained = Trainer.fit
    monkeypatch.setattr(Trainer, "fit", fit)
    learner = Scratch(**TINY)
    for seed in (0, 0, 1):
        learner.fit(job(data, data.pool[:20], seed=seed))
    fresh = []
    for seed in (0, 0, 1):
        with reproducible(Seed(seed).child("weights"), torch.device("cpu")):
            fresh.append(fingerprint(build_net("small_cnn", (1, 8, 8), 3)))
    assert started == fresh
    assert started[0] == started[1] != started[2]


@pytest.mark.deep
@pytest.mark.usefixtures("deep")
def test_validation_rows_play_no_part(data, job, weights):
    learner, held = Scratch(**TINY), data.pool[40:60]
    alone = learner.fit(job(data, data.pool[:20]))
    beside = learner.fit(job(data, data.pool[:20], validation=View(data, held, labels=held % 3)))
    assert weights(alone) == weights(beside)


@pytest.mark.deep
@pytest.mark.usefixtures("deep")
@pytest.mark.parametrize(
    "setting",
    [
        {"updates": 31}, {"epochs": 3.0}, {"batch": 8}, {"lr": 0.06}, {"momentum": 0.5}, {"weight_decay": 0.1},
        {"warmup": 0.5}, {"label_smoothing": 0.2}, {"crop": 0.2}, {"flip": True}, {"dropout": 0.5},
        {"net": "resnet18_cifar", "updates": 1},
    ],
    ids=str,
)  # fmt: skip
def test_C18_every_setting_changes_the_weights(data, setting, job, weights):
    assert weights(Scratch(**{**TINY, **setting}).fit(job(data, data.pool[:20]))) != weights(
        Scratch(**TINY).fit(job(data, data.pool[:20]))
    )


@pytest.mark.deep
@pytest.mark.usefixtures("deep")
def test_what_is_no_image_or_changes_is_refused(data, job):
    vectors = fake_dataset(n=60, c=3)
    with pytest.raises(DataError, match="Expected images as uint8 arrays"):
        Scratch(**TINY).fit(job(vectors, vectors.pool[:9]))
    with pytest.raises(DataError, match="needs at least one label"):
        Scratch(**TINY).fit(job(data, data.pool[:0]))

    class Random(ArrayItems):
        turn = 0

        def __getitem__(self, ids):
            Random.turn += 1
            return super().__getitem__(ids) ^ np.uint8(Random.turn % 2)

    moving = replace(data, items=Random(data.items[np.arange(150)]))
    with pytest.raises(DataError, match="were read twice and differ"):
        Scratch(**TINY).fit(job(moving, data.pool[:20]))


# ------------------------------------------------------------------------------------------------------------- scoring


@pytest.mark.deep
def test_Q1_Q3_scoring_changes_neither_parameters_nor_statistics(data, model, weights):
    before = weights(model)
    view = View(data, data.pool)
    first = [model.provide(need, view) for need in (Probs(), Embeddings(), Draws(k=5))]
    again = [model.provide(need, View(data, data.pool)) for need in (Probs(), Embeddings(), Draws(k=5))]
    assert weights(model) == before
    assert not any(part.training for part in model.net.modules())
    assert np.array_equal(first[0], again[0])
    assert np.array_equal(first[1], again[1])
    assert all(np.array_equal(a, b) for a, b in zip(first[2], again[2], strict=True))


@pytest.mark.deep
def test_the_net_itself_says_the_same(data, model):
    import torch

    x = torch.from_numpy(data.items[data.pool][:, None].copy())
    with torch.no_grad():
        logits = model.net(model.normalise(x)).numpy()
    view = View(data, data.pool)
    np.testing.assert_allclose(model.provide(Logits(), view), logits, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(model.provide(Probs(), view), softmax(logits), rtol=1e-3, atol=1e-5)


@pytest.mark.deep
def test_probs_logits_embeddings_head_and_gradients_are_one_function(data, model):
    view, ids = View(data, data.pool[30:]), data.pool[:30]
    bought = View(data, ids, labels=(ids + 1) % 3)
    z, e, p = (model.provide(need, view) for need in (Logits(), Embeddings(), Probs()))
    assert (e.dtype, z.dtype, p.dtype) == (np.float32, np.float64, np.float64)
    assert np.array_equal(model.provide(Head(), view)(e), z)
    assert np.array_equal(softmax(z), p)
    residual, embedding = model.provide(Gradients(), view)
    assert np.array_equal(embedding, e)
    np.testing.assert_allclose(residual, p - np.eye(3)[p.argmax(axis=1)], atol=1e-15)
    residual, embedding = model.provide(Gradients(frame="labelled"), bought)
    np.testing.assert_allclose(residual, model.provide(Probs(), bought) - np.eye(3)[(ids + 1) % 3], atol=1e-15)


@pytest.mark.deep
def test_gradients_are_those_of_torch(data, model):
    import torch

    ids = data.pool[:6]
    bought = View(data, ids, labels=(ids + 1) % 3)
    residual, embedding = model.provide(Gradients(frame="labelled"), bought)
    weight = model.net.head.weight.clone().requires_grad_(True)
    for i in range(6):
        logits = torch.from_numpy(embedding[i].copy()) @ weight.T + model.net.head.bias
        (slope,) = torch.autograd.grad(
            torch.nn.functional.cross_entropy(logits, torch.tensor(int(bought.labels[i]))), weight
        )
        np.testing.assert_allclose(np.outer(residual[i], embedding[i]), slope.numpy(), rtol=1e-3, atol=1e-6)


@pytest.mark.deep
def test_everything_asked_of_one_view_is_one_pass(data, model):
    read = []

    class Counted(ArrayItems):
        def __getitem__(self, ids):
            read.append(len(ids))
            return super().__getitem__(ids)

    watched = replace(data, items=Counted(data.items[np.arange(150)]))
    view = View(watched, data.pool)
    for need in (Probs(), Logits(), Embeddings(), Gradients(), Draws(k=3), Draws(k=3, coherent=True)):
        model.provide(need, view)
    once = sum(read)
    assert len(data.pool) <= once <= len(data.pool) * 1.1, "each row once, and the first of each block a second time"
    model.provide(Probs(), View(watched, data.pool))
    assert sum(read) == 2 * once
    del view
    assert len(model._seen) == 0, "a view nobody holds is forgotten"


@pytest.mark.deep
def test_values_cannot_be_written_into_the_model(data, model):
    view = View(data, data.pool)
    for value in (model.provide(Embeddings(), view), model.provide(Gradients(), view).embedding, model._head[0]):
        with pytest.raises(ValueError, match="read-only"):
            value[0, 0] = 1.0
    p = model.provide(Probs(), view)
    p[:] = 0
    assert model.provide(Probs(), view).sum() == pytest.approx(len(data.pool))


# --------------------------------------------------------------------------------------------------------------- draws


@pytest.mark.deep
@pytest.mark.parametrize("coherent", [True, False])
def test_Q7_a_draw_is_one_function_of_all_rows(data, model, coherent):
    """On a permuted pool, in chunks, on one row, in another number of draws: the same bits."""
    need = Draws(k=6, coherent=coherent)
    ids = data.pool
    whole = np.stack(model.provide(need, View(data, ids)))
    order = np.random.default_rng(0).permutation(len(ids))
    assert np.array_equal(np.stack(model.provide(need, View(data, ids[order]))), whole[:, order])
    parts = [np.stack(model.provide(need, part)) for part in View(data, ids).stream(17)]
    assert np.array_equal(np.concatenate(parts, axis=1), whole)
    assert np.array_equal(np.stack(model.provide(need, View(data, ids[7:8]))), whole[:, 7:8])
    assert np.array_equal(np.stack(model.provide(Draws(k=9), View(data, ids)))[:6], whole)
    np.testing.assert_allclose(whole.sum(axis=2), 1.0, atol=1e-5)


@pytest.mark.deep
@pytest.mark.usefixtures("deep")
def test_a_model_without_dropout_refuses_draws(data, job):
    model = Scratch(**TINY).fit(job(data, data.pool[:20]))
    with pytest.raises(UnmetNeedError, match=r"set dropout=0\.5"):
        model.provide(Draws(k=4), View(data, data.pool))


# ------------------------------------------------------------------------------------------------------------- sessions


@pytest.mark.deep
@pytest.mark.usefixtures("deep")
@pytest.mark.parametrize("strategy", ["margin", "badge", "k_center_greedy", "bald", "batch_bald"])
def test_strategies_run_on_it_and_pick_the_same_again(strategy, pictured):
    x = fake_dataset(n=90, c=3, shape=(8, 8))
    data = pictured(x)
    picks = []
    for _ in range(2):
        learner = Scratch(dropout=0.3, **{**TINY, "updates": 10})
        session = Session(Setting(data), learner=learner, strategy=strategy, initial="random", seed=3)
        oracle = SimulatedOracle(data.labels, data.pool)
        for b in (6, 4, 4):
            session.tell(oracle.answer(session.ask(b)))
        session.conclude()
        picks.append([query.ids for query in session.book.asked])
    assert picks[0] == picks[1]
    assert session.conclude()["accuracy"] > 0.4


@pytest.mark.deep
@pytest.mark.usefixtures("deep")
def test_colour_images_and_a_committee_of_nets():
    rng = np.random.default_rng(0)
    y = np.arange(60) % 2
    x = np.clip(rng.normal(90 + 70 * y[:, None, None, None] * [1, 0, 1], 20, (60, 9, 9, 3)), 0, 255).astype(np.uint8)
    data = from_arrays("colour", x, y, test_share=0.3)
    base = {"name": "scratch", **TINY, "updates": 8}
    learner = {"name": "committee", "base": base, "members": 3}
    session = Session(Setting(data), learner=learner, strategy={"name": "bald", "k": 3}, initial="random", seed=0)
    oracle = SimulatedOracle(data.labels, data.pool)
    for b in (10, 3):
        session.tell(oracle.answer(session.ask(b)))
    assert session.conclude()["accuracy"] > 0.8
