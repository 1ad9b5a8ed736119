"""Runs built again from what the store says of them, without the file of their study."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from querist.data.dataset import Dataset, datasets
from querist.encoders.base import encoders
from querist.errors import QueristError, UsageError
from querist.evidence.cache import Cache
from querist.labels.ledger import Ledger
from querist.learners.base import learners
from querist.seeds import Seed
from querist.session.checkpoints import Keep
from querist.session.machine import diff
from querist.session.session import Session
from querist.session.setting import Setting
from querist.strategies.base import strategies
from querist.strategies.composition import flags_of

SETTING = ("dataset", "features", "features_seed")
"""What of a specification says which items there are and how they are seen."""


def spec_of(folder: Path) -> dict[str, Any]:
    """Return the specification in the folder of a run.

    Raises:
        UsageError: there is none.
    """
    try:
        return json.loads((folder / "spec.json").read_bytes())
    except (OSError, ValueError) as error:
        raise UsageError(
            f"Expected the folder of a run, with spec.json and ledger.jsonl, got {folder} ({error}). The runs of a "
            "store are the folders in STORE/runs."
        ) from None


def setting_again(
    spec: Mapping[str, Any], cache: Cache | None, *, dataset: Dataset | None = None, advice: str = ""
) -> Setting:
    """Return the dataset and the features that a specification is of.

    Args:
        spec: of a run or a session.
        cache: where features are kept.
        dataset: given, if it cannot be had by its name.
        advice: what to do where that fails.

    Raises:
        UsageError: the dataset or the features cannot be built from their names, or are others by now; shows which.
    """
    name = spec["dataset"]["name"]
    try:
        data = datasets.build(name) if dataset is None else dataset
        setting = Setting(data, encoders.build(spec["features"]), seed=spec["features_seed"], cache=cache)
        found = json.loads(json.dumps(setting.spec))
    except QueristError as error:
        raise UsageError(
            f"dataset and features cannot be built again from their names alone: {error} {advice}"
        ) from error
    if lines := diff({part: spec[part] for part in SETTING}, found):
        raise UsageError("\n".join([
            f"the dataset {data.name!r} or its features are not those that were recorded:", *lines,
            f"Nothing was done. {advice}",
        ]))  # fmt: skip
    return setting


def session_again(
    spec: Mapping[str, Any], setting: Setting, ledger: Ledger, folder: Path | None, keep: Keep
) -> Session:
    """Return the session of a run, on any ledger of it.

    Args:
        spec: of the run.
        setting: that of the specification, see `setting_again`.
        ledger: where it goes on.
        folder: of the run, where its models are.
        keep: what becomes of them.

    Raises:
        UsageError: the strategy reads files, of which a specification knows the content alone.
    """
    try:
        strategy, initial = (strategies.build(spec[part]) for part in ("strategy", "initial"))
        session = Session(
            setting,
            learner=learners.build(spec["learner"]),
            strategy=strategy,
            initial=strategy if "one_shot" in flags_of(strategy) else initial,
            seed=Seed(spec["entropy"]).child(setting.dataset.name, "pool", spec["pool"]),
            repeat=spec["seed"],
            validation=spec["validation"],
            ledger=ledger,
            spec=spec,
            folder=folder,
            keep=keep,
        )
    except QueristError as error:
        raise UsageError(
            f"the run cannot be built from its specification alone: {error} Give the study's file."
        ) from error
    return session
