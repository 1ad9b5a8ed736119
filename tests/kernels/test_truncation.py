"""Certified coverage: the bound against every batch there is, and samples against naive greedy on the same sample."""

import re
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from querist.kernels import truncation as module
from querist.kernels.coverage import closeness, cosine, gaussian, greedy_cover, top_hat
from querist.kernels.truncation import assigned, certified_cover
from querist.kernels.workers import workers
from querist.seeds import Seed

KERNELS = {
    "cosine": (cosine(), lambda gap: np.maximum(1 - gap / 4, 0)),
    "gaussian": (gaussian(0.9), lambda gap: np.exp(-gap / 0.81)),
    "top_hat": (top_hat(0.8), lambda gap: (gap < 0.64).astype(float)),
    "closeness": (closeness(2.0), lambda gap: np.maximum(1 - np.sqrt(gap) / 2, 0)),
}


def world(n, seed=0, d=3, labelled=2):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d))
    x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    key, open_ = Seed(seed).key(), np.arange(n) >= labelled
    ids = np.arange(n)
    return x, np.arange(labelled), open_, key.hash(ids), key.child("sample").hash(ids), rng.random(n)


def likeness(x, name):
    x = x.astype(float)
    return KERNELS[name][1](np.square(x[:, None] - x[None]).sum(axis=2))


def value(like, weight, centres, rows):
    covered = like[:, centres].max(axis=1, initial=0)
    return float(weight @ (np.maximum(covered, like[:, rows].max(axis=1, initial=0)) - covered))


def best(like, weight, centres, open_, b):
    return max(value(like, weight, centres, list(some)) for some in combinations(np.flatnonzero(open_), b))


@pytest.mark.parametrize("name", KERNELS)
@given(seed=st.integers(0, 999), b=st.integers(1, 4), labelled=st.integers(0, 3))
@settings(max_examples=25)
def test_no_batch_exceeds_an_exact_certificate(name, seed, b, labelled):
    x, centres, open_, tie, sample, weight = world(11, seed, labelled=labelled)
    like = likeness(x, name)
    cover = certified_cover(x, KERNELS[name][0], centres, open_, tie, b, weight, limit=11, sample_N=sample)
    rows, gain = greedy_cover(x, KERNELS[name][0], centres, open_, tie, b, weight)
    assert cover.rows.tolist() == rows.tolist()
    assert cover.gain.tolist() == gain.tolist()
    proof, most = cover.certificate, best(like, weight, centres, open_, b)
    assert proof.added == pytest.approx(value(like, weight, centres, rows), rel=1e-9, abs=1e-9)
    assert proof.added - 1e-9 <= most <= proof.most + 1e-9
    assert (proof.references, proof.rows, proof.confidence, proof.sampled) == (11, 11, 1.0, False)
    assert 1 - 1 / np.e - 1e-9 <= proof.added / most <= 1 + 1e-9
    assert proof.share <= proof.added / most + 1e-9


