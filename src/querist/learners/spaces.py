"""Search spaces as data: which settings of a learner are searched, and between which bounds."""

import typing
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from itertools import islice, product
from typing import Any, TypeAlias

from querist.errors import SpecError, UnknownNameError, UsageError, suggest
from querist.learners.base import Learner
from querist.registry import configure

Space: TypeAlias = Mapping[str, Any]
"""By setting: a table of ``low``, ``high`` and ``log``, or a tuple of choices."""

BOUNDS = ("low", "high", "log")
SCALARS = (str, int, float, bool, type(None))
CHECKED = 512
"""Corners of a space that are tried at construction; larger spaces have more, and those are tried when drawn."""

S2: Space = {
    "batch": (8, 16, 32, 64, 128, 256, 512),
    "lr": {"low": 1e-5, "high": 1e-2, "log": True},
    "optimizer": ("sgd", "adam"),
    "weight_decay": {"low": 1e-8, "high": 1e-3, "log": True},
}
PRESETS: Mapping[str, Space] = {
    "s2": S2,
    "s2-sr": {**S2, "magnitude": {"low": 1, "high": 9}, "operations": {"low": 1, "high": 15}},
    "linear": {"C": {"low": 0.1, "high": 1e4, "log": True}, "components": (None, 16, 64, 256)},
}
"""``s2`` and ``s2-sr`` are those of Munjal et al., CVPR 2022; ``linear`` is ours: the default of C is inside."""


def read_space(space: str | Space, base: Learner) -> Space:
    """Return a space in its normal form: settings in order of their names, bounds complete, choices as tuples.

    Args:
        space: the name of a preset; ``auto``: the preset that goes with the base; or a table by setting, such as
            ``{"lr": {"low": 1e-4, "high": 0.1, "log": True}, "batch": [8, 16]}``. A setting of a part of the base has a
            dot in its name: ``base.lr`` of a committee.
        base: the learner whose settings they are.

    Raises:
        UnknownNameError: no such preset, setting or bound; with the nearest names.
        SpecError: bounds or choices that are impossible, or that the base refuses.
    """
    if isinstance(space, Mapping) and space.keys() == {"name"}:
        space = space["name"]  # a bare word of a composition, which reads like the name of a component
    if isinstance(space, str):
        space = _preset(space, base)
    if not space:
        raise SpecError("Expected a space with at least one setting, got none. To search nothing, set mode = 'none'.")
    read = {name: _entry(name, space[name], base) for name in sorted(space)}
    for corner in _corners(read):
        try:
            changed(base, corner)
        except UsageError as error:
            raise SpecError(f"the space holds {corner}, which the base refuses: {error}") from None
    return read


def changed(learner: Learner, settings: Mapping[str, Any]) -> Learner:
    """Return a learner with other settings; a dot in a name leads to a part of it.

    Raises:
        SpecError: the learner refuses them.
    """
    own = {name: value for name, value in settings.items() if "." not in name}
    for part in {name.partition(".")[0] for name in settings if "." in name}:
        inner = {name.removeprefix(f"{part}."): v for name, v in settings.items() if name.startswith(f"{part}.")}
        value = own.get(part, getattr(learner, part))
        own[part] = {**value, **inner} if isinstance(value, Mapping) else changed(value, inner)
    before = {field.name: getattr(learner, field.name) for field in fields(learner) if field.init}  # pyright: ignore[reportArgumentType]
    return configure(type(learner), {**before, **own}, type(learner).__name__)


def resource(learner: Learner) -> str | None:
    """Return the setting that says how long a learner trains, ``epochs`` or ``updates``; None if there is none.

    It may be that of a part: ``base.updates`` of a committee of nets.
    """
    names = [field.name for field in fields(learner) if field.init]  # pyright: ignore[reportArgumentType]
    for name in ("epochs", "updates"):
        if name in names and getattr(learner, name) is not None:
            return name
    for name in names:
        if isinstance(part := getattr(learner, name), Learner) and (found := resource(part)):
            return f"{name}.{found}"
    return None


