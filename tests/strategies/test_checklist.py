"""The names of the literature one by one: which are registered, of what family, and what the others wait for."""

from collections import Counter

import pytest

from querist.errors import UnknownNameError
from querist.strategies.base import FAMILIES, REGIMES, strategies

REGISTERED = {
    "random and oracle": "random class_uniform_oracle long_tail_oracle",
    "uncertainty": "least_confidence margin entropy linear_probe_entropy expected_gradient_length",
    "committee": "mean_std mc_least_confidence mc_margin mc_entropy variation_ratio vote_entropy consensus_kl bald "
    "batch_bald epig core_log core_mse ensemble_variation_ratio ensemble_entropy ensemble_bald",
    "coverage": "k_center_greedy k_center_robust kmeans_single_batch kmeans_multi_batch kmeans_embeddings k_medoids "
    "centre_of_gravity cdal_cs pcoreset",
    "hybrid": "badge bait cluster_margin clue falcun alfa_mix contrastive_al drop_query galaxy direct",
    "submodular": "facility_location feature_based graph_cut log_det disparity_min disparity_sum fass glister "
    "grad_match grad_match_omp",
    "submodular information": "smi_flvmi smi_flqmi smi_gcmi smi_com smi_logdetmi scg_flcg scg_gccg scg_logdetcg "
    "scmi_flcmi scmi_logdetcmi",
    "auxiliary model": "tod",
    "wrapper": "stochastic partitioned subsampled class_balanced half_mix uniform_bins epsilon_random schedule",
    "cold start": "cluster_balanced_random cluster_balanced_top centroid_init external_model_rank ranking_file zcore "
    "active_ft simclr_loss vae_loss rotation_loss tau_uncertainty scan_prototype scan_simclr_combined contrast_hard "
    "contrast_easy contrast_ambiguous map_easy map_ambiguous map_hard cosine_dissimilarity",
    "graph diffusion": "jlp",
    "budget-adaptive": "typiclust prob_cover max_herding uherding dcom tcm select_al tailor",
}
"""What works on outputs, features, gradients, labels and traces of a pre-training."""

OURS = {"budget-adaptive": "adaptive"}
"""Rules of this package that no list of the literature has."""

WAITING = {
    "needs images and augmentations": "augmentation_consistency",
    "needs a model whose weights are perturbed": "noise_stability least_disagree",
    "needs gradients of the input": "adversarial_bim adversarial_deepfool",
    "needs a network of its own, trained for selection": "vaal vaal_minus_disc ta_vaal waal learning_loss "
    "uncertain_gcn core_gcn tidal",
    "needs batches of a ranking by a pre-training, told apart by a model": "pt4al",
    "needs patch tokens": "freesel",
    "is a learner here, for it changes what is trained on and not what is asked": "ceal",
    "needs rewards of a session, test loss or audit draws": "albl auto_al safe_switch boss_oracle",
}
"""Names that are not registered, by what they wait for."""

COUNTS = {
    "random and oracle": 3, "uncertainty": 5, "committee": 15, "coverage": 9, "hybrid": 10, "submodular": 10,
    "submodular information": 10, "auxiliary model": 1, "wrapper": 8, "cold start": 20, "budget-adaptive": 9,
    "graph diffusion": 1,
}  # fmt: skip

LITERATURE = 120
"""Names that the list of the literature has, counting those that wait."""


def words(table):
    return [name for row in table.values() for name in row.split()]


def cards():
    return [card for card in strategies.cards() if card.component.__module__.startswith("querist.")]


def test_registered_names_are_those_of_the_list():
    assert sorted(card.name for card in cards()) == sorted(words(REGISTERED) + words(OURS))


@pytest.mark.parametrize(("family", "count"), COUNTS.items())
def test_count_by_family(family, count):
    expected = [name for table in (REGISTERED, OURS) for name in table.get(family, "").split()]
    assert sorted(card.name for card in cards() if card.component.family == family) == sorted(expected)
    assert len(expected) == count


def test_every_family_is_known_and_counted():
    assert set(Counter(card.component.family for card in cards())) == set(COUNTS) <= set(FAMILIES)
    assert sum(COUNTS.values()) == len(cards())


def test_the_list_is_complete_and_names_nothing_twice():
    names = words(REGISTERED) + words(WAITING)
    assert len(names) == len(set(names)) == LITERATURE


@pytest.mark.parametrize("name", words(WAITING))
def test_C16_what_waits_is_not_listed_under_its_name_or_as_an_alias(name):
    with pytest.raises(UnknownNameError):
        strategies.card(name)


@pytest.mark.parametrize("name", sorted(words(REGISTERED) + words(OURS)))
def test_every_name_says_where_it_is_at_home_and_where_it_comes_from(name):
    card = strategies.card(name)
    assert card.component.regimes
    assert set(card.component.regimes) <= set(REGIMES)
    assert card.cite
