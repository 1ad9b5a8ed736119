"""Runs the errata: `python errata/run.py` for all, with ids for some, `--list` to name them, `--write` for the page.

What a run saw is kept in `errata/seen`, one file an entry; the page is written from these files.
"""

import argparse
import dataclasses
import importlib.metadata
import importlib.util
import json
import platform
import sys
import warnings
from pathlib import Path

import on_alipy
import on_apricot
import on_baal
import on_batchbald
import on_modal
import on_skactiveml
import on_skactiveml_sound
import on_small_text
import on_submodlib
from case import KINDS, Case, Seen
from page import page
from threadpoolctl import threadpool_limits

FILES = (
    on_skactiveml,
    on_skactiveml_sound,
    on_small_text,
    on_modal,
    on_baal,
    on_batchbald,
    on_apricot,
    on_submodlib,
    on_alipy,
)
CASES: tuple[Case, ...] = tuple(case for file in FILES for case in file.CASES)
GROUND = ("numpy", "scikit-learn", "torch")
SEEN = Path(__file__).parent / "seen"
PAGE = Path(__file__).parents[1] / "docs" / "errata.md"


def main() -> int:
    """Run what was asked for; the status is 1 if anything came out otherwise than its entry says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ids", nargs="*", metavar="ID", help="entries to run (default: all)")
    parser.add_argument("--list", action="store_true", help="name the entries and run nothing")
    parser.add_argument("--write", action="store_true", help="write docs/errata.md")
    parser.add_argument("--kept", action="store_true", help="take what earlier runs of the same version kept")
    asked = parser.parse_args()
    cases = chosen(asked.ids)
    if asked.list:
        for case in cases:
            print(f"{case.id}\t{case.kind}\t{case.module}\t{case.row}")
        return 0
    seen = {case.id: (kept(case) if asked.kept else None) or look(case) for case in cases if installed(case)}
    surprises = [case.id for case in cases if case.id in seen and seen[case.id].fails != (case.kind != "sound")]
    missing = sorted({case.distribution for case in cases if case.id not in seen})
    if missing:
        print(f"not installed, so not checked: {', '.join(missing)} (`make peers` installs them)")
    if surprises:
        print(f"otherwise than the entry says: {', '.join(surprises)}. Revise the entry or the version in question.")
    if asked.write:
        if asked.ids or missing or surprises:
            print("the page was not written: it needs every entry, every library and no surprise.")
            return 1
        versions = {name: importlib.metadata.version(name) for name in (*GROUND, *(c.distribution for c in CASES))}
        PAGE.write_text(page(CASES, seen, versions, platform.python_version()), encoding="utf-8")
        print(f"wrote docs/{PAGE.name}")
    return 1 if surprises or (missing and asked.ids) else 0


def chosen(ids: list[str]) -> list[Case]:
    """Return the cases of `ids`, all of them for an empty list."""
    known = {case.id: case for case in CASES}
    unknown = [name for name in ids if name not in known]
    if unknown:
        raise SystemExit(f"no entry called {', '.join(unknown)}. `python errata/run.py --list` names them.")
    return [known[name] for name in ids] if ids else list(CASES)


def installed(case: Case) -> bool:
    """Whether the library of `case` can be looked at here."""
    return importlib.util.find_spec(case.module) is not None


def kept(case: Case) -> Seen | None:
    """Return what an earlier run of `case` saw at the version installed now, None if there was none."""
    file = SEEN / f"{case.id}.json"
    found = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    if found.pop("version", None) != importlib.metadata.version(case.distribution):
        return None
    return Seen(**found)


def look(case: Case) -> Seen:
    """Run one case, keep and print what it saw, and return it."""
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore")
        seen = case.check()
    version = importlib.metadata.version(case.distribution)
    SEEN.mkdir(exist_ok=True)
    text = json.dumps(
        {"version": version, **dataclasses.asdict(seen)},
        indent=1,
        ensure_ascii=False,
        default=lambda value: value.item(),
    )
    (SEEN / f"{case.id}.json").write_text(text + "\n", encoding="utf-8")
    print(f"{case.id} [{KINDS[case.kind].lower()}] {case.distribution} {version}: {case.subject}")
    print(f"  row {case.row}: {case.mistake}\n  expected: {case.expected}\n  happened: {seen.happened}")
    for name, value in seen.numbers.items():
        print(f"    {name} = {value}")
    print(f"  {'differs from the row' if seen.fails else 'agrees with the row'}", flush=True)
    return seen


if __name__ == "__main__":
    sys.exit(main())
