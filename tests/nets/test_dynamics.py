"""What a net says of labelled images, against the net itself; the record of it as columns, and its data map."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra deep")
pytest.importorskip("lightning_fabric", reason="needs the extra deep")
pytestmark = pytest.mark.deep

from querist.analysis.data_map import data_map
from querist.nets.dynamics import Dynamics, Examples, Judged, judge
from querist.nets.images import Normalisation
from querist.nets.net import Net
from querist.nets.running import make_fabric, reproducible
from querist.seeds import Seed

NORMALISE = Normalisation((90.0,), (40.0,))


@pytest.mark.parametrize("l", [1, 63, 64, 65, 200])
def test_probability_accuracy_and_loss_of_clean_images(l):
    rng = np.random.default_rng(l)
    held = Examples(rng.integers(0, 256, (l, 6, 6, 1), dtype=np.uint8), rng.integers(0, 4, l))
    with reproducible(Seed(0), torch.device("cpu")):
        net = Net(torch.nn.Sequential(torch.nn.Conv2d(1, 3, 6), torch.nn.Flatten(), torch.nn.BatchNorm1d(3)), 3, 4, 0.5)
    net.train()
    judged = judge(net, NORMALISE, held, make_fabric("cpu"))
    assert not net.training
    with torch.no_grad():
        p = net(NORMALISE(torch.from_numpy(held.images.transpose(0, 3, 1, 2).copy()))).softmax(dim=1).double().numpy()
    true = p[np.arange(l), held.labels]
    assert judged.p_true == pytest.approx(true, rel=1e-4)
    assert judged.correct.tolist() == (p.argmax(axis=1) == held.labels).tolist()
    assert judged.accuracy == (p.argmax(axis=1) == held.labels).mean()
    assert judged.loss == pytest.approx(-np.log(true).mean(), rel=1e-4)


def test_accuracy_is_a_ratio_of_counts():
    assert Judged(np.zeros(3), np.array([True, False, True]), 0.0).accuracy == 2 / 3


def test_columns_are_what_a_data_map_takes():
    p = np.array([[0.2, 0.9, 0.4], [0.6, 0.8, 0.4]])
    record = Dynamics(np.array([30, 60]), p, np.array([[False, True, True], [True, True, False]]))
    columns = record.columns(np.array([11, 5, 8]))
    assert columns["id"].tolist() == [11, 5, 8, 11, 5, 8]
    assert columns["epoch"].tolist() == [0, 0, 0, 1, 1, 1]
    assert columns["update"].tolist() == [30, 30, 30, 60, 60, 60]
    found = data_map(columns["id"], columns["epoch"], columns["p_true"], columns["correct"])
    assert found.ids.tolist() == [5, 8, 11]
    assert found.confidence == pytest.approx([0.85, 0.4, 0.4])
    assert found.forgetting.tolist() == [0, 1, 0]
