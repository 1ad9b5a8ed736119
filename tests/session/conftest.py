"""Sessions on fake data, answered by a simulated oracle."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from querist.labels.oracle import SimulatedOracle
from querist.session.session import Round, Session
from querist.session.setting import Setting
from querist.testing.fakes import FakeLearner, fake_dataset


@pytest.fixture(scope="module", autouse=True)
def _no_waiting_for_the_disk() -> Iterator[None]:
    """Nothing here depends on it, and a busy disk would take most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda handle: None)
        yield


@pytest.fixture(scope="session")
def setting() -> Setting:
    """Ninety pool items and thirty test items in three classes."""
    return Setting(fake_dataset())


@pytest.fixture
def make(setting: Setting) -> Callable[..., Session]:
    """Make a session on the shared setting with a small learner."""

    def make(**settings: Any) -> Session:
        return Session(settings.pop("data", setting), **{"learner": FakeLearner(), **settings})

    return make


@pytest.fixture
def play() -> Callable[..., list[Round]]:
    """Ask and answer: ``play(session, 5, 5, 3)`` buys 13 labels in three queries."""

    def play(session: Session, *sizes: int) -> list[Round]:
        oracle = SimulatedOracle(session.dataset.labels, session.dataset.pool)
        rounds = [session.tell(oracle.answer(session.ask(b))) for b in sizes]
        return [r for r in rounds if r is not None]

    return play
