"""The page: complete, offline, escaped, small, the same every time, and there whole or not at all."""

import gzip
import json
import re
from base64 import b64decode
from html.parser import HTMLParser
from io import BytesIO

import numpy as np
import pandas as pd
import pytest
import vl_convert

import querist.report.page as page
from querist.errors import StoreError, UsageError
from querist.report.markup import resource
from querist.report.page import report_page, write_report
from querist.report.palette import PAPERS
from querist.report.wording import claim

VOID = {"meta", "img", "br", "link", "input"}


class Reader(HTMLParser):
    """What a browser would make of the page."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.words, self.scripts = [], [], []
        self.open, self.unbalanced = [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.unbalanced.append(tag)

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)
        elif not self.open or self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    def attributes(self, name):
        return [attrs[name] for _, attrs in self.elements if name in attrs]


@pytest.fixture(scope="module")
def text(study):
    return report_page(study)


@pytest.fixture(scope="module")
def read(text):
    return Reader(text)


@pytest.fixture(scope="module")
def embedded(read):
    return json.loads(read.scripts[0])


def test_page_is_well_formed(read):
    assert read.open == []
    assert read.unbalanced == []
    assert [tag for tag, _ in read.elements].count("script") == 3


def test_verdicts_come_first_and_every_claim_is_the_verdicts_own(read, study):
    found = study.regimes[0].comparison
    for row in found.arms:
        if row.verdict != "reference":
            assert claim(row, found, study.regimes[0].flags(row.arm)) in _glued(read.words)
    assert read.text.index("better than random") < read.text.index("Learning curves") < read.text.index("Method")


def _glued(words):
    return " ".join("".join(words).split())


def test_every_arm_appears_in_table_legend_and_figures(read, embedded, study):
    arms = {row.arm for row in study.regimes[0].comparison.arms}
    assert {attrs["data-arm"] for _, attrs in read.elements if "data-arm" in attrs} == arms
    glued = _glued(read.words)
    assert all(glued.count(arm) >= 4 for arm in arms)
    assert set(embedded["figures"]) == {"r0-curves", "r0-differences", "r0-forest"}
    places = [attrs["data-figure"] for _, attrs in read.elements if "data-figure" in attrs]
    assert sorted(places) == sorted(embedded["figures"])


def test_nothing_is_fetched(text, read):
    for name in ("src", "href", "action", "data", "poster", "srcset", "xlink:href"):
        assert all(value.startswith(("data:", "#")) for value in read.attributes(name))
    assert not {tag for tag, _ in read.elements} & {
        "link",
        "iframe",
        "object",
        "embed",
        "base",
        "form",
        "audio",
        "video",
    }
    assert not re.search(r"@import|url\(", resource("page.css"))
    assert "http" not in text.replace(page._bundle(), "").replace("http-equiv", "")
    (policy,) = [attrs["content"] for _, attrs in read.elements if attrs.get("http-equiv") == "Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "http" not in policy
    assert "connect-src" not in policy
    # What is left in the drawing libraries are names of XML dialects and addresses printed for people.
    hosts = set(re.findall(r"https?://([^\s\"'`)/]+)", page._bundle()))
    assert hosts <= {"www.w3.org", "github.com", "vega.github.io"}


def test_hostile_names_stay_text(text, read, hostile, make):
    assert hostile not in text
    assert hostile in _glued(read.words)
    study = make({"random": 0.0, hostile: 0.1}, name="</title><script>1</script>", settings={"<b>": "</dd><script>"})
    worse = Reader(report_page(study))
    assert worse.unbalanced == []
    assert [tag for tag, _ in worse.elements].count("script") == 3


def test_hostile_captions_and_keys_stay_text(make, hostile):
    study = make(
        pictures=dict.fromkeys(range(300), np.zeros((4, 4), np.uint8)), captions=dict.fromkeys(range(300), '"><script>')
    )
    study.picks["key"] = '" onerror="alert(1)'
    read = Reader(report_page(study))
    images = [attrs for tag, attrs in read.elements if tag == "img"]
    assert images
    assert all(set(attrs) == {"src", "alt", "title", "loading"} for attrs in images)
    assert images[0]["alt"] == 'item " onerror="alert(1), labelled "><script>'


def test_page_is_small_and_carries_the_libraries_once(text):
    assert len(text.encode()) < 1_500_000
    assert text.count(page._bundle()) == 1


@pytest.mark.parametrize("paper", PAPERS)
def test_every_embedded_figure_draws_on_both_papers(embedded, paper):
    for spec in embedded["figures"].values():
        drawn = {**spec, "width": 600, "config": embedded["themes"][0][paper]}
        assert vl_convert.vegalite_to_svg(drawn, allowed_base_urls=[]).count("<path") > 10


def test_pictures_have_words_and_captions_only_of_what_was_picked(read, study):
    images = [attrs for tag, attrs in read.elements if tag == "img"]
    assert len(images) == 4 + 7 * 2 * 4
    first = study.picks[(study.picks["pool"] == 0) & (study.picks["round"] < 2)]
    assert {re.fullmatch(r"item item/(\d+), labelled class \d", a["alt"])[1] for a in images} == {
        str(i) for i in first["id"]
    }


def test_page_without_pictures_has_no_such_section(make):
    read = Reader(report_page(make()))
    assert "img" not in {tag for tag, _ in read.elements}
    assert "picked" not in read.text


def test_data_behind_the_page_travels_with_it(read, study):
    files = {attrs["download"]: attrs["href"] for _, attrs in read.elements if "download" in attrs}
    assert set(files) == {f"made up-{name}.csv.gz" for name in ("rounds", "picks", "verdicts")}
    tables = {
        name: pd.read_csv(BytesIO(gzip.decompress(b64decode(uri.split(",")[1])))) for name, uri in files.items()
    }  # fmt: skip
    pd.testing.assert_frame_equal(tables["made up-rounds.csv.gz"], study.rounds, check_dtype=False)
    assert len(tables["made up-picks.csv.gz"]) == len(study.picks)
    verdicts = tables["made up-verdicts.csv.gz"].set_index("arm")
    for row in study.regimes[0].comparison.arms:
        assert verdicts.loc[row.arm, "verdict"] == row.verdict
        assert verdicts.loc[row.arm, "aubc"] == row.aubc


def test_tables_too_large_to_embed_are_named_instead(study, monkeypatch):
    monkeypatch.setattr(page, "EMBEDDED", 10)
    read = Reader(report_page(study))
    assert read.attributes("download") == []
    assert "rounds.csv.gz (280 rows" in read.text
    assert "it is rounds.parquet in the study's folder" in read.text


def test_method_tells_what_was_done(read):
    for words in (
        "10 initial pools x 1 training seed", "70 finished runs", "±0.5 points", "Holm, over all 6 comparisons",
        "oracle_uniform: oracle, reads hidden labels", "10, 20, 40, 80 labels", "Missing runs none", "0123abcd",
        "Digest of the rounds:",
    ):  # fmt: skip
        assert words in read.text


def test_missing_runs_and_uneven_budgets_are_in_sight(make):
    study = make()
    rounds = study.rounds[(study.rounds["arm"] != "margin") | (study.rounds["pool"] != 1)].copy()
    rounds.loc[(rounds["arm"] == "badge") & (rounds["checkpoint"] == 2), "n_labels"] += 1
    text = Reader(report_page(make(rounds=rounds))).text
    assert "1 run is missing or unfinished" in text
    assert "margin: pool 1 seed 0 (no run)" in text
    assert "badge and random bought different numbers of labels (pool 0, checkpoint 2: 41 and 40)" in text
    assert text.index("bought different") < text.index("Learning curves")


def test_E8_numbers_on_the_page_are_the_full_numbers_rounded_once(read, study):
    row = study.regimes[0].comparison["margin"]
    numbers = f"{100 * row.aubc:.1f} {100 * row.difference:+.1f} {100 * row.lower:+.1f} to {100 * row.upper:+.1f}"
    assert f"margin better {numbers} < .001 10 of 10" in read.text
    assert re.search(r"entropy worse [\d.]+ −\S+ −\S+ to −\S+ < .001 0 of 10", read.text)


def test_groups_of_arms_get_their_own_verdicts(make):
    names = ["random | learner=linear", "margin | learner=linear", "random | learner=knn", "margin | learner=knn"]
    arms = pd.DataFrame({"arm": names, "strategy": ["random", "margin"] * 2, "learner": ["linear"] * 2 + ["knn"] * 2})
    study = make(dict(zip(names, (0.0, 0.03, 0.2, 0.17), strict=True)), arms=arms)
    read = Reader(report_page(study))
    assert "Verdicts: learner=linear" in read.text
    assert "Verdicts: learner=knn" in read.text
    for regime, verdict in zip(study.regimes, ("better", "worse"), strict=True):
        said = claim(regime.comparison["margin"], regime.comparison)
        assert said.startswith(f"margin is {verdict} than random by ")
        assert said in _glued(read.words)
    assert len(json.loads(read.scripts[0])["figures"]) == 6


def test_large_budgets_start_on_a_logarithmic_axis(make):
    wide = Reader(report_page(make(budgets=(10, 50, 400))))
    assert wide.attributes("data-axis") == ["log"]
    assert Reader(report_page(make())).attributes("data-axis") == ["linear"]


def test_three_pools_give_a_page_without_verdicts(make):
    text = _glued(Reader(report_page(make(pools=3))).words)
    assert "none is better than random, 6 are without a verdict" in text
    assert "is better than random by" not in text


def test_one_pool_gives_a_page_without_a_forest(make):
    read = Reader(report_page(make(pools=1)))
    assert read.attributes("data-figure") == ["r0-curves", "r0-differences"]


def test_same_results_same_bytes(study, text):
    assert report_page(study) == text


def test_written_whole_or_not_at_all(study, tmp_path, monkeypatch, make):
    target = write_report(tmp_path / "a" / "report.html", study=study)
    assert target.read_text(encoding="utf-8") == report_page(study)
    before = target.read_bytes()
    with pytest.raises(UsageError, match="Add 'random'"):
        write_report(target, study=make({"margin": 0.0, "badge": 0.1}))
    assert target.read_bytes() == before
    assert [path.name for path in target.parent.iterdir()] == ["report.html"]


def test_a_folder_that_cannot_be_written_is_an_error_with_advice(study, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="cannot write"):
        write_report(tmp_path / "file" / "report.html", study=study)
