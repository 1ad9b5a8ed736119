"""The training loop: against a plain loop of torch, bit for bit against itself, and in the cases that break others."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra deep")
pytest.importorskip("lightning_fabric", reason="needs the extra deep")
pytestmark = pytest.mark.deep

from dataclasses import replace
from itertools import islice

from querist.errors import FitError, SpecError
from querist.nets.images import Normalisation
from querist.nets.net import build_net
from querist.nets.plan import INTERVAL
from querist.nets.recipe import Recipe
from querist.nets.running import fingerprint, make_fabric, reproducible
from querist.nets.training import Examples, Trainer
from querist.nets.weights import copied
from querist.progress import listening, recording
from querist.seeds import Seed

CPU = torch.device("cpu")
NORMALISE = Normalisation((100.0,), (50.0,))
PLAIN = {"crop": 0.0, "flip": False}


def labelled(l=24, c=3, side=12):
    """Images of c noisy patterns."""
    rng = np.random.default_rng(0)
    y = np.arange(l) % c
    patterns = rng.integers(0, 200, (c, side, side, 1))
    return (patterns[y] + rng.integers(0, 56, (l, side, side, 1))).astype(np.uint8), y


def net_of(seed=0, c=3, **settings):
    with reproducible(Seed(seed), CPU):
        return build_net("small_cnn", (1, 12, 12), c, **settings)


def trained(recipe, l=24, seed=0, trainer=Trainer, net=None, **settings):
    """A net after training, and what was recorded."""
    net = net or net_of(**settings)
    with reproducible(Seed(seed).child("global"), CPU):
        record = trainer(recipe, make_fabric("cpu"), NORMALISE).fit(net, Examples(*labelled(l)), Seed(seed))
    return net, record


@pytest.mark.parametrize("l", [1, 5, 24, 33])
def test_batches_are_full_and_use_every_label_equally_often(l):
    trainer = Trainer(Recipe(batch=8), make_fabric("cpu"), NORMALISE)
    batches = [rows.tolist() for rows in islice(trainer.batches(l, Seed(0)), 50)]
    assert {len(rows) for rows in batches} == {8}
    stream = np.concatenate(batches)
    for start in range(0, len(stream) - l + 1, l):
        assert sorted(stream[start : start + l]) == list(range(l)), "an epoch is a permutation of all labels"
    again, other = (np.concatenate(list(islice(trainer.batches(l, Seed(s)), 50))) for s in (0, 1))
    assert np.array_equal(stream, again)
    assert l == 1 or not np.array_equal(stream, other)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_equals_a_plain_loop_of_torch(smoothing):
    recipe = Recipe(updates=12, batch=8, lr=0.05, weight_decay=1e-2, label_smoothing=smoothing, **PLAIN)
    net, record = trained(recipe)
    twin, (images, y) = net_of(), labelled()
    x = torch.tensor((images.transpose(0, 3, 1, 2) - 100.0) / 50.0, dtype=torch.float32)
    velocity = [torch.zeros_like(p) for p in twin.parameters()]
    rows = islice(Trainer(recipe, make_fabric("cpu"), NORMALISE).batches(24, Seed(0)), 12)
    twin.train()
    for update, batch in enumerate(rows):
        logits = twin(x[batch])
        target = torch.eye(3)[torch.tensor(y)[batch]] * (1 - smoothing) + smoothing / 3
        loss = -(target * logits.log_softmax(dim=1)).sum(dim=1).mean()
        assert record.losses[update].item() == pytest.approx(loss.item(), rel=1e-4)
        twin.zero_grad()
        loss.backward()
        with torch.no_grad():
            for p, v in zip(twin.parameters(), velocity, strict=True):
                slope = p.grad + (1e-2 * p if p.ndim > 1 else 0.0)
                v.copy_(slope if update == 0 else 0.9 * v + slope)
                p -= record.rates[update] * (slope + 0.9 * v)
    for name, value in twin.state_dict().items():
        torch.testing.assert_close(net.state_dict()[name], value, rtol=2e-3, atol=2e-5, msg=name)


def test_same_seed_same_weights_bit_for_bit():
    recipe = Recipe(updates=6, batch=8, lr=0.05)
    before = torch.get_num_threads()
    found = []
    try:
        for threads, seed in ((1, 0), (2, 0), (2, 1)):
            torch.set_num_threads(threads)
            torch.default_generator.manual_seed(threads)
            found.append(fingerprint(trained(recipe, seed=seed, dropout=0.4)[0]))
    finally:
        torch.set_num_threads(before)
    assert found[0] == found[1] != found[2]


def test_learns_what_it_is_shown():
    net, record = trained(Recipe(updates=60, batch=16, lr=0.05, **PLAIN))
    images, y = labelled()
    assert not net.training
    with torch.no_grad():
        guess = net(NORMALISE(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()))).argmax(dim=1)
    assert guess.tolist() == y.tolist()
    assert record.losses[-5:].mean() < 0.2 * record.losses[:2].mean()


@pytest.mark.parametrize("l", [1, 2, 3, 9])
def test_T1_T5_fewer_labels_than_a_batch_are_trained_on_all_the_same(l):
    """Without dropping the last batch, without a batch of one row that batch normalisation cannot take."""
    before = fingerprint(net_of())
    net, record = trained(Recipe(updates=4, batch=8), l=l)
    assert len(record.losses) == 4
    assert record.losses.isfinite().all()
    assert fingerprint(net) != before
    assert int(net.backbone.layers[1].num_batches_tracked) == 4


def test_batch_normalisation_of_rows_meets_no_single_row():
    """A net whose last feature map is one pixel: torch refuses a single row there."""

    class Tail(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = torch.nn.BatchNorm1d(144)

        def forward(self, x):
            return self.norm(x.flatten(1))

    from querist.nets.net import Net

    _, record = trained(Recipe(updates=3, batch=8, crop=0.1), l=1, net=Net(Tail(), 144, 3))
    assert record.losses.isfinite().all()


def test_a_loss_that_is_not_finite_is_an_error_that_says_what_to_do():
    with pytest.raises(
        FitError, match=r"the training loss is (nan|inf) at update \d+ of 200, .* Lower lr \(now 1e\+12\)"
    ):
        trained(Recipe(updates=200, lr=1e12, warmup=0.0))


def validation(l=15):
    images, y = labelled(l + 24)
    return Examples(images[24:], y[24:])


def fitted(recipe, train=None, held=None, net=None, seed=0, trainer=Trainer, folder=None):
    net = net or net_of()
    with reproducible(Seed(seed).child("global"), CPU):
        record = trainer(recipe, make_fabric("cpu"), NORMALISE).fit(
            net, train or Examples(*labelled()), Seed(seed), validation=held, folder=folder
        )
    return net, record


def accuracy(net, examples):
    with torch.no_grad():
        logits = net(NORMALISE(torch.from_numpy(examples.images.transpose(0, 3, 1, 2).copy())))
    return float((logits.argmax(dim=1).numpy() == examples.labels).mean())


@pytest.mark.parametrize("settings", [{}, {"ema": 0.9}, {"swa": 0.3, "swa_snapshots": 5}, {"precise_bn": True}])
def test_T3_the_metric_of_the_best_weights_is_that_of_the_weights_that_are_kept(settings):
    """Not of a reference to weights that were trained on: this fit gets worse after its best look."""
    held = validation()
    recipe = Recipe(updates=24, batch=8, lr=1.0, warmup=0.97, looks=8, keep="best", **settings)
    net, record = fitted(recipe, held=held)
    best = max(record.looks, key=lambda look: (look.accuracy, -look.loss))
    assert record.kept == best
    assert accuracy(net, held) == pytest.approx(best.accuracy)
    last, other = fitted(replace(recipe, keep="last"), held=held)
    assert other.looks == record.looks, "what is kept changes nothing about the training"
    assert accuracy(last, held) == pytest.approx(other.kept.accuracy)
    assert other.kept == other.looks[-1], "a look judges what would be kept: averages, statistics and all"
    if best.update < 24:
        assert fingerprint(net) != fingerprint(last)


def test_looking_changes_nothing():
    recipe = Recipe(updates=10, batch=8, precise_bn=True, ema=0.5)
    assert fingerprint(fitted(recipe, held=validation())[0]) == fingerprint(fitted(recipe)[0])


def test_best_weights_without_a_validation_set_are_an_error():
    with pytest.raises(SpecError, match=r"there is none: buy one .*, or set keep = 'last'"):
        fitted(Recipe(keep="best"))
    empty = Examples(*(array[:0] for array in validation()))
    with pytest.raises(SpecError, match="there is none"):
        fitted(Recipe(keep="best"), held=empty)


class Recorded(Trainer):
    """Remembers the weights after every update."""

    def after(self, run):
        self.seen = [*getattr(self, "seen", []), copied(run.net)]
        super().after(run)


def seen_of(recipe, **more):
    trainer = Recorded(recipe, make_fabric("cpu"), NORMALISE)
    net = net_of()
    with reproducible(Seed(0).child("global"), CPU):
        record = trainer.fit(net, Examples(*labelled()), Seed(0), **more)
    return net, record, trainer.seen


def test_the_best_weights_are_those_there_were_at_that_look():
    recipe = Recipe(updates=24, batch=8, lr=1.0, warmup=0.97, looks=8, keep="best")  # ever larger steps
    net, record, seen = seen_of(recipe, validation=validation())
    assert record.kept.update < 24, "the last weights are not the best, or this shows nothing"
    there = seen[record.kept.update - 1]
    assert all(torch.equal(there[name], value) for name, value in net.state_dict().items())


def test_swa_is_the_mean_of_its_snapshots_with_statistics_of_clean_images():
    recipe = Recipe(updates=6, batch=24, lr=0.05, swa=0.5, swa_snapshots=5, swa_lr=0.02, **PLAIN)
    net, record, seen = seen_of(recipe)
    assert len(record.losses) == len(record.rates) == 11
    assert record.rates[6:] == [0.02] * 5
    for name, value in net.named_parameters():
        mean = torch.stack([weights[name] for weights in seen[6:]]).mean(dim=0)
        torch.testing.assert_close(value.detach(), mean)
    with torch.no_grad():
        x = net.backbone.layers[0](NORMALISE(torch.from_numpy(labelled()[0].transpose(0, 3, 1, 2).copy())))
    torch.testing.assert_close(net.backbone.layers[1].running_mean, x.mean(dim=(0, 2, 3)))
    # Seen in a crop, an image is another one; the statistics are of clean images whatever the training saw.
    varied, _, _ = seen_of(replace(recipe, crop=0.4))
    with torch.no_grad():
        x = varied.backbone.layers[0](NORMALISE(torch.from_numpy(labelled()[0].transpose(0, 3, 1, 2).copy())))
    torch.testing.assert_close(varied.backbone.layers[1].running_mean, x.mean(dim=(0, 2, 3)))


def test_ema_is_kept_and_training_goes_on_from_the_weights():
    recipe = Recipe(updates=8, batch=8, lr=0.05, ema=0.7)
    net, record, seen = seen_of(recipe)
    plain, other, _ = seen_of(replace(recipe, ema=0.0))
    assert torch.equal(record.losses, other.losses)
    twin = copied(net_of())
    for t, weights in enumerate(seen):
        d = min(0.7, (1 + t) / (10 + t))
        twin = {name: d * twin[name] + (1 - d) * weights[name] for name, value in net.named_parameters()}
    for name, value in net.named_parameters():
        torch.testing.assert_close(value.detach(), twin[name])
    assert fingerprint(net) != fingerprint(plain)


def test_precise_statistics_are_those_of_clean_images():
    recipe = Recipe(updates=4, batch=24, precise_bn=True, crop=0.4)
    net, _ = fitted(recipe)
    with torch.no_grad():
        x = net.backbone.layers[0](NORMALISE(torch.from_numpy(labelled()[0].transpose(0, 3, 1, 2).copy())))
    torch.testing.assert_close(net.backbone.layers[1].running_mean, x.mean(dim=(0, 2, 3)))
    moving, _ = fitted(replace(recipe, precise_bn=False))
    assert not torch.allclose(moving.backbone.layers[1].running_mean, x.mean(dim=(0, 2, 3)), rtol=1e-3)


def test_statistics_of_a_checkpoint_are_left_alone_on_request():
    net, start = net_of(), net_of()
    fitted(Recipe(updates=4, batch=8, batch_norm="eval", lr=0.01, ema=0.5), net=net)
    for name, value in net.named_buffers():
        assert torch.equal(value, start.get_buffer(name)), name
    assert not torch.equal(net.head.weight, start.head.weight)


def test_a_frozen_backbone_stays_as_it_is_with_all_its_statistics():
    net, start = net_of(dropout=0.3), net_of()
    net.backbone.requires_grad_(False)
    fitted(Recipe(updates=4, batch=8, swa=0.5, swa_snapshots=5), net=net)
    assert fingerprint(net.backbone) == fingerprint(start.backbone)
    assert fingerprint(net.head) != fingerprint(start.head)


def test_two_rates():
    slow, start = net_of(), net_of()
    fitted(Recipe(updates=3, batch=8, lr=0.1, backbone_lr=1e-9), net=slow)
    for (name, value), before in zip(slow.named_parameters(), start.parameters(), strict=True):
        moved = (value - before).abs().max().item()
        assert (moved > 1e-4) if name.startswith("head") else (moved < 1e-6), name


def test_clipped_gradients():
    class Norms(Trainer):
        def after(self, run):
            squares = sum(float(p.grad.square().sum()) for p in run.net.parameters())
            self.found = [*getattr(self, "found", []), squares**0.5]
            super().after(run)

    found = []
    for clip in (None, 0.05):
        trainer = Norms(Recipe(updates=4, batch=8, clip=clip), make_fabric("cpu"), NORMALISE)
        with reproducible(Seed(0), CPU):
            trainer.fit(net_of(), Examples(*labelled()), Seed(0))
        found.append(trainer.found)
    assert max(found[1]) <= 0.05 * (1 + 1e-4)
    assert min(found[0]) > 0.05


@pytest.mark.parametrize("swa", [0.0, 1.0])
def test_T13_class_weights_in_every_stage_with_a_class_without_labels(swa):
    images, y = labelled(20)
    keep = np.flatnonzero((y == 0) | ((y == 1) & (np.arange(20) < 3)))  # seven of class 0, one of class 1, none of 2
    train = Examples(images[keep], y[keep])
    recipe = Recipe(updates=8, batch=8, lr=1e-7, swa_lr=1e-7, swa=swa, swa_snapshots=5, class_weights=True, **PLAIN)

    class Batches(Trainer):
        def step(self, run, batch, rate):
            self.seen = [*getattr(self, "seen", []), batch]
            return super().step(run, batch, rate)

    trainer = Batches(recipe, make_fabric("cpu"), NORMALISE)
    with reproducible(Seed(0), CPU):
        record = trainer.fit(net_of(), train, Seed(0))
    assert record.losses.isfinite().all()
    assert len(trainer.seen) == (16 if swa else 8)
    counts = np.bincount(train.labels, minlength=3)
    for batch in trainer.seen:
        y_b = batch.targets.argmax(dim=1).numpy()
        raw = 1 / counts[y_b]
        assert batch.weights.numpy() == pytest.approx(raw / raw.sum(), rel=1e-5)


def test_every_update_has_random_numbers_of_its_own_that_its_number_alone_decides():
    class Random(Trainer):
        def step(self, run, batch, rate):
            self.found = [*getattr(self, "found", []), torch.rand(3).tolist()]
            return super().step(run, batch, rate)

    found = []
    for seed, updates in ((0, 5), (0, 9), (1, 5)):
        trainer = Random(Recipe(updates=updates, batch=8), make_fabric("cpu"), NORMALISE)
        with reproducible(Seed(7), CPU):
            trainer.fit(net_of(), Examples(*labelled()), Seed(seed))
        found.append(trainer.found)
    assert len({tuple(numbers) for numbers in found[1]}) == 9
    assert found[0] == found[1][:5]
    assert not any(numbers in found[2] for numbers in found[1])


def test_mixed_targets_reach_the_loss():
    class Batches(Trainer):
        def step(self, run, batch, rate):
            self.seen = [*getattr(self, "seen", []), batch.targets]
            return super().step(run, batch, rate)

    trainer = Batches(Recipe(updates=6, batch=8, mixup=1.0, label_smoothing=0.1), make_fabric("cpu"), NORMALISE)
    with reproducible(Seed(0), CPU):
        trainer.fit(net_of(), Examples(*labelled()), Seed(0))
    targets = torch.cat(trainer.seen)
    torch.testing.assert_close(targets.sum(dim=1), torch.ones(len(targets)))
    assert ((targets > 0.01) & (targets < 0.99)).any()


def test_what_is_recorded_as_it_happens():
    heard = []
    recipe = Recipe(updates=65, batch=8, looks=3, dynamics=True, lr=0.05)
    with recording(lambda event, values: heard.append((event, dict(values)))):
        _, record = fitted(recipe, held=validation())
    assert [event for event, _ in heard] == ["epoch"] * 3  # epochs of 3 updates, nine of them at a time
    values = [values for _, values in heard]
    assert [v["update"] for v in values] == [27, 54, 65]
    assert [v["epoch"] for v in values] == [9.0, 18.0, pytest.approx(65 * 8 / 24)]
    spans = [(0, 27), (27, 54), (54, 65)]
    assert [v["loss"] for v in values] == pytest.approx([float(record.losses[a:b].mean()) for a, b in spans])
    assert [v["lr"] for v in values] == [record.rates[i - 1] for i in (27, 54, 65)]
    assert values[-1]["train_accuracy"] > values[0]["train_accuracy"] > 0.3
    assert values[-1]["validation_accuracy"] == record.looks[-1].accuracy
    assert all(v["images_per_second"] > 0 and 0 <= v["waiting"] < 1 for v in values)
    assert record.images_per_second > 0
    assert 0 < record.waiting < 1
    assert record.dynamics.updates.tolist() == [27, 54, 65]


def test_dynamics_are_of_clean_images_and_change_nothing():
    recipe = Recipe(updates=30, batch=8, crop=0.4, dynamics=True)
    net, record = fitted(recipe)
    train = Examples(*labelled())
    with torch.no_grad():
        p = net(NORMALISE(torch.from_numpy(train.images.transpose(0, 3, 1, 2).copy()))).softmax(dim=1).numpy()
    assert record.dynamics.p_true.shape == record.dynamics.correct.shape == (2, 24)
    assert record.dynamics.p_true[-1] == pytest.approx(p[np.arange(24), train.labels], abs=1e-5)
    assert record.dynamics.correct[-1].tolist() == (p.argmax(axis=1) == train.labels).tolist()
    plain, without = fitted(replace(recipe, dynamics=False))
    assert fingerprint(plain) == fingerprint(net)
    assert without.dynamics is None


def test_biases_and_batch_normalisation_do_not_decay():
    trainer = Trainer(Recipe(weight_decay=0.3), make_fabric("cpu"), NORMALISE)
    net = net_of()
    decaying, others = trainer.optimizer(net).param_groups
    assert (decaying["weight_decay"], others["weight_decay"]) == (0.3, 0.0)
    assert len(decaying["params"]) == 5  # four convolutions and the head
    assert len(decaying["params"]) + len(others["params"]) == len(list(net.parameters()))


def test_a_step_can_be_replaced():
    class Squared(Trainer):
        def loss(self, logits, batch):
            return (logits.softmax(dim=1) - batch.targets).square().sum(dim=1).mean()

    recipe = Recipe(updates=5)
    assert (trained(recipe, trainer=Squared)[1].losses <= 2).all()
    assert fingerprint(trained(recipe, trainer=Squared)[0]) != fingerprint(trained(recipe)[0])


def test_progress_is_told_to_the_end():
    heard = []
    with listening(lambda *news: heard.append(news)):
        trained(Recipe(updates=2 * INTERVAL + 3, batch=4))
    assert heard == [("training", done, 2 * INTERVAL + 3) for done in (INTERVAL, 2 * INTERVAL, 2 * INTERVAL + 3)]


def test_a_loss_that_is_not_finite_is_found_late_in_a_fit_too():
    class Late(Trainer):
        def loss(self, logits, batch):
            self.count = getattr(self, "count", 0) + 1
            return super().loss(logits, batch) * (float("nan") if self.count == 58 else 1.0)

    with pytest.raises(FitError, match=r"the training loss is nan at update 58 of 90"):
        trained(Recipe(updates=90, batch=4), trainer=Late)


def test_a_compiled_net_is_trained_in_place(monkeypatch):
    calls, original = [], torch.compile

    def compile_(net, **_settings):
        calls.append(net)
        return original(net, backend="eager")  # no compiler has to be there, and none takes minutes

    monkeypatch.setattr(torch, "compile", compile_)
    recipe = Recipe(updates=5, batch=8)
    net, record = trained(replace(recipe, compile=True))
    plain, other = trained(recipe)
    assert calls[0] is net
    torch.testing.assert_close(record.losses, other.losses)
    torch.testing.assert_close(net.state_dict(), plain.state_dict())
