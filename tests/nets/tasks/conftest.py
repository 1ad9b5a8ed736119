"""What tests of tasks begin with: a small backbone, and images."""

import pytest


@pytest.fixture
def images():
    """Images ``(20, 1, 8, 8)`` uint8."""
    torch = pytest.importorskip("torch", reason="needs the extra deep")
    return torch.randint(0, 256, (20, 1, 8, 8), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)


@pytest.fixture
def begin():
    """A function that returns what a task begins with."""
    torch = pytest.importorskip("torch", reason="needs the extra deep")
    pytest.importorskip("lightning_fabric", reason="needs the extra deep")
    from querist.nets.images import Normalisation
    from querist.nets.net import build_net
    from querist.nets.running import reproducible
    from querist.nets.tasks.base import Start
    from querist.seeds import Seed

    def make(net="small_cnn", n=20, shape=(1, 8, 8), c=3, backbone=None, d=None):
        with reproducible(Seed(0), torch.device("cpu")):
            built = build_net(net, shape, 2)
        return Start(
            backbone or built.backbone, d or built.head.in_features, shape, n,
            Normalisation((100.0,) * shape[0], (50.0,) * shape[0]), c,
        )  # fmt: skip

    return make


@pytest.fixture
def task_of():
    """A function that returns the task of a method, by its specification and what it begins with."""
    torch = pytest.importorskip("torch", reason="needs the extra deep")
    pytest.importorskip("lightning_fabric", reason="needs the extra deep")
    from querist.encoders.pretraining.base import methods
    from querist.nets.running import reproducible
    from querist.seeds import Seed

    def make(start, **spec):
        with reproducible(Seed(1), torch.device("cpu")):
            return methods.build(spec).task(start)

    return make
