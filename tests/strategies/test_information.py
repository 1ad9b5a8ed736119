"""Submodular information measures: each is what its set function says, by inclusion and exclusion; and their sets."""

import numpy as np
import pytest

from querist.errors import SpecError, UsageError
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Embeddings, Factors, Features, Gradients, Labels
from querist.seeds import Seed
from querist.strategies.base import State, choose, strategies

MUTUAL = ["smi_com", "smi_flqmi", "smi_flvmi", "smi_gcmi", "smi_logdetmi"]
GAINS = ["scg_flcg", "scg_gccg", "scg_logdetcg"]
CONDITIONAL = ["scmi_flcmi", "scmi_logdetcmi"]
NAMES = MUTUAL + GAINS + CONDITIONAL
C, N, LABELLED = 4, 18, np.array([0, 3, 5, 8, 11, 14, 17])
LABEL = np.array([0, 1, 2, 2, 2, 1, 3])  # of the labelled rows; 0 and 3 are the rarest, with one each
CANDIDATES = np.setdiff1d(np.arange(N), LABELLED)
SPACES = ["features", "embeddings", "bias", "linear", "bias_linear"]
STATE = State(round=1, n_labelled=len(LABELLED), has_model=True)


def arrays(seed=0):
    rng = np.random.default_rng(seed)
    x, p = rng.normal(size=(N, 5)), rng.dirichlet(np.ones(C), size=N)
    label = p.argmax(axis=1)
    label[LABELLED] = LABEL
    return x, p - np.eye(C)[label]


def build(name, space, **settings):
    layer = {"space": space} if space in SPACES[:2] else {"gradient": space}
    return strategies.build({"name": name, **layer, **settings})


def evidence(strategy, seed=0):
    x, residual = arrays(seed)
    unit = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    values = {
        Features(frame="all"): unit,
        Embeddings(frame="all"): x,
        Gradients(): Factors(residual[CANDIDATES], x[CANDIDATES]),
        Gradients(frame="labelled"): Factors(residual[LABELLED], x[LABELLED]),
        Labels(): LABEL,
    }
    needs = strategy.needs_at(STATE)
    return Evidence(CANDIDATES, {need: values[need] for need in needs}, labelled=LABELLED, c=C)


def similar(space, seed=0):
    """Similarities of explicit gradients, or of features."""
    x, residual = arrays(seed)
    one = np.column_stack([x, np.ones(N)])
    g = {
        "features": x, "embeddings": x, "bias": residual,
        "linear": np.einsum("nc,nd->ncd", residual, x).reshape(N, -1),
        "bias_linear": np.einsum("nc,nd->ncd", residual, one).reshape(N, -1),
    }[space]  # fmt: skip
    g = g / np.linalg.norm(g, axis=1, keepdims=True)
    return (1 + g @ g.T) / 2


def facility(s):
    return lambda a: s[np.ix_(CANDIDATES, a)].max(axis=1, initial=0).sum()


def graph_cut(s, redundancy=1.0):
    return lambda a: s[np.ix_(CANDIDATES, a)].sum() - redundancy * s[np.ix_(a, a)].sum()


def log_det(s, ridge=1.0):
    k = s + ridge * np.eye(N)
    return lambda a: np.linalg.slogdet(k[np.ix_(a, a)])[1] if len(a) else 0.0


BASE = {
    "smi_flvmi": facility, "smi_gcmi": graph_cut, "smi_logdetmi": log_det, "scg_flcg": facility, "scg_gccg": graph_cut,
    "scg_logdetcg": log_det, "scmi_flcmi": facility, "scmi_logdetcmi": log_det,
}  # fmt: skip


