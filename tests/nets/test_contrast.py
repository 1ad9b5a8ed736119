"""Contrast of views: against loops, against another implementation of NT-Xent, and where seeds of this field erred."""

import math

import pytest

torch = pytest.importorskip("torch", reason="needs the extra deep")
pytestmark = pytest.mark.deep

from querist.errors import DataError
from querist.nets.contrast import contrast_losses, contrast_probabilities


def views(b=7, k=5):
    draws = torch.Generator().manual_seed(3)
    first = torch.randn(b, k, generator=draws)
    return first, first + 0.5 * torch.randn(b, k, generator=draws)


def naive(first, second, temperature):
    """Probability of the other view, anchored at either view, image by image."""
    rows = [row / row.norm() for row in torch.cat([first, second]).double()]
    b = len(first)
    found = []
    for i in range(b):
        both = []
        for anchor, positive in ((i, i + b), (i + b, i)):
            terms = {j: math.exp(float(rows[anchor] @ rows[j]) / temperature) for j in range(2 * b) if j != anchor}
            both.append(terms[positive] / sum(terms.values()))
        found.append(both)
    return torch.tensor(found, dtype=torch.float64)


@pytest.mark.parametrize("temperature", [0.05, 0.1, 1.0])
def test_probabilities_and_losses_are_those_of_a_loop(temperature):
    first, second = views()
    both = naive(first, second, temperature)
    (prob,) = contrast_probabilities(first, second, (temperature,)).values()
    assert torch.allclose(prob.double(), both.mean(dim=1), rtol=1e-4, atol=1e-7)
    loss = contrast_losses(first, second, temperature)
    assert loss.dtype == torch.float64
    assert torch.allclose(loss, -both.log().mean(dim=1), rtol=1e-9)


def test_t16_both_directions_and_the_mean_is_nt_xent():
    ntxent = pytest.importorskip("lightly.loss.ntx_ent_loss", reason="needs the extra ssl")
    first, second = views(b=33)
    loss = contrast_losses(first, second, 0.2)
    assert torch.allclose(loss, contrast_losses(second, first, 0.2), rtol=1e-12)
    assert float(loss.mean()) == pytest.approx(float(ntxent.NTXentLoss(0.2)(first.double(), second.double())), rel=1e-9)


def test_t16_one_pair_is_an_error_and_not_a_loss_of_zero():
    first, second = views(b=1)
    for difficulty in (
        lambda: contrast_losses(first, second, 0.1),
        lambda: contrast_probabilities(first, second, (1,)),
    ):
        with pytest.raises(DataError, match="at least two images"):
            difficulty()


def test_t17_temperatures_do_not_touch_one_another():
    first, second = views()
    together = contrast_probabilities(first, second, (0.2, 0.1, 0.05, 0.01))
    assert list(together) == ["contrast_prob_T0.2", "contrast_prob_T0.1", "contrast_prob_T0.05", "contrast_prob_T0.01"]
    for temperature in (0.2, 0.1, 0.05, 0.01):
        (alone,) = contrast_probabilities(first, second, (temperature,)).values()
        assert torch.equal(together[f"contrast_prob_T{temperature:g}"], alone)


def test_twins_of_nobody_else_are_certain_and_copies_of_all_are_even():
    apart = torch.eye(6)
    assert torch.allclose(contrast_probabilities(apart, apart, (0.01,))["contrast_prob_T0.01"], torch.ones(6))
    alike = torch.ones(6, 4)
    assert torch.allclose(contrast_probabilities(alike, alike, (0.1,))["contrast_prob_T0.1"], torch.full((6,), 1 / 11))
