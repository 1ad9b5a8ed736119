"""From a pre-training to a first pool: every ranking gives as many distinct items as are asked for, end to end."""

import numpy as np
import pytest

from querist.data.memory import from_arrays
from querist.encoders.pretrained import Pretrained
from querist.encoders.pretraining.base import methods
from querist.encoders.pretraining.training import pretrain
from querist.session.session import Session
from querist.session.setting import Setting

pytest.importorskip("torch", reason="needs the extra deep")
pytest.importorskip("lightning_fabric", reason="needs the extra deep")
pytest.importorskip("lightly", reason="needs the extra ssl")
pytestmark = pytest.mark.deep

N, B = 48, 20
TRAININGS = {
    "simclr": {"net": "small_cnn", "width": 8, "loss_views": 2, "learned_temperature": True},
    "vae": {"net": "small_cnn", "latent": 4},
    "rotation": {"net": "small_cnn"},
    "deep_cluster": {"net": "small_cnn", "clusters": 3},
    "scan": {"neighbours": 4, "label_batch": 18},
}
LOSSES = {"simclr_loss": "simclr", "tau_uncertainty": "simclr", "vae_loss": "vae", "rotation_loss": "rotation"}
SCORED = {"scan_prototype": "scan", "scan_simclr_combined": "scan"}


@pytest.fixture(scope="module")
def data():
    """Twelve images, four times each; every fourth item is a test item."""
    rng = np.random.default_rng(0)
    kinds = rng.integers(0, 256, (12, 8, 8, 1), dtype=np.uint8)
    which = np.arange(N) // 4
    return from_arrays("toy", kinds[which], which % 2, split=np.where(np.arange(N) % 4 == 3, "test", "pool"))


@pytest.fixture(scope="module")
def folders(tmp_path_factory, data):
    root = tmp_path_factory.mktemp("pretrained")
    for name, settings in TRAININGS.items():
        more = {"init": str(root / "simclr")} if name == "scan" else {}
        method = methods.build({"name": name, "epochs": 2, "batch": 18, **settings, **more})
        pretrain(data, method, root / name, device="cpu")
    return root


def picks(data, folder, strategy):
    setting = Setting(data, Pretrained(path=str(folder), device="cpu"))
    ids = Session(setting, learner="linear", strategy=strategy).ask(B).ids
    assert len(ids) == len(set(ids.tolist())) == B
    assert set(ids.tolist()) <= set(data.pool.tolist())
    return ids


@pytest.mark.parametrize("strategy", LOSSES)
def test_a_loss_is_a_ranking_and_so_is_its_file(data, folders, strategy):
    folder = folders / LOSSES[strategy]
    trace = "tau" if strategy == "tau_uncertainty" else strategy
    loss = Pretrained(path=str(folder)).trace(trace, data)[:, -1]
    chosen = picks(data, folder, strategy)
    assert (np.diff(loss[chosen]) <= 0).all()
    assert loss[chosen].tolist() == sorted(loss[data.pool].tolist(), reverse=True)[:B]
    path = folder / "rankings" / f"{trace}_sorted_idx.npy"
    from_file = picks(data, folder, {"name": "ranking_file", "path": str(path)})
    assert loss[from_file].tolist() == loss[chosen].tolist(), "up to the order of equal ones"


@pytest.mark.parametrize("strategy", SCORED)
def test_clusters_of_scan_are_ranked(data, folders, strategy):
    picks(data, folders / SCORED[strategy], strategy)


@pytest.mark.parametrize(("name", "groups"), [("scan", "scan_probs"), ("deep_cluster", "deep_cluster")])
def test_first_pools_are_balanced_over_trained_clusters(data, folders, name, groups):
    path = folders / name / "groups" / f"{groups}.npy"
    group = np.load(path)
    chosen = picks(data, folders / name, {"name": "cluster_balanced_random", "groups": str(path)})
    size = np.unique(group[data.pool], return_counts=True)
    taken = {int(k): int((group[chosen] == k).sum()) for k in size[0]}
    most = max(taken.values())
    assert all(taken[int(k)] >= min(count, most - 1) for k, count in zip(*size, strict=True))
