"""Typicality and the visit of clusters against plain loops."""

import numpy as np
import pytest
from hypothesis import given, strategies as st

from querist.kernels import typicality as module
from querist.kernels.typicality import typical_rows, typicality
from querist.kernels.workers import workers
from querist.progress import listening
from querist.seeds import Seed


def ties(n, seed=0):
    return Seed(seed).key().hash(np.arange(n))


def plain_typicality(x, rows, k, squared):
    out = []
    for i in rows:
        gaps = sorted(float(np.square(x[i].astype(np.float64) - x[j].astype(np.float64)).sum()) for j in rows if j != i)
        near = gaps[:k] if squared else [np.sqrt(gap) for gap in gaps[:k]]
        out.append(1 / (np.mean(near) + 1e-5) if near else 0.0)
    return np.array(out)


def plain_visit(x, label, open_, tie, b, neighbours, min_size, squared, resort):
    """The rule in words: fewest labels first, then largest; the most typical open member; in turn."""
    clusters = []
    for c in sorted(set(label.tolist())):
        members = [i for i in range(len(x)) if label[i] == c]
        if len(members) > min_size:
            clusters.append(
                {
                    "labelled": sum(not open_[i] for i in members), "size": len(members),
                    "tie": min(tie[i] for i in members), "open": [i for i in members if open_[i]],
                }
            )  # fmt: skip
    order = sorted(clusters, key=lambda c: (c["labelled"], -c["size"], c["tie"]))
    picked, utility, turn = [], [], 0
    while len(picked) < b and any(c["open"] for c in order):
        if resort:
            cluster = min((c for c in order if c["open"]), key=lambda c: (c["labelled"], -c["size"], c["tie"]))
        else:
            cluster, turn = order[turn % len(order)], turn + 1
            if not cluster["open"]:
                continue
        rows = cluster["open"]
        typical = plain_typicality(x, rows, min(neighbours, max(1, len(rows) // 2)), squared)
        best = min(range(len(rows)), key=lambda j: (-typical[j], tie[rows[j]]))
        utility.append(typical[best])
        picked.append(rows.pop(best))
        cluster["labelled"] += 1
    return picked, utility


@st.composite
def worlds(draw):
    """Grid points in clusters with gaps in their numbers; some clusters wholly labelled."""
    n, d = draw(st.integers(1, 24)), draw(st.integers(1, 3))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    x = rng.integers(-2, 3, size=(n, d)).astype(draw(st.sampled_from([np.float32, np.float64])))
    label = np.array([0, 2, 7, 8])[rng.integers(draw(st.integers(1, 4)), size=n)]
    open_ = rng.random(n) < draw(st.sampled_from([0.3, 0.8, 1.0]))
    return x, label, open_, ties(n, draw(st.integers(0, 9)))


@given(worlds(), st.integers(1, 8), st.booleans())
def test_M13_typicality_equals_brute_force(world, k, squared):
    x, label, _, _ = world
    rows = np.flatnonzero(label == label[0])
    np.testing.assert_allclose(
        typicality(x, rows, k, squared=squared), plain_typicality(x, rows, k, squared), rtol=1e-12
    )


@given(worlds(), st.booleans(), st.booleans(), st.data())
def test_M13_visit_equals_the_rule_in_words(world, squared, resort, data):
    x, label, open_, tie = world
    b, min_size, neighbours = data.draw(st.integers(0, 26)), data.draw(st.integers(0, 5)), data.draw(st.integers(1, 4))
    rows, utility = typical_rows(
        x, label, open_, tie, b,
        neighbours=neighbours, min_size=min_size, distance="squared" if squared else "plain", resort=resort,
    )  # fmt: skip
    expected, typical = plain_visit(x, label, open_, tie, b, neighbours, min_size, squared, resort)
    np.testing.assert_allclose(utility, typical, rtol=1e-12)
    assert rows.tolist() == expected
    assert open_[rows].all()
    assert len(set(rows.tolist())) == len(rows)


def test_M13_squared_distances_rank_differently():
    # Row 0 has neighbours at 1 and 8, row 3 at 5 and 5.2: closer by mean distance, farther by mean square.
    x = np.array([[0.0, 0], [1, 0], [0, 8], [100, 0], [105, 0], [100, 5.2]])
    rows = np.arange(6)
    plain, squared = (typicality(x, rows, 2, squared=s) for s in (False, True))
    assert plain[0] > plain[3]
    assert squared[0] < squared[3]


def test_resort_goes_back_to_the_cluster_with_fewest_labels():
    # Three clusters: sizes 4, 3, 3; the second has one label. In turn: A, C, B, A; sorted again: A, C, then C's size
    # loses to A only while both have one label each.
    x = np.arange(10.0)[:, None]
    label = np.array([0] * 4 + [1] * 3 + [2] * 3)
    open_ = np.array([True] * 4 + [False] * 2 + [True] * 4)
    order = {
        resort: label[typical_rows(x, label, open_, ties(10), 5, min_size=0, resort=resort)[0]].tolist()
        for resort in (False, True)
    }
    assert order[False] == [0, 2, 1, 0, 2]
    assert order[True] == [0, 2, 0, 2, 0]


def test_C1_small_clusters_are_left_out_and_exhausted_ones_passed_over():
    x = np.random.default_rng(0).normal(size=(20, 2))
    label = np.array([0] * 7 + [1] * 8 + [2] * 5)
    open_ = np.ones(20, bool)
    rows, _ = typical_rows(x, label, open_, ties(20), 20)
    assert sorted(rows.tolist()) == list(range(15))
    open_[label == 0] = False
    rows, _ = typical_rows(x, label, open_, ties(20), 20)
    assert sorted(rows.tolist()) == list(range(7, 15))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_duplicates_are_equally_typical_and_go_by_hash(dtype):
    x = np.full((12, 3), 0.1, dtype)
    rows, typical = typical_rows(x, np.zeros(12, int), np.ones(12, bool), ties(12, 4), 12)
    assert rows.tolist() == ties(12, 4).argsort().tolist()
    assert typical.tolist() == pytest.approx([1e5] * 11 + [0])


@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("scale", [1.0, 1e-6, 1e4, 1e18, 1e-30, 1e60])
@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_N3_products_rule_out_nobody_who_is_near(squared, scale, offset, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 17)
    rng = np.random.default_rng(1)
    x = (scale * (rng.normal(size=(120, 9)) + offset)).astype(np.float32 if scale < 1e50 else np.float64)
    x[30:60] = x[:30] * (1 + 1.2e-7 * rng.integers(-1, 2, size=(30, 9)))
    x[60:70] = x[5]
    rows = rng.permutation(120)[:110]
    expected = plain_typicality(x, rows, 12, squared)
    np.testing.assert_allclose(typicality(x, rows, 12, squared=squared), expected, rtol=1e-11)


@pytest.mark.parametrize("resort", [False, True])
def test_U2_workers_change_nothing(resort):
    rng = np.random.default_rng(2)
    x, label = rng.normal(size=(600, 5)).astype(np.float32), rng.integers(40, size=600)
    open_ = rng.random(600) < 0.9
    alone = typical_rows(x, label, open_, ties(600), 150, resort=resort)
    with workers(3):
        together = typical_rows(x, label, open_, ties(600), 150, resort=resort)
    assert together[0].tolist() == alone[0].tolist()
    assert together[1].tolist() == alone[1].tolist()


def test_progress_counts_picks():
    x, heard = np.random.default_rng(0).normal(size=(40, 2)), []
    with listening(lambda *news: heard.append(news)):
        typical_rows(x, np.arange(40) % 4, np.ones(40, bool), ties(40), 5)
    assert heard == [("picking", done, 5) for done in range(1, 6)]
