"""Seconds and memory of every selection kernel as rows and batches grow, each measurement in a process of its own.

``python benchmarks/scale.py`` measures all kernels, or those named, and writes ``benchmarks/results/scale.json`` and
``.md`` with growth exponents: the least-squares slopes of log seconds in log N and log b. A measurement that takes
longer than ``--limit`` seconds is stopped; one that must be expected to, from how the smaller ones grew, is not begun.
The tables say so in the place of the number. ``--rows 2000 4000`` tries other numbers of rows and writes nothing.
"""

import argparse
import json
import math
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from environment import environment

RESULTS = Path(__file__).parent / "results" / "scale.json"
ROWS = (10_000, 50_000, 200_000, 1_280_000)
BATCHES = (100, 1000)
WIDTHS = (64, 512)
CLASSES, MEMBERS = 100, 20
SHORT = 0.005
"""Seconds: shorter measurements are no basis for an exponent."""


class Kind(NamedTuple):
    """How one kernel is measured."""

    widths: Sequence[int]
    """Dimensions of the features; (0,) for kernels that are given probabilities alone."""
    batches: Sequence[int]
    """Numbers of picks; (0,) for kernels without."""
    about: str
    power: float = 1.0
    """How time is thought to grow with N before two measurements tell."""


KINDS = {
    "k_center": Kind(WIDTHS, BATCHES, "k_center_greedy"),
    "badge": Kind(WIDTHS, BATCHES, f"badge, C={CLASSES}"),
    "kmeans": Kind(WIDTHS, BATCHES, "k-means with b clusters, up to 20 iterations"),
    "typiclust": Kind(WIDTHS, BATCHES, "typiclust"),
    "prob_cover": Kind(WIDTHS, BATCHES, "prob_cover, mean degree 100", 2.0),
    "facility_location": Kind(WIDTHS, BATCHES, "facility_location", 2.0),
    "max_herding": Kind(WIDTHS, BATCHES, "max_herding, sigma 1", 2.0),
    "clusters": Kind(WIDTHS, (0,), "average linkage, cosine below 0.6", 2.0),
    "neighbours": Kind(WIDTHS, (0,), "graph of the 50 nearest neighbours", 2.0),
    "scores": Kind((0,), BATCHES, f"entropy, margin and least confidence with top b, C={CLASSES}"),
    "bald": Kind((0,), BATCHES, f"bald with top b, K={MEMBERS}, C=10"),
    "batch_bald": Kind((0,), (5, 20), f"batch_bald, K={MEMBERS}, C=10, 10,000 samples"),
}


class Cell(NamedTuple):
    """One measurement."""

    kernel: str
    N: int
    d: int
    b: int


def cells(kernels: Sequence[str], rows: Sequence[int]) -> Iterator[Cell]:
    """Yield cells so that a kernel's smaller ones come first."""
    for kernel in kernels:
        for d in KINDS[kernel].widths:
            for b in KINDS[kernel].batches:
                yield from (Cell(kernel, N, d, b) for N in rows if b < N)


def measured(cell: Cell, folder: Path) -> dict[str, float]:
    """Measure a cell in this process."""
    import numpy as np
    from measure import once

    make = import_module("structured")
    x, group = np.load(folder / f"{cell.d or 64}.npy", mmap_mode="r"), np.load(folder / "group.npy")
    # Into memory, so that no time is spent on reading a file.
    x, group = np.array(x[: cell.N]), group[: cell.N]
    prepare = call_of(cell, make, x, group)
    call, small = prepare(x, group), prepare(x[:2000].copy(), group[:2000])
    small()  # compiles
    found = once(call)
    return {"seconds": float(f"{found.seconds:.4g}"), "extra_MB": round(found.megabytes, 1)}


