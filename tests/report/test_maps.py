"""Embedding maps: places against a decomposition by numpy, frames that hold their points, and panels of a study."""

import re
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

import querist.report.study as results
from querist.data.memory import from_arrays
from querist.errors import MissingExtraError, UsageError
from querist.report import maps
from querist.report.maps import WIDTH, Frame, cloud_path, embedding_map
from querist.report.page import report_page
from querist.seeds import Seed
from querist.session.setting import Setting

KEY = Seed(3).key()
NONE = np.empty(0, np.int64)


def blobs(n=120, d=6):
    rng = np.random.default_rng(0)
    return (rng.normal(size=(n, d)) + 8.0 * np.eye(d)[rng.integers(0, 3, n)]).astype(np.float32)


class TestPca:
    def test_places_are_those_of_a_decomposition(self):
        x = blobs()
        found = embedding_map(x, np.arange(len(x)), NONE, KEY)
        centred = x.astype(np.float64) - x.mean(axis=0, dtype=np.float64)
        u, s, _ = np.linalg.svd(centred, full_matrices=False)
        expected = u[:, :2] * s[:2]
        signs = np.sign((found.cloud * expected).sum(axis=0))
        np.testing.assert_allclose(found.cloud, expected * signs, atol=1e-4)
        share = (s[:2] ** 2).sum() / (s**2).sum()
        assert f"{share:.0%}" in found.words

    def test_others_are_projected_onto_the_pool_and_alone_as_together(self):
        x = blobs()
        pool = np.arange(0, 120, 2)
        found = embedding_map(x, pool, np.array([1]), KEY)
        ids = np.array([5, 1, 0, 77])
        together = found.locate(ids)
        assert all((found.locate(ids[i : i + 1]) == together[i]).all() for i in range(4))
        assert (found.locate(pool) == found.cloud).all()
        # Rows outside the pool have no say in the axes.
        changed = x.copy()
        changed[1::2] *= 100.0
        assert (embedding_map(changed, pool, NONE, KEY).cloud == found.cloud).all()

    def test_a_large_pool_is_sampled_by_id(self, monkeypatch):
        monkeypatch.setattr(maps, "MOST", 30)
        x = blobs()
        found = embedding_map(x, np.arange(120), NONE, KEY)
        assert found.cloud.shape == (30, 2)
        # The sample is a matter of ids: without the rows that were not drawn it is the same.
        drawn = np.array([i for i in range(120) if (found.locate(np.array([i])) == found.cloud).all(axis=1).any()])
        assert len(drawn) == 30
        assert (embedding_map(x, drawn, NONE, KEY).cloud == found.cloud).all()

    def test_wide_rows_are_fitted_on_fewer(self, monkeypatch):
        monkeypatch.setattr(maps, "FITTED", 240)
        monkeypatch.setattr(maps, "BLOCK", 7)
        x = blobs()
        asked = []

        class Rows:
            def __getitem__(self, ids):
                asked.append(len(ids))
                return x[ids]

        found = embedding_map(Rows(), np.arange(120), NONE, KEY, of="pixels")
        assert found.cloud.shape == (120, 2)
        assert max(asked) == 240 // 6
        assert "of the pixels" in found.words
        assert found.locate(NONE).shape == (0, 2)

    @pytest.mark.parametrize(("n", "d"), [(1, 4), (2, 1), (5, 1), (3, 900)])
    def test_few_rows_or_columns(self, n, d):
        x = np.random.default_rng(0).normal(size=(n, d)).astype(np.float16)
        cloud = embedding_map(x, np.arange(n), NONE, KEY).cloud
        assert cloud.shape == (n, 2)
        assert np.isfinite(cloud).all()
        if d == 1:
            assert (cloud[:, 1] == 0).all()

    def test_there_is_no_other_projection(self):
        with pytest.raises(UsageError, match="pca or umap"):
            embedding_map(blobs(), np.arange(9), NONE, KEY, "tsne")  # pyright: ignore[reportArgumentType]


