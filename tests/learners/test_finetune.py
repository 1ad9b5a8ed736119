"""Fine-tuning and the linear head on augmented views: the backbone of the file, a new head, two rates, one identity."""

import json
import shutil

import numpy as np
import pytest

from querist.errors import DataError, SpecError
from querist.evidence.needs import Draws, Embeddings, Probs
from querist.evidence.provider import Fit, Offer
from querist.evidence.view import View
from querist.labels.oracle import SimulatedOracle
from querist.learners.finetune import Finetune
from querist.learners.linear_aug import LinearAug
from querist.registry import describe
from querist.seeds import Seed
from querist.session.session import Session
from querist.session.setting import Setting
from querist.testing.contract import LearnerContract
from querist.testing.fakes import fake_dataset

pytestmark = [pytest.mark.deep, pytest.mark.usefixtures("deep")]

TINY = {"updates": 30, "batch": 16, "lr": 0.05, "crop": 0.0, "flip": False}
PRECISE = {"precise_bn": True}


class Pictures(LearnerContract):
    """The contract on grey images of 8 x 8."""

    shape = (8, 8)
    __test__ = False

    @pytest.fixture(autouse=True)
    def _files(self, pictured, backbone):
        self.pictured, self.backbone = pictured, str(backbone)

    def dataset(self, c=5):
        return self.pictured(super().dataset(c))


class TestFinetune(Pictures):
    __test__ = True

    def make(self):
        return Finetune(init=self.backbone, backbone_lr=0.02, **TINY)


class TestLinearAug(Pictures):
    __test__ = True
    accuracy = 0.6  # a backbone of noise

    def make(self):
        return LinearAug(init=self.backbone, **{**TINY, "lr": 0.1, "crop": 0.125, "flip": True})


def begun(monkeypatch):
    """Remember copies of the nets that training is given."""
    from querist.nets.training import Trainer

    nets, trained = [], Trainer.fit

    def fit(self, net, *rest, **more):
        nets.append(({name: value.clone() for name, value in net.state_dict().items()}, self.recipe))
        return trained(self, net, *rest, **more)

    monkeypatch.setattr(Trainer, "fit", fit)
    return nets


@pytest.mark.parametrize("kind", [Finetune, LinearAug])
def test_T10_every_round_starts_from_the_file_and_a_new_head(kind, backbone, data, job, monkeypatch):
    """Backbone and batch statistics are those of the file whatever was trained before; the head is that of the seed."""
    import torch

    from querist.nets.backbones import read_backbone
    from querist.nets.net import build_net
    from querist.nets.running import reproducible

    nets = begun(monkeypatch)
    learner = kind(init=str(backbone), **TINY)
    one = learner.fit(job(data, data.pool[:20]))
    learner.fit(job(data, data.pool[:30], seed=1, warm=one))
    file = read_backbone(backbone)[0].state_dict()
    for (weights, _), seed in zip(nets, (0, 1), strict=True):
        for name, value in file.items():
            (own,) = [w for key, w in weights.items() if key.startswith("backbone.") and key.endswith(f".{name}")]
            assert torch.equal(own, value), name
        with reproducible(Seed(seed).child("weights"), torch.device("cpu")):
            fresh = build_net("small_cnn", (1, 8, 8), 3)
        assert torch.equal(weights["head.weight"], fresh.head.weight)
    assert not torch.equal(nets[0][0]["head.weight"], nets[1][0]["head.weight"])


def test_a_frozen_backbone_changes_neither_weights_nor_statistics(backbone, data, job):
    import torch

    from querist.nets.backbones import read_backbone
    from querist.nets.blueprint import body_of

    file = read_backbone(backbone)[0].state_dict()
    frozen = LinearAug(init=str(backbone), **{**TINY, "crop": 0.125}).fit(job(data, data.pool[:20]))
    tuned = Finetune(init=str(backbone), batch_norm="train", **TINY).fit(job(data, data.pool[:20]))
    rested = Finetune(init=str(backbone), batch_norm="eval", **TINY).fit(job(data, data.pool[:20]))
    same = {
        name: [torch.equal(body_of(m.net).state_dict()[name], value) for m in (frozen, tuned, rested)]
        for name, value in file.items()
    }
    assert all(equal[0] for equal in same.values())
    assert not any(equal[1] for name, equal in same.items() if value_of(name))
    assert all(equal[2] for name, equal in same.items() if name.endswith(("running_mean", "running_var", "tracked")))
    assert not any(equal[2] for name, equal in same.items() if name.endswith("weight"))