def test_an_exact_certificate_is_tight_where_balls_are_apart_and_when_all_is_covered():
    sizes = [9, 7, 5, 3, 2, 1]
    x = np.repeat(np.eye(6, dtype=np.float32), sizes, axis=0)
    n = len(x)
    tie, none, open_ = Seed(0).key().hash(np.arange(n)), np.empty(0, np.intp), np.zeros(n, bool)
    open_[np.cumsum([0, *sizes[:-1]])] = True
    for b in (1, 3, 6):
        cover = certified_cover(x, top_hat(0.5), none, open_, tie, b, limit=n, sample_N=tie)
        assert cover.certificate.most == cover.certificate.added == sum(sizes[:b])
        assert cover.certificate.share == 1.0


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("labelled", [0, 6])
def test_beyond_the_limit_it_is_greedy_on_the_rows_of_smallest_hash(name, labelled):
    n, b, limit = 150, 12, 60
    x, centres, open_, tie, sample, weight = world(n, labelled=labelled)
    like, m = likeness(x, name), 60 * 60 // 150
    part = np.argsort(sample)[:m]
    cover = certified_cover(x, KERNELS[name][0], centres, open_, tie, b, weight, limit=limit, sample_N=sample)
    covered, free = like[:, centres].max(axis=1, initial=0), open_.copy()
    for row, gain in zip(cover.rows, cover.gain, strict=True):
        now = (n / m) * (weight[part, None] * np.maximum(like - covered[:, None], 0)[part]).sum(axis=0)
        assert gain == pytest.approx(now[row], rel=1e-9, abs=1e-8)
        assert now[row] >= now[free].max() - 1e-8
        covered, free[row] = np.maximum(covered, like[:, row]), False
    proof = cover.certificate
    assert (proof.references, proof.rows, proof.confidence, proof.sampled) == (m, n, 0.99, True)
    assert proof.added == pytest.approx(value(like, weight, centres, cover.rows), rel=1e-9)
    assert proof.most <= weight @ (1 - like[:, centres].max(axis=1, initial=0)) + 1e-9
    with workers(3):
        again = certified_cover(x, KERNELS[name][0], centres, open_, tie, b, weight, limit=limit, sample_N=sample)
    assert again.rows.tolist() == cover.rows.tolist()
    assert again.certificate == proof


@pytest.mark.parametrize("confidence", [0.01, 0.5, 0.9])
def test_a_sampled_certificate_holds_as_often_as_it_says(confidence, monkeypatch):
    # Few rows and one pick, so that the bound is close, and fails where it may do so nearly always.
    monkeypatch.setattr(module, "CONFIDENCE", confidence)
    n, failed, drawn = 12, 0, 400
    x, centres, open_, tie, _, weight = world(n, seed=5, labelled=0)
    open_ = np.arange(n) == 4
    most = best(likeness(x, "top_hat"), weight, centres, open_, 1)
    for seed in range(drawn):
        sample = Seed(seed).key().hash(np.arange(n))
        cover = certified_cover(x, top_hat(0.8), centres, open_, tie, 1, weight, limit=6, sample_N=sample)
        assert cover.certificate.references == 3
        failed += cover.certificate.most < most - 1e-9
    assert failed <= drawn * (1 - confidence)
    assert (failed > 0) == (confidence == 0.01)


def test_larger_samples_prove_more():
    x, centres, open_, tie, sample, weight = world(3000, d=4)
    shares = [
        certified_cover(x, gaussian(0.9), centres, open_, tie, 20, weight, limit=n, sample_N=sample).certificate.share
        for n in (300, 1000, 2500, 3000)
    ]
    assert shares == sorted(shares)
    assert shares[0] + 0.1 < shares[-1]


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("k", [0, 1, 5])
def test_assigned_finds_the_most_similar_centre(name, k, monkeypatch):
    x, *_ = world(200)
    centres, like = np.arange(k) * 7, likeness(x, name)
    owner, first = assigned(x, KERNELS[name][0], centres)
    np.testing.assert_allclose(first, like[:, centres].max(axis=1, initial=0), atol=1e-9)
    if k:
        np.testing.assert_allclose(like[np.arange(200), centres[owner]], first, atol=1e-9)
    else:
        assert (owner == -1).all()
    monkeypatch.setattr(module, "BLOCK", 64)
    with workers(2):
        np.testing.assert_array_equal(assigned(x, KERNELS[name][0], centres)[0], owner)


def test_a_certificate_says_in_words_what_it_proves():
    x, centres, open_, tie, sample, weight = world(90)
    for limit, words in ((90, "the batch adds at least"), (30, "gains were estimated from 10 of 90 rows; the batch")):
        proof = certified_cover(x, cosine(), centres, open_, tie, 5, weight, limit=limit, sample_N=sample).certificate
        assert str(proof).startswith(words)
        said = re.search(r"at least (\d+\.\d)% of what the best one of its size could add", str(proof))
        assert 0.0 <= 100 * proof.share - float(said[1]) < 0.1
        assert str(proof).endswith(" with 99% confidence") == proof.sampled
