"""Optimisers: their steps against formulas, the groups of parameters, and a memory that comes back bit for bit."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra deep")
pytestmark = pytest.mark.deep

from querist.errors import SpecError, UnknownNameError
from querist.nets.net import Net
from querist.nets.optimisers import TRUST, groups, make_optimiser, memory, remember, set_rate
from querist.nets.steps import Steps

OPTIMISERS = ("sgd", "adam", "adamw", "lars")


def net_of(seed=0):
    torch.manual_seed(seed)
    backbone = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(64, 5)
    )
    return Net(backbone, 5, 3).to(memory_format=torch.channels_last)


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng():
        yield


def stepped(optimizer, parameters, gradients, rate=None):
    for each in gradients:
        for parameter, gradient in zip(parameters, each, strict=True):
            parameter.grad = torch.empty_like(parameter).copy_(gradient)
        if rate is not None:
            set_rate(optimizer, rate)
        optimizer.step()


def random_gradients(parameters, count, seed=1):
    draws = torch.Generator().manual_seed(seed)
    return [[torch.randn(p.shape, generator=draws) for p in parameters] for _ in range(count)]


def formula(name, steps, p, gradients, decay):
    """One parameter after some steps, in float64, as the papers write them."""
    p = p.astype(np.float64)
    m, v = np.zeros_like(p), np.zeros_like(p)
    for t, g in enumerate((g.astype(np.float64) for g in gradients), start=1):
        if name == "sgd":
            g = g + decay * p
            m = steps.momentum * m + g if t > 1 else g
            p = p - steps.lr * (g + steps.momentum * m if steps.nesterov else m)
        elif name == "lars":
            q = TRUST * np.linalg.norm(p) / (np.linalg.norm(g) + decay * np.linalg.norm(p)) if p.ndim > 1 else 1.0
            m = steps.momentum * m + q * (g + decay * p)
            p = p - steps.lr * m
        else:
            if name == "adamw":
                p = p * (1 - steps.lr * decay)
            else:
                g = g + decay * p
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
            p = p - steps.lr * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    return p


@pytest.mark.parametrize("name", OPTIMISERS)
@pytest.mark.parametrize("nesterov", [True, False])
def test_steps_are_those_of_the_papers(name, nesterov):
    steps = Steps(optimizer=name, lr=0.3, weight_decay=0.2, momentum=0.8, nesterov=nesterov)
    net = net_of()
    parameters = list(net.parameters())
    before = [p.detach().numpy().copy() for p in parameters]
    gradients = random_gradients(parameters, 4)
    stepped(make_optimiser(groups(net, net.head, steps), steps, fused=name != "lars"), parameters, gradients)
    for i, p in enumerate(parameters):
        decay = 0.2 if p.ndim > 1 else 0.0
        expected = formula(name, steps, before[i], [each[i].numpy() for each in gradients], decay)
        np.testing.assert_allclose(p.detach().numpy(), expected, rtol=1e-4, atol=1e-6)


def test_lars_steps_of_a_layer_without_a_norm_are_finite():
    steps = Steps(optimizer="lars", momentum=0.0, weight_decay=0.0, lr=0.5)
    zero, still = torch.nn.Parameter(torch.zeros(2, 2)), torch.nn.Parameter(torch.ones(2, 2))
    optimizer = make_optimiser([{"params": [zero, still], "weight_decay": 0.0, "scale": 1.0}], steps, fused=False)
    stepped(optimizer, [zero, still], [[torch.ones(2, 2), torch.zeros(2, 2)]])
    assert zero.tolist() == [[-0.5, -0.5], [-0.5, -0.5]], "a weight of norm 0 takes the plain step"
    assert still.tolist() == [[1.0, 1.0], [1.0, 1.0]]


def test_groups_are_built_by_identity_not_by_order():
    net = net_of()
    steps = Steps(lr=0.1, backbone_lr=0.001, weight_decay=0.3)
    found = groups(net, net.head, steps)
    head = {id(p) for p in net.head.parameters()}
    assert len(found) == 4
    for group in found:
        for p in group["params"]:
            assert group["scale"] == pytest.approx(1.0 if id(p) in head else 0.01)
            assert group["weight_decay"] == (0.3 if p.ndim > 1 else 0.0)
    assert sum(len(group["params"]) for group in found) == len(list(net.parameters()))


def test_two_rates_are_two_rates_at_every_step():
    net = net_of()
    steps = Steps(lr=0.1, backbone_lr=0.02, momentum=0.0, weight_decay=0.0)
    parameters = list(net.parameters())
    before = [p.detach().clone() for p in parameters]
    optimizer = make_optimiser(groups(net, net.head, steps), steps, fused=True)
    stepped(optimizer, parameters, [[torch.ones_like(p) for p in parameters]], rate=0.05)  # half way down a schedule
    head = {id(p) for p in net.head.parameters()}
    for p, old in zip(parameters, before, strict=True):
        torch.testing.assert_close(old - p, torch.full_like(p, 0.05 if id(p) in head else 0.01))


def test_decay_all_decays_biases_and_batch_normalisation():
    net = net_of()
    (only,) = groups(net, net.head, Steps(decay_all=True, weight_decay=0.3))
    assert only["weight_decay"] == 0.3
    assert len(only["params"]) == len(list(net.parameters()))


def test_frozen_parameters_are_in_no_group_and_nothing_to_train_is_an_error():
    net = net_of()
    net.backbone.requires_grad_(False)
    found = [p for group in groups(net, net.head, Steps()) for p in group["params"]]
    assert {id(p) for p in found} == {id(p) for p in net.head.parameters()}
    net.requires_grad_(False)
    with pytest.raises(SpecError, match="nothing to train: unfreeze its head"):
        groups(net, net.head, Steps())


@pytest.mark.parametrize("name", OPTIMISERS)
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_memory_comes_back_bit_for_bit(name, momentum):
    steps, gradients = (
        Steps(optimizer=name, lr=0.1, momentum=momentum),
        random_gradients(list(net_of().parameters()), 6),
    )
    whole, half, other = net_of(), net_of(), net_of(seed=5)
    optimisers = [make_optimiser(groups(net, net.head, steps), steps, name != "lars") for net in (whole, half, other)]
    stepped(optimisers[0], list(whole.parameters()), gradients)
    stepped(optimisers[1], list(half.parameters()), gradients[:3])
    kept = {key: value.clone(memory_format=torch.contiguous_format) for key, value in memory(optimisers[1]).items()}
    other.load_state_dict(half.state_dict())
    remember(optimisers[2], kept)
    stepped(optimisers[2], list(other.parameters()), gradients[3:])
    for a, b in zip(whole.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("name", ["SGD", "Adam", "sgdm"])
def test_T4_T22_a_name_in_other_letters_is_refused_and_never_another_schedule(name):
    with pytest.raises(UnknownNameError, match=f"unknown optimizer '{name}'"):
        Steps(optimizer=name)
