"""Names to components: registration in the component's own file, lazy look-up, configuration, description.

A registry first reads the package's source for ``@register("name", ...)`` without importing anything, so asking for one
name imports one file, and listing names never imports a heavy library. Third parties register through entry points.
"""

import ast
import dataclasses
import importlib
import inspect
import json
import math
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from hashlib import blake2b
from importlib.metadata import entry_points
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any, Generic, TypeVar

from querist.errors import SpecError, UnknownNameError, UsageError

T = TypeVar("T")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Card(Generic[T]):
    """What is registered under a name.

    Attributes:
        name: the registry name.
        component: the class (or, for datasets, the function) itself.
        cite: where the rule comes from: authors, venue, year.
        aliases: other names for the same component.
        presets: named settings, e.g. ``{"paper": {"neighbours": 20}}``.
        flags: what a reader of results must know, e.g. ``oracle``, ``one_shot``, ``external``.
        revision: bumped by hand whenever the same settings would give other picks.
    """

    name: str
    component: Callable[..., T]
    cite: str = ""
    aliases: tuple[str, ...] = ()
    presets: Mapping[str, Mapping[str, object]] = dataclasses.field(default_factory=dict)
    flags: frozenset[str] = frozenset()
    revision: int = 1

    @property
    def summary(self) -> str:
        """The first line of the component's docstring."""
        return (self.component.__doc__ or "").strip().partition("\n")[0]


