"""What the tests of deep learners share: small pictures, jobs on them, and a backbone as if it had been pre-trained."""

from dataclasses import replace

import numpy as np
import pytest

from querist.data.memory import ArrayItems
from querist.evidence.provider import Fit
from querist.evidence.view import View
from querist.seeds import Seed
from querist.testing.fakes import fake_dataset


@pytest.fixture(scope="session")
def deep():
    """Skip where torch is not installed."""
    pytest.importorskip("torch", reason="needs the extra deep")
    pytest.importorskip("lightning_fabric", reason="needs the extra deep")


@pytest.fixture(scope="session")
def pictured():
    """The function that makes grey images of the items of a dataset."""

    def pictured(data):
        x = np.asarray(data.items[np.arange(len(data.items))])
        return replace(data, items=ArrayItems(np.clip(128 + 18 * x, 0, 255).astype(np.uint8)))

    return pictured


@pytest.fixture(scope="session")
def data(pictured):
    """150 grey images of 8 x 8 and three classes, labels poisoned; item i is of class i modulo 3."""
    return pictured(fake_dataset(n=150, c=3, shape=(8, 8), poisoned=True))


@pytest.fixture(scope="session")
def job():
    """The function that makes the job of some labelled ids of a dataset."""

    def job(data, ids, seed=0, **more):
        labelled = View(data, ids, labels=ids % data.c)
        return Fit(labelled, View(data, np.setdiff1d(data.pool, ids)), Seed(seed), **more)

    return job


@pytest.fixture(scope="session")
def weights(deep):
    """The function that gives a digest of all parameters and buffers of a model."""

    def weights(model):
        from querist.nets.running import fingerprint

        return fingerprint(model.net)

    return weights


@pytest.fixture(scope="session")
def backbone(deep, tmp_path_factory):
    """The folder of a backbone for grey images of 8 x 8 whose statistics are not those of a fresh one."""
    import torch

    from querist.nets.backbones import BackboneCard, write_backbone
    from querist.nets.net import build_net
    from querist.nets.running import reproducible

    with reproducible(Seed(7), torch.device("cpu")):
        net = build_net("small_cnn", (1, 8, 8), 2)
        net.train()
        for _ in range(3):
            net(torch.randn(16, 1, 8, 8))
    folder = tmp_path_factory.mktemp("pre-trained") / "small_cnn"
    card = BackboneCard("small_cnn", (1, 8, 8), 96, (120.0,), (60.0,), "test", {})
    write_backbone(folder, net.backbone, card)
    return folder
