"""Rankings by the course of a training: contrastive, by pseudo-class, and supervised data maps."""

import numpy as np
import pytest

from querist.evidence.evidence import Evidence
from querist.evidence.needs import Features, PretrainTrace
from querist.seeds import Seed
from querist.strategies.base import State, choose, strategies
from querist.strategies.composition import flags_of
from querist.strategies.contrast_ambiguous import ContrastAmbiguous
from querist.strategies.contrast_easy import ContrastEasy
from querist.strategies.contrast_hard import ContrastHard
from querist.testing.contract import StrategyContract


class TestContrastHard(StrategyContract):
    make = staticmethod(lambda: ContrastHard(clusters=3))


class TestContrastEasy(StrategyContract):
    make = ContrastEasy


class TestContrastAmbiguous(StrategyContract):
    make = staticmethod(lambda: ContrastAmbiguous(clusters=None))


N, EPOCHS = 60, 7
COURSE = np.random.default_rng(0).random((N, EPOCHS)).astype(np.float32)
GROUP = np.array([4, -2, 9])[np.arange(N) % 3]
RULES = {"hard": ContrastHard, "easy": ContrastEasy, "ambiguous": ContrastAmbiguous}


def two_pass(course):
    mean = [sum(map(float, row)) / len(row) for row in course]
    spread = [(sum((float(q) - m) ** 2 for q in row) / len(row)) ** 0.5 for row, m in zip(course, mean, strict=True)]
    return np.array(mean), np.array(spread)


def wanted(kind):
    mean, spread = two_pass(COURSE)
    return {"hard": 1 - mean, "easy": mean, "ambiguous": spread}[kind]


def evidence(temperature="0.1"):
    labelled = np.array([5, 30], np.int64)
    ids = np.setdiff1d(np.arange(N), labelled)
    return Evidence(ids, {PretrainTrace(name=f"contrast_prob_T{temperature}"): COURSE[ids]}, labelled=labelled, c=3)


@pytest.fixture
def groups(tmp_path):
    np.save(tmp_path / "groups.npy", GROUP)
    return str(tmp_path / "groups.npy")


@pytest.mark.parametrize("kind", RULES)
def test_M21_N7_the_wanted_end_of_every_pseudo_class_in_turn(kind, groups):
    ev, score = evidence(), wanted(kind)
    picked = choose(RULES[kind](groups=groups), ev, 12, Seed(0).key())
    np.testing.assert_allclose(picked.utility, score[picked.ids], rtol=1e-6)
    assert sorted(GROUP[picked.ids[:3]].tolist()) == [
        -2,
        4,
        9,
    ]  # a prefix of as many as there are classes has each once
    for group in (4, -2, 9):
        members = [i for i in ev.candidates.tolist() if GROUP[i] == group]
        assert [i for i in picked.ids.tolist() if GROUP[i] == group] == sorted(members, key=lambda i: -score[i])[:4]


def test_easy_and_hard_are_reverses_within_a_pseudo_class(groups):
    ev, key = evidence(), Seed(0).key()
    easy, hard = (choose(RULES[kind](groups=groups), ev, len(ev.candidates), key).ids for kind in ("easy", "hard"))
    for group in (4, -2, 9):
        assert easy[GROUP[easy] == group].tolist() == hard[GROUP[hard] == group].tolist()[::-1]


def test_the_temperature_of_the_record_is_part_of_what_is_needed(groups):
    rule = ContrastHard(temperature=0.05, groups=groups)
    assert rule.needs_at(State()) == (PretrainTrace(name="contrast_prob_T0.05"),)
    assert Features(frame="all") in ContrastHard().needs_at(State())
    choose(rule, evidence("0.05"), 3, Seed(0).key())


@pytest.mark.parametrize("kind", RULES)
def test_F7_a_file_of_the_course_picks_the_same(kind, groups, tmp_path):
    np.save(tmp_path / "course.npy", COURSE)
    ev, key = evidence(), Seed(0).key()
    stored = RULES[kind](groups=groups, dynamics=str(tmp_path / "course.npy"))
    assert stored.needs_at(State()) == ()
    bare = Evidence(ev.candidates, {}, labelled=ev.labelled, c=3)
    assert choose(stored, bare, 10, key).ids.tolist() == choose(RULES[kind](groups=groups), ev, 10, key).ids.tolist()


@pytest.mark.parametrize("kind", RULES)
def test_L6_maps_of_true_labels_are_ranked_alike_and_flagged(kind, tmp_path):
    np.save(tmp_path / "map.npy", COURSE)
    rule = strategies.build({"name": f"map_{kind}", "path": str(tmp_path / "map.npy")})
    assert "oracle" in flags_of(rule)
    ev, score = evidence(), wanted(kind)
    picked = choose(rule, Evidence(ev.candidates, {}, labelled=ev.labelled, c=3), 10, Seed(0).key())
    np.testing.assert_allclose(picked.utility, score[picked.ids], rtol=1e-6)
    assert picked.ids.tolist() == sorted(ev.candidates.tolist(), key=lambda i: -score[i])[:10]


def test_a_constant_course_has_no_ambiguity(tmp_path):
    np.save(tmp_path / "map.npy", np.full((N, EPOCHS), 0.3))
    rule = strategies.build({"name": "map_ambiguous", "path": str(tmp_path / "map.npy")})
    ev = evidence()
    picked = choose(rule, Evidence(ev.candidates, {}, labelled=ev.labelled, c=3), 5, Seed(0).key())
    np.testing.assert_allclose(picked.utility, 0, atol=1e-12)
