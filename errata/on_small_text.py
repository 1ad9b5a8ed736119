"""small-text: coresets and confidence-based strategies."""

from functools import partial

import numpy as np
from case import Case, Seen

small_text = partial(Case, distribution="small-text", module="small_text")


class Rows:
    """The least of a dataset of theirs: positions that can be indexed."""

    def __init__(self, rows):
        self.rows = np.asarray(rows)

    def __getitem__(self, index):
        return Rows(self.rows[index])

    def __len__(self):
        return len(self.rows)


class Model:
    """The least of a classifier of theirs: stored probabilities and embeddings."""

    def __init__(self, proba=None, embeddings=None):
        self.proba, self.embeddings = proba, embeddings

    def predict_proba(self, rows, dropout_sampling=1):
        proba = self.proba[rows.rows]
        return proba if dropout_sampling == 1 else np.repeat(proba[:, None], dropout_sampling, 1)

    def embed(self, rows, return_proba=False, pbar=None):
        found = self.embeddings[rows.rows]
        return (found, None) if return_proba else found


def query(strategy, model, size, labelled, n):
    """Ask `strategy` for n of the rows behind the labelled ones."""
    labels = np.zeros(labelled, dtype=int)
    return strategy.query(model, Rows(range(size)), np.arange(labelled, size), np.arange(labelled), labels, n=n)


def coreset_copies() -> Seen:
    """Count copies of labelled rows among the picks of the greedy coreset by angle, and of ours."""
    from small_text import GreedyCoreset

    import querist

    theirs = ours = 0
    for seed in range(50):
        x = np.random.default_rng(seed).normal(size=(500, 16))
        x[250:260] = x[:10]
        picks = query(GreedyCoreset(distance_metric="cosine"), Model(embeddings=x), 500, 10, 5)
        theirs += int(((picks >= 250) & (picks < 260)).sum())
        unit = x / np.linalg.norm(x, axis=1, keepdims=True)
        ids = querist.select("k_center_greedy", 5, embeddings=unit, labelled=np.arange(10)).ids
        ours += int(((ids >= 250) & (ids < 260)).sum())
    return Seen(
        fails=theirs > 0,
        happened=f"{theirs} of 250 picks are exact copies of labelled rows, at distance 0; k-center on the same "
        f"rows in "
        f"Querist picks {ours}. The arccosine of a cosine just above 1 is NaN, and argmax returns a NaN first.",
        numbers={"copies picked": theirs, "copies picked by the reference": ours},
    )


def lightweight() -> Seen:
    """Query pools of parallel embeddings."""
    from small_text import LightweightCoreset

    failed, said = 0, ""
    for seed in range(100):
        rng = np.random.default_rng(seed)
        x = np.tile(rng.normal(size=8), (50, 1)) * rng.uniform(0.5, 2, (50, 1))
        try:
            query(LightweightCoreset(), Model(embeddings=x), 50, 0, 5)
        except ValueError as error:
            failed, said = failed + 1, str(error)
    return Seen(
        fails=failed > 0,
        happened=f"{failed} of 100 pools of parallel rows end in `ValueError: {said}`; the others succeed, as "
        f"rounding has "
        "it.",
        numbers={"pools that fail": failed},
    )


def coreset_positions() -> Seen:
    """Call the function with labelled rows in front, as its docstring describes the arguments."""
    from small_text.query_strategies.coresets import greedy_coreset

    labelled = wrong = 0
    for seed in range(50):
        x = np.random.default_rng(seed).normal(size=(100, 4))
        known, rest = np.arange(20), np.arange(20, 100)
        got = greedy_coreset(x, rest, known, 5, distance_metric="euclidean")
        labelled += int(np.isin(got, known).sum())
        near, want = np.linalg.norm(x[rest, None] - x[known], axis=-1).min(1), []
        for _ in range(5):
            want.append(int(rest[near.argmax()]))
            near = np.minimum(near, np.linalg.norm(x[rest] - x[want[-1]], axis=-1))
        wrong += set(want) not in (set(got.tolist()), set((got + 20).tolist()))
    return Seen(
        fails=labelled > 0 and wrong > 0,
        happened=f"of 250 returned indices {labelled} are labelled rows when read relative to `x`, as "
        f"documented; read as "
        f"positions among the unlabelled rows, {wrong} of 50 coresets still differ from the greedy one, since "
        f"distances "
        "were taken to the rows of `x` at those positions. The class around it is not affected: it puts "
        "unlabelled rows "
        "first.",
        numbers={"labelled rows returned": labelled, "coresets that differ under both readings": wrong},
    )


