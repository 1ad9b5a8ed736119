"""submodlib: submodular functions and their maximisers."""

import inspect
import subprocess
import sys
from functools import partial

import numpy as np
from case import Case, Seen

submodlib = partial(Case, distribution="submodlib-py", module="submodlib")

DRAW = """
import numpy as np
from submodlib import FacilityLocationFunction
x = np.random.default_rng(0).random((300, 3)).astype(np.float32)
f = FacilityLocationFunction(n=300, mode="dense", data=x, metric="euclidean")
print([i for i, _ in f.maximize(budget=8, optimizer="{}", show_progress=False)])
"""


def hidden_seed() -> Seen:
    """Repeat a stochastic maximisation in five processes."""
    from submodlib import FacilityLocationFunction

    def drawn(optimizer):
        outs = [
            subprocess.run([sys.executable, "-c", DRAW.format(optimizer)], capture_output=True, text=True, check=True)
            for _ in range(5)
        ]
        return {out.stdout.strip() for out in outs}

    one, two = drawn("StochasticGreedy"), drawn("LazierThanLazyGreedy")
    accepted = inspect.signature(FacilityLocationFunction.maximize).parameters
    seeds = [name for name in accepted if "seed" in name or "random" in name]
    return Seen(
        fails=len(one) == 1 and len(two) == 1 and not seeds,
        happened=f"five processes give {len(one)} selection with `StochasticGreedy` and {len(two)} with "
        f"`LazierThanLazyGreedy`; `maximize` takes {seeds or 'no seed'}, so the spread over runs "
        f"cannot be "
        "seen.",
        numbers={"selections of StochasticGreedy": len(one), "selections of LazierThanLazyGreedy": len(two)},
    )


def whole_set() -> Seen:
    """Ask for the whole ground set."""
    from submodlib import FacilityLocationFunction

    x = np.random.default_rng(0).random((30, 3)).astype(np.float32)
    function = FacilityLocationFunction(n=30, mode="dense", data=x, metric="euclidean")
    try:
        function.maximize(budget=30, show_progress=False)
    except Exception as error:
        return Seen(fails=True, happened=f"`{type(error).__name__}: {error}`, a stated limit.")
    return Seen(fails=False, happened="all 30 rows were returned.")


def copies() -> Seen:
    """Select 12 of 30 rows at three places with four optimizers."""
    from submodlib import FacilityLocationFunction

    x, bad = np.repeat(np.eye(3, dtype=np.float32), 10, axis=0), 0
    for optimizer in ("NaiveGreedy", "LazyGreedy", "StochasticGreedy", "LazierThanLazyGreedy"):
        function = FacilityLocationFunction(n=30, mode="dense", data=x, metric="euclidean")
        got = function.maximize(budget=12, optimizer=optimizer, show_progress=False)
        bad += len({i for i, _ in got}) != 12
    return Seen(fails=bad > 0, happened=f"{4 - bad} of 4 optimizers return 12 different rows.")


CASES = (
    submodlib(
        id="submodlib-R3",
        row="R3",
        mistake="a hidden constant seed, so that the variance over runs cannot be seen",
        subject='`maximize(optimizer="StochasticGreedy")` and `"LazierThanLazyGreedy"`',
        expected="a seed can be given, or runs differ.",
        check=hidden_seed,
    ),
    submodlib(
        id="submodlib-C5",
        row="C5",
        mistake="failure when b equals the size of the pool",
        kind="documented",
        subject="`maximize(budget=n)`",
        expected="all n rows.",
        check=whole_set,
    ),
    submodlib(
        id="submodlib-C2-sound",
        row="C2",
        mistake="the same id more than once in a batch",
        kind="sound",
        subject="`FacilityLocationFunction`, four optimizers",
        expected="twelve different ids from thirty rows at three places.",
        check=copies,
    ),
)