class TestUmap:
    def test_neighbours_stay_together_and_it_is_reproducible(self):
        pytest.importorskip("umap", reason="needs the extra umap")
        x = blobs()
        marked = np.array([7, 100])
        one, two = (embedding_map(x, np.arange(0, 120, 2), marked, KEY, "umap") for _ in range(2))
        assert (one.cloud == two.cloud).all()
        assert (one.locate(marked) == two.locate(marked)).all()
        group = x[::2].argmax(axis=1)
        gap = np.linalg.norm(one.cloud[:, None] - one.cloud, axis=2)
        np.fill_diagonal(gap, np.inf)
        assert (group[gap.argmin(axis=1)] == group).mean() > 0.9

    def test_without_it_the_extra_is_named(self, monkeypatch):
        monkeypatch.setattr("querist.extras.find_spec", lambda _: None)
        with pytest.raises(MissingExtraError, match=r"querist\[umap\]"):
            embedding_map(blobs(), np.arange(9), NONE, KEY, "umap")


@given(st.integers(1, 60), st.integers(0, 10_000), st.sampled_from([0.0, 1e-9, 1.0, 1e7]))
def test_a_frame_holds_its_points_and_keeps_proportions(n, entropy, spread):
    points = np.random.default_rng(entropy).normal(size=(n, 2)) * [1.0, 0.6] * spread + 5.0
    frame = Frame.around(points)
    units = frame.place(points)
    assert ((units >= 0) & (units <= [WIDTH, frame.height])).all()
    inside = ((units > 8) & (units < [WIDTH - 8, frame.height - 8])).all(axis=1)
    if inside.sum() > 1:
        apart = np.diff(units[inside], axis=0) * [1, -1]
        np.testing.assert_allclose(apart, np.diff(points[inside], axis=0) * frame.scale, atol=1e-5)


def test_an_outlier_does_not_hide_the_rest():
    points = np.random.default_rng(0).normal(size=(3000, 2))
    points[0] = 1e4
    units = Frame.around(points).place(points)
    assert np.ptp(units[1:, 0]) > 0.5 * WIDTH


def test_a_cloud_is_one_path_with_a_dot_per_place():
    frame = Frame.around(np.array([[0.0, 0.0], [10.0, 4.0]]))
    path = cloud_path(frame, np.array([[1.0, 1.0], [1.0, 1.0], [9.0, 3.0]]), "own", "c")
    (data,) = re.findall(r' d="([^"]+)"', path)
    assert path.startswith('<path class="own" id="c"')
    dots = re.findall(r"M(\d+) (\d+)h0", data)
    assert "".join(f"M{x} {y}h0" for x, y in dots) == data
    expected = frame.place(np.array([[1.0, 1.0], [9.0, 3.0]])).round().astype(int).tolist()
    assert sorted(map(list, (map(int, dot) for dot in dots))) == sorted(expected)


class TestPanels:
    def test_the_report_shows_where_each_strategy_picked(self, make, hostile):
        x = blobs(300)
        pool = np.arange(300)
        study = make(map=embedding_map(x, pool, NONE, KEY))
        text = report_page(study)
        assert "Where each strategy picked" in text
        assert text.count('<use href="#r0-cloud">') == len(study.arms)
        assert text.count('id="r0-cloud"') == 1
        assert hostile not in text
        frame = Frame.around(study.map.cloud, tallest=WIDTH)
        picks = study.picks[(study.picks["arm"] == "margin") & (study.picks["pool"] == 0)]
        for style, rounds in (("start", picks["round"] < 0), ("own", picks["round"] >= 0)):
            ids = picks.loc[rounds, "id"].to_numpy(np.int64)
            assert cloud_path(frame, study.map.locate(ids), style) in text

    def test_without_a_map_there_is_none(self, study):
        assert "Where each strategy picked" not in report_page(study)


@pytest.mark.parametrize("trains_backbone", [True, False])
def test_a_study_without_frozen_features_is_seen_by_its_pixels(trains_backbone):
    images = np.random.default_rng(0).integers(0, 256, (40, 6, 5, 3), dtype=np.uint8)
    dataset = from_arrays("toy", images, classes=["a", "b"])
    computed = []

    class Watched(Setting):
        def _compute(self):
            computed.append(self)
            return super()._compute()

    arm = SimpleNamespace(setting=Watched(dataset), learner=SimpleNamespace(trains_backbone=trains_backbone))
    study: Any = SimpleNamespace(plan=SimpleNamespace(arms=[arm]))
    found = results._map(study)
    assert bool(computed) == (not trains_backbone)
    assert ("of the pixels" in found.words) == trains_backbone
    assert found.cloud.shape == (40, 2)
    if trains_backbone:
        flat = embedding_map(images.reshape(40, -1) / np.float32(255), dataset.pool, NONE, Seed(0).child("toy").key())
        np.testing.assert_array_equal(found.cloud, flat.cloud)