def setting(learner: Learner, name: str) -> Any:
    """Return the value of a setting, or of one of a part of the learner."""
    for part in name.split("."):
        learner = getattr(learner, part)
    return learner


def shortened(learner: Learner, share: float) -> Learner:
    """Return the learner with a share of its training: of ``epochs``, or of ``updates``, rounded, at least one."""
    name = resource(learner)
    if share == 1 or name is None:
        return learner
    whole = setting(learner, name)
    return changed(learner, {name: whole * share if name.endswith("epochs") else max(1, round(whole * share))})


def _preset(name: str, base: Learner) -> Space:
    if name == "auto":
        known = {field.name for field in fields(base)}  # pyright: ignore[reportArgumentType]
        fitting = [preset for preset in ("linear", "s2") if PRESETS[preset].keys() <= known]
        if not fitting:
            raise SpecError(
                f"there is no space for {type(base).__name__}: say which settings are searched, for example "
                "space = { lr = { low = 1e-4, high = 0.1, log = true }, batch = [8, 16] }."
            )
        name = fitting[0]
    if name not in PRESETS:
        raise UnknownNameError("space", name, (*PRESETS, "auto"))
    return PRESETS[name]


def _entry(name: str, entry: Any, base: Learner) -> Any:
    hint = _hint(name, base)
    if isinstance(entry, list | tuple):
        if not entry or not all(type(v) in SCALARS for v in entry) or len({(type(v), v) for v in entry}) != len(entry):
            raise SpecError(f"{name}: expected a list of different numbers, words or truth values, got {entry!r}.")
        return tuple(entry)
    if not isinstance(entry, Mapping):
        raise SpecError(
            f"{name}: expected a list of choices, or a table such as {{ low = 1e-4, high = 0.1, log = true }}, got "
            f"{entry!r}."
        )
    for key in entry:
        if key not in BOUNDS:
            raise UnknownNameError("bound", str(key), BOUNDS, f"the range of {name}")
    kinds = {hint, *typing.get_args(hint)}
    if not kinds & {int, float, Any}:
        raise SpecError(f"{name}: a range is for numbers, and this is none. Give a list of choices.")
    low, high, log = entry.get("low"), entry.get("high"), entry.get("log", False)
    numbers = [v for v in (low, high) if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(numbers) != 2 or not isinstance(log, bool) or not numbers[0] < numbers[1]:
        raise SpecError(f"{name}: expected two numbers, low < high, and log true or false, got {dict(entry)!r}.")
    if log and numbers[0] <= 0:
        raise SpecError(f"{name}: a logarithmic range begins above 0, got low = {low!r}.")
    if float in kinds or not all(isinstance(v, int) for v in numbers):
        numbers = [float(v) for v in numbers]
    return {"low": numbers[0], "high": numbers[1], "log": log}


def _hint(name: str, base: Any) -> Any:
    """Return the annotation of a setting; `Any` for an entry of a table, of which nobody knows the type."""
    head, _, rest = name.partition(".")
    known = {field.name for field in fields(base) if field.init} if is_dataclass(base) else set[str]()
    if head not in known:
        raise UnknownNameError("setting", name, known, type(base).__name__)
    value = getattr(base, head)
    if not rest:
        return typing.get_type_hints(type(base))[head]
    if isinstance(value, Mapping):
        return Any
    if not is_dataclass(value):
        raise SpecError(f"{name}: {head!r} of {type(base).__name__} has no settings. {suggest(name, sorted(known))}")
    return _hint(rest, value)


def _corners(space: Space) -> Iterator[dict[str, Any]]:
    """Yield settings from the ends of all ranges: every end and every choice once, then as many mixtures as allowed."""
    ends = {name: entry if isinstance(entry, tuple) else (entry["low"], entry["high"]) for name, entry in space.items()}
    for place in range(max(map(len, ends.values()))):
        yield {name: values[place % len(values)] for name, values in ends.items()}
    for mixture in islice(product(*ends.values()), CHECKED):
        yield dict(zip(ends, mixture, strict=True))
