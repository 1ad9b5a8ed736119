"""The gallery: a page for every name, links that lead somewhere, pictures of exactly what a session picks."""

import json
import re
import shutil
import subprocess
import tomllib
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import ClassVar

import pytest

from querist.cli.main import main
from querist.errors import DataError, UnknownNameError
from querist.evidence.needs import Features, PretrainTrace
from querist.progress import listening
from querist.registry import Card
from querist.report.exhibit import FOLDER, exhibit, page_of
from querist.report.gallery import read_costs, write_gallery
from querist.report.gallery_index import index_page
from querist.report.gallery_page import strategy_page
from querist.report.gallery_words import FLAG_WORDS, need_words, prose
from querist.report.toy import BUDGETS, show, toy
from querist.session.pairing import needs_of, starts
from querist.strategies.base import FAMILIES, REGIMES, State, Strategy, strategies
from querist.strategies.guide import plain, required
from querist.studies.spec import parse_study

NAMES = strategies.names()
SHOWN = ("margin", "kmeans_single_batch", "stochastic", "variation_ratio", "class_uniform_oracle", "uherding")
HOSTILE = '"><script>alert(1)</script>'
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Page(HTMLParser):
    """A page whose elements nest properly, with what the tests ask for."""

    VOID = ("meta", "img", "input", "wbr")

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.words, self.blocks = [], [], "", {}
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append((tag, dict(attrs)))

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        if self.open and self.open[-1][0] not in ("style", "script"):
            self.words += data
            if "class" in self.open[-1][1]:
                key = self.open[-1][1]["class"]
                self.blocks[key] = self.blocks.get(key, "") + data

    def all(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]


def pictures(text):
    """Return the ids of the picks of every picture of a page, first picks first; those are drawn last."""
    figures = re.findall(r'<svg class="toy".*?</svg>', text, flags=re.DOTALL)
    return [[int(i) for i in re.findall(r'data-id="(\d+)"', figure)][::-1] for figure in figures]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The whole gallery."""
    heard = []
    out = tmp_path_factory.mktemp("gallery")
    with listening(lambda *news: heard.append(news)):
        assert write_gallery(out) == out / "index.html"
    assert heard[-1] == ("gallery", len(NAMES), len(NAMES))
    return out


@pytest.fixture(scope="module")
def cards(folder):
    """The cards of the index, by name."""
    return {
        attrs["data-name"]: attrs
        for attrs in Page((folder / "index.html").read_text()).all("li")
        if "data-name" in attrs
    }


def test_every_name_has_a_page_and_a_card_and_nothing_else_does(folder, cards):
    assert list(cards) == sorted(cards, key=lambda n: (*FAMILIES, "other").index(cards[n]["data-families"]))
    assert sorted(cards) == NAMES
    assert sorted(path.name for path in (folder / FOLDER).iterdir()) == sorted(map(page_of, NAMES))
    assert {path.name for path in folder.iterdir()} == {"index.html", FOLDER}


def test_pages_are_whole_closed_and_lead_somewhere(folder):
    for path in [folder / "index.html", *(folder / FOLDER).iterdir()]:
        text = path.read_text()
        page = Page(text)
        assert "default-src 'none'" in text
        assert not re.search(r"""(src|href)=["'](https?:)?//""", text)
        known = {attrs["id"] for _, attrs in page.elements if "id" in attrs}
        for attrs in page.all("a") + page.all("use"):
            target, _, anchor = attrs["href"].partition("#")
            assert not target or (path.parent / target).is_file(), f"{path.name}: {attrs['href']}"
            assert target or anchor in known
        assert len(page.all("h1")) == 1
        for attrs in page.all("svg"):
            assert "aria-hidden" in attrs or attrs["aria-label"]


def test_pages_can_be_walked_from_the_first_to_the_last(folder):
    seen, page = [], page_of(NAMES[0])
    while page:
        seen.append(page)
        following = [a for a in Page((folder / FOLDER / page).read_text()).all("a") if a.get("rel") == "next"]
        page = following[0]["href"] if following else None
    assert seen == [page_of(name) for name in NAMES]


def test_cards_carry_what_the_form_filters_by(cards):
    for name, attrs in cards.items():
        card, built = strategies.card(name), plain(strategies.card(name))
        assert not isinstance(built, str)
        assert attrs["data-families"] == card.component.family
        assert attrs["data-regimes"].split("|") == list(card.component.regimes)
        kinds = list(dict.fromkeys(type(need).__name__ for need in needs_of(built)))
        assert attrs["data-needs"] == "|".join(kinds)
        assert attrs["data-starts"] == ("yes" if starts(built) else "no")
        assert attrs["data-flags"] == "|".join(sorted(card.flags))
        for word in (name, *card.aliases):
            assert word.lower() in attrs["data-text"]


