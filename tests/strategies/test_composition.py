"""Strategies together with those they wrap: parts, flags, identity, and what ``auto`` means."""

from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

from querist.errors import DataError, UsageError
from querist.registry import Card
from querist.strategies.base import Strategy
from querist.strategies.class_uniform_oracle import ClassUniformOracle
from querist.strategies.composition import flags_of, identity_of, require_unlabelled, resolved, wrapped_by
from querist.strategies.half_mix import HalfMix
from querist.strategies.margin import Margin
from querist.strategies.ranking_file import RankingFile
from querist.strategies.schedule import Schedule
from querist.strategies.stochastic import Stochastic

frozen = dataclass(frozen=True, kw_only=True)


@frozen
class Fixed(Strategy):
    """Returns what it is told."""

    picks: Any = None

    def select(self, ev, b, key):
        return self.picks


def test_one_shot_rules_refuse_a_pool_with_labels():
    @frozen
    class Whole(Fixed):
        card: ClassVar = Card(name="whole", component=Fixed, flags=frozenset({"one_shot"}))

    require_unlabelled(Whole(), 0)
    require_unlabelled(Margin(), 9)
    with pytest.raises(UsageError, match=r"'whole' selects a whole budget at once .* but 9 items are labelled"):
        require_unlabelled(Whole(), 9)


def test_space_auto_is_resolved_through_wrappers():
    @frozen
    class Inner(Fixed):
        space: str = "auto"

    @frozen
    class Outer(Fixed):
        base: Strategy

    wrapped = Outer(base=Outer(base=Inner()))
    assert resolved(wrapped, True) == Outer(base=Outer(base=Inner(space="embeddings")))
    assert resolved(wrapped, False) == Outer(base=Outer(base=Inner(space="features")))
    assert resolved(Inner(space="features"), True) == Inner(space="features")
    assert resolved(Margin(), True) == Margin()
    assert wrapped.base.base.space == "auto"


def test_parts_and_flags_are_found_alone_and_in_lists():
    strategy = Schedule(stages=(ClassUniformOracle(), Stochastic(base=Margin())), until=(2,))
    assert wrapped_by(strategy) == (ClassUniformOracle(), Stochastic(base=Margin()))
    assert wrapped_by(Stochastic()) == (Margin(),)
    assert wrapped_by(Margin()) == ()
    assert flags_of(strategy) == {"oracle"}
    assert flags_of(Margin()) == frozenset()


def test_an_identity_holds_what_files_say_and_not_where_they_lie(tmp_path):
    one, same, other = (tmp_path / name for name in ("one.csv", "same.csv", "other.csv"))
    one.write_text("3\n1\n")
    same.write_text("3\n1\n")
    other.write_text("1\n3\n")

    def inside(path):
        return Schedule(stages=(RankingFile(path=str(path)), HalfMix()), until=(1,))

    identity = identity_of(inside(one))
    assert [stage["name"] for stage in identity["stages"]] == ["ranking_file", "half_mix"]
    assert str(one) not in str(identity)
    assert identity == identity_of(inside(same)) != identity_of(inside(other))
    with pytest.raises(DataError, match="ranking_file"):
        identity_of(inside(tmp_path / "missing.csv"))
