"""Nets whose settings are searched: the model that was judged is the one that is kept, and it survives its file."""

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra deep")
pytest.importorskip("optuna", reason="needs the extra tune")

from querist.data.memory import from_arrays
from querist.evidence.needs import Embeddings, Probs
from querist.evidence.provider import Fit
from querist.evidence.view import View
from querist.labels.events import Tuned
from querist.learners.base import learners
from querist.seeds import Seed

pytestmark = pytest.mark.deep

IMAGES = np.random.default_rng(0).integers(0, 120, (90, 8, 8)).astype(np.uint8)
Y = np.arange(90) % 3
IMAGES[Y == 1, :4] += 100
IMAGES[Y == 2, :, :4] += 100
DATA = from_arrays("stripes", IMAGES, Y, split=["test" if i >= 70 else "pool" for i in range(90)])
LEARNER = {
    "name": "tuned", "mode": "per-cycle", "trials": 4, "sampler": "tpe",
    "base": {"name": "scratch", "net": "small_cnn", "updates": 24, "flip": False},
    "space": {"lr": {"low": 1e-4, "high": 0.3, "log": True}, "batch": [4, 8], "optimizer": ["sgd", "adam"]},
}  # fmt: skip


def view(ids, labelled=True):
    return View(DATA, ids, labels=Y[ids] if labelled else None)


def job(folder=None, held=True):
    held_out = view(np.arange(20, 40)) if held else None
    rest = view(np.arange(40, 70), labelled=False)
    return Fit(view(np.arange(20)), rest, Seed(1).child("fit"), validation=held_out, folder=folder)


def outputs(model):
    test = view(DATA.test, labelled=False)
    return np.asarray(model.provide(Probs(), test)), np.asarray(model.provide(Embeddings(), test))


def test_the_net_that_was_judged_is_the_net_that_is_made_again(tmp_path):
    learner = learners.build(LEARNER)
    model = learner.fit(job(tmp_path / "fit"))
    note = learner.found(model)
    assert note is not None
    assert (note.trials, note.fits, note.updates, note.validation) == (4, 4 + 1 + 1, 4 * 2 + 6 + 24, 20)
    p = np.asarray(model.provide(Probs(), view(np.arange(20, 40))))
    assert note.value == (p.argmax(axis=1) == Y[20:40]).mean()
    settled = learner.settled({0: Tuned(checkpoint=0, **note._asdict())}, 0)
    again, resumed = settled.fit(job()), learner.fit(job(tmp_path / "fit"))
    assert learner.found(resumed) == note
    for other in (again, resumed):
        for one, two in zip(outputs(model), outputs(other), strict=True):
            np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("held", [True, False])
def test_nets_are_kept_with_their_settings(held, tmp_path):
    learner = learners.build(LEARNER)
    model = learner.fit(job(held=held))
    learner.save(model, tmp_path / "kept")
    back = learner.load(tmp_path / "kept")
    for one, two in zip(outputs(model), outputs(back), strict=True):
        np.testing.assert_array_equal(one, two)
    assert not any(path.suffix in (".pt", ".pkl", ".pth") for path in (tmp_path / "kept").rglob("*"))
