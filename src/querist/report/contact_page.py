"""A contact sheet as one self-contained HTML file: no network, no script, light and dark, fit for paper."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from querist.arrays import Array
from querist.files import write_bytes
from querist.report.contact import Card, ContactSheet, Shown, kind_of
from querist.report.maps import WIDTH, EmbeddingMap, Frame, cloud_path, drawing
from querist.report.markup import Html, document, html, join, resource, table, tag, void

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
NUMBERED = 80
"""Picks up to which the map shows their numbers; more would hide one another."""
LISTED = 200
"""Files that the page lists as set aside; all of them are in the table beside it."""


def write_contact_sheet(path: str | Path, sheet: ContactSheet) -> Path:
    """Write a contact sheet and return its path; the file is there whole or not at all.

    Raises:
        StoreError: the file cannot be written.
    """
    target = Path(path)
    write_bytes(target, contact_page(sheet).encode())
    return target


def contact_page(sheet: ContactSheet) -> str:
    """Return the whole page. The same sheet gives the same bytes."""
    main = tag(
        "main", {"class": "sheet"}, _header(sheet), _notices(sheet), _map(sheet), _cards(sheet), _set_aside(sheet),
        _facts(sheet), tag("footer", None, "Made by Querist. Everything on this page is in this one file."),
    )  # fmt: skip
    styles = [resource("page.css"), resource("contact.css"), *([_links(len(sheet.cards))] if sheet.map else [])]
    return document(f"{sheet.source} · what to label next", POLICY, styles, main)


def _header(sheet: ContactSheet) -> Html:
    parts = [f"{_count(len(sheet.stands_for), 'pick')} from {_count(sheet.pool, sheet.kind)}", *sheet.facts.values()]
    links = [tag("a", {"href": f"#{at}"}, text) for at, text in _sections(sheet)]
    return tag(
        "header", None, tag("p", {"class": "eyebrow"}, "What to label next"), tag("h1", None, sheet.source),
        tag("p", {"class": "lede"}, " · ".join(parts[:3])), tag("nav", {"aria-label": "Sections"}, *links),
    )  # fmt: skip


def _sections(sheet: ContactSheet) -> Iterable[tuple[str, str]]:
    if sheet.map:
        yield "map", "Map"
    yield "picks", "Picks"
    if sheet.set_aside:
        yield "set-aside", f"Set aside ({len(sheet.set_aside):,})"
    yield "how", "How they were chosen"


def _notices(sheet: ContactSheet) -> Html:
    if not sheet.notices:
        return Html("")
    return tag("div", {"class": "notice", "role": "note"}, *(tag("p", None, text) for text in sheet.notices))


def _map(sheet: ContactSheet) -> Html:
    if sheet.map is None:
        return Html("")
    drawn = len(sheet.map.cloud)
    some = f"{drawn:,} of the {_count(sheet.pool, sheet.kind)}" if drawn < sheet.pool else f"the {sheet.kind}s"
    pins = "numbers" if len(sheet.cards) <= NUMBERED else "coloured ones"
    caption = f"Dots are {some}, {pins} are picks; press one to see it. The plane is {sheet.map.words}."
    return tag(
        "section", None, tag("h2", {"id": "map"}, "Where the picks lie"),
        tag("figure", None, tag("figcaption", None, caption), _drawn(sheet.map, sheet.places, sheet.cards)),
    )  # fmt: skip


def _drawn(pool: EmbeddingMap, places: Array, cards: Iterable[Card]) -> Html:
    frame = Frame.around(np.concatenate([pool.cloud, places]))
    cloud = drawing(frame, "The pool as a cloud of dots", cloud_path(frame, pool.cloud))
    share = frame.place(places) / [WIDTH, frame.height]
    pins = [_pin(card, *place) for card, place in zip(cards, share.tolist(), strict=True)]
    return tag("div", {"class": "map many" if len(pins) > NUMBERED else "map"}, cloud, *pins)


def _pin(card: Card, x: float, y: float) -> Html:
    picture = void("img", {"src": card.small, "alt": ""}) if card.small else ""
    return tag(
        "a", {
            "class": "pin", "id": f"m{card.rank}", "href": f"#p{card.rank}", "style": f"left:{x:.2%};top:{y:.2%}",
            "aria-label": f"Pick {card.rank}: {card.item.name}",
        },
        tag("span", {"class": "number"}, card.rank),
        tag("span", {"class": "peek", "aria-hidden": "true"}, picture, tag("span", None, card.item.name)),
    )  # fmt: skip


def _links(count: int) -> str:
    """The style that lets a pick and its place on the map point at each other."""
    pins = ",".join(f"main:has(#p{i}:hover) #m{i}" for i in range(1, count + 1))
    cards = ",".join(f"main:has(#m{i}:hover) #p{i}" for i in range(1, count + 1))
    return f"{pins}{{--pin:var(--ink);z-index:3;transform:translate(-50%,-50%) scale(1.5)}}{cards}{{--edge:var(--ink)}}"


def _cards(sheet: ContactSheet) -> Html:
    largest = max(card.stands_for for card in sheet.cards)
    words = (
        f"In the order picked. Below each: how many of the {_count(sheet.pool, sheet.kind)} are nearer to it than to "
        "any other pick, and some of those, from the nearest to the farthest."
    )
    left_out = len(sheet.stands_for) - len(sheet.cards)
    more = f"{_count(left_out, 'more pick')} not shown here; the table of picks holds all of them."
    return tag(
        "section", None, tag("h2", {"id": "picks"}, "Picks"), tag("p", {"class": "small"}, words),
        tag("ol", {"class": "cards"}, *(_card(card, sheet, largest) for card in sheet.cards)),
        tag("p", {"class": "small"}, more) if left_out else "",
    )  # fmt: skip


def _card(card: Card, sheet: ContactSheet, largest: int) -> Html:
    name = card.item.name
    rank = {"class": "rank", "href": f"#m{card.rank}" if sheet.map else None, "title": "Show it on the map"}
    picture = []
    if card.item.uri:
        image = void("img", {"src": card.item.uri, "alt": f"Pick {card.rank}: {name}", "loading": "lazy"})
        picture = [tag("div", {"class": "photo"}, image)]
    share = f"{100 * card.stands_for / sheet.pool:.1f} %"
    width = f"width:{card.stands_for / largest:.1%}"
    number = tag("a" if sheet.map else "span", rank, card.rank)
    return tag(
        "li", {"id": f"p{card.rank}", "class": "card"},
        *picture,
        tag("h3", {"title": name}, number, tag("span", None, _breakable(name))),
        tag("p", {"class": "why"}, _sentence(card.reason)) if card.reason else "",
        tag("p", {"class": "stands"}, "stands for ", tag("strong", None, f"{card.stands_for:,}"), f" ({share})"),
        tag("div", {"class": "bar", "aria-hidden": "true"}, tag("span", {"style": width})),
        tag("ul", {"class": "near"}, *(_example(shown) for shown in card.examples)) if card.examples else "",
    )  # fmt: skip


def _example(shown: Shown) -> Html:
    if shown.uri is None:
        return tag("li", {"class": "text"}, shown.name)
    return tag("li", None, void("img", {"src": shown.uri, "alt": shown.name, "title": shown.name, "loading": "lazy"}))


def _set_aside(sheet: ContactSheet) -> Html:
    if not sheet.set_aside:
        return Html("")
    kinds = Counter(map(kind_of, sheet.set_aside))
    counts = ", ".join(f"{kind} ({count:,})" for kind, count in kinds.most_common())
    rows: list[tuple[str, list[object]]] = [("", [entry.path, entry.reason]) for entry in sheet.set_aside[:LISTED]]
    rest = len(sheet.set_aside) - len(rows)
    caption = f"{rest:,} more are in set_aside.csv" if rest else "Everything that was set aside"
    return tag(
        "section", None, tag("h2", {"id": "set-aside"}, "Set aside"),
        tag("p", None, f"{_count(len(sheet.set_aside), 'file')} of the source cannot be picked: {counts}."),
        tag(
            "details", {"class": "aside"}, tag("summary", None, "Which, and why"),
            table(caption, [("File", "text"), ("Reason", "text")], rows),
        ),
    )  # fmt: skip


def _facts(sheet: ContactSheet) -> Html:
    terms = (join([tag("dt", None, term), tag("dd", None, text)]) for term, text in sheet.facts.items())
    return tag("section", None, tag("h2", {"id": "how"}, "How they were chosen"), tag("dl", None, *terms))


def _breakable(path: str) -> Html:
    """A path that breaks between folders before it breaks within a name."""
    return Html("/<wbr>".join(html(piece) for piece in path.split("/")))


def _sentence(reason: str) -> str:
    return reason[:1].upper() + reason[1:] + "."


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"
