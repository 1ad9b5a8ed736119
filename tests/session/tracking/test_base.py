"""Trackers by name, and the names runs have in them."""

from pathlib import Path

import pytest

from querist.errors import MissingExtraError, SpecError, UnknownNameError
from querist.session.tracking.base import TrackedRun, Tracking, flat, numbers, trackers


def tracked(name="margin | pool 0 | seed 0", identity="0123456789abcdef"):
    return TrackedRun(study="s", name=name, identity=identity, settings={}, folder=Path("x"))


def test_the_names_there_are():
    assert trackers.names() == ["mlflow", "tensorboard", "wandb"]
    for card in trackers.cards():
        built = trackers.build(card.name)
        assert isinstance(built, Tracking)
        assert built.extra == card.name


def test_settings_are_read_from_a_composition():
    assert trackers.build("mlflow(uri='http://localhost:1')").uri == "http://localhost:1"
    with pytest.raises(UnknownNameError, match="Did you mean 'tensorboard'"):
        trackers.build("tensorbord")
    with pytest.raises(SpecError, match="expected 'offline' or 'online'"):
        trackers.build("wandb(mode='away')")


@pytest.mark.parametrize("name", ["mlflow", "tensorboard", "wandb"])
def test_what_is_not_installed_is_named(name, monkeypatch):
    monkeypatch.setattr("querist.extras.find_spec", lambda module: None)
    with pytest.raises(MissingExtraError, match=rf"tracker '{name}'.*querist\[{name}\]"):
        trackers.build(name).check()


def test_a_run_is_a_file_name_anywhere_and_no_two_share_it():
    names = [tracked(name).file_name for name in ("a/b: *?", "ü | {x='1'}", "x" * 500)]
    assert names == ["a_b____-01234567", "_____x__1__-01234567", "x" * 100 + "-01234567"]
    assert tracked(identity="f" * 16).file_name != tracked().file_name


def test_numbers_and_settings_get_names():
    assert numbers("epoch", {"loss": 1, "optimiser": "sgd", "ok": True}) == {"epoch/loss": 1.0, "epoch/ok": 1.0}
    assert flat({"a": {"b": {"c": [1]}, "d": None}, "e": 2}) == {"a.b.c": [1], "a.d": None, "e": 2}
