"""Small pieces of HTML, everything escaped unless it is HTML already."""

from collections.abc import Iterable, Mapping
from html import escape
from importlib.resources import files

from querist.analysis.judge import Verdict

Attributes = Mapping[str, object]


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def html(value: object) -> Html:
    """Return text escaped for content and attribute values alike; `Html` as it is."""
    return value if isinstance(value, Html) else Html(escape(str(value), quote=True))


def join(parts: Iterable[object]) -> Html:
    """Return pieces one after the other."""
    return Html("".join(html(part) for part in parts))


def tag(name: str, attributes: Attributes | None = None, *content: object) -> Html:
    """Return one element with a closing tag; an attribute that is None is left out.

    >>> tag("p", {"class": "small", "id": None}, "a < b")
    '<p class="small">a &lt; b</p>'
    """
    return Html(f"<{name}{_written(attributes)}>{join(content)}</{name}>")


def void(name: str, attributes: Attributes) -> Html:
    """Return an element that has no content, such as an image."""
    return Html(f"<{name}{_written(attributes)}>")


def document(title: str, policy: str, styles: Iterable[str], *body: object, comment: str = "") -> str:
    """Return a whole page that fetches nothing.

    Args:
        title: of the browser's tab.
        policy: what the page may load and run, as a Content-Security-Policy.
        styles: style sheets, written into the page.
        body: its content.
        comment: said before the page.
    """
    head = tag(
        "head", None,
        Html('<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'),
        Html('<meta name="color-scheme" content="light dark">'),
        void("meta", {"http-equiv": "Content-Security-Policy", "content": Html(policy)}),
        tag("title", None, title),
        *(tag("style", None, Html(style)) for style in styles),
    )  # fmt: skip
    note = f"<!-- {comment} -->\n" if comment else ""
    return f"<!doctype html>\n{note}" + tag("html", {"lang": "en"}, head, tag("body", None, *body))


def resource(name: str) -> str:
    """Return a style sheet or a script that lies beside this file."""
    return (files("querist.report") / name).read_text(encoding="utf-8")


def table(caption: str, heads: list[tuple[str, str]], rows: Iterable[tuple[str, list[object]]]) -> Html:
    """Return a table that scrolls on its own where the screen is narrow.

    Args:
        caption: what it shows.
        heads: heading and class of each column; the first column names the row.
        rows: class of the row and its cells.
    """
    head = tag("tr", None, *(tag("th", {"scope": "col", "class": style or None}, text) for text, style in heads))
    body = [
        tag(
            "tr",
            {"class": row_style or None},
            tag("th", {"scope": "row"}, cells[0]),
            *(tag("td", {"class": s or None}, cell) for cell, (_, s) in zip(cells[1:], heads[1:], strict=True)),
        )
        for row_style, cells in rows
    ]
    inner = tag("table", None, tag("caption", None, caption), tag("thead", None, head), tag("tbody", None, *body))
    return tag("div", {"class": "scroll", "role": "region", "tabindex": "0", "aria-label": caption}, inner)


def mark(verdict: Verdict) -> Html:
    """Return the sign of a verdict: the shape it has in the forest plot, in the colour of the text."""
    shapes = {
        "better": '<path d="M8 2 15 14H1z"/>', "worse": '<path d="M8 14 1 2h14z"/>',
        "equivalent": '<path d="M2 2h12v12H2z"/>', "undecided": '<circle cx="8" cy="8" r="6.5"/>',
        "withheld": '<path d="M6 1h4v5h5v4h-5v5H6v-5H1V6h5z"/>',
    }  # fmt: skip
    return Html(f'<svg class="mark" viewBox="0 0 16 16" fill="currentColor" aria-hidden="true">{shapes[verdict]}</svg>')


def swatch(dash: Iterable[int], light: str, dark: str) -> Html:
    """Return a short line in an arm's dash and colours."""
    return Html(
        f'<svg class="swatch" style="--on-light:{html(light)};--on-dark:{html(dark)}" viewBox="0 0 28 8" '
        'aria-hidden="true"><line x1="1" y1="4" x2="27" y2="4" stroke="currentColor" stroke-width="3" '
        f'stroke-dasharray="{",".join(map(str, dash))}"/></svg>'
    )


def _written(attributes: Attributes | None) -> str:
    return "".join(f' {key}="{html(value)}"' for key, value in (attributes or {}).items() if value is not None)
