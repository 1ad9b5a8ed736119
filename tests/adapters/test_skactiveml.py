"""scikit-activeml: its own loop with our strategies, our session with its own, each with the picks of native use."""

import warnings

import numpy as np
import pytest

import querist
from querist.data.memory import from_arrays
from querist.errors import SpecError, UnmetNeedError
from querist.evidence.needs import Features, Labels, Probs
from querist.labels.ledger import MemoryLedger
from querist.labels.oracle import SimulatedOracle
from querist.registry import describe
from querist.seeds import Seed
from querist.session.session import Session
from querist.session.setting import Setting
from querist.strategies.base import State

skactiveml = pytest.importorskip("skactiveml", reason="needs scikit-activeml, which no extra brings")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from skactiveml.classifier import SklearnClassifier
    from skactiveml.pool import Badge, CoreSet, QueryByCommittee, RandomSampling, TypiClust, UncertaintySampling
    from skactiveml.utils import MISSING_LABEL, check_random_state
    from sklearn.linear_model import LogisticRegression

    from querist.adapters.skactiveml import FromSkactiveml, GivenProbs, QueristStrategy, from_skactiveml

RNG = np.random.default_rng(0)
TRUTH = np.arange(150) % 3
X = (3 * RNG.normal(size=(3, 5))[TRUTH] + RNG.normal(size=(150, 5))).astype(np.float32)
LABELLED = np.array([0, 1, 2, 7, 30, 31])


def start():
    y = np.full(150, MISSING_LABEL)
    y[LABELLED] = TRUTH[LABELLED]
    return y


def classifier(**settings):
    return SklearnClassifier(LogisticRegression(), classes=[0, 1, 2], random_state=0, **settings)


def seed_of(random_state, y):
    """The number that a query of theirs with this random state draws first."""
    return int(check_random_state(random_state, int(np.isnan(y).sum()) + 1).randint(2**31 - 1))


# ------------------------------------------------------------------------------------------------- ours in their loop


@pytest.mark.parametrize("strategy", ["margin", "uherding", "k_center_greedy", "badge", "random", "stochastic(margin)"])
def test_their_loop_picks_what_native_use_picks(strategy):
    y, ours, clf = start(), QueristStrategy(strategy, random_state=5), classifier()
    for _ in range(4):
        picked = ours.query(X, y, clf, batch_size=6)
        labelled = np.flatnonzero(~np.isnan(y))
        p = classifier().fit(X, y).predict_proba(X)
        native = querist.select(
            strategy, 6, probs=p, features=X, labelled=labelled, labels=y[labelled].astype(int), seed=seed_of(5, y)
        )
        assert picked.tolist() == native.ids.tolist()
        y[picked] = TRUTH[picked]
    assert (~np.isnan(y)).sum() == 30


def test_their_loop_from_no_label_at_all():
    for strategy, first in (("margin", "random"), ("typiclust", "typiclust")):
        y = np.full(150, MISSING_LABEL)
        ours = QueristStrategy(strategy, random_state=1)
        picked = ours.query(X, y, classifier(), batch_size=5)
        assert picked.tolist() == querist.select(first, 5, features=X, seed=seed_of(1, y)).ids.tolist()


def test_margin_agrees_with_theirs():
    y = start()
    theirs = UncertaintySampling(method="margin_sampling", random_state=0).query(X, y, classifier(), batch_size=10)
    assert QueristStrategy("margin").query(X, y, classifier(), batch_size=10).tolist() == theirs.tolist()


def test_utilities_of_a_score_are_those_of_all_candidates():
    y = start()
    ids, utility = QueristStrategy("margin").query(X, y, classifier(), batch_size=4, return_utilities=True)
    theirs = UncertaintySampling(method="margin_sampling").query(
        X, y, classifier(), batch_size=4, return_utilities=True
    )
    assert utility.shape == (4, 150)
    assert np.array_equal(np.isnan(utility), np.isnan(theirs[1]))
    same = ~np.isnan(utility)
    gap = theirs[1][same] - utility[same]
    assert gap == pytest.approx(np.full(len(gap), gap[0])), "one score is not the other plus a constant"
    assert np.nanargmax(utility, axis=1).tolist() == ids.tolist()


