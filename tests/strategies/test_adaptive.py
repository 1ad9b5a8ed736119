"""Adaptive: a naive greedy loop, what must change nothing, its limits, and its audit."""

import numpy as np
import pytest

from querist.errors import SpecError
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Embeddings, Features, Labels, Probs, Refit
from querist.kernels.calibration import tempered
from querist.kernels.centring import directions, median_distance, principal_rows
from querist.kernels.workers import workers
from querist.seeds import Seed
from querist.strategies.adaptive import FOLDS, SAMPLE, TEMPERATURES, Adaptive
from querist.strategies.base import State, choose, strategies
from querist.strategies.max_herding import MaxHerding
from querist.testing.fakes import fake_evidence
from querist.testing.strategy_contract import StrategyContract

KEY = Seed(0).key()
WHOLE = Features(frame="all", components=128)


class TestAdaptive(StrategyContract):
    make = Adaptive
    deterministic = None


class TestAdaptiveWithoutAudit(StrategyContract):
    @staticmethod
    def make():
        return Adaptive(audit=0.0)


def evidence(seed, n=150, l=20, c=4, d=6, *, x=None, warm=True):
    """Clouds with a common component, probabilities from a noisy head; labelled rows come last."""
    rng, l = np.random.default_rng(seed), l if warm else 0
    y = rng.integers(c, size=n + l)
    raw = 2.0 * rng.normal(size=(c, d))[y] + rng.normal(size=(n + l, d)) + 4.0 if x is None else x
    logits = rng.normal(size=(n, c))
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    values = {WHOLE: principal_rows(raw, np.arange(n + l), 128)}
    if warm:
        values |= {Probs(): p, Labels(): y[n:]}
    return Evidence(np.arange(n), values, labelled=np.arange(n, n + l), c=c)


def naive(g, m, ev, b, *, per_class, u):
    """The rule as it is written down, in float64, with every similarity in memory."""
    sigma = m * max(0.35, 0.7 * (10 / max(per_class, 10)) ** 0.3)
    g = g.astype(np.float64)
    k = np.exp(-((g[:, None] - g[None]) ** 2).sum(axis=2) / sigma**2)
    labelled = list(ev.rows("labelled"))
    cur = k[:, labelled].max(axis=1) if labelled else np.zeros(len(g))
    free, picked = list(ev.rows("candidates")), []
    for _ in range(b):
        gain = np.array([(u * np.maximum(0.0, k[:, x] - cur)).sum() for x in free])
        # Of two rows that only cover each other, both gain the same.
        tied = np.flatnonzero(gain >= gain.max() - 1e-9)
        x = free.pop(int(tied[np.argmin(KEY.hash(ev.all[np.array(free)[tied]]))]))
        picked.append(x)
        cur = np.maximum(cur, k[:, x])
    return ev.all[picked].tolist()


@pytest.mark.parametrize("warm", [True, False])
@pytest.mark.parametrize("seed", range(20))
def test_it_picks_what_a_naive_loop_picks(seed, warm):
    n = 900 if seed < 3 else 150
    ev = evidence(seed, n=n, warm=warm)
    g, u = directions(ev[WHOLE]), np.ones(len(ev.all))
    if warm:
        top = np.sort(ev[Probs()], axis=1)
        u[ev.rows("candidates")] = 1 - (top[:, -1] - top[:, -2])
        u[ev.rows("labelled")] = 0
    m = median_distance(g[np.sort(np.argsort(KEY.child("distances").hash(ev.all))[:SAMPLE])])
    picks = choose(Adaptive(audit=0.0), ev, 50, KEY).ids.tolist()
    assert picks == naive(g, m, ev, 50, per_class=len(ev.labelled) / 4, u=u)


def test_the_naive_loop_would_notice_another_width():
    ev = evidence(1)
    narrow = choose(Adaptive(audit=0.0, wide=0.36), ev, 50, KEY).ids.tolist()
    assert narrow != choose(Adaptive(audit=0.0), ev, 50, KEY).ids.tolist()


def test_neither_a_common_component_nor_the_scale_of_features_matters():
    rng = np.random.default_rng(5)
    x = rng.normal(size=(170, 6))
    plain, moved, scaled = (choose(Adaptive(), evidence(5, x=z), 30, KEY).ids.tolist() for z in (x, x + 9.0, 7.0 * x))
    assert plain == moved == scaled


def test_the_order_of_rows_does_not_matter():
    ev = evidence(3)
    order = np.random.default_rng(0).permutation(len(ev.candidates))
    assert choose(Adaptive(), ev.cut(order), 30, KEY).ids.tolist() == choose(Adaptive(), ev, 30, KEY).ids.tolist()


