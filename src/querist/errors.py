"""Every error Querist raises on purpose.

::

    QueristError
    ├── UsageError (ValueError)         something asked for cannot be done; the message says what can
    │   ├── UnknownNameError            a name no registry or table knows; suggests the nearest ones
    │   ├── SpecError                   a component, study or run is configured wrongly
    │   │   ├── StudyError              all the mistakes of one study file, reported together
    │   │   └── EditedStudyError        a stored study's settings were changed; shows the difference
    │   ├── BudgetError                 more picks asked for than there are candidates, or fewer than one
    │   └── DataError                   arrays or files that are not what they should be
    │       └── UndeclaredClassesError  nothing is labelled and nobody said which classes there are
    ├── NeedError (LookupError)         evidence was read that was not declared
    ├── UnmetNeedError (UsageError)     nothing at hand can provide a declared need; says what would
    ├── SelectionError                  a strategy broke its contract: rows repeated, out of range, too few
    │   └── ScoreError                  a score is not finite; names the ids
    ├── FitError                        a learner did not reach what it promises
    ├── LeakError                       a sealed label was touched
    ├── LedgerError                     a ledger cannot be read or written
    │   └── LedgerCorruptError          a ledger is damaged before its last line
    ├── StoreError (OSError)            a store cannot be written, or another process holds it
    ├── MissingExtraError (ImportError) an optional part is not installed; names the extra
    └── MissingPackageError (ImportError) a package that no extra brings is not installed; names it
"""

# Errors cross process boundaries, so those whose arguments are not their message define `__reduce__`.
from collections.abc import Iterable, Sequence
from difflib import get_close_matches


class QueristError(Exception):
    """Root of all errors raised on purpose."""


class UsageError(QueristError, ValueError):
    """Something asked for cannot be done."""


class UnknownNameError(UsageError):
    """A name that is not among the known ones.

    Attributes:
        name: what was asked for.
        known: the names that exist, sorted.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str], where: str = "") -> None:
        self.kind, self.name, self.known, self.where = kind, name, sorted(known), where
        super().__init__(f"unknown {kind} {name!r}{where and f' in {where}'}. {suggest(name, self.known)}")

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        return type(self), (self.kind, self.name, self.known, self.where)


class SpecError(UsageError):
    """A component, study or run is configured wrongly."""


class StudyError(SpecError):
    """All the mistakes of one study, reported together.

    Attributes:
        mistakes: one sentence each.
    """

    def __init__(self, source: str, mistakes: Sequence[str]) -> None:
        self.source, self.mistakes = source, list(mistakes)
        count = "1 mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
        super().__init__("\n".join([f"{source}: {count}; nothing was run.", *(f"  - {m}" for m in mistakes)]))

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        return type(self), (self.source, self.mistakes)


class EditedStudyError(SpecError):
    """The settings of an arm that already ran were changed."""


class BudgetError(UsageError):
    """The budget of a query does not fit the candidates."""


class DataError(UsageError):
    """Arrays or files that are not what they should be."""


class UndeclaredClassesError(DataError):
    """Nothing is labelled, so the classes cannot be read off the labels, and nobody declared them."""


class NeedError(QueristError, LookupError):
    """Evidence was read that the strategy had not declared."""


class UnmetNeedError(UsageError):
    """No provider at hand can meet a declared need."""


class SelectionError(QueristError):
    """A strategy returned something other than distinct candidate rows."""


class ScoreError(SelectionError):
    """A score is not finite."""


class FitError(QueristError):
    """A learner did not reach what it promises, e.g. an optimum."""


class LeakError(QueristError):
    """A label that was not bought, or a test label, was touched."""


class LedgerError(QueristError):
    """A ledger cannot be read or written."""


class LedgerCorruptError(LedgerError):
    """A ledger is damaged before its last line."""


class StoreError(QueristError, OSError):
    """A store cannot be written, or another process holds it."""


class MissingExtraError(QueristError, ImportError):
    """An optional part is not installed."""

    def __init__(self, what: str, extra: str) -> None:
        self.what, self.extra = what, extra
        super().__init__(f"{what} needs the extra {extra!r}: pip install 'querist[{extra}]'")

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        return type(self), (self.what, self.extra)


class MissingPackageError(QueristError, ImportError):
    """A package that no extra brings is not installed."""


MANY = 40
"""Names that are too many for a message."""


def suggest(name: str, known: Sequence[str]) -> str:
    """Return "Did you mean ...?" for near misses, otherwise what exists: all of it, or of many the nearest."""
    close = get_close_matches(name, known, n=3, cutoff=0.6)
    if close:
        return f"Did you mean {' or '.join(map(repr, close))}?"
    if len(known) > MANY:
        return f"{len(known)} are known, the nearest: {', '.join(get_close_matches(name, known, n=5, cutoff=0.0))}."
    return f"Known: {', '.join(known)}." if known else "None are known."
