"""Any classifier of scikit-learn that gives probabilities."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import all_estimators

from querist.arrays import Array, Labels
from querist.errors import SpecError, UnknownNameError
from querist.evidence.provider import Fit
from querist.learners.base import register
from querist.learners.frozen import FrozenLearner, ProbsModel


@register("sklearn", cite="Pedregosa et al., JMLR 2011")
@dataclass(frozen=True, kw_only=True)
class Sklearn(FrozenLearner):
    """A classifier of scikit-learn on unit rows of frozen features, named as there.

    ``{ name = "sklearn", classifier = "RandomForestClassifier", params = { n_estimators = 50 } }``. Classes without
    labels get probability 0. A ``random_state`` is set from the session's seed unless `params` says one.

    Attributes:
        classifier: name of the class.
        params: its settings.
    """

    classifier: str
    params: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        self._new(0)

    def fit_rows(self, x_l_d: Array, y_l: Labels, job: Fit) -> "SklearnModel":
        """Return the fitted classifier; with one class seen there is nothing to fit, and it has probability 1."""
        seen = np.unique(y_l)
        estimator = self._new(job.seed.integer()).fit(x_l_d, y_l) if len(seen) > 1 else None
        return SklearnModel(features=self.features, c=job.labelled.c, estimator=estimator, seen=seen)

    def _new(self, seed: int) -> Any:
        """Return the configured classifier.

        Raises:
            UnknownNameError: no such classifier or setting.
            SpecError: it gives no probabilities, or refuses its settings.
        """
        known: dict[str, type[BaseEstimator]] = dict(all_estimators(type_filter="classifier"))
        if self.classifier not in known:
            raise UnknownNameError("scikit-learn classifier", self.classifier, known)
        try:
            estimator: Any = known[self.classifier]()
        except TypeError:
            raise SpecError(f"{self.classifier} wraps another classifier and cannot be built from settings.") from None
        settings = estimator.get_params(deep=False)
        for name in self.params:
            if name not in settings:
                raise UnknownNameError("setting", name, settings, self.classifier)
        estimator.set_params(**({"random_state": seed} if "random_state" in settings else {}) | dict(self.params))
        if not hasattr(estimator, "predict_proba"):
            raise SpecError(
                f"{self.classifier} gives no probabilities with these settings, and strategies and metrics need them. "
                "Choose one with predict_proba, for example LogisticRegression or RandomForestClassifier."
            )
        return estimator


@dataclass(frozen=True, kw_only=True, eq=False)
class SklearnModel(ProbsModel):
    """A fitted classifier and the class numbers its columns stand for."""

    estimator: Any
    seen: Labels

    def probs(self, x_n_d: Array) -> Array:
        """Return ``(n, c)`` float64 probabilities; exactly 0 for a class without labels."""
        probs = np.zeros((len(x_n_d), self.c))
        probs[:, self.seen] = 1.0 if self.estimator is None else self.estimator.predict_proba(x_n_d)
        return probs
