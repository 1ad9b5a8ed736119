"""The page of a pool: its numbers, what is left out and why, the map, and figures that draw on both papers."""

import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
import vl_convert

from querist.analysis.data_map import data_map
from querist.data.memory import from_arrays
from querist.encoders.pixels import Pixels
from querist.errors import UsageError
from querist.evidence.needs import Features
from querist.report import pool as pool_module
from querist.report.maps import embedding_map
from querist.report.palette import PAPERS
from querist.report.pool import Chosen, look_at_pool
from querist.report.pool_figures import class_figure, nearest_figure, purity_figure
from querist.report.pool_map import MOST_COLOURS, mapped_pool, shades
from querist.report.pool_page import pool_document, pool_page
from querist.seeds import Seed
from querist.session.setting import Setting

KEY = Seed(1).key()
N, TEST = 90, 30


def blobs(seed=0):
    rng = np.random.default_rng(seed)
    label = np.arange(N + TEST) % 3
    x = (rng.normal(size=(N + TEST, 6)) + 6.0 * np.eye(6)[label]).astype(np.float32)
    x[5], x[100] = x[8], x[9]
    return x, label


def dataset(known=True):
    x, label = blobs()
    split = np.array(["pool"] * N + ["test"] * TEST)
    labels = label if known else np.where(split == "test", label, -1)
    return from_arrays("blobs & more", x, labels, split=split, classes=("one", "two", "<three>"))


CHOSEN = Chosen(
    rounds=(np.array([0, 3, 6]), np.array([1, 4]), np.array([2])), names=("first", "then", "last"), words="by hand"
)


def look(known=True, chosen: Chosen | str = CHOSEN, **changes):
    data = dataset(known)
    setting = Setting(data, "pixels")
    _, label = blobs()
    given = {
        "labels": {i: int(label[i]) for i in range(N)} if known else {}, "encoder": "pixels", "chosen": chosen,
        "pool_map": mapped_pool(setting.features[Features(frame="all")], data.pool, data.pool[:9], KEY, "pca", "rows"),
        "data_map": "no training", "declared": True, "benchmark": known,
    }  # fmt: skip
    return look_at_pool(setting, **(given | changes))


@pytest.fixture(scope="module")
def found():
    p = np.random.default_rng(0).random((N, 4))
    course = data_map(np.repeat(np.arange(N), 4), np.tile(np.arange(4), N), p.ravel(), p.ravel() > 0.5)
    return look(data_map=course)


@pytest.fixture(scope="module")
def text(found):
    return pool_page(found)


def rows_of(chart, place=0):
    """What a layer draws; layers of one table share it."""
    spec = chart.to_dict()
    return spec["layer"][place].get("data", spec.get("data"))["values"]


def figures(text):
    return json.loads(re.search(r'id="figures">(.*?)</script>', text, re.S)[1])


class TestNumbers:
    def test_classes_by_round(self, found):
        assert [counts.count_c.tolist() for counts in found.classes.rounds] == [[3, 0, 0], [3, 2, 0], [3, 2, 1]]
        assert found.classes.pool.count_c.tolist() == [30, 30, 30]
        rounds = pool_document(found)["rounds"]
        assert [(row["labels"], row["classes"]) for row in rounds] == [(3, 1), (5, 2), (6, 3)]
        assert rounds[0]["entropy"] == 0.0

    def test_distances_and_copies_are_those_of_unit_rows(self, found):
        x = blobs()[0].astype(np.float64)
        x /= np.linalg.norm(x, axis=1, keepdims=True)
        gap = np.linalg.norm(x[:N, None] - x[:N], axis=2)
        np.testing.assert_allclose(found.nearest[0], gap[:, [0, 3, 6]].min(axis=1), atol=1e-6)
        np.testing.assert_allclose(found.nearest[2], gap[:, [0, 3, 6, 1, 4, 2]].min(axis=1), atol=1e-6)
        assert found.near.pool.worst[0].tolist() == [5, 8]
        assert found.near.test.worst[0].tolist() == [100, 9]
        assert found.near.test.distance[0] == 0.0

    def test_balls_are_pure_by_the_true_classes(self, found):
        x, label = blobs()
        x = x.astype(np.float64) / np.linalg.norm(x, axis=1, keepdims=True)
        gap = np.linalg.norm(x[:N, None] - x[:N], axis=2)
        other = np.where(label[:N, None] != label[:N], gap, np.inf).min(axis=1)
        np.testing.assert_allclose(np.sort(found.purity.radius), np.sort(other), atol=1e-6)
        assert (other >= found.purity.advised - 1e-6).mean() >= 0.95
        assert found.purity.words == "the true classes"

    def test_a_sample_of_a_large_pool_is_told(self, monkeypatch):
        monkeypatch.setattr(pool_module, "COMPARED", 40)
        small = look()
        assert small.near.compared == 40
        assert set(small.near.pool.worst.ravel().tolist()) <= set(range(N))
        assert "40 items of the pool (a sample)" in pool_page(small)

    def test_suggestions_hold_every_rule(self, found):
        labels = {s.rule: s.labels for s in found.plan.suggestions}
        assert labels["published formula"] == 3 * 44
        assert list(labels)[:2] == ["coverage by max_herding", "coverage by typiclust"]
        assert found.plan.covered["max_herding"][9] >= found.plan.covered["random"][9]
        assert found.plan.size_k.tolist() == [30, 30, 30]


