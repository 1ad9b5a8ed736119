"""Numbers about items that somebody stored in a file."""

import json
import re
import shutil

import numpy as np
import pytest

from querist.errors import DataError
from querist.registry import describe, digest
from querist.strategies._stored import stored_rows
from querist.strategies.base import strategies
from querist.strategies.composition import identity_of
from querist.strategies.pcoreset import PCoreSet
from querist.strategies.stochastic import Stochastic

WHO = "strategy x"


@pytest.fixture
def table():
    return np.random.default_rng(0).random((9, 3))


def test_rows_of_an_npy_file_are_those_of_the_manifest(tmp_path, table):
    np.save(tmp_path / "t.npy", table)
    ids = np.array([7, 0, 3])
    assert stored_rows(str(tmp_path / "t.npy"), ids, (3,), who=WHO).tolist() == table[ids].tolist()
    np.save(tmp_path / "numbers.npy", np.arange(9))
    assert stored_rows(str(tmp_path / "numbers.npy"), ids, who=WHO).tolist() == [7.0, 0.0, 3.0]
    draws = np.random.default_rng(1).random((9, 5, 3))
    np.save(tmp_path / "draws.npy", draws)
    assert stored_rows(str(tmp_path / "draws.npy"), ids, (None, 3), who=WHO).tolist() == draws[ids].tolist()


def test_rows_of_an_archive_are_found_by_id_in_any_order(tmp_path, table):
    known = np.array([40, 2, 31, 8, 5, 100, 9, 0, 77])
    np.savez(tmp_path / "t.npz", ids=known, values=table)
    asked = np.array([0, 8, 100, 2])
    expected = [table[known.tolist().index(i)].tolist() for i in asked]
    assert stored_rows(str(tmp_path / "t.npz"), asked, (3,), who=WHO).tolist() == expected


def test_C4_an_item_the_file_does_not_know_is_named(tmp_path, table):
    np.save(tmp_path / "t.npy", table)
    with pytest.raises(DataError, match=r"strategy x: .* has 9 rows, one per item, but is asked about the items 9, 12"):
        stored_rows(str(tmp_path / "t.npy"), np.array([1, 9, 12]), (3,), who=WHO)
    np.savez(tmp_path / "t.npz", ids=np.arange(0, 18, 2), values=table)
    with pytest.raises(DataError, match="says nothing about 2 of 3 items, ids 1, 30"):
        stored_rows(str(tmp_path / "t.npz"), np.array([1, 4, 30]), (3,), who=WHO)
    np.savez(tmp_path / "none.npz", ids=np.empty(0, np.int64), values=np.empty((0, 3)))
    with pytest.raises(DataError, match="says nothing about 1 of 1 items"):
        stored_rows(str(tmp_path / "none.npz"), np.array([1]), (3,), who=WHO)


@pytest.mark.parametrize("suffix", ["npy", "npz"])
@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.ones((9, 4)), r"shape \(n, 3\), a row per item, got \(9, 4\)"),
        (np.ones(9), r"shape \(n, 3\), a row per item, got \(9,\)"),
        (np.full((9, 3), "a"), "expected numbers"),
        (np.where(np.arange(9)[:, None] == [4], np.nan, np.ones((9, 3))), "NaN or infinite values, ids 4"),
    ],
)
def test_numbers_that_are_not_what_they_should_be_are_refused(tmp_path, suffix, values, message):
    file = tmp_path / f"t.{suffix}"
    if suffix == "npy":
        np.save(file, values)
    else:
        np.savez(file, ids=np.arange(9), values=values)
    with pytest.raises(DataError, match=message):
        stored_rows(str(file), np.arange(9), (3,), who=WHO)


def test_a_bad_row_nobody_asked_for_does_no_harm(tmp_path, table):
    table[4] = np.nan
    np.save(tmp_path / "t.npy", table)
    assert stored_rows(str(tmp_path / "t.npy"), np.array([3, 5]), (3,), who=WHO).tolist() == table[[3, 5]].tolist()


def test_O4_F7_pickles_and_damage_are_refused_with_a_way_out(tmp_path, table):
    path = tmp_path / "t.npy"
    np.save(path, np.array([{}, []], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match=r"pickled Python objects.*numpy\.save"):
        stored_rows(str(path), np.array([0]), who=WHO)
    np.savez(tmp_path / "t.npz", ids=np.arange(2), values=np.array([{}, []], dtype=object))
    with pytest.raises(DataError, match="pickled Python objects"):
        stored_rows(str(tmp_path / "t.npz"), np.array([0]), who=WHO)
    np.save(path, table)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="cannot read"):
        stored_rows(str(path), np.array([0]), (3,), who=WHO)
    path.write_text("id,score\n1,2\n")
    with pytest.raises(DataError, match=r"cannot read .*numpy\.save and numpy\.savez write them"):
        stored_rows(str(path), np.array([0]), (3,), who=WHO)


def test_what_is_missing_is_named(tmp_path, table):
    with pytest.raises(DataError, match=r"strategy x: expected a file of stored numbers, \.npy or \.npz, at .*none"):
        stored_rows(str(tmp_path / "t.npy"), np.array([0]), who=WHO)
    np.savez(tmp_path / "t.npz", probs=table)
    with pytest.raises(DataError, match=r"expected the arrays 'ids' and 'values' in .*, got probs\."):
        stored_rows(str(tmp_path / "t.npz"), np.array([0]), (3,), who=WHO)
    np.savez(tmp_path / "t.npz", ids=np.arange(8), values=table)
    with pytest.raises(DataError, match="a row of 'values' for each of 8 'ids'"):
        stored_rows(str(tmp_path / "t.npz"), np.array([0]), (3,), who=WHO)
    np.savez(tmp_path / "t.npz", ids=np.zeros(9, int), values=table)
    with pytest.raises(DataError, match="to be distinct, but 0 occur more than once"):
        stored_rows(str(tmp_path / "t.npz"), np.array([0]), (3,), who=WHO)
    np.save(tmp_path / "t.npy", np.float64(3))
    with pytest.raises(DataError, match="a single number"):
        stored_rows(str(tmp_path / "t.npy"), np.array([0]), who=WHO)


def test_variables_in_a_path_are_resolved(tmp_path, table, monkeypatch):
    np.save(tmp_path / "t.npy", table)
    monkeypatch.setenv("TEACHERS", str(tmp_path))
    assert stored_rows("$TEACHERS/t.npy", np.array([2]), (3,), who=WHO).tolist() == [table[2].tolist()]


def test_specifications_hold_what_a_file_says_and_not_where_it_lies(tmp_path, table):
    here, there = tmp_path / "t.npy", tmp_path / "elsewhere.npy"
    np.save(here, table)
    shutil.copy(here, there)
    one, other = (identity_of(PCoreSet(teacher=str(path))) for path in (here, there))
    assert one == other
    assert str(tmp_path) not in json.dumps(one)
    assert re.fullmatch("[0-9a-f]{32}", one["teacher"])
    np.save(there, table + 1)
    assert digest(identity_of(PCoreSet(teacher=str(there)))) != digest(one)
    there.unlink()
    with pytest.raises(DataError, match="strategy pcoreset: expected a file at"):
        identity_of(PCoreSet(teacher=str(there)))


def test_without_files_the_identity_is_the_description():
    for name in ("margin", "pcoreset", "stochastic(bald, beta=2)"):
        built = strategies.build(name)
        assert identity_of(built) == describe(built)
    assert identity_of(Stochastic(base=strategies.build("margin")))["base"] == {"name": "margin"}
