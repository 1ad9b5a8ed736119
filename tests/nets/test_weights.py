"""Weights beside those a net has: averages against formulas, statistics against a plain loop, and modes."""

import pytest

torch = pytest.importorskip("torch", reason="needs the extra deep")
pytestmark = pytest.mark.deep

from querist.nets.weights import Average, borrowed, copied, put, renew_statistics, set_training


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def net_of():
    return torch.nn.Sequential(
        torch.nn.Conv2d(2, 3, 3), torch.nn.BatchNorm2d(3), torch.nn.ReLU(), torch.nn.Dropout(0.5),
        torch.nn.Flatten(), torch.nn.Linear(48, 4), torch.nn.BatchNorm1d(4),
    )  # fmt: skip


def moved(net, count):
    """The net after some random moves; all weights, one after another."""
    found = []
    for _ in range(count):
        with torch.no_grad():
            for value in net.state_dict().values():
                value.add_(torch.randn(value.shape) if value.is_floating_point() else 1)
        found.append(copied(net))
    return found


def test_copies_do_not_follow_the_net():
    net = net_of()
    kept = copied(net)
    moved(net, 1)
    assert not any(torch.equal(kept[name], value) for name, value in net.state_dict().items())


def test_equal_average_is_the_mean():
    net, average = net_of(), None
    average = Average(net)
    seen = []
    for _ in range(5):
        seen += moved(net, 1)
        average.add_equal(net)
    assert average.count == 5
    for name, value in average.values.items():
        torch.testing.assert_close(value, torch.stack([weights[name] for weights in seen]).mean(dim=0))
    assert not any("num_batches" in name for name in average.values)
    assert any("running_mean" in name for name in average.values)


def test_moving_average_lets_go_of_where_it_began():
    net = net_of()
    average, twin = Average(net), copied(net)
    for t in range(30):
        (now,) = moved(net, 1)
        average.add_moving(net, 0.8)
        d = min(0.8, (1 + t) / (10 + t))
        twin = {name: d * twin[name] + (1 - d) * now[name] for name in average.values}
    for name, value in average.values.items():
        torch.testing.assert_close(value, twin[name])


def test_borrowed_weights_come_back_also_after_an_error():
    net = net_of()
    before = copied(net)

    def use():
        with borrowed(net):
            put(net, {"5.weight": torch.zeros(4, 48)})
            assert not net[5].weight.any()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        use()
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())


def test_training_modes_of_what_is_frozen():
    net = torch.nn.Sequential(
        net_of(), torch.nn.BatchNorm1d(4, affine=False), torch.nn.Dropout(), torch.nn.Linear(4, 2)
    )
    set_training(net, batch_norm=True)
    assert all(module.training for module in net.modules())
    set_training(net, batch_norm=False)
    assert [m.training for m in net.modules() if "BatchNorm" in type(m).__name__] == [False] * 3
    assert net[0][3].training, "dropout is no batch normalisation"
    net[0].requires_grad_(False)
    set_training(net, batch_norm=True)
    assert not any(module.training for module in net[0].modules()), "frozen: with its dropout and its statistics"
    assert net[1].training
    assert net[2].training


def test_statistics_are_averages_over_batches_under_the_weights_of_now():
    net = net_of()
    batches = list(torch.randn(3, 5, 2, 6, 6) + 4)
    moved(net, 2)
    parameters = {name: value.detach().clone() for name, value in net.named_parameters()}
    renew_statistics(net, batches)
    assert not any(module.training for module in net.modules())
    assert net[1].momentum == 0.1
    first = [net[0](x) for x in batches]
    means = torch.stack([x.mean(dim=(0, 2, 3)) for x in first]).mean(dim=0)
    variances = torch.stack([x.transpose(0, 1).flatten(1).var(dim=1) for x in first]).mean(dim=0)
    torch.testing.assert_close(net[1].running_mean, means)
    torch.testing.assert_close(net[1].running_var, variances)
    assert all(torch.equal(parameters[name], value) for name, value in net.named_parameters())


def test_statistics_of_a_frozen_part_stay():
    net = torch.nn.Sequential(net_of(), torch.nn.BatchNorm1d(4))
    net[0].requires_grad_(False)
    before = copied(net[0])
    renew_statistics(net, list(torch.randn(3, 5, 2, 6, 6)))
    assert all(torch.equal(before[name], value) for name, value in net[0].state_dict().items())
    assert int(net[1].num_batches_tracked) == 3
