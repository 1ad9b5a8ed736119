"""Search spaces: what presets hold, what a table may say, and that a learner takes what is drawn from it."""

import math
import tomllib
from dataclasses import dataclass, field
from typing import Any

import pytest

from querist.errors import SpecError, UnknownNameError
from querist.learners.base import Learner, learners
from querist.learners.committee import Committee
from querist.learners.knn import KNN
from querist.learners.linear import Linear
from querist.learners.scratch import Scratch
from querist.learners.sklearn import Sklearn
from querist.learners.spaces import changed, read_space, resource, setting, shortened
from querist.learners.tuned import TunedLearner
from querist.registry import describe, digest
from querist.testing.fakes import FakeLearner


@dataclass(frozen=True, kw_only=True)
class Trained(FakeLearner):
    """Something that trains for a while."""

    updates: int = 100
    epochs: float | None = None
    rate: float = 0.1
    word: str = "a"
    part: Learner = field(default_factory=Linear)


def test_the_presets_are_those_of_the_reference():
    assert read_space("s2", Scratch()) == {
        "batch": (8, 16, 32, 64, 128, 256, 512),
        "lr": {"low": 1e-5, "high": 1e-2, "log": True},
        "optimizer": ("sgd", "adam"),
        "weight_decay": {"low": 1e-8, "high": 1e-3, "log": True},
    }
    strong = read_space("s2-sr", Scratch(policy="randaugment_s2", operations=1, magnitude=5))
    assert strong["operations"] == {"low": 1, "high": 15, "log": False}
    assert strong["magnitude"] == {"low": 1, "high": 9, "log": False}
    assert {k: v for k, v in strong.items() if k in read_space("s2", Scratch())} == read_space("s2", Scratch())


def test_auto_is_the_preset_that_goes_with_the_base():
    assert read_space("auto", Linear()) == read_space("linear", Linear())
    assert read_space("auto", Scratch()) == read_space("s2", Scratch())
    with pytest.raises(SpecError, match="there is no space for KNN"):
        read_space("auto", KNN())


def test_a_table_of_a_study_file():
    text = """
    [learner]
    name = "tuned"
    base = { name = "scratch", net = "small_cnn" }
    space = { lr = { low = 1e-4, high = 0.1, log = true }, batch = [8, 16], updates = { low = 10, high = 20 } }
    """
    learner = learners.build(tomllib.loads(text)["learner"])
    assert isinstance(learner, TunedLearner)
    assert learner.space == {
        "batch": (8, 16),
        "lr": {"low": 1e-4, "high": 0.1, "log": True},
        "updates": {"low": 10, "high": 20, "log": False},
    }
    assert learners.build(describe(learner)) == learner


def test_neither_order_nor_spelling_of_a_number_is_part_of_a_space():
    one = TunedLearner(base=Linear(), space={"components": [4], "C": {"low": 1, "high": 10, "log": False}})
    other = TunedLearner(base=Linear(), space={"C": {"high": 10.0, "low": 1.0}, "components": (4,)})
    assert one == other
    assert digest(describe(one)) == digest(describe(other))
    assert type(one.space["C"]["low"]) is float  # pyright: ignore[reportArgumentType]


