"""Where nets run: the device that is there, one thread, and generators that are left as they were."""

import pytest

torch = pytest.importorskip("torch", reason="needs the extra deep")
pytest.importorskip("lightning_fabric", reason="needs the extra deep")
pytestmark = pytest.mark.deep

from querist.errors import SpecError
from querist.nets.running import fingerprint, generator, make_device, make_fabric, reproducible
from querist.seeds import Seed
from querist.testing.spy import global_rng_untouched

CPU = torch.device("cpu")


def test_numbers_inside_depend_on_the_seed_and_nothing_remains_outside():
    drawn = []
    for before, seed in ((0, 1), (99, 1), (99, 2)):
        torch.default_generator.manual_seed(before)
        with global_rng_untouched(), reproducible(Seed(seed), CPU):
            drawn.append(torch.rand(5).tolist())
    assert drawn[0] == drawn[1] != drawn[2]


def test_one_thread_inside_and_as_many_as_before_outside():
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        with reproducible(Seed(0), CPU):
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
        with pytest.raises(RuntimeError, match="stop"), reproducible(Seed(0), CPU):
            raise RuntimeError("stop")
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_what_fails_inside_leaves_no_trace():
    def fails():
        torch.rand(1)
        raise ZeroDivisionError

    with global_rng_untouched(), pytest.raises(ZeroDivisionError), reproducible(Seed(0), CPU):
        fails()


def test_generators_of_our_own_are_independent_of_the_global_one():
    with global_rng_untouched():
        one, same, other = (torch.rand(4, generator=generator(Seed(s))).tolist() for s in (3, 3, 4))
    assert one == same != other


def test_auto_is_the_graphics_card_if_there_is_one():
    there = torch.cuda.is_available()
    assert make_fabric("auto").device.type == ("cuda" if there else "cpu")
    assert make_fabric("cpu").device.type == "cpu"
    for device in ("auto", "cpu"):
        assert make_device(device) == make_fabric(device).device, "a model that was kept comes back to where it was"
    if not there:
        with pytest.raises(SpecError, match=r"device 'cuda' was asked for, but torch .* finds none here. Use 'auto'"):
            make_fabric("cuda")
    with pytest.raises(SpecError, match="Expected device to be one of auto, cpu, cuda, got 'gpu'"):
        make_fabric("gpu")


def test_fingerprint_covers_parameters_and_buffers():
    net = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    seen = [fingerprint(net)]
    with torch.no_grad():
        for value in net.state_dict().values():
            value.add_(1)
            seen.append(fingerprint(net))
    assert len(set(seen)) == len(net.state_dict()) + 1 == 8
