"""What one entry of the errata is: a claim about an installed library, and the run that shows or refutes it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

KINDS = {
    "defect": "Confirmed defects",
    "documented": "Documented differences",
    "sound": "Checked and found sound",
}


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a run showed.

    Attributes:
        fails: whether the behaviour differs from what the row of the catalogue asks for.
        happened: one or two sentences with the numbers of this run.
        numbers: the same numbers under names, for programs.
    """

    fails: bool
    happened: str
    numbers: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Case:
    """A check of one row of the catalogue of defects against one library.

    Attributes:
        id: what `python errata/run.py` takes; it begins with the name of the library and holds the row.
        distribution: the name the library is installed under, for its version.
        module: the name it is imported by.
        row: the row of the catalogue, such as ``"N1"``.
        mistake: the row in a few words.
        kind: what the run is expected to show; see `KINDS`.
        subject: the part of the library under test.
        expected: what a user may expect, from the library's own words where there are any.
        check: the shortest reproduction. It imports the library inside, and returns what it saw.
        report: address of a public report of the same thing, with a word on its state; empty if we know of none.
    """

    id: str
    distribution: str
    module: str
    row: str
    mistake: str
    kind: Literal["defect", "documented", "sound"] = "defect"
    subject: str
    expected: str
    check: Callable[[], Seen]
    report: str = ""