def call_of(cell: Cell, make: Any, x: Any, group: Any) -> Callable[[Any, Any], Callable[[], object]]:
    """Return what makes a call of the kernel on given rows."""
    ours, b = import_module("ours"), cell.b
    coverage = import_module("querist.kernels.coverage")
    if cell.kernel == "badge":
        residuals = import_module("references").residuals

        def badge(x: Any, group: Any) -> Callable[[], object]:
            a = residuals(make.probabilities(x, group % CLASSES, CLASSES))
            return lambda: ours.seeding(a, x, min(b, len(x)))

        return badge
    if cell.kernel in ("scores", "bald", "batch_bald"):

        def drawn(x: Any, group: Any) -> Callable[[], object]:
            if cell.kernel == "scores":
                p = make.probabilities(x, group, CLASSES)
                return lambda: ours.top_uncertainties(p, b)
            members = make.member_probabilities(x, group, 10, MEMBERS)
            if cell.kernel == "bald":
                return lambda: ours.top_information(members, b)
            return lambda: ours.joint(members, b, 10_000)

        return drawn
    delta = make.radius(x) if cell.kernel == "prob_cover" else 0.0
    calls: dict[str, Callable[[Any], object]] = {
        "k_center": lambda x: ours.farthest_first(x, b),
        "kmeans": lambda x: ours.kmeans(x, b),
        "typiclust": lambda x: ours.typiclust(x, b),
        "prob_cover": lambda x: ours.prob_cover(x, delta, b),
        "facility_location": lambda x: ours.cover(x, coverage.cosine(), b),
        "max_herding": lambda x: ours.cover(x, coverage.gaussian(1.0), b),
        "clusters": lambda x: ours.average_linkage(x, 0.6),
        "neighbours": lambda x: ours.nearest_neighbours(x, 50),
    }
    return lambda x, group: lambda: calls[cell.kernel](x)


def expected(cell: Cell, done: dict[Cell, dict[str, Any]]) -> float:
    """Return the seconds that the growth from smaller N to this one suggests, 0 without a basis."""
    smaller = [(c.N, found) for c, found in done.items() if c._replace(N=cell.N) == cell and c.N < cell.N]
    if not smaller:
        return 0.0
    if "seconds" not in smaller[-1][1]:
        return math.inf
    n, seconds = smaller[-1][0], smaller[-1][1]["seconds"]
    power = KINDS[cell.kernel].power
    if len(smaller) > 1 and min(smaller[-2][1]["seconds"], seconds) > SHORT:
        power = math.log(seconds / smaller[-2][1]["seconds"]) / math.log(n / smaller[-2][0])
    return seconds * (cell.N / n) ** max(power, 0.0)


def run(cell: Cell, folder: Path, limit: float, threads: int) -> dict[str, Any]:
    """Measure a cell in a process of its own."""
    command = [sys.executable, __file__, "--cell", *map(str, cell), "--folder", str(folder), "--threads", str(threads)]
    try:
        # Making the arrays and compiling is not what the limit is for.
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit + 60.0)
    except subprocess.TimeoutExpired:
        return {"reason": f"stopped after {limit:.0f} s"}
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["killed, for want of memory"])[-1]
        return {"reason": f"failed: {last}"}
    return json.loads(done.stdout.splitlines()[-1])


def exponents(done: dict[Cell, dict[str, Any]], kernel: str, d: int) -> dict[str, Any]:
    """Return the least-squares slopes of log seconds in log N and log b."""
    import numpy as np

    used = [
        (cell, found["seconds"])
        for cell, found in done.items()
        if (cell.kernel, cell.d) == (kernel, d) and found.get("seconds", 0.0) > SHORT
    ]
    sizes, batches = {cell.N for cell, _ in used}, {cell.b for cell, _ in used}
    columns = [np.ones(len(used))]
    names = [name for name, values in (("N", sizes), ("b", batches)) if len(values) > 1]
    columns += [np.log([getattr(cell, name) for cell, _ in used]) for name in names]
    if not names or len(used) < len(columns):
        return {"cells": len(used)}
    slope = np.linalg.lstsq(np.stack(columns, axis=1), np.log([s for _, s in used]), rcond=None)[0]
    return {"cells": len(used)} | {name: round(float(s), 2) for name, s in zip(names, slope[1:], strict=True)}


