"""Colours measured: contrast on paper, and distance as people with each kind of colour vision see it."""

import itertools

import numpy as np
import pytest

from querist.analysis.judge import VERDICTS
from querist.report.palette import (
    BACKGROUND,
    HUES,
    INK,
    MUTED,
    PAPERS,
    REFERENCE,
    VERDICT_COLOURS,
    VERDICT_SHAPES,
    arm_colours,
    arm_dashes,
    theme,
)

# Machado, Oliveira & Fernandes, IEEE TVCG 2009, severity 1.0, on linear RGB
VISION = {
    "full": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def linear(colour):
    v = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)


def contrast(a, b):
    first, second = sorted((linear(c) @ [0.2126, 0.7152, 0.0722] for c in (a, b)), reverse=True)
    return (first + 0.05) / (second + 0.05)


def oklab(rgb):
    """Ottosson 2020."""
    lms = np.array([
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]) @ np.clip(rgb, 0, 1)  # fmt: skip
    return np.array([
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]) @ np.cbrt(lms)  # fmt: skip


def nearest(colours, vision):
    seen = [oklab(np.array(VISION[vision]) @ linear(c)) for c in colours]
    return min(float(np.linalg.norm(a - b)) for a, b in itertools.combinations(seen, 2))


def test_the_measures_are_right():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert nearest(["#ff0000", "#00a000"], "full") > 0.3 > 0.2 > nearest(["#b08000", "#7a9a00"], "deuteranopia")


@pytest.mark.parametrize("paper", PAPERS)
def test_arms_stand_out_from_the_paper(paper):
    for colour in (*HUES[paper], REFERENCE[paper]):
        assert contrast(colour, BACKGROUND[paper]) >= 3


@pytest.mark.parametrize("paper", PAPERS)
@pytest.mark.parametrize("vision", VISION)
def test_any_two_arms_of_one_dash_look_different(paper, vision):
    assert nearest([*HUES[paper], REFERENCE[paper]], vision) >= (0.15 if vision == "full" else 0.09)


@pytest.mark.parametrize("paper", PAPERS)
def test_words_are_readable(paper):
    for colour in (*VERDICT_COLOURS[paper].values(), INK[paper], MUTED[paper]):
        assert contrast(colour, BACKGROUND[paper]) >= 4.5


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("paper", PAPERS)
def test_better_and_worse_differ_by_colour_and_by_shape(paper, vision):
    assert nearest([VERDICT_COLOURS[paper]["better"], VERDICT_COLOURS[paper]["worse"]], vision) > 0.15
    assert len(set(VERDICT_SHAPES.values())) == len(VERDICTS)
    assert set(VERDICT_COLOURS[paper]) == set(VERDICT_SHAPES) == set(VERDICTS)


@pytest.mark.parametrize("paper", PAPERS)
def test_twenty_five_arms_have_twenty_five_looks_and_only_the_reference_is_grey(paper):
    looks = list(zip(arm_colours(25, paper), map(tuple, arm_dashes(25)), strict=True))
    assert len(set(looks)) == 25
    assert looks[0] == (REFERENCE[paper], (1, 0))
    assert REFERENCE[paper] not in arm_colours(60, paper)[1:]


def test_theme_holds_one_colour_per_arm():
    for paper in PAPERS:
        assert theme(paper, 12)["range"] == {"category": arm_colours(12, paper)}
