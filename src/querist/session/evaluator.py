"""The evaluator: the only reader of test labels."""

from typing import TYPE_CHECKING

from querist.errors import DataError
from querist.evidence.needs import Probs
from querist.evidence.provider import Model
from querist.session.metrics import evaluate

if TYPE_CHECKING:
    from querist.session.setting import Setting


class Evaluator:
    """Tests models on the test split.

    Raises:
        DataError: a test item has no label.
    """

    def __init__(self, setting: "Setting") -> None:
        dataset = setting.dataset
        self._truth = dataset.labels.unseal()[dataset.test]
        if (self._truth < 0).any():
            raise DataError(
                f"{int((self._truth < 0).sum())} of the {len(self._truth)} test items of {dataset.name!r} "
                "have no label. Label them or move them to the split 'left_out'."
            )
        self._view, self._c = setting.view(dataset.test), dataset.c

    def test(self, model: Model) -> dict[str, float]:
        """Return the metrics of a model. Sessions call it once per checkpoint, after the query was sealed."""
        probs = Probs().check(model.provide(Probs(), self._view), self._view.ids, self._c)
        return evaluate(probs, self._truth)
