"""The lines beside every run: what was measured comes back, whatever a kill left of the last one."""

import json

import pytest

from querist.session.tracking.lines import LineTracker, last_steps, read_lines


@pytest.fixture
def path(tmp_path):
    return tmp_path / "metrics.jsonl"


def test_what_was_logged_is_read(path):
    tracker = LineTracker(path)
    assert list(read_lines(path)) == []
    assert last_steps(path) == {}
    tracker.log("epoch", {"loss": 0.1 + 0.2, "optimiser": "sgd", "epoch": 3}, 7)
    assert len(path.read_text().splitlines()) == 1  # at once, not when it is closed
    tracker.log("round", {"accuracy": 1.0}, 20)
    tracker.close()
    first, second = read_lines(path)
    assert first.pop("time") <= second.pop("time")
    assert first == {"event": "epoch", "step": 7, "loss": 0.1 + 0.2, "optimiser": "sgd", "epoch": 3}
    assert second == {"event": "round", "step": 20, "accuracy": 1.0}
    assert last_steps(path) == {"epoch": 7, "round": 20}


def test_numbers_that_json_does_not_have_are_null(path):
    LineTracker(path).log("epoch", {"loss": float("nan"), "norm": float("inf"), "low": -float("inf")}, 1)
    (line,) = path.read_text().splitlines()
    values = json.loads(line, parse_constant=pytest.fail)
    assert (values["loss"], values["norm"], values["low"]) == (None, None, None)


def test_names_of_classes_may_be_any_words(path):
    LineTracker(path).log("recall", {"étoile": 0.5, "two\nlines": 1.0, "event": 0.25}, 1)
    (line,) = read_lines(path)
    assert (line["étoile"], line["two\nlines"], line["event"]) == (0.5, 1.0, "recall")


def test_a_torn_line_costs_itself_alone(path):
    tracker = LineTracker(path)
    for step in (1, 2, 3):
        tracker.log("epoch", {"loss": float(step)}, step)
    whole = path.read_bytes()
    for cut in range(1, 30):
        path.write_bytes(whole[:-cut])
        LineTracker(path).log("epoch", {"loss": 9.0}, 9)
        found = [line["loss"] for line in read_lines(path)]
        assert found == ([1.0, 2.0, 3.0, 9.0] if cut == 1 else [1.0, 2.0, 9.0])
