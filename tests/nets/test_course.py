"""Which weights are the best of a fit, and that they are a copy."""

import pytest

torch = pytest.importorskip("torch", reason="needs the extra deep")
pytest.importorskip("lightning_fabric", reason="needs the extra deep")
pytestmark = pytest.mark.deep

from querist.nets.course import Course, Look
from querist.nets.running import make_fabric


def test_the_best_is_the_most_accurate_then_of_the_lowest_loss_then_the_first():
    net = torch.nn.Linear(1, 1, bias=False)
    course = Course(net, torch.optim.SGD(net.parameters(), 0.1), make_fabric("cpu"), torch.zeros(9, 2), None)
    kept = []
    for update, (accuracy, loss) in enumerate([(0.5, 1.0), (0.5, 1.2), (0.5, 0.9), (0.5, 0.9), (0.6, 7.0), (0.4, 0.1)]):
        torch.nn.init.constant_(net.weight, update)
        course.consider(Look(update, accuracy, loss), net)
        kept.append((course.best.look.update, course.best.weights["weight"].item()))
    assert kept == [(0, 0.0), (0, 0.0), (2, 2.0), (2, 2.0), (4, 4.0), (4, 4.0)]
