"""The page docs/errata.md, from what the runs saw."""

from collections.abc import Mapping, Sequence

from case import KINDS, Case, Seen

HEAD = """# Errata of public libraries

Querist keeps a catalogue of mistakes that have been made in active-learning code, each with a test of our own. This
page runs checks of the same rows against other public libraries **as installed from the package registry**, and says
which rows fail there, at which version. It is meant for people who compare numbers across libraries, and for
maintainers. These libraries taught the field a great deal; rows were looked for where the code suggested a problem, so
the counts say nothing about the quality of a library as a whole. What was checked and found sound is the last section.

How to read it: each entry states what was expected, what happened in the run that produced this page, and the command
that repeats it (`make peers` builds the environment; run the command with `.venv-peers/bin/python`). Behaviour that a
library states openly is listed as a documented difference, not as a defect. Where we found a public report, it is
linked; "none known" means no more than that. An entry that no longer holds stops `make errata`, so that
what has been fixed leaves this page. The numbers come from the runs; `make errata` regenerates the page.
"""


def page(cases: Sequence[Case], seen: Mapping[str, Seen], versions: Mapping[str, str], python: str) -> str:
    """Return the page in Markdown: versions, then the entries by kind and library."""
    counts = {kind: sum(case.kind == kind for case in cases) for kind in KINDS}
    said = ", ".join(f"{count} {KINDS[kind].lower()}" for kind, count in counts.items())
    parts = [HEAD, f"In this run: {said}.\n", versions_table(cases, versions, python), summary(cases)]
    for kind, title in KINDS.items():
        parts.append(f"## {title}\n")
        here = [case for case in cases if case.kind == kind]
        parts += [table(here, seen)] if kind == "sound" else [entry(case, seen[case.id], versions) for case in here]
    return "\n".join(parts).rstrip() + "\n"


def versions_table(cases: Sequence[Case], versions: Mapping[str, str], python: str) -> str:
    """Return the versions the run was made with, and what it found in each library."""
    lines = ["| Library | Version | Defects | Documented | Sound |", "|---|---|---|---|---|"]
    for name in dict.fromkeys(case.distribution for case in cases):
        count = [sum(case.distribution == name and case.kind == kind for case in cases) for kind in KINDS]
        lines.append(f"| {name} | {versions[name]} | {count[0]} | {count[1]} | {count[2]} |")
    apart = {case.distribution for case in cases}
    ground = ", ".join(f"{name} {version}" for name, version in versions.items() if name not in apart)
    return "\n".join([*lines, "", f"On Python {python} with {ground}.", ""])


def summary(cases: Sequence[Case]) -> str:
    """Return the table of defects with links to the entries."""
    lines = ["| Entry | Row | The row in a few words | Where |", "|---|---|---|---|"]
    for case in cases:
        if case.kind == "defect":
            lines.append(f"| [{case.id}](#{anchor(case.id)}) | {case.row} | {case.mistake} | {case.subject} |")
    return "\n".join([*lines, ""])


def anchor(name: str) -> str:
    """Return the anchor a heading of this text gets."""
    return name.lower()


def entry(case: Case, seen: Seen, versions: Mapping[str, str]) -> str:
    """Return one entry."""
    numbers = "; ".join(f"{name} {value}" for name, value in seen.numbers.items())
    lines = [
        f"### {case.id}\n",
        f"{case.distribution} {versions[case.distribution]}, {case.subject}. Row {case.row}: {case.mistake}.\n",
        f"* Expected: {case.expected}",
        f"* Happened: {seen.happened}",
        *([f"* Numbers: {numbers}"] if numbers else []),
        f"* Public report: {case.report or 'none known'}",
        f"* Again: `python errata/run.py {case.id}`",
        "",
    ]
    return "\n".join(lines)


def table(cases: Sequence[Case], seen: Mapping[str, Seen]) -> str:
    """Return the sound rows as a table."""
    lines = ["| Entry | Row | What was checked | Result |", "|---|---|---|---|"]
    for case in cases:
        lines.append(f"| `{case.id}` | {case.row} | {case.subject}: {case.expected} | {seen[case.id].happened} |")
    return "\n".join([*lines, "", "Each runs again with `python errata/run.py` and its name.", ""])
