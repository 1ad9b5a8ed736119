"""Selection kernels beside installed peers and plain numpy, in alternating calls on the same arrays.

``python benchmarks/selection.py k_center badge`` measures the rows named, ``all`` every one, and puts them into
``benchmarks/results/selection.json`` and ``.md`` beside those measured before; without a name it lists the rows. Every
library has one thread, or as many as ``--threads`` says. ``--scale 0.02`` tries the rows on smaller arrays and writes
nothing. Times are the best of three calls, of two where a call takes more than 5 s, of one above 20 s.
"""

import argparse
import json
import platform
import sys
import time
import warnings
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

from environment import environment

RESULTS = Path(__file__).parent / "results" / "selection.json"
FAMILIES = tuple(sorted(p.stem for p in (Path(__file__).parent / "rows").glob("[a-z]*.py") if p.stem != "table"))
PEERS = (
    "scikit-activeml", "modAL-python", "small-text", "batchbald-redux", "apricot-select", "submodlib-py", "faiss-cpu",
    "fastcluster", "scikit-learn", "numpy", "scipy", "numba", "torch",
)  # fmt: skip


def written(document: dict[str, Any]) -> str:
    """Return the tables as Markdown: goals first, then every measurement."""
    rows = document["rows"]
    goals = [(entry, goal) for entry in rows for goal in entry["goals"]]
    met = sum(goal["met"] for _, goal in goals)
    lines = [
        "# Selection kernels beside peers", "",
        f"{document['machine']}; best of up to three alternating calls in one process (column calls), the same arrays "
        "and the same number of threads for everybody. A ratio is how many times longer the other took than querist. "
        "Extra MB is the growth of private memory during the call. A limit is something no program can do faster on "
        "this machine by the named way; the share is its time over ours, above 1 where ours avoids that work. The load "
        "average of the machine stands with each row. Versions: "
        + ", ".join(f"{k} {v}" for k, v in document["versions"].items()) + ".", "",
        "## Goals", "", f"{met} of {len(goals)} are met.", "",
        "| kernel | workload | threads | goal | reached | |", "|---|---|---|---|---|---|",
    ]  # fmt: skip
    for entry, goal in goals:
        lines.append(
            f"| {entry['kernel']} | {entry['workload']} | {entry['threads']} | {goal['goal']} | {goal['reached']} | "
            f"{'met' if goal['met'] else '**missed**'} |"
        )
    lines += [
        "", "## Measurements", "",
        "| kernel | workload | threads | who | seconds | ratio | extra MB | calls |",
        "|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for entry in rows:
        for name, seconds in entry["seconds"].items():
            lines.append(
                f"| {entry['kernel']} | {entry['workload']} | {entry['threads']} | {name} | {seconds} | "
                f"{entry['ratio'].get(name, '')} | {entry['extra_MB'][name]} | {entry['calls'][name]} |"
            )
        limit, measured = entry["limit"], "; ".join(f"{k} {v}" for k, v in entry["machine"].items())
        facts = [f"limit, {limit['what']}: {limit['seconds']} s, share {limit['share']}"]
        facts += [f"{k}: {v}" for k, v in entry["quality"].items()]
        facts += [*entry["notes"], f"load {entry['load']}", measured]
        lines.append(f"| | {'; '.join(facts)} | | | | | | |")
    return "\n".join(lines) + "\n"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="rows to measure, or all")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--scale", type=float, default=1.0, help="try smaller arrays and write nothing")
    return parser.parse_args()


def main() -> None:
    given = arguments()
    environment(given.threads, given.scale)
    warnings.simplefilter("ignore")
    for family in FAMILIES:
        import_module(f"rows.{family}")
    from rows.table import ROWS

    names = list(ROWS) if given.names == ["all"] else given.names
    if unknown := [name for name in names if name not in ROWS] or not names:
        sys.exit(f"Expected all, or names out of {', '.join(ROWS)}, got {unknown if names else 'none'}.")
    for name in names:
        start = time.perf_counter()
        measured = [{"row": name, **entry} for entry in ROWS[name]()]
        for entry in measured:
            print(json.dumps(entry), flush=True)
        print(f"{name}: {time.perf_counter() - start:.0f} s in all", file=sys.stderr, flush=True)
        if given.scale == 1:
            keep(measured, name, given.threads)


def keep(measured: list[dict[str, Any]], name: str, threads: int) -> None:
    """Put the rows of one name in the place of those measured before."""
    before = json.loads(RESULTS.read_text())["rows"] if RESULTS.exists() else []
    others = [entry for entry in before if "row" in entry and (entry["row"], entry["threads"]) != (name, threads)]
    document = {
        "machine": f"{platform.machine()}, 2 cores, Python {platform.python_version()}",
        "versions": {peer: version(peer) for peer in PEERS},
        "rows": sorted(others + measured, key=lambda entry: (entry["threads"], entry["row"])),
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(document, indent=1) + "\n")
    RESULTS.with_suffix(".md").write_text(written(document))


if __name__ == "__main__":
    main()