WRONG: list[tuple[Any, Any, type[Exception], str]] = [
    (Linear(), "s22", UnknownNameError, "unknown space 's22'. Did you mean 's2'"),
    (Linear(), "s2", UnknownNameError, "unknown setting 'batch' in Linear"),
    (Linear(), {}, SpecError, "at least one setting, got none"),
    (Scratch(), {"batchsize": [8]}, UnknownNameError, "unknown setting 'batchsize' in Scratch. Did you mean 'batch'"),
    (Linear(), {"C": {"lo": 1.0, "high": 2.0}}, UnknownNameError, "unknown bound 'lo' in the range of C. Did you mean"),
    (Linear(), {"C": {"low": 1.0}}, SpecError, "C: expected two numbers, low < high"),
    (Linear(), {"C": {"low": 2.0, "high": 1.0}}, SpecError, "C: expected two numbers, low < high"),
    (Linear(), {"C": {"low": 0.0, "high": 1.0, "log": True}}, SpecError, "begins above 0, got low = 0.0"),
    (Linear(), {"C": {"low": 1.0, "high": 2.0, "log": 1}}, SpecError, "log true or false"),
    (Linear(), {"C": {"low": True, "high": 2.0}}, SpecError, "expected two numbers"),
    (Linear(), {"C": 3.0}, SpecError, "C: expected a list of choices, or a table such as"),
    (Linear(), {"C": []}, SpecError, "C: expected a list of different"),
    (Linear(), {"C": [1.0, 1.0]}, SpecError, "C: expected a list of different"),
    (Linear(), {"C": [[1.0], [2.0]]}, SpecError, "C: expected a list of different|unhashable"),
    (Linear(), {"C": ["many"]}, SpecError, "'C': 'many'.*Linear.C: expected float, got 'many'"),
    (Linear(), {"C": [-1.0, 1.0]}, SpecError, "'C': -1.0.*Expected C to be positive"),
    (Linear(), {"encoder": {"low": 1, "high": 2}}, SpecError, "encoder: a range is for numbers"),
    (Scratch(), "s2-sr", SpecError, "which the base refuses: .*polic"),
    (Scratch(), {"batch": {"low": 1, "high": 8}}, SpecError, "'batch': 1.*Expected batch to be at least 2"),
    (Scratch(), {"batch": {"low": 2.5, "high": 8.5}}, SpecError, "batch: expected int, got 2.5"),
    (Scratch(), {"net": ["small_cnn", "o/o"]}, SpecError, "'net': 'o/o'.*unknown library of nets"),
    (Linear(), {"C.x": [1.0]}, SpecError, "'C' of Linear has no settings"),
    (Committee(), {"base.CC": [1.0]}, UnknownNameError, "unknown setting 'CC' in Linear. Did you mean 'C'"),
]


@pytest.mark.parametrize(("base", "space", "error", "message"), WRONG, ids=[w[3][:40] for w in WRONG])
def test_what_cannot_be_searched_is_refused_when_it_is_said(base, space, error, message):
    with pytest.raises(error, match=message):
        TunedLearner(base=base, space=space)


def test_a_mixture_that_the_base_refuses_is_found_before_anything_runs():
    with pytest.raises(SpecError, match="'policy': 'none'}, which the base refuses"):
        TunedLearner(base=Scratch(), space={"policy": ["none", "randaugment"], "operations": [2, 3]})
    TunedLearner(base=Scratch(), space={"policy": ["randaugment", "fixmatch"], "operations": [2, 3]})


def test_settings_of_parts_have_a_dot():
    bagged = Committee(base=Linear(C=1.0), members=3)
    assert changed(bagged, {"base.C": 5.0, "members": 4}) == Committee(base=Linear(C=5.0), members=4)
    assert setting(bagged, "base.C") == 1.0
    forest = Sklearn(classifier="RandomForestClassifier", params={"n_estimators": 5})
    assert changed(forest, {"params.max_depth": 2}).params == {"n_estimators": 5, "max_depth": 2}  # pyright: ignore
    assert read_space({"params.max_depth": {"low": 1, "high": 4}}, forest) == {
        "params.max_depth": {"low": 1, "high": 4, "log": False}
    }
    with pytest.raises(SpecError, match=r"Linear.C: expected float, got 'x'"):
        changed(bagged, {"base.C": "x"})


def test_a_share_of_the_training():
    assert resource(Linear()) is None
    assert resource(Trained()) == "updates"
    assert resource(Trained(epochs=8.0)) == "epochs"
    assert resource(Committee(base=Trained())) == "base.updates"
    assert shortened(Trained(), 0.25) == Trained(updates=25)
    assert shortened(Trained(updates=3), 1 / 16) == Trained(updates=1)
    assert shortened(Trained(epochs=8.0), 0.25) == Trained(epochs=2.0)
    assert shortened(Committee(base=Trained()), 0.5) == Committee(base=Trained(updates=50))
    assert shortened(Linear(), 0.25) == Linear()
    assert shortened(Trained(), 1.0) == Trained()


def test_half_a_level_of_an_odd_number_is_a_whole_one():
    assert all(
        isinstance(shortened(Trained(updates=u), s).updates, int)  # pyright: ignore
        for u in (1, 7, 33)
        for s in (1 / 16, 1 / 4)
    )
    assert math.isclose(shortened(Trained(epochs=1.0), 1 / 16).epochs, 1 / 16)  # pyright: ignore
