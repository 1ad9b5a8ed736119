"""Seconds and memory of every registered strategy on one large pool, each in a process of its own.

``python benchmarks/costs.py`` measures all names, or those given, and writes ``benchmarks/results/costs.json``, which
``querist gallery --costs`` reads, and ``costs.md``. Evidence is made beforehand: what is measured is the choice alone,
not the fits, features and neighbours it reads. Seconds are CPU time of one thread, so that what else runs on the
machine counts little; a choice that takes more than ``--limit`` of them is stopped, and the table says so.
``--rows 2000`` tries another pool and writes nothing.
"""

import argparse
import json
import platform
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from environment import environment

RESULTS = Path(__file__).parent / "results" / "costs.json"
ROWS, WIDTH, CLASSES, BATCH, LABELLED = 50_000, 256, 20, 500, 1000
SMALL = 2000
"""Rows of the pool that everything is compiled on."""
GOAL = 2000
"""Megabytes that no strategy may need."""
SMALLER = {"batch_bald": {"b": 5}, "k_center_robust": {"rows": 5000, "b": 100}}
"""Where the whole pool or batch is more than a strategy is meant for, what is measured instead."""


def measured(name: str, rows: int, b: int, folder: Path, limit: int) -> dict[str, float]:
    """Measure a strategy in this process."""
    from measure import load, once

    from evidence import Pool
    from querist.seeds import Seed
    from querist.strategies.base import choose, strategies
    from querist.strategies.composition import resolved

    given = {
        "ranking_file": {"path": str(folder / "ranking.npy")},
        "external_model_rank": {"path": str(folder / "outputs.npy"), "trained_on": "the labels of the benchmark"},
    }
    key = Seed(0).key()

    def ready(rows: int) -> tuple[Any, Any]:
        pool = Pool.read(folder, rows, CLASSES, LABELLED if rows == ROWS else LABELLED * rows // ROWS)
        pool.store(folder)  # what the rules that read files read
        strategy = resolved(strategies.build({"name": name, **given.get(name, {})}), trains_backbone=False)
        return strategy, pool.evidence(strategy)

    small = ready(min(SMALL, rows))
    choose(*small, min(b, 50), key)  # compiles
    strategy, evidence = ready(rows)
    signal.setitimer(signal.ITIMER_PROF, limit)
    start = time.process_time()
    found = once(lambda: choose(strategy, evidence, b, key))
    seconds = time.process_time() - start
    signal.setitimer(signal.ITIMER_PROF, 0)
    return {
        "seconds": float(f"{seconds:.3g}"), "megabytes": round(found.megabytes, 1),
        "wall": float(f"{found.seconds:.3g}"), "load": load(),
    }  # fmt: skip


def run(name: str, rows: int, folder: Path, limit: int) -> dict[str, Any]:
    """Measure a strategy in a process of its own."""
    settings = SMALLER.get(name, {})
    rows, b = min(rows, settings.get("rows", rows)), min(settings.get("b", BATCH), rows // 4)
    command = [
        sys.executable, __file__, name, "--one", "--rows", str(rows), "--batch", str(b), "--folder", str(folder),
        "--limit", str(limit),
    ]  # fmt: skip
    entry: dict[str, Any] = {"name": name} | ({"workload": workload(rows, b)} if settings else {})
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10 * limit)
    except subprocess.TimeoutExpired:
        return entry | {"reason": f"stopped after {10 * limit} s of waiting"}
    if done.returncode == -signal.SIGPROF:
        return entry | {"reason": f"stopped after {limit} s"}
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["killed, for want of memory"])[-1]
        return entry | {"reason": f"failed: {last}"}
    return entry | json.loads(done.stdout.splitlines()[-1])


def workload(rows: int, b: int) -> str:
    """Return in words what is measured."""
    labelled = LABELLED if rows == ROWS else LABELLED * rows // ROWS
    return f"N = {rows:,}, d = {WIDTH}, C = {CLASSES}, {labelled:,} of them labelled, b = {b}"


def written(document: dict[str, Any]) -> str:
    """Return the table as Markdown, the slowest first."""
    lines = [
        "# What every strategy costs", "",
        f"{document['machine']}; one choice from {document['workload']}, in a process of its own, one thread. CPU "
        "seconds of the choice, and MB of private memory beyond the inputs. The evidence (probabilities, features, "
        "gradients, draws, neighbours) is made before and does not count; where a rule fits the head again, a "
        "nearest-mean head stands in. The points are those of `benchmarks/structured.py`.", "",
        "| strategy | family | seconds | MB | |", "|---|---|---|---|---|",
    ]  # fmt: skip
    for row in sorted(document["rows"], key=lambda row: -row["seconds"]):
        lines.append(
            f"| {row['name']} | {row['family']} | {row['seconds']:.3g} | {row['megabytes']:.0f} | "
            f"{row.get('workload', '')} |"
        )
    lines += [f"| {row['name']} | {row['family']} | {row['reason']} | | |" for row in document["stopped"]]
    over = [row["name"] for row in document["rows"] if row["megabytes"] > GOAL]
    lines += ["", f"Above {GOAL:,} MB: {', '.join(over) or 'none'}."]
    return "\n".join(lines) + "\n"


def keep(found: list[dict[str, Any]]) -> None:
    """Put measurements in the place of those made before."""
    from querist.strategies.base import strategies

    before = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"rows": [], "stopped": []}
    names = {row["name"] for row in found}
    kept = [row for row in (*before["rows"], *before["stopped"]) if row["name"] not in names]
    family = {card.name: card.component.family for card in strategies.cards()}
    rows = sorted(({**row, "family": family[row["name"]]} for row in (*kept, *found)), key=lambda row: row["name"])
    document = {
        "machine": f"{platform.machine()}, Python {platform.python_version()}", "workload": workload(ROWS, BATCH),
        "rows": [row for row in rows if "seconds" in row], "stopped": [row for row in rows if "seconds" not in row],
    }  # fmt: skip
    RESULTS.write_text(json.dumps(document, indent=1) + "\n")
    RESULTS.with_suffix(".md").write_text(written(document))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="strategy")
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--limit", type=int, default=240, help="CPU seconds a choice may take")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--batch", type=int, default=BATCH, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    environment(1)
    if given.one:
        print(json.dumps(measured(given.names[0], given.rows, given.batch, given.folder, given.limit)))
        return
    import numpy as np
    from structured import points

    from querist.strategies.base import strategies

    ours = [card.name for card in strategies.cards() if card.component.__module__.startswith("querist.")]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part, values in zip(("x", "group"), points(given.rows, WIDTH), strict=True):
            np.save(folder / f"{part}.npy", values)
        for one in given.names or ours:
            found = run(strategies.card(one).name, given.rows, folder, given.limit)
            print(json.dumps(found), flush=True)
            if given.rows == ROWS:
                keep([found])


if __name__ == "__main__":
    main()
