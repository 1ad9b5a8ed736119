"""Which item a label means: a name is enough while it cannot be another picture's."""

import numpy as np
import pytest
from PIL import Image

from querist.cli.labels import match, read_labels
from querist.data.dataset import datasets
from querist.errors import DataError


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """A folder of noise in the working directory, opened as the command line opens it."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for folder in ("photos", "others"):
        (tmp_path / folder).mkdir()
        for i in range(3):
            noise = rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)
            Image.fromarray(noise).save(tmp_path / folder / f"{i}.png")
    return datasets.build({"name": "folder", "path": "photos", "labels": "none", "classes": ("a", "b")})


def labelled(photos, tmp_path, item):
    """Return the paths of the items that a label of `item` is matched with."""
    (tmp_path / "labels.csv").write_text(f"path,label\n{item},a\n")
    return [photos.paths[i] for i in match(read_labels([tmp_path / "labels.csv"]), photos, "photos").labels]


@pytest.mark.parametrize("item", ["photos/1.png", "1.png", "once/they/were/here/1.png"])
def test_a_path_within_the_source_or_a_file_name_is_enough(item, photos, tmp_path):
    assert labelled(photos, tmp_path, item) == ["photos/1.png"]


def test_a_copy_elsewhere_is_known_by_its_content_whatever_its_name(photos, tmp_path):
    (tmp_path / "others" / "2.png").write_bytes((tmp_path / "photos" / "1.png").read_bytes())
    assert labelled(photos, tmp_path, "others/2.png") == ["photos/1.png"]


def test_a_label_of_another_picture_with_the_same_name_is_refused(photos, tmp_path):
    with pytest.raises(DataError, match=r"ids others/1\.png are not in the source"):
        labelled(photos, tmp_path, "others/1.png")


def test_a_table_of_picks_from_images_labels_their_features_too(photos, tmp_path):
    table = "row,key,split,path\n0,k0,pool,photos/0.png\n1,k1,pool,photos/2.png\n"
    (tmp_path / "features.csv").write_text(table)
    np.save(tmp_path / "features.npy", np.eye(2, dtype=np.float32))
    spec = {"name": "table", "path": "features.csv", "features": "features.npy", "classes": ("a", "b")}
    features = datasets.build(spec)
    key = photos.manifest.keys[photos.paths.index("photos/2.png")]
    (tmp_path / "done.csv").write_text(f"rank,id,key,path,label\n1,0,{key},photos/2.png,b\n")
    lines = read_labels([tmp_path / "done.csv"])
    assert match(lines, features, "features.npy").labels == {1: "b"}
    # Of images the content counts: what lies at the path by now may be another picture.
    (tmp_path / "done.csv").write_text("rank,id,key,path,label\n1,0,0123456789abcdef,photos/2.png,b\n")
    with pytest.raises(DataError, match="ids 0123456789abcdef are not in the source"):
        match(read_labels([tmp_path / "done.csv"]), photos, "photos")


def test_the_columns_that_were_found_are_named(tmp_path):
    (tmp_path / "labels.csv").write_text("item,label\n1,a\n")
    with pytest.raises(DataError, match="got item, label"):
        read_labels([tmp_path / "labels.csv"])
