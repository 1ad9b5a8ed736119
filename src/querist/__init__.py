"""Querist: which items of an unlabelled pool should be labelled next, and is it still worth asking?

Everything public is importable from here; a name is loaded when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from querist.data.dataset import Dataset, datasets
    from querist.data.map_style import from_torch
    from querist.data.memory import from_arrays
    from querist.encoders.base import Encoder, encoders
    from querist.errors import QueristError
    from querist.evidence.evidence import Evidence
    from querist.learners.base import Learner, learners
    from querist.seeds import Key, Seed
    from querist.session.select import select
    from querist.session.session import Session
    from querist.session.setting import Setting
    from querist.strategies.base import Picks, Scoring, Selection, State, Strategy, choose, strategies
    from querist.studies.study import Study

_HOME = {
    "Dataset": "data.dataset", "Encoder": "encoders.base", "Evidence": "evidence.evidence", "Key": "seeds",
    "Learner": "learners.base", "Picks": "strategies.base", "QueristError": "errors", "Scoring": "strategies.base",
    "Seed": "seeds", "Selection": "strategies.base", "Session": "session.session", "Setting": "session.setting",
    "State": "strategies.base", "Strategy": "strategies.base", "Study": "studies.study", "choose": "strategies.base",
    "datasets": "data.dataset", "encoders": "encoders.base", "from_arrays": "data.memory",
    "from_torch": "data.map_style", "learners": "learners.base", "select": "session.select",
    "strategies": "strategies.base",
}  # fmt: skip

__all__ = [
    "Dataset",
    "Encoder",
    "Evidence",
    "Key",
    "Learner",
    "Picks",
    "QueristError",
    "Scoring",
    "Seed",
    "Selection",
    "Session",
    "Setting",
    "State",
    "Strategy",
    "Study",
    "choose",
    "datasets",
    "encoders",
    "from_arrays",
    "from_torch",
    "learners",
    "select",
    "strategies",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'querist' has no attribute {name!r}")
    value = getattr(import_module(f"querist.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *__all__]
