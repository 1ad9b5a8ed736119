"""Events as JSON: nothing is lost on the way, and what a newer version wrote is refused."""

import json
from dataclasses import fields

import pytest
from hypothesis import given, strategies as st

from querist.errors import LedgerError
from querist.labels.events import KINDS, SCHEMA, Answered, Asked, Evaluated, Opened, Tuned, from_json, joined, to_json

ids = st.lists(st.integers(0, 2**40), max_size=4).map(tuple)
numbers = st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=4).map(tuple)
words = st.text(max_size=12)
leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | words
values = st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3))
events = st.one_of(
    st.builds(Opened, spec=st.dictionaries(words, values, max_size=3)),
    st.builds(
        Asked, round=st.integers(-1, 99), purpose=words, ids=ids, utility=st.none() | numbers,
        propensity=st.none() | numbers, reasons=st.lists(words, max_size=3).map(tuple), left=st.integers(0, 3),
    ),
    st.builds(Answered, round=st.integers(-1, 99), purpose=words, ids=ids, labels=ids),
    st.builds(
        Evaluated, checkpoint=st.integers(0, 99), n_labels=st.integers(0, 99),
        metrics=st.dictionaries(words, st.floats(allow_nan=False, allow_infinity=False), max_size=3),
    ),
    st.builds(
        Tuned, checkpoint=st.integers(0, 99), settings=st.dictionaries(words, leaves, max_size=3),
        trials=st.integers(0, 99), fits=st.integers(0, 99), value=st.none() | st.floats(0, 1),
        updates=st.integers(0, 10**9), validation=st.integers(0, 99), reused=st.booleans(),
    ),
)  # fmt: skip


@given(events)
def test_events_survive_json(event):
    back = from_json(json.loads(json.dumps(to_json(event))))
    assert type(back) is type(event)
    assert {f.name: getattr(back, f.name) for f in fields(back)} == {
        # An empty tuple of an optional setting is the setting left out.
        f.name: None if f.default is None and getattr(event, f.name) == () else getattr(event, f.name)
        for f in fields(event)
    }


@given(events)
def test_a_second_trip_changes_no_byte(event):
    once = json.dumps(to_json(event))
    assert json.dumps(to_json(from_json(json.loads(once)))) == once


def test_required_settings_are_written_even_if_empty():
    assert from_json(to_json(Asked(round=0, purpose="query", ids=()))) == Asked(round=0, purpose="query", ids=())


def test_what_is_asked_as_a_whole_is_written_as_ever():
    line = {"event": "asked", "round": 0, "purpose": "query", "ids": (4, 2)}
    assert to_json(Asked(round=0, purpose="query", ids=(4, 2))) == line
    assert to_json(Asked(round=0, purpose="query", ids=(4, 2), left=3)) == {**line, "left": 3}
    assert from_json(line).left == 0  # pyright: ignore[reportAttributeAccessIssue]


def test_a_value_of_nothing_right_is_not_no_value():
    event = Tuned(checkpoint=0, settings={"components": None}, trials=1, fits=1, value=0.0)
    assert to_json(event) == {
        "event": "tuned", "checkpoint": 0, "settings": {"components": None}, "trials": 1, "fits": 1, "value": 0.0
    }  # fmt: skip
    assert from_json(to_json(event)) == event


def test_a_query_asked_one_by_one_is_one():
    parts = [
        Asked(round=2, purpose="query", ids=(9,), utility=(0.5,), left=2),
        Asked(round=2, purpose="query", ids=(3,), reasons=("why",), left=1),
        Asked(round=2, purpose="query", ids=(7,), utility=(0.25,), propensity=(1.0,)),
    ]
    whole = joined(joined(parts[0], parts[1]), parts[2])
    assert (whole.round, whole.purpose, whole.ids, whole.left, whole.size) == (2, "query", (9, 3, 7), 0, 3)
    assert whole.reasons == ("", "why", "")
    assert repr((whole.utility, whole.propensity)) == "((0.5, nan, 0.25), (nan, nan, 1.0))"
    assert joined(parts[0], parts[1]).size == parts[0].size == 3
    assert whole == joined(joined(parts[0], parts[1]), parts[2]), "a replay must equal a replay, NaN or not"


def test_every_kind_has_its_own_word():
    assert sorted(KINDS) == ["answered", "asked", "evaluated", "opened", "tuned"]
    assert all(kind.kind == word for word, kind in KINDS.items())


@pytest.mark.parametrize(
    "line",
    [
        {},
        {"event": "relabelled", "ids": [3]},
        {"event": None},
        {"event": ["asked"]},
        {"event": "opened", "spec": {}, "schema": SCHEMA + 1},
        {"event": "asked", "round": 0, "purpose": "query", "ids": [1], "costs": [2.0]},
    ],
)
def test_what_a_newer_version_wrote_is_refused(line):
    with pytest.raises(LedgerError, match="newer Querist"):
        from_json(line)


def test_a_missing_setting_is_named():
    with pytest.raises(LedgerError, match="without ids, purpose"):
        from_json({"event": "asked", "round": 0})
