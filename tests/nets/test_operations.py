"""Operations on images: against torchvision image by image, and against plain loops where it has no such thing."""

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra deep")
pytest.importorskip("torchvision", reason="needs the extra deep")
pytestmark = pytest.mark.deep

from PIL import Image
from torchvision.transforms.v2 import InterpolationMode, functional as tv

from querist.nets import operations
from querist.nets.operations import PIXELS, TABLES, WARPS, blank, boxes, look_up, warp

B = 32
SHAPES = [(19, 17, 1), (24, 30, 1), (19, 17, 3), (24, 30, 3)]


@pytest.fixture(autouse=True)
def one_thread():
    """A thousand calls on one image each are slower on two threads than on one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def pictures(shape, b=B):
    """Noise; one constant image, one of a few levels, one dark one, and one that is grey in all channels."""
    x = np.random.default_rng(0).integers(0, 256, (b, *shape), dtype=np.uint8)
    x[0], x[1], x[2], x[3] = 77, x[1] // 64 * 3, x[2] // 8, x[3, :, :, :1]
    return torch.from_numpy(x)


def numbers(low, high, b=B):
    """Evenly spread float32 numbers in no order."""
    order = torch.randperm(b, generator=torch.Generator().manual_seed(0))
    return torch.linspace(low, high, b)[order]


def one_by_one(images, values, function, pillow=False):
    """Apply a function of torchvision to every image with its own value."""
    out = []
    for image, value in zip(images, values.tolist(), strict=True):
        if pillow:
            plain = image.numpy()[..., 0] if image.shape[2] == 1 else image.numpy()
            changed = torch.from_numpy(np.array(function(Image.fromarray(plain), value))).reshape(image.shape)
        else:
            changed = function(image.permute(2, 0, 1), value).permute(1, 2, 0)
        out.append(changed)
    return torch.stack(out)


def table(name, images, values):
    return look_up(images, TABLES[name](images, values).expand(-1, images.shape[3], -1))


def difference(first, second):
    return (first.int() - second.int()).abs().max().item()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("name", "values", "function", "tensors"),
    [  # how far torchvision's own tensors may be off its own Pillow images, in levels
        ("brightness", numbers(0, 1.95), tv.adjust_brightness, 0),
        ("contrast", numbers(0, 1.95), tv.adjust_contrast, 2),
        ("posterize", numbers(1, 8).round(), lambda t, v: tv.posterize(t, int(v)), 0),
        ("solarize", numbers(0, 255), tv.solarize, 0),
        ("invert", numbers(0, 1), lambda t, _v: tv.invert(t), 0),
        ("autocontrast", numbers(0, 1), lambda t, _v: tv.autocontrast(t), 1),
        ("equalize", numbers(0, 1), lambda t, _v: tv.equalize(t), 0),
        ("colour", numbers(0, 1.95), tv.adjust_saturation, 1),
        ("sharpness", numbers(0, 1.95), tv.adjust_sharpness, 1),
    ],
)
def test_levels_are_those_of_torchvision(name, values, function, tensors, shape):
    x = pictures(shape)
    found = PIXELS[name](x, values) if name in PIXELS else table(name, x, values)
    assert torch.equal(found, one_by_one(x, values, function, pillow=True)), "exact, on images of Pillow"
    assert difference(found, one_by_one(x, values, function)) <= tensors
    assert name == "colour" or not torch.equal(found, x)


def warped(name, x, values, **settings):
    fill = torch.full((len(x),), settings.pop("fill", 0))
    return warp(x, WARPS[name](values.double(), *x.shape[1:3]), fill, settings.pop("mode", "nearest"))


def moves(fill):
    """The calls of torchvision's own policies."""
    settings = {"interpolation": InterpolationMode.NEAREST, "fill": fill}

    def shear(t, x, y):
        angles = [math.degrees(math.atan(x)), math.degrees(math.atan(y))]
        return tv.affine(t, 0.0, [0, 0], 1.0, angles, center=[0, 0], **settings)

    return {
        "shear_x": lambda t, v: shear(t, v, 0.0),
        "shear_y": lambda t, v: shear(t, 0.0, v),
        "translate_x": lambda t, v: tv.affine(t, 0.0, [int(v), 0], 1.0, [0.0, 0.0], **settings),
        "translate_y": lambda t, v: tv.affine(t, 0.0, [0, int(v)], 1.0, [0.0, 0.0], **settings),
        "rotate": lambda t, v: tv.rotate(t, v, **settings),
    }


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("fill", [0, 128])
@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("shear_x", numbers(-0.99, 0.99)),
        ("shear_y", numbers(-0.3, 0.3)),
        ("translate_x", numbers(-20, 20).trunc()),
        ("translate_y", numbers(-9, 9).trunc()),
        ("rotate", numbers(-135, 135)),
    ],
)
def test_moves_are_those_of_torchvision_to_the_nearest_pixel(name, values, fill, shape):
    x = pictures(shape)
    assert torch.equal(warped(name, x, values, fill=fill), one_by_one(x, values, moves(fill)[name]))


