"""What sessions share: features made once, views without labels, one evaluator."""

import numpy as np
import pytest

from querist.data.memory import from_arrays
from querist.errors import LeakError
from querist.evidence.needs import Features
from querist.labels.oracle import SimulatedOracle
from querist.session.session import Session
from querist.session.setting import Setting
from querist.testing.fakes import FakeLearner, fake_dataset


def test_features_are_computed_once_and_only_when_needed(monkeypatch):
    calls = []
    from querist.session import setting as module

    compute = module.compute_features
    monkeypatch.setattr(module, "compute_features", lambda *a, **k: calls.append(1) or compute(*a, **k))
    shared = Setting(fake_dataset())
    sessions = [Session(shared, learner=FakeLearner(), strategy=s) for s in ("margin", "typiclust")]
    assert calls == []
    for session in sessions:
        session.ask(4)
    assert calls == [1]


def test_a_learner_on_items_and_a_strategy_on_outputs_need_no_features(monkeypatch):
    monkeypatch.setattr("querist.session.setting.compute_features", lambda *_, **__: pytest.fail("computed"))
    session = Session(Setting(fake_dataset()), learner=FakeLearner(), strategy="margin", initial="random")
    oracle = SimulatedOracle(session.setting.dataset.labels, session.setting.dataset.pool)
    for _ in range(2):
        session.tell(oracle.answer(session.ask(6)))
    assert session.conclude()["accuracy"] > 0.5


def test_the_specification_says_what_weights_hold_not_where_they_are(tmp_path):
    for name in ("a.npz", "b.npz"):
        (tmp_path / name).write_bytes(b"weights")
    one, other = (
        Setting(fake_dataset(), {"name": "backbone", "path": str(tmp_path / name)}).spec for name in ("a.npz", "b.npz")
    )
    assert one == other
    assert str(tmp_path) not in str(one)
    (tmp_path / "a.npz").write_bytes(b"weight5")
    assert Setting(fake_dataset(), {"name": "backbone", "path": str(tmp_path / "a.npz")}).spec != one


def test_progress_is_counted_once_per_row():
    calls = []
    shared = Setting(fake_dataset(), progress=lambda done, total: calls.append((done, total)))
    assert calls == []
    shared.view(shared.dataset.pool)[Features()]
    assert calls == [(0, 120), (120, 120)]


def test_features_of_the_pool_are_gathered_once():
    shared = Setting(fake_dataset())
    pool = shared.dataset.pool
    assert shared.provide(Features(), pool) is shared.provide(Features(), pool.copy())
    part = shared.provide(Features(), pool[3:9])
    assert np.array_equal(part, shared.provide(Features(), pool)[3:9])
    assert not part.flags.writeable


def test_pools_of_one_size_but_other_ids_are_not_confused():
    shared = Setting(fake_dataset())
    pool, test = shared.dataset.pool, shared.dataset.test
    swapped = np.sort(np.append(pool[:-1], test[0]))
    shared.provide(Features(), pool)
    assert np.array_equal(shared.provide(Features(), swapped), shared.features[Features(frame="all")][swapped])


def test_views_have_labels_only_if_given():
    shared = Setting(fake_dataset())
    with pytest.raises(LeakError):
        _ = shared.view(shared.dataset.pool).labels


def test_no_evaluator_without_a_test_split():
    assert Setting(from_arrays("x", np.eye(4), [0, 1, 0, 1])).evaluator is None
    shared = Setting(fake_dataset())
    assert shared.evaluator is shared.evaluator


def test_the_specification_names_what_features_depend_on():
    spec = Setting(fake_dataset(), "pixels(pca=2)", seed=7).spec
    assert spec["features"] == {"name": "pixels", "pca": 2}
    assert spec["features_seed"] == 7
    assert spec["dataset"] == {"name": "fake", "fingerprint": fake_dataset().fingerprint}
