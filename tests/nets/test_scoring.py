"""Scoring: clean images, no statistic moved, and the same bits for a row in any company."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra deep")
pytestmark = pytest.mark.deep

from querist.data.memory import from_arrays
from querist.evidence.view import View
from querist.nets import scoring
from querist.nets.images import Normalisation
from querist.nets.net import build_net
from querist.nets.running import fingerprint, reproducible
from querist.nets.scoring import embed
from querist.progress import listening
from querist.seeds import Seed

CPU = torch.device("cpu")


def pictures(n=150, shape=(12, 12)):
    x = np.random.default_rng(0).integers(0, 256, (n, *shape), dtype=np.uint8)
    return from_arrays("pictures", x, np.arange(n) % 2)


def net_of(name="small_cnn", channels=1, dropout=0.0):
    """A net whose statistics have moved."""
    with reproducible(Seed(0), CPU):
        net = build_net(name, (channels, 12, 12), 3, dropout)
        net.train()
        for _ in range(3):
            net(torch.randn(8, channels, 12, 12))
    return net.to(memory_format=torch.channels_last)


def scored(net, data, ids, channels=1):
    with reproducible(Seed(0), CPU):
        return embed(net, Normalisation((128.0,) * channels, (70.0,) * channels), View(data, np.asarray(ids)))


@pytest.mark.parametrize(("name", "n"), [("small_cnn", 150), ("resnet18_cifar", 70)])
def test_Q9_a_row_has_the_same_bits_in_any_company(name, n):
    data, net = pictures(n), net_of(name)
    whole = scored(net, data, np.arange(n))
    order = np.random.default_rng(1).permutation(n)
    assert np.array_equal(scored(net, data, order), whole[order])
    for ids in ([0], [n - 1], [7, 3], np.arange(64), np.arange(65), np.arange(20, n - 1)):
        assert np.array_equal(scored(net, data, ids), whole[ids])
    parts = [scored(net, data, part.ids) for part in View(data, np.arange(n)).stream(37)]
    assert np.array_equal(np.concatenate(parts), whole)


def test_rows_are_read_in_chunks_of_whole_blocks(monkeypatch):
    data, net = pictures(), net_of()
    whole = scored(net, data, np.arange(150))
    monkeypatch.setattr(scoring, "CHUNK_BYTES", 1)
    heard = []
    with listening(lambda *news: heard.append(news)):
        again = scored(net, data, np.arange(150))
    assert np.array_equal(again, whole)
    assert heard == [("scoring", 64, 150), ("scoring", 128, 150), ("scoring", 150, 150)]


@pytest.mark.parametrize("channels", [1, 3])
def test_equals_the_net_on_normalised_images(channels):
    data, net = pictures(shape=(12, 12, channels)), net_of(channels=channels, dropout=0.5)
    x = data.items[np.arange(150)].astype(np.float64).transpose(0, 3, 1, 2)
    net.eval()
    with torch.no_grad():
        expected = net.embed(torch.tensor((x - 128) / 70, dtype=torch.float32)).numpy()
    found = scored(net.train(), data, np.arange(150), channels)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


class Norms(torch.nn.Module):
    """Every kind of batch normalisation."""

    def __init__(self):
        super().__init__()
        self.two, self.three, self.one = torch.nn.BatchNorm2d(1), torch.nn.BatchNorm3d(1), torch.nn.BatchNorm1d(144)
        self.synchronised = torch.nn.SyncBatchNorm(144)

    def forward(self, x):
        rows = self.three(self.two(x)[:, :, None]).flatten(1)
        return self.one(rows) if self.training else self.synchronised(self.one(rows))


def test_Q3_Q4_Q6_scoring_moves_no_parameter_and_no_statistic():
    from querist.nets.net import Net

    data = pictures()
    for net in (net_of(dropout=0.5), Net(Norms(), 144, 3)):
        before = fingerprint(net)
        scored(net.train(), data, np.arange(70))
        assert fingerprint(net) == before
        assert not any(part.training for part in net.modules())
        assert all(p.grad is None for p in net.parameters())


def test_no_rows_give_no_embeddings():
    assert scored(net_of(), pictures(), np.empty(0, np.int64)).shape == (0, 96)
