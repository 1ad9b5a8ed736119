"""The table of strategies: names, what else people call them, and their settings in papers and other systems."""

import dataclasses

import pytest

from querist.errors import SpecError, UnknownNameError
from querist.registry import describe
from querist.strategies.base import strategies

# name: (aliases, presets), in the order of the reference. Systems: S0 Pourahmadi et al. 2021, arXiv 2110.12033;
# S1 Simeoni et al., ICPR 2020; S2 Munjal et al., CVPR 2022; S3 Chandra et al. 2020, arXiv 2011.14696; S4 Ueno et al.
# 2023, arXiv 2312.05751.
TABLE = {
    "random": ("uniform", {"S0": {"nested": True}, "S1": {}, "S2": {}, "S3": {}, "S4": {}}),
    "class_uniform_oracle": ("", {"S0": {"quota": "floor"}}),
    "long_tail_oracle": (
        "",
        {
            "S2": {"profile": "exponential", "scale": 4000.0, "decay": -0.32, "floor": 500.0},
            "S2_cifar100": {"profile": "exponential", "scale": 400.0, "decay": -0.046, "floor": 100.0},
            "S3": {"profile": "geometric", "ratio": 0.01}, "S3_upstream": {"profile": "geometric", "ratio": 0.02},
        },
    ),
    "least_confidence": ("leastconf", {"paper": {}, "S2": {}, "S3": {}, "S4": {}}),
    "margin": ("", {"paper": {}, "S3": {}, "S4": {}}),
    "entropy": ("uncertainty uncertainty_entropy", {"paper": {}, "S0": {}, "S1": {}, "S3": {}, "S4": {}}),
    "linear_probe_entropy": ("", {}),
    "expected_gradient_length": ("", {"paper": {"label": "expected"}}),
    "mean_std": ("", {}),
    "mc_least_confidence": ("", {"S4": {"k": 10}}),
    "mc_margin": ("", {"S4": {"k": 10}}),
    "mc_entropy": ("dbal", {"S2": {"k": 25}, "S3": {"k": 25}, "S4": {"k": 10}}),
    "variation_ratio": ("", {"paper": {"k": 5}, "S2": {"k": 3}, "S3": {"k": 3}}),
    "vote_entropy": ("", {"paper": {"k": 5}}),
    "consensus_kl": ("", {"paper": {"k": 5}}),
    "bald": ("", {"S2": {"k": 25}, "S3": {"k": 25}, "S4": {"k": 10}}),
    "batch_bald": ("", {"S4": {"k": 40, "samples": 1000}}),
    "epig": ("", {}),
    "core_log": ("", {"paper": {"k": 5, "targets": 600}}),
    "core_mse": ("", {"paper": {"k": 5, "targets": 600}}),
    "ensemble_variation_ratio": ("ensemble_var_R", {"paper": {"k": 5}, "S2": {"k": 3}, "S3": {"k": 3}}),
    "ensemble_entropy": ("", {"paper": {"k": 5}, "S2": {"k": 3}}),
    "ensemble_bald": ("", {"paper": {"k": 5}, "S2": {"k": 3}}),
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
    "k_center_robust": ("", {"paper": {"outliers": 1e-4}}),
    "kmeans_embeddings": ("", {"S4": {"iterations": 300, "restarts": 10}}),
    "centre_of_gravity": ("cog", {"S2": {"normalise": False}, "S3": {"normalise": False}}),
    "cdal_cs": ("", {}),
    "pcoreset": ("", {"paper": {"teacher": None}}),
    "badge": ("", {"paper": {"gradient": "linear"}, "S4": {"gradient": "linear"}}),
    "bait": (
        "", {"paper": {"ridge": 1.0, "oversampling": 2.0}, "paper_cifar": {"ridge": 0.01, "oversampling": 2.0}},
    ),
    "cluster_margin": (
        "",
        {
            "paper": {"oversampling": 10.0}, "paper_large": {"oversampling": 1.25},
            "S4": {"oversampling": 10.0, "mean_size": 1.25, "threshold": None},
        },
    ),
    "clue": ("", {"paper": {"temperature": 1.0, "iterations": 300, "restarts": 10}}),
    "falcun": ("", {"paper": {"gamma": 10.0}}),
    "alfa_mix": (
        "",
        {
            "paper": {"cap": 0.2, "levels": 5, "clip": False, "iterations": 300, "restarts": 10},
            "single": {"cap": 0.2, "levels": 1, "clip": False},
        },
    ),
    "contrastive_al": ("cal", {"paper": {"k": 10}}),
    "galaxy": ("", {"paper": {}}),
    "direct": ("", {}),
    "drop_query": (
        "",
        {"paper": {"passes": 3, "rho": 0.75, "enough": 25, "masks": "row", "iterations": 100, "restarts": 1}},
    ),
    "centroid_init": ("", {"paper": {"iterations": 100, "restarts": 1}}),
    "facility_location": ("submodlib", {"paper": {}, "S4": {}}),
    "feature_based": (
        "", {"paper": {"concave": "sqrt"}, "log": {"concave": "log"}, "inverse": {"concave": "inverse"}},
    ),
    "graph_cut": ("", {"monotone": {"redundancy": 0.5}}),
    "log_det": ("", {}),
    "disparity_min": ("", {}),
    "disparity_sum": ("", {}),
    "smi_flvmi": ("fl1mi", {"paper": {}, "S4": {}}),
    "smi_flqmi": ("fl2mi", {"paper": {}, "S4": {}}),
    "smi_gcmi": ("", {"paper": {}, "S4": {}}),
    "smi_com": ("", {"paper": {}, "S4": {}}),
    "smi_logdetmi": ("", {"paper": {}, "S4": {}}),
    "scg_flcg": ("", {"paper": {}, "S4": {}}),
    "scg_gccg": ("", {"paper": {}, "S4": {}}),
    "scg_logdetcg": ("", {"paper": {}, "S4": {}}),
    "scmi_flcmi": ("", {"paper": {}, "S4": {}}),
    "scmi_logdetcmi": ("", {"paper": {}, "S4": {}}),
    "fass": (
        "",
        {"S4": {"beta": 5.0, "uncertainty": "entropy", "function": "facility_location", "space": "embeddings"}},
    ),
    "glister": ("", {"S4": {"regulariser": "diversity", "strength": 10.0}}),
    "grad_match": ("", {"S4": {"scaling": "batch"}}),
    "grad_match_omp": ("", {"paper": {"ridge": 0.5}}),
    "tod": ("", {"paper": {"space": "logits"}, "S2": {}}),
    "stochastic": (
        "power_bald power_entropy power_margin",
        {
            "paper": {"form": "power", "beta": 1.0}, "power_bald": {"base": "bald", "form": "power"},
            "power_margin": {"base": "margin", "form": "power"}, "power_entropy": {"base": "entropy", "form": "power"},
        },
    ),
    "partitioned": ("", {"S4": {"parts": 1}}),
    "subsampled": ("", {"paper": {"k": 100, "m": None}, "LL4AL": {"m": 10_000}}),
    "class_balanced": ("", {}),
    "half_mix": (
        "uncertainty_mix", {"uncertainty_mix": {"base": "least_confidence"}, "S2": {"base": "least_confidence"}},
    ),
    "uniform_bins": (
        "uncertainty_uniform_discretize centre_of_gravity_bins",
        {
            "S2": {"base": "least_confidence", "n_bins": 500, "quota": "ceil"},
            "uncertainty_uniform_discretize": {"base": "least_confidence", "n_bins": 500, "quota": "ceil"},
            "centre_of_gravity_bins": {"base": "centre_of_gravity", "n_bins": 500, "quota": "ceil"},
        },
    ),
    "epsilon_random": ("", {"light": {"eps": 0.05}}),
    "schedule": ("", {}),
    "cluster_balanced_random": ("", {"S3": {"clusters": None}, "S3_cifar100": {"clusters": 20}}),
    "cluster_balanced_top": ("", {"S3": {"order": "descending"}}),
    "external_model_rank": (
        "",
        {
            "S3_entropy": {"base": "entropy"}, "S3_margin": {"base": "margin"},
            "S3_bald": {"base": {"name": "bald", "k": 25}},
            "S3_coreset": {"base": {"name": "k_center_greedy", "space": "embeddings", "normalise": False}},
        },
    ),
    "ranking_file": ("determined", {"S3": {}}),
    "zcore": ("", {"paper": {"rounds": 1_000_000, "per_row": 10, "dims": 2, "neighbours": 1000, "exponent": 4.0}}),
    "active_ft": ("", {"paper": {"tau": 0.07, "balance": 1.0, "rate": 0.001, "steps": 300}}),
    "simclr_loss": ("", {"S3": {"order": "descending"}}),
    "vae_loss": ("", {"S3": {"order": "descending"}}),
    "rotation_loss": ("", {"S3": {"order": "descending"}}),
    "tau_uncertainty": ("", {}),
    "scan_prototype": ("", {"S3": {"order": "ascending"}}),
    "scan_simclr_combined": ("", {"S3": {"weight": 0.5}}),
    "contrast_hard": ("", {"S3": {"clusters": 30}}),
    "contrast_easy": ("", {"S3": {"clusters": 30}}),
    "contrast_ambiguous": ("", {"S3": {"clusters": 30}}),
    "map_easy": ("", {}),
    "map_ambiguous": ("", {}),
    "map_hard": ("", {}),
    "cosine_dissimilarity": ("", {}),
    "jlp": ("", {"S1": {"k": 50, "gamma": 3.0, "alpha": 0.99, "steps": 20}}),
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
    "dcom": (
        "",
        {
            "paper": {"delta": None, "steepness": 50.0, "centre": 0.8},
            "cifar10_simclr": {"delta": 0.75, "steepness": 50.0, "centre": 0.8},
        },
    ),
    "tcm": ("", {}),
    "select_al": ("", {}),
    "tailor": ("", {"paper": {"discount": 0.9}}),
    "adaptive": ("", {"v1": {}}),
}  # fmt: skip