def information(name, f, a, q, p):
    """The measure by its definition from the set function alone."""
    a, q, p = list(a), list(q), list(p)
    if name.startswith("smi"):
        return f(a) + f(q) - f(a + q)
    if name.startswith("scg"):
        return f(a + p) - f(p)
    return f(a + p) + f(q + p) - f(a + q + p) - f(p)


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("name", BASE)
def test_every_gain_is_that_of_inclusion_and_exclusion_and_the_largest(name, space):
    strategy = build(name, space)
    q, p = LABELLED[[0, 6]], LABELLED[1:6]
    f, b = BASE[name](similar(space)), 6
    p = LABELLED if name.startswith("scg") else p
    picked = choose(strategy, evidence(strategy), b, Seed(0).key())
    chosen: list[int] = []
    for row, utility in zip(picked.ids.tolist(), picked.utility, strict=True):
        before = information(name, f, chosen, q, p)
        gain = {x: information(name, f, [*chosen, x], q, p) - before for x in CANDIDATES.tolist() if x not in chosen}
        # Unit rows are float32, and so are the coefficients of the factorisation.
        assert utility == pytest.approx(gain[row], abs=3e-6)
        if utility > 1e-5 or name.endswith(("gccg", "gcmi")):
            assert gain[row] >= max(gain.values()) - 3e-6
        chosen.append(row)


@pytest.mark.parametrize("name", GAINS)
def test_without_private_rows_it_is_the_plain_set_function(name):
    strategy = build(name, "features")
    x = arrays()[0]
    unit = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    ev = Evidence(np.arange(N), {Features(frame="all"): unit, Features(): unit}, c=C)
    plain = strategies.build(
        {"scg_flcg": "facility_location", "scg_gccg": "graph_cut", "scg_logdetcg": "log_det"}[name]
    )
    one, other = (choose(s, ev, 8, Seed(0).key()) for s in (strategy, plain))
    np.testing.assert_allclose(one.utility, other.utility, atol=1e-5)
    if name != "scg_flcg":  # nearest neighbours of one another gain the same but for rounding
        assert one.ids.tolist() == other.ids.tolist()


