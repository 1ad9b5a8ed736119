"""What the gallery says in words: flags, regimes, needs, docstrings as HTML, chips."""

import inspect
import re
from collections.abc import Collection
from typing import Any

from querist.evidence.needs import Need
from querist.report.exhibit import Exhibit, page_of
from querist.report.markup import Html, html, join, tag
from querist.report.wording import FLAGS
from querist.strategies.base import REGIMES

FLAG_WORDS = {
    **FLAGS,
    "validation": "uses labels of a validation set, which are charged like any other",
    "images": "needs the images themselves and not features of them alone",
}

RAMP = Html('<span class="ramp" aria-hidden="true"></span>')
BLOB = Html('<span class="blob" aria-hidden="true"></span>')
"""What marks look like in a picture: new picks from the first to the last, and what was labelled before."""

_MARKED = re.compile(r"``(.+?)``|`(\w[\w.]*)`")


def prose(text: str, known: Collection[str], folder: str = "") -> Html:
    """Return a paragraph of a docstring as HTML: code as code, names of strategies as links.

    Args:
        text: the paragraph.
        known: names that have a page.
        folder: of the pages, as seen from the page the text is on; ends in a slash.
    """
    parts: list[object] = []
    at = 0
    for found in _MARKED.finditer(text):
        parts.append(text[at : found.start()])
        code, name = found.groups()
        if name in known:
            parts.append(tag("a", {"href": folder + page_of(name)}, tag("code", None, name)))
        else:
            parts.append(tag("code", None, code or name))
        at = found.end()
    return join([*parts, text[at:]])


def need_names(one: Exhibit) -> list[str]:
    """Return the kinds of evidence a strategy needs once there is a model, each once."""
    return list(dict.fromkeys(type(need).__name__ for need in one.warm))


def need_words(need: Need[Any]) -> str:
    """Return the first sentence of what a need is."""
    text = " ".join(inspect.cleandoc(type(need).__doc__ or "").partition("\n\n")[0].split())
    return re.split(r"(?<=\.)\s", text, maxsplit=1)[0].replace("`", "")


def regime_words(regime: str) -> str:
    """Return ``VL: no labels, or up to 2 per class``."""
    return f"{regime}: {REGIMES[regime]}" if regime in REGIMES else regime


def chips(one: Exhibit) -> Html:
    """Return what one must know at a glance: regimes, a cold start, flags."""
    marks = [tag("li", {"title": regime_words(regime)}, regime) for regime in one.regimes]
    if one.starts:
        marks.append(tag("li", {"title": "it can choose the very first labels"}, "starts cold"))
    marks += [
        tag("li", {"class": "strong", "title": FLAG_WORDS.get(flag)}, flag.replace("_", " "))
        for flag in sorted(one.card.flags)
    ]
    return tag("ul", {"class": "chips", "aria-label": "At a glance"}, *marks) if marks else html("")


def sentence(text: str) -> str:
    """Return a text that begins with a capital letter and ends with a full stop."""
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")
