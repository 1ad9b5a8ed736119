"""Rankings and clusters as files: hardest first, whole permutations, aligned with ids."""

import numpy as np

from querist.data.memory import from_arrays
from querist.encoders.pretraining.rankings import read_groups, write_rankings


def data():
    split = np.where(np.arange(9) % 3 == 1, "test", "pool")
    return from_arrays("toy", np.zeros((9, 4, 4), np.uint8), np.arange(9) % 2, split=split)


def test_a_ranking_holds_every_id_hardest_first_and_the_pool_before_others(tmp_path):
    loss = np.array([[0.5], [2.0], [0.1], [2.0], [3.0], [0.2]], np.float32)  # of items 0, 2, 3, 5, 6, 8
    write_rankings(tmp_path, {"vae_loss": loss, "contrast_prob_T0.1": np.ones((6, 4), np.float32)}, data())
    assert [path.name for path in (tmp_path / "rankings").iterdir()] == ["vae_loss_sorted_idx.npy"]
    ranking = np.load(tmp_path / "rankings" / "vae_loss_sorted_idx.npy")
    assert ranking.dtype == np.int64
    assert ranking.tolist() == [6, 2, 5, 0, 8, 3, 1, 4, 7]
    assert read_groups(tmp_path) == {}


def test_clusters_are_numbers_of_items_and_minus_one_outside_of_the_pool(tmp_path):
    probs = np.eye(3, dtype=np.float32)[[2, 0, 1, 1, 0, 2]]
    write_rankings(tmp_path, {"scan_probs": probs, "deep_cluster": np.arange(6)[:, None]}, data())
    groups = read_groups(tmp_path)
    assert list(groups) == ["deep_cluster", "scan_probs"]
    assert groups["scan_probs"].tolist() == [2, -1, 0, 1, -1, 1, 0, -1, 2]
    assert groups["deep_cluster"].tolist() == [0, -1, 1, 2, -1, 3, 4, -1, 5]
    assert not (tmp_path / "rankings").exists()
