"""Shares of a batch: every row once, numbers that do not depend on the devices, and gradients of the whole."""

import pytest

torch = pytest.importorskip("torch", reason="needs the extra deep")
pytest.importorskip("lightning_fabric", reason="needs the extra deep")
pytestmark = [
    pytest.mark.deep,
    pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no processes"),
]

from querist.nets.share import ALONE, Draws, Share


def generator():
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("devices", [1, 2, 3])
@pytest.mark.parametrize("n", [3, 7, 8])
def test_shares_are_every_row_once_and_differ_by_one_at_most(devices, n):
    parts = [Share(rank, devices).own(torch.arange(n)) for rank in range(devices)]
    assert sorted(torch.cat(parts).tolist()) == list(range(n))
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= 1


def test_the_only_device_has_all_of_it():
    x = torch.randn(3, 2)
    assert torch.equal(ALONE.own(x), x)
    assert ALONE.whole(x, 3) is x


def test_numbers_of_a_row_do_not_depend_on_how_many_devices_there_are():
    def drawn(share):
        draws = Draws(generator(), 7, share)
        return draws.uniform(), draws.normal(3), draws.below(100), draws.uniform(torch.float64)

    whole = drawn(ALONE)
    assert [len(part) for part in whole] == [7, 7, 7, 7]
    assert whole[3].dtype == torch.float64
    for rank in range(3):
        share = Share(rank, 3)
        assert all(torch.equal(part, share.own(all_)) for part, all_ in zip(drawn(share), whole, strict=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_mean_gradient_over_devices_is_that_of_one(monkeypatch, dtype):
    """Three devices one after another, with a collective that is played."""
    x, w = torch.randn(7, 4, generator=generator()).to(dtype), torch.randn(4, 2, generator=generator()).to(dtype)

    def loss(rows):
        return (rows @ rows.T).exp().mean()

    alone = w.clone().requires_grad_()
    loss(x @ alone).backward()
    slopes = []
    for rank in range(3):
        share, own = Share(rank, 3), w.clone().requires_grad_()

        def add_others(buffer, share=share):
            others = x @ w
            others[share.rank :: 3] = 0
            assert not buffer[torch.arange(7) % 3 != share.rank].any()
            buffer.add_(others)

        monkeypatch.setattr(torch.distributed, "all_reduce", add_others)
        whole = share.whole(share.own(x) @ own, 7)
        torch.testing.assert_close(whole.detach(), x @ w)
        loss(whole).backward()
        slopes.append(own.grad)
    torch.testing.assert_close(torch.stack(slopes).mean(dim=0), alone.grad)