def test_utilities_of_a_batch_rule_are_those_of_the_picks():
    y = start()
    ids, utility = QueristStrategy("uherding").query(X, y, classifier(), batch_size=3, return_utilities=True)
    assert np.isfinite(utility).sum() == 3
    assert np.nanargmax(utility, axis=1).tolist() == ids.tolist()


def test_only_candidates_are_picked_and_only_they_and_the_labelled_count():
    y, some = start(), np.arange(40, 90)
    picked = QueristStrategy("k_center_greedy", random_state=0).query(X, y, candidates=some, batch_size=7)
    assert np.isin(picked, some).all()
    rows = np.concatenate([LABELLED, some])
    native = querist.select(
        "k_center_greedy", 7, features=X[rows], labelled=np.arange(6), labels=TRUTH[LABELLED], classes=3
    )
    assert picked.tolist() == rows[native.ids].tolist()
    with pytest.raises(ValueError, match="must not contain labeled"):
        QueristStrategy("random").query(X, y, candidates=np.array([0, 50]))


def test_classes_of_any_name():
    """Labels are words, and the classifier's order of classes need not be theirs."""
    names = np.array(["cat", "ant", "bee"], dtype=object)
    y = np.full(150, None, dtype=object)
    y[LABELLED] = names[TRUTH[LABELLED]]
    clf = SklearnClassifier(LogisticRegression(), classes=["ant", "bee", "cat"], missing_label=None)
    picked = QueristStrategy("badge", missing_label=None, random_state=3).query(X, y, clf, batch_size=5)
    p = clf.fit(X, y).predict_proba(X)
    numbers = np.searchsorted(["ant", "bee", "cat"], y[LABELLED].astype(str))
    draw = int(check_random_state(3, 145).randint(2**31 - 1))
    native = querist.select("badge", 5, probs=p, features=X, labelled=LABELLED, labels=numbers, seed=draw)
    assert picked.tolist() == native.ids.tolist()


def test_a_fitted_classifier_is_left_as_it_is():
    y, clf = start(), classifier().fit(X[:90], np.where(np.arange(90) < 60, TRUTH[:90], np.nan))
    before = clf.predict_proba(X)
    picked = QueristStrategy("margin").query(X, y, clf, fit_clf=False, batch_size=3)
    native = querist.select("margin", 3, probs=before, labelled=LABELLED, labels=TRUTH[LABELLED])
    assert picked.tolist() == native.ids.tolist()
    assert np.array_equal(clf.predict_proba(X), before)


def test_what_arrays_cannot_carry_is_refused():
    with pytest.raises(UnmetNeedError, match="Draws"):
        QueristStrategy("bald").query(X, start(), classifier())
    with pytest.raises(UnmetNeedError, match="probs"):
        QueristStrategy("margin").query(X, start())


# ------------------------------------------------------------------------------------------------ theirs in our session


DATA = from_arrays("shelf", X, TRUTH, test_share=0.2)
THEIRS = [
    UncertaintySampling(method="margin_sampling"), UncertaintySampling(method="entropy"), CoreSet(), TypiClust(k=3),
    Badge(), RandomSampling(),
]  # fmt: skip


@pytest.mark.parametrize("theirs", THEIRS, ids=lambda s: f"{type(s).__name__}-{getattr(s, 'method', '')}")
def test_our_session_picks_what_native_use_picks(theirs):
    """Natively with their own classifier on the same features, labels and random state."""
    ours = from_skactiveml(theirs)
    learner = {"name": "sklearn", "classifier": "LogisticRegression"}
    session = Session(Setting(DATA), strategy=ours, learner=learner, initial="random", seed=4)
    oracle = SimulatedOracle(DATA.labels, DATA.pool)
    session.tell(oracle.answer(session.ask(9)))
    for number in range(3):
        ids, labels = session.book.known()
        assert len(np.unique(labels)) == 3
        x = session.setting.features[Features(frame="all")][DATA.pool]
        y = np.full(len(x), np.nan)
        y[np.searchsorted(DATA.pool, ids)] = labels
        draw = Seed(4).child("shelf", "round", number, "select", "FromSkactiveml").integer()
        native = type(theirs)(**{**theirs.get_params(), "random_state": draw})
        clf = SklearnClassifier(LogisticRegression(), classes=[0, 1, 2])
        more = {"clf": clf} if isinstance(theirs, UncertaintySampling | Badge) else {}
        expected = DATA.pool[native.query(x, y, batch_size=4, **more)]
        query = session.ask(4)
        assert query.ids.tolist() == expected.tolist()
        session.tell(oracle.answer(query))
    assert session.conclude()["accuracy"] > 0.5


