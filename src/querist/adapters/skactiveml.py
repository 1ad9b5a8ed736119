"""scikit-activeml: our strategies in its loop, and its strategies in our sessions. It must be installed."""

import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from sklearn.base import clone

from querist.arrays import Array, Ids
from querist.errors import MissingPackageError, SpecError, UnmetNeedError
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Features, Labels, Need, Probs
from querist.seeds import Key
from querist.session.select import select
from querist.strategies.base import Picks, Scoring, Selection, State, Strategy, strategies

try:
    import skactiveml  # pyright: ignore[reportMissingImports]
    from skactiveml import pool  # pyright: ignore[reportMissingImports]
    from skactiveml.base import (  # pyright: ignore[reportMissingImports]
        SingleAnnotatorPoolQueryStrategy,
        SkactivemlClassifier,
    )
    from skactiveml.utils import MISSING_LABEL, is_labeled  # pyright: ignore[reportMissingImports]
except ModuleNotFoundError as error:
    if error.name != "skactiveml":  # something that it needs itself
        raise
    raise MissingPackageError(
        "querist.adapters.skactiveml needs scikit-activeml, which no extra brings: pip install scikit-activeml"
    ) from error

OWN = {"random_state", "missing_label"}
"""Parameters of theirs that a session decides."""
GIVEN = {"self", "X", "y", "clf", "fit_clf", "candidates", "batch_size", "return_utilities"}
"""Arguments of a query that evidence can fill."""


class QueristStrategy(SingleAnnotatorPoolQueryStrategy):
    """One of our strategies as a query strategy of scikit-activeml.

    ``X`` are the features, the probabilities are those of the classifier. What `querist.select` refuses is refused:
    strategies that need more than these. Without any label, a strategy that needs a model gives way to `random`, as in
    a session.

    Args:
        strategy: name, composition or mapping of ours.
        missing_label: what stands for no label in ``y``.
        random_state: as for every strategy of theirs.
    """

    def __init__(self, strategy: Any = "margin", missing_label: Any = MISSING_LABEL, random_state: Any = None) -> None:
        super().__init__(missing_label=missing_label, random_state=random_state)
        self.strategy = strategy

    def query(
        self,
        X: Any,
        y: Any,
        clf: Any = None,
        fit_clf: bool = True,
        candidates: Any = None,
        batch_size: int = 1,
        return_utilities: bool = False,
    ) -> Any:
        """Return which samples to label next, in the order picked.

        Args:
            X: ``(n, d)`` features.
            y: ``(n,)`` labels, or what stands for none.
            clf: whose probabilities to use; needed by strategies that need a model.
            fit_clf: whether to fit it first, on `X` and `y`.
            candidates: positions in `X` of what may be picked; by default everything without a label.
            batch_size: number of picks.
            return_utilities: also return utilities, ``(batch_size, n)``. A rule that scores rows one by one has a
                number for every candidate; of the others only that of each pick is known, and the rest is NaN.

        Raises:
            UnmetNeedError: the strategy needs more than features, probabilities and labels.
        """
        X, y, candidates, batch_size, return_utilities = self._validate_data(
            X, y, candidates, batch_size, return_utilities, reset=True, check_X_dict={}
        )
        _, free = self._transform_candidates(candidates, X, y, enforce_mapping=True, allow_only_unlabeled=True)
        bought = np.flatnonzero(is_labeled(y, self.missing_label_))
        rows = np.union1d(free, bought)
        given: dict[str, Any] = {"features": X[rows], "seed": int(self.random_state_.randint(2**31 - 1))}
        if len(bought):
            given |= self._labels(X, y, clf, fit_clf, rows, bought)
        picked = self._select(batch_size, given)
        ids = rows[picked.ids]
        return (ids, self._utilities(len(X), rows, free, picked, given)) if return_utilities else ids

    def _labels(self, X: Any, y: Any, clf: Any, fit_clf: bool, rows: Ids, bought: Ids) -> dict[str, Any]:
        classes = np.unique(y[bought])
        given: dict[str, Any] = {"labelled": np.searchsorted(rows, bought)}
        if clf is not None:
            fitted: Any = cast("Any", clone(clf)).fit(X, y) if fit_clf else clf
            classes, given["probs"] = np.asarray(fitted.classes_), fitted.predict_proba(X[rows])
        order = np.argsort(classes)
        numbers = order[np.searchsorted(classes[order], y[bought])]
        return {**given, "labels": numbers, "classes": len(classes)}

    def _select(self, b: int, given: Mapping[str, Any]) -> Selection:
        try:
            return select(self.strategy, b, **given)
        except UnmetNeedError:
            if "labelled" in given:
                raise
            return select("random", b, **given)

    def _utilities(self, n: int, rows: Ids, free: Ids, picked: Selection, given: Mapping[str, Any]) -> Array:
        b, ids = len(picked.ids), rows[picked.ids]
        utility_b_n = np.full((b, n), np.nan)
        if isinstance(strategies.build(self.strategy), Scoring):
            whole = self._select(len(free), given)
            utility_b_n[:, rows[whole.ids]] = 0.0 if whole.utility is None else whole.utility
            for rank, i in enumerate(ids):
                utility_b_n[rank + 1 :, i] = np.nan  # picked before
        else:
            utility_b_n[np.arange(b), ids] = 0.0 if picked.utility is None else picked.utility
        return utility_b_n


