"""The same selections in another interpreter: finds whatever depends on the process it runs in."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import get_args

from querist.seeds import Key, Seed
from querist.strategies.base import Strategy, choose, strategies
from querist.strategies.composition import resolved
from querist.testing.fakes import fake_evidence
from querist.testing.world import Kind


def standard_picks(strategy: Strategy, b: int = 7) -> list[list[int]]:
    """Return the ids a strategy picks from one fake world of every kind."""
    strategy = resolved(strategy, trains_backbone=False)
    key = Key(Seed(0).child("standard"))
    return [choose(strategy, fake_evidence(strategy, kind=kind), b, key).ids.tolist() for kind in get_args(Kind)]


def fresh_picks(described: Sequence[dict[str, object]], hash_seed: int) -> list[list[list[int]]]:
    """Return `standard_picks` of registered strategies, made by a fresh interpreter.

    Args:
        described: as `querist.registry.describe` returns them.
        hash_seed: PYTHONHASHSEED of that interpreter.
    """
    path = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(
        [sys.executable, "-c", f"from {__name__} import main; main()"],
        input=json.dumps(list(described)),
        env={**os.environ, "PYTHONHASHSEED": str(hash_seed), "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise AssertionError(f"a fresh interpreter failed on {[d.get('name') for d in described]}:\n{done.stderr}")
    return json.loads(done.stdout)


def main() -> None:
    """Read descriptions from standard input, write picks to standard output, both as JSON."""
    json.dump([standard_picks(strategies.build(spec)) for spec in json.load(sys.stdin)], sys.stdout)
