"""Monte Carlo dropout: draws are functions of images, and the net does not notice that it was asked."""

from copy import deepcopy

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra deep")
pytestmark = pytest.mark.deep

from torch import nn

from querist.data.memory import from_arrays
from querist.errors import DataError, SpecError
from querist.evidence.view import View
from querist.nets import draws
from querist.nets.draws import architecture_has_dropout, dropout_draws, dropouts, dropped, has_dropout
from querist.nets.images import Normalisation
from querist.nets.net import Net, build_net
from querist.nets.running import fingerprint, reproducible
from querist.nets.scoring import embed
from querist.seeds import Seed
from querist.testing.spy import global_rng_untouched

CPU = torch.device("cpu")
NORMALISE = Normalisation((128.0,), (70.0,))
SEED = Seed(3)
N, SIDE, C = 70, 8, 3


class Branches(nn.Module):
    """Dropout of every shape, one layer used twice, and no chain of parts."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.maps, self.pixels = nn.Dropout2d(0.4), nn.Dropout(0.3, inplace=True)
        self.twice, self.idle = nn.Dropout(0.5), nn.Dropout(0.0)

    def forward(self, x):
        x = self.pixels(self.maps(self.norm(self.conv(x)).relu()))
        z = self.idle(x.mean(dim=(2, 3)))
        return torch.cat([self.twice(z), self.twice(z)], dim=1)


class InPlace(nn.Module):
    """Works in place on what it is given, then drops some of it."""

    def __init__(self):
        super().__init__()
        self.drop = nn.Dropout(0.3, inplace=True)

    def forward(self, x):
        return self.drop(x.mul_(0.9).add_(0.1))


def chain():
    """Parts one after another."""
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6)),
        nn.Sequential(InPlace(), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(216, 12)),
    )


def net_of(kind, dropout=0.0):
    """A net whose statistics have moved, in training mode but for one part."""
    with reproducible(Seed(0), CPU):
        if kind in ("branches", "chain"):
            net = Net(Branches() if kind == "branches" else chain(), 12, C, dropout)
        else:
            net = build_net(kind, (1, SIDE, SIDE), C, dropout)
        net.train()
        for _ in range(3):
            net(torch.randn(8, 1, SIDE, SIDE))
    next(part for part in net.modules() if isinstance(part, nn.BatchNorm2d)).eval()
    return net


NETS = [("small_cnn", 0.5), ("branches", 0.0), ("branches", 0.3), ("chain", 0.2), ("wrn_28_2(dropout=0.4)", 0.0)]
NAMES = [f"{kind}-{share}" for kind, share in NETS]


@pytest.fixture(scope="module", params=NETS, ids=NAMES)
def net(request):
    return net_of(*request.param)


@pytest.fixture(scope="module")
def data():
    x = np.random.default_rng(0).integers(0, 256, (N, SIDE, SIDE), dtype=np.uint8)
    return from_arrays("pictures", x, np.arange(N) % C)


def drawn(net, data, ids, k=3, seed=SEED, **settings):
    with reproducible(Seed(9), CPU):
        return list(dropout_draws(net, NORMALISE, View(data, np.asarray(ids)), seed, k, **settings))


def test_T9_batch_norm_flags_hooks_and_generators_are_left_as_they_were(net, data):
    before, flags = fingerprint(net), [part.training for part in net.modules()]
    assert True in flags
    assert False in flags
    with reproducible(Seed(9), CPU), global_rng_untouched():
        for _ in dropout_draws(net, NORMALISE, View(data, np.arange(N)), SEED, 3):
            assert [part.training for part in net.modules()] == flags, "between draws the net is its owner's"
            assert not any(part._forward_hooks or part._forward_pre_hooks for part in net.modules())
    assert [part.training for part in net.modules()] == flags
    assert fingerprint(net) == before
    assert all(p.grad is None or not p.grad.any() for p in net.parameters())


def test_T9_masks_are_consistent_over_rows_orders_and_pools(net, data):
    whole = drawn(net, data, np.arange(N))
    assert [(z.shape, z.dtype) for z in whole] == [((N, C), np.float64)] * 3
    order = np.random.default_rng(1).permutation(N)
    for ids in (order, [5], [N - 1], [7, 3], np.arange(64), np.arange(20, N)):
        for z, part in zip(whole, drawn(net, data, ids), strict=True):
            assert np.array_equal(z[ids], part)


def test_T9_calls_with_one_seed_are_equal_and_more_draws_change_no_earlier_ones(net, data):
    three, same, five, other = (
        drawn(net, data, np.arange(9), k, seed) for k, seed in ((3, SEED), (3, SEED), (5, SEED), (3, Seed(4)))
    )
    assert np.array_equal(three, same)
    assert np.array_equal(three, five[:3])
    every = [*five, *other]
    assert len({z.tobytes() for z in every}) == len(every)


def test_equal_images_have_equal_logits_in_every_draw(net):
    """Masks that differed between rows would tell them apart."""
    x = np.repeat(np.random.default_rng(2).integers(0, 256, (1, SIDE, SIDE), dtype=np.uint8), 5, axis=0)
    for z in drawn(net, from_arrays("copies", x, np.arange(5) % 2), np.arange(5)):
        assert (z == z[0]).all()


def test_how_many_draws_share_a_reading_changes_nothing(net, data, monkeypatch):
    whole = drawn(net, data, np.arange(N), 4)
    for size in (1, 8 * N * C * 3):
        monkeypatch.setattr(draws, "GROUP_BYTES", size)
        assert np.array_equal(drawn(net, data, np.arange(N), 4), whole)


def by_hand(net, x, j, seed=SEED):
    """Draw j with dropout layers replaced by layers that multiply by masks drawn one by one."""
    twin = deepcopy(net).eval()
    names = list(dropouts(net))

    class Masked(nn.Module):
        def __init__(self, name, layer):
            super().__init__()
            self.name, self.layer, self.calls = name, layer, 0

        def forward(self, x):
            self.calls += 1
            address = seed.child(j, "dropout") if self.name == "dropout" else seed.child(j, self.name, self.calls)
            words = torch.Generator().manual_seed(int(address.words(1)[0]) >> 1)
            shape = (x.shape[1], 1, 1) if isinstance(self.layer, nn.Dropout2d) else x.shape[1:]
            kept = torch.rand(shape, generator=words) >= self.layer.p
            return torch.stack([torch.where(kept, row / (1 - self.layer.p), torch.zeros(())) for row in x])

    for name in names:
        twin.set_submodule(name, Masked(name, net.get_submodule(name)))
    with torch.no_grad():
        return twin(x).numpy()


def test_equals_nets_whose_dropout_layers_are_fixed_masks(net, data):
    x = (torch.from_numpy(np.asarray(data.items[np.arange(9)])[:, None].astype(np.float32)) - 128) / 70
    for j, z in enumerate(drawn(net, data, np.arange(9))):
        np.testing.assert_allclose(z, by_hand(net, x, j), rtol=1e-3, atol=1e-4)


def test_the_mean_of_many_draws_before_a_linear_head_is_the_net_itself(data):
    net = net_of("small_cnn", 0.3)
    many = np.array(drawn(net, data, np.arange(4), 4000))
    net.eval()
    x = (torch.from_numpy(np.asarray(data.items[np.arange(4)])[:, None].astype(np.float32)) - 128) / 70
    with torch.no_grad():
        expected = net(x).numpy()
    assert (np.abs(many.mean(axis=0) - expected) < 5 * many.std(axis=0) / 4000**0.5).all()


def test_dropout_before_the_head_alone_needs_one_pass(data):
    net, passes = net_of("small_cnn", 0.5), []
    net.backbone.layers[0].register_forward_pre_hook(lambda *_: passes.append(1))
    drawn(net, data, np.arange(N), 5)
    assert len(passes) == 2  # blocks of rows


def test_what_precedes_the_first_dropout_of_a_chain_is_shared(data):
    net, passes, calls = net_of("chain"), [], []
    net.backbone[0][0].register_forward_pre_hook(lambda *_: passes.append(1))
    drawn(net, data, np.arange(N), 5)
    assert len(passes) == 2
    net.backbone[1].register_forward_hook(lambda *_: calls.append(1))
    drawn(net, data, np.arange(N), 5)
    assert len(calls) == 2 * 5, "somebody's hook on a chain is not passed over"


def test_embeddings_at_hand_spare_the_pass(data, monkeypatch):
    net = net_of("small_cnn", 0.5)
    with reproducible(Seed(9), CPU):
        x = embed(net, NORMALISE, View(data, np.arange(N)))
    expected = drawn(net, data, np.arange(N))
    monkeypatch.setattr(draws, "embed", lambda *_: pytest.fail("another pass"))
    assert np.array_equal(drawn(net, data, np.arange(N), x_n_d=x), expected)


def test_no_rows(net, data):
    assert [z.shape for z in drawn(net, data, np.empty(0, np.int64))] == [(0, C)] * 3


def test_T9_a_net_without_dropout_is_refused_at_once(data):
    net = net_of("small_cnn")
    view = View(data, np.arange(N))
    with pytest.raises(SpecError, match=r"has no dropout, .* set dropout=0.5, say, in the learner, .* 'wrn_28_2'"):
        dropout_draws(net, NORMALISE, view, SEED, 3)
    with pytest.raises(SpecError, match="at least 1 draw, got 0"):
        dropout_draws(net_of("chain"), NORMALISE, view, SEED, 0)


class Breaks(nn.Module):
    def forward(self, x):
        raise ZeroDivisionError


@pytest.mark.parametrize("where", ["net", "items"])
def test_T9_an_error_leaves_no_trace(data, where):
    net = net_of("branches", 0.2)
    if where == "net":
        net.backbone.idle = Breaks()
    flags, before = [part.training for part in net.modules()], fingerprint(net)
    items = np.zeros((4, SIDE, SIDE), np.uint8 if where == "net" else np.float64)
    broken = from_arrays("broken", items, np.arange(4) % 2)
    with global_rng_untouched(), pytest.raises(ZeroDivisionError if where == "net" else DataError):
        list(dropout_draws(net, NORMALISE, View(broken, np.arange(4)), SEED, 2))
    assert [part.training for part in net.modules()] == flags
    assert not any(part._forward_hooks for part in net.modules())
    assert fingerprint(net) == before


def test_an_iterator_that_is_left_half_way_leaves_no_trace(net, data):
    flags = [part.training for part in net.modules()]
    with reproducible(Seed(9), CPU):
        some = dropout_draws(net, NORMALISE, View(data, np.arange(N)), SEED, 3)
        first = next(some)
        some.close()
    assert [part.training for part in net.modules()] == flags
    assert not any(part._forward_hooks for part in net.modules())
    assert np.array_equal(first, drawn(net, data, np.arange(N))[0])


# What single layers do, beside torch's own in training.

LAYERS = [nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout]
SHAPES = {nn.Dropout1d: (6, 5), nn.Dropout3d: (6, 2, 2, 2)}


@pytest.mark.parametrize("kind", LAYERS)
def test_a_layer_drops_what_torch_drops_with_the_same_mask_for_every_row(kind):
    layer, shape = kind(0.4).train(), SHAPES.get(kind, (6, 3, 3))
    x = torch.randn(4, *shape)
    out = dropped(layer, x, Seed(0))
    # Every layer is x times something plus something, the same for all rows.
    twice = dropped(layer, 2 * x, Seed(0))
    factor, constant = (twice - out) / x, 2 * out - twice
    for value in (factor, constant):
        torch.testing.assert_close(value, value[:1].expand_as(value), rtol=1e-3, atol=1e-4)
    ones = torch.ones(1, 400, *shape[1:])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        theirs = layer(ones)
    ours = dropped(layer, ones, Seed(0))
    low, high = ours.unique().tolist()
    torch.testing.assert_close(ours.unique(), theirs.unique())  # 0 and 1 / (1 - p), or what alpha dropout makes of 1
    whole = kind not in (nn.Dropout, nn.AlphaDropout)
    for values in (ours.flatten(2)[0], theirs.flatten(2)[0]):
        assert bool((values == values[:, :1]).all()) is whole, "channels are dropped as a whole or not"
        assert (values[:, 0] == values.min()).double().mean().item() == pytest.approx(0.4, abs=0.1)
    assert low < high


@pytest.mark.parametrize("kind", [nn.Dropout, nn.Dropout2d, nn.AlphaDropout])
def test_a_share_of_one_drops_all_as_torch_does(kind):
    layer, x = kind(1.0).train(), torch.randn(2, 3, 2, 2)
    assert dropped(layer, x, Seed(0)).tolist() == layer(x).tolist()


def test_alpha_dropout_keeps_mean_and_variance():
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(400, 400))).float()
    out = dropped(nn.AlphaDropout(0.3), x, Seed(0))
    assert out.mean().item() == pytest.approx(0, abs=0.06)
    assert out.var().item() == pytest.approx(1, abs=0.06)


class Own(nn.Dropout):
    """A subclass."""


def test_what_counts_as_dropout():
    assert has_dropout(nn.Sequential(nn.Linear(2, 2), Own(0.1)))
    assert not has_dropout(nn.Sequential(nn.Dropout(0.0), nn.Dropout2d(0.0)))
    assert has_dropout(net_of("small_cnn", 0.1))
    assert not has_dropout(net_of("small_cnn"))
    assert set(dropouts(net_of("branches", 0.1))) == {
        *("backbone.maps", "backbone.pixels", "backbone.twice", "dropout")
    }


def test_stochastic_depth_is_no_dropout():
    drop_path = pytest.importorskip("timm", reason="needs the extra deep").layers.DropPath
    depth = pytest.importorskip("torchvision", reason="needs the extra deep").ops.StochasticDepth
    assert not has_dropout(nn.Sequential(drop_path(0.2), depth(0.2, "row")))
    timm = pytest.importorskip("timm")
    with torch.device("meta"):
        rates = {"drop_path_rate": 0.2, "num_classes": 0}
        assert not has_dropout(timm.create_model("vit_tiny_patch16_224", **rates))
        assert has_dropout(timm.create_model("vit_tiny_patch16_224", drop_rate=0.2, **rates))
        assert not has_dropout(timm.create_model("resnet18", drop_rate=0.2, num_classes=0)), "it is a function there"


def test_architectures_are_looked_at_without_being_built(monkeypatch):
    pytest.importorskip("torchvision", reason="needs the extra deep")
    pytest.importorskip("timm", reason="needs the extra deep")
    with global_rng_untouched():
        assert architecture_has_dropout("torchvision/efficientnet_b0")
        assert architecture_has_dropout("wrn_28_2(dropout=0.1)", 1)
        assert not architecture_has_dropout("wrn_28_2(dropout=0)", 1)
        assert not architecture_has_dropout("timm/convnext_tiny")
        assert not architecture_has_dropout("swin_t")
