"""The loss of a batch: against torch's own, and class weights that survive a class without labels."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra deep")
pytestmark = pytest.mark.deep

from hypothesis import given, strategies as st
from torch.nn import functional

from querist.nets.losses import class_weights, cross_entropy, shares


def batch(b=7, c=4, seed=0):
    draws = torch.Generator().manual_seed(seed)
    return torch.randn(b, c, generator=draws) * 3, torch.randint(c, (b,), generator=draws)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weighted", [False, True])
def test_hard_labels_as_torch_has_them(smoothing, weighted):
    logits, y = batch()
    weights = torch.tensor([0.2, 1.5, 0.7, 1.6]) if weighted else None
    targets = functional.one_hot(y, 4).float()
    found = (shares(targets, weights) * cross_entropy(logits, targets, smoothing)).sum()
    if weighted:
        each = functional.cross_entropy(logits, y, reduction="none", label_smoothing=smoothing)
        expected = (each * weights[y]).sum() / weights[y].sum()
    else:
        expected = functional.cross_entropy(logits, y, label_smoothing=smoothing)
    torch.testing.assert_close(found, expected)
    if weighted and not smoothing:
        torch.testing.assert_close(found, functional.cross_entropy(logits, y, weight=weights))


def test_soft_targets_as_torch_has_them():
    logits, _ = batch()
    targets = torch.rand(7, 4, generator=torch.Generator().manual_seed(2))
    targets /= targets.sum(dim=1, keepdim=True)
    found = (shares(targets, None) * cross_entropy(logits, targets)).sum()
    torch.testing.assert_close(found, functional.cross_entropy(logits, targets))


def test_half_precision_is_raised_to_float32():
    logits, y = batch()
    found = cross_entropy(logits.bfloat16(), functional.one_hot(y, 4).float())
    assert found.dtype == torch.float32


@given(labels=st.lists(st.integers(0, 5), min_size=1, max_size=40), c=st.integers(6, 9))
def test_T13_class_weights_with_missing_classes(labels, c):
    """Present classes weigh the same in sum, in the mean 1; those without labels have 1 and shift nobody's."""
    y = np.array(labels)
    weights = class_weights(y, c)
    present = np.unique(y)
    assert weights.shape == (c,)
    assert np.isfinite(weights).all()
    assert weights[present].mean() == pytest.approx(1.0)
    totals = [weights[k] * (y == k).sum() for k in present]
    assert totals == pytest.approx([totals[0]] * len(totals))
    assert (np.delete(weights, present) == 1).all()


def test_T13_weights_are_aligned_by_class_number():
    assert class_weights(np.array([3, 3, 3, 1]), 5) == pytest.approx([1, 1.5, 1, 0.5, 1])


def test_a_mixed_row_weighs_as_its_classes_do():
    weights = torch.tensor([0.5, 1.5])
    targets = torch.tensor([[1.0, 0.0], [0.5, 0.5]])
    assert shares(targets, weights).tolist() == pytest.approx([1 / 3, 2 / 3])
