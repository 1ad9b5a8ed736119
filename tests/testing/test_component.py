"""What every component must be is checked: plants that are not frozen, hashable or describable are caught."""

import functools
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest

from querist.errors import UsageError
from querist.evidence.needs import Probs
from querist.registry import Registry
from querist.strategies.base import Scoring
from querist.testing.component import ComponentContract, expect
from querist.testing.contract import StrategyContract
from querist.testing.plants import Plant, Plants, frozen, own_checks

toys: Registry[Any] = Registry("toy", "querist.testing")
plants = Plants(StrategyContract)


class Leans(Scoring):
    """Wants confident rows."""

    needs: ClassVar = (Probs(),)

    def score(self, ev):
        return ev[Probs()].max(axis=1)


@plants("test_configuration_is_a_frozen_dataclass")
@dataclass(kw_only=True)
class Thawed(Leans):
    scale: float = 1.0


@plants("test_configuration_is_a_frozen_dataclass")
@dataclass(frozen=True)
class Positional(Leans):
    scale: float = 1.0


@plants("test_equal_by_value_and_hashable")
class Unhashable(Leans):
    parts: list[int] = field(default_factory=list)


@plants("test_equal_by_value_and_hashable")
@dataclass(frozen=True, kw_only=True, eq=False)
class ByIdentity(Leans):
    scale: float = 1.0


@plants("test_equal_by_value_and_hashable")
@dataclass(frozen=True, kw_only=True, eq=False)
class HashedAlike(Leans):
    def __hash__(self):
        return 0


@plants("test_equal_by_value_and_hashable")
class HashedByIdentity(Leans):
    __hash__ = object.__hash__


@plants("test_describes_itself_as_json")
class NotJson(Leans):
    parts: frozenset[int] = frozenset({1})


@plants("test_describes_itself_as_json")
class Infinite(Leans):
    radius: float = float("inf")


@plants("test_rebuilds_from_its_description")
@toys.register("toy_percent")
@frozen
class Percent(Leans):
    """Changes its own settings."""

    registry: ClassVar = toys
    share: float = 0.5

    def __post_init__(self):
        object.__setattr__(self, "share", self.share * 100)


@plants("test_rebuilds_from_its_description")
@toys.register("toy_wordless")
@frozen
class Wordless(Leans):
    registry: ClassVar = toys


Wordless.__doc__ = None


@plants("test_presets_build", UsageError)
@toys.register("toy_preset", presets={"paper": {"neighbours": 20}})
@frozen
class StalePreset(Leans):
    registry: ClassVar = toys
    k: int = 5


@frozen
class Parent(Leans):
    pass


@pytest.mark.parametrize("plant", plants, ids=str)
def test_plants_are_caught(plant):
    plant.verify()


def test_a_subclass_that_forgot_the_decorator_is_caught():
    class Forgot(Parent):
        extra: int = 1

    with pytest.raises(AssertionError, match="must itself be decorated"):
        type("Contract", (StrategyContract,), {"make": Forgot})().test_configuration_is_a_frozen_dataclass()


def test_every_check_has_a_plant():
    assert plants.checks == own_checks(ComponentContract)


def test_make_may_be_a_class_a_callable_or_a_method():
    @frozen
    class Confident(Leans):
        power: float = 1.0

    def contract(make):
        return type("Contract", (StrategyContract,), {"make": make})()

    class Method(StrategyContract):
        power = 3.0

        def make(self):
            return Confident(power=self.power)

    assert contract(Confident).build() == Confident()
    assert contract(lambda: Confident(power=2.0)).build() == Confident(power=2.0)
    assert contract(staticmethod(lambda: Confident(power=4.0))).build() == Confident(power=4.0)
    assert contract(functools.partial(Confident, power=5.0)).build() == Confident(power=5.0)
    assert Method().build() == Confident(power=3.0)


def test_a_plant_that_is_not_caught_is_reported():
    @frozen
    class Sound(Leans):
        pass

    def verify(check, make=Sound, raises=AssertionError):
        Plant(check, type("Contract", (StrategyContract,), {"make": make})(), raises).verify()

    with pytest.raises(AssertionError, match="was not caught"):
        verify("test_equal_by_value_and_hashable")
    with pytest.raises(AssertionError, match="was skipped: not registered"):
        verify("test_rebuilds_from_its_description")
    with pytest.raises(ZeroDivisionError):
        verify("test_equal_by_value_and_hashable", lambda: 1 / 0)

    class Terse(StrategyContract):
        make = Sound

        def test_terse(self):
            expect(False, "no.")

    with pytest.raises(AssertionError, match="does not say what to change"):
        Plant("test_terse", Terse(), AssertionError).verify()
