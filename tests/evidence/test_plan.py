"""The plan: first offer wins, and a refusal names every need with every reason."""

import pytest

from querist.errors import UnmetNeedError, UsageError
from querist.evidence.needs import Draws, Embeddings, Features, Logits, Probs
from querist.evidence.plan import plan
from querist.evidence.provider import Offer


class Source:
    def __init__(self, name, *offered, reason="not mine."):
        self.name, self.offered, self.reason, self.asked = name, offered, reason, []

    def offers(self, need):
        self.asked.append(need)
        return Offer() if need in self.offered else self.reason


def test_the_first_source_that_offers_is_taken():
    one, two = Source("one", Probs()), Source("two", Probs(), Logits())
    found = plan("me", [Probs(), Logits()], [one, two])
    assert found.sources == {Probs(): one, Logits(): two}
    assert found.met_by(one) == [Probs()]
    assert found.met_by(two) == [Logits()]
    assert found.met_by(Source("three")) == []


def test_no_needs_no_questions():
    source = Source("one", Probs())
    assert plan("me", [], [source]).sources == {}
    assert source.asked == []


def test_settings_and_frames_are_part_of_a_need():
    source = Source("one", Draws(k=5), Probs(frame="labelled"))
    plan("me", [Draws(k=5), Probs(frame="labelled")], [source])
    for need in (Draws(k=6), Draws(k=5, coherent=True), Probs()):
        with pytest.raises(UnmetNeedError):
            plan("me", [need], [source])


def test_every_unmet_need_is_listed_with_every_reason():
    sources = [Source("session", reason="it keeps books."), Source("learner 'knn'", Probs(), reason="it has no layer.")]
    with pytest.raises(UnmetNeedError) as caught:
        plan("strategy 'badge'", [Embeddings(), Probs(), Features(encoder="dino")], sources)
    assert str(caught.value).splitlines() == [
        "strategy 'badge' needs evidence that nothing here provides:",
        "  Embeddings()",
        "    - session: it keeps books.",
        "    - learner 'knn': it has no layer.",
        "  Features(encoder='dino', normalise=True)",
        "    - session: it keeps books.",
        "    - learner 'knn': it has no layer.",
    ]
    assert isinstance(caught.value, UsageError)


def test_without_sources_everything_is_unmet():
    with pytest.raises(UnmetNeedError, match="Probs"):
        plan("me", [Probs()], [])


def test_a_need_asked_for_twice_is_planned_once():
    source = Source("one", Probs())
    assert plan("me", [Probs(), Probs()], [source]).met_by(source) == [Probs()]
