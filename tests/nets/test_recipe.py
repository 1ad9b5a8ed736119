"""Schedules and lengths of training: the values at every share of the horizon, and settings that make no sense."""

import math

import pytest

from querist.errors import SpecError
from querist.nets.recipe import Recipe


def test_T6_rate_rises_along_a_line_and_falls_along_a_cosine_to_zero():
    recipe = Recipe(lr=0.2, warmup=0.1)
    rates = [recipe.rate(t, 100) for t in range(100)]
    assert rates[:10] == pytest.approx([0.2 * (t + 1) / 11 for t in range(10)])
    assert rates[10] == pytest.approx(0.2)
    assert rates[55] == pytest.approx(0.1)  # halfway between the top and the horizon
    assert rates[99] == pytest.approx(0.1 * (1 + math.cos(math.pi * 89 / 90)))
    assert rates[99] < 1e-4
    assert recipe.rate(100, 100) == pytest.approx(0.0, abs=1e-15)


@pytest.mark.parametrize("horizon", [1, 2, 7, 400])
def test_rate_without_warmup_is_the_plain_cosine(horizon):
    recipe = Recipe(lr=0.3, warmup=0.0)
    expected = [0.15 * (1 + math.cos(math.pi * t / horizon)) for t in range(horizon)]
    assert [recipe.rate(t, horizon) for t in range(horizon)] == pytest.approx(expected)


@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.5, 0.99])
def test_every_rate_of_every_horizon_is_positive(warmup):
    for horizon in range(1, 30):
        rates = [Recipe(warmup=warmup).rate(t, horizon) for t in range(horizon)]
        assert 0 < min(rates) <= max(rates) <= 0.1, horizon


def test_updates_do_not_depend_on_the_number_of_labels():
    assert {Recipe(updates=70).horizon(l) for l in (1, 50, 50_000)} == {70}


def test_T5_epochs_are_whole_presentations_and_never_no_update():
    recipe = Recipe(epochs=10, batch=32)
    assert recipe.horizon(32) == 10
    assert recipe.horizon(33) == 11  # 330 images in batches of 32
    assert recipe.horizon(1) == 1
    assert Recipe(epochs=0.01).horizon(5) == 1


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("updates", 0, "updates to be at least 1, got 0"),
        ("batch", 1, "batch to be at least 2, got 1: batch normalisation"),
        ("lr", 0.0, "lr to be more than 0, got 0.0"),
        ("lr", math.inf, "lr to be more than 0, got inf"),
        ("momentum", 1.0, "momentum to be at least 0 and less than 1, got 1.0"),
        ("warmup", 1.0, "warmup to be at least 0 and less than 1"),
        ("label_smoothing", -0.1, "label_smoothing to be at least 0 and less than 1"),
        ("weight_decay", -1e-4, "weight_decay to be at least 0"),
        ("crop", 0.6, "crop to be at least 0 and at most 0.5, got 0.6"),
        ("epochs", 0.0, "epochs to be more than 0"),
    ],
)
def test_settings_that_make_no_sense(setting, value, message):
    with pytest.raises(SpecError, match=message):
        Recipe(**{setting: value})
