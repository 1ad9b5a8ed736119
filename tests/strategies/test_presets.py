"""The table of core strategies: names, what else people call them, and their settings in papers and other systems."""

import dataclasses

import pytest

from querist.errors import SpecError, UnknownNameError
from querist.registry import describe
from querist.strategies.base import strategies

# name: (aliases, presets). Systems: S0 Pourahmadi et al. 2021, arXiv 2110.12033; S1 Simeoni et al., ICPR 2020;
# S2 Munjal et al., CVPR 2022; S3 Chandra et al. 2020, arXiv 2011.14696; S4 Ueno et al. 2023, arXiv 2312.05751.
TABLE = {
    "random": ("uniform", {"S0": {"nested": True}, "S1": {}, "S2": {}, "S3": {}, "S4": {}}),
    "least_confidence": ("leastconf", {"paper": {}, "S2": {}, "S3": {}, "S4": {}}),
    "margin": ("", {"paper": {}, "S3": {}, "S4": {}}),
    "entropy": ("uncertainty uncertainty_entropy", {"paper": {}, "S0": {}, "S1": {}, "S3": {}, "S4": {}}),
    "mean_std": ("", {}),
    "mc_entropy": ("dbal", {"S2": {"k": 25}, "S3": {"k": 25}, "S4": {"k": 10}}),
    "variation_ratio": ("", {"paper": {"k": 5}, "S2": {"k": 3}, "S3": {"k": 3}}),
    "vote_entropy": ("", {"paper": {"k": 5}}),
    "consensus_kl": ("", {"paper": {"k": 5}}),
    "bald": ("", {"S2": {"k": 25}, "S3": {"k": 25}, "S4": {"k": 10}}),
    "batch_bald": ("", {"S4": {"k": 40, "samples": 1000}}),
    "k_center_greedy": (
        "coreset",
        {
            "paper": {"normalise": False}, "S0": {"normalise": True}, "S1": {"normalise": True},
            "S2": {"normalise": False}, "S3": {"normalise": False}, "S4": {"normalise": False},
        },
    ),
    "kmeans_single_batch": (
        "kmeans", {"paper": {"iterations": 20, "restarts": 5}, "S0": {"iterations": 20, "restarts": 5}},
    ),
    "kmeans_multi_batch": (
        "accu_kmeans", {"paper": {"iterations": 20, "restarts": 5}, "S0": {"iterations": 20, "restarts": 5}},
    ),
    "k_medoids": ("", {"paper": {"swaps": True}}),
    "badge": ("", {"paper": {"gradient": "linear"}, "S4": {"gradient": "linear"}}),
    "cluster_margin": (
        "",
        {
            "paper": {"oversampling": 10.0}, "paper_large": {"oversampling": 1.25},
            "S4": {"oversampling": 10.0, "mean_size": 1.25, "threshold": None},
        },
    ),
    "drop_query": (
        "",
        {"paper": {"passes": 3, "rho": 0.75, "enough": 25, "masks": "row", "iterations": 100, "restarts": 1}},
    ),
    "centroid_init": ("", {"paper": {"iterations": 100, "restarts": 1}}),
    "facility_location": ("submodlib", {"paper": {}, "S4": {}}),
    "stochastic": (
        "power_bald power_entropy power_margin",
        {
            "paper": {"form": "power", "beta": 1.0}, "power_bald": {"base": "bald", "form": "power"},
            "power_margin": {"base": "margin", "form": "power"}, "power_entropy": {"base": "entropy", "form": "power"},
        },
    ),
    "typiclust": (
        "",
        {
            "paper": {"max_clusters": 500, "min_size": 5, "neighbours": 20, "distance": "plain"},
            "official": {
                "max_clusters": 500, "min_size": 5, "neighbours": 20, "distance": "squared",
                "resort": False, "iterations": 300, "restarts": 10,
            },
        },
    ),
    "prob_cover": (
        "",
        {
            "paper": {"delta": None, "purity": 0.95}, "cifar10_simclr": {"delta": 0.75},
            "cifar10_scan": {"delta": 0.55}, "cifar10_dino": {"delta": 0.6}, "cifar100": {"delta": 0.5},
            "imagenet100": {"delta": 0.55}, "tiny_imagenet": {"delta": 0.55},
        },
    ),
    "max_herding": ("", {"paper": {"sigma": 1.0}}),
    "uherding": (
        "",
        {
            "paper": {"radius": "paper", "temperature": "paper"},
            "robust": {"radius": "robust", "temperature": "robust"},
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TABLE)
def test_C19_names_aliases_and_presets_are_those_of_the_table(name):
    aliases, presets = TABLE[name]
    card = strategies.card(name)
    assert card.name == name
    assert name in strategies.names()
    assert sorted(card.aliases) == sorted(aliases.split())
    assert {preset: dict(settings) for preset, settings in card.presets.items()} == presets


@pytest.mark.parametrize(("alias", "name"), [(a, name) for name, (words, _) in TABLE.items() for a in words.split()])
def test_an_alias_builds_the_same_strategy_and_is_not_listed(alias, name):
    preset = {"preset": alias} if alias in TABLE[name][1] else {}
    assert strategies.build(alias) == strategies.build({"name": name, **preset})
    assert describe(strategies.build(alias))["name"] == name
    assert alias not in strategies.names()


@pytest.mark.parametrize(("name", "preset"), [(name, preset) for name, row in TABLE.items() for preset in row[1]])
def test_G9_every_preset_builds_can_be_overridden_and_is_recorded_by_what_it_sets(name, preset):
    built = strategies.build({"name": name, "preset": preset})
    settings = TABLE[name][1][preset]
    defaults = strategies.build(name)
    for field in dataclasses.fields(built):
        expected = settings.get(field.name, getattr(defaults, field.name))
        value = getattr(built, field.name)
        assert value == (strategies.build(expected) if field.name == "base" else expected)
    assert strategies.build(describe(built)) == built
    if settings == {}:
        assert built == defaults
    if "k" in settings:
        assert strategies.build({"name": name, "preset": preset, "k": 7}).k == 7


@pytest.mark.parametrize("name", ["power_bald", "power_entropy", "power_margin"])
def test_the_power_rules_are_presets_of_stochastic_under_the_names_people_know(name):
    base = name.removeprefix("power_")
    assert strategies.build(name) == strategies.build(f"stochastic({base})")
    assert strategies.build({"name": "stochastic", "preset": name}) == strategies.build(name)
    assert strategies.build(f"{name}(beta=2)") == strategies.build(f"stochastic({base}, beta=2)")
    assert describe(strategies.build(name))["name"] == "stochastic"


def test_words_of_a_composition_need_no_quotes():
    built = strategies.build("typiclust(distance=squared, resort=True)")
    assert built == strategies.build({"name": "typiclust", "distance": "squared", "resort": True})
    with pytest.raises(SpecError, match="expected 'plain' or 'squared', got 'cubed'"):
        strategies.build("typiclust(distance=cubed)")


def test_M24_a_rule_that_nobody_wrote_is_not_listed_under_the_name_of_another():
    """Robust k-center is a mixed-integer program; the greedy rule must not stand in for it."""
    assert not [name for card in strategies.cards() for name in (card.name, *card.aliases) if "robust" in name]
    with pytest.raises(UnknownNameError, match="k_center_greedy"):
        strategies.build("k_center_robust")