WITHOUT_DEFAULT = {
    "ranking_file": {"path": "ranking.npy"},
    "external_model_rank": {"path": "outputs.npz", "trained_on": "other labelled items"},
    "map_easy": {"path": "map.npy"},
    "map_ambiguous": {"path": "map.npy"},
    "map_hard": {"path": "map.npy"},
}
"""Settings that a strategy cannot do without; nothing is read before a selection."""


def test_every_strategy_has_a_row():
    ours = [card.name for card in strategies.cards() if card.component.__module__.startswith("querist.")]
    assert sorted(TABLE) == sorted(ours)


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
    given = WITHOUT_DEFAULT.get(name, {})
    built = strategies.build({"name": alias, **given})
    assert built == strategies.build({"name": name, **preset, **given})
    assert describe(built)["name"] == name
    assert alias not in strategies.names()


@pytest.mark.parametrize(("name", "preset"), [(name, preset) for name, row in TABLE.items() for preset in row[1]])
def test_G9_every_preset_builds_can_be_overridden_and_is_recorded_by_what_it_sets(name, preset):
    given = WITHOUT_DEFAULT.get(name, {})
    built = strategies.build({"name": name, "preset": preset, **given})
    settings = TABLE[name][1][preset]
    defaults = strategies.build({"name": name, **given})
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


def test_M24_a_rule_is_not_listed_under_the_name_of_another():
    """Robust k-center is a mixed-integer program; the greedy rule must not stand in for it."""
    assert [card.name for card in strategies.cards() for name in (card.name, *card.aliases) if "robust" in name] == [
        "k_center_robust"
    ]
    robust, greedy = (strategies.card(name).component for name in ("k_center_robust", "k_center_greedy"))
    assert not issubclass(robust, greedy)
    assert robust.select is not greedy.select
    with pytest.raises(UnknownNameError, match="adversarial_bim"):
        strategies.build("adversarial_bim")
