"""``querist pretrain`` of a method with clusters: a clustering is judged by the classes, where there are any."""

import json

import numpy as np
import pytest

from querist.analysis.clusterings import agreement
from querist.cli.main import main

pytest.importorskip("torch", reason="needs the extra deep")
pytest.importorskip("lightning_fabric", reason="needs the extra deep")
pytestmark = pytest.mark.deep

SMALL = ["--epochs", "2", "--batch", "30", "--device", "cpu", "--json"]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder to work in, with an archive of images of two kinds, and the same without labels."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("QUERIST_STORE", raising=False)
    rng = np.random.default_rng(0)
    y = np.arange(80) % 2
    x = (rng.integers(0, 200, (2, 8, 8))[y] + rng.integers(0, 56, (80, 8, 8))).astype(np.uint8)
    np.savez("toy.npz", x=x, y=y, split=np.where(np.arange(80) % 4 == 3, "test", "pool"))
    np.save("bare.npy", x)
    return tmp_path


def test_clusters_are_judged_by_the_labels_of_the_pool(place, capsys):
    settings = ["--net", "small_cnn", "--set", "clusters=4", "--out", "ssl"]
    assert main(["pretrain", "deep_cluster", "toy.npz", *settings, *SMALL]) == 0
    captured = capsys.readouterr()
    answer = json.loads(captured.out)
    pool = np.flatnonzero(np.arange(80) % 4 != 3)
    group = np.load(place / "ssl" / "groups" / "deep_cluster.npy")
    assert answer["groups"] == {"deep_cluster": agreement(group[pool], pool % 2)._asdict()}
    assert "clusters deep_cluster beside the classes: accuracy" in captured.err


def test_scan_goes_on_from_a_folder_without_labels_and_nothing_is_judged(place, capsys):
    assert main(["pretrain", "rotation", "bare.npy", "--net", "small_cnn", "--out", "ssl", *SMALL]) == 0
    assert json.loads(capsys.readouterr().out)["groups"] == {}
    scan = ["pretrain", "scan", "bare.npy", "--set", "init=ssl", "--set", "label_batch=30", "--out", "clusters", *SMALL]
    assert main([*scan, "--set", "clusters=3"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["traces"] == ["rotation_loss", "scan_probs"]
    assert answer["groups"] == {}
    assert set(np.load(place / "clusters" / "groups" / "scan_probs.npy")) <= {0, 1, 2}