class TestWithoutLabels:
    def test_says_why_and_takes_clusters_instead(self):
        bare = look(known=False, chosen="Nothing was chosen.", pool_map="No map.")
        text, document = pool_page(bare), pool_document(bare)
        assert set(document["left_out"]) == {"picks", "classes", "traces", "data_map"}
        assert document["classes"] is None
        for why in ("Nothing was chosen.", "No map.", "No label is known", "no training", "kept no statistics"):
            assert why in text
        assert "3 k-means clusters in their place" in text
        assert "opened for this page" not in text
        assert set(figures(text)["figures"]) == {"coverage", "seen", "purity"}
        json.dumps(document, allow_nan=False)

    def test_undeclared_classes_suggest_no_formula(self):
        bare = look(known=False, declared=False)
        assert not [s for s in bare.plan.suggestions if s.rule == "published formula"]
        assert f"{pool_module.PSEUDO} k-means clusters" in bare.purity.words


class TestPage:
    def test_is_the_same_every_time_and_fetches_nothing(self, found, text):
        assert pool_page(found) == text
        assert "<three>" not in re.sub(r"<script.*?</script>", "", text, flags=re.S)
        assert "blobs &amp; more" in text
        assert not re.search(r'(src|href)="(?!data:|#)', re.sub(r"<script.*?</script>", "", text, flags=re.S))
        assert "opened for this page" in text

    def test_every_figure_has_its_place_and_draws_on_both_papers(self, text):
        data = figures(text)
        assert set(re.findall(r'data-figure="([^"]+)"', text)) == set(data["figures"])
        assert set(data["figures"]) == {"coverage", "seen", "classes", "nearest", "purity", "data-map"}
        for paper in PAPERS:
            for spec in data["figures"].values():
                drawn = {**spec, "width": 400, "config": data["themes"][0][paper]}
                assert vl_convert.vegalite_to_svg(drawn, allowed_base_urls=[]).count("<path") > 2

    def test_traces_are_shown_as_histograms(self, monkeypatch):
        values = np.arange((N + TEST) * 2, dtype=np.float32).reshape(-1, 2)
        monkeypatch.setattr(Pixels, "traces", lambda _: ("simclr_loss",))
        monkeypatch.setattr(Pixels, "trace", lambda *_: values)
        shown = look()
        assert shown.traces["simclr_loss"].tolist() == values[:N, 1].tolist()
        assert "trace-simclr_loss" in figures(pool_page(shown))["figures"]

    def test_figures_hold_the_numbers(self, found):
        chart = class_figure(found.classes)
        assert [row["labels"] for row in rows_of(chart)] == [3, 2, 1]
        assert [row["share"] for row in rows_of(chart, 1)] == pytest.approx([100 / 3] * 3, abs=1e-4)
        rows = rows_of(nearest_figure(found.nearest, CHOSEN, np.arange(N)))
        after = {row["after"] for row in rows}
        assert after == {"3 labels", "5 labels", "6 labels"}
        for name in after:
            assert sum(row["share"] for row in rows if row["after"] == name) == pytest.approx(100, abs=1e-2)
        curve = rows_of(purity_figure(found.purity), 1)
        for row in curve[::16]:
            assert row["pure"] == pytest.approx(100 * (found.purity.radius >= row["radius"] - 1e-9).mean(), abs=1.2)

    def test_many_classes_become_a_curve(self):
        counts = SimpleNamespace(count_c=np.arange(100, 0, -1))
        classes = SimpleNamespace(names=[f"c{i}" for i in range(100)], pool=counts, rounds=())
        chart = class_figure(classes)  # pyright: ignore[reportArgumentType]
        assert [row["rank"] for row in rows_of(chart)] == list(range(1, 101))


class TestMap:
    def test_tsne_keeps_neighbours_together_and_is_reproducible(self):
        x, label = blobs()
        pool, marked = np.arange(0, N, 2), np.array([7, 80])
        one, two = (mapped_pool(x, pool, marked, KEY, "tsne", "rows") for _ in range(2))
        assert not isinstance(one, str)
        assert not isinstance(two, str)
        assert (one.cloud == two.cloud).all()
        assert one.locate(marked).shape == (2, 2)
        gap = np.linalg.norm(one.cloud[:, None] - one.cloud, axis=2)
        np.fill_diagonal(gap, np.inf)
        assert (label[pool][gap.argmin(axis=1)] == label[pool]).mean() > 0.9
        assert "t-SNE of the rows" in one.words

    def test_pca_is_the_reports_and_none_says_so(self):
        x, _ = blobs()
        pool = np.arange(N)
        mine = mapped_pool(x, pool, pool[:3], KEY, "pca", "rows")
        assert (mine.cloud == embedding_map(x, pool, pool[:3], KEY).cloud).all()  # pyright: ignore[reportAttributeAccessIssue]
        assert mapped_pool(x, pool, pool[:0], KEY, "none", "rows") == "No map was asked for (--map none)."

    def test_every_pick_is_drawn_in_the_colour_of_its_round(self, text):
        drawn = re.findall(r'<path class="dots" d="([^"]+)"', text)
        assert [path.count("M") for path in drawn] == [3, 2, 1]
        assert all(f"{name} ({n})" in text for name, n in (("first", 3), ("then", 2), ("last", 1)))

    def test_colours_run_from_the_first_to_the_last(self):
        assert shades(1) == [0]
        assert shades(2) == [0, MOST_COLOURS - 1]
        assert shades(MOST_COLOURS) == list(range(MOST_COLOURS))
        assert shades(50) == sorted(shades(50))
        assert set(shades(50)) == set(range(MOST_COLOURS))


def test_rounds_without_picks_are_refused():
    for rounds, names in (((), ()), ((np.empty(0, np.int64),), ("a",)), ((np.array([1]),), ("a", "b"))):
        with pytest.raises(UsageError, match="at least one"):
            Chosen(rounds=rounds, names=names, words="")
