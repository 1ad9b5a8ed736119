"""``querist strategies|learners|encoders|datasets``: what there is, and what each needs."""

import inspect
import re
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from rich.table import Table

from querist.cli.output import emit, err, out
from querist.data.dataset import datasets
from querist.encoders.base import encoders
from querist.errors import UnknownNameError, UsageError
from querist.evidence.needs import Need
from querist.learners.base import learners
from querist.registry import Card, Registry
from querist.session.pairing import needs_of, starts, unmet
from querist.strategies.base import FAMILIES, REGIMES, strategies
from querist.strategies.guide import ADVICE, plain, settings_of

KINDS: dict[str, Registry[Any]] = {
    "strategies": strategies, "learners": learners, "encoders": encoders, "datasets": datasets,
}  # fmt: skip

_NEEDS: dict[str, type[Need[Any]]] = {kind.__name__.lower(): kind for kind in Need.__subclasses__()}
"""The vocabulary of needs, by name."""

Name = Annotated[str | None, typer.Argument(help="Explain this one.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


def command(kind: str) -> Callable[..., None]:
    """Return the command that lists one registry."""

    def show(name: Name = None, as_json: AsJson = False) -> None:
        registry = KINDS[kind]
        cards = list(registry.cards()) if name is None else [registry.card(name)]
        if as_json:
            emit({kind: [described(card) for card in cards]})
        elif name is None:
            out.print(_table(kind, cards))
        else:
            _explain(cards[0])

    return list_strategies if kind == "strategies" else show


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which strategies to list; None and False do not restrict.

    Raises:
        UnknownNameError: there is no such family, regime or need.
    """

    family: str | None = None
    regime: str | None = None
    need: str | None = None
    cold: bool = False

    def __post_init__(self) -> None:
        known = {"family": FAMILIES, "regime": tuple(REGIMES), "need": tuple(_NEEDS)}
        for kind, names in known.items():
            if (name := getattr(self, kind)) is not None and name.lower() not in map(str.lower, names):
                raise UnknownNameError(kind, name, names)

    def __call__(self, card: Card[Any]) -> bool:
        """Return whether a strategy is wanted."""
        component, built = card.component, plain(card)
        if self.family and component.family != self.family.lower():  # pyright: ignore[reportFunctionMemberAccess]
            return False
        if self.regime and self.regime.upper() not in component.regimes:  # pyright: ignore[reportFunctionMemberAccess]
            return False
        if isinstance(built, str):
            return not (self.need or self.cold)
        if self.need and _NEEDS[self.need.lower()] not in map(type, needs_of(built)):
            return False
        return not self.cold or starts(built)


def list_strategies(
    name: Name = None,
    learner: Annotated[
        str | None,
        typer.Option("--for", help="Only those whose needs this learner meets on frozen features.", show_default=False),
    ] = None,
    cold: Annotated[bool, typer.Option("--cold", help="Only those that can choose the very first labels.")] = False,
    family: Annotated[
        str | None, typer.Option(help=f"Only this kind: {', '.join(FAMILIES)}.", show_default=False)
    ] = None,
    regime: Annotated[
        str | None,
        typer.Option(
            help="Only those at home with so many labels: " + "; ".join(f"{k} {v}" for k, v in REGIMES.items()) + ".",
            show_default=False,
        ),
    ] = None,
    need: Annotated[
        str | None, typer.Option(help=f"Only those that need this: {', '.join(sorted(_NEEDS))}.", show_default=False)
    ] = None,
    why: Annotated[
        bool, typer.Option("--why", help="With --for: say of each that is left out what is missing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    if why and learner is None:
        raise UsageError("--why says what --for leaves out: name a learner too, e.g. --for linear --why.")
    if name is not None:
        if learner or cold or family or regime or need:
            raise UsageError(f"filters choose from the list: leave {name!r} out, or leave them out to explain it.")
        card = strategies.card(name)
        return emit({"strategies": [described(card)]}) if as_json else _explain(card)
    wanted = Wanted(family=family, regime=regime, need=need, cold=cold)
    cards = [card for card in strategies.cards() if wanted(card)]
    left_out = {} if learner is None else _left_out(cards, learner)
    cards = [card for card in cards if card.name not in left_out]
    if as_json:
        more = {} if learner is None else {"left_out": left_out}
        return emit({"strategies": [described(card) for card in cards], **more})
    if cards:
        out.print(_table("strategies", sorted(cards, key=_family_first)))
    else:
        err.print("No strategy meets all of this.")
    for left, reason in left_out.items() if why else ():
        err.print(f"{left}: {reason}", markup=False, highlight=False, soft_wrap=True)
    if left_out:
        hint = "" if why else " --why says what each lacks."
        words = f"{len(left_out)} left out: {learner} does not give all they need.{hint}"
        err.print(words, markup=False, highlight=False)
    return None


def described(card: Card[Any]) -> dict[str, Any]:
    """Return a card as JSON values."""
    entry = {
        "name": card.name,
        "summary": card.summary,
        "aliases": list(card.aliases),
        "flags": sorted(card.flags),
        "presets": {name: dict(settings) for name, settings in card.presets.items()},
        "settings": settings_of(card.component),
        "needs": needs(card),
        "cite": card.cite,
        "revision": card.revision,
    }
    if card.name in strategies.names() and strategies.card(card.name) is card:
        component, built = card.component, plain(card)
        entry["family"], entry["regimes"] = component.family, list(component.regimes)  # pyright: ignore[reportFunctionMemberAccess]
        entry["cold"] = None if isinstance(built, str) else starts(built)
    return entry


def needs(card: Card[Any]) -> list[str]:
    """Return what a strategy must know once there is a model; wrappers say those of their default base."""
    if getattr(card.component, "registry", None) is not strategies:
        return []
    built = plain(card)
    return ["it depends on its settings"] if isinstance(built, str) else [str(need) for need in needs_of(built)]


def _left_out(cards: Sequence[Card[Any]], learner: str) -> dict[str, str]:
    """The strategies among these that a learner does not fit, and why."""
    provider, found = learners.build(learner), {}
    for card in cards:
        built = plain(card)
        reasons = [built] if isinstance(built, str) else unmet(built, provider)
        if reasons:
            found[card.name] = "; ".join(reasons)
    return found


def _family_first(card: Card[Any]) -> tuple[int, str]:
    family = card.component.family  # pyright: ignore[reportFunctionMemberAccess]
    return (*FAMILIES, family).index(family), card.name


def _table(kind: str, cards: Sequence[Card[Any]]) -> Table:
    table = Table(title=kind, title_justify="left", box=None, pad_edge=False)
    columns = ["name", "what it does"] + (["needs", "flags"] if kind == "strategies" else [])
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column == "name")
    family = None
    for card in cards:
        if kind == "strategies" and (its := card.component.family or "other") != family:  # pyright: ignore[reportFunctionMemberAccess]
            family = its
            table.add_row(f"[bold]{family}[/]")
        more = [_kinds(card), ", ".join(sorted(card.flags))] if kind == "strategies" else []
        table.add_row(card.name, _unquoted(card.summary), *more)
    return table


def _kinds(card: Card[Any]) -> str:
    """The kinds of evidence that a strategy needs; which rows and how many is too much for a table."""
    return ", ".join(dict.fromkeys(need.partition("(")[0] for need in needs(card))) or "nothing"


def _unquoted(text: str) -> str:
    """Text of a docstring without the backticks of its markup."""
    return text.replace("`", "")


def _flowing(doc: str, width: int) -> str:
    """A docstring set anew in lines of at most this width: paragraphs, and entries of sections with hanging indents."""
    lines: list[str] = []
    advice = "|".join(ADVICE)
    for block in re.split(rf"\n\s*\n|\n(?=(?:{advice}): )", _unquoted(doc).replace("::\n", ":\n")):
        # A line goes on with the next one, unless that begins an entry of a section or of a list, or an example.
        for line in re.sub(r"\n(?=[^\s*>|-])|\n {8,}(?=\S)", " ", block).splitlines():
            text, indent = line.strip(), line[: len(line) - len(line.lstrip())]
            hanging = indent and f"{indent}    "
            lines += textwrap.wrap(
                text, width, initial_indent=indent, subsequent_indent=hanging, break_on_hyphens=False,
                break_long_words=False,
            )  # fmt: skip
        lines.append("")
    return "\n".join(lines).rstrip()


def _inherited(component: Any) -> dict[str, str]:
    """Return what settings mean that a component has from its bases and does not explain itself."""
    own, *bases = [_attributes(kind) for kind in inspect.getmro(component)] if inspect.isclass(component) else [{}]
    found: dict[str, str] = {}
    for meanings in bases:
        found = {**meanings, **found}
    return {name: text for name, text in found.items() if name not in own}


def _attributes(kind: type) -> dict[str, str]:
    """Return the entries of the section on attributes of a class's own docstring."""
    _, _, section = inspect.cleandoc(kind.__doc__ or "").partition("\nAttributes:\n")
    entries = re.findall(r"^    (\w+): (.*(?:\n {8,}.*)*)", section, re.MULTILINE)
    return {name: re.sub(r"\s+", " ", text) for name, text in entries}


def _explain(card: Card[Any]) -> None:
    out.print(f"[bold]{card.name}[/]" + (f"  (also: {', '.join(card.aliases)})" if card.aliases else ""))
    out.print(_flowing(inspect.getdoc(card.component) or "", out.width), markup=False, highlight=False)
    presets = {name: str(dict(given)) if given else "the settings above" for name, given in card.presets.items()}
    meanings = _inherited(card.component)
    for title, pairs in (("settings", settings_of(card.component)), ("presets", presets)):
        if pairs:
            out.print(f"\n[bold]{title}[/]")
            for name, text in pairs.items():
                out.print(f"  {name}: {text}", markup=False, highlight=False)
                if title == "settings" and name in meanings:
                    meaning = textwrap.indent(_flowing(meanings[name], out.width - 6), " " * 6)
                    out.print(meaning, markup=False, highlight=False)
    is_strategy = getattr(card.component, "registry", None) is strategies
    for title, text in (
        ("family", card.component.family if is_strategy else ""),  # pyright: ignore[reportFunctionMemberAccess]
        ("at home with", "; ".join(REGIMES[name] for name in card.component.regimes) if is_strategy else ""),  # pyright: ignore[reportFunctionMemberAccess]
        ("needs", ", ".join(needs(card))),
        ("flags", ", ".join(sorted(card.flags))),
        ("source", card.cite),
    ):
        if text:
            out.print(f"\n[bold]{title}[/]: ", end="")
            out.print(text, markup=False, highlight=False)
