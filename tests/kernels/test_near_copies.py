"""Near copies against comparing all pairs, and against copies planted among real-looking pictures."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from querist.kernels import near_copies as module
from querist.kernels.near_copies import first_copies


def grey(thumb):
    return thumb.astype(float) @ np.array([77, 150, 29]) / 256


def detail(image):
    padded = np.pad(image, 1, constant_values=np.nan)
    s = len(image)
    shifted = [padded[1 + dy : 1 + dy + s, 1 + dx : 1 + dx + s] for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    return image - np.nanmean(shifted, axis=0)


def alike(one, other):
    """The rule, written once more."""
    a, b = grey(one), grey(other)
    for channel in (0, 2):
        tints = [x[..., channel].astype(float) - x[..., 1] for x in (one, other)]
        if np.abs(tints[0] - tints[1]).mean() > module.MOST_TINT:
            return False
    p, q = detail(a), detail(b)
    if min(p.std(), q.std()) < module.FLAT:
        return bool(max(p.std(), q.std()) < module.FLAT and np.abs(a - b).mean() <= module.MOST_FLAT)
    fine, coarse = np.corrcoef(p.ravel(), q.ravel())[0, 1], np.corrcoef(a.ravel(), b.ravel())[0, 1]
    return bool(fine >= module.LEAST_DETAIL and coarse >= module.LEAST_ALIKE)


def brute_force(hashes, thumbs, held=None):
    first = np.full(len(hashes), -1)
    for i in range(len(hashes)):
        if held is not None and i < held:
            continue
        for j in range(i if held is None else held):
            near = (int(hashes[i]) ^ int(hashes[j])).bit_count() <= module.MOST_BITS
            if (held is not None or first[j] < 0) and near and alike(thumbs[i], thumbs[j]):
                first[i] = j
                break
    return first


@st.composite
def worlds(draw):
    """Hashes with a few bits flipped and thumbnails with a little noise, so that every branch is taken."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n, kinds, s = draw(st.integers(0, 30)), draw(st.integers(1, 6)), draw(st.sampled_from([4, 8]))
    base = rng.integers(0, 256, (kinds, s, s, 3))
    base[0] = base[0, 0, 0]  # one without detail
    base[-1] = np.linspace(60, 190, s, dtype=int)[:, None, None]  # one whose detail is the noise alone
    word = rng.integers(0, 2**64, kinds, dtype=np.uint64)
    kind = rng.integers(kinds, size=n)
    noise = rng.normal(size=(n, s, s, 3)) * rng.choice([0, 1, 8, 30, 60], (n, 1, 1, 1))
    tint = rng.choice([0, 15, 40], (n, 1, 1, 3))
    thumbs = np.clip(base[kind] + noise + tint, 0, 255).astype(np.uint8)
    hashes = word[kind]
    for _ in range(9):
        flip = rng.random(n) < 0.6
        hashes = np.where(flip, hashes ^ (np.uint64(1) << rng.integers(0, 64, n, dtype=np.uint64)), hashes)
    return hashes, thumbs


@settings(max_examples=200)
@given(worlds(), st.integers(0, 30))
def test_as_comparing_all_pairs(world, held):
    hashes, thumbs = world
    assert (first_copies(hashes, thumbs) == brute_force(hashes, thumbs)).all()
    held = min(held, len(hashes))
    assert (first_copies(hashes, thumbs, held=held) == brute_force(hashes, thumbs, held)).all()


