"""Thumbnails that are the pictures, and strips that show only what was bought."""

from base64 import b64decode
from collections.abc import Mapping
from io import BytesIO

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from querist.errors import DataError
from querist.report.pictures import INITIAL, SIDE, data_uri, strips


def decoded(uri):
    head, _, body = uri.partition(",")
    assert head == "data:image/png;base64"
    with Image.open(BytesIO(b64decode(body))) as image:
        return np.array(image.convert("RGB") if image.mode == "P" else image)


class Spy(Mapping):
    """Pictures that remember who looked at them."""

    def __init__(self, values):
        self.values_, self.seen = values, set()

    def __getitem__(self, item):
        self.seen.add(item)
        return self.values_[item]

    def __contains__(self, item):
        return item in self.values_

    def __iter__(self):
        return iter(self.values_)

    def __len__(self):
        return len(self.values_)


def picks(**queries):
    """``margin=[[0, 1], [2]]`` is an initial pool of 0, 1 and a first query of 2; pool 0 unless the name says so."""
    rows = [
        (arm, 0, 0, number - 1, rank, i, f"k{i}")
        for arm, rounds in queries.items()
        for number, ids in enumerate(rounds)
        for rank, i in enumerate(ids)
    ]
    return pd.DataFrame(rows, columns=["arm", "pool", "seed", "round", "rank", "id", "key"])


PICTURES = {i: np.full((4, 4), i, dtype=np.uint8) for i in range(100)}


@pytest.mark.parametrize("shape", [(8, 8), (28, 20), (SIDE, SIDE, 3)])
def test_small_pictures_survive_bit_for_bit(shape):
    picture = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    assert (decoded(data_uri(picture)) == picture).all()


def test_large_pictures_are_averaged_down_and_keep_their_proportions():
    picture = np.zeros((200, 100, 3), dtype=np.uint8)
    picture[:100, :, 0] = 250
    small = decoded(data_uri(picture))
    assert small.shape == (SIDE, SIDE // 2, 3)
    assert small[: SIDE // 2 - 1].mean(axis=(0, 1)) == pytest.approx([250, 0, 0], abs=4)
    assert small[SIDE // 2 + 1 :].max() <= 4
    checks = np.indices((SIDE * 4, SIDE * 4)).sum(axis=0).astype(np.uint8) % 2 * 200
    assert (decoded(data_uri(checks)) == 100).all(), "every pixel counts, not every fourth"
    grey = np.repeat(np.array([[0, 100]], np.uint8), 50, axis=1).repeat(100, axis=0)
    assert decoded(data_uri(grey)).shape == (SIDE, SIDE)
    noise = np.random.default_rng(0).integers(0, 256, (224, 224, 3), dtype=np.uint8)
    assert len(data_uri(noise)) < 4000


@pytest.mark.parametrize(
    "bad", [np.zeros((4, 4)), np.zeros(4, np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((0, 4), np.uint8)]
)
def test_refuses_what_is_no_picture(bad):
    with pytest.raises(DataError, match=r"\(h, w\) or \(h, w, 3\) of uint8"):
        data_uri(bad)


def test_strips_show_the_picks_in_their_order():
    table = picks(random=[[0, 1], [9, 3], [4, 5], [6, 7]], margin=[[0, 1], [8, 2], [7, 6], [5, 4]])
    shuffled = table.sample(frac=1, random_state=np.random.default_rng(0))
    found = strips(shuffled, PICTURES, {9: "nine", 3: "three"}, arms=["margin", "random"])
    assert [(s.arm, s.round, [t.id for t in s.thumbnails]) for s in found] == [
        ("", INITIAL, [0, 1]), ("margin", 0, [8, 2]), ("margin", 1, [7, 6]),
        ("random", 0, [9, 3]), ("random", 1, [4, 5]),
    ]  # fmt: skip
    nine = found[3].thumbnails[0]
    assert (nine.key, nine.caption) == ("k9", "nine")
    assert (decoded(nine.uri) == 9).all()
    assert found[1].thumbnails[0].caption == ""


def test_only_picked_items_are_looked_at():
    table = picks(random=[[0, 1], [9]], margin=[[0, 1], [8]])
    pictures, captions = Spy(PICTURES), Spy({i: str(i) for i in range(100)})
    strips(table, pictures, captions, arms=["random", "margin"])
    assert pictures.seen == {0, 1, 8, 9}
    assert captions.seen <= {0, 1, 8, 9}


def test_a_start_of_its_own_is_shown_with_its_arm():
    table = picks(random=[[0, 1], [9]], margin=[[0, 1], [8]], typiclust=[[5, 6], [7]])
    found = strips(table, PICTURES, arms=["random", "margin", "typiclust"])
    assert [(s.arm, s.round) for s in found] == [
        ("", INITIAL), ("random", 0), ("margin", 0), ("typiclust", INITIAL), ("typiclust", 0),
    ]  # fmt: skip


def test_a_single_arm_keeps_its_own_start():
    assert [s.arm for s in strips(picks(random=[[0], [1]]), PICTURES, arms=["random"])] == ["random", "random"]


def test_long_queries_are_cut_and_say_so():
    (strip, *_) = strips(picks(random=[list(range(30))]), PICTURES, arms=["random"], most=12)
    assert (len(strip.thumbnails), strip.left_out) == (12, 18)


def test_items_without_a_picture_are_left_out_and_counted():
    pictures = {0: PICTURES[0]}
    (strip,) = strips(picks(random=[[0, 1], [2]]), pictures, arms=["random"])
    assert ([t.id for t in strip.thumbnails], strip.left_out) == ([0], 1)


def test_the_run_shown_is_the_first_that_most_arms_have():
    other = picks(random=[[1]], margin=[[2]]).assign(pool=3)
    table = pd.concat([picks(random=[[0]]), other])
    found = strips(table, PICTURES, arms=["random", "margin"])
    assert [[t.id for t in s.thumbnails] for s in found] == [[1], [2]]
    assert strips(table.iloc[:0], PICTURES, arms=["random"]) == []
