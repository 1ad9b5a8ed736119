"""What is missing, in words."""

from querist.analysis.curves import Run
from querist.analysis.gaps import Missing, keys_in_words, missing_runs, short_of_reference
from querist.analysis.paired import pair


def test_missing_runs_name_the_side_that_lacks_them_once():
    reference = {(0, 0): 0.5, (1, 0): 0.5}
    pairs = {"a": pair({(0, 0): 0.5, (2, 0): 0.5}, reference), "b": pair({(2, 0): 0.5}, reference)}
    late = {Run("a", 1, 0): "it has 1 of 3 checkpoints", Run("b", 5, 0): "it has 2 of 3 checkpoints"}
    assert missing_runs(pairs, "random", late) == (
        Missing("a", 1, 0, "it has 1 of 3 checkpoints"),
        Missing("b", 0, 0, "no run"),
        Missing("b", 1, 0, "no run"),
        Missing("b", 5, 0, "it has 2 of 3 checkpoints"),
        Missing("random", 2, 0, "no run"),
    )


def test_only_arms_with_more_runs_than_the_reference_are_held_back():
    reference = {(0, 0): 0.5, (1, 0): 0.5}
    more = {(p, 0): 0.5 for p in range(8)}
    pairs = {"more": pair(more, reference), "same": pair(reference, reference), "less": pair({}, reference)}
    held = short_of_reference(pairs, {"random": 2, "more": 8, "same": 2, "less": 0}, "random")
    assert held == {
        "more": "fewer runs of random (2) than of this arm (8): run random on pool 2 seed 0, pool 3 seed 0, "
        "pool 4 seed 0, pool 5 seed 0 and 2 more too"
    }


def test_keys_in_words():
    assert keys_in_words([(3, 0)]) == "pool 3 seed 0"
    assert keys_in_words([(i, 1) for i in range(6)], most=2) == "pool 0 seed 1, pool 1 seed 1 and 4 more"