def test_all_moves_of_a_batch_go_in_one_pass():
    x, names = pictures((9, 12, 3), 5), list(WARPS)
    values = torch.tensor([0.2, -0.1, 3.0, -2.0, 30.0])
    theta = torch.cat([WARPS[name](values[i : i + 1].double(), 9, 12) for i, name in enumerate(names)])
    found = warp(x, theta, torch.tensor([0, 10, 20, 30, 40]), "nearest")
    for i, name in enumerate(names):
        part = slice(i, i + 1)
        assert torch.equal(found[part], warped(name, x[part], values[part], fill=10 * i))


def cubic(t, a=-0.75):
    """The kernel of cubic convolution (Keys, 1981)."""
    t = abs(t)
    if t <= 1:
        return (a + 2) * t**3 - (a + 3) * t**2 + 1
    return a * (t**3 - 5 * t**2 + 8 * t - 4) if t < 2 else 0.0


def test_bicubic_shear_equals_a_loop_over_pixels():
    x, fill = pictures((7, 9, 1), 4), 128
    slopes = torch.tensor([0.3, -0.2, 0.1, 0.0])
    found = warped("shear_x", x, slopes, fill=fill, mode="bicubic")
    for image, slope, out in zip(x.numpy()[..., 0], slopes.tolist(), found[..., 0].tolist(), strict=True):
        wide = np.pad(image.astype(float), 12, constant_values=fill)
        for i in range(7):
            for j in range(9):
                source = j + slope * (i + 0.5)  # about the upper left corner of the corner pixel
                near = math.floor(source)
                level = sum(cubic(source - k) * wide[i + 12, k + 12] for k in range(near - 1, near + 3))
                assert out[i][j] == pytest.approx(min(max(level, 0), 255), abs=0.51)


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 5, 3), (6, 6, 1), (6, 6, 3)])
def test_values_that_mean_nothing_change_nothing(shape):
    x, one, zero = pictures(shape), torch.ones(B), torch.zeros(B)
    for name in ("brightness", "contrast"):
        assert torch.equal(table(name, x, one), x)
    for name in PIXELS:
        assert torch.equal(PIXELS[name](x, one), x)
    assert torch.equal(table("posterize", x, 8 * one), x)
    assert torch.equal(table("solarize", x, 256 * one), x)
    assert torch.equal(table("invert", table("invert", x, one), one), x)
    for name in WARPS:
        assert torch.equal(warped(name, x, zero), x)


def test_grey_has_no_colour():
    grey = pictures((6, 6, 1))
    for factor in (0.0, 0.5, 1.9):
        values = torch.full((B,), factor)
        assert torch.equal(PIXELS["colour"](grey, values), grey)
        assert torch.equal(PIXELS["colour"](grey.expand(-1, -1, -1, 3).contiguous(), values)[..., :1], grey)
    assert torch.equal(
        table("contrast", grey.expand(-1, -1, -1, 3).contiguous(), numbers(0, 2))[..., :1],
        table("contrast", grey, numbers(0, 2)),
    )


@pytest.mark.parametrize("channels", [1, 3])
def test_boxes_are_cut_off_at_the_border(channels):
    height, width = 9, 12
    x, fill = pictures((height, width, channels)), torch.tensor([5, 6, 7], dtype=torch.uint8)[:channels]
    generator = torch.Generator().manual_seed(1)
    side, centre = numbers(0, 10).double(), torch.rand(B, 2, generator=generator, dtype=torch.float64)
    found = blank(x, boxes(side, centre, height, width), fill)
    for i in range(B):
        size = math.floor(side[i] + 0.5)
        top = math.floor(centre[i, 0] * height) - size // 2
        left = math.floor(centre[i, 1] * width) - size // 2
        expected = x[i].clone()
        for row in range(max(top, 0), min(top + size, height)):
            for column in range(max(left, 0), min(left + size, width)):
                expected[row, column] = fill
        assert torch.equal(found[i], expected)
        h, w = min(top + size, height) - max(top, 0), min(left + size, width) - max(left, 0)
        erased = tv.erase(x[i].permute(2, 0, 1), max(top, 0), max(left, 0), h, w, fill[:, None, None].expand(-1, h, w))
        assert torch.equal(found[i], erased.permute(1, 2, 0))


@pytest.mark.parametrize("name", [*WARPS, *TABLES, *PIXELS])
def test_company_changes_no_bit(name):
    x, values = pictures((10, 7, 3)), numbers(0.1, 1.9)

    def applied(rows):
        if name in WARPS:
            return warped(name, x[rows], values[rows], mode="bicubic")
        return PIXELS[name](x[rows], values[rows]) if name in PIXELS else table(name, x[rows], values[rows])

    whole = applied(torch.arange(B))
    for rows in ([3], [0, 30, 7], list(range(B))[::-1]):
        assert torch.equal(applied(rows), whole[rows])


def test_every_operation_has_one_place():
    names = [*operations.WARPS, *operations.TABLES, *operations.PIXELS]
    assert len(names) == len(set(names)) == 14
