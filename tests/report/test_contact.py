"""The contact sheet: what each pick stands for, counted by hand; and a page that is whole, safe and closed."""

import re
from base64 import b64decode
from html.parser import HTMLParser
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from PIL import Image

from querist.data.dataset import SetAside
from querist.errors import BudgetError
from querist.progress import listening
from querist.report.contact import EXAMPLES, MOST, contact_sheet, kind_of
from querist.report.contact_page import LISTED, contact_page, write_contact_sheet
from querist.report.maps import embedding_map
from querist.seeds import Seed

HOSTILE = '"><script>alert(1)</script>'
KEY = Seed(0).key()


def features(n=60, d=5, entropy=0):
    return np.random.default_rng(entropy).normal(size=(n, d)).astype(np.float32)


def photo(item: int) -> np.ndarray:
    return np.full((90, 200, 3), [item % 256, 40, 90], np.uint8)


def sheet(x, picks, candidates=None, **changes):
    candidates = np.arange(len(x)) if candidates is None else candidates
    given = {"name": "item {}".format, "reasons": ["why"] * len(picks)} | changes
    return contact_sheet("photos", x, candidates, np.asarray(picks), **given)


class Reader(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.text = [], [], ""
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "wbr"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def all(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]


@settings(max_examples=30)
@given(st.integers(1, 40), st.integers(0, 10_000))
def test_what_picks_stand_for_is_counted_by_hand(n, entropy):
    rng = np.random.default_rng(entropy)
    x = rng.integers(-3, 4, (n, 2)).astype(np.float32)
    candidates = np.sort(rng.permutation(n)[: rng.integers(1, n + 1)])
    picks = rng.permutation(candidates)[: rng.integers(1, len(candidates) + 1)]
    groups = [[] for _ in picks]
    for item in candidates.tolist():
        gaps = [float(np.square(x[item] - x[pick]).sum()) for pick in picks]
        owner = list(picks).index(item) if item in picks else int(np.argmin(gaps))
        groups[owner].append((gaps[owner], item))
    made = sheet(x, picks, candidates, name=str)
    assert list(made.stands_for) == [len(group) for group in groups]
    assert sum(made.stands_for) == made.pool == len(candidates)
    for card, group, pick in zip(made.cards, groups, picks.tolist(), strict=True):
        others = [str(item) for _, item in sorted(group) if item != pick]
        names = [example.name for example in card.examples]
        assert card.item.name == str(pick)
        assert names == [name for name in others if name in names]  # nearest first
        assert len(names) == min(EXAMPLES, len(others))
        if others:
            assert names[0] == others[0]
            assert len(names) == 1 or names[-1] == others[-1]


def test_progress_is_told_and_pictures_are_read_once_each():
    seen, heard = [], []

    def picture(item):
        seen.append(item)
        return photo(item)

    with listening(lambda *news: heard.append(news)):
        made = sheet(features(), [3, 1, 4], picture=picture)
    assert heard[-1] == ("contact sheet", 3, 3)
    assert len(seen) == 3 + sum(len(card.examples) for card in made.cards)


def test_no_picks_are_refused():
    with pytest.raises(BudgetError, match="at least one pick"):
        sheet(features(), np.empty(0, np.int64))


@pytest.fixture(scope="module")
def page():
    x, picks = features(), np.array([3, 1, 4, 15])
    drawn = embedding_map(x, np.arange(60), picks, KEY)
    made = sheet(
        x, picks, picture=photo, map=drawn, notices=["the encoder was another one"],
        facts={"features": "handcrafted", "strategy": "typiclust", "seed": "7"},
        set_aside=[SetAside(HOSTILE, "cut short: of it"), SetAside("b.jpg", "near copy of c.jpg")],
        name=lambda i: f"{HOSTILE}/{i}.jpg",
    )  # fmt: skip
    return contact_page(made)


def test_the_page_holds_everything_and_fetches_nothing(page):
    read = Reader(page)
    assert "http" not in page.replace("http-equiv", "")
    assert not re.search(r"@import|url\(", page)
    (policy,) = [meta["content"] for meta in read.all("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script" not in policy
    for words in ("4 picks from 60 images", "the encoder was another one", "handcrafted", "Why.", "near copy (1)"):
        assert words in read.text
    counts = [int(n) for n in re.findall(r"stands for (\d+) \(", read.text)]
    assert len(counts) == 4
    assert sum(counts) == 60


def test_hostile_names_stay_text(page):
    read = Reader(page)
    assert not read.all("script")
    assert HOSTILE not in page
    assert read.text.count(HOSTILE) >= 5


def test_every_picture_decodes_and_has_words(page):
    images = Reader(page).all("img")
    assert images
    sizes = []
    for image in images:
        assert "alt" in image
        kind, data = re.fullmatch(r"data:image/(png|jpeg);base64,(.+)", image["src"]).groups()
        with Image.open(BytesIO(b64decode(data))) as decoded:
            decoded.load()
            assert decoded.format == kind.upper()
            sizes.append(decoded.size)
    assert sizes.count((160, 72)) == 4
    # A picture keeps its shape and about its colour.
    with Image.open(BytesIO(b64decode(images[4]["src"].partition(",")[2]))) as first:
        assert np.abs(np.asarray(first.convert("RGB"), int) - [3, 40, 90]).max() < 6


def test_pins_and_cards_point_at_each_other(page):
    read = Reader(page)
    names = {attrs["id"] for _, attrs in read.elements if "id" in attrs}
    links = [attrs["href"] for attrs in read.all("a")]
    assert {f"#p{i}" for i in range(1, 5)} | {f"#m{i}" for i in range(1, 5)} <= set(links)
    assert {link[1:] for link in links} <= names
    assert "main:has(#p4:hover) #m4" in page
    places = [re.findall(r"[\d.]+(?=%)", attrs["style"]) for attrs in read.all("a") if attrs.get("class") == "pin"]
    assert len(places) == 4
    assert all(0 < float(value) < 100 for place in places for value in place)


def test_without_pictures_and_map_it_shows_keys():
    read = Reader(contact_page(sheet(features(), [0, 9], reasons=())))
    assert not read.all("img")
    assert "item 9" in read.text
    assert "#map" not in [attrs["href"] for attrs in read.all("a")]
    assert "2 picks from 60 items" in read.text


def test_long_lists_are_cut_and_say_so():
    x = features(n=MOST + 30)
    aside = [SetAside(f"{i}.jpg", "empty: it is") for i in range(LISTED + 5)]
    made = sheet(x, np.arange(MOST + 10), set_aside=aside)
    assert len(made.cards) == MOST
    assert sum(made.stands_for) == len(x)
    text = Reader(contact_page(made)).text
    assert "10 more picks not shown here" in text
    assert "5 more are in set_aside.csv" in text
    assert f"{LISTED + 5} files of the source cannot be picked: empty (205)" in text


def test_it_is_written_whole_and_alike(tmp_path):
    made = sheet(features(), [1, 2], picture=photo)
    path = write_contact_sheet(tmp_path / "new" / "picks.html", made)
    assert path.read_text() == contact_page(made) == contact_page(sheet(features(), [1, 2], picture=photo))


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("near copy of a: b.jpg", "near copy"), ("same content as x.png", "same content"),
        ("cut short: Truncated File Read", "cut short"), ("an empty folder", "an empty folder"),
    ],
)  # fmt: skip
def test_kinds_of_reasons(reason, kind):
    assert kind_of(SetAside("f", reason)) == kind
