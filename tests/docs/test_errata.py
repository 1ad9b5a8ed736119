"""The errata page agrees with the entries it was generated from; where a library is installed, its entries are run."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RUN = ROOT / "errata" / "run.py"
PAGE = (ROOT / "docs" / "errata.md").read_text(encoding="utf-8")
QUICK = ("modAL-C13", "modAL-C12", "batchbald-redux-N1", "small-text-N6", "baal-N6", "alipy-C15", "apricot-C18")


def listed() -> list[list[str]]:
    """Return id, kind, module and row of every entry, as the runner lists them without any library."""
    out = subprocess.run([sys.executable, str(RUN), "--list"], capture_output=True, text=True, check=True)
    return [line.split("\t") for line in out.stdout.splitlines()]


@pytest.fixture(scope="module")
def entries() -> list[list[str]]:
    return listed()


def test_ids_are_unique_and_hold_their_row(entries):
    ids = [entry[0] for entry in entries]
    assert len(ids) == len(set(ids))
    for name, _, _, row in entries:
        assert row in name.split("-"), f"{name} does not hold its row {row}"


def test_every_entry_is_on_the_page_with_its_command_and_no_other_is(entries):
    told = [name for name, kind, *_ in entries if kind != "sound"]
    assert re.findall(r"^### (\S+)$", PAGE, flags=re.M) == sorted(
        told, key=lambda name: ([e[1] for e in entries if e[0] == name] != ["defect"], told.index(name))
    )
    assert sorted(re.findall(r"^\* Again: `python errata/run\.py (\S+)`$", PAGE, flags=re.M)) == sorted(told)
    sound = [name for name, kind, *_ in entries if kind == "sound"]
    assert re.findall(r"^\| `(\S+)` \|", PAGE, flags=re.M) == sound


def test_the_counts_are_those_of_the_entries(entries):
    count = {kind: sum(entry[1] == kind for entry in entries) for kind in ("defect", "documented", "sound")}
    said = re.search(r"In this run: (\d+) confirmed defects, (\d+) documented differences, (\d+) checked", PAGE)
    assert said is not None
    assert [int(number) for number in said.groups()] == list(count.values())
    assert count["defect"] >= 10
    table = re.findall(r"^\| [\w-]+ \| [\d.]+ \| (\d+) \| (\d+) \| (\d+) \|$", PAGE, flags=re.M)
    assert [sum(map(int, column)) for column in zip(*table, strict=True)] == list(count.values())


def test_every_link_of_the_summary_has_its_heading():
    anchors = {name.lower() for name in re.findall(r"^### (\S+)$", PAGE, flags=re.M)}
    links = re.findall(r"\]\(#([\w-]+)\)", PAGE)
    assert links
    assert set(links) <= anchors


def test_an_unknown_id_is_refused_by_name():
    out = subprocess.run([sys.executable, str(RUN), "no-such-entry"], capture_output=True, text=True, check=False)
    assert out.returncode != 0
    assert "no-such-entry" in out.stderr


@pytest.mark.parametrize("name", QUICK)
def test_an_entry_still_shows_what_it_says(entries, name):
    module = next(entry[2] for entry in entries if entry[0] == name)
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed here; `make errata` runs all entries in the environment of the peers")
    out = subprocess.run([sys.executable, str(RUN), name], capture_output=True, text=True, check=False)
    assert out.returncode == 0, out.stdout + out.stderr
