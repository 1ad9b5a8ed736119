"""ALiPy: query strategies for single labels."""

import sys
from functools import partial

import numpy as np
from case import Case, Seen
from scipy import stats

alipy = partial(Case, distribution="alipy", module="alipy")


def removed() -> Seen:
    """Query three strategies on arrays, as in their documentation."""
    from alipy.query_strategy.query_labels import QueryInstanceQBC, QueryInstanceUncertainty

    x = np.random.default_rng(0).normal(size=(50, 2))
    y, said = (x[:, 0] > 0).astype(int), []
    for kind in (QueryInstanceUncertainty, QueryInstanceQBC):
        try:
            kind(x, y).select(np.arange(10), np.arange(10, 50), batch_size=2)
        except AttributeError as error:
            said.append(str(error))
    version = ".".join(map(str, sys.version_info[:2]))
    return Seen(
        fails=len(said) == 2,
        happened=f"{len(said)} of 2 end in `AttributeError: {said[0] if said else ''}` on Python {version}.",
    )


def outlier() -> Seen:
    """Give every row the same uncertainty, and put one row far away."""
    from alipy.query_strategy.query_labels import QueryInstanceDensityWeighted

    far = dense = 0
    for seed in range(100):
        x = np.r_[np.random.default_rng(seed).normal(size=(50, 2)), [[30.0, 30.0]]]
        apart = np.linalg.norm(x[:, None] - x, axis=-1).mean(0)
        pick = QueryInstanceDensityWeighted(x, None).select(
            np.arange(0), np.arange(51), batch_size=1, proba_prediction=np.full((51, 2), 0.5)
        )
        far += int(pick[0]) == 50
        dense += int(pick[0]) == int(apart.argmin())
    return Seen(
        fails=far == 100 and dense == 0,
        happened=f"with equal uncertainty the one outlier is picked in {far} of 100 pools and the row of "
        f"highest density in "
        f"{dense}: uncertainty is multiplied by the mean distance, not by the mean similarity.",
        numbers={"outlier picked": far, "densest row picked": dense},
    )


def copies() -> Seen:
    """Select 10 of 30 rows at three places."""
    from alipy.query_strategy.query_labels import QueryInstanceCoresetGreedy

    strategy = QueryInstanceCoresetGreedy(np.repeat(np.eye(3), 10, axis=0), np.zeros(30), np.arange(30))
    got = set(map(int, strategy.select([0], np.arange(1, 30), batch_size=10)))
    return Seen(fails=len(got) != 10 or 0 in got, happened=f"{len(got)} different unlabelled ids of 10.")


def uniform() -> Seen:
    """Count the picks of random sampling."""
    from alipy.index import IndexCollection
    from alipy.query_strategy.query_labels import QueryInstanceRandom

    count = np.zeros(10)
    for _ in range(3_000):
        count[QueryInstanceRandom().select(None, IndexCollection(list(range(10))), batch_size=1)] += 1
    p = stats.chisquare(count).pvalue
    return Seen(fails=p < 1e-6, happened="3000 single picks over ten rows are uniform (chi-square p above 1e-6).")


CASES = (
    alipy(
        id="alipy-O8",
        row="O8",
        mistake="removed APIs break on current versions",
        subject="`QueryInstanceUncertainty`, `QueryInstanceQBC`",
        expected="a batch; the distribution sets no upper bound on Python.",
        check=removed,
    ),
    alipy(
        id="alipy-C15",
        row="C15",
        mistake="a registered name runs another rule",
        subject="`QueryInstanceDensityWeighted`",
        expected="among equally uncertain rows those in dense regions, the information density of the paper it cites "
        "(Settles, Curious Machines), which weights by mean similarity.",
        check=outlier,
    ),
    alipy(
        id="alipy-C2-sound",
        row="C2",
        mistake="the same id more than once in a batch",
        kind="sound",
        subject="`QueryInstanceCoresetGreedy`",
        expected="ten different unlabelled ids from thirty rows at three places.",
        check=copies,
    ),
    alipy(
        id="alipy-C1-sound",
        row="C1",
        mistake="rows that can never be picked",
        kind="sound",
        subject="`QueryInstanceRandom`",
        expected="uniform over the unlabelled rows.",
        check=uniform,
    ),
)