def test_a_very_narrow_kernel_takes_the_most_unclear():
    ev = evidence(7)
    top = np.sort(ev[Probs()], axis=1)
    unclear = 1 - (top[:, -1] - top[:, -2])
    tiny = Adaptive(audit=0.0, narrow=1e-6, wide=1e-6)
    assert set(choose(tiny, ev, 20, KEY).ids.tolist()) == set(np.argsort(-unclear)[:20].tolist())


def test_without_labels_and_with_one_class_seen_every_row_counts_the_same():
    cold, warm = evidence(4, warm=False), evidence(4)
    one = Evidence(
        warm.candidates, {WHOLE: warm[WHOLE], Probs(): warm[Probs()], Labels(): np.zeros(20, int)},
        labelled=warm.labelled, c=4,
    )  # fmt: skip
    for ev in (cold, one):
        g = directions(ev[WHOLE])
        m = median_distance(g[np.sort(np.argsort(KEY.child("distances").hash(ev.all))[:SAMPLE])])
        u = np.ones(len(ev.all))
        picks = choose(Adaptive(audit=0.0), ev, 20, KEY).ids.tolist()
        assert picks == naive(g, m, ev, 20, per_class=len(ev.labelled) / 4, u=u)


@pytest.mark.parametrize(
    ("labels", "width"), [(0, 0.7), (40, 0.7), (80, 0.7 * 0.5**0.3), (200, 0.4319), (400, 0.3508), (4000, 0.35)]
)
def test_the_width_follows_the_labels_per_class(labels, width):
    assert Adaptive()._width(labels / 4) == pytest.approx(width, abs=1e-4)


def test_the_temperature_is_chosen_by_heads_that_had_not_seen_the_answers():
    """A head that is sure and wrong is softened, and the picks are those of the softened probabilities."""
    warm = evidence(9)
    sure, y, calls = tempered(warm[Probs()], 0.2), warm[Labels()], []

    def refit(rows):
        calls.append(rows)
        p = np.full((20, 4), 0.01)
        p[np.arange(20), (y + (np.arange(20) % 2)) % 4] = 0.97
        return p

    values = {WHOLE: warm[WHOLE], Probs(): sure, Labels(): y}
    ev = Evidence(warm.candidates, {**values, Refit(frame="labelled"): refit}, labelled=warm.labelled, c=4)
    picks = choose(Adaptive(audit=0.0), ev, 30, KEY).ids.tolist()
    assert sorted(len(rows) for rows in calls) == [16] * FOLDS
    # Half of the answers have 0.97, half 0.01: the likeliest T is a plain minimum.
    loss = [-np.log(tempered(refit(y), t)[np.arange(20), y]).mean() for t in TEMPERATURES]
    soft = tempered(sure, TEMPERATURES[int(np.argmin(loss))])
    same = Evidence(warm.candidates, {**values, Probs(): soft}, labelled=warm.labelled, c=4)
    assert picks == choose(Adaptive(audit=0.0, temperature="none"), same, 30, KEY).ids.tolist()
    assert picks != choose(Adaptive(audit=0.0, temperature="none"), ev, 30, KEY).ids.tolist()


def test_the_audit_is_uniform_and_says_so():
    ev, draws = evidence(2, n=30, l=6), np.zeros(30)
    number = []
    for i in range(400):
        picked = choose(Adaptive(audit=0.25), ev, 6, Seed(i).key())
        audits = int((picked.propensity < 1).sum())
        number.append(audits)
        np.testing.assert_allclose(picked.propensity, [1 / (30 - j) for j in range(audits)] + [1.0] * (6 - audits))
        assert all("at random" in word for word in picked.reasons[:audits])
        assert not any("at random" in word for word in picked.reasons[audits:])
        draws[picked.ids[:audits]] += 1
    assert set(number) == {1, 2}
    assert np.mean(number) == pytest.approx(1.5, abs=0.1)
    expected = draws.sum() / 30
    assert ((draws - expected) ** 2 / expected).sum() < 80  # chi-square, 29 degrees, p about 1e-6


