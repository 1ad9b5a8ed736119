"""A learner on two processes gives the evidence that it gives on one, item by item."""

from dataclasses import replace

import numpy as np
import pytest

from querist.data.memory import from_arrays
from querist.errors import SpecError
from querist.evidence.needs import Draws, Embeddings, Gradients, Probs
from querist.evidence.view import View
from querist.learners.scratch import Scratch
from querist.progress import listening

pytestmark = [pytest.mark.deep, pytest.mark.usefixtures("deep")]


@pytest.fixture(scope="module")
def many():
    """1000 images of 8 x 8, ten blocks and more to share."""
    x = np.random.default_rng(0).integers(0, 156, (1000, 8, 8)) + 50 * (np.arange(1000) % 3)[:, None, None]
    return from_arrays("many", x.astype(np.uint8), np.arange(1000) % 3)


def test_T7_two_processes_give_the_evidence_of_one(many, job, weights, monkeypatch):
    """Trained by one and by two processes; then what the two trained is scored by one and by two."""
    from querist.nets import sharing

    learner = Scratch(updates=8, batch=7, lr=0.05, device="cpu", class_weights=True, draws="views", flip=True)
    ids = many.pool[:20]
    one, two = (replace(learner, devices=devices).fit(job(many, ids)) for devices in (1, 2))
    assert one.learner.identity() != two.learner.identity()
    assert weights(one) != weights(two), (
        "training has other last bits, which is why devices are part of a specification"
    )
    # The order is one that no process has.
    view = View(many, np.random.default_rng(1).permutation(many.pool[20:]))
    needs = Probs(), Embeddings(), Gradients()
    found = [flat([model.provide(need, view) for need in needs]) for model in (one, two)]
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-3, atol=1e-4)
    assert np.abs(found[0][0] - 1 / 3).max() > 0.05, "it has learnt something, so the weights did change"

    apart = replace(two, learner=replace(two.learner, devices=1))
    needs = *needs, Draws(k=2)
    again = View(many, view.ids)  # embeddings of the other one are remembered
    heard, counts = [], []
    monkeypatch.setattr(sharing, "WORTH", -1.0)
    monkeypatch.setattr(sharing, "run", counted(sharing.run, counts))
    with listening(lambda *news: heard.append(news)):
        shared = flat([two.provide(need, again) for need in needs])
    assert len(counts) == 2, "one pass for embeddings, one for draws"
    assert heard.count(("scoring", 980, 980)) == 2
    for a, b in zip(flat([apart.provide(need, again) for need in needs]), shared, strict=True):
        assert np.array_equal(a, b)
        assert a.dtype == b.dtype


def flat(values):
    return [part for value in values for part in (value if isinstance(value, tuple | list) else [value])]


def counted(function, counts):
    def count(*given):
        counts.append(1)
        return function(*given)

    return count


def test_a_learner_that_processes_cannot_import_is_refused_before_it_trains(data, job):
    class Own(Scratch):
        pass

    with pytest.raises(SpecError, match=r"Own is defined in .*, which other processes do not import: .*devices = 1"):
        Own(devices=2, device="cpu").fit(job(data, data.pool[:20]))
