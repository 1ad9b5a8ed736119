"""Guides for people, read from the docstrings of strategies: the rule, when to use it and when not, the settings."""

import dataclasses
import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from querist.errors import QueristError
from querist.registry import Card
from querist.strategies.base import Strategy

ADVICE = {"Use when": "use", "Avoid when": "avoid", "Pitfalls": "pitfalls"}
"""How a paragraph of advice begins, and the attribute of `Guide` it becomes."""

_SECTION = re.compile(r"(Attributes|Args|Returns|Raises|Yields|Examples?):\n")
_SETTING = re.compile(r"([\w, ]+): (.*)", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Guide:
    """What a docstring says about a strategy.

    Attributes:
        rule: what it does and which identity it has, paragraph by paragraph; the first is the summary.
        use: when to use it; empty if the docstring does not say.
        avoid: when not to.
        pitfalls: what goes wrong with it.
        settings: what each setting means, those of base classes included.
    """

    rule: tuple[str, ...] = ()
    use: str = ""
    avoid: str = ""
    pitfalls: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)


def guide(component: object) -> Guide:
    """Return the guide to a strategy class; advice is the paragraphs that begin with the words of `ADVICE`.

    >>> class Mine:
    ...     '''Wants the brightest rows.
    ...
    ...     Use when: it is dark.
    ...
    ...     Attributes:
    ...         lamp: how strong.
    ...     '''
    >>> guide(Mine).use, guide(Mine).settings
    ('it is dark.', {'lamp': 'how strong.'})
    """
    rule: list[str] = []
    advice: dict[str, str] = {}
    for paragraph in _paragraphs(component):
        words, colon, text = paragraph.partition(": ")
        if colon and words in ADVICE:
            advice[ADVICE[words]] = text
        else:
            rule.append(paragraph)
    settings: dict[str, str] = {}
    for base in reversed(component.__mro__ if isinstance(component, type) else (component,)):
        settings |= _settings(base)
    return Guide(rule=tuple(rule), settings=settings, **advice)


def plain(card: Card[Any]) -> Strategy | str:
    """Return the strategy of a card with its settings at their defaults, or why there is none.

    Settings without a default are the text ``...``: enough to ask for needs, if such a setting is a path.
    """
    try:
        return card.component(**dict.fromkeys(required(card.component), "..."))
    except (TypeError, QueristError) as error:
        return str(error)


def settings_of(component: Any) -> dict[str, str]:
    """Return the settings of a component with their types and defaults, as text: ``{"k": "int = 25"}``."""
    if dataclasses.is_dataclass(component):
        found = [(f.name, f.type, f.default, f.default_factory) for f in dataclasses.fields(component) if f.init]
    else:
        parameters = inspect.signature(component).parameters.values()
        empty = inspect.Parameter.empty
        found = [(p.name, p.annotation, _NONE if p.default is empty else p.default, _NONE) for p in parameters]
    return {name: _type(kind) + _default(value, factory) for name, kind, value, factory in found}


def required(component: Any) -> list[str]:
    """Return the settings of a component that have no default."""
    return [name for name, text in settings_of(component).items() if " = " not in text]


_NONE = dataclasses.MISSING


def _type(kind: Any) -> str:
    return kind.__name__ if isinstance(kind, type) else str(kind).replace("typing.", "")


def _default(value: Any, factory: Any) -> str:
    if value is _NONE and factory is not _NONE:
        value = factory()
    if value is _NONE:
        return ""
    card = vars(type(value)).get("card")
    return f" = {card.name if card else repr(value)}"


def _paragraphs(component: object) -> list[str]:
    """The paragraphs of a docstring before its first section, each on one line."""
    text = inspect.cleandoc(getattr(component, "__doc__", None) or "")
    blocks = re.split(rf"\n\s*\n|\n(?=(?:{'|'.join(ADVICE)}): )", text)
    end = next((i for i, block in enumerate(blocks) if _SECTION.match(block)), len(blocks))
    return [" ".join(block.split()) for block in blocks[:end] if block.strip()]


def _settings(component: object) -> dict[str, str]:
    """The entries of the section ``Attributes`` of one docstring of our own making."""
    text = inspect.cleandoc(vars(component).get("__doc__") or "") if isinstance(component, type) else ""
    _, found, section = text.partition("Attributes:\n")
    if not found:
        return {}
    section = re.split(r"\n(?=\S)", section, maxsplit=1)[0]
    entries = re.split(r"\n(?= {4}\S)", "\n" + section)
    pairs = (_SETTING.fullmatch(" ".join(entry.split())) for entry in entries)
    return {name.strip(): pair[2] for pair in pairs if pair for name in pair[1].split(",")}