@pytest.mark.parametrize(("name", "other"), [("scmi_flcmi", "smi_flvmi"), ("scmi_logdetcmi", "smi_logdetmi")])
@pytest.mark.parametrize("space", SPACES)
def test_conditional_information_without_private_rows_is_information(name, other, space):
    # Every labelled row is in the query set, so that there are no others.
    asked = {"query": (0, 1, 2, 3)}
    conditional, plain = build(name, space, **asked), build(other, space, **asked)
    one, same = (choose(s, evidence(s), 6, Seed(0).key()) for s in (conditional, plain))
    assert one.ids.tolist() == same.ids.tolist()
    np.testing.assert_allclose(one.utility, same.utility, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("eta", [0.3, 2.5])
def test_eta_and_nu_scale_what_the_docstring_says(name, eta):
    scale = min(eta, 1.0) if "logdet" in name else eta
    strategy = build(name, "features")
    settings = {key: scale for key in ("eta", "nu") if hasattr(strategy, key)}
    if not settings:
        pytest.skip("has neither")
    strategy = build(name, "features", **settings)
    s, q, p = similar("features"), LABELLED[[0, 6]], LABELLED[1:6]
    p = LABELLED if name.startswith("scg") else p
    cap = np.minimum(scale * s[np.ix_(CANDIDATES, q)].max(axis=1), 1)
    floor = scale * s[np.ix_(CANDIDATES, p)].max(axis=1)

    def value(a):
        a = list(a)
        best, rows = s[np.ix_(CANDIDATES, a)].max(axis=1, initial=0), s[np.ix_(a, q)]
        match name:
            case "smi_flvmi":
                return np.minimum(best, cap).sum()
            case "scg_flcg":
                return np.maximum(best - floor, 0).sum()
            case "scmi_flcmi":
                return np.maximum(np.minimum(best, cap) - floor, 0).sum()
            case "smi_flqmi":
                return (rows.max(axis=0).sum() + scale * rows.max(axis=1).sum()) if a else 0.0
            case "smi_com":
                return scale * np.sqrt(rows.sum(axis=1)).sum() + np.sqrt(rows.sum(axis=0)).sum()
            case "scg_gccg":
                return graph_cut(s)(a) - 2 * scale * s[np.ix_(a, p)].sum()
        k = s + np.eye(N)
        for one, other, by in ((CANDIDATES, q, scale), (CANDIDATES, p, scale), (q, p, scale**2)):
            k[np.ix_(one, other)] *= by
            k[np.ix_(other, one)] *= by
        f, q_, p_ = log_det(k - np.eye(N)), list(q), list(p)
        return information(name, f, a, q_, p_)

    if name == "scg_logdetcg":
        q = q[:0]  # all that is labelled is private
    picked = choose(strategy, evidence(strategy), 6, Seed(0).key())
    for step, utility in enumerate(picked.utility):
        expected = value(picked.ids[: step + 1]) - value(picked.ids[:step])
        assert utility == pytest.approx(expected, abs=3e-6)


def test_rare_means_all_classes_that_share_the_fewest_labels_and_private_what_is_left():
    strategy = build("scmi_flcmi", "features")
    sets = strategy.sets(evidence(strategy))
    assert sets.query.tolist() == [0, 17]
    assert sets.private.tolist() == [3, 5, 8, 11, 14]
    assert sets.candidates.tolist() == CANDIDATES.tolist()
    named = build("scmi_flcmi", "features", query=(1,), private=(2, 3))
    sets = named.sets(evidence(named))
    assert (sets.query.tolist(), sets.private.tolist()) == ([3, 14], [5, 8, 11, 17])
    gain = build("scg_flcg", "features", private=(2,))
    assert gain.sets(evidence(gain)).private.tolist() == [5, 8, 11]
    rare = build("scmi_flcmi", "features", private=(0, 2))  # 0 is wanted, so it is not private
    assert rare.sets(evidence(rare)).private.tolist() == [5, 8, 11]


def test_a_class_that_nobody_saw_is_not_rare():
    strategy = build("smi_gcmi", "features")
    ev = evidence(strategy)
    values = {need: np.where(LABEL == 0, 2, LABEL) if need == Labels() else ev[need] for need in ev.needs}
    sets = strategy.sets(Evidence(CANDIDATES, values, labelled=LABELLED, c=C))
    assert sets.query.tolist() == [17]


def test_labels_are_asked_for_only_where_classes_matter():
    assert Labels() not in build("scg_flcg", "features").needs_at(STATE)
    assert Labels() in build("scg_flcg", "features", private=(1,)).needs_at(STATE)
    assert Labels() in build("smi_gcmi", "features").needs_at(STATE)
    assert build("smi_gcmi", "bias").needs_at(STATE) == (Gradients(), Gradients(frame="labelled"), Labels())


@pytest.mark.parametrize("name", MUTUAL + CONDITIONAL)
@pytest.mark.parametrize("space", ["features", "bias_linear"])
def test_C1_a_query_that_nobody_labelled_gains_nothing_and_the_batch_is_complete(name, space):
    strategy = build(name, space, query=(0,), **({"private": (1,)} if name in CONDITIONAL else {}))
    ev, none = evidence(strategy), np.where(LABEL == 0, 1, LABEL)
    values = {need: none if need == Labels() else ev[need] for need in ev.needs}
    picked = choose(strategy, Evidence(CANDIDATES, values, labelled=LABELLED, c=C), 11, Seed(0).key())
    assert picked.utility.tolist() == [0] * 11
    assert sorted(picked.ids) == CANDIDATES.tolist()
    assert all(picked.reasons)


@pytest.mark.parametrize("name", NAMES)
def test_a_rare_class_is_found_by_information_about_it(name):
    if name.startswith("scg"):
        pytest.skip("has no query")
    rng = np.random.default_rng(0)
    label = np.repeat([0, 1, 2], [100, 100, 20])
    x = (4 * np.eye(6)[label] + rng.normal(size=(220, 6))).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    labelled = np.r_[0:10, 100:110, 200:202]
    ids = np.setdiff1d(np.arange(220), labelled)
    ev = Evidence(ids, {Features(frame="all"): x, Labels(): label[labelled]}, labelled=labelled, c=3)
    picked = choose(build(name, "features"), ev, 10, Seed(0).key())
    # Capped coverage of everything is the least pointed of them; at random 0.09 would be of the rare class.
    wanted = picked.ids[picked.utility > 0]
    assert len(wanted) >= 4
    assert (label[wanted] == 2).mean() >= (0.4 if name in ("smi_flvmi", "scmi_flcmi") else 0.8)


def test_C15_with_more_than_one_query_row_no_two_measures_rank_alike():
    rankings = []
    for name in MUTUAL:
        strategy = build(name, "features", query=(1, 2))
        rankings.append(tuple(choose(strategy, evidence(strategy), 11, Seed(0).key()).ids.tolist()))
    assert len(set(rankings)) == len(MUTUAL)


def test_with_one_query_row_retrieval_is_a_ranking_by_similarity_to_it():
    nearest = CANDIDATES[np.argsort(-similar("features")[CANDIDATES, 0])].tolist()
    for name in ("smi_com", "smi_flqmi", "smi_gcmi"):
        strategy = build(name, "features", query=(0,))
        assert choose(strategy, evidence(strategy), 11, Seed(0).key()).ids.tolist() == nearest


def test_gradients_of_certain_rows_are_alike_and_nothing_else():
    strategy = build("smi_gcmi", "bias_linear", query=(0,))
    x, residual = arrays()
    residual[[0, 1, 2]] = 0.0  # a labelled row and two candidates
    values = {
        Gradients(): Factors(residual[CANDIDATES], np.ones_like(x[CANDIDATES])),
        Gradients(frame="labelled"): Factors(residual[LABELLED], np.ones_like(x[LABELLED])),
        Labels(): LABEL,
    }
    picked = choose(strategy, Evidence(CANDIDATES, values, labelled=LABELLED, c=C), 11, Seed(0).key())
    assert set(picked.ids[:2].tolist()) == {1, 2}
    np.testing.assert_allclose(picked.utility, [2, 2] + [1] * 9, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("smi_gcmi", {"query": ()}, "distinct class numbers"),
        ("smi_gcmi", {"query": (-1,)}, "distinct class numbers"),
        ("scg_flcg", {"private": (1, 1)}, "distinct class numbers"),
        ("scmi_flcmi", {"query": (1,), "private": (2, 1)}, "share no class"),
        ("smi_flvmi", {"eta": -1.0}, "eta to be finite and 0 or larger"),
        ("smi_logdetmi", {"eta": 1.5}, "eta to be between 0 and 1"),
        ("scmi_logdetcmi", {"nu": 1.5}, "nu to be between 0 and 1"),
        ("scg_logdetcg", {"ridge": 0.0}, "ridge to be"),
        ("smi_flqmi", {"epsilon": 0.0}, "epsilon to be above 0"),
        ("scg_flcg", {"limit": 0}, "limit to be 1 or larger"),
        ("smi_logdetmi", {"maximiser": "lazy"}, "smi_logdetmi is not submodular"),
        ("scmi_logdetcmi", {"maximiser": "lazier_than_lazy"}, "not submodular"),
    ],
)
def test_C18_settings_must_make_sense(name, settings, message):
    with pytest.raises(SpecError, match=message):
        build(name, "features", **settings)


