"""Batch normalisation over several processes, here one after another with a collective that is played."""

import pytest

torch = pytest.importorskip("torch", reason="needs the extra deep")
pytestmark = [
    pytest.mark.deep,
    pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no processes"),
]

from querist.errors import SpecError
from querist.nets.synchronised import SynchronisedNorm, synchronised

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _one_process():
    """A group of one process, so that a sum over all is the value itself."""
    store = torch.distributed.HashStore()
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield
    torch.distributed.destroy_process_group()


def net_of():
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 3, 3), torch.nn.BatchNorm2d(3, momentum=0.3), torch.nn.Flatten(), torch.nn.Linear(48, 4),
        torch.nn.BatchNorm1d(4, affine=False, momentum=None), torch.nn.BatchNorm1d(4, track_running_stats=False),
    )  # fmt: skip


def test_of_one_process_it_is_that_of_torch_with_its_gradients_and_its_statistics():
    plain = net_of()
    with torch.no_grad():
        plain[1].weight.uniform_(0.5, 2)
        plain[1].bias.uniform_(-1, 1)
    twin = net_of()
    twin.load_state_dict(plain.state_dict())
    names = list(twin.state_dict())
    twin = synchronised(twin, CPU)
    assert sum(isinstance(module, SynchronisedNorm) for module in twin.modules()) == 3
    assert list(twin.state_dict()) == names
    for _ in range(3):
        x, slope = torch.randn(5, 1, 6, 6) * 3 + 100, torch.randn(5, 4)
        outs = []
        for net in (plain, twin):
            net.zero_grad()
            outs.append(net(x))
            outs[-1].backward(slope)
        torch.testing.assert_close(outs[1], outs[0], rtol=1e-4, atol=1e-4)
        for a, b in zip(plain.parameters(), twin.parameters(), strict=True):
            torch.testing.assert_close(b.grad, a.grad, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(twin.state_dict(), plain.state_dict(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(twin.eval()(x), plain.eval()(x), rtol=1e-4, atol=1e-4)


def test_parameters_are_the_same_objects():
    net = net_of()
    before = [id(p) for p in net.parameters()]
    assert [id(p) for p in synchronised(net, CPU).parameters()] == before


def test_in_evaluation_nobody_waits_for_anybody(monkeypatch):
    """Devices have not all as much to score, so one that waited in a norm would wait for ever."""
    twin = synchronised(net_of(), CPU)
    twin(torch.randn(5, 1, 6, 6))

    def wait(*_):
        raise AssertionError("a collective in evaluation mode")

    monkeypatch.setattr("querist.nets.synchronised.all_reduce", wait)
    monkeypatch.setattr(torch.distributed, "all_reduce", wait)
    x = torch.randn(5, 1, 6, 6)
    found = twin.eval()(x)
    monkeypatch.undo()
    plain = net_of()
    plain.load_state_dict(twin.state_dict())
    torch.testing.assert_close(found, plain.eval()(x), rtol=1e-4, atol=1e-4)


def test_a_kind_of_its_own_is_refused():
    class Own(torch.nn.BatchNorm2d):
        pass

    with pytest.raises(SpecError, match="Own cannot be synchronised between processes on a CPU: set devices = 1"):
        synchronised(torch.nn.Sequential(Own(3)), CPU)
