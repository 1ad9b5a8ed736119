"""The transform for training: crops and mirrors against a loop, every setting, and what each device draws."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra deep")
pytestmark = pytest.mark.deep

from querist.nets import augmentation
from querist.nets.augmentation import Augmentation, Variation, stream
from querist.nets.augmenting import Augmenting
from querist.nets.running import generator
from querist.seeds import Seed

CPU = torch.device("cpu")
GREY = (90.4, 100.5, 110.6)


def pictures(n=40, shape=(9, 7, 3), seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, *shape), dtype=np.uint8)


def varied(x, rows, seed=0, **settings):
    """``(b, h, w, channels)`` after the transform."""
    transform = Augmentation(x, Augmenting(**settings), CPU, GREY[: x.shape[3]])
    return transform(torch.as_tensor(rows), generator(Seed(seed))).permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize("flip", [True, False])
@pytest.mark.parametrize(
    ("shape", "crop", "pad"),
    [((28, 28, 1), 0.125, 4), ((32, 36, 3), 0.125, 4), ((9, 7, 1), 0.3, 2), ((4, 4, 3), 0.5, 2), ((1, 5, 1), 0.5, 0)],
)
def test_crops_and_mirrors_equal_a_loop_over_images(shape, crop, pad, flip):
    x = pictures(n=12, shape=shape)
    rows = [3, 3, 0, 11, 7, 7, 7]
    out = varied(x, rows, crop=crop, flip=flip)
    chance = stream(generator(Seed(0)), 7)
    places = [(chance() * (2 * pad + 1)).long().tolist() for _ in range(2)] if pad else [[0] * 7] * 2
    mirrored = (chance() < 0.5).tolist() if flip else [False] * 7
    for i, (row, top, left, mirror) in enumerate(zip(rows, *places, mirrored, strict=True)):
        padded = np.pad(x[row], ((pad, pad), (pad, pad), (0, 0)), mode="reflect") if pad else x[row]
        expected = padded[top : top + shape[0], left : left + shape[1]]
        assert np.array_equal(out[i], expected[:, ::-1] if mirror else expected), i


def test_T13_without_crop_and_flip_training_sees_the_images_themselves():
    x = pictures(n=10, shape=(5, 5, 3))
    transform = Augmentation(x, Augmenting(crop=0.0, flip=False), CPU, GREY)
    out = transform(torch.arange(10), generator(Seed(0)))
    assert np.array_equal(out.numpy(), x.transpose(0, 3, 1, 2))
    assert (out.dtype, out.is_contiguous(memory_format=torch.channels_last)) == (torch.uint8, True)


def test_without_flip_nothing_is_ever_mirrored_and_with_it_half_is():
    ramp = np.broadcast_to(np.arange(0, 200, 10, dtype=np.uint8)[:, None], (1, 20, 20, 1))
    for flip, share in ((False, 0.0), (True, 0.5)):
        out = varied(ramp, [0] * 2_000, crop=0.0, flip=flip)
        assert (out[:, 0, 0] > out[:, 0, -1]).mean() == pytest.approx(share, abs=0.06)


def test_every_place_is_equally_likely():
    x = np.zeros((1, 8, 8, 1), np.uint8)
    x[0, 4, 4] = 1
    where = varied(x, [0] * 9_000, crop=0.125, flip=False).reshape(9_000, -1).argmax(axis=1)
    found, counts = np.unique(where, return_counts=True)
    assert sorted(found.tolist()) == sorted(8 * i + j for i in (3, 4, 5) for j in (3, 4, 5))
    assert counts.min() > 800  # 1,000 expected, 7 standard deviations away


@pytest.mark.parametrize("channels", [1, 3])
def test_cutout_is_a_square_of_the_mean_colour(channels):
    x = np.full((1, 12, 16, channels), 7, np.uint8)
    out = varied(x, [0] * 400, crop=0.0, flip=False, cutout=0.5)
    cut = (out == np.round(GREY[:channels]).astype(np.uint8)).all(axis=3)
    assert (cut | (out == 7).all(axis=3)).all()
    high, wide = cut.any(axis=2).sum(axis=1), cut.any(axis=1).sum(axis=1)
    assert np.array_equal(cut.sum(axis=(1, 2)), high * wide)
    assert (high.max(), wide.max()) == (6, 6)  # half of the shorter side
    assert (high.min(), wide.min()) == (3, 3)  # its centre is always inside
    assert cut.any(axis=0).all()


SETTINGS = [
    {"crop": 0.3}, {"flip": False}, {"cutout": 0.4}, {"policy": "randaugment"}, {"policy": "trivialaugment"},
    {"policy": "randaugment_s2"}, {"policy": "fixmatch"}, {"policy": "randaugment", "operations": 3},
    {"policy": "randaugment", "magnitude": 20}, {"policy": "randaugment_s2", "operations": 1},
    {"policy": "randaugment_s2", "magnitude": 3}, {"policy": "fixmatch", "operations": 3},
]  # fmt: skip


def test_every_setting_takes_effect_and_the_images_stay():
    x = pictures()
    before, found = x.copy(), [varied(x, range(40), **settings) for settings in [{}, *SETTINGS]]
    assert len({out.tobytes() for out in found}) == len(SETTINGS) + 1
    assert np.array_equal(x, before)
    for settings, out in zip([{}, *SETTINGS], found, strict=True):
        assert np.array_equal(varied(x, range(40), **settings), out)
        assert not np.array_equal(varied(x, range(40), seed=1, **settings), out)


@pytest.mark.parametrize("settings", SETTINGS)
def test_an_image_does_not_depend_on_its_company(settings):
    x = torch.from_numpy(pictures(shape=(9, 7, 1)))
    vary = Variation(Augmenting(**settings), (9, 7, 1), CPU, GREY[:1])
    drawn, chance = [], stream(generator(Seed(0)), 40)
    whole = vary(x, torch.arange(40), lambda: drawn.append(chance()) or drawn[-1])
    for rows in ([5], [30, 2, 11], list(range(40))[::-1]):
        numbers = iter(drawn)
        assert torch.equal(
            vary(x, torch.tensor(rows), lambda numbers=numbers, rows=rows: next(numbers)[rows]), whole[rows]
        )


def test_read_only_images_are_copied_and_others_are_not():
    x = pictures()
    assert Augmentation(x, Augmenting(), CPU, GREY).images.data_ptr() == x.ctypes.data
    for fixed in (pictures(), np.asfortranarray(x)):
        fixed.flags.writeable = False
        assert np.array_equal(Augmentation(fixed, Augmenting(), CPU, GREY).images.numpy(), x)


def test_the_global_generator_is_left_alone():
    before = torch.random.get_rng_state()
    for settings in SETTINGS:
        varied(pictures(), range(40), **settings)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a graphics card")
@pytest.mark.parametrize("settings", SETTINGS)
def test_a_graphics_card_gives_the_same_images(settings, monkeypatch):
    x, rows, card = pictures(200), torch.arange(200), torch.device("cuda")
    expected = Augmentation(x, Augmenting(**settings), CPU, GREY)(rows, generator(Seed(0)))
    for share in (0.5, 0.0):
        monkeypatch.setattr(augmentation, "RESIDENT", share)
        transform = Augmentation(x, Augmenting(**settings), card, GREY)
        assert transform.images.is_cuda == (share > 0)
        found = transform(rows, generator(Seed(0)))
        assert found.is_cuda
        # A place exactly between two pixels may go either way.
        assert (found.cpu() != expected).double().mean() < 1e-3