def test_a_session_goes_on_from_its_ledger():
    ledger = MemoryLedger()
    for rounds in (2, 4):
        session = Session(
            Setting(DATA), strategy=from_skactiveml(CoreSet()), initial="random", seed=1, ledger=ledger
        )  # fmt: skip
        oracle = SimulatedOracle(DATA.labels, DATA.pool)
        while len(session.book.asked) < rounds:
            session.tell(oracle.answer(session.ask(5)))
    calm = Session(Setting(DATA), strategy=from_skactiveml(CoreSet()), initial="random", seed=1)
    for _ in range(4):
        calm.tell(oracle.answer(calm.ask(5)))
    assert session.book.asked == calm.book.asked


def test_needs_are_those_of_the_query():
    features = Features(frame="all")
    assert from_skactiveml(CoreSet()).needs_at(State()) == (features, Labels())
    assert from_skactiveml(Badge()).needs_at(State()) == (features, Labels(), Probs(frame="all"))
    raw = from_skactiveml(CoreSet(), normalise=False)
    assert raw.needs_at(State())[0] == Features(frame="all", normalise=False)


def test_what_it_is_made_of_is_in_the_specification():
    ours = from_skactiveml(TypiClust(k=7, random_state=3, missing_label=-1))
    assert describe(ours) == {
        "name": "FromSkactiveml", "rule": "TypiClust", "settings": '{"k": 7}', "normalise": True,
        "version": skactiveml.__version__,
    }  # fmt: skip
    assert ours == from_skactiveml(TypiClust(k=7)) != from_skactiveml(TypiClust(k=8))
    assert hash(ours) == hash(from_skactiveml(TypiClust(k=7)))


def test_it_can_begin_without_labels():
    session = Session(Setting(DATA), strategy=from_skactiveml(TypiClust()), seed=1)
    assert session.initial == session.strategy
    query = session.ask(6)
    x = session.setting.features[Features(frame="all")][DATA.pool]
    native = TypiClust(random_state=Seed(1).child("shelf", "initial").integer())
    assert query.ids.tolist() == DATA.pool[native.query(x, np.full(len(x), np.nan), batch_size=6)].tolist()


def test_what_no_session_has_is_refused():
    with pytest.raises(SpecError, match="needs ensemble"):
        from_skactiveml(QueryByCommittee())
    with pytest.raises(SpecError, match="parameters that can be written down"):
        from_skactiveml(CoreSet(metric=lambda a, b: 0.0))
    with pytest.raises(SpecError, match=r"query strategy of skactiveml\.pool"):
        from_skactiveml(QueristStrategy("margin"))
    with pytest.raises(SpecError, match=r"query strategy in skactiveml\.pool"):
        FromSkactiveml(rule="k_greedy_center")
    with pytest.raises(SpecError, match=r"Expected scikit-activeml 0\.0"):
        FromSkactiveml(rule="CoreSet", version="0.0")


def test_probabilities_are_given_to_the_rows_they_belong_to():
    x, p = RNG.normal(size=(20, 3)).astype(np.float32), RNG.dirichlet(np.ones(4), size=20)
    x[7] = x[3]
    clf = GivenProbs(x, p).fit(x, np.full(20, np.nan))
    order = RNG.permutation(20)
    expected = p[np.where(order == 7, 3, order)]
    assert np.array_equal(clf.predict_proba(x[order].astype(np.float64)), expected)
    with pytest.raises(KeyError):
        clf.predict_proba(x[:1] + 1)
