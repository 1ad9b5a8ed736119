"""The training loop: against a plain loop of torch, bit for bit against itself, and in the cases that break others."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra deep")
pytest.importorskip("lightning_fabric", reason="needs the extra deep")
pytestmark = pytest.mark.deep

from itertools import islice

from querist.errors import FitError
from querist.nets.images import Normalisation
from querist.nets.net import build_net
from querist.nets.recipe import Recipe
from querist.nets.running import fingerprint, make_fabric, reproducible
from querist.nets.training import LOOK, Trainer
from querist.progress import listening
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
        record = trainer(recipe, make_fabric("cpu"), NORMALISE).fit(net, *labelled(l), Seed(seed))
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
def test_T5_fewer_labels_than_a_batch_are_trained_on_all_the_same(l):
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


def test_biases_and_batch_normalisation_do_not_decay():
    trainer = Trainer(Recipe(weight_decay=0.3), make_fabric("cpu"), NORMALISE)
    net = net_of()
    decaying, others = trainer.optimizer(net).param_groups
    assert (decaying["weight_decay"], others["weight_decay"]) == (0.3, 0.0)
    assert len(decaying["params"]) == 5  # four convolutions and the head
    assert len(decaying["params"]) + len(others["params"]) == len(list(net.parameters()))


def test_a_step_can_be_replaced():
    class Squared(Trainer):
        def loss(self, logits, y_b):
            return (logits.softmax(dim=1) - torch.eye(3)[y_b]).square().sum(dim=1).mean()

    recipe = Recipe(updates=5)
    assert (trained(recipe, trainer=Squared)[1].losses <= 2).all()
    assert fingerprint(trained(recipe, trainer=Squared)[0]) != fingerprint(trained(recipe)[0])


def test_progress_is_told_to_the_end():
    heard = []
    with listening(lambda *news: heard.append(news)):
        trained(Recipe(updates=2 * LOOK + 3, batch=4))
    assert heard == [("training", done, 2 * LOOK + 3) for done in (LOOK, 2 * LOOK, 2 * LOOK + 3)]
