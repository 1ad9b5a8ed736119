"""Escaping, once and everywhere."""

from html.parser import HTMLParser

from hypothesis import given, strategies as st

from querist.analysis.judge import VERDICTS
from querist.report.markup import Html, html, join, mark, swatch, table, tag, void


class Reader(HTMLParser):
    """Collects text and attributes as a browser would see them."""

    def __init__(self, text):
        super().__init__()
        self.text, self.attributes, self.tags = "", [], []
        self.feed(text)
        self.close()

    def handle_data(self, data):
        self.text += data

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs


printable = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=30)


@given(printable, printable)
def test_any_text_comes_back_as_text(content, attribute):
    read = Reader(tag("p", {"title": attribute}, content))
    assert (read.text, read.attributes, read.tags) == (content, [("title", attribute)], ["p"])


def test_html_is_left_alone_and_text_is_not():
    assert html(Html("<b>")) == "<b>"
    assert html("<b> \"'&") == "&lt;b&gt; &quot;&#x27;&amp;"
    assert join(["<", Html("<br>"), 3]) == "&lt;<br>3"
    assert void("img", {"src": "a", "alt": None}) == '<img src="a">'


def test_table_is_one_that_a_screen_reader_understands():
    text = table("What <it> shows", [("name", "text"), ("value", "")], [("reference", ["a<b", 1]), ("", ["c", 2])])
    read = Reader(text)
    assert ("scope", "col") in read.attributes
    assert read.attributes.count(("scope", "row")) == 2
    assert ("role", "region") in read.attributes
    assert ("tabindex", "0") in read.attributes
    assert ("aria-label", "What <it> shows") in read.attributes
    assert read.tags.count("th") == 4
    assert read.tags.count("td") == 2
    assert "a<b" in read.text


def test_signs_are_hidden_from_screen_readers_because_the_word_stands_beside_them():
    for verdict in VERDICTS:
        assert 'aria-hidden="true"' in mark(verdict)
    assert 'aria-hidden="true"' in swatch((6, 3), "#000000", "#ffffff")
    assert 'stroke-dasharray="6,3"' in swatch((6, 3), "#000000", "#ffffff")
    assert len({mark(v) for v in VERDICTS}) == len(VERDICTS)
