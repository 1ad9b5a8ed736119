"""The index of the gallery: every strategy with its small picture, and a form that filters them offline."""

from collections.abc import Iterable, Sequence

from querist.report.exhibit import FOLDER, Exhibit
from querist.report.gallery_words import BLOB, RAMP, chips, need_names, prose, regime_words
from querist.report.markup import Html, document, resource, tag, void
from querist.report.toy import BUDGETS, Toy
from querist.report.toy_picture import class_colours, picture, pool_symbol
from querist.strategies.base import FAMILIES, REGIMES

POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'"
SMALL = 2
"""The stage whose picture stands on the card."""


def index_page(found: Sequence[Exhibit], on: Toy) -> str:
    """Return the whole page. Cards carry what the form filters by as ``data-`` attributes."""
    families = sorted({one.family for one in found}, key=lambda name: (*FAMILIES, name).index(name))
    shelves = (_shelf(family, [one for one in found if one.family == family], on) for family in families)
    main = tag(
        "main", None, _header(len(found)), _form(found, families), *shelves,
        tag("footer", None, "Made by Querist from what is registered. This folder needs no network."),
    )  # fmt: skip
    styles = [resource("page.css"), resource("gallery.css"), class_colours()]
    script = tag("script", None, Html(resource("gallery.js")))
    return document("Query strategies · gallery", POLICY, styles, pool_symbol(on), main, script)


def _header(count: int) -> Html:
    return tag(
        "header", None, tag("p", {"class": "eyebrow"}, "Gallery"), tag("h1", None, "What every strategy picks"),
        tag("p", {"class": "lede"}, f"{count} query strategies and initial pools on one toy."),
        tag(
            "p", None,
            f"The points of a plane are in four classes, A to D; D is rare. Each picture shows picks "
            f"{BUDGETS[SMALL - 1] + 1} to {BUDGETS[SMALL]}, shaded from the first ",
            RAMP, " to the last, over what the model said when they were made; ", BLOB, " was labelled before. "
            "One toy and one seed show the manner of a strategy, not its worth.",
        ),
    )  # fmt: skip


def _form(found: Sequence[Exhibit], families: Iterable[str]) -> Html:
    kinds = sorted({name for one in found for name in need_names(one)})
    fields = tag(
        "div", {"class": "fields"},
        _labelled("Search", void("input", {"type": "search", "name": "search", "autocomplete": "off"})),
        _labelled("Family", _choice("family", "every family", [(name, name) for name in families])),
        _labelled("Labels you have", _choice("regime", "any number", [(name, regime_words(name)) for name in REGIMES])),
        _labelled("Needs", _choice("need", "anything", [(kind, kind) for kind in kinds])),
        tag(
            "label", {"class": "check"}, void("input", {"type": "checkbox", "name": "cold", "value": "yes"}),
            "starts without labels",
        ),
        tag("button", {"type": "reset"}, "Show all"),
    )  # fmt: skip
    count = tag("p", {"class": "count"}, tag("output", {"aria-live": "polite"}))
    return tag("form", {"hidden": "hidden", "role": "search", "aria-label": "Filter strategies"}, fields, count)


def _labelled(text: str, control: Html) -> Html:
    return tag("label", None, text, control)


def _choice(name: str, every: str, options: Iterable[tuple[str, str]]) -> Html:
    choices = [tag("option", {"value": value}, text) for value, text in (("", every), *options)]
    return tag("select", {"name": name}, *choices)


def _shelf(family: str, members: Sequence[Exhibit], on: Toy) -> Html:
    return tag(
        "section", {"class": "family"}, tag("h2", None, family[:1].upper() + family[1:]),
        tag("ul", {"class": "shelf"}, *(_card(one, on) for one in members)),
    )  # fmt: skip


def _card(one: Exhibit, on: Toy) -> Html:
    summary = (one.guide.rule or ("",))[0]
    searched = " ".join([one.name, *one.card.aliases, one.family, summary, one.card.cite, *sorted(one.card.flags)])
    data = {
        "data-name": one.name, "data-families": one.family, "data-regimes": "|".join(one.regimes),
        "data-needs": "|".join(need_names(one)), "data-starts": "yes" if one.starts else "no",
        "data-flags": "|".join(sorted(one.card.flags)), "data-text": searched.lower(),
    }  # fmt: skip
    needs = ", ".join(need_names(one)) or "nothing"
    return tag(
        "li", data, _small(one, on),
        tag("h3", None, tag("a", {"href": f"{FOLDER}/{one.page}"}, one.name)),
        tag("p", None, prose(_first_sentence(summary), ())),
        tag("p", {"class": "small"}, "needs " + needs), chips(one),
    )  # fmt: skip


def _small(one: Exhibit, on: Toy) -> Html:
    if isinstance(one.shown, str):
        return tag("div", {"class": "none"}, "no picture: it does not run on the toy as it is")
    return picture(one.shown.stages[SMALL], on)


def _first_sentence(text: str) -> str:
    return text.partition(": ")[0] if len(text) > 160 else text
