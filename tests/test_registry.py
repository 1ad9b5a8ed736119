"""Names to components: lazy look-up, suggestions, checked settings, plug-ins, stable descriptions."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
import pytest
from hypothesis import example, given, settings, strategies as st

from querist.errors import SpecError, UnknownNameError, UsageError
from querist.registry import Registry, configure, describe, digest
from querist.strategies.base import strategies
from querist.strategies.margin import Margin

frozen = dataclass(frozen=True, kw_only=True)
rules: Registry[Any] = Registry("rule", "querist.testing")  # a package without registrations


class Rule:
    registry: ClassVar = rules


@rules.register("plain", aliases=("simple",), cite="Nobody 1999")
@frozen
class Plain(Rule):
    """Does nothing.

    At length.
    """


@rules.register("tuned", presets={"paper": {"k": 20, "share": 0.5}, "empty": {}}, flags=("one_shot",), revision=3)
@frozen
class Tuned(Rule):
    """Has settings of every type."""

    k: int = 5
    share: float = 1.0
    on: bool = False
    space: Literal["features", "embeddings", 3] = "features"
    sizes: tuple[int, ...] = ()
    pair: tuple[str, float] = ("a", 1.0)
    limit: int | None = None
    either: str | float = "x"
    table: Mapping[str, int] = field(default_factory=dict)
    anything: Any = None


@rules.register("wrapper")
@frozen
class Wrapper(Rule):
    base: Rule
    beta: float = 1.0
    parts: tuple[Rule, ...] = ()

    def __post_init__(self):
        if self.beta < 0:
            raise SpecError(f"Expected beta to be 0 or larger, got {self.beta}.")


@rules.register("function")
def function(path: str, *, size: int = 3) -> tuple[str, int]:
    """Is no class."""
    return path, size


# ------------------------------------------------------------------------------------------------------- registration


def test_cards_tell_what_is_registered():
    card = rules.card("plain")
    assert (card.name, card.component, card.cite, card.aliases) == ("plain", Plain, "Nobody 1999", ("simple",))
    assert card.summary == "Does nothing."
    assert rules.card("simple") is card is Plain.card
    assert (rules.card("tuned").flags, rules.card("tuned").revision) == (frozenset({"one_shot"}), 3)
    assert rules.names() == ["function", "plain", "tuned", "wrapper"]
    assert [c.name for c in rules.cards()] == rules.names()


@pytest.mark.parametrize("names", [("plain",), ("simple",), ("fresh", "plain"), ("fresh", "simple")])
def test_a_taken_name_is_refused_and_leaves_no_trace(names):
    class Other(Rule):
        pass

    with pytest.raises(SpecError, match=r"'(plain|simple)' is registered twice: by .*Plain and by .*Other"):
        rules.register(names[0], aliases=names[1:])(Other)
    assert "fresh" not in rules.names()
    assert rules.card("plain").component is Plain


@pytest.mark.parametrize(("name", "hint"), [("plian", "plain"), ("tune", "tuned"), ("Plain", "plain")])
def test_an_unknown_name_suggests(name, hint):
    for look_up in (rules.card, rules.build):
        with pytest.raises(UnknownNameError, match=f"unknown rule '{name}'. Did you mean .*'{hint}'"):
            look_up(name)


# ------------------------------------------------------------------------------------------------------------- builds


@pytest.mark.parametrize(
    ("spec", "built"),
    [
        ("plain", Plain()),
        ("simple", Plain()),
        (" plain ", Plain()),
        ("plain()", Plain()),
        ({"name": "plain"}, Plain()),
        (Plain(), Plain()),
        ("tuned(7, 2)", Tuned(k=7, share=2.0)),
        ("tuned(k=-7, on=True, limit=None, sizes=(1, 2))", Tuned(k=-7, on=True, sizes=(1, 2))),
        ("tuned(space='embeddings')", Tuned(space="embeddings")),
        ("tuned(preset='paper', k=3)", Tuned(k=3, share=0.5)),
        ({"name": "tuned", "preset": "paper"}, Tuned(k=20, share=0.5)),
        ({"name": "tuned", "preset": "paper", "k": 3}, Tuned(k=3, share=0.5)),
        ({"name": "tuned", "preset": "empty"}, Tuned()),
        ({"name": "tuned", "share": 1}, Tuned(share=1.0)),
        ({"name": "tuned", "sizes": [1, 2]}, Tuned(sizes=(1, 2))),
        ({"name": "tuned", "pair": ["b", 2]}, Tuned(pair=("b", 2.0))),
        ({"name": "tuned", "limit": 3, "either": 0.5}, Tuned(limit=3, either=0.5)),
        ({"name": "tuned", "table": {"a": 1}}, Tuned(table={"a": 1})),
        ({"name": "tuned", "space": 3}, Tuned(space=3)),
        ("wrapper(plain, beta=1)", Wrapper(base=Plain())),
        ("wrapper(wrapper(tuned(k=1)), 2)", Wrapper(base=Wrapper(base=Tuned(k=1)), beta=2.0)),
        ({"name": "wrapper", "base": {"name": "tuned", "preset": "paper"}}, Wrapper(base=Tuned(k=20, share=0.5))),
        ({"name": "wrapper", "base": "wrapper(plain)"}, Wrapper(base=Wrapper(base=Plain()))),
        ({"name": "wrapper", "base": Tuned(k=2)}, Wrapper(base=Tuned(k=2))),
        ({"name": "wrapper", "base": "plain", "parts": ["plain", {"name": "tuned"}]},
         Wrapper(base=Plain(), parts=(Plain(), Tuned()))),
        ("function('x')", ("x", 3)),
        ({"name": "function", "path": "y", "size": 4}, ("y", 4)),
    ],
)  # fmt: skip
def test_specs_build(spec, built):
    assert rules.build(spec) == built


def test_numbers_widen_to_floats_and_nothing_else_is_coerced():
    assert type(rules.build({"name": "tuned", "share": 2}).share) is float


@pytest.mark.parametrize(
    ("spec", "error", "says"),
    [
        ("wrapper", SpecError, "study.rule: wrapper: the settings base are required"),
        ({"name": "tuned", "kk": 1}, UnknownNameError, "unknown setting 'kk' in study.rule: tuned. Did you mean 'k'"),
        ({"name": "tuned", "k": 1.0}, SpecError, r"study.rule: tuned.k: expected int, got 1.0"),
        ({"name": "tuned", "k": True}, SpecError, "expected int, got True"),
        ({"name": "tuned", "k": "7"}, SpecError, "expected int, got '7'"),
        ({"name": "tuned", "on": 1}, SpecError, "expected bool, got 1"),
        ({"name": "tuned", "on": "false"}, SpecError, "expected bool, got 'false'"),
        ({"name": "tuned", "share": True}, SpecError, "expected float, got True"),
        ({"name": "tuned", "share": float("nan")}, SpecError, "expected a finite number, got nan"),
        ({"name": "tuned", "share": float("inf")}, SpecError, "expected a finite number, got inf"),
        ({"name": "tuned", "space": "pixels"}, SpecError, "expected 'features' or 'embeddings' or 3, got 'pixels'"),
        ({"name": "tuned", "sizes": [1, "2"]}, SpecError, r"tuned.sizes\[1\]: expected int, got '2'"),
        ({"name": "tuned", "sizes": 1}, SpecError, r"expected tuple\[int, ...\], got 1"),
        ({"name": "tuned", "pair": ["a"]}, SpecError, r"expected tuple\[str, float\]"),
        ({"name": "tuned", "limit": "many"}, SpecError, r"expected int \| None, got 'many'"),
        ({"name": "tuned", "table": [1]}, SpecError, "expected collections.abc.Mapping"),
        (
            {"name": "tuned", "preset": "papr"},
            UnknownNameError,
            "unknown preset of tuned 'papr' in study.rule. Did",
        ),
        ({"name": "tuned", "preset": 3}, UnknownNameError, "unknown preset of tuned '3'"),
        ({"name": "plain", "preset": "paper"}, UnknownNameError, "None are known"),
        ({"k": 1}, SpecError, "expected a key 'name' with the name of a rule"),
        ({"name": 3}, SpecError, "expected a key 'name'"),
        (3, SpecError, "study.rule: expected the name of a rule or a table with a name, got 3"),
        (None, SpecError, "got None"),
        ("wrapper(plain, -1)", SpecError, "study.rule: wrapper: Expected beta to be 0 or larger, got -1.0"),
        ("wrapper(plin)", UnknownNameError, "unknown rule 'plin'. Did you mean 'plain'"),
        ("wraper(plain)", UnknownNameError, "unknown rule 'wraper'. Did you mean 'wrapper'"),
        ({"name": "wrapper", "base": 3}, SpecError, "wrapper.base: expected the name of a rule"),
        ({"name": "wrapper", "base": "function('x')"}, SpecError, "wrapper.base: expected a Rule"),
        ("plain(", SpecError, "study.rule: cannot read 'plain\\(' as a rule such as 'stochastic"),
        ("", SpecError, "cannot read ''"),
        ("plain + tuned", SpecError, "expected a name or name"),
        ("tuned(1, k=2)", SpecError, "k is given twice"),
        ("tuned(k=1, k=2)", SpecError, "k is given twice|cannot read"),
        ("tuned(**{'k': 1})", SpecError, "cannot read"),
        ("plain(1)", SpecError, "plain takes at most 0 settings"),
        ("tuned(k=__import__('os').getcwd())", SpecError, "cannot read"),
        ("tuned(k=[x for x in (1,)])", SpecError, "cannot read"),
        ("tuned({[]: 1})", SpecError, "cannot read"),
        ("tuned(k=some.npy)", SpecError, r"expected a number, a name, a list, or text in quotes .*, got some\.npy"),
        ("tuned(k=true)", SpecError, "tuned.k: expected int, got True"),
        ("pl\0ain", SpecError, "cannot read"),
        ({"name": "tuned", "revision": 2}, SpecError, "written for revision 2 of tuned; installed is revision 3"),
    ],
)
def test_mistakes_say_where_what_and_what_instead(spec, error, says):
    with pytest.raises(error, match=says):
        rules.build(spec, "study.rule")


@settings(deadline=None, max_examples=150)
@given(st.text(alphabet="plaintuedwr(),=1.'[]{}*-+ _:\0\n", max_size=20))
@example("tuned(k=" + "-" * 5 + "1)")
def test_o3_no_text_gets_past_the_parser(text):
    try:
        built = rules.build(text)
    except UsageError:
        return
    assert isinstance(built, Rule) or built is not None


@settings(deadline=None, max_examples=100)
@given(
    st.dictionaries(
        st.sampled_from(["k", "share", "on", "sizes", "pair", "limit", "either", "space", "table", "kk"]),
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3), st.lists(st.integers())),
    )
)
def test_whatever_builds_is_of_the_declared_types_and_describes_itself(given_settings):
    try:
        built = rules.build({"name": "tuned", **given_settings})
    except UsageError:
        return
    assert isinstance(built.k, int)
    assert not isinstance(built.k, bool)
    assert isinstance(built.share, float)
    assert isinstance(built.on, bool)
    assert rules.build(describe(built)) == built
    assert len(digest(describe(built))) == 32


def test_c18_instances_share_nothing():
    one, other = Tuned(), Tuned()
    assert one.table is not other.table
    with pytest.raises(AttributeError):
        one.k = 3


def test_configure_works_without_a_registry():
    assert configure(Tuned, {"k": 2}) == Tuned(k=2)
    assert configure(function, {"path": "x"}) == ("x", 3)
    with pytest.raises(SpecError, match="the settings path are required"):
        configure(function, {})


def test_something_foreign_with_a_select_passes():
    class Foreign:
        def select(self):
            return None

    foreign = Foreign()
    assert strategies.build(foreign) is foreign


# ------------------------------------------------------------------------------------------------------- descriptions


def test_descriptions_are_complete_and_build_the_same_again():
    built = Wrapper(base=Tuned(k=2, sizes=(1,)), beta=2, parts=(Plain(),))
    assert describe(built) == {
        "name": "wrapper",
        "base": {
            "name": "tuned", "revision": 3, "k": 2, "share": 1.0, "on": False, "space": "features", "sizes": [1],
            "pair": ["a", 1.0], "limit": None, "either": "x", "table": {}, "anything": None,
        },
        "beta": 2.0,
        "parts": [{"name": "plain"}],
    }  # fmt: skip
    assert rules.build(describe(built)) == built


def test_equal_settings_have_equal_digests_however_they_were_written():
    digests = {
        digest(describe(c))
        for c in (
            Wrapper(base=Plain(), beta=1),
            Wrapper(base=Plain(), beta=1.0),
            rules.build("wrapper(plain)"),
            rules.build({"name": "wrapper", "beta": 1, "base": {"name": "simple"}}),
        )
    }
    assert len(digests) == 1
    assert digest(describe(Tuned(pair=("a", 1)))) == digest(describe(Tuned(pair=("a", 1.0))))
    assert digest(describe(Tuned(k=5))) != digest(describe(Tuned(k=6)))


def test_digests_are_golden():
    # Run folders are found by them.
    assert digest({"b": [1, 2.5, None, True], "a": "é"}) == "745e9b9a434074cefb8e8ca000ab601a"
    assert digest(describe(Margin())) == digest({"name": "margin"}) == "8f9fc10f204140fd7f91874373923ac1"


def test_digests_see_values_types_and_structure_but_no_order_of_keys():
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    values = [{}, [], "", 0, None, False, "0", [0], [[0]], {"a": 0}, {"a": [0]}, {"a0": ""}, 0.5, [1, 2], [12], [2, 1]]
    assert len({digest(v) for v in values}) == len(values)
    with pytest.raises(ValueError, match="JSON"):
        digest(float("nan"))


def test_c15_a_subclass_does_not_describe_itself_as_its_parent():
    @frozen
    class Changed(Tuned):
        pass

    assert describe(Changed())["name"] != "tuned"
    assert "revision" not in describe(Changed())


def test_a_setting_called_revision_is_a_setting():
    own: Registry[Any] = Registry("rule", "querist.testing")

    @own.register("versioned", revision=2)
    @frozen
    class Versioned:
        revision: int = 7

    assert own.build({"name": "versioned", "revision": 9}) == Versioned(revision=9)


def test_numpy_settings_are_refused_where_they_enter():
    with pytest.raises(SpecError, match="expected int"):
        rules.build({"name": "tuned", "k": np.int64(3)})
