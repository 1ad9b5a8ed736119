"""Models that runs and sessions keep, tested again."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from querist.data.dataset import Dataset
from querist.errors import QueristError, UsageError
from querist.evidence.cache import Cache
from querist.kernels.threads import single_threaded_blas
from querist.labels.book import Book
from querist.labels.ledger import JsonlLedger
from querist.learners.base import learners
from querist.progress import tell
from querist.registry import digest
from querist.session.checkpoints import CARD, card_of
from querist.session.setting import Setting
from querist.studies.rebuilding import SETTING, setting_again

ADVICE = "Say where the data are: --dataset SOURCE."


class StoredModel(NamedTuple):
    """A stored model and what it is worth.

    Attributes:
        folder: where it is.
        spec: of its session or run.
        round: whose model it is.
        n_labels: labels charged by then, 0 where there is no ledger beside it.
        metrics: on the test split, now.
        recorded: as its session tested it; empty if it did not, or has no ledger.
    """

    folder: Path
    spec: Mapping[str, Any]
    round: int
    n_labels: int
    metrics: Mapping[str, float]
    recorded: Mapping[str, float]

    @property
    def same(self) -> bool | None:
        """Whether the metrics are those on record, to the last bit; None if none are."""
        return dict(self.metrics) == dict(self.recorded) if self.recorded else None


class Untested(NamedTuple):
    """A stored model that cannot be tested, and why."""

    folder: Path
    reason: str


def models_below(folders: Sequence[Path]) -> list[Path]:
    """Return the folders of all models in and below some folders, each once.

    Raises:
        UsageError: there is none; names the folder.
    """
    found: dict[Path, None] = {}
    for folder in folders:
        below = sorted(card.parent for card in folder.rglob(CARD) if card_of(card.parent))
        if not below:
            raise UsageError(
                f"there are no stored models in {folder}. Expected the folder of a model, of a run, or of a store. "
                "querist study run --keep-models all keeps those of deep learners."
            )
        found |= dict.fromkeys(below)
    return list(found)


def measure_models(
    folders: Sequence[Path], cache: Cache | None = None, dataset: Dataset | None = None
) -> Iterator[StoredModel | Untested]:
    """Yield the test of every stored model below some folders, or why it has none; one is in memory at a time.

    A model has none if the dataset is not the one it was trained on, cannot be had, or has no test split, or if its
    file is damaged.

    Args:
        folders: of models, runs or stores.
        cache: where features are kept.
        dataset: given, if it cannot be had by its name.

    Raises:
        UsageError: there are no models.
    """
    paths = models_below(folders)
    settings: dict[str, Setting | QueristError] = {}
    for done, path in enumerate(paths):
        tell("testing models", done, len(paths))
        card = card_of(path) or {}
        spec = card["spec"]
        key = digest([spec[part] for part in SETTING])
        if key not in settings:  # a dataset that cannot be had is not looked for again
            settings[key] = _setting(spec, cache, dataset)
        try:
            yield _tested(path, card, settings[key])
        except QueristError as error:
            yield Untested(path, str(error))
    tell("testing models", len(paths), len(paths))


def _setting(spec: Mapping[str, Any], cache: Cache | None, dataset: Dataset | None) -> Setting | QueristError:
    try:
        return setting_again(spec, cache, dataset=dataset, advice=ADVICE)
    except QueristError as error:
        return error


def _tested(path: Path, card: Mapping[str, Any], setting: Setting | QueristError) -> StoredModel:
    if isinstance(setting, QueristError):
        raise setting
    evaluator = setting.evaluator
    if evaluator is None:
        raise UsageError(f"{setting.dataset.name!r} has no test split, so no model can be tested on it.")
    with single_threaded_blas():
        metrics = evaluator.test(learners.build(card["learner"], f"{path}").load(path))
    done = _book(path).evaluations.get(card["round"])
    n_labels, recorded = (done.n_labels, done.metrics) if done else (0, {})
    return StoredModel(path, card["spec"], card["round"], n_labels, metrics, recorded)


def _book(path: Path) -> Book:
    """What is on record beside a model."""
    ledger = path.parent.parent / "ledger.jsonl"
    return Book.replay(JsonlLedger(ledger)) if ledger.exists() else Book()
