"""Seeded augmented views: functions of id and number alone, in any company, order and chunks."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra deep")
pytest.importorskip("lightning_fabric", reason="needs the extra deep")
pytestmark = pytest.mark.deep

from querist.data.memory import from_arrays
from querist.evidence.view import View
from querist.nets import scoring
from querist.nets.augmentation import Variation
from querist.nets.augmenting import Augmenting
from querist.nets.images import Normalisation
from querist.nets.net import Net
from querist.nets.running import fingerprint, reproducible
from querist.nets.scoring import embed
from querist.nets.views import keyed, view_embeddings
from querist.seeds import Seed

CPU = torch.device("cpu")
NORMALISE = Normalisation((128.0,), (70.0,))
STRONG = Augmenting(policy="fixmatch", operations=3, cutout=0.3)


class Backbone(torch.nn.Module):
    """A net of two layers with a statistic and dropout that scoring must not touch."""

    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Conv2d(1, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU(), torch.nn.Dropout(0.5)
        )

    def forward(self, x):
        return self.layers(x).mean(dim=(2, 3))


def net_of():
    with reproducible(Seed(0), CPU):
        net = Net(Backbone(), 4, 3)
        net.train()
        net(torch.randn(8, 1, 8, 8))
    return net


def pictures(n=150):
    x = np.random.default_rng(0).integers(0, 256, (n, 8, 8), dtype=np.uint8)
    return from_arrays("pictures", x, np.arange(n) % 2)


def embedded(data, ids, augmenting=STRONG, seed=0, k=2, net=None):
    """``(k, n, d)``."""
    with reproducible(Seed(9), CPU):
        found = view_embeddings(net or net_of(), NORMALISE, View(data, np.asarray(ids)), augmenting, Seed(seed), k)
        return np.stack(list(found))


POLICIES = [Augmenting(), STRONG, Augmenting(policy="randaugment_s2"), Augmenting(policy="trivialaugment")]


@pytest.mark.parametrize("augmenting", POLICIES, ids=lambda a: a.policy)
def test_a_view_has_the_same_bits_in_any_company_order_and_chunks(augmenting, monkeypatch):
    data = pictures()
    whole = embedded(data, np.arange(150), augmenting, k=3)
    assert whole.shape == (3, 150, 4)
    assert whole.dtype == np.float32
    order = np.random.default_rng(1).permutation(150)
    assert np.array_equal(embedded(data, order, augmenting, k=3), whole[:, order])
    for ids in ([0], [149], [7, 3], np.arange(64), np.arange(65), np.arange(20, 149)):
        assert np.array_equal(embedded(data, ids, augmenting, k=3), whole[:, ids])
    monkeypatch.setattr(scoring, "CHUNK_BYTES", 1)
    assert np.array_equal(embedded(data, np.arange(150), augmenting, k=3), whole)


def test_more_views_change_none_and_seeds_and_numbers_do():
    data = pictures(60)
    three, two, other = (embedded(data, np.arange(60), seed=seed, k=k) for seed, k in ((0, 3), (0, 2), (1, 2)))
    assert np.array_equal(three[:2], two)
    for first, second in ((three[0], three[1]), (three[1], three[2]), (two[0], other[0])):
        assert (first != second).any(axis=1).mean() > 0.9


def test_views_equal_the_net_on_images_varied_by_hashes():
    data, net = pictures(5), net_of()
    net.eval()
    found = embedded(data, np.arange(5), k=2)
    vary = Variation(STRONG, (8, 8, 1), CPU, NORMALISE.mean)
    for j in range(2):
        for i in range(5):
            key = Seed(0).child("view", j).key()
            images = torch.from_numpy(data.items[np.array([i])][..., None])
            with torch.no_grad():
                expected = net.embed(
                    NORMALISE(vary(images, torch.zeros(1, dtype=torch.int64), keyed(key, np.array([i]), 1)))
                )
            np.testing.assert_allclose(found[j, i], expected[0].numpy(), rtol=1e-4, atol=1e-5)


def test_chances_are_hashes_of_ids_and_places():
    key, ids = Seed(3).key(), np.array([4, 900, 17])
    chance = keyed(key, ids, 5)
    first, second = chance().numpy(), chance().numpy()
    assert np.array_equal(first, [*key.child(0).uniform(ids), 0, 0])
    assert np.array_equal(second, [*key.child(1).uniform(ids), 0, 0])


def test_without_variation_views_are_scores_and_scores_are_never_varied():
    data, net = pictures(70), net_of()
    still = embedded(data, np.arange(70), Augmenting(crop=0.0, flip=False), net=net)
    with reproducible(Seed(0), CPU):
        clean = embed(net, NORMALISE, View(data, np.arange(70)))
    assert np.array_equal(still[0], clean)
    assert np.array_equal(still[1], clean)
    assert (embedded(data, np.arange(70), net=net)[0] != clean).any(axis=1).mean() > 0.9


def test_no_parameter_and_no_statistic_moves():
    net = net_of()
    before = fingerprint(net)
    embedded(pictures(), np.arange(70), net=net.train())
    assert fingerprint(net) == before
    assert not any(part.training for part in net.modules())


def test_no_rows_give_no_embeddings():
    assert embedded(pictures(), np.empty(0, np.int64)).shape == (2, 0, 4)