@dataclass(frozen=True, kw_only=True)
class FromSkactiveml(Strategy):
    """A query strategy of scikit-activeml as one of ours; `from_skactiveml` makes it.

    It is built anew for every query. Its random state comes from the key, its features are those of the session, and
    where it asks for a classifier it gets the probabilities of the session's model.

    Attributes:
        rule: the name of its class in ``skactiveml.pool``.
        settings: its parameters that are not the default, as JSON.
        normalise: whether it gets unit rows of features.
        version: that of scikit-activeml; picks may depend on it.
    """

    rule: str
    settings: str = "{}"
    normalise: bool = True
    version: str = skactiveml.__version__

    def __post_init__(self) -> None:
        if self.rule not in pool.__all__ or not hasattr(getattr(pool, self.rule), "query"):
            raise SpecError(f"Expected the name of a query strategy in skactiveml.pool, got {self.rule!r}.")
        needed = {name for name, p in self._parameters.items() if p.default is p.empty}
        if extra := needed - GIVEN:
            raise SpecError(f"{self.rule} of scikit-activeml needs {', '.join(sorted(extra))}, which no session has.")
        if self.version != skactiveml.__version__:
            raise SpecError(f"Expected scikit-activeml {self.version}, installed is {skactiveml.__version__}.")

    @property
    def _parameters(self) -> Mapping[str, inspect.Parameter]:
        return inspect.signature(getattr(pool, self.rule).query).parameters

    def needs_at(self, state: State) -> tuple[Need[Any], ...]:
        """Return features and labels of all rows, and probabilities for a rule that asks for a classifier."""
        free: tuple[Need[Any], ...] = (Features(frame="all", normalise=self.normalise), Labels())
        return (*free, Probs(frame="all")) if "clf" in self._parameters else free

    def select(self, ev: Evidence, b: int, key: Key) -> Picks:
        x_n_d = ev[Features(frame="all", normalise=self.normalise)]
        y_n = np.full(len(x_n_d), np.nan)
        y_n[ev.rows("labelled")] = ev[Labels()]
        free = ev.rows("candidates")
        more: dict[str, Any] = {}
        if "clf" in self._parameters:
            more["clf"] = GivenProbs(x_n_d, ev[Probs(frame="all")]).fit(x_n_d, y_n)
        if "fit_clf" in self._parameters:
            more["fit_clf"] = False
        rule = getattr(pool, self.rule)(**json.loads(self.settings), random_state=key.seed.integer())
        found, utility_b_n = rule.query(
            x_n_d, y_n, candidates=free, batch_size=int(b), return_utilities=True, **more
        )  # fmt: skip
        utility = utility_b_n[np.arange(len(found)), found].astype(np.float64)
        return Picks(np.searchsorted(free, found), utility if np.isfinite(utility).all() else None)


def from_skactiveml(strategy: SingleAnnotatorPoolQueryStrategy, *, normalise: bool = True) -> FromSkactiveml:
    """Return a query strategy of scikit-activeml as one of ours, for a session or a study.

    Args:
        strategy: one of ``skactiveml.pool`` whose parameters are numbers, words, lists or tables of these. Its random
            state and missing label are not used: a session decides them.
        normalise: whether it gets unit rows of features.

    Raises:
        SpecError: it is no such strategy, has other parameters, or needs more than a session has.
    """
    name, default = type(strategy).__name__, inspect.signature(type(strategy)).parameters
    if getattr(pool, name, None) is not type(strategy):
        raise SpecError(f"Expected a query strategy of skactiveml.pool, got {type(strategy)!r}.")
    changed = {
        key: value for key, value in strategy.get_params(deep=False).items()
        if key not in OWN and value is not default[key].default
    }  # fmt: skip
    try:
        settings = json.dumps(changed, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise SpecError(f"{name}: expected parameters that can be written down, got {changed!r} ({error}).") from None
    return FromSkactiveml(rule=name, settings=settings, normalise=normalise)


class GivenProbs(SkactivemlClassifier):
    """A classifier whose probabilities are known for certain rows, and for no others.

    Rows are recognised by their features; of equal rows the first one's probabilities count.

    Args:
        rows: ``(n, d)``.
        probs: ``(n, c)``.
    """

    def __init__(self, rows: Any = None, probs: Any = None, missing_label: Any = MISSING_LABEL) -> None:
        super().__init__(classes=None, missing_label=missing_label)
        self.rows, self.probs = rows, probs

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "GivenProbs":
        """Do nothing: there is nothing to learn."""
        self.classes_ = np.arange(self.probs.shape[1])
        self.known_ = {row.tobytes(): i for i, row in reversed(list(enumerate(self.rows)))}
        return self

    def predict_proba(self, X: Any) -> Array:
        """Return the probabilities of rows; `KeyError` for one that is not known."""
        return self.probs[[self.known_[row.tobytes()] for row in np.asarray(X, dtype=self.rows.dtype)]]
