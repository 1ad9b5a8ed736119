"""``querist strategies|learners|encoders|datasets``: what there is, and what each needs."""

import dataclasses
import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer
from rich.table import Table

from querist.cli.output import emit, out
from querist.data.dataset import datasets
from querist.encoders.base import encoders
from querist.learners.base import learners
from querist.registry import Card, Registry
from querist.strategies.base import State, Strategy, strategies

KINDS: dict[str, Registry[Any]] = {
    "strategies": strategies, "learners": learners, "encoders": encoders, "datasets": datasets,
}  # fmt: skip


def command(kind: str) -> Callable[..., None]:
    """Return the command that lists one registry."""

    def show(
        name: Annotated[str | None, typer.Argument(help="Explain this one.")] = None,
        as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
    ) -> None:
        registry = KINDS[kind]
        cards = list(registry.cards()) if name is None else [registry.card(name)]
        if as_json:
            emit({kind: [described(card) for card in cards]})
        elif name is None:
            out.print(_table(kind, cards))
        else:
            _explain(cards[0])

    return show


def described(card: Card[Any]) -> dict[str, Any]:
    """Return a card as JSON values."""
    return {
        "name": card.name,
        "summary": card.summary,
        "aliases": list(card.aliases),
        "flags": sorted(card.flags),
        "presets": {name: dict(settings) for name, settings in card.presets.items()},
        "settings": settings(card),
        "needs": needs(card),
        "cite": card.cite,
        "revision": card.revision,
    }


def settings(card: Card[Any]) -> dict[str, str]:
    """Return the settings of a component with their types and defaults, as text."""
    if dataclasses.is_dataclass(card.component):
        pairs = [(f.name, f.type, f.default) for f in dataclasses.fields(card.component) if f.init]
    else:
        parameters = inspect.signature(card.component).parameters.values()
        pairs = [(p.name, p.annotation, dataclasses.MISSING if p.default is p.empty else p.default) for p in parameters]
    return {
        name: f"{_type(kind)}" + ("" if default is dataclasses.MISSING else f" = {default!r}")
        for name, kind, default in pairs
    }


def needs(card: Card[Any]) -> list[str]:
    """Return what a strategy wants to know once there is a model; wrappers say those of their base."""
    component = card.component
    if not (isinstance(component, type) and issubclass(component, Strategy)):
        return []
    required = [f for f in dataclasses.fields(component) if f.init and f.default is dataclasses.MISSING]  # pyright: ignore[reportArgumentType]
    if required:
        return ["those of the strategy it wraps"]
    return [str(need) for need in component().needs_at(State(round=0, n_labelled=1, has_model=True))]


def _table(kind: str, cards: list[Card[Any]]) -> Table:
    table = Table(title=kind, title_justify="left", box=None, pad_edge=False)
    columns = ["name", "what it does"] + (["needs", "flags"] if kind == "strategies" else [])
    for column in columns:
        table.add_column(column, overflow="fold")
    for card in cards:
        more = [", ".join(needs(card)) or "nothing", ", ".join(sorted(card.flags))] if kind == "strategies" else []
        table.add_row(card.name, card.summary, *more)
    return table


def _explain(card: Card[Any]) -> None:
    out.print(f"[bold]{card.name}[/]" + (f"  (also: {', '.join(card.aliases)})" if card.aliases else ""))
    out.print(inspect.getdoc(card.component) or "", markup=False, highlight=False)
    for title, pairs in (("settings", settings(card)), ("presets", {k: str(dict(v)) for k, v in card.presets.items()})):
        if pairs:
            out.print(f"\n[bold]{title}[/]")
            for name, text in pairs.items():
                out.print(f"  {name}: {text}", markup=False, highlight=False)
    for title, text in (
        ("needs", ", ".join(needs(card))),
        ("flags", ", ".join(sorted(card.flags))),
        ("source", card.cite),
    ):
        if text:
            out.print(f"\n[bold]{title}[/]: ", end="")
            out.print(text, markup=False, highlight=False)


def _type(kind: Any) -> str:
    return kind.__name__ if isinstance(kind, type) else str(kind).replace("typing.", "")
