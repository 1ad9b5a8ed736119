"""A fresh interpreter picks the same, and a strategy that depends on its process is caught."""

import sys
from typing import get_args

import pytest

from querist.registry import describe
from querist.strategies.base import strategies
from querist.strategies.margin import Margin
from querist.strategies.random import Random
from querist.testing.contract import StrategyContract
from querist.testing.fresh import fresh_picks, standard_picks
from querist.testing.world import Kind

PLUGIN = '''
"""Depends on the order of a set of strings, so on PYTHONHASHSEED."""
from dataclasses import dataclass

import numpy as np

from querist.strategies.base import Picks, Strategy, register


@register("toy_hashed_set")
@dataclass(frozen=True, kw_only=True)
class HashedSet(Strategy):
    """Iterates over a set."""

    def select(self, ev, b, key):
        order = list({str(i) for i in range(len(ev.candidates))})
        return Picks(np.array(order[:b], dtype=int))
'''


def test_the_same_picks_there_as_here():
    built = [Margin(), Random(nested=True)]
    here = [standard_picks(strategy) for strategy in built]
    assert fresh_picks([describe(strategy) for strategy in built], 7) == here
    assert [[len(ids) for ids in picks] for picks in here] == [[7] * len(get_args(Kind))] * 2
    assert here[0] != here[1]


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """A third-party distribution whose strategy depends on the hash seed."""
    (tmp_path / "toy_hashed_plugin.py").write_text(PLUGIN)
    info = tmp_path / "toy_hashed_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-hashed-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[querist.strategies]\ntoy_hashed_set = toy_hashed_plugin:HashedSet\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(strategies, "_plugins", {})
    del strategies.__dict__["_plugins"]
    yield "toy_hashed_set"
    for table in (strategies._cards, strategies._names):
        table.pop("toy_hashed_set", None)
    strategies.__dict__.pop("_plugins", None)
    sys.modules.pop("toy_hashed_plugin", None)


def test_c11_a_set_of_strings_is_caught(plugin):
    checks = type(
        "Contract", (StrategyContract,), {"make": staticmethod(lambda: strategies.build(plugin)), "fresh": True}
    )()
    checks.test_same_key_same_picks()  # inside one process nothing is to be seen
    with pytest.raises(AssertionError, match="PYTHONHASHSEED"):
        checks.test_same_picks_in_a_fresh_interpreter()


def test_the_hash_seed_is_that_of_the_interpreter(plugin):
    one, again, other = (fresh_picks([{"name": plugin}], seed) for seed in (1, 1, 2))
    assert one == again != other


def test_a_failing_interpreter_shows_its_error():
    with pytest.raises(AssertionError, match="unknown strategy 'no_such_rule'"):
        fresh_picks([{"name": "no_such_rule"}], 0)
