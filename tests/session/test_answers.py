"""Answers as people give them."""

import numpy as np
import pytest

from querist.errors import DataError
from querist.session.answers import read_answers


def test_numbers_and_names():
    answers = {3: 0, np.int64(1): "dog", 2: None, 0: np.uint8(1), 7: np.str_("cat")}
    assert read_answers(answers, ("cat", "dog"), "tell") == {3: 0, 1: 1, 2: -1, 0: 1, 7: 0}


def test_names_win_where_classes_are_named_by_numbers():
    assert read_answers({0: "1", 1: 1}, ("1", "0"), "tell") == {0: 0, 1: 1}


def test_many_classes_are_not_all_listed():
    with pytest.raises(DataError, match=r"k7, \.\.\., or None to decline"):
        read_answers({0: "x"}, [f"k{i}" for i in range(50)], "adopt")


def test_the_door_is_named():
    with pytest.raises(DataError, match=r"^adopt: 5 for id 0 is no declared class"):
        read_answers({0: 5}, ("a", "b"), "adopt")
