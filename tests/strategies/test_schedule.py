"""Schedules: which stage is active, what it needs, and that later stages are checked at the start."""

import tomllib

import numpy as np
import pytest

import querist
from querist.errors import SpecError, UnmetNeedError, UsageError
from querist.evidence.needs import Draws, Embeddings, Features, Gradients, History, Past, Probs
from querist.evidence.provider import Fit
from querist.labels.oracle import Query, SimulatedOracle
from querist.registry import describe
from querist.seeds import Seed
from querist.session.session import Session
from querist.session.setting import Setting
from querist.strategies.badge import Badge
from querist.strategies.bald import Bald
from querist.strategies.base import State, choose, strategies
from querist.strategies.class_uniform_oracle import ClassUniformOracle
from querist.strategies.composition import flags_of, resolved, wrapped_by
from querist.strategies.k_center_greedy import KCenterGreedy
from querist.strategies.kmeans_single_batch import KMeansSingleBatch
from querist.strategies.margin import Margin
from querist.strategies.random import Random
from querist.strategies.schedule import Schedule
from querist.strategies.stochastic import Stochastic
from querist.strategies.typiclust import TypiClust
from querist.strategies.uherding import UHerding
from querist.studies.arms import compact
from querist.testing.contract import StrategyContract
from querist.testing.fakes import fake_dataset, fake_evidence


class TestSchedule(StrategyContract):
    make = Schedule


class TestRounds(StrategyContract):
    make = staticmethod(lambda: Schedule(stages=(TypiClust(), Margin()), until=(3,), by="rounds"))


THREE = Schedule(stages=(TypiClust(), Margin(), Badge()), until=(2, 5), by="rounds")
PER_CLASS = Schedule(stages=(TypiClust(), Margin(), Badge()), until=(2, 5))


@pytest.mark.parametrize("base", [Margin(), Badge(), TypiClust(), UHerding(), Stochastic()])
@pytest.mark.parametrize("by", ["rounds", "labels_per_class"])
def test_one_stage_is_that_stage(base, by):
    ev, strategy = fake_evidence(base), Schedule(stages=(base,), until=(), by=by)
    one, other = (choose(s, ev, 9, Seed(0).key()) for s in (strategy, base))
    assert one.ids.tolist() == other.ids.tolist()
    assert np.array_equal(one.utility, other.utility)
    for state in (State(), State(round=4, n_labelled=9, has_model=True)):
        assert strategy.needs_at(state) == base.needs_at(state)


@pytest.mark.parametrize(("labelled", "stage"), [(0, 0), (7, 0), (8, 1), (19, 1), (20, 2), (50, 2)])
def test_labels_per_class_say_which_stage_is_active(labelled, stage):
    active = PER_CLASS.stages[stage]
    state = State(n_labelled=labelled, has_model=labelled > 0, c=4)
    assert PER_CLASS.needs_at(state) == active.needs_at(state)
    ev = fake_evidence(PER_CLASS, labelled=labelled, c=4)
    assert ev.needs == set(active.needs_at(state))
    one, other = (choose(s, ev, 9, Seed(0).key()).ids.tolist() for s in (PER_CLASS, active))
    assert one == other


@pytest.mark.parametrize(("past", "stage"), [(0, 0), (1, 0), (2, 1), (4, 1), (5, 2), (9, 2)])
def test_earlier_queries_say_which_stage_is_active(past, stage):
    active = THREE.stages[stage]
    state = State(round=past, n_labelled=12, has_model=True, c=4)
    assert set(THREE.needs_at(state)) == {*active.needs_at(state), History()}
    ev = fake_evidence((Features(frame="all"), Probs(), Gradients(), History()))
    ev._values[History()] = Past((ev.labelled[:1],) * past, (None,) * past)
    one, other = (choose(s, ev, 9, Seed(0).key()).ids.tolist() for s in (THREE, active))
    assert one == other


def test_while_nobody_knows_how_many_classes_there_are_all_stages_are_needed():
    state = State(n_labelled=9, has_model=True)
    assert set(PER_CLASS.needs_at(state)) == {Features(frame="all"), Probs(), Gradients()}
    assert PER_CLASS.needs_at(State()) == (Features(frame="all"),)


@pytest.fixture(scope="module")
def setting():
    return Setting(fake_dataset(n=120, c=3, d=5))


def run(setting, strategy, rounds, b=6, **arguments):
    session = Session(setting, strategy=strategy, seed=0, **arguments)
    oracle = SimulatedOracle(setting.dataset.labels, setting.dataset.pool)
    for _ in range(rounds + 1):
        session.tell(oracle.answer(session.ask(b)))
    return [asked.ids for asked in session.book.asked]


def test_a_session_switches_at_the_declared_round(setting):
    strategy = Schedule(stages=(KCenterGreedy(), Margin()), until=(2,), by="rounds")
    scheduled = run(setting, strategy, 4, initial="random")
    covered = run(setting, KCenterGreedy(), 4, initial="random")
    assert scheduled[:3] == covered[:3]
    assert scheduled[3] != covered[3]
    session = Session(setting, strategy="margin", initial="random", seed=0)
    oracle, ids = SimulatedOracle(setting.dataset.labels, setting.dataset.pool), np.concatenate(scheduled[:3])
    assert session.ask(6).ids.tolist() == list(scheduled[0])
    # What margin picks with the same labels: its rule has no draws, so the address of its key does not matter.
    probs = session.learner.fit(fit_on(setting, ids, oracle)).provide(Probs(), setting.view(rest(setting, ids)))
    order = np.argsort(np.diff(np.sort(probs)[:, -2:])[:, 0])
    assert list(scheduled[3]) == rest(setting, ids)[order[:6]].tolist()