def test_the_form_offers_every_family_regime_and_need_that_is_there(folder, cards):
    text = (folder / "index.html").read_text()
    offered = {
        name: re.findall(r'<option value="([^"]+)"', options)
        for name, options in re.findall(r'<select name="(\w+)">(.*?)</select>', text, flags=re.DOTALL)
    }
    assert offered["family"] == [
        family for family in FAMILIES if family in {c["data-families"] for c in cards.values()}
    ]
    assert offered["regime"] == list(REGIMES)
    assert offered["need"] == sorted({need for c in cards.values() for need in c["data-needs"].split("|") if need})


@pytest.mark.parametrize("name", SHOWN)
def test_pictures_show_exactly_what_a_session_picks(folder, name):
    shown = show(strategies.build(name))
    picks = [stage.picks.tolist() for stage in shown.stages]
    assert pictures((folder / FOLDER / page_of(name)).read_text()) == picks
    index = (folder / "index.html").read_text()
    card = index[index.index(f'data-name="{name}"') :].partition("</li>")[0]
    assert pictures(card)[0] == picks[2]


def test_every_strategy_has_its_pictures_unless_it_lacks_a_setting_or_a_pre_training(folder):
    for name in NAMES:
        text = (folder / FOLDER / page_of(name)).read_text()
        if required(strategies.card(name).component):
            assert "It has no defaults for: " in text
        elif any(isinstance(need, PretrainTrace) for need in strategies.build(name).needs_at(State())):
            assert "it kept no statistics of a pre-training" in text
        else:
            found = pictures(text)
            assert len(found) == len(BUDGETS), f"{name}: {Page(text).words[:600]}"
            one_shot = "one_shot" in strategies.card(name).flags
            assert [len(ids) for ids in found] == ([4, 12, 36, 100] if one_shot else [4, 8, 24, 64])


def test_pages_say_rule_advice_settings_needs_flags_and_source(folder):
    for name in NAMES:
        card = strategies.card(name)
        words = " ".join(Page((folder / FOLDER / page_of(name)).read_text()).words.split())
        for part in ("The rule", "Use it when", "Avoid it when", "Pitfalls", "Settings", "What it needs to know"):
            assert part in words, f"{name}: {part}"
        assert card.cite in words
        for flag in card.flags:
            assert flag in FLAG_WORDS
            assert FLAG_WORDS[flag][1:60] in words


def test_studies_and_commands_of_the_pages_are_valid(folder, capsys):
    assert main(["select", "--help"]) == 0
    options = capsys.readouterr().out
    for name in NAMES:
        page = Page((folder / FOLDER / page_of(name)).read_text())
        spec = parse_study(tomllib.loads(page.blocks["toml"]))
        assert spec.study.dataset == "digits"
        if command := page.blocks.get("command"):
            assert name in command
            assert all(word in options for word in re.findall(r"--\w+", command))
        else:
            assert "oracle" in strategies.card(name).flags


def test_the_same_strategies_give_the_same_bytes(folder, tmp_path):
    write_gallery(tmp_path, ["margin", "leastconf"])
    assert sorted(path.stem for path in (tmp_path / FOLDER).iterdir()) == ["least_confidence", "margin"]
    write_gallery(tmp_path / "again", ["least_confidence", "margin"])
    for path in ("index.html", f"{FOLDER}/margin.html"):
        assert (tmp_path / path).read_bytes() == (tmp_path / "again" / path).read_bytes()
    assert pictures((tmp_path / FOLDER / "margin.html").read_text()) == pictures(
        (folder / FOLDER / "margin.html").read_text()
    )
    with pytest.raises(UnknownNameError, match="Did you mean 'margin'"):
        write_gallery(tmp_path, ["margn"])


@dataclass(frozen=True, kw_only=True)
class Foreign(Strategy):
    """Wants <b>everything</b> & `margin` ``a < b``."""

    needs: ClassVar = (Features(),)

    def select(self, ev, b, key):
        raise ValueError(HOSTILE)


