"""Guides: what is read from docstrings, and that every strategy of the house says what people must know."""

import dataclasses
from dataclasses import dataclass, field
from typing import ClassVar

import pytest

from querist.errors import SpecError
from querist.registry import Card
from querist.strategies.base import FAMILIES, REGIMES, Strategy, strategies
from querist.strategies.guide import Guide, guide, plain, required, settings_of
from querist.strategies.margin import Margin

HOUSE = [name for name in strategies.names() if strategies.card(name).component.__module__.startswith("querist.")]


@pytest.mark.parametrize("name", HOUSE)
def test_every_strategy_of_the_house_says_what_it_is_and_when_to_use_it(name):
    component = strategies.card(name).component
    assert component.family in FAMILIES
    assert component.regimes
    assert list(component.regimes) == [regime for regime in REGIMES if regime in component.regimes]
    found = guide(component)
    for text in (found.use, found.avoid, found.pitfalls):
        assert 20 < len(text) < 700
        assert text.rstrip().endswith(".")
    assert found.rule
    assert settings_of(component).keys() <= found.settings.keys()


def test_paragraphs_become_rule_and_advice():
    class Mine:
        """Wants the brightest.

        Identity: ``u = 1``, over
        two lines.

        Use when: it is dark: always.

        Avoid when: the sun
        shines.
        Pitfalls: it may
        rain.

        Attributes:
            lamp: how strong
                it is.
            left, right: where: on which side.

        Raises:
            SpecError: no lamp.
        """

    assert guide(Mine) == Guide(
        rule=("Wants the brightest.", "Identity: ``u = 1``, over two lines."),
        use="it is dark: always.",
        avoid="the sun shines.",
        pitfalls="it may rain.",
        settings={"lamp": "how strong it is.", "left": "where: on which side.", "right": "where: on which side."},
    )


def test_settings_of_base_classes_are_explained_and_one_s_own_words_win():
    class Base:
        """A base.

        Attributes:
            a: of the base.
            b: of the base.
        """

    class Derived(Base):
        """Derived.

        Attributes:
            b: of its own.
            c: of its own.
        """

    class Silent(Base):
        pass

    assert guide(Derived).settings == {"a": "of the base.", "b": "of its own.", "c": "of its own."}
    assert guide(Silent).settings == {"a": "of the base.", "b": "of the base."}
    assert guide(Silent).rule == ()


@dataclass(frozen=True, kw_only=True)
class Demanding(Strategy):
    """Needs a file and two numbers."""

    path: str
    n: int = 3
    base: Strategy = field(default_factory=Margin)
    needs: ClassVar = ()

    def __post_init__(self) -> None:
        if self.n < 1:
            raise SpecError("Expected n to be 1 or larger.")

    def select(self, ev, b, key):
        raise NotImplementedError


def test_settings_tell_types_and_defaults():
    assert settings_of(Demanding) == {"path": "str", "n": "int = 3", "base": "Strategy = margin"}
    assert required(Demanding) == ["path"]

    def dataset(path: str, share: float | None = None):
        """A function is a component too."""

    assert settings_of(dataset) == {"path": "str", "share": "float | None = None"}


@pytest.mark.parametrize("name", HOUSE)
def test_the_text_of_defaults_is_that_of_the_built_strategy(name):
    built = plain(strategies.card(name))
    assert not isinstance(built, str)
    for f in dataclasses.fields(built):
        value, text = getattr(built, f.name), settings_of(type(built))[f.name]
        if f.name in required(type(built)):
            assert value == "..."
        elif not isinstance(value, Strategy):
            assert text.endswith(f" = {value!r}")


def test_what_cannot_be_built_says_why():
    assert plain(Card(name="x", component=Demanding)) == Demanding(path="...")
    broken = dataclasses.make_dataclass("Broken", [("n", int, 0)], bases=(Demanding,), frozen=True, kw_only=True)
    assert plain(Card(name="x", component=broken)) == "Expected n to be 1 or larger."
