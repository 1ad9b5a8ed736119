"""A learner on two processes gives the evidence that it gives on one, item by item."""

from dataclasses import replace

import numpy as np
import pytest

from querist.evidence.needs import Embeddings, Gradients, Probs
from querist.evidence.view import View
from querist.learners.scratch import Scratch

pytestmark = pytest.mark.deep


def test_T7_two_processes_give_the_evidence_of_one(deep, data, job):
    learner = Scratch(updates=8, batch=7, lr=0.05, device="cpu", class_weights=True)
    ids = data.pool[:20]
    one, two = (replace(learner, devices=devices).fit(job(data, ids)) for devices in (1, 2))
    view = View(data, data.pool[20:60])
    found = [[model.provide(need, view) for need in (Probs(), Embeddings(), Gradients())] for model in (one, two)]
    for a, b in zip(*found, strict=True):
        for part_a, part_b in zip(*((x if isinstance(x, tuple) else (x,)) for x in (a, b)), strict=True):
            np.testing.assert_allclose(part_b, part_a, rtol=1e-3, atol=1e-4)
    assert np.abs(found[0][0] - 1 / 3).max() > 0.05, "it has learnt something, so the weights did change"
    backwards = view.take(np.arange(len(view))[::-1])
    assert np.array_equal(two.provide(Probs(), backwards)[::-1], found[1][0])
