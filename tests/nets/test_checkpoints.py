"""Checkpoints: whole or not at all, of the kind that was asked for, with every tensor as it was."""

import json

import pytest

torch = pytest.importorskip("torch", reason="needs the extra deep")
pytest.importorskip("safetensors", reason="needs the extra deep")
pytestmark = pytest.mark.deep

from querist.errors import DataError, StoreError
from querist.nets.checkpoints import (
    CARD,
    WEIGHTS,
    fill,
    read_checkpoint,
    read_state,
    write_checkpoint,
    write_state,
)


def tensors():
    whole = torch.arange(24.0).reshape(2, 3, 2, 2)
    return {
        "a": whole.to(memory_format=torch.channels_last),
        "part": whole[:, 1],
        "same": whole,
        "count": torch.tensor(7),
        "half": torch.ones(2, dtype=torch.bfloat16) / 3,
        "none": torch.empty(0, 4),
    }


@pytest.mark.parametrize("form", ["folder", "file"])
def test_every_tensor_comes_back_as_it_was(form, tmp_path):
    if form == "folder":
        write_checkpoint(tmp_path / "x", tensors(), {"kind": "net", "d": 3})
        found = read_checkpoint(tmp_path / "x", "net")
    else:
        write_state(tmp_path / "x", tensors(), {"kind": "net", "d": 3})
        found = read_state(tmp_path / "x", "net")
    assert found.card == {"schema": 1, "kind": "net", "d": 3}
    assert set(found.weights) == set(tensors())
    for name, value in tensors().items():
        assert found.weights[name].dtype == value.dtype
        assert torch.equal(found.weights[name], value)


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_another_kind_or_schema_is_refused(kind, tmp_path):
    write, read = (write_checkpoint, read_checkpoint) if kind == "folder" else (write_state, read_state)
    write(tmp_path / "x", tensors(), {"kind": "backbone"})
    with pytest.raises(DataError, match="is 'backbone' of schema 1; expected 'net' of schema 1"):
        read(tmp_path / "x", "net")
    write(tmp_path / "x", tensors(), {"kind": "net", "schema": 2})
    with pytest.raises(DataError, match="is 'net' of schema 2"):
        read(tmp_path / "x", "net")


def test_a_folder_without_a_card_is_none(tmp_path):
    write_checkpoint(tmp_path, tensors(), {"kind": "net"})
    (tmp_path / CARD).unlink()
    with pytest.raises(DataError, match=r"a folder with card.json and weights.safetensors, got .* no card"):
        read_checkpoint(tmp_path, "net")


@pytest.mark.parametrize("name", [WEIGHTS, CARD])
def test_damage_is_said(name, tmp_path):
    write_checkpoint(tmp_path, tensors(), {"kind": "net"})
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"is damaged: .* Make it again"):
        read_checkpoint(tmp_path, "net")


def test_a_kill_between_the_two_files_leaves_no_mixture(tmp_path, monkeypatch):
    """New weights with an old card would be the wrong net under the right name."""
    write_checkpoint(tmp_path, tensors(), {"kind": "net", "n": 1})

    def dies(path, data, _write=write_checkpoint.__globals__["write_bytes"]):
        if path.name == CARD:
            raise KeyboardInterrupt
        _write(path, data)

    monkeypatch.setattr("querist.nets.checkpoints.write_bytes", dies)
    with pytest.raises(KeyboardInterrupt):
        write_checkpoint(tmp_path, {"other": torch.ones(1)}, {"kind": "net", "n": 2})
    with pytest.raises(DataError, match="no card"):
        read_checkpoint(tmp_path, "net")


def test_a_state_is_replaced_at_one_instant(tmp_path, monkeypatch):
    path = tmp_path / "state"
    write_state(path, tensors(), {"kind": "fit", "n": 1})
    monkeypatch.setattr("querist.files.os.fsync", lambda _file: (_ for _ in ()).throw(OSError(28, "full")))
    with pytest.raises(StoreError, match=r"cannot write .* What was stored before is intact"):
        write_state(path, {"other": torch.ones(1)}, {"kind": "fit", "n": 2})
    assert read_state(path, "fit").card["n"] == 1


@pytest.mark.parametrize("data", [b"", b"{}", json.dumps({"a": 1}).encode() * 50])
def test_a_file_that_is_no_state(data, tmp_path):
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(DataError, match="holds no state of a training, or a damaged one"):
        read_state(tmp_path / "x", "fit")
    with pytest.raises(DataError, match="holds no state"):
        read_state(tmp_path / "y", "fit")


def test_filling_a_net_is_all_or_nothing():
    net = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    wrong = {name: value + 1 for name, value in before.items()} | {"extra": torch.ones(1)}
    del wrong["0.bias"]
    wrong["1.bias"] = torch.ones(4)
    with pytest.raises(
        DataError,
        match=r"file does not .*: 0.bias is missing; extra is unexpected; 1.bias has shape \(4,\) and not \(3,\)",
    ):
        fill(net, wrong, "file")
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    fill(net, {name: value + 1 for name, value in before.items()}, "file")
    assert all(torch.equal(before[name] + 1, value) for name, value in net.state_dict().items())