def ties() -> Seen:
    """Query twenty times with equal probabilities."""
    from small_text import BreakingTies, LeastConfidence, PredictionEntropy

    proba = np.full((1000, 4), 0.25)
    batches = {
        tuple(sorted(query(strategy(), Model(proba), 1000, 0, 5).tolist()))
        for strategy in (LeastConfidence, BreakingTies, PredictionEntropy)
        for _ in range(20)
    }
    return Seen(
        fails=len(batches) == 1,
        happened=f"60 queries of three strategies over 1000 tied rows gave {len(batches)} batch: {sorted(batches)[0]}.",
        numbers={"different batches": len(batches)},
    )


def zeros() -> Seen:
    """Put one uncertain row among one-hot rows, in two precisions."""
    from small_text import BreakingTies, LeastConfidence, PredictionEntropy

    proba = np.eye(4)[np.random.default_rng(0).integers(0, 4, 50)]
    proba[7] = 0.5, 0.5, 0, 0
    got = [
        int(query(strategy(), Model(proba.astype(kind)), 50, 0, 1)[0])
        for strategy in (LeastConfidence, BreakingTies, PredictionEntropy)
        for kind in (np.float16, np.float32)
    ]
    return Seen(fails=set(got) != {7}, happened=f"the uncertain row is picked in {got.count(7)} of 6 runs.")


def whole_pool() -> Seen:
    """Ask for all rows and for one more."""
    from small_text import LeastConfidence
    from small_text.query_strategies.exceptions import PoolExhaustedException

    proba = np.random.default_rng(0).dirichlet(np.ones(3), size=20)
    all_of_it = set(query(LeastConfidence(), Model(proba), 20, 4, 16).tolist()) == set(range(4, 20))
    try:
        query(LeastConfidence(), Model(proba), 20, 4, 17)
    except PoolExhaustedException:
        return Seen(fails=not all_of_it, happened="all rows are returned; one more raises `PoolExhaustedException`.")
    return Seen(fails=True, happened="one more than there is was accepted.")


CASES = (
    small_text(
        id="small-text-N3",
        row="N3",
        mistake="NaN from rounding at distance 0; argmax returns the NaN row, a copy of a labelled point",
        subject='`GreedyCoreset(distance_metric="cosine")`',
        expected="rows far from the labelled ones; never a copy of a labelled row while others remain.",
        check=coreset_copies,
    ),
    small_text(
        id="small-text-N3-lightweight",
        row="N3",
        mistake="NaN from rounding at distance 0",
        subject="`LightweightCoreset`",
        expected="a batch of five rows of a pool of parallel embeddings.",
        check=lightweight,
    ),
    small_text(
        id="small-text-C4",
        row="C4",
        mistake="positions inside a subset used as positions in the pool",
        subject="`greedy_coreset` (the function)",
        expected="indices relative to `x`, as documented, of the greedy coreset.",
        check=coreset_positions,
    ),
    small_text(
        id="small-text-N6",
        row="N6",
        mistake="ties resolved by position",
        subject="`LeastConfidence`, `BreakingTies`, `PredictionEntropy`",
        expected="tied rows have the same chance.",
        check=ties,
    ),
    small_text(
        id="small-text-N1-sound",
        row="N1",
        mistake="NaN at p = 0",
        kind="sound",
        subject="`LeastConfidence`, `BreakingTies`, `PredictionEntropy`",
        expected="one-hot rows rank last, in float16 and float32.",
        check=zeros,
    ),
    small_text(
        id="small-text-C5-sound",
        row="C5",
        mistake="failure when b equals the size of the pool",
        kind="sound",
        subject="`LeastConfidence`",
        expected="b = |U| returns all, b = |U| + 1 raises a typed error.",
        check=whole_pool,
    ),
)