def value_of(name):
    """Whether a training with batch statistics changes what has this name."""
    return name.endswith(("weight", "bias", "running_mean", "running_var"))


def test_few_labels_leave_the_batch_statistics_alone(backbone, data, job, monkeypatch):
    nets = begun(monkeypatch)
    for batch, settings in ((2, {}), (16, {}), (16, {"batch_norm": "train"}), (2, PRECISE), (16, PRECISE)):
        Finetune(init=str(backbone), **{**TINY, "updates": 1, "batch": batch, **settings}).fit(
            job(data, data.pool[:30])
        )
    assert [recipe.batch_norm for _, recipe in nets] == ["train", "eval", "train", "train", "eval"]
    assert [recipe.precise_bn for _, recipe in nets] == [False, False, False, True, False]


def test_two_rates(backbone, data, job):
    """At a vanishing rate for the backbone only the head moves; at one rate for both, all of it."""
    from querist.nets.backbones import read_backbone
    from querist.nets.blueprint import body_of

    file = dict(read_backbone(backbone)[0].named_parameters())
    moved = {}
    for rate in (1e-12, None):
        settings = {**TINY, "optimizer": "adam", "lr": 0.01, "warmup": 0.0}
        model = Finetune(init=str(backbone), backbone_lr=rate, **settings).fit(job(data, data.pool[:20]))
        own = dict(body_of(model.net).named_parameters())
        moved[rate] = max(float((own[name] - value).detach().abs().max()) for name, value in file.items())
    assert moved[1e-12] < 1e-8
    assert moved[None] > 1e-2


def test_identity_is_the_content_and_not_the_place(backbone, tmp_path):
    here, there = Finetune(init=str(backbone)), Finetune(init=str(tmp_path / "copy"))
    shutil.copytree(backbone, tmp_path / "copy")
    assert here.identity() == there.identity()
    assert here.identity() == {**describe(here), "init": here.identity()["init"]}
    assert str(backbone) not in json.dumps(here.identity())
    assert here.identity() != Finetune(init=str(backbone), unit=True).identity()
    card = json.loads((tmp_path / "copy" / "card.json").read_bytes())
    (tmp_path / "copy" / "card.json").write_text(json.dumps({**card, "mean": [121.0]}))
    assert here.identity() != there.identity()
    (tmp_path / "copy" / "card.json").write_text(json.dumps({**card, "about": {"note": 1}}))
    assert here.identity() == there.identity()
    weights = tmp_path / "copy" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes() + b" ")
    assert here.identity() != there.identity()


def test_a_missing_or_foreign_checkpoint_says_so(backbone, tmp_path, data, job):
    with pytest.raises(DataError, match="finetune': expected a pre-trained backbone, a folder as `querist"):
        Finetune(init=str(tmp_path)).fit(job(data, data.pool[:9]))
    with pytest.raises(DataError, match="learner 'finetune'"):
        Finetune(init=str(tmp_path)).identity()
    learner = LinearAug(init=str(backbone), **{**TINY, "updates": 1})
    learner.save(learner.fit(job(data, data.pool[:9])), tmp_path / "model")
    with pytest.raises(DataError, match="is a checkpoint of 'model', expected a 'backbone'"):
        Finetune(init=str(tmp_path / "model")).offers(Draws())


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"batch_norm": "train"}, "is to be frozen"), ({"backbone_lr": 0.1}, "use 'finetune'")],
)
def test_a_frozen_backbone_is_not_trained_by_mistake(settings, message):
    with pytest.raises(SpecError, match=message):
        LinearAug(init="somewhere", **settings)


@pytest.mark.parametrize("kind", [Finetune, LinearAug])
def test_a_saved_model_needs_no_backbone_and_gives_the_same_bits(kind, backbone, data, job, tmp_path):
    shutil.copytree(backbone, tmp_path / "init")
    learner = kind(init=str(tmp_path / "init"), dropout=0.2, **TINY)
    model = learner.fit(job(data, data.pool[:20]))
    learner.save(model, tmp_path / "model")
    (tmp_path / "init" / "weights.safetensors").unlink()
    again = learner.load(tmp_path / "model")
    a, b = View(data, data.pool), View(data, data.pool)
    assert np.array_equal(model.provide(Probs(), a), again.provide(Probs(), b))
    draws = [m.provide(Draws(k=3), v) for m, v in ((model, a), (again, b))]
    assert all(np.array_equal(x, y) for x, y in zip(*draws, strict=True))