class Registry(Generic[T]):
    """The names of one kind of component.

    Args:
        kind: what an error message calls one, e.g. ``"strategy"``.
        package: dotted name of the package whose files register components; also the entry-point group.
    """

    def __init__(self, kind: str, package: str) -> None:
        self.kind, self.package = kind, package
        self._cards: dict[str, Card[T]] = {}
        self._names: dict[str, str] = {}  # names and aliases -> name

    def register(
        self,
        name: str,
        *,
        cite: str = "",
        aliases: tuple[str, ...] = (),
        presets: Mapping[str, Mapping[str, object]] | None = None,
        flags: frozenset[str] | tuple[str, ...] = (),
        revision: int = 1,
    ) -> Callable[[Callable[..., T]], Any]:
        """Return the decorator that registers a component. `name` must be a literal, for it is read from the source.

        An alias that is also the name of a preset stands for the component with that preset.

        Raises:
            SpecError: a name or alias is taken.
        """

        def decorate(component: Callable[..., T]) -> Callable[..., T]:
            card = Card(
                name=name, component=component, cite=cite, aliases=aliases,
                presets=presets or {}, flags=frozenset(flags), revision=revision,
            )  # fmt: skip
            for word in (name, *aliases):
                if word in self._names:
                    other = self._cards[self._names[word]].component
                    raise SpecError(
                        f"the {self.kind} name {word!r} is registered twice: by {_origin(other)} and by "
                        f"{_origin(component)}. Give one of them another name."
                    )
            self._cards[name] = card
            self._names.update(dict.fromkeys((name, *aliases), name))
            component.card = card  # pyright: ignore[reportFunctionMemberAccess]
            return component

        return decorate

    def names(self) -> list[str]:
        """Return every name, sorted, without aliases. Imports third-party entry points but none of our own files."""
        return sorted({*self._sources.values(), *self._cards, *self._plugins})

    def card(self, name: str) -> Card[T]:
        """Return what is registered under a name or alias.

        Raises:
            UnknownNameError: with the nearest names.
        """
        if name not in self._names:
            if name in self._modules:
                importlib.import_module(self._modules[name])
            elif name in self._plugins:
                self._plugins[name].load()
                if name not in self._names:
                    raise SpecError(
                        f"the entry point {name!r} of the group {self.package!r} loads {self._plugins[name].value}, "
                        f"which registers no {self.kind} of that name."
                    )
        if name not in self._names:
            raise UnknownNameError(self.kind, name, {*self._modules, *self._names, *self._plugins})
        return self._cards[self._names[name]]

    def cards(self) -> Iterator[Card[T]]:
        """Yield every card in the order of names; imports every file of the package."""
        return (self.card(name) for name in self.names())

    def build(self, spec: object, where: str = "") -> T:
        """Return a configured component.

        Args:
            spec: a component already built; a name; a composition such as ``"stochastic(margin, beta=1)"``; or a
                mapping with ``name``, optionally ``preset``, and settings.
            where: prefix of error messages, e.g. ``"study.strategy[2]"``.

        Raises:
            UnknownNameError: no such component or preset.
            SpecError: an unknown, missing, mistyped or impossible setting.
        """
        if isinstance(spec, str):
            spec = self._parse(spec, where)
        if not isinstance(spec, Mapping):
            if getattr(type(spec), "registry", None) is self:
                return typing.cast("T", spec)
            if hasattr(type(spec), "card") or callable(getattr(spec, "select", None) or getattr(spec, "fit", None)):
                return typing.cast("T", spec)
            raise SpecError(f"{_at(where)}expected the name of a {self.kind} or a table with a name, got {spec!r}.")
        settings = dict(spec)
        name = settings.pop("name", None)
        if not isinstance(name, str):
            raise SpecError(f"{_at(where)}expected a key 'name' with the name of a {self.kind}, got {dict(spec)!r}.")
        card = self.card(name)
        # `describe` writes the revision beside the settings: what was recorded is built again only as the same rule.
        revision = card.revision
        if "revision" not in {f.name for f in _fields(card.component)}:
            revision = settings.pop("revision", revision)
        if revision != card.revision:
            raise SpecError(
                f"{_at(where)}this was written for revision {revision!r} of {name}; installed is revision "
                f"{card.revision}, which picks differently."
            )
        if (preset := settings.pop("preset", name if name in card.presets else None)) is not None:
            if not isinstance(preset, str) or preset not in card.presets:
                raise UnknownNameError(f"preset of {name}", str(preset), card.presets, where)
            settings = {**card.presets[preset], **settings}
        return configure(card.component, settings, f"{where + ': ' if where else ''}{name}")

    def _parse(self, text: str, where: str) -> Mapping[str, object]:
        """Read ``name`` or ``name(base, key=value)``; positional arguments fill the fields in order."""
        try:
            tree = ast.parse(text.strip(), mode="eval").body
        except (SyntaxError, ValueError):
            tree = None
        try:
            return typing.cast("Mapping[str, object]", self._node(tree))
        except UsageError:
            raise
        except (ValueError, TypeError) as error:
            example = "stochastic(margin, beta=1)"
            raise SpecError(
                f"{_at(where)}cannot read {text!r} as a {self.kind} such as {example!r}: {error}."
            ) from None

    def _node(self, node: ast.AST | None) -> object:
        if isinstance(node, ast.Name):
            return {"name": node.id}
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            fields = [f.name for f in _fields(self.card(node.func.id).component)]
            if len(node.args) > len(fields):
                raise ValueError(f"{node.func.id} takes at most {len(fields)} settings")
            settings = {field: self._value(arg) for field, arg in zip(fields, node.args, strict=False)}
            for keyword in node.keywords:
                if keyword.arg is None or keyword.arg in settings:
                    raise ValueError(f"{keyword.arg or '**'} is given twice or is no setting")
                settings[keyword.arg] = self._value(keyword.value)
            return {"name": node.func.id, **settings}
        raise ValueError("expected a name or name(setting=value)")

    def _value(self, node: ast.AST) -> object:
        if isinstance(node, ast.List | ast.Tuple):
            return [self._value(part) for part in node.elts]
        if isinstance(node, ast.Name) and node.id in _TRUTH:
            return _TRUTH[node.id]
        if isinstance(node, ast.Name | ast.Call):
            return self._node(node)
        try:
            return ast.literal_eval(node)
        except ValueError:
            raise ValueError(
                f"expected a number, a name, a list, or text in quotes such as path='file.npy', got {ast.unparse(node)}"
            ) from None

    @cached_property
    def _modules(self) -> dict[str, str]:
        """Names and aliases of our own files -> the module that registers them."""
        return {word: module for module, names in self._scan().items() for words in names for word in words}

    @cached_property
    def _sources(self) -> dict[str, str]:
        """Module -> name; one file may register several names."""
        return {f"{module}:{words[0]}": words[0] for module, names in self._scan().items() for words in names}

    def _scan(self) -> dict[str, list[list[str]]]:
        found: dict[str, list[list[str]]] = {}
        for module, source in _python_files(files(self.package), self.package):
            if "@register(" in source:
                tree = ast.parse(source)
                found[module] = [list(_words(call)) for call in map(_registration, ast.walk(tree)) if call]
        return found

    @cached_property
    def _plugins(self) -> dict[str, Any]:
        plugins: dict[str, Any] = {}
        for point in entry_points(group=self.package):
            other = self._modules.get(point.name) or (plugins[point.name].value if point.name in plugins else None)
            if other:
                raise SpecError(
                    f"the {self.kind} name {point.name!r} is offered twice: by {other} and by the entry point "
                    f"{point.value}. Uninstall one of them, or rename it."
                )
            plugins[point.name] = point
        return plugins


def configure(component: Callable[..., T], settings: Mapping[str, object], where: str = "") -> T:
    """Return ``component(**settings)`` after checking names and types against its fields.

    Raises:
        UnknownNameError: a setting the component does not have.
        SpecError: a missing or mistyped setting, or one the component itself refuses.
    """
    fields = {f.name: f for f in _fields(component)}
    for key in settings:
        if key not in fields:
            raise UnknownNameError("setting", key, fields, where)
    hints = typing.get_type_hints(component)
    values = {key: _convert(value, hints.get(key, Any), f"{where}.{key}") for key, value in settings.items()}
    missing = [name for name, f in fields.items() if f.default is _NONE and name not in values]
    if missing:
        raise SpecError(f"{_at(where)}the settings {', '.join(missing)} are required.")
    try:
        return component(**values)
    except SpecError as error:
        raise SpecError(f"{_at(where)}{error}") from None


