"""The tree of errors is the one drawn, its messages help, and errors survive the way from another process."""

import copy
import inspect
import pickle

import pytest
from hypothesis import given, settings, strategies as st

from querist import errors
from querist.errors import (
    EditedStudyError,
    LedgerCorruptError,
    MissingExtraError,
    QueristError,
    StoreError,
    StudyError,
    UnknownNameError,
    suggest,
)

CLASSES = {
    name: cls for name, cls in vars(errors).items() if inspect.isclass(cls) and cls.__module__ == errors.__name__
}


def drawn() -> dict[str, tuple[str, str | None]]:
    """Name -> (parent, builtin beside it), read from the docstring's tree."""
    parents: dict[int, str] = {}
    tree: dict[str, tuple[str, str | None]] = {}
    for line in errors.__doc__.splitlines():
        if line.startswith("    ") and line.strip():
            bare = line.lstrip(" │├└─")
            depth = (len(line) - len(bare)) // 4
            name, _, rest = bare.partition(" ")
            inside = rest.removeprefix("(").partition(")")[0] if rest.startswith("(") else None
            tree[name] = (parents.get(depth - 1, ""), inside)
            parents[depth] = name
    return tree


def test_the_drawn_tree_is_the_tree():
    tree = drawn()
    assert set(tree) == set(CLASSES)
    for name, (parent, beside) in tree.items():
        bases = [base.__name__ for base in CLASSES[name].__bases__]
        if name == "QueristError":
            assert bases == ["Exception"]
        elif beside in CLASSES:  # drawn under the root because that is where people look, but derived from another
            assert bases == [beside]
        else:
            assert bases == [parent, *([beside] if beside else [])], name


def test_everything_raised_on_purpose_is_a_querist_error():
    assert all(issubclass(cls, QueristError) for cls in CLASSES.values())
    assert all(cls.__doc__ for cls in CLASSES.values())


EXAMPLES = [
    UnknownNameError("strategy", "margn", ["margin", "entropy"], "study.strategy[2]"),
    StudyError("study.toml", ["one thing", "another"]),
    MissingExtraError("vaal", "deep"),
    *(cls("what happened") for name, cls in CLASSES.items()
      if name not in {"UnknownNameError", "StudyError", "MissingExtraError"}),
]  # fmt: skip


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda e: type(e).__name__)
def test_errors_survive_the_way_from_another_process(error):
    # joblib carries exceptions of workers home by pickle; one that cannot be rebuilt takes the whole pool down.
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(again) is type(error)
        assert str(again) == str(error)
        assert vars(again) == vars(error)


def test_messages():
    assert str(EXAMPLES[0]) == "unknown strategy 'margn' in study.strategy[2]. Did you mean 'margin'?"
    assert EXAMPLES[0].known == ["entropy", "margin"]
    assert str(EXAMPLES[1]) == "study.toml: 2 mistakes; nothing was run.\n  - one thing\n  - another"
    assert "1 mistake;" in str(StudyError("s", ["x"]))
    assert str(EXAMPLES[2]) == "vaal needs the extra 'deep': pip install 'querist[deep]'"


def test_each_is_also_what_python_would_raise():
    with pytest.raises(ValueError, match="unknown"):
        raise EXAMPLES[0]
    with pytest.raises(OSError, match="full"):
        raise StoreError("disk full")
    with pytest.raises(ImportError, match="deep"):
        raise EXAMPLES[2]
    with pytest.raises(errors.SpecError):
        raise EditedStudyError("changed")
    with pytest.raises(errors.LedgerError):
        raise LedgerCorruptError("torn")


def test_suggestions():
    known = ["entropy", "k_center_greedy", "margin", "random"]
    assert suggest("entropi", known) == "Did you mean 'entropy'?"
    assert suggest("zzz", known) == "Known: entropy, k_center_greedy, margin, random."
    assert suggest("zzz", []) == "None are known."
    many = [f"name_{i}" for i in range(50)]
    assert suggest("zzz", many).startswith("50 are known, the nearest: name_")
    assert suggest("zzz", many).count("name_") == 5


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=12), st.lists(st.text(min_size=1, max_size=12), max_size=6))
def test_a_suggestion_names_only_what_exists(name, known):
    said = suggest(name, known)
    assert said.startswith(("Did you mean", "Known", "None"))
    if not said.startswith("Did"):
        assert all(k in said for k in known)
    if name in known:
        assert repr(name) in said