def rest(setting, ids):
    return np.setdiff1d(setting.dataset.pool, ids)


def fit_on(setting, ids, oracle):
    ids = np.sort(ids)
    answers = oracle.answer(Query(ids))
    labels = np.array([answers[i] for i in ids.tolist()])
    return Fit(labelled=setting.view(ids, labels), pool=setting.view(rest(setting, ids)), seed=Seed(0))


def test_a_session_switches_at_the_declared_number_of_labels(setting):
    strategy = Schedule(stages=(KCenterGreedy(), Margin()), until=(5.5,))  # 3 classes: 16.5 labels
    scheduled = run(setting, strategy, 3, initial="random")
    covered = run(setting, KCenterGreedy(), 3, initial="random")
    assert scheduled[:3] == covered[:3]  # chosen with 0, 6 and 12 labels
    assert scheduled[3] != covered[3]  # with 18


@pytest.mark.parametrize("by", ["rounds", "labels_per_class"])
def test_needs_of_later_stages_are_checked_before_anything_is_labelled(setting, by):
    late = Schedule(stages=(TypiClust(), Bald()), until=(50,), by=by)
    with pytest.raises(UnmetNeedError, match=r"needs evidence that nothing here provides:\s+Draws"):
        Session(setting, strategy=late)
    nested = Stochastic(base=Margin())
    assert Session(setting, strategy=Schedule(stages=(TypiClust(), nested), until=(50,), by=by)).book.round == 0


def test_a_schedule_starts_cold_if_its_first_stage_does(setting):
    assert run(setting, Schedule(stages=(TypiClust(), Margin()), until=(1,), by="rounds"), 2)
    strategy = Schedule(stages=(Margin(), TypiClust()), until=(1,), by="rounds")
    assert Session(setting, strategy=strategy).initial == Random()


def test_arrays_know_labels_per_class_but_no_rounds():
    rng = np.random.default_rng(0)
    x, p = rng.normal(size=(60, 5)), rng.dirichlet(np.ones(3), 60)
    strategy = Schedule(stages=(KCenterGreedy(), Margin()), until=(2,))
    few, many = np.arange(5), np.arange(6)
    given = {"probs": p, "features": x}
    assert querist.select(strategy, 4, labelled=few, **given).ids.tolist() == (
        querist.select("k_center_greedy", 4, labelled=few, features=x).ids.tolist()
    )
    assert querist.select(strategy, 4, labelled=many, **given).ids.tolist() == (
        querist.select("margin", 4, labelled=many, probs=p).ids.tolist()
    )
    rounds = Schedule(stages=(KCenterGreedy(), Margin()), until=(2,), by="rounds")
    with pytest.raises(UnmetNeedError, match="History"):
        querist.select(rounds, 4, labelled=few, **given)
    blind = Schedule(stages=(KCenterGreedy(), TypiClust()), until=(2,))
    with pytest.raises(UsageError, match="classes=C"):
        querist.select(blind, 4, labelled=few, features=x)
    assert len(querist.select(blind, 4, labelled=few, features=x, classes=3).ids) == 4


def test_is_composed_in_text_and_in_toml():
    expected = Schedule(stages=(TypiClust(), Stochastic(beta=2.0)), until=(5.0,), by="rounds")
    assert strategies.build("schedule([typiclust, stochastic(margin, beta=2)], until=[5], by=rounds)") == expected
    text = """
        name = "schedule"
        stages = ["typiclust", { name = "stochastic", base = "margin", beta = 2 }]
        until = [5]
        by = "rounds"
    """
    assert strategies.build(tomllib.loads(text)) == expected
    assert strategies.build(describe(expected)) == expected
    words = compact(describe(expected), expected)
    assert words == "schedule(stages=(typiclust, stochastic(margin, beta=2.0)), until=(5.0,), by=rounds)"
    assert strategies.build(words) == expected
    assert compact(describe(Schedule()), Schedule()) == "schedule"


def test_flags_spaces_and_parts_are_those_of_all_stages():
    strategy = Schedule(stages=(KCenterGreedy(), Stochastic(base=Margin()), ClassUniformOracle()), until=(1, 2))
    assert flags_of(strategy) == {"oracle"}
    assert wrapped_by(strategy) == strategy.stages
    assert resolved(strategy, trains_backbone=True).stages[0].needs_at(State()) == (Embeddings(frame="all"),)
    assert resolved(Random(), trains_backbone=True) == Random()


def test_mistakes():
    for stages, until, words in (
        ((Margin(), Badge()), (), "got 0 for 2 stages"),
        ((Margin(), Badge(), Random()), (3, 2), "above 0 and rising"),
        ((Margin(), Badge()), (0,), "above 0 and rising"),
        ((Margin(), Badge()), (float("inf"),), "above 0 and rising"),
        ((KMeansSingleBatch(), Badge()), (3,), "at once"),
    ):
        with pytest.raises(SpecError, match=words):
            Schedule(stages=stages, until=until)
    with pytest.raises(SpecError, match="one by one"):
        Schedule(stages=(Margin(), strategies.build("galaxy")), until=(3,), by="rounds")
    with pytest.raises(SpecError, match=r"stages\[1\]"):
        strategies.build({"name": "schedule", "stages": ["margin", 3], "until": [2]})


def test_wants_are_those_of_the_active_stage():
    class Wanting(Random):
        wants = (Draws(k=3),)

    strategy = Schedule(stages=(Margin(), Wanting()), until=(2,))
    assert strategy.wants_at(State(n_labelled=3, has_model=True, c=3)) == ()
    assert strategy.wants_at(State(n_labelled=6, has_model=True, c=3)) == (Draws(k=3),)
