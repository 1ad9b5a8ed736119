"""Two views: against torchvision on single images, keyed by the generator alone, and free of what is switched off."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra deep")
pytest.importorskip("lightning_fabric", reason="needs the extra deep")
functional = pytest.importorskip("torchvision.transforms.functional", reason="needs the extra deep")
pytestmark = pytest.mark.deep

from hypothesis import given, strategies as st

from querist.errors import SpecError
from querist.nets.share import Draws, Share
from querist.nets.twinning import Twinning
from querist.nets.twins import blur, boxes, brightness, crop, distort, recolour, shift_hue

PLAIN = {"crop": 1.0, "flip": False, "jitter": 0.0, "hue": 0.0, "grey": 0.0}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def draws(seed=0, n=6):
    return Draws(generator(seed), n)


def images(b=6, channels=3, h=9, w=7, seed=0):
    return torch.randint(0, 256, (b, channels, h, w), generator=generator(seed), dtype=torch.uint8)


class TestColours:
    @given(st.lists(st.floats(-0.5, 0.5), min_size=6, max_size=6))
    def test_hue_is_that_of_torchvision(self, shifts):
        x = images().float()
        got = shift_hue(x, torch.tensor(shifts, dtype=torch.float32))
        for image, shift, found in zip(x, shifts, got, strict=True):
            expected = functional.adjust_hue(image / 255, float(np.float32(shift))) * 255
            assert torch.allclose(found, expected, atol=0.02)

    def test_brightness_contrast_and_saturation_are_those_of_torchvision(self):
        x, zero = images().float(), torch.zeros(6)
        factors = torch.tensor([0.6, 0.8, 1.0, 1.1, 1.3, 1.4])
        got = recolour(x, factors, factors.flip(0), factors.roll(2), zero)
        for i, image in enumerate(x / 255):
            image = functional.adjust_brightness(image, float(factors[i]))
            image = functional.adjust_contrast(image, float(factors.flip(0)[i]))
            image = functional.adjust_saturation(image, float(factors.roll(2)[i]))
            assert torch.allclose(got[i], image * 255, atol=0.1)  # its weights of grey have four digits, ours three

    def test_colours_of_grey_images_are_left_alone(self):
        x = images(channels=1)
        view = distort(x, Twinning(**PLAIN | {"hue": 0.5, "grey": 1.0}), draws())
        assert torch.equal(view, x.float())

    def test_grey_has_one_value_in_all_channels(self):
        view = distort(images(), Twinning(**PLAIN | {"grey": 1.0}), draws())
        assert torch.equal(view, brightness(images().float()).expand(-1, 3, -1, -1))


class TestCrops:
    def test_the_whole_image_is_itself_and_mirrors(self):
        x = images(b=2).float()
        centre, side = torch.full((2, 2), 0.5), torch.ones(2, 2)
        got = crop(x, centre, side, mirrored=torch.tensor([False, True]))
        assert torch.allclose(got[0], x[0], atol=1e-3)
        assert torch.allclose(got[1], x[1].flip(2), atol=1e-3)

    def test_a_quarter_is_that_of_torchvision(self):
        x = images(b=1, h=8, w=8).float()
        got = crop(x, torch.tensor([[0.75, 0.25]]), torch.tensor([[0.5, 0.5]]), mirrored=torch.tensor([False]))
        part = functional.resize(x[:, :, :4, 4:], [8, 8], antialias=False)
        assert torch.allclose(got[:, :, 1:-1, 1:-1], part[:, :, 1:-1, 1:-1], atol=1e-3)  # it sees beyond its border

    @pytest.mark.parametrize("area", [0.08, 0.2, 0.9])
    def test_boxes_lie_within_the_image_and_have_the_area_asked_for(self, area):
        centre, side = boxes(area, draws(n=4000))
        assert (centre - side / 2 >= -1e-6).all()
        assert (centre + side / 2 <= 1 + 1e-6).all()
        free = (side < 1).all(dim=1)
        share, ratio = side[free].prod(dim=1), side[free][:, 0] / side[free][:, 1]
        assert share.min() >= area - 1e-6
        assert abs(float(ratio.log().mean())) < 0.02
        assert ratio.min() >= 3 / 4 - 1e-4
        assert ratio.max() <= 4 / 3 + 1e-4


class TestBlur:
    def test_is_the_product_of_normalised_gaussians(self):
        x = images(b=2, h=5, w=4).double()
        sigma = torch.tensor([0.7, 1.9])
        got = blur(x.float(), sigma)
        for image, s, found in zip(x, sigma.tolist(), got, strict=True):
            expected = torch.zeros_like(image)
            for i in range(5):
                for j in range(4):
                    weight = torch.tensor(
                        [[np.exp(-((i - k) ** 2 + (j - m) ** 2) / (2 * s * s)) for m in range(4)] for k in range(5)]
                    )
                    expected[:, i, j] = (image * weight).sum(dim=(1, 2)) / weight.sum()
            assert torch.allclose(found, expected.float(), atol=1e-2)

    def test_a_constant_image_stays(self):
        x = torch.full((3, 1, 6, 6), 77.0)
        assert torch.allclose(blur(x, torch.tensor([0.1, 1.0, 5.0])), x, atol=1e-3)


class TestViews:
    def test_everything_off_is_the_image(self):
        assert torch.equal(distort(images(), Twinning(**PLAIN), draws()), images().float())

    def test_are_in_range_keyed_by_the_generator_and_differ_from_image_to_image(self):
        same = images(b=1).expand(50, -1, -1, -1)
        state = torch.get_rng_state()
        first, again, other = (distort(same, Twinning(blur=0.5), draws(seed, 50)) for seed in (0, 0, 1))
        assert torch.equal(state, torch.get_rng_state())
        assert torch.equal(first, again)
        assert not torch.equal(first, other)
        assert len({view.numpy().tobytes() for view in first}) == 50
        assert first.min() >= 0
        assert first.max() <= 255.001
        assert first.shape == same.shape

    def test_the_views_of_an_image_do_not_depend_on_how_many_devices_there_are(self):
        x, everything = images(b=7), Twinning(blur=0.5)
        whole = distort(x, everything, draws(n=7))
        for rank in range(3):
            share = Share(rank, 3)
            part = distort(share.own(x), everything, Draws(generator(), 7, share))
            assert torch.allclose(part, share.own(whole), atol=1e-3)

    def test_probabilities_are_shares_of_images(self):
        same = images(b=1).expand(2000, -1, -1, -1)
        for name in ("grey", "blur"):
            view = distort(same, Twinning(**PLAIN | {name: 0.3}), draws(n=2000))
            changed = (view != same).flatten(1).any(dim=1).float().mean()
            assert abs(float(changed) - 0.3) < 0.04
        view = distort(same, Twinning(**PLAIN | {"jitter": 0.4, "jittered": 0.3}), draws(n=2000))
        assert abs(float((view != same).flatten(1).any(dim=1).float().mean()) - 0.3) < 0.04
        view = distort(same, Twinning(**PLAIN | {"flip": True}), draws(n=2000))
        assert abs(float(((view - same.flip(3)).abs() < 0.01).flatten(1).all(dim=1).float().mean()) - 0.5) < 0.05


@pytest.mark.parametrize(
    "wrong", [{"crop": 0.0}, {"hue": 0.6}, {"blur": 1.5}, {"sigma": (0.0, 1.0)}, {"sigma": (2.0, 1.0)}]
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(SpecError, match=r"Expected"):
        Twinning(**wrong)
