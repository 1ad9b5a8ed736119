"""The evaluator: the only reader of test labels."""

from typing import TYPE_CHECKING

from querist.errors import DataError
from querist.evidence.needs import Probs
from querist.evidence.provider import Model
from querist.progress import record
from querist.session.metrics import evaluate, recalls

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
        self._view, self._classes = setting.view(dataset.test), dataset.classes

    def test(self, model: Model) -> dict[str, float]:
        """Return the metrics of a model. Sessions call it once per checkpoint, after the query was sealed."""
        probs = Probs().check(model.provide(Probs(), self._view), self._view.ids, len(self._classes))
        seen = zip(self._classes, recalls(probs, self._truth).tolist(), strict=True)
        record(
            "recall", **{name: share for name, share in seen if share == share}
        )  # none of a class without test items
        return evaluate(probs, self._truth)
