"""scikit-activeml: rows that fail in its pool strategies."""

import inspect
import re
import tracemalloc
from functools import partial

import numpy as np
from case import Case, Seen
from scipy import stats

skactiveml = partial(Case, distribution="scikit-activeml", module="skactiveml")
FIXED = "fixed on the main branch by [#590](https://github.com/scikit-activeml/scikit-activeml/pull/590)"


def two_classes():
    """Return an unfitted classifier of theirs."""
    from skactiveml.classifier import SklearnClassifier
    from sklearn.linear_model import LogisticRegression

    return SklearnClassifier(LogisticRegression(), classes=[0, 1])


def some_pool(n=300, d=8):
    """Return a pool of normal rows and labels of the first ten."""
    x = np.random.default_rng(0).normal(size=(n, d))
    y = np.full(n, np.nan)
    y[:10] = np.arange(10) % 2
    return x, y


def few_places():
    """Return thirty rows at three places, one of them labelled at each of two places."""
    x = np.repeat(np.array([[0.0, 0.0], [5.0, 5.0], [9.0, 0.0]]), 10, axis=0)
    y = np.full(30, np.nan)
    y[[0, 11]] = 0, 1
    return x, y


def badge_law() -> Seen:
    """Compare the second pick of many seeds with k-means++ and with k-means++ whose origin is a centre."""
    from skactiveml.pool import Badge

    x = np.random.default_rng(3).normal(2.0, size=(14, 2))
    y = np.full(14, np.nan)
    y[:2] = 0, 1
    model = two_classes().fit(x, y)
    proba = model.predict_proba(x[2:])
    g = ((proba - np.eye(2)[proba.argmax(1)])[:, :, None] * x[2:, None, :]).reshape(12, -1)
    norm = (g**2).sum(1)
    first = int(norm.argmax())
    apart = ((g - g[first]) ** 2).sum(1)
    draws = 600
    picks = [Badge(random_state=s).query(x, y, model, fit_clf=False, batch_size=2) for s in range(draws)]
    count = np.bincount([p[1] - 2 for p in picks], minlength=12)
    firsts = {int(p[0]) - 2 for p in picks}

    def against(weight):
        kept = weight > 1e-12
        return stats.chisquare(count[kept], draws * weight[kept] / weight[kept].sum()).pvalue

    right, ghost = against(apart), against(np.minimum(apart, norm))
    tiny = f"{right:.0e}" if right > 1e-100 else "below 1e-100"
    return Seen(
        fails=firsts == {first} and right < 1e-12,
        happened=f"over {draws} seeds the second pick does not follow the squared distance to the first (chi-square "
        f"p {tiny}); it does follow the smaller of that and the squared norm (p = {ghost:.2f}), which is the law "
        "with the origin as an extra centre.",
        numbers={"p of k-means++": tiny, "p with the origin as centre": f"{ghost:.2f}"},
    )


def badge_repeats() -> Seen:
    """Count batches with a repeated id where gradients coincide."""
    from skactiveml.pool import Badge

    x, y = few_places()
    batches = [np.asarray(Badge(random_state=s).query(x, y, two_classes(), batch_size=10)) for s in range(100)]
    bad = sum(len(set(p.tolist())) < 10 for p in batches)
    return Seen(
        fails=bad > 0,
        happened=f"{bad} of 100 seeded batches of 10 hold an id more than once (28 rows were unlabelled).",
        numbers={"batches with repeats": bad},
    )


def badge_memory() -> Seen:
    """Measure the peak of one query against the size of the dense gradient matrix, and ours on the same arrays."""
    from skactiveml.base import SkactivemlClassifier
    from skactiveml.pool import Badge

    import querist

    n, d, c = 4_000, 128, 20

    class Fixed(SkactivemlClassifier):
        def fit(self, x, y, sample_weight=None):
            return self

        def predict_proba(self, x):
            return np.random.default_rng(1).dirichlet(np.ones(c), size=len(x))

    x = np.random.default_rng(0).normal(size=(n, d))
    dense = n * d * c * 8

    def peak(work):
        tracemalloc.start()
        work()
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    model = Fixed(classes=list(range(c)))
    theirs = peak(lambda: Badge(random_state=0).query(x, np.full(n, np.nan), model, fit_clf=False, batch_size=3))
    ours = peak(lambda: querist.select("badge", 3, probs=model.predict_proba(x), embeddings=x))
    return Seen(
        fails=theirs > dense,
        happened=f"with N = {n}, d = {d}, C = {c} one query peaks at {theirs / 2**20:.0f} MiB, "
        f"{theirs / dense:.1f} times the dense N x (C d) matrix of float64; factored gradients need "
        f"{ours / 2**20:.0f} MiB "
        "for the same batch size (ours).",
        numbers={"peak MiB": round(theirs / 2**20), "dense matrix MiB": round(dense / 2**20)},
    )


