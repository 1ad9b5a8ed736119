"""apricot: submodular selection with its optimizers."""

import subprocess
import sys
from functools import partial

import numpy as np
from case import Case, Seen

apricot = partial(Case, distribution="apricot-select", module="apricot")


def repeats() -> Seen:
    """Select 80 of 100 rows by facility location on sparse 0/1 similarities with the default optimizer."""
    from apricot import FacilityLocationSelection

    distinct = {"lazy": [], "naive": []}
    for seed in range(5):
        s = (np.random.default_rng(seed).random((100, 100)) < 0.3).astype(float)
        s = np.maximum(s, s.T)
        np.fill_diagonal(s, 0)
        for optimizer, found in distinct.items():
            picked = FacilityLocationSelection(80, metric="precomputed", optimizer=optimizer).fit(s).ranking
            found.append(len(set(picked.tolist())))
    bad = sum(n < 80 for n in distinct["lazy"])
    return Seen(
        fails=bad > 0,
        happened=f"with the default optimizer {bad} of 5 rankings of 80 hold repeated rows (median "
        f"{int(np.median(distinct['lazy']))} distinct); with `naive` {sum(n < 80 for n in distinct['naive'])} of 5.",
        numbers={"rankings with repeats": bad},
    )


def dropped_settings() -> Seen:
    """Change a setting of the stochastic optimizer under two functions."""
    from apricot import FeatureBasedSelection, GraphCutSelection

    x = np.random.default_rng(0).random((200, 4))

    def moved(function):
        got = [
            function(5, optimizer="stochastic", optimizer_kwds={"epsilon": epsilon}, random_state=0).fit(x).ranking
            for epsilon in (0.999, 0.001)
        ]
        return bool((got[0] != got[1]).any())

    feature, graph = moved(FeatureBasedSelection), moved(GraphCutSelection)
    return Seen(
        fails=feature and not graph,
        happened=f"`epsilon` 0.999 and 0.001 select {'different' if feature else 'the same'} rows under "
        f"`FeatureBasedSelection` and {'different' if graph else 'the same'} rows under `GraphCutSelection`, whose "
        "constructor passes on an empty dict.",
    )


def bidirectional() -> Seen:
    """Select with the bidirectional optimizer under three functions."""
    from apricot import FacilityLocationSelection, FeatureBasedSelection, GraphCutSelection

    x, said = np.random.default_rng(0).random((30, 4)), []
    for function in (FacilityLocationSelection, FeatureBasedSelection, GraphCutSelection):
        try:
            function(5, optimizer="bidirectional").fit(x)
        except ValueError as error:
            said.append(str(error))
    return Seen(
        fails=len(said) == 3, happened=f"{len(said)} of 3 functions end in `ValueError: {said[0] if said else ''}`."
    )


ENDLESS = """
import numpy as np
from apricot import SumRedundancySelection
SumRedundancySelection(5, optimizer="{}").fit(np.random.default_rng(0).random((30, 4)))
"""


def endless() -> Seen:
    """Select 5 of 30 rows in a process of its own, with a limit of time."""

    def ends(optimizer, seconds):
        try:
            subprocess.run([sys.executable, "-c", ENDLESS.format(optimizer)], timeout=seconds, capture_output=True)
        except subprocess.TimeoutExpired:
            return False
        return True

    naive, lazy = ends("naive", 120), ends("approximate-lazy", 60)
    return Seen(
        fails=naive and not lazy,
        happened=f"5 of 30 rows: `naive` {'ends' if naive else 'does not end'}; `approximate-lazy` "
        f"{'ends' if lazy else 'is still running after 60 s'}: a gain below 0 is never at least 0.9 times "
        f"itself, so the "
        "same row is taken from the queue and put back for ever.",
    )


def greedy() -> Seen:
    """Compare the total gain of facility location with naive greedy in numpy."""
    from apricot import FacilityLocationSelection

    worst = 0.0
    for seed in range(5):
        x = np.random.default_rng(seed).random((60, 3))
        s = np.exp(-((x[:, None] - x) ** 2).sum(-1))
        picked = FacilityLocationSelection(8, metric="precomputed").fit(s).ranking
        best, mine = np.zeros(60), []
        for _ in range(8):
            mine.append(int(np.maximum(s, best).sum(1).argmax()))
            best = np.maximum(best, s[mine[-1]])
        worst = max(worst, abs(s[picked].max(0).sum() - best.sum()))
    return Seen(fails=worst > 1e-9, happened=f"the largest difference in value over 5 pools is {worst:.0e}.")


def global_state() -> Seen:
    """Compare NumPy's global generator before and after a stochastic selection."""
    from apricot import FeatureBasedSelection

    before = np.random.get_state()[1].copy()  # noqa: NPY002
    x = np.random.default_rng(0).random((50, 4))
    FeatureBasedSelection(5, optimizer="stochastic", random_state=0).fit(x)
    same = bool((before == np.random.get_state()[1]).all())  # noqa: NPY002
    return Seen(fails=not same, happened="the state is unchanged." if same else "the state changed.")


CASES = (
    apricot(
        id="apricot-C2",
        row="C2",
        mistake="the same id more than once in a batch",
        subject="`FacilityLocationSelection`, default optimizer, where gains reach 0",
        expected="80 different rows.",
        check=repeats,
        report="[#19](https://github.com/jmschrei/apricot/issues/19), open",
    ),
    apricot(
        id="apricot-C18",
        row="C18",
        mistake="settings are dropped because the constructor forwards an empty dict",
        subject="`GraphCutSelection(optimizer_kwds=...)`",
        expected="a documented setting changes the selection.",
        check=dropped_settings,
    ),
    apricot(
        id="apricot-C16",
        row="C16",
        mistake="a listed method that cannot run",
        subject='`optimizer="bidirectional"`',
        expected="a selection: the docstrings list it among the optimizers.",
        check=bidirectional,
    ),
    apricot(
        id="apricot-M8",
        row="M8",
        mistake="an iteration without a cap that can loop for ever",
        subject='`SumRedundancySelection(optimizer="approximate-lazy")`',
        expected="a selection, or an error where an optimizer needs gains above 0.",
        check=endless,
    ),
    apricot(
        id="apricot-C15-sound",
        row="C15",
        mistake="a name runs another rule",
        kind="sound",
        subject="`FacilityLocationSelection`",
        expected="the value of the greedy set.",
        check=greedy,
    ),
    apricot(
        id="apricot-R1-sound",
        row="R1",
        mistake="the global generator is touched",
        kind="sound",
        subject="the stochastic optimizer with a seed",
        expected="NumPy's global generator is left alone.",
        check=global_state,
    ),
)
