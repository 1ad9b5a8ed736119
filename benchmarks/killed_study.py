"""Kill a study at random moments, restart it, and compare every record with that of an undisturbed run.

    python benchmarks/killed_study.py STUDY.toml --kills 3 --workers 1,2

For each number of workers the study runs in a store of its own: started, killed with SIGKILL (the whole process group)
after a random share of the undisturbed time, started again, and so on, and at last left to finish. The ledgers and the
parquet tables of rounds, picks and searches for settings must be the same bytes.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def start(study: Path, store: Path, workers: int) -> "subprocess.Popen[bytes]":
    """Start the study in a process group of its own."""
    script = "import sys; from querist.cli.main import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", script, "study", "run", str(study), "--store", str(store)]
    return subprocess.Popen(
        [*command, "--workers", str(workers), "--json"], start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def finish(study: Path, store: Path, workers: int) -> float:
    """Run the study to its end; return the seconds it took."""
    begun = time.perf_counter()
    status = start(study, store, workers).wait()
    if status != 0:
        raise SystemExit(f"the study ended with status {status}")
    return time.perf_counter() - begun


def records(store: Path) -> dict[str, bytes]:
    """Return every compared file of a store by its name inside it."""
    paths = [*store.glob("runs/*/ledger.jsonl"), *store.glob("runs/*/spec.json")]
    paths += [path for name in ("rounds", "picks", "tuning") for path in store.glob(f"studies/*/{name}.parquet")]
    return {str(path.relative_to(store)): path.read_bytes() for path in paths}


def interrupted(store: Path) -> str:
    """Return in words how many finished trials of unfinished searches for settings a kill left behind."""
    trials = len([*store.glob("runs/*/fits/**/trial-*.json")])
    return f", {trials} trials of unfinished searches" if trials else ""


def main() -> None:
    """Print one line per store, and fail if any record differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", type=Path)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--workers", default="1,2")
    parser.add_argument("--shares", default="0.1,0.3", help="of the undisturbed time, between which a kill comes")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    draw, (low, high) = random.Random(options.seed), map(float, options.shares.split(","))
    with tempfile.TemporaryDirectory() as folder:
        calm = Path(folder) / "calm"
        finish(options.study, calm, 1)  # compiles and fills the cache of features
        cache = calm / "cache"
        shutil.rmtree(calm / "runs")
        shutil.rmtree(calm / "studies")
        seconds = finish(options.study, calm, 1)
        expected = records(calm)
        size = sum(map(len, expected.values()))
        print(f"undisturbed: {seconds:.1f} s, {len(expected)} records, {size:,} bytes", flush=True)
        for workers in map(int, options.workers.split(",")):
            store = Path(folder) / f"killed-{workers}"
            store.mkdir()
            if cache.is_dir():  # a net that is trained in every round has no frozen features
                shutil.copytree(cache, store / "cache")
            moments = []
            for _ in range(options.kills):
                process = start(options.study, store, workers)
                moment = draw.uniform(low, high) * seconds
                time.sleep(moment)
                os.killpg(process.pid, signal.SIGKILL)
                done = " (was done)" if process.wait() == 0 else interrupted(store)
                moments.append(f"{moment:.1f} s{done}")
            finish(options.study, store, workers)
            got = records(store)
            differing = [name for name in expected.keys() | got.keys() if expected.get(name) != got.get(name)]
            print(
                f"{workers} worker(s), killed after {'; '.join(moments)}: {len(differing)} records differ", flush=True
            )
            if differing:
                raise SystemExit("\n".join(differing))


if __name__ == "__main__":
    main()