def test_the_worlds_hold_copies_and_look_alikes_that_are_none():
    rng = np.random.default_rng(0)
    s = 8
    base = rng.integers(30, 200, (s, s, 3))
    word = np.uint64(rng.integers(0, 2**63))

    def verdict(thumb, differing=0):
        hashes = np.array([word, word ^ np.uint64(differing)])
        return first_copies(hashes, np.array([base, thumb], np.uint8)).tolist() == [-1, 0]

    assert verdict(base)
    assert verdict(base * 1.2)  # contrast
    assert verdict(base + 30)  # brightness
    assert verdict(base, 0b1111111)
    assert not verdict(base, 0b11111111)  # 8 bits of one band
    assert not verdict(base + np.array([0, 60, 0]))  # the same in green
    assert not verdict(base[::-1])
    assert not verdict(np.full_like(base, 100))  # flat against not flat
    base = np.linspace(30, 220, s)[:, None, None] + rng.normal(0, 4, (s, s, 1)) + np.zeros(3)
    assert verdict(base * 0.9 + 5)
    other = np.linspace(30, 220, s)[:, None, None] + rng.normal(0, 4, (s, s, 1)) + np.zeros(3)
    assert np.corrcoef(grey(base).ravel(), grey(other).ravel())[0, 1] > module.LEAST_ALIKE
    assert not verdict(other)  # alike from afar, and different in detail


@pytest.mark.parametrize("bits", range(9))
def test_every_pair_of_hashes_within_the_radius_is_met(bits):
    rng = np.random.default_rng(bits)
    n = 300
    thumbs = np.repeat(rng.integers(0, 256, (1, 4, 4, 3), dtype=np.uint8), 2, axis=0)
    for _ in range(n):
        places = rng.choice(64, bits, replace=False)
        word = rng.integers(0, 2**64, dtype=np.uint64)
        other = word ^ np.bitwise_or.reduce(np.uint64(1) << places.astype(np.uint64), initial=np.uint64(0))
        expected = [-1, 0] if bits <= module.MOST_BITS else [-1, -1]
        assert first_copies(np.array([word, other]), thumbs).tolist() == expected


def test_a_chain_is_cut_where_it_leaves_its_first():
    # Each step flips 4 bits: the second is a copy of the first, the third is not, the fourth is one of the third.
    thumbs = np.repeat(np.random.default_rng(1).integers(0, 256, (1, 4, 4, 3), dtype=np.uint8), 5, axis=0)
    hashes = np.array([0, 0xF, 0xFF, 0xFFF, 0xFFFF], np.uint64)
    assert first_copies(hashes, thumbs).tolist() == [-1, 0, -1, 2, -1]
    assert first_copies(hashes, thumbs, held=2).tolist() == [-1, -1, 1, -1, -1]
    assert first_copies(hashes, thumbs, held=0).tolist() == [-1] * 5


def test_rows_say_which_thumbnail_belongs_to_which_picture():
    rng = np.random.default_rng(2)
    thumbs = rng.integers(0, 256, (3, 4, 4, 3), dtype=np.uint8)
    hashes = np.zeros(4, np.uint64)
    assert first_copies(hashes, thumbs, np.array([2, 0, 2, 0])).tolist() == [-1, -1, 0, 1]
    strided = np.lib.stride_tricks.as_strided(thumbs.ravel(), (2, 4, 4, 3), (48, 12, 3, 1), writeable=False)
    assert first_copies(hashes[:2], strided).tolist() == [-1, -1]


def test_time_does_not_grow_with_the_number_of_pairs():
    # 200,000 pictures, half of them copies of one: comparing all pairs would be 10**10 comparisons.
    rng = np.random.default_rng(3)
    n = 200_000
    hashes = rng.integers(0, 2**64, n, dtype=np.uint64)
    hashes[::2] = hashes[0]
    rows = np.arange(n) % 7
    rows[::2] = 0
    thumbs = rng.integers(0, 256, (7, 8, 8, 3), dtype=np.uint8)
    first = first_copies(hashes, thumbs, rows)
    assert (first[2::2] == 0).all()
    assert (first[1::2] == -1).all()


def test_flat_pictures_are_copies_if_their_grey_is_the_same():
    levels = np.array([100, 101, 105, 100])
    thumbs = np.broadcast_to(levels[:, None, None, None], (4, 8, 8, 3)).astype(np.uint8)
    assert first_copies(np.zeros(4, np.uint64), thumbs).tolist() == [-1, 0, -1, 0]
