"""What every component must be, whatever it does: a frozen value that describes itself."""

import dataclasses
import inspect
import json
from typing import Any, NoReturn
from unittest import SkipTest

import numpy as np

from querist.registry import Card, Registry, describe, digest


class ComponentContract:
    """The part of a contract that strategies, learners and encoders share. Set ``make`` to what builds the component.

    ``make`` may be a class, any callable without arguments, or a method of the test class.
    """

    make: Any

    def build(self) -> Any:
        """Return a fresh component."""
        made = inspect.getattr_static(type(self), "make")
        if isinstance(made, staticmethod | classmethod):
            return self.make()
        if inspect.isfunction(made):
            return made(self) if inspect.signature(made).parameters else made()
        return made()

    def test_configuration_is_a_frozen_dataclass(self) -> None:
        component = self.build()
        name = type(component).__name__
        params = vars(type(component)).get("__dataclass_params__")
        frozen = params is not None and params.frozen
        expect(frozen, f"{name} must itself be decorated with @dataclass(frozen=True, kw_only=True).")
        for field in dataclasses.fields(component):
            expect(field.kw_only is True, f"the setting {field.name!r} of {name} must be keyword-only (kw_only=True).")
        for setting in [field.name for field in dataclasses.fields(component)] or ["anything"]:
            try:
                setattr(component, setting, None)
            except dataclasses.FrozenInstanceError:
                continue
            raise AssertionError(f"{name}.{setting} could be set after construction; configuration must be frozen.")

    def test_equal_by_value_and_hashable(self) -> None:
        one, other = self.build(), self.build()
        name = type(one).__name__
        expect(one == other, f"two {name} with the same settings are not equal; use the equality of a dataclass.")
        try:
            same = hash(one) == hash(other)
        except TypeError as error:
            raise AssertionError(f"{name} is not hashable: {error}. Use tuples instead of lists or dicts.") from None
        expect(same, f"two equal {name} have different hashes.")

    def test_describes_itself_as_json(self) -> None:
        component = self.build()
        described = describe(component)
        try:
            text = json.dumps(described, allow_nan=False, sort_keys=True)
        except (TypeError, ValueError) as error:
            raise AssertionError(
                f"the description of {type(component).__name__} is not JSON: {error}. Settings must be numbers, text, "
                "booleans, None, tuples of them, or components."
            ) from None
        expect(json.loads(text) == described, f"{described} does not survive a round trip through JSON.")
        expect(digest(described) == digest(describe(self.build())), "equal components have different digests.")

    def test_rebuilds_from_its_description(self) -> None:
        component = self.build()
        card: Card[Any] | None = vars(type(component)).get("card")
        registry: Registry[Any] | None = getattr(type(component), "registry", None)
        if card is None or registry is None:
            skip("not registered, so it cannot be built by name")
        described = describe(component)
        rebuilt = registry.build(described)
        expect(rebuilt == component, f"{described} builds {rebuilt}, expected {component}.")
        expect(bool(card.summary), f"{card.name} needs a docstring: its first line is shown in lists.")

    def test_presets_build(self) -> None:
        component = self.build()
        card: Card[Any] | None = vars(type(component)).get("card")
        registry: Registry[Any] | None = getattr(type(component), "registry", None)
        if card is None or registry is None or not card.presets:
            skip("no presets")
        described = describe(component)
        for preset, settings in card.presets.items():
            required = {k: v for k, v in described.items() if k not in settings and k not in ("name", "revision")}
            built = registry.build({"name": card.name, "preset": preset, **required})
            expect(type(built) is type(component), f"the preset {preset!r} of {card.name} builds {built!r}.")


def expect(condition: bool, message: str) -> None:
    """Raise `AssertionError` with `message` unless `condition` holds; unlike `assert`, also under ``python -O``."""
    if not condition:
        raise AssertionError(message)


def fingerprint(value: Any) -> str:
    """Return text that is equal for two values exactly if they are equal to the bit."""
    if isinstance(value, tuple | list):
        return f"[{'|'.join(map(fingerprint, value))}]"
    return f"{value.dtype}{value.shape}{value.tobytes().hex()}" if isinstance(value, np.ndarray) else repr(value)


def skip(reason: str) -> NoReturn:
    """Skip the running test, under pytest and unittest alike."""
    raise SkipTest(reason)
