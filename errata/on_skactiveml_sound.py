"""scikit-activeml: rows that hold in its pool strategies."""

from functools import partial

import numpy as np
from case import Case, Seen
from on_skactiveml import _batches, few_places, some_pool, two_classes
from scipy import stats

sound = partial(Case, distribution="scikit-activeml", module="skactiveml", kind="sound")


def seeds_repeat() -> Seen:
    """Repeat seeded queries of three strategies ten times each."""
    got = [_batches("TypiClust"), _batches("ProbCover"), _batches("Badge", clf=two_classes())]
    return Seen(fails=max(got) > 1, happened=f"{got} different batches in ten repeats of each.")


def complete_batches() -> Seen:
    """Query five strategies on thirty rows at three places, fifty seeds each."""
    from skactiveml import pool

    x, y = few_places()
    bad = 0
    for name, more in (
        ("CoreSet", {}),
        ("ProbCover", {}),
        ("MaxHerding", {}),
        ("DropQuery", {"clf": two_classes()}),
        ("Clue", {"estimator": two_classes()}),
        ("Falcun", {"clf": two_classes()}),
    ):
        for seed in range(20):
            picks = getattr(pool, name)(random_state=seed).query(x, y, batch_size=10, **more).tolist()
            bad += len(set(picks)) < 10 or bool({0, 11} & set(picks))
    return Seen(fails=bad > 0, happened=f"{bad} of 120 batches are incomplete or hold a labelled row.")


def ties() -> Seen:
    """Count picks of uncertainty sampling under equal scores over many seeds."""
    from skactiveml.pool import UncertaintySampling

    x, y = np.zeros((12, 1)), np.full(12, np.nan)
    y[:2] = 0, 1
    model = two_classes().fit(x, y)
    picks = [int(UncertaintySampling(random_state=s).query(x, y, model, fit_clf=False)[0]) for s in range(600)]
    p = stats.chisquare(np.bincount(picks, minlength=12)[2:]).pvalue
    return Seen(fails=p < 1e-6, happened=f"picks of 600 seeds are uniform over ten tied rows (chi-square p = {p:.2f}).")


def global_state() -> Seen:
    """Compare NumPy's global generator before and after seeded queries."""
    from skactiveml.pool import Badge, CoreSet, ProbCover, TypiClust

    x, y = some_pool()
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    for strategy, more in ((Badge, {"clf": two_classes()}), (CoreSet, {}), (ProbCover, {}), (TypiClust, {})):
        strategy(random_state=0).query(x, y, batch_size=5, **more)
    same = bool((before == np.random.get_state()[1]).all())  # noqa: NPY002
    return Seen(fails=not same, happened="the state is unchanged." if same else "the state changed.")


CASES = (
    sound(
        id="scikit-activeml-R2-sound",
        row="R2",
        mistake="a stage of a query is not seeded",
        subject="`TypiClust`, `ProbCover`, `Badge`",
        expected="the same seed gives the same batch (TypiClust did not at 0.6.1).",
        check=seeds_repeat,
    ),
    sound(
        id="scikit-activeml-C1-sound",
        row="C1",
        mistake="incomplete batches and labelled rows",
        subject="`CoreSet`, `ProbCover`, `MaxHerding`, `DropQuery`, `Clue`, `Falcun`",
        expected="ten different unlabelled rows from a pool of three places.",
        check=complete_batches,
    ),
    sound(
        id="scikit-activeml-N6-sound",
        row="N6",
        mistake="ties resolved by position",
        subject="`UncertaintySampling`",
        expected="ties are drawn uniformly over seeds.",
        check=ties,
    ),
    sound(
        id="scikit-activeml-R1-sound",
        row="R1",
        mistake="the global generator is touched",
        subject="four strategies with a seed",
        expected="NumPy's global generator is left alone.",
        check=global_state,
    ),
)
