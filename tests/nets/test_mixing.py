"""MixUp and CutMix: against arithmetic by hand, and the distribution of what is drawn."""

import numpy as np
import pytest
from scipy import stats

torch = pytest.importorskip("torch", reason="needs the extra deep")
pytestmark = pytest.mark.deep

from querist.nets.augmenting import Augmenting
from querist.nets.mixing import cutmix, keep, mix, mixup
from querist.nets.running import generator
from querist.seeds import Seed


def batch(b=6, c=4, shape=(3, 8, 10)):
    """Images of one level each, their number, and one-hot targets."""
    inputs = torch.arange(b, dtype=torch.float32).view(-1, 1, 1, 1).expand(b, *shape).clone()
    return inputs, torch.eye(c)[torch.arange(b) % c]


def test_nothing_set_is_nothing_done_and_nothing_drawn():
    inputs, targets = batch()
    draws = generator(Seed(0))
    before = draws.get_state()
    assert mix(inputs, targets, Augmenting(), draws) == (inputs, targets)
    assert torch.equal(draws.get_state(), before)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_mixup_is_a_blend_of_images_and_targets(share):
    inputs, targets = batch()
    partners = torch.tensor([1, 0, 3, 5, 2, 4])
    images, soft = mixup(inputs, targets, partners, share)
    torch.testing.assert_close(images, share * inputs + (1 - share) * inputs[partners])
    torch.testing.assert_close(soft, share * targets + (1 - share) * targets[partners])


@pytest.mark.parametrize("down", [0.0, 0.2, 0.99])
@pytest.mark.parametrize("right", [0.1, 0.5, 0.99])
@pytest.mark.parametrize("share", [0.0, 0.2, 0.75, 1.0])
def test_cutmix_pastes_a_rectangle_and_counts_its_pixels(share, down, right):
    inputs, targets = batch()
    before, partners = inputs.clone(), torch.tensor([1, 0, 3, 5, 2, 4])
    images, soft = cutmix(inputs, targets, partners, share, down, right)
    assert torch.equal(inputs, before)
    pasted = images[0, 0] == 1.0
    rows, columns = pasted.any(dim=1), pasted.any(dim=0)
    assert torch.equal(pasted, rows[:, None] & columns)
    assert rows.sum() <= int(8 * (1 - share) ** 0.5)
    assert columns.sum() <= int(10 * (1 - share) ** 0.5)
    if (down, right) == (0.2, 0.5) and share == 0.75:
        assert pasted.nonzero()[[0, -1]].tolist() == [[0, 3], [2, 7]]  # 4 x 5 about (1, 5), one row cut off
    part = pasted.double().mean().item()
    torch.testing.assert_close(soft, ((1 - part) * targets + part * targets[partners]).float())
    for i, partner in enumerate(partners.tolist()):
        assert torch.equal(images[i], torch.where(pasted, float(partner), float(i)).expand(3, 8, 10))


@pytest.mark.parametrize("alpha", [0.1, 0.4, 1.0, 5.0])
def test_shares_are_beta_distributed(alpha):
    draws = generator(Seed(0))
    shares = [keep(alpha, draws) for _ in range(2_000)]
    assert stats.kstest(shares, stats.beta(alpha, alpha).cdf).pvalue > 1e-4


@pytest.mark.parametrize(
    ("settings", "kinds"), [({"mixup": 1.0}, "m"), ({"cutmix": 1.0}, "c"), ({"mixup": 1.0, "cutmix": 1.0}, "cm")]
)
def test_targets_match_images_and_both_come_at_even_odds(settings, kinds):
    inputs, targets = batch(c=6)
    draws, cuts, count = generator(Seed(0)), 0, 300
    for _ in range(count):
        images, soft = mix(inputs, targets, Augmenting(**settings), draws)
        # With one class per image, an image's mean level is the mean of the targets' numbers.
        torch.testing.assert_close(images.mean(dim=(1, 2, 3)), soft @ torch.arange(6.0), atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(soft.sum(dim=1), torch.ones(6))
        cuts += bool(torch.isin(images, inputs).all()) and not torch.equal(images, inputs)
    if kinds == "cm":
        assert 0.35 < cuts / count < 0.6
    else:
        assert (cuts > 0.9 * count) == (kinds == "c")


def test_partners_are_a_permutation_and_the_seed_decides():
    inputs, targets = batch(b=5, c=5)
    found = []
    for seed in (0, 0, 1):
        _, soft = mix(inputs, targets, Augmenting(mixup=0.4), generator(Seed(seed)))
        torch.testing.assert_close(soft.sum(dim=0), torch.ones(5))
        found.append(soft)
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_global_generators_are_left_alone():
    before, numpy_before = torch.random.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    mix(*batch(), Augmenting(mixup=1.0, cutmix=1.0), generator(Seed(0)))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert np.array_equal(np.random.get_state()[1], numpy_before)  # noqa: NPY002
