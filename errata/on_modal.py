"""modAL: the active learner and its helpers."""

from functools import partial

import numpy as np
from case import Case, Seen

modal = partial(Case, distribution="modAL-python", module="modAL")


def learner(strategy):
    """Return a learner of theirs on two points."""
    from modAL.models import ActiveLearner
    from sklearn.linear_model import LogisticRegression

    x, y = np.eye(2), np.array([0, 1])
    return ActiveLearner(LogisticRegression(), query_strategy=strategy, X_training=x, y_training=y)


def bare_except() -> Seen:
    """Count the calls of a strategy that raises, and of one that raises once."""
    calls = []

    def raises(model, pool):
        calls.append(1)
        raise ValueError("as it should")

    def raises_once(model, pool):
        calls.append(1)
        if len(calls) == 1:
            raise MemoryError("lost")
        return np.array([1])

    try:
        learner(raises).query(np.eye(2))
    except ValueError:
        always = len(calls)
    calls.clear()
    got = learner(raises_once).query(np.eye(2))[0].tolist()
    return Seen(
        fails=always == 2 and len(calls) == 2,
        happened=f"a strategy that raises is called {always} times; a `MemoryError` of the first call is swallowed and "
        f"the second call's answer {got} returned without a word.",
        numbers={"calls": always},
    )


def three_picks() -> Seen:
    """Return plain index arrays of length two and three from a strategy."""
    two = learner(lambda model, pool: np.array([3, 1])).query(np.zeros((5, 2)))[0]
    three = learner(lambda model, pool: np.array([3, 1, 2])).query(np.zeros((5, 2)))[0]
    return Seen(
        fails=np.ndim(two) == 0 and np.ndim(three) == 1,
        happened=f"a strategy that returns the indices `[3, 1, 2]` is asked for {np.size(three)} labels, one "
        f"that returns "
        f"`[3, 1]` for {np.size(two)}: two indices are unpacked as a result and its metric.",
        numbers={"labels asked of two": int(np.size(two)), "labels asked of three": int(np.size(three))},
    )


def expected_error() -> Seen:
    """Import the module."""
    try:
        import modAL.expected_error  # noqa: F401
    except AttributeError as error:
        first = str(error).splitlines()[0]
        return Seen(fails=True, happened=f"importing it raises `AttributeError: {first}` on NumPy {np.__version__}.")
    return Seen(fails=False, happened="it imports.")


def teach() -> Seen:
    """Teach a learner one point."""
    import sklearn
    from modAL.uncertainty import uncertainty_sampling

    try:
        learner(uncertainty_sampling).teach(np.ones((1, 2)), np.array([1]))
    except TypeError as error:
        return Seen(fails=True, happened=f"`TypeError: {error}` with scikit-learn {sklearn.__version__}.")
    return Seen(fails=False, happened="the point was learnt.")


def ties() -> Seen:
    """Rank equal scores twenty times, by default and with the switch."""
    from modAL.utils.selection import multi_argmax, shuffled_argmax

    fixed = {tuple(sorted(multi_argmax(np.zeros(1000), 5)[0].tolist())) for _ in range(20)}
    drawn = {tuple(sorted(shuffled_argmax(np.zeros(1000), 5)[0].tolist())) for _ in range(20)}
    return Seen(
        fails=len(fixed) == 1,
        happened=f"20 queries over 1000 ties give {len(fixed)} batch by default and {len(drawn)} with "
        "`random_tie_break=True`, which every strategy documents.",
    )


def copies() -> Seen:
    """Ask ranked batch mode for a batch from a pool of three places."""
    from modAL.batch import uncertainty_batch_sampling

    pool = np.repeat(np.array([[0.0, 0.0], [5.0, 5.0], [9.0, 0.0]]), 10, axis=0)
    picks = learner(uncertainty_batch_sampling).query(pool, n_instances=12)[0]
    return Seen(fails=len(set(picks.tolist())) != 12, happened=f"{len(set(picks.tolist()))} different ids of 12.")


def zeros() -> Seen:
    """Score one-hot rows and one uncertain row."""
    from modAL.uncertainty import entropy_sampling

    proba = np.eye(4)[np.random.default_rng(0).integers(0, 4, 50)]
    proba[7] = 0.5, 0.5, 0, 0

    class Fixed:
        def predict_proba(self, pool):
            return proba

    picks, value = entropy_sampling(Fixed(), np.zeros((50, 1)))
    return Seen(fails=int(picks[0]) != 7, happened=f"row {int(picks[0])} with {float(value[0]):.3f} nats is picked.")


CASES = (
    modal(
        id="modAL-C13",
        row="C13",
        mistake="a bare exception handler runs the strategy again, hiding the error",
        subject="`ActiveLearner.query`",
        expected="an error of the strategy propagates once.",
        check=bare_except,
    ),
    modal(
        id="modAL-C12",
        row="C12",
        mistake="what is returned differs from what was documented",
        subject="`ActiveLearner.query` with a strategy that returns indices alone",
        expected="the indices the strategy returned, however many they are.",
        check=three_picks,
    ),
    modal(
        id="modAL-O8-expected-error",
        row="O8",
        mistake="removed APIs break on current versions",
        subject="`modAL.expected_error`",
        expected="the module imports; the distribution sets no upper bound on NumPy.",
        check=expected_error,
    ),
    modal(
        id="modAL-O8-teach",
        row="O8",
        mistake="removed APIs break on current versions",
        subject="`ActiveLearner.teach`",
        expected="a labelled point is learnt; the distribution sets no upper bound on scikit-learn.",
        check=teach,
        report="[#196](https://github.com/modAL-python/modAL/issues/196), open",
    ),
    modal(
        id="modAL-N6",
        row="N6",
        mistake="ties resolved by position",
        kind="documented",
        subject="all strategies, `random_tie_break=False`",
        expected="tied rows have the same chance.",
        check=ties,
        report="[#130](https://github.com/modAL-python/modAL/issues/130) explains the switch",
    ),
    modal(
        id="modAL-C2-sound",
        row="C2",
        mistake="the same id more than once in a batch",
        kind="sound",
        subject="`uncertainty_batch_sampling`",
        expected="twelve different ids from thirty rows at three places.",
        check=copies,
    ),
    modal(
        id="modAL-N1-sound",
        row="N1",
        mistake="NaN at p = 0",
        kind="sound",
        subject="`entropy_sampling`",
        expected="the uncertain row comes before one-hot rows.",
        check=zeros,
    ),
)
