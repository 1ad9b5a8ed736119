"""Files that list ids: round trips, and what is refused."""

import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from querist.data.indices import SUFFIXES, read_ids, write_ids
from querist.errors import DataError


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 10**12), unique=True), st.sampled_from(SUFFIXES))
def test_round_trip_keeps_the_order(tmp_path, ids, suffix):
    path = tmp_path / f"ids{suffix}"
    write_ids(path, np.array(ids, dtype=np.int64))
    read = read_ids(path)
    assert read.tolist() == ids
    assert read.dtype == np.int64


def test_files_a_person_or_another_tool_wrote(tmp_path):
    (tmp_path / "a.txt").write_text("3\r\n1\r\n\r\n2\r\n")
    assert read_ids(tmp_path / "a.txt").tolist() == [3, 1, 2]
    (tmp_path / "a.csv").write_text("rank,id\n0,7\n1,5\n")
    assert read_ids(tmp_path / "a.csv").tolist() == [7, 5]
    np.save(tmp_path / "a.npy", np.array([4, 2], dtype=np.int32))
    assert read_ids(tmp_path / "a.npy").tolist() == [4, 2]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", "1\n2\n1\n", "1 occur more than once"),
        ("a.txt", "1\n10\n", r"in 0\.\.9, got 10"),
        ("a.txt", "1\n-1\n", r"in 0\.\.9, got -1"),
        ("a.txt", "1\n2.0\n", "expected integers, got '2.0' at position 1"),
        ("a.txt", "cat.png 3\n", "expected integers, got 'cat.png'"),
        ("a.csv", "name\n1\n", "expected a column 'id'"),
        ("a.json", "[1, true]", "expected integers, got True at position 1"),
        ("a.json", "[1, 1e2]", "expected integers, got 100.0"),
        ("a.json", f"[{2**64}]", "expected integers, got 18446744073709551616"),
        ("a.json", '{"ids": [1]}', "expected a list of integers"),
        ("a.json", "[1, 2", "cannot be read"),
        ("a.parquet", "", r"ends in \.npy, \.txt, \.csv, \.json"),
    ],
)
def test_refused(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=message):
        read_ids(tmp_path / name, 10)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_missing(tmp_path, suffix):
    with pytest.raises(DataError, match="there is no such file"):
        read_ids(tmp_path / f"none{suffix}")


def test_arrays_that_are_no_ids(tmp_path):
    np.save(tmp_path / "a.npy", np.array([1.0, 2.0]))
    with pytest.raises(DataError, match="one-dimensional array of integers, got float64"):
        read_ids(tmp_path / "a.npy")
    np.save(tmp_path / "a.npy", np.array([1, 2], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="pickled"):
        read_ids(tmp_path / "a.npy")


def test_nothing_wrong_is_written(tmp_path):
    write_ids(tmp_path / "a.json", np.array([1, 2]))
    with pytest.raises(DataError, match="more than once"):
        write_ids(tmp_path / "a.json", np.array([1, 1]))
    with pytest.raises(DataError, match="file name that ends in"):
        write_ids(tmp_path / "a.dat", np.array([1]))
    assert json.loads((tmp_path / "a.json").read_text()) == [1, 2]
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]
