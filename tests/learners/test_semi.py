"""Deep nets with pseudo-labels: what enters a batch and with what weight, equal work, and a fit that goes on."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from querist.errors import SpecError
from querist.evidence.needs import Probs
from querist.evidence.provider import Fit
from querist.evidence.view import View
from querist.learners.base import learners
from querist.learners.scratch import Scratch
from querist.learners.semi import DeepPropagation, FinetunePropagation
from querist.nets.plan import make_plan
from querist.testing.contract import LearnerContract

TINY = {"updates": 30, "batch": 16, "lr": 0.05, "crop": 0.0, "flip": False}

pytestmark = [pytest.mark.deep, pytest.mark.usefixtures("deep")]


class TestDeepPropagation(LearnerContract):
    shape = (8, 8)

    @staticmethod
    def make():
        return DeepPropagation(dropout=0.2, **TINY)

    @pytest.fixture(autouse=True)
    def _pictures(self, pictured):
        self.pictured = pictured

    def dataset(self, c=5):
        return self.pictured(super().dataset(c))


def trained(monkeypatch, learner, one):
    """The model, and every batch and every set of pseudo-labels of its fit."""
    from querist.nets.two_streams import TwoStreams

    batches, pseudo = [], []
    batch, spread = TwoStreams.batch, TwoStreams.spread
    with monkeypatch.context() as patch:
        patch.setattr(TwoStreams, "batch", lambda *of: batches.append(batch(*of)) or batches[-1])
        patch.setattr(TwoStreams, "spread", lambda *of: pseudo.append(spread(*of)) or pseudo[-1])
        return learner.fit(one), batches, pseudo


PLAIN = {**TINY, "k": 8}


def test_no_more_updates_than_without_and_half_of_a_batch_is_guessed(data, job, monkeypatch):
    one = job(data, data.pool[:12])
    learner = DeepPropagation(**PLAIN, labelled_share=0.25)
    _, batches, pseudo = trained(monkeypatch, learner, one)
    assert len(batches) == make_plan(learner, 12).total == make_plan(Scratch(**TINY), 12).total == 30
    assert [made.since for made in pseudo] == sorted({made.since for made in pseudo})
    assert pseudo[0].since == 9  # 0.3 of 30
    for earlier, later in itertools.pairwise(pseudo):
        epoch = len(earlier.rows) // 12
        assert later.since == earlier.until == earlier.since + epoch
    rest = len(one.pool)
    for made in pseudo:
        assert len(made.rows) <= round(0.5 * rest)
        assert made.rows.min() >= 12
        assert made.rows.max() < 12 + rest
    for j, batch in enumerate(batches):
        assert len(batch.inputs) == 16
        assert int((batch.counts > 0).sum()) == (16 if j < 9 else 4)  # what counts as right is a true label
        assert float(batch.counts.sum()) == pytest.approx(1)


def test_before_the_first_propagation_training_is_that_of_scratch(data, job, weights):
    one = job(data, data.pool[:12])
    assert weights(DeepPropagation(**PLAIN, supervised=1.0).fit(one)) == weights(Scratch(**TINY).fit(one))
    nobody = one._replace(pool=one.pool.take(np.arange(0)))
    assert weights(DeepPropagation(**PLAIN).fit(nobody)) == weights(Scratch(**TINY).fit(nobody))


def test_T6_weights_and_class_weights_reach_the_loss(data, job, monkeypatch):
    """What a row of a batch is multiplied by is its certainty times what its class weighs, over the size of the batch.

    The published code computes what classes weigh and never applies it.
    """
    from querist.kernels.propagation import balance

    ids = np.array([i for i in data.pool if i % 3 == 0][:9] + [i for i in data.pool if i % 3 == 1][:2])
    one = job(data, np.sort(ids))
    _, batches, (made, *_) = trained(monkeypatch, DeepPropagation(**PLAIN | {"k": 60}, supervised=0.0, refresh=99), one)
    zeta = made.classes.numpy()
    guessed = made.targets.argmax(dim=1).numpy()
    expected = balance(np.concatenate([one.labelled.labels, guessed]), 3)
    np.testing.assert_allclose(zeta, expected, rtol=1e-6)
    assert zeta[1] != zeta[0]
    certainty = made.targets.sum(dim=1).numpy() / zeta[guessed]
    assert certainty.max() <= 1 + 1e-6
    assert len(np.unique(certainty)) > 5
    sizes = {round(float(w) * 16, 5) for w in made.targets.sum(dim=1) / 16}
    for batch in batches:
        true = batch.counts.numpy() > 0
        weight, label = batch.weights.numpy() * 16, batch.targets.argmax(dim=1).numpy()
        np.testing.assert_allclose(weight[true], zeta[label[true]], rtol=1e-5)
        assert {round(float(w), 5) for w in weight[~true]} <= sizes
        np.testing.assert_allclose(batch.targets.sum(dim=1), 1, rtol=1e-5)


def test_T6_the_loss_is_the_weighted_sum_and_unbalanced_classes_weigh_one(data, job, monkeypatch):
    import torch

    one = job(data, data.pool[:12])
    learner = DeepPropagation(**PLAIN, balanced=False, mode="full", least=0.2, supervised=0.0)
    _, batches, pseudo = trained(monkeypatch, learner, one)
    assert all((made.classes == 1).all() and made.targets.sum(dim=1).min() >= 0.2 for made in pseudo)
    logits = torch.linspace(-1, 1, 48).view(16, 3)
    from querist.nets.images import Normalisation
    from querist.nets.running import make_fabric

    trainer = learner.trainer(make_fabric("cpu"), Normalisation((0.0,), (1.0,)), 12)
    by_hand = -sum(
        float(w) * float(t @ row.log_softmax(0))
        for w, t, row in zip(batches[-1].weights, batches[-1].targets, logits, strict=True)
    )
    assert float(trainer.loss(logits, batches[-1])) == pytest.approx(by_hand, rel=1e-5)


def test_T8_soft_targets_are_the_probabilities_and_not_their_softmax():
    from querist.nets.two_streams import weighted

    p = np.array([[0.97, 0.02, 0.01], [0.2, 0.5, 0.3]])
    targets, classes = weighted(p, np.array([1.0, 0.25]), np.array([2, 2]), "kl", False)
    np.testing.assert_allclose(targets, p * [[1.0], [0.25]], rtol=1e-12)
    assert classes.tolist() == [1, 1, 1]
    hard, zeta = weighted(p, np.array([1.0, 0.25]), np.array([2, 2]), "ce", True)
    np.testing.assert_allclose(hard, [[4 / 3, 0, 0], [0, 0.25 * 4 / 3, 0]], rtol=1e-12)
    np.testing.assert_allclose(zeta, [4 / 3, 4 / 3, 2 / 3])


@pytest.mark.parametrize("settings", [{"mode": "certain"}, {"mode": "uniform"}, {"loss": "kl", "mixup": 0.5}])
def test_every_mode_trains_the_same_bits_twice(data, job, weights, settings):
    one = job(data, data.pool[:12])
    learner = DeepPropagation(**PLAIN, **settings)
    assert weights(learner.fit(one)) == weights(learner.fit(one)) != weights(Scratch(**TINY).fit(one))


def test_mixed_images_carry_their_weights():
    """Half of an image that weighs 1 and half of one that weighs 0: the mixture weighs 0.5, all of the first class."""
    import torch

    from querist.nets.mixing import mixup

    targets = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    _, mixed = mixup(torch.zeros(2, 1, 2, 2), targets, torch.tensor([1, 0]), 0.5)
    assert mixed.tolist() == [[0.5, 0], [0.5, 0]]


def test_a_stream_of_rows_is_one_permutation_after_another():
    from querist.nets.two_streams import drawn
    from querist.seeds import Seed

    for n, size in ((10, 4), (3, 8), (7, 7)):
        whole = np.concatenate([drawn(n, Seed(1), j, size).numpy() for j in range(2 * n)])
        for start in range(0, len(whole) - n + 1, n):
            assert sorted(whole[start : start + n]) == list(range(n))


def test_killed_between_two_propagations_it_ends_with_the_same_bits(data, job, weights, monkeypatch, tmp_path):
    """Pseudo-labels are part of the state: those of the present weights would be others."""
    from querist.nets import saving
    from querist.nets.two_streams import TwoStreams

    one = job(data, data.pool[:12])
    learner = DeepPropagation(**PLAIN, refresh=3)
    whole = weights(learner.fit(one))
    after = TwoStreams.after
    made = []

    def stop(self, run):
        after(self, run)
        if run.course.done == 20:
            raise KeyboardInterrupt

    keeps = saving.Saver.__init__

    with monkeypatch.context() as patch:
        patch.setattr(saving.Saver, "__init__", lambda self, folder, name, seconds=0: keeps(self, folder, name, 0.0))
        patch.setattr(TwoStreams, "after", stop)
        with pytest.raises(KeyboardInterrupt):
            learner.fit(one._replace(folder=tmp_path))
    assert len(list(tmp_path.glob("fit-*"))) == 1
    spread = TwoStreams.spread
    monkeypatch.setattr(
        TwoStreams,
        "spread",
        lambda self, run, update, number: made.append((update, number)) or spread(self, run, update, number),
    )
    assert weights(learner.fit(one._replace(folder=tmp_path))) == whole
    assert made[0][1] >= 1, "the first propagation is not made again"
    assert not list(tmp_path.glob("fit-*"))


def test_unlabelled_images_are_read_without_labels(data, job):
    one = job(data, data.pool[:12])
    train = DeepPropagation(**PLAIN).examples(one)
    assert len(train.labels) == 12
    np.testing.assert_array_equal(train.images[12:, ..., 0], one.pool.items())
    overlapping = one._replace(pool=View(data, data.pool))
    np.testing.assert_array_equal(DeepPropagation(**PLAIN).examples(overlapping).images, train.images)


def test_from_a_pre_trained_backbone(data, job, backbone, weights):
    learner = FinetunePropagation(init=str(backbone), **PLAIN, supervised=0.0)
    one = job(data, data.pool[:12])
    model = learner.fit(one)
    assert weights(model) == weights(learner.fit(one))


def test_a_few_labels_go_further_than_alone(data, job):
    """Three clouds, two labels each: the pool says where they are."""
    ids, test = data.pool[:6], View(data, data.test)
    one = Fit(*job(data, ids)[:3])
    right = [
        (kind(**settings).fit(one).provide(Probs(), test).argmax(axis=1) == data.test % 3).mean()
        for kind, settings in ((Scratch, {**TINY, "updates": 60}), (DeepPropagation, {**PLAIN, "updates": 60}))
    ]
    assert right[1] >= right[0]


@pytest.mark.parametrize(
    "settings",
    [{"k": 0}, {"alpha": 1.0}, {"share": 0.0}, {"supervised": 1.1}, {"labelled_share": 1.0}, {"class_weights": True},
     {"mode": "most"}, {"loss": "mse"}, {"refresh": 0}, {"least": 2.0}, {"power": -1.0}, {"steps": 0}],
)  # fmt: skip
def test_mistakes_are_found_before_anything_is_trained(settings):
    with pytest.raises(SpecError):
        learners.build({"name": "deep_propagation", **settings})


@pytest.mark.parametrize(("name", "more"), [("deep_propagation", {}), ("finetune_propagation", {"init": "somewhere"})])
def test_the_published_preset_takes_as_many_updates_as_its_supervised_arm(name, more):
    semi = learners.build({"name": name, "preset": "s1-semi", **more})
    plain = learners.build({"name": "scratch", "preset": "s1"})
    assert [make_plan(semi, l).total for l in (100, 1000)] == [make_plan(plain, l).total for l in (100, 1000)]
    values = ("batch", "k", "power", "alpha", "steps", "refresh", "mode", "share", "loss", "lr", "stretch")
    assert [getattr(semi, value) for value in values] == [128, 50, 3.0, 0.99, 20, 1, "prob", 0.5, "ce", 0.2, 1.05]
    assert round(semi.labelled_share * semi.batch) == 50


def test_two_processes_share_batches_and_make_the_same_pseudo_labels(data, job):
    one = job(data, data.pool[:12])
    learner = DeepPropagation(**TINY | {"updates": 8, "batch": 7}, supervised=0.0, refresh=99, device="cpu")
    view = View(data, data.test)
    p, q = (replace(learner, devices=n).fit(one).provide(Probs(), view) for n in (1, 2))
    np.testing.assert_allclose(q, p, rtol=1e-3, atol=1e-4)
