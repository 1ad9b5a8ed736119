"""How long a net is at work: of the time that passes, the part inside."""

import time

import pytest

torch = pytest.importorskip("torch", reason="needs the extra deep")
pytestmark = pytest.mark.deep

from querist.nets.timing import Stopwatch


def test_inside_and_outside(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    watch = Stopwatch(torch.device("cpu"))
    for inside, outside in ((2.0, 1.0), (3.0, 0.5)):
        with watch.computing():
            now[0] += inside
        now[0] += outside
    assert watch.lap() == (6.5, 5.0, 2)
    now[0] += 4.0
    assert watch.lap() == (4.0, 0.0, 0), "a lap begins where the last one ended"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a graphics card")
def test_a_graphics_card_is_timed_by_its_own_queue():
    device = torch.device("cuda")
    watch, x = Stopwatch(device), torch.randn(4096, 4096, device=device)
    with watch.computing():
        for _ in range(50):
            x = x @ x * 1e-3
    time.sleep(0.05)
    lap = watch.lap()
    assert 0 < lap.computing < lap.seconds
    assert lap.updates == 1