def badge_type() -> Seen:
    """Compare the type of what is returned with the documented one."""
    from skactiveml.pool import Badge

    x, y = some_pool()
    got = Badge(random_state=0).query(x, y, two_classes(), batch_size=3)
    said = re.search(r"query_indices : (\S+)", inspect.getdoc(Badge.query) or "")
    return Seen(
        fails=not isinstance(got, np.ndarray),
        happened=f"the docstring says `{said.group(1) if said else '?'}`, the query returned a `{type(got).__name__}`.",
    )


def typiclust_repeats() -> Seen:
    """Count batches with a repeated id when clusters run out, and when candidates are few."""
    from skactiveml.pool import TypiClust

    x, y = few_places()
    y[11] = np.nan
    out = sum(len(set(TypiClust(random_state=s).query(x, y, batch_size=10).tolist())) < 10 for s in range(100))
    x2, y2 = np.random.default_rng(0).normal(size=(200, 2)), np.full(200, np.nan)
    y2[:3] = 0
    few = np.arange(150, 170)
    sub = sum(
        len(set(TypiClust(random_state=s).query(x2, y2, candidates=few, batch_size=15).tolist())) < 15
        for s in range(100)
    )
    return Seen(
        fails=out > 0 or sub > 0,
        happened=f"{out} of 100 batches of 10 hold an id more than once when the pool has three distinct rows; so do "
        f"{sub} of 100 batches of 15 out of 20 candidates of a generic pool of 200.",
        numbers={"repeats, few places": out, "repeats, few candidates": sub},
    )


def typiclust_one_place() -> Seen:
    """Query a pool of copies of its one labelled row."""
    from skactiveml.pool import TypiClust

    y = np.full(20, np.nan)
    y[0] = 0
    try:
        TypiClust(random_state=0).query(np.zeros((20, 2)), y, batch_size=3)
    except UnboundLocalError as error:
        return Seen(fails=True, happened=f"`UnboundLocalError: {error}`.")
    return Seen(fails=False, happened="the batch was completed.")


def _batches(name: str, **more) -> int:
    import skactiveml.pool

    x, y = some_pool()
    strategy = getattr(skactiveml.pool, name)
    return len(
        {tuple(sorted(map(int, strategy(random_state=0).query(x, y, batch_size=10, **more)))) for _ in range(10)}
    )


def drop_query_seed() -> Seen:
    """Repeat one seeded query ten times."""
    got = _batches("DropQuery", clf=two_classes())
    return Seen(fails=got > 1, happened=f"ten queries with `random_state=0` gave {got} different batches.")


def clue_seed() -> Seen:
    """Repeat one seeded query ten times."""
    got = _batches("Clue", estimator=two_classes())
    return Seen(fails=got > 1, happened=f"ten queries with `random_state=0` gave {got} different batches.")


def prob_cover_stale() -> Seen:
    """Query a second pool with the same object, and with a fresh one."""
    from skactiveml.pool import ProbCover

    rng = np.random.default_rng(0)
    one, two, y = rng.normal(size=(100, 2)), rng.normal(size=(100, 2)), np.full(100, np.nan)
    used = ProbCover(random_state=0, deltas=[1.0])
    before = used.query(one, y, batch_size=5).tolist()
    after = used.query(two, y, batch_size=5).tolist()
    fresh = ProbCover(random_state=0, deltas=[1.0]).query(two, y, batch_size=5).tolist()
    told = "update :" in (inspect.getdoc(ProbCover.query) or "")
    return Seen(
        fails=after == before != fresh and not told,
        happened=f"after a first pool the same object returned {after} for a second pool of other features, the "
        f"picks of "
        f"the first; a fresh object returns {fresh}. Distances are kept on the object unless `update=True`, a "
        f"parameter "
        "the docstring of `query` does not list.",
    )


def drop_query_default() -> Seen:
    """Compare the default with the one written beside it."""
    from skactiveml.pool import DropQuery

    said = re.search(r"n_dropout_samples : int, default=(\d+)", inspect.getdoc(DropQuery) or "")
    real = inspect.signature(DropQuery.__init__).parameters["n_dropout_samples"].default
    return Seen(
        fails=said is not None and int(said.group(1)) != real,
        happened=f"the docstring says {said.group(1) if said else '?'}, as in the paper; the signature has {real}.",
    )


def prob_cover_default() -> Seen:
    """Read the radius chosen by default on a pool where the documented grid would choose its first value."""
    from skactiveml.pool import ProbCover

    x = np.linspace(0, 5, 100)[:, None]
    strategy = ProbCover(random_state=0)
    strategy.query(x, np.full(100, np.nan), batch_size=1)
    said = re.search(r"`(np\.arange\([^`]*)`", inspect.getdoc(ProbCover) or "")
    return Seen(
        fails=said is not None and not np.isclose(strategy.delta_max_ % 0.2, 0.1) and "0.1, 2.1, 0.1" in said.group(1),
        happened=f"the docstring says `{said.group(1) if said else '?'}`; on a line of 100 points the radius "
        f"came out as "
        f"{strategy.delta_max_:.1f}, the first of `np.arange(0.2, 2.2, 0.2)`, which is the grid in the code.",
    )


