"""Policies: their tables against torchvision's, what is drawn, and grouped batches against images one by one."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra deep")
pytest.importorskip("torchvision", reason="needs the extra deep")
pytestmark = pytest.mark.deep

from torchvision.transforms import v2
from torchvision.transforms.v2 import InterpolationMode

from querist.errors import SpecError, UnknownNameError
from querist.nets.augmentation import stream
from querist.nets.augmenting import USES, Augmenting
from querist.nets.policies import ANY, CUT_COLOUR, CUT_GREY, POLICIES, Policy
from querist.nets.running import generator
from querist.seeds import Seed

NAMES = {"color": "colour"}
THEIRS = {"randaugment": v2.RandAugment(), "trivialaugment": v2.TrivialAugmentWide()}


@pytest.fixture(autouse=True)
def one_thread():
    """Calls on one image each are slower on two threads than on one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def pictures(b=60, shape=(12, 10, 3), seed=0):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (b, *shape), dtype=np.uint8))


def policy_of(name, shape=(12, 10), **settings):
    return Policy(Augmenting(policy=name, **settings), *shape)


def draws(seed=0, b=60):
    return stream(generator(Seed(seed)), b)


def ours(title):
    """Return the name of one of torchvision's operations here."""
    snake = "".join(
        "_" + letter.lower() if letter.isupper() and at else letter.lower() for at, letter in enumerate(title)
    )
    return NAMES.get(snake, snake.replace("auto_contrast", "autocontrast"))


@pytest.mark.parametrize("name", THEIRS)
@pytest.mark.parametrize("shape", [(32, 32), (28, 40)])
def test_tables_are_those_of_torchvision(name, shape):
    space, choices = THEIRS[name]._AUGMENTATION_SPACE, {c.name: c for c in POLICIES[name](*shape)}
    assert {ours(title) for title in space} == set(choices)
    for title, (magnitudes, signed) in space.items():
        found, expected = choices[ours(title)], magnitudes(31, *shape)
        assert found.signed == signed
        if expected is None:
            assert not found.values.any()
            continue
        if title.startswith("Translate"):
            expected = expected.trunc()
        elif title == "Solarize":
            expected = expected.double() * 255
        assert torch.equal(found.values, expected.double()), title
        assert found.around == (title in ("Brightness", "Color", "Contrast", "Sharpness"))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", THEIRS)
def test_an_operation_is_the_one_torchvision_would_apply(name, channels):
    policy = policy_of(name, **({"operations": 1} if name == "randaugment" else {}))
    x = pictures(300, (12, 10, channels))
    found = policy(x, draws(b=300))
    which, value = policy.draw(draws(b=300))
    back = {ours(title): title for title in THEIRS[name]._AUGMENTATION_SPACE}
    assert len(which.unique()) == 14
    for i, (w, v) in enumerate(zip(which.tolist(), value.tolist(), strict=True)):
        choice = policy.choices[w]
        magnitude = v / 255 if choice.name == "solarize" else v - choice.around
        expected = THEIRS[name]._apply_image_or_video_transform(
            x[i].permute(2, 0, 1), back[choice.name], magnitude, InterpolationMode.NEAREST, {torch.Tensor: None}
        )
        off = (found[i].int() - expected.permute(1, 2, 0).int()).abs().max()
        assert off <= 2 * (choice.name == "contrast") + (choice.name in ("colour", "autocontrast", "sharpness")), (
            choice.name
        )


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", POLICIES)
def test_a_grouped_batch_equals_images_one_by_one(name, channels):
    policy = policy_of(name, **({"operations": 3} if "operations" in USES[name] else {}))
    x, b = pictures(shape=(12, 10, channels)), 60
    whole = policy(x, draws())
    asked = []
    chance = draws()
    policy(x, lambda: asked.append(chance()) or asked[-1])
    for i in range(b):
        one = iter(asked)
        alone = policy(x[i : i + 1], lambda one=one, i=i: next(one)[i : i + 1])
        assert torch.equal(alone[0], whole[i])
    assert not torch.equal(whole, x)
    assert torch.equal(policy(x, draws()), whole)
    assert not torch.equal(policy(x, draws(seed=1)), whole)


@pytest.mark.parametrize("name", POLICIES)
def test_operations_are_equally_likely_and_signs_even(name):
    policy, b = policy_of(name), 30_000
    which, value = policy.draw(draws(b=b))
    counts = torch.bincount(which, minlength=len(policy.choices))
    expected = b / len(policy.choices)
    assert (counts - expected).abs().max() < 5 * expected**0.5
    for place, choice in enumerate(policy.choices):
        found = value[which == place] - choice.around
        allowed = torch.cat([choice.values, -choice.values]) if choice.signed else choice.values
        assert torch.isin(found.float(), allowed.float()).all()
        if choice.signed:
            moving = found[found != 0]
            assert (moving > 0).double().mean() == pytest.approx(0.5, abs=0.06)
        if name in ("trivialaugment", "fixmatch") and len(choice.values.unique()) > 10:
            below = (found.abs() <= choice.values.abs().median()).double().mean()
            assert below == pytest.approx(0.5, abs=0.06)