def test_what_an_audit_covers_is_not_covered_again():
    ev = evidence(6)
    picked = choose(Adaptive(audit=0.3), ev, 10, KEY)
    audits = picked.ids[picked.propensity < 1].tolist()
    assert len(set(picked.ids.tolist())) == 10
    g = directions(ev[WHOLE])
    m = median_distance(g[np.sort(np.argsort(KEY.child("distances").hash(ev.all))[:SAMPLE])])
    top = np.sort(ev[Probs()], axis=1)
    u = np.append(1 - (top[:, -1] - top[:, -2]), np.zeros(20))
    seen = Evidence(np.setdiff1d(ev.candidates, audits), {}, labelled=np.union1d(ev.labelled, audits), c=4)
    assert picked.ids[len(audits) :].tolist() == naive(g, m, seen, 10 - len(audits), per_class=5, u=u)


def test_constant_features_still_give_a_batch():
    picked = choose(Adaptive(), evidence(0, x=np.ones((170, 6))), 12, KEY)
    assert len(set(picked.ids.tolist())) == 12


def test_a_row_at_the_mean_is_no_first_pick():
    # Seen from the mean all others lie in directions at right angles, and it would cover each of them best.
    x = np.concatenate([np.eye(20), -np.eye(20), np.zeros((1, 20))])
    ev = Evidence(np.arange(41), {WHOLE: principal_rows(x, np.arange(41), 128)}, c=2)
    for b in (1, 5, 40):
        assert 40 not in choose(Adaptive(audit=0.0), ev, b, KEY).ids
    assert sorted(choose(Adaptive(audit=0.0), ev, 41, KEY).ids.tolist()) == list(range(41))


def test_embeddings_are_centred_as_features_are():
    ev = fake_evidence([Embeddings(frame="all"), Probs(), Labels()])
    unit = ev[Embeddings(frame="all")] / np.linalg.norm(ev[Embeddings(frame="all")], axis=1, keepdims=True)
    turned = principal_rows(unit, np.arange(len(unit)), 128)
    values = {WHOLE: turned, Probs(): ev[Probs()], Labels(): ev[Labels()]}
    same = Evidence(ev.candidates, values, labelled=ev.labelled, c=ev.c)
    deep = choose(Adaptive(space="embeddings"), ev, 8, KEY).ids.tolist()
    assert deep == choose(Adaptive(), same, 8, KEY).ids.tolist()


def test_what_it_needs_follows_the_state():
    cold, warm = State(), State(round=1, n_labelled=9, has_model=True)
    assert Adaptive().needs_at(cold) == (WHOLE,)
    assert Adaptive().needs_at(warm) == (WHOLE, Probs())
    assert Adaptive().wants_at(warm) == (Labels(), Refit(frame="labelled"))
    assert Adaptive(temperature="none").wants_at(warm) == (Labels(),)
    assert Adaptive(space="embeddings").needs_at(warm) == (Embeddings(frame="all"), Probs())
    assert Adaptive(components=0).needs_at(cold) == (Features(frame="all"),)


@pytest.mark.parametrize(
    "settings", [{"wide": 0.1}, {"narrow": 0.0}, {"audit": 1.0}, {"audit": -0.1}, {"components": -1}, {"limit": 0}]
)
def test_impossible_settings_are_refused(settings):
    with pytest.raises(SpecError):
        Adaptive(**settings)


def test_the_published_rule_keeps_its_name():
    assert strategies.build({"name": "adaptive", "preset": "v1"}) == Adaptive(
        components=128, wide=0.7, narrow=0.35, temperature="held_out", audit=0.05
    )


def test_all_equally_unclear_it_is_max_herding_on_centred_rows():
    ev = evidence(8, warm=False)
    g = directions(ev[WHOLE])
    m = median_distance(g[np.sort(np.argsort(KEY.child("distances").hash(ev.all))[:SAMPLE])])
    centred = Evidence(ev.candidates, {Features(frame="all"): g}, c=4)
    herding = choose(MaxHerding(sigma=0.7 * m), centred, 30, KEY)
    adaptive = choose(Adaptive(audit=0.0), ev, 30, KEY)
    assert adaptive.ids.tolist() == herding.ids.tolist()
    np.testing.assert_allclose(adaptive.utility / len(g), herding.utility, rtol=1e-9)


def test_neither_threads_nor_blocks_matter():
    ev = evidence(2, n=1500, l=60)
    alone = choose(Adaptive(), ev, 40, KEY)
    with workers(3):
        together = choose(Adaptive(), ev, 40, KEY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("querist.kernels.coverage.STRETCH", 2**12)
        patch.setattr("querist.kernels.coverage.SHARE", 64)
        cut = choose(Adaptive(), ev, 40, KEY)
    for other in (together, cut):
        assert other.ids.tolist() == alone.ids.tolist()
        np.testing.assert_array_equal(other.utility, alone.utility)