def typiclust_default() -> Seen:
    """Read the default number of neighbours."""
    from skactiveml.pool import TypiClust

    k = inspect.signature(TypiClust.__init__).parameters["k"].default
    return Seen(fails=k != 20, happened=f"the default is {k} and documented as such; the paper uses 20.")


CASES = (
    skactiveml(
        id="scikit-activeml-M28",
        row="M28",
        mistake="BADGE seeding weights start from the squared norm, so the origin acts as a centre",
        subject="`pool.Badge`",
        expected="after the first pick, the next is drawn with probability proportional to the squared distance to it.",
        check=badge_law,
        report=f"[#588](https://github.com/scikit-activeml/scikit-activeml/issues/588), {FIXED}, not in this release",
    ),
    skactiveml(
        id="scikit-activeml-C2-badge",
        row="C2",
        mistake="the same id more than once in a batch",
        subject="`pool.Badge`",
        expected="ten different ids from a pool of 30 rows at three places.",
        check=badge_repeats,
        report=f"[#586](https://github.com/scikit-activeml/scikit-activeml/issues/586), {FIXED}, not in this release",
    ),
    skactiveml(
        id="scikit-activeml-C2-typiclust",
        row="C2",
        mistake="the same id more than once in a batch",
        subject="`pool.TypiClust`",
        expected="a complete batch of different ids when clusters run out, or when only some rows are candidates.",
        check=typiclust_repeats,
        report="[#451](https://github.com/scikit-activeml/scikit-activeml/issues/451) is about the same pools (closed)",
    ),
    skactiveml(
        id="scikit-activeml-C17",
        row="C17",
        mistake="an edge path that is never executed crashes",
        subject="`pool.TypiClust` on copies of one labelled row",
        expected="a batch of three unlabelled rows, or an error that names the problem.",
        check=typiclust_one_place,
    ),
    skactiveml(
        id="scikit-activeml-R2-dropquery",
        row="R2",
        mistake="the clustering stage of a query is not seeded",
        subject="`pool.DropQuery`",
        expected="the same `random_state` gives the same batch.",
        check=drop_query_seed,
        report="[#503](https://github.com/scikit-activeml/scikit-activeml/issues/503) fixed the same in TypiClust and "
        "ProbCover",
    ),
    skactiveml(
        id="scikit-activeml-R2-clue",
        row="R2",
        mistake="the clustering stage of a query is not seeded",
        subject="`pool.Clue`",
        expected="the same `random_state` gives the same batch.",
        check=clue_seed,
        report="[#503](https://github.com/scikit-activeml/scikit-activeml/issues/503) fixed the same in TypiClust and "
        "ProbCover",
    ),
    skactiveml(
        id="scikit-activeml-C12",
        row="C12",
        mistake="the type returned differs from the documented one",
        subject="`pool.Badge`",
        expected="a `numpy.ndarray`, as documented and as the other strategies return.",
        check=badge_type,
    ),
    skactiveml(
        id="scikit-activeml-Q10",
        row="Q10",
        mistake="stale features from a cache without a key",
        subject="`pool.ProbCover`",
        expected="picks computed from the `X` of the call.",
        check=prob_cover_stale,
    ),
    skactiveml(
        id="scikit-activeml-Q17",
        row="Q17",
        mistake="a dense N x (C d) array",
        subject="`pool.Badge`",
        expected="memory that grows with N (C + d); gradients of a linear head factor.",
        check=badge_memory,
        report=f"[#589](https://github.com/scikit-activeml/scikit-activeml/issues/589), {FIXED}, not in this release",
    ),
    skactiveml(
        id="scikit-activeml-C19-dropquery",
        row="C19",
        mistake="a default differs from the paper, and here from its own documentation",
        subject="`pool.DropQuery(n_dropout_samples)`",
        expected="3 dropout samples, as its docstring and the paper say.",
        check=drop_query_default,
    ),
    skactiveml(
        id="scikit-activeml-C19-probcover",
        row="C19",
        mistake="a default differs from its own documentation",
        subject="`pool.ProbCover(deltas)`",
        expected="radii 0.1, 0.2, ..., 2.0 are tried by default, as its docstring says.",
        check=prob_cover_default,
    ),
    skactiveml(
        id="scikit-activeml-C19-typiclust",
        row="C19",
        mistake="a default differs from the paper",
        kind="documented",
        subject="`pool.TypiClust(k)`",
        expected="20 neighbours, as in the paper.",
        check=typiclust_default,
    ),
)