def written(document: dict[str, Any]) -> str:
    """Return the tables as Markdown."""
    sizes = [f"N = {N:,}" for N in document["rows"]]
    lines = [
        "# Selection kernels at scale", "",
        f"{document['machine']}, {document['threads']} thread(s); the structured points of `benchmarks/structured.py`. "
        "Seconds and, behind the stroke, MB of private memory beyond the inputs, one call in a process of its own. "
        f"Measurements beyond {document['limit']:.0f} s were stopped, or not begun where smaller ones grew so that it "
        "had to be expected (~ what was expected). Exponents are least-squares slopes of log seconds over the cells of "
        f"more than {1000 * SHORT:.0f} ms of one kernel and d. Pools beyond 200,000 rows are sampled by "
        "facility_location and max_herding, as in the strategies.", "",
        f"| kernel | d | b | {' | '.join(sizes)} | exponent of N | of b |",
        "|---|---|---|" + "---|" * (len(sizes) + 2),
    ]  # fmt: skip
    found = {Cell(*entry["cell"]): entry for entry in document["cells"]}
    slopes = {(entry["kernel"], entry["d"]): entry for entry in document["exponents"]}
    for kernel, d, b in dict.fromkeys((c.kernel, c.d, c.b) for c in found):
        texts = [_text(found.get(Cell(kernel, N, d, b))) for N in document["rows"]]
        slope = slopes[kernel, d]
        lines.append(
            f"| {KINDS[kernel].about} | {d or ''} | {b or ''} | {' | '.join(texts)} | {slope.get('N', '')} | "
            f"{slope.get('b', '')} |"
        )
    return "\n".join(lines) + "\n"


def _text(entry: dict[str, Any] | None) -> str:
    if entry is None:
        return ""
    return f"{entry['seconds']:.3g} / {entry['extra_MB']:.0f}" if "seconds" in entry else entry["reason"]


def make(folder: Path, N: int, widths: Sequence[int]) -> None:
    """Write the points that all cells take their first rows of."""
    import numpy as np
    from structured import points

    for d in widths:
        x, group = points(N, d)
        np.save(folder / f"{d}.npy", x)
        np.save(folder / "group.npy", group)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kernels", nargs="*", metavar="kernel", help=f"out of {', '.join(KINDS)}")
    parser.add_argument("--rows", type=int, nargs="+", default=list(ROWS))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--limit", type=float, default=120.0, help="seconds a measurement may take")
    parser.add_argument("--cell", nargs=4, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    environment(given.threads)
    if given.cell:
        print(json.dumps(measured(Cell(given.cell[0], *map(int, given.cell[1:])), given.folder)))
        return
    kernels = given.kernels or list(KINDS)
    if unknown := set(kernels) - set(KINDS):
        sys.exit(f"Expected kernels out of {', '.join(KINDS)}, got {', '.join(sorted(unknown))}.")
    done: dict[Cell, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder, max(given.rows), sorted({d or 64 for kernel in kernels for d in KINDS[kernel].widths}))
        for cell in cells(kernels, given.rows):
            likely = expected(cell, done)
            if likely > given.limit:
                known = "" if math.isinf(likely) else f", ~{likely:.0f} s"
                done[cell] = {"reason": f"not run{known}"}
            else:
                done[cell] = run(cell, folder, given.limit, given.threads)
            print(*cell, done[cell], flush=True)
    if given.rows == list(ROWS):
        keep(done, given)


def keep(done: dict[Cell, dict[str, Any]], given: argparse.Namespace) -> None:
    """Put the cells in the place of those measured before."""
    if RESULTS.exists():
        before = {Cell(*entry.pop("cell")): entry for entry in json.loads(RESULTS.read_text())["cells"]}
        kernels = {cell.kernel for cell in done}
        done = {cell: found for cell, found in before.items() if cell.kernel not in kernels} | done
    done = {cell: done[cell] for kernel in KINDS for cell in done if cell.kernel == kernel}
    document = {
        "machine": f"{platform.machine()}, 2 cores, Python {platform.python_version()}",
        "threads": given.threads, "limit": given.limit, "rows": list(ROWS),
        "cells": [{"cell": list(cell), **found} for cell, found in done.items()],
        "exponents": [
            {"kernel": kernel, "d": d, **exponents(done, kernel, d)}
            for kernel, d in dict.fromkeys((cell.kernel, cell.d) for cell in done)
        ],
    }  # fmt: skip
    RESULTS.write_text(json.dumps(document, indent=1) + "\n")
    RESULTS.with_suffix(".md").write_text(written(document))


if __name__ == "__main__":
    main()
