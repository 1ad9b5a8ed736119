"""Processes of one task: what is said of those that end before they should."""

import pickle

import pytest

torch = pytest.importorskip("torch", reason="needs the extra deep")
pytest.importorskip("lightning_fabric", reason="needs the extra deep")
pytestmark = pytest.mark.deep

from querist.errors import FitError, SpecError
from querist.nets import processes


def test_errors_of_a_process_are_raised_as_they_were(tmp_path):
    class Ended:
        def __init__(self, end):
            self.end = end

        def poll(self):
            return self.end

    (tmp_path / "stderr-0").write_text("a long story\nMemoryError: no more")
    (tmp_path / "stderr-1").write_text("")
    with pytest.raises(
        FitError, match=r"(?s)process 0 of 2 ended with 3; the last it said:.*MemoryError: no more.*devices = 1"
    ):
        processes._raise_error([Ended(3), Ended(0)], tmp_path)
    (tmp_path / "error-1").write_bytes(pickle.dumps(SpecError("the loss is nan")))
    with pytest.raises(SpecError, match="the loss is nan"):
        processes._raise_error([Ended(0), Ended(1)], tmp_path)
