"""Pictures of the toy: areas are where the model says a class, marks lie where the picks are."""

import re

import numpy as np
import pytest
from skimage.measure import points_in_poly

from querist.report.palette import HUES
from querist.report.toy import CLASSES, LETTERS, show, toy
from querist.report.toy_picture import NUMBERED, SIDE, class_colours, counts, picture, pool_symbol
from querist.strategies.base import strategies


@pytest.fixture(scope="module")
def stages():
    return show(strategies.build("margin")).stages


def polygons(path):
    """Return the rings of a path as points of the plane."""
    rings = [re.findall(r"(-?\d+) (-?\d+)", ring) for ring in path.split("M")[1:]]
    points = [np.array(ring, dtype=float) / SIDE for ring in rings]
    return [np.stack([p[:, 0], 1 - p[:, 1]], axis=1) for p in points if len(p) > 2]


def test_areas_are_where_the_model_says_a_class(stages):
    on = toy()
    points = on.plane[on.grid]
    for stage in stages[1:]:
        said = np.stack([stage.regions[c].ravel() for c in range(len(CLASSES))]).argmax(axis=0)
        text = picture(stage, on)
        for c in range(len(CLASSES)):
            path = re.search(rf'class="area k{c}" d="([^"]*)"', text)[1]
            inside = np.zeros(len(points), int)
            for ring in polygons(path):
                inside += points_in_poly(points, ring)
            agree = (inside % 2 == 1) == (said == c)
            # Borders are drawn with fewer points: points beside one may fall on the other side.
            assert agree.mean() > 0.985
            clear = np.abs(stage.regions[c].ravel()) > 0.2
            assert agree[clear].all()


def test_every_pick_is_marked_once_where_it_lies(stages):
    on = toy()
    for stage in stages:
        text = picture(stage, on, words="seen")
        marks = re.findall(r'data-id="(\d+)"><circle cx="(\d+)" cy="(\d+)"', text)[::-1]
        assert [int(item) for item, _, _ in marks] == stage.picks.tolist()
        where = np.array([[int(x), SIDE - int(y)] for _, x, y in marks]) / SIDE
        assert np.abs(where - on.plane[stage.picks]).max() <= 0.5 / SIDE + 1e-9
        rings = re.search(r'class="ring" d="([^"]*)"', text)
        assert (rings[1].count("M") if rings else 0) == len(stage.before)
        numbers = [int(n) for n in re.findall(r"<text [^>]*>(\d+)</text>", text)][::-1]
        assert numbers == (list(range(1, len(marks) + 1)) if len(marks) <= NUMBERED else [])
        shades = [int(s) for s in re.findall(r"--s:(\d+)%", text)][::-1]
        assert shades == sorted(shades)
        assert not shades or (shades[0], shades[-1]) == (0, 100)
        assert text.count("<title>") == len(marks)
        assert "<title>" not in picture(stage, on)


def test_reasons_and_classes_are_told_on_every_mark(stages):
    on, stage = toy(), stages[1]
    titles = re.findall(r"<title>([^<]*)</title>", picture(stage, on, words="seen"))[::-1]
    for rank, (title, item, reason) in enumerate(zip(titles, stage.picks, stage.reasons, strict=True), start=1):
        assert title == f"{rank}: class {CLASSES[on.labels[item]]}; {reason}"
        assert reason


def test_the_pool_is_drawn_once_with_every_point_in_its_class():
    on = toy()
    text = pool_symbol(on)
    for c in range(len(CLASSES)):
        path = re.search(rf'class="dot k{c}" d="([^"]*)"', text)[1]
        assert path.count("M") == (on.labels == c).sum()
    assert re.findall(r">([A-D])</text>", text) == [name for name, _, _ in LETTERS]
    assert {name for name, _, _ in LETTERS} == set(CLASSES)


def test_counts_are_by_class():
    on = toy()
    first = [int(np.flatnonzero(on.labels == c)[0]) for c in (3, 1, 1)]
    assert counts(np.array([*first, int(np.flatnonzero(on.labels == 1)[1])]), on) == "3 of B, 1 of D"


def test_classes_have_colours_of_the_palette_on_both_papers():
    text = class_colours()
    found = re.findall(r"#[0-9a-f]{6}", text)
    assert len(found) == 2 * len(CLASSES)
    assert set(found[: len(CLASSES)]) <= set(HUES["light"])
    assert set(found[len(CLASSES) :]) <= set(HUES["dark"])
    assert len(set(found)) == len(found)