def test_classes_that_are_not_declared_are_refused():
    strategy = build("smi_gcmi", "features", query=(9,))
    with pytest.raises(UsageError, match=r"classes in 0\.\.3, got 9"):
        choose(strategy, evidence(strategy), 3, Seed(0).key())


@pytest.mark.parametrize("name", ["smi_flvmi", "scg_flcg", "scmi_flcmi"])
def test_beyond_the_limit_gains_are_estimated_and_the_batch_says_so(name):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 4)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    labelled, label = np.arange(9), np.arange(9) % 3
    known = {Features(frame="all"): x, Labels(): label}
    exact, sampled = (build(name, "features", limit=limit) for limit in (391, 200))
    runs = []
    for strategy in (exact, sampled):
        values = {need: known[need] for need in strategy.needs_at(STATE)}
        ev = Evidence(np.arange(9, 400), values, labelled=labelled, c=3)
        runs.append(choose(strategy, ev, 9, Seed(0).key()))
    assert "estimated" not in " ".join(runs[0].reasons)
    assert "gains were estimated from 102 of 391 rows" in runs[1].reasons[0]
    assert runs[1].certificate.most >= runs[0].certificate.added
    assert 0.5 * runs[0].certificate.added < runs[1].certificate.added <= 1.0001 * runs[0].certificate.most