def test_unit_rows_and_resized_images(backbone, data, job):
    model = LinearAug(init=str(backbone), **{**TINY, "updates": 2}).fit(job(data, data.pool[:9]))
    x = model.provide(Embeddings(), View(data, data.pool))
    np.testing.assert_allclose(np.linalg.norm(x, axis=1), 1.0, rtol=1e-5)
    plain = LinearAug(init=str(backbone), unit=False, **{**TINY, "updates": 2}).fit(job(data, data.pool[:9]))
    z = plain.provide(Embeddings(), View(data, data.pool))
    np.testing.assert_allclose(x, z / np.linalg.norm(z, axis=1, keepdims=True), rtol=1e-4, atol=1e-6)
    flat = np.broadcast_to(np.arange(150, dtype=np.uint8)[:, None, None], (150, 8, 8))  # the same in any size
    small = job_of(flat)
    z = plain.provide(Embeddings(), View(small.labelled._dataset, data.pool))
    large, seen = job_of(np.broadcast_to(flat[:, :1, :1], (150, 16, 16))), {}
    for resize in (True, False):
        big = Finetune(init=str(backbone), resize=resize, **{**TINY, "updates": 1, "backbone_lr": 1e-12}).fit(large)
        seen[resize] = big.provide(Embeddings(), View(large.labelled._dataset, data.pool))
        assert big.plan.takes == ((1, 8, 8) if resize else (1, 16, 16))
    np.testing.assert_allclose(seen[True], z, rtol=1e-3, atol=1e-4)
    assert np.abs(seen[False] - z).max() > 0.01


def job_of(items):
    """The job of twenty labels of these items."""
    import dataclasses

    from querist.data.memory import ArrayItems

    data = dataclasses.replace(fake_dataset(n=150, c=3, shape=(8, 8)), items=ArrayItems(items))
    labelled = View(data, data.pool[:20], labels=data.pool[:20] % 3)
    return Fit(labelled, View(data, data.pool[20:]), Seed(0))


def test_colour_images_do_not_fit_a_backbone_of_grey_ones(backbone, data):
    colour = np.repeat(data.items[np.arange(150)][..., None], 3, axis=3)
    with pytest.raises(SpecError, match="was trained on grey images, and these have 3 channels"):
        Finetune(init=str(backbone), **TINY).fit(job_of(colour))


def test_grey_images_are_repeated_for_a_backbone_of_colour(data, tmp_path):
    import torch

    from querist.nets.backbones import BackboneCard, write_backbone
    from querist.nets.net import build_net
    from querist.nets.running import reproducible

    with reproducible(Seed(1), torch.device("cpu")):
        net = build_net("small_cnn", (3, 8, 8), 2)
    card = BackboneCard("small_cnn", (3, 8, 8), 96, (120.0, 110.0, 100.0), (60.0, 60.0, 60.0), "test", {})
    write_backbone(tmp_path, net.backbone, card)
    items = data.items[np.arange(150)]
    grey, colour = (
        LinearAug(init=str(tmp_path), unit=False, **{**TINY, "updates": 1}).fit(job_of(x))
        for x in (items, np.repeat(items[..., None], 3, axis=3))
    )
    assert grey.normalise.mean == (110.0,)
    assert colour.normalise.mean == (120.0, 110.0, 100.0)
    one, other = (m.provide(Embeddings(), View(job_of(x).labelled._dataset, data.pool)) for m, x in (
        (grey, items), (colour, np.repeat(items[..., None], 3, axis=3)))
    )  # fmt: skip
    assert one.shape == other.shape
    assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.9


def test_sessions_run_on_them(backbone, data, pictured):
    data = pictured(fake_dataset(n=90, c=3, shape=(8, 8)))
    for kind in (Finetune, LinearAug):
        learner = kind(init=str(backbone), **TINY)
        assert isinstance(learner.offers(Probs()), Offer)
        session = Session(Setting(data), learner=learner, strategy="badge", initial="random", seed=3)
        oracle = SimulatedOracle(data.labels, data.pool)
        for b in (9, 6):
            session.tell(oracle.answer(session.ask(b)))
        assert session.conclude()["accuracy"] > 0.4
        assert session.spec["learner"] == json.loads(json.dumps(learner.identity()))
