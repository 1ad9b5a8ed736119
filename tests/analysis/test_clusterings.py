"""Agreement of clusters and classes: against scikit-learn, by brute force over matchings, and its identities."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, strategies as st
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from querist.analysis.clusterings import agreement
from querist.errors import DataError

PAIRS = st.lists(st.tuples(st.integers(0, 3), st.integers(-1, 2)), min_size=1, max_size=30)


@given(PAIRS)
def test_agrees_with_scikit_learn_and_with_the_best_of_all_matchings(pairs):
    cluster, truth = (np.array(values) for values in zip(*pairs, strict=True))
    found = agreement(cluster, truth)
    assert found.nmi == pytest.approx(normalized_mutual_info_score(truth, cluster), abs=1e-9)
    assert found.ari == pytest.approx(adjusted_rand_score(truth, cluster), abs=1e-9)
    # Six names for four clusters, so that some clusters may stay without a class.
    best = max(np.mean(np.array(names)[cluster] == truth) for names in permutations([-1, 0, 1, 2, 8, 9], 4))
    assert found.accuracy == pytest.approx(best)


@given(st.lists(st.integers(0, 4), min_size=2, max_size=30))
def test_names_of_clusters_do_not_matter_and_the_truth_is_perfect(values):
    truth = np.array(values)
    assert agreement(9 - truth, truth) == pytest.approx((1.0, 1.0, 1.0))


def test_nothing_to_compare_is_refused():
    for wrong in (np.arange(0), np.arange(3)):
        with pytest.raises(DataError, match="Expected one class per clustered item"):
            agreement(wrong, np.arange(2) if len(wrong) else wrong)
