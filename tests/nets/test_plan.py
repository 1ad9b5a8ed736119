"""The plan of a fit: schedules at 0, 50 and 100 %, equal work, and averages that do not depend on the batch."""

import math

import pytest
from hypothesis import given, strategies as st

from querist.errors import SpecError, UnknownNameError
from querist.nets.plan import INTERVAL, make_plan
from querist.nets.recipe import Recipe

SCHEDULES = [
    ({"schedule": "cosine"}, 1.0, 0.5, 0.0),
    ({"schedule": "cosine", "stretch": 2.0}, 1.0, 0.5 * (1 + math.sqrt(0.5)), 0.5),
    ({"schedule": "linear", "stretch": 4.0}, 1.0, 0.875, 0.75),
    ({"schedule": "linear"}, 1.0, 0.5, 0.0),
    ({"schedule": "constant"}, 1.0, 1.0, 1.0),
    ({"schedule": "exponential", "gamma": 0.01}, 1.0, 0.1, 0.01),
    ({"schedule": "multistep", "milestones": (0.5, 0.75)}, 1.0, 0.1, 0.01),
]


@pytest.mark.parametrize(("settings", "start", "middle", "end"), SCHEDULES)
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "lars"])
def test_T4_schedules_at_0_50_and_100_percent(settings, start, middle, end, optimizer):
    recipe = Recipe(lr=0.4, warmup=0.0, optimizer=optimizer, **settings)
    for horizon in (10, 1000):
        assert recipe.rate(0, horizon) == pytest.approx(0.4 * start)
        assert recipe.rate(horizon // 2, horizon) == pytest.approx(0.4 * middle)
        assert recipe.rate(horizon, horizon) == pytest.approx(0.4 * end, abs=1e-12)


def test_multistep_falls_exactly_at_its_milestones():
    recipe = Recipe(lr=1.0, warmup=0.0, schedule="multistep", milestones=(0.3, 0.6), gamma=0.5, updates=10)
    assert [recipe.rate(t, 10) for t in range(10)] == [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.25]


@given(
    horizon=st.integers(1, 60),
    warmup=st.floats(0, 0.99),
    schedule=st.sampled_from(["cosine", "linear", "constant", "exponential"]),
    stretch=st.floats(1, 3),
)
def test_every_rate_is_positive_and_never_above_the_highest(horizon, warmup, schedule, stretch):
    recipe = Recipe(warmup=warmup, schedule=schedule, stretch=stretch)
    rates = [recipe.rate(t, horizon) for t in range(horizon)]
    assert all(0 < rate <= recipe.lr * (1 + 1e-12) for rate in rates)
    rising = math.ceil(warmup * horizon)
    assert rates[:rising] == sorted(rates[:rising])
    assert rates[rising:] == sorted(rates[rising:], reverse=True)


@pytest.mark.parametrize("batch", [8, 32, 512, 5000])
@pytest.mark.parametrize("epochs", [1, 150])
def test_T14_snapshots_do_not_depend_on_the_batch(batch, epochs):
    """Floor(updates / 50) gave 10 of them for one batch and 625 for another."""
    plan = make_plan(Recipe(epochs=epochs, batch=batch, swa=1 / 3, swa_lr=0.02), 5000)
    assert len(plan.snapshots) == 25
    assert max(plan.snapshots) == plan.total
    assert min(plan.snapshots) > plan.horizon
    assert set(plan.rates[plan.horizon :]) == {0.02}
    assert plan.total - plan.horizon == max(25, math.ceil(plan.horizon / 3))


def test_a_plan_without_averaging_has_no_further_updates():
    plan = make_plan(Recipe(updates=70), 10)
    assert (plan.total, plan.horizon, plan.snapshots) == (70, 70, frozenset())


@pytest.mark.parametrize(("updates", "looks"), [(100, 20), (7, 20), (1, 1), (99, 7)])
def test_looks_are_spread_evenly_and_include_the_last(updates, looks):
    plan = make_plan(Recipe(updates=updates, looks=looks), 10)
    found = sorted(plan.looks)
    assert len(found) == min(updates, looks)
    assert found[-1] == updates
    assert found[0] >= 1
    gaps = {b - a for a, b in zip([0, *found], found, strict=False)}
    assert max(gaps) - min(gaps) <= 1


@pytest.mark.parametrize(("l", "batch"), [(1, 32), (24, 4), (1000, 32), (50_000, 128)])
def test_a_report_is_whole_epochs_and_worth_one(l, batch):
    interval = make_plan(Recipe(updates=10, batch=batch), l).interval
    epoch = math.ceil(l / batch)
    assert interval % epoch == 0
    assert INTERVAL <= interval < INTERVAL + epoch


def test_T23_equal_updates_whatever_the_labels_unless_epochs_are_declared():
    plans = [make_plan(Recipe(updates=120), l) for l in (1, 40, 50_000)]
    assert {plan.total for plan in plans} == {120}
    assert len({plan.rates for plan in plans}) == 1
    by_epochs = [make_plan(Recipe(epochs=10, batch=32), l).total for l in (1, 40, 50_000)]
    assert by_epochs == [1, 13, 15_625]


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"milestones": (0.5,)}, SpecError, "belong together"),
        ({"schedule": "multistep"}, SpecError, "belong together"),
        ({"schedule": "multistep", "milestones": (0.8, 0.5)}, SpecError, "to ascend between 0 and 1"),
        ({"schedule": "multistep", "milestones": (160.0, 240.0)}, SpecError, "to ascend between 0 and 1"),
        ({"ema": 0.9, "swa": 0.5}, SpecError, "set one of them to 0"),
        ({"swa": 0.5, "swa_snapshots": 4}, SpecError, "swa_snapshots to be at least 5"),
        ({"precise_bn": True, "batch_norm": "eval"}, SpecError, "set precise_bn = false, or batch_norm = 'train'"),
        ({"stretch": 0.5}, SpecError, "stretch to be at least 1"),
        ({"backbone_lr": 0.0}, SpecError, "backbone_lr to be more than 0"),
        ({"clip": -1.0}, SpecError, "clip to be more than 0"),
        ({"schedule": "cosin"}, UnknownNameError, "Did you mean 'cosine'"),
        ({"keep": "Best"}, UnknownNameError, "unknown keep 'Best'"),
        ({"precision": "bf16"}, UnknownNameError, "unknown precision 'bf16'"),
    ],
)
def test_T22_settings_that_contradict_or_are_unknown_raise(settings, error, message):
    with pytest.raises(error, match=message):
        Recipe(**settings)


@pytest.mark.parametrize(
    "name", ["flip", "nesterov", "decay_all", "class_weights", "precise_bn", "compile", "dynamics"]
)
@pytest.mark.parametrize("value", ["False", "false", 0, None])
def test_T21_a_truth_value_is_true_or_false_and_nothing_else(name, value):
    """``"False"`` is a word, and every word is true."""
    with pytest.raises(SpecError, match=f"Expected {name} to be True or False, got {value!r}"):
        Recipe(**{name: value})