def describe(component: object) -> dict[str, object]:
    """Return the full resolved configuration of a component: name, revision and every setting, as JSON values."""
    card: Card[Any] | None = vars(type(component)).get("card")  # its own: a subclass is another component
    described: dict[str, object] = {"name": card.name if card else type(component).__qualname__}
    if card and card.revision != 1:
        described["revision"] = card.revision
    if dataclasses.is_dataclass(component):
        hints = typing.get_type_hints(type(component))
        described |= {
            f.name: _json(getattr(component, f.name), hints[f.name]) for f in dataclasses.fields(component) if f.init
        }
    return described


def digest(value: object) -> str:
    """Return the hex digest of a JSON value: 32 characters, the same on every machine."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return blake2b(text.encode(), digest_size=16).hexdigest()


_NONE = dataclasses.MISSING
_TRUTH = {"true": True, "false": False}
"""As TOML and JSON write them; Python's own words are read anyway."""


def _fields(component: Callable[..., Any]) -> list[Any]:
    """The settings of a dataclass, or the keyword parameters of a function, each with `name` and `default`."""
    if dataclasses.is_dataclass(component):
        return [
            types.SimpleNamespace(name=f.name, default=f.default if f.default_factory is _NONE else None)
            for f in dataclasses.fields(component) if f.init
        ]  # fmt: skip
    return [
        types.SimpleNamespace(name=p.name, default=_NONE if p.default is p.empty else p.default)
        for p in inspect.signature(component).parameters.values()
    ]


def _convert(value: object, hint: Any, where: str) -> object:
    """Return `value` if it fits the annotation, nested components built; numbers may widen, nothing else is coerced."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal and isinstance(value, Mapping) and value.keys() == {"name"}:
        value = value["name"]  # a bare word of a composition, which reads like the name of a component
    if origin in (typing.Union, types.UnionType):
        for option in args:
            try:
                return _convert(value, option, where)
            except SpecError:
                continue
    elif hint is Any or (origin is typing.Literal and value in args) or (hint is type(None) and value is None):
        return value
    elif origin is tuple and isinstance(value, list | tuple):
        if args[1:] == (...,):
            return tuple(_convert(v, args[0], f"{where}[{i}]") for i, v in enumerate(value))
        if len(args) == len(value):
            return tuple(_convert(v, a, f"{where}[{i}]") for i, (v, a) in enumerate(zip(value, args, strict=True)))
    elif isinstance(hint, type):
        nested: Registry[Any] | None = getattr(hint, "registry", None)
        if nested is not None:
            built = nested.build(value, where)
            if isinstance(built, hint):
                return built
            raise SpecError(f"{where}: expected a {hint.__name__}, but {value!r} is not one.")
        if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
            if not math.isfinite(value):
                raise SpecError(f"{where}: expected a finite number, got {value!r}.")
            return float(value)
        if isinstance(value, hint) and (hint is bool or not isinstance(value, bool)):
            return value
    elif origin is not None and isinstance(origin, type) and isinstance(value, origin):
        return value
    raise SpecError(f"{where}: expected {_name(hint)}, got {value!r}.")


def _name(hint: Any) -> str:
    if typing.get_origin(hint) is typing.Literal:
        return " or ".join(repr(a) for a in typing.get_args(hint))
    return hint.__name__ if isinstance(hint, type) and not typing.get_args(hint) else str(hint).replace("typing.", "")


def _json(value: object, hint: Any = None) -> object:
    # 1 and 1.0 are equal settings and must have one digest.
    if type(value) is int and float in (hint, *typing.get_args(hint)) and int not in typing.get_args(hint):
        return float(value)
    if dataclasses.is_dataclass(value):
        return describe(value)
    if isinstance(value, tuple | list):
        args = typing.get_args(hint)
        inner = args if len(args) == len(value) and ... not in args else (args[:1] or (None,)) * len(value)
        return [_json(v, h) for v, h in zip(value, inner, strict=True)]
    if isinstance(value, Mapping):
        return {str(k): _json(v) for k, v in value.items()}
    return value


def _python_files(folder: Traversable, package: str) -> Iterator[tuple[str, str]]:
    for entry in sorted(folder.iterdir(), key=lambda e: e.name):
        if entry.is_dir() and not entry.name.startswith("_"):
            if not (entry / "base.py").is_file():  # a folder with a base of its own belongs to another registry
                yield from _python_files(entry, f"{package}.{entry.name}")
        elif entry.name.endswith(".py") and not entry.name.startswith("_"):
            yield f"{package}.{entry.name.removesuffix('.py')}", entry.read_text(encoding="utf-8")


def _registration(node: ast.AST) -> ast.Call | None:
    if isinstance(node, ast.ClassDef | ast.FunctionDef):
        for call in node.decorator_list:
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "register":
                return call
    return None


def _words(call: ast.Call) -> Iterator[str]:
    yield ast.literal_eval(call.args[0])
    for keyword in call.keywords:
        if keyword.arg == "aliases":
            yield from ast.literal_eval(keyword.value)


def _origin(component: Callable[..., Any]) -> str:
    return f"{component.__module__}.{getattr(component, '__qualname__', component)}"


def _at(where: str) -> str:
    return f"{where}: " if where else ""
