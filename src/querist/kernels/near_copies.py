"""Pictures that look the same: candidates by 64-bit hashes, found without comparing all pairs, then verified."""

import numpy as np
import numpy.typing as npt

from querist.arrays import Hashes, Rows, readonly
from querist.kernels.jit import jit

MOST_BITS = 7
"""Hashes that differ in more bits are not compared. Re-encoded, scaled or brightened photos differed in 0 to 6."""
LEAST_ALIKE = 0.95
"""Correlation of the grey thumbnails from which two pictures may be copies."""
LEAST_DETAIL = 0.85
"""Correlation of their fine detail. Look-alikes of one kind agree in the coarse, copies in the fine too: known copies
of magnetic tiles, brain scans and CIFAR-10 lie above, different trousers and tiles below."""
MOST_TINT = 24.0
"""Mean difference of colour, in levels of red minus green and blue minus green: the same shape in red and in blue are
two things."""
FLAT = 1.0
"""Standard deviation of fine detail, in levels, below which there is too little of it to compare."""
MOST_FLAT = 2.0
"""Mean difference of the grey levels up to which two pictures without detail are copies."""

_BANDS, _WIDTH = 4, 16
# Two hashes that differ in at most 7 bits differ in at most one bit of one of four bands: 17 look-ups per band find it.


def first_copies(
    hash_n: Hashes, thumb_N: npt.NDArray[np.uint8], row_n: Rows | None = None, *, held: int | None = None
) -> Rows:
    """Return for every picture the first picture it is a near copy of, or -1.

    The pictures are walked in order. Without `held` a picture is compared to all before it that are themselves no
    copies, so a chain of slow changes is cut where it leaves the first of it. With it, the first `held` pictures are
    compared to none and all later ones to these only.

    Two pictures are near copies if their hashes differ in at most `MOST_BITS` bits, their grey thumbnails correlate by
    at least `LEAST_ALIKE`, those minus their blurred selves by at least `LEAST_DETAIL`, and their colours differ by at
    most `MOST_TINT`; correlations ignore brightness and contrast. Candidates come from an index of the hashes in four
    bands (pigeonhole; Norouzi, Punjani & Fleet, CVPR 2012), which is exact. Time is near-linear unless very many
    pictures that are no copies share parts of their hashes.

    Args:
        hash_n: one perceptual hash per picture.
        thumb_N: ``(N, s, s, 3)`` uint8 thumbnails, in memory or memory-mapped.
        row_n: which of them belongs to which picture; default one after the other.
        held: see above.
    """
    n = len(hash_n)
    rows = np.arange(n, dtype=np.intp) if row_n is None else row_n.astype(np.intp)
    first_n = np.full(n, -1, dtype=np.intp)
    greedy = held is None
    if n and held != 0:
        _walk(readonly(hash_n), readonly(thumb_N), readonly(rows), n if held is None else held, greedy, first_n)
    return first_n


@jit
def _walk(hash_n, thumb_N, row_n, held, greedy, first_n):
    n = len(hash_n)
    head = np.full((_BANDS, 1 << _WIDTH), -1, np.int64)  # last held picture with this value of a band
    before = np.empty((_BANDS, min(held, n)), np.int64)  # the held one before it
    scratch = np.empty((4, thumb_N.shape[1], thumb_N.shape[2]))
    for i in range(n):
        if greedy or i >= held:
            first_n[i] = _first(i, hash_n, thumb_N, row_n, head, before, scratch)
        if i < held and first_n[i] < 0:
            for band in range(_BANDS):
                value = (hash_n[i] >> np.uint64(band * _WIDTH)) & np.uint64((1 << _WIDTH) - 1)
                before[band, i] = head[band, value]
                head[band, value] = i


@jit
def _first(i, hash_n, thumb_N, row_n, head, before, scratch):
    found = -1
    for band in range(_BANDS):
        value = np.int64((hash_n[i] >> np.uint64(band * _WIDTH)) & np.uint64((1 << _WIDTH) - 1))
        for probe in range(_WIDTH + 1):
            at = value if probe == _WIDTH else value ^ (1 << probe)
            j = head[band, at]
            while j >= 0:
                if found < 0 or j < found:
                    differing = hash_n[i] ^ hash_n[j]
                    is_near = _bits(differing) <= MOST_BITS and _met_first(differing, band)
                    if is_near and _look_alike(thumb_N[row_n[i]], thumb_N[row_n[j]], scratch):
                        found = j
                j = before[band, j]
    return found


@jit
def _met_first(differing, band):
    """Whether no earlier band has led to this pair, which then was compared already."""
    for earlier in range(band):
        if _bits((differing >> np.uint64(earlier * _WIDTH)) & np.uint64((1 << _WIDTH) - 1)) <= 1:
            return False
    return True


@jit
def _bits(word):
    word = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
    word = (word & np.uint64(0x3333333333333333)) + ((word >> np.uint64(2)) & np.uint64(0x3333333333333333))
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((word * np.uint64(0x0101010101010101)) >> np.uint64(56))


@jit
def _look_alike(one, other, scratch):
    s = one.shape[0]
    apart = tint_red = tint_blue = 0.0
    for y in range(s):
        for x in range(s):
            r, g, b = np.int64(one[y, x, 0]), np.int64(one[y, x, 1]), np.int64(one[y, x, 2])
            u, v, w = np.int64(other[y, x, 0]), np.int64(other[y, x, 1]), np.int64(other[y, x, 2])
            scratch[0, y, x] = (77 * r + 150 * g + 29 * b) / 256
            scratch[1, y, x] = (77 * u + 150 * v + 29 * w) / 256
            apart += abs(scratch[0, y, x] - scratch[1, y, x])
            tint_red += abs((r - g) - (u - v))
            tint_blue += abs((b - g) - (w - v))
    if max(tint_red, tint_blue) > MOST_TINT * s * s:
        return False
    coarse, _, _ = _moments(scratch[0], scratch[1])
    could_be_flat = apart <= MOST_FLAT * s * s
    if coarse < LEAST_ALIKE and not could_be_flat:  # most candidates end here, before the costly part
        return False
    for k in range(2):
        for y in range(s):
            for x in range(s):
                total, count = 0.0, 0
                for yy in range(max(y - 1, 0), min(y + 2, s)):
                    for xx in range(max(x - 1, 0), min(x + 2, s)):
                        total += scratch[k, yy, xx]
                        count += 1
                scratch[2 + k, y, x] = scratch[k, y, x] - total / count
    fine, spread_one, spread_other = _moments(scratch[2], scratch[3])
    if min(spread_one, spread_other) < FLAT:
        return max(spread_one, spread_other) < FLAT and could_be_flat
    return fine >= LEAST_DETAIL and coarse >= LEAST_ALIKE


@jit
def _moments(a, b):
    """Correlation and both standard deviations of two images; the correlation is 0 where one is constant."""
    mean_a, mean_b = a.mean(), b.mean()
    aa = ab = bb = 0.0
    for y in range(a.shape[0]):
        for x in range(a.shape[1]):
            p, q = a[y, x] - mean_a, b[y, x] - mean_b
            aa += p * p
            ab += p * q
            bb += q * q
    if aa == 0 or bb == 0:
        return 0.0, np.sqrt(aa / a.size), np.sqrt(bb / b.size)
    return ab / np.sqrt(aa * bb), np.sqrt(aa / a.size), np.sqrt(bb / b.size)