def test_a_strategy_of_a_third_party_that_fails_says_why_and_cannot_attack_the_page():
    one = exhibit(Card(name=HOSTILE, component=Foreign, cite=HOSTILE, flags=frozenset({HOSTILE})), HOSTILE)
    assert one.shown == HOSTILE
    assert one.family == "other"
    assert "/" not in one.page
    assert page_of("a/b") != page_of("a.b") != page_of("a~b")
    for text in (strategy_page(one, toy(), None, None, ["margin", HOSTILE]), index_page([one], toy())):
        page = Page(text)
        assert len(page.all("script")) == ("<form" in text)
        assert not page.all("b")
        assert HOSTILE in page.words
    assert "a &lt; b" in strategy_page(one, toy(), None, None, ["margin"])


def test_prose_marks_code_and_links_names():
    said = prose("see `margin`, `Covering` and ``p < q``", {"margin"}, "x/")
    assert said == (
        'see <a href="x/margin.html"><code>margin</code></a>, <code>Covering</code> and <code>p &lt; q</code>'
    )
    assert need_words(Features()).startswith("Outputs of a frozen encoder, (n, d) float32")


def test_costs_are_read_and_shown(tmp_path):
    table = tmp_path / "costs.json"
    rows = [{"name": "margin", "seconds": 0.01234, "megabytes": 1234.4}]
    rows.append({"name": "batch_bald", "seconds": 2, "megabytes": 3, "workload": "2,000 rows"})
    table.write_text(json.dumps({"workload": "50,000 rows", "rows": rows}))
    costs = read_costs(table)
    assert costs == {
        "margin": "0.0123 s and 1,234 MB beyond its inputs for 50,000 rows.",
        "batch_bald": "2 s and 3 MB beyond its inputs for 2,000 rows.",
    }
    write_gallery(tmp_path / "out", ["margin", "random"], costs)
    assert costs["margin"] in (tmp_path / "out" / FOLDER / "margin.html").read_text()
    assert "Cost" not in Page((tmp_path / "out" / FOLDER / "random.html").read_text()).words
    for wrong in ("{", "[]", '{"workload": "x", "rows": [{"name": "margin"}]}'):
        table.write_text(wrong)
        with pytest.raises(DataError, match=r"costs\.json: expected a JSON document"):
            read_costs(table)


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_the_form_filters_in_a_browser(folder, cards, tmp_path):
    wishes = [
        {}, {"family": "uncertainty"}, {"regime": "VL", "cold": "yes"}, {"need": "Probs"}, {"search": "KMEANS batch"},
        {"need": "Features", "regime": "L", "cold": "yes", "search": "herding"}, {"search": "no such thing"},
    ]  # fmt: skip
    script = """
    <script>
    const form = document.querySelector("form"), answers = [];
    for (const wish of WISHES) {
      for (const name of ["search", "family", "regime", "need"]) form.elements[name].value = wish[name] ?? "";
      form.elements.cold.checked = wish.cold === "yes";
      form.dispatchEvent(new Event("input"));
      const shown = [...document.querySelectorAll(".shelf > li:not([hidden])")].map((card) => card.dataset.name);
      const shelves = [...document.querySelectorAll(".family:not([hidden])")];
      const empty = shelves.filter((shelf) => !shelf.querySelector(".shelf > li:not([hidden])"));
      answers.push([shown, document.querySelector("output").textContent, empty.length]);
    }
    document.body.innerHTML = "<pre>ANSWERS" + JSON.stringify(answers) + "END</pre>";
    </script>"""
    page = tmp_path / "index.html"
    page.write_text((folder / "index.html").read_text() + script.replace("WISHES", json.dumps(wishes)))
    command = [
        CHROMIUM,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={tmp_path}/profile",
        "--dump-dom",
    ]
    done = subprocess.run([*command, page.as_uri()], capture_output=True, text=True, timeout=120, check=False)
    found = re.search(r"ANSWERS(.*)END", done.stdout)
    assert found, done.stderr
    for wish, (shown, said, empty) in zip(wishes, json.loads(found[1]), strict=True):
        expected = [
            name for name, c in cards.items()
            if wish.get("family", c["data-families"]) == c["data-families"]
            and ("regime" not in wish or wish["regime"] in c["data-regimes"].split("|"))
            and ("need" not in wish or wish["need"] in c["data-needs"].split("|"))
            and ("cold" not in wish or c["data-starts"] == "yes")
            and all(word in c["data-text"] for word in wish.get("search", "").lower().split())
        ]  # fmt: skip
        assert shown == expected
        assert said == f"{len(expected)} of {len(cards)} strategies"
        assert not empty
