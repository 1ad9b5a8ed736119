"""``querist pretrain``: a folder that is an encoder, with labels for the report and without, and errors with advice."""

import json

import numpy as np
import pytest

from querist.cli.main import main

torch = pytest.importorskip("torch", reason="needs the extra deep")
pytest.importorskip("lightning_fabric", reason="needs the extra deep")
pytest.importorskip("lightly", reason="needs the extra ssl")
pytestmark = pytest.mark.deep

SMALL = ["--net", "small_cnn", "--epochs", "2", "--batch", "32", "--set", "width=8", "--device", "cpu"]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder to work in, with an archive of images of two kinds."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("QUERIST_STORE", raising=False)
    rng = np.random.default_rng(0)
    y = np.arange(80) % 2
    x = (rng.integers(0, 200, (2, 8, 8))[y] + rng.integers(0, 56, (80, 8, 8))).astype(np.uint8)
    np.savez("toy.npz", x=x, y=y, split=np.where(np.arange(80) % 4 == 3, "test", "pool"))
    np.save("bare.npy", x)
    np.save("rows.npy", rng.random((9, 3)))
    return tmp_path


def document(capsys):
    return json.loads(capsys.readouterr().out)


def test_a_benchmark_is_probed_and_the_folder_is_an_encoder(place, capsys):
    command = ["pretrain", "simclr", "toy.npz", *SMALL, "--set", "loss_views=2", "--out", "ssl", "--json"]
    assert main(command) == 0
    answer = document(capsys)
    assert answer == {
        **json.loads((place / "ssl" / "report.json").read_text()),
        "seconds": answer["seconds"],
        "schema": 1,
    }
    assert [entry["epoch"] for entry in answer["history"]] == [1, 2]
    assert all(0 <= entry["knn"] <= 1 for entry in answer["history"])
    assert list(answer["probes"]) == ["pre-trained", "random weights", "pixels"]
    assert all(set(values) == {"knn", "linear", "mlp", "kmeans", "nmi", "ari"} for values in answer["probes"].values())
    assert "evaluation alone" in answer["labels"]
    assert answer["traces"] == ["contrast_prob_T0.1", "simclr_loss"]
    assert answer["method"]["loss_views"] == 2
    weights = (place / "ssl" / "weights.safetensors").read_bytes()
    assert main(command) == 0, "a finished training is not done again"
    assert document(capsys)["history"] == answer["history"]
    assert (place / "ssl" / "weights.safetensors").read_bytes() == weights
    assert main(["select", "toy.npz", "--features", "pretrained(path='ssl')", "--budget", "3", "--json"]) == 0
    assert len(document(capsys)["picks"]) == 3


def test_images_without_labels_get_no_probes_and_a_word_about_it(place, capsys):
    command = ["pretrain", "simsiam(hidden=8, bottleneck=4)", "bare.npy", *SMALL, "--out", "ssl", "--json"]
    assert main(command) == 0
    answer = document(capsys)
    assert answer["probes"] == {}
    assert answer["labels"] == "none"
    assert all("knn" not in entry for entry in answer["history"])
    assert "nobody knows what these features are worth" in " ".join(answer["notices"])


def test_statistics_can_be_left_out(place, capsys):
    assert main(["pretrain", "simclr", "bare.npy", *SMALL, "--no-traces", "--out", "ssl", "--json"]) == 0
    assert document(capsys)["traces"] == []
    assert not (place / "ssl" / "traces").exists()


@pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no processes")
def test_two_processes_share_a_training(place, capsys):
    command = ["pretrain", "rotation", "bare.npy", *SMALL[:6], "--device", "cpu", "--json"]
    assert main([*command, "--devices", "2", "--out", "two"]) == 0
    answer = document(capsys)
    assert answer["method"]["devices"] == 2
    assert answer["traces"] == ["rotation_loss"]
    assert main([*command, "--out", "one"]) == 0
    for one, other in zip(document(capsys)["history"], answer["history"], strict=True):
        assert other == pytest.approx(one, rel=1e-4)
    two, one = (np.load(place / folder / "traces" / "rotation_loss.npy") for folder in ("two", "one"))
    assert np.allclose(two, one, rtol=1e-3)
    first = [(place / folder / "start" / "weights.safetensors").read_bytes() for folder in ("two", "one")]
    assert first[0] == first[1]
    assert main([*command, "--devices", "2", "--out", "one"]) == 2
    assert "its method differ" in document(capsys)["error"]["message"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["simclear", "bare.npy"], "Did you mean 'simclr'"),
        (["simclr", "rows.npy"], "no images"),
        (["simclr", "bare.npy", "--set", "lr"], "expected KEY=VALUE"),
        (["simclr", "bare.npy", "--set", "temprature=0.1"], "Did you mean 'temperature'"),
        (["simclr", "bare.npy", "--set", "flip=maybe"], "expected bool"),
        (["simclr", "bare.npy", "--devices", "0"], "Expected devices to be at least 1"),
        (["simclr", "bare.npy", "--device", "cuda9"], "Expected device to be one of"),
        (["simclr", "bare.npy", "--net", "small_cn"], "small_cnn"),
        (["simclr", "nowhere"], "no file or folder 'nowhere'"),
    ],
)
def test_mistakes_are_answered_with_advice(place, capsys, arguments, message):
    assert main(["pretrain", *arguments, "--out", "ssl", "--json"]) == 2
    assert message in document(capsys)["error"]["message"]
