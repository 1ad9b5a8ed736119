"""One hidden layer on frozen features: gradients against differences, the outputs agree, seeds decide, full batches."""

import numpy as np
import pytest

from querist.errors import SpecError
from querist.evidence.needs import Draws, Embeddings, Features, Gradients, Head, Logits, Probs
from querist.evidence.provider import Fit, Offer
from querist.kernels.inner import softmax
from querist.learners.mlp import MLP, _slopes
from querist.seeds import Seed
from querist.testing.contract import LearnerContract
from querist.testing.fakes import fake_dataset, fake_view

DATA = fake_dataset(n=120, c=4, d=5)
TINY = {"updates": 60, "hidden": 16, "lr": 0.01}


class TestMLP(LearnerContract):
    make = staticmethod(lambda: MLP(**TINY))


def job(ids=None, seed=0, **more):
    ids = DATA.pool[:30] if ids is None else ids
    return Fit(fake_view(DATA, ids, ids % 4), fake_view(DATA, np.setdiff1d(DATA.pool, ids)), Seed(seed), **more)


def test_slopes_are_differences_of_the_loss():
    rng = np.random.default_rng(0)
    layers = [rng.normal(size=shape) for shape in ((6, 3), (6,), (4, 6), (4,))]
    x, y = rng.normal(size=(5, 3)), np.array([0, 3, 1, 1, 2])

    def loss():
        inner, shift, outer, bias = layers
        p = softmax(np.maximum(x @ inner.T + shift, 0) @ outer.T + bias)
        return -np.log(p[np.arange(5), y]).mean()

    for layer, slope in zip(layers, _slopes(layers, x, y), strict=True):
        for place in np.ndindex(layer.shape):
            before, change = layer[place], []
            for step in (1e-6, -1e-6):
                layer[place] = before + step
                change.append(loss())
            layer[place] = before
            assert slope[place] == pytest.approx((change[0] - change[1]) / 2e-6, abs=1e-6)


def test_updates_are_those_of_adamw():
    """The twin by torch: same weights, same batches, same rates."""
    torch = pytest.importorskip("torch", reason="needs the extra deep")
    learner, task = MLP(**{**TINY, "updates": 12, "weight_decay": 0.3}), job()
    ours = learner.fit(task).layers
    start = MLP(**{**TINY, "updates": 1, "lr": 1e-30, "weight_decay": 0.0}).fit(task).layers
    parts = [torch.tensor(np.array(layer), requires_grad=True) for layer in start]
    groups = [{"params": parts[0::2], "weight_decay": 0.3}, {"params": parts[1::2], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=0.01)
    x = torch.tensor(task.labelled[Features()] * np.sqrt(5).astype(np.float32))
    order = learner._order(30, task.seed.child("order"))
    for update in range(12):
        rows = order[update * 64 : (update + 1) * 64]
        for group in optimizer.param_groups:
            group["lr"] = 0.01 * 0.5 * (1 + np.cos(np.pi * update / 12))
        z = torch.relu(x[rows] @ parts[0].T + parts[1]) @ parts[2].T + parts[3]
        loss = torch.nn.functional.cross_entropy(z, torch.tensor(task.labelled.labels[rows]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    for layer, twin in zip(ours, parts, strict=True):
        np.testing.assert_allclose(layer, twin.detach().numpy(), atol=1e-4)


def test_all_labels_are_seen_equally_often_in_full_batches():
    for l in (1, 3, 30, 100):
        order = MLP(updates=10, batch=64)._order(l, Seed(0))[:640]
        assert len(order) == 640
        counts = np.bincount(order, minlength=l)
        assert counts.max() - counts.min() <= 1


def test_outputs_are_one_function():
    model, view = MLP(**TINY).fit(job()), fake_view(DATA, DATA.test)
    h, z, p = (model.provide(need, view) for need in (Embeddings(), Logits(), Probs()))
    assert h.shape == (len(DATA.test), 16)
    assert (h >= 0).all()
    assert np.array_equal(model.provide(Head(), view)(h), z)
    assert np.array_equal(softmax(z), p)
    bought = job().labelled
    residual, embedding = model.provide(Gradients(frame="labelled"), bought)
    np.testing.assert_allclose(residual, model.provide(Probs(), bought) - np.eye(4)[bought.labels], atol=1e-12)
    assert np.array_equal(embedding, model.provide(Embeddings(), bought))
    assert "space = 'embeddings'" in MLP().offers(Head(space="features"))
    assert isinstance(MLP().offers(Head()), Offer)
    assert isinstance(MLP().offers(Draws()), str)


def test_a_class_without_labels_has_no_share():
    ids = DATA.pool[np.isin(DATA.pool % 4, (0, 3))][:20]
    model, view = MLP(**TINY).fit(job(ids)), fake_view(DATA, DATA.test)
    p = model.provide(Probs(), view)
    assert (p[:, 1:3] == 0).all()
    assert np.array_equal(softmax(model.provide(Logits(), view)), p)


def test_another_seed_is_another_model_and_an_earlier_one_is_not_looked_at():
    view, learner = fake_view(DATA, DATA.test), MLP(**TINY)
    one, other = (learner.fit(job(seed=seed)).provide(Probs(), view) for seed in (0, 1))
    assert np.abs(one - other).max() > 1e-3
    assert np.array_equal(learner.fit(job(warm=learner.fit(job(seed=5)))).provide(Probs(), view), one)


@pytest.mark.parametrize("settings", [{"hidden": 0}, {"updates": 0}, {"lr": 0.0}, {"weight_decay": -1.0}], ids=str)
def test_settings_are_checked(settings):
    with pytest.raises(SpecError, match=f"Expected {next(iter(settings))} to be"):
        MLP(**settings)
