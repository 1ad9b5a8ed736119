"""What `pretrained` says before a net is loaded: about folders that are none, and about images it cannot take."""

import json

import numpy as np
import pytest

from querist.data.memory import from_arrays
from querist.encoders.pretrained import CARD, WEIGHTS, Pretrained
from querist.errors import DataError, StudyError
from querist.studies.study import Study

STUDY = """
[study]
name = "colours"
dataset = {{ name = "npz", path = "{images}" }}
features = {{ encoder = "pretrained", path = "{backbone}" }}
strategy = ["random"]
pools = 1
[budget]
step = 2
rounds = 1
"""


@pytest.fixture
def backbone(tmp_path):
    """The function that makes a folder with a card and something in the place of weights."""

    def make(channels):
        folder = tmp_path / f"backbone{channels}"
        folder.mkdir()
        (folder / CARD).write_text(json.dumps({"shape": [channels, 8, 8], "about": {}}))
        (folder / WEIGHTS).write_bytes(b"weights")
        return folder

    return make


def images(*shape):
    x = np.random.default_rng(0).integers(0, 256, (12, *shape), dtype=np.uint8)
    return from_arrays("images", x, np.arange(12) % 2, classes=("no", "yes"))


def test_colour_images_are_refused_by_a_grey_backbone(backbone):
    encoder = Pretrained(path=str(backbone(1)))
    with pytest.raises(DataError, match="was trained on grey images, and those of 'images' have 3 channels"):
        encoder.require_items(images(8, 8, 3))
    encoder.require_items(images(8, 8))
    encoder.require_items(images(8, 8, 1))


def test_a_colour_backbone_takes_both(backbone):
    encoder = Pretrained(path=str(backbone(3)))
    encoder.require_items(images(8, 8, 3))
    encoder.require_items(images(8, 8))


def test_a_study_is_refused_before_anything_runs(backbone, tmp_path):
    data = images(8, 8, 3)
    split = np.where(np.arange(12) < 8, "pool", "test")
    np.savez(tmp_path / "colour.npz", x=data.items[np.arange(12)], y=np.arange(12) % 2, split=split)
    file = tmp_path / "study.toml"
    file.write_text(STUDY.format(images=tmp_path / "colour.npz", backbone=backbone(1)))
    with pytest.raises(StudyError, match="was trained on grey images"):
        Study.read(file, tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_every_command_that_writes_such_folders_is_named(tmp_path, backbone):
    with pytest.raises(DataError, match="querist pretrain wrote, or querist import-backbone"):
        Pretrained(path=str(tmp_path)).identity()
    folder = backbone(3)
    (folder / CARD).write_text("{")
    with pytest.raises(DataError, match=r"damaged: .* by querist pretrain or querist import-backbone"):
        Pretrained(path=str(folder)).traces()