def test_randaugment_has_one_magnitude():
    policy = policy_of("randaugment", magnitude=30)
    which, value = policy.draw(draws(b=2_000))
    for place, choice in enumerate(policy.choices):
        assert set((value[which == place] - choice.around).abs().tolist()) == {abs(choice.values[30].item())}
    calm = policy_of("randaugment", magnitude=0)
    x = pictures(400)
    which, _ = calm.draw(draws(b=400))
    still = torch.tensor([calm.choices[w].name not in ("autocontrast", "equalize", "solarize") for w in which])
    once = policy_of("randaugment", magnitude=0, operations=1)(x, draws(b=400))
    assert torch.equal(once[still], x[still])


def test_S2_randaugment_has_the_table_of_the_reference():
    choices = {c.name: c for c in POLICIES["randaugment_s2"](33, 331)}
    ends = {name: (c.values[0].item(), c.values[-1].item()) for name, c in choices.items()}
    nothing = dict.fromkeys(("invert", "autocontrast", "equalize"), (0.0, 0.0))
    factors = dict.fromkeys(("colour", "contrast", "brightness", "sharpness"), (0.0, pytest.approx(0.9)))
    assert ends == {
        **nothing, **factors, "rotate": (0, 30), "solarize": (256, 0), "posterize": (8, 4), "shear_x": (0, 0.3),
        "shear_y": (0, 0.3), "translate_x": (0, pytest.approx(150)), "translate_y": (0, pytest.approx(150 / 331 * 33)),
        "cutout": (0, pytest.approx(0.8 * 331)),
    }  # fmt: skip
    assert len(choices) == 15
    assert {len(c.values) for c in choices.values()} == {10}
    assert {name for name, c in choices.items() if c.signed} == {
        *factors,
        *(n for n in ends if n[:5] in ("shear", "trans")),
    }
    assert {name for name, c in choices.items() if c.mode == "bicubic"} == {"shear_x", "shear_y"}
    assert {name: c.fill for name, c in choices.items() if c.fill} == dict.fromkeys(
        ("shear_x", "shear_y", "translate_x", "translate_y"), 128
    )


def test_S2_rotations_go_one_way_only_and_translations_bring_in_grey():
    policy = policy_of("randaugment_s2", magnitude=9, operations=1, shape=(40, 40))
    x = torch.full((900, 40, 40, 1), 200, dtype=torch.uint8)
    found, (which, value) = policy(x, draws(b=900)), policy.draw(draws(b=900))
    names = np.array([policy.choices[w].name for w in which])
    assert set(value[torch.from_numpy(names == "rotate")].tolist()) == {30.0}
    for name, fill in (("translate_x", 128), ("translate_y", 128), ("rotate", 0), ("cutout", 0)):
        levels = found[torch.from_numpy(names == name)]
        assert set(levels.unique().tolist()) == {fill, 200}, name
    moved = found[torch.from_numpy(names == "translate_x")][:, 20, :, 0]
    assert set((moved == 128).sum(dim=1).tolist()) == {18}  # 150 / 331 of 40 pixels, to the nearest
    assert 0.3 < (moved[:, 0] == 128).double().mean() < 0.7, "to the left and to the right"


@pytest.mark.parametrize(("channels", "colour"), [(3, CUT_COLOUR), (1, (CUT_GREY,))])
def test_fixmatch_draws_from_fourteen_and_ends_with_a_cut_out(channels, colour):
    choices = {c.name: c for c in POLICIES["fixmatch"](20, 30)}
    assert len(choices) == 14
    assert "invert" not in choices
    assert {len(c.values) for c in choices.values()} == {ANY}
    assert [round(choices["translate_x"].values[at].item(), 9) for at in (0, -1)] == [-9.0, 9.0]
    policy, b = policy_of("fixmatch", shape=(20, 20), operations=1), 1_000
    still = torch.full((b, 20, 20, channels), 9, dtype=torch.uint8)
    which, _ = policy.draw(draws(b=b))
    identity = torch.tensor([policy.choices[w].name == "identity" for w in which])
    found = policy(still, draws(b=b))[identity]
    cut = (found == torch.tensor(colour, dtype=torch.uint8)).all(dim=3)
    assert (cut | (found == 9).all(dim=3)).all()
    sides = cut.any(dim=1).sum(dim=1)
    assert sides.max() == 10  # half of the width
    assert sides.min() == 0
    assert cut.double().mean() > 0.03


def test_T22_unknown_names_and_settings_without_effect_raise():
    with pytest.raises(UnknownNameError, match="unknown policy of augmentation 'randagument'"):
        Augmenting(policy="randagument")
    for policy, used in USES.items():
        for name in {"operations", "magnitude"} - set(used):
            with pytest.raises(SpecError, match=f"{name} = 7 means nothing to policy = '{policy}'"):
                Augmenting(policy=policy, **{name: 7})
        assert Augmenting(policy=policy, **dict.fromkeys(used, 7)).policy == policy
    with pytest.raises(SpecError, match="magnitude to be at least 0 and at most 9, got 10"):
        Augmenting(policy="randaugment_s2", magnitude=10)
