"""TypiClust, then margin."""

import numpy as np
import pytest

from querist.seeds import Seed
from querist.strategies.base import choose, strategies
from querist.strategies.margin import Margin
from querist.strategies.tcm import Tcm
from querist.strategies.typiclust import TypiClust
from querist.testing.contract import StrategyContract
from querist.testing.fakes import fake_evidence


class TestTcm(StrategyContract):
    make = Tcm


@pytest.mark.parametrize(("labelled", "stage"), [(0, TypiClust()), (19, TypiClust()), (20, Margin()), (40, Margin())])
def test_before_the_switch_it_is_typiclust_and_after_it_margin(labelled, stage):
    ev = fake_evidence(Tcm(), labelled=labelled)
    one, other = (choose(s, ev, 9, Seed(0).key()) for s in (Tcm(), stage))
    assert one.ids.tolist() == other.ids.tolist()
    assert np.array_equal(one.utility, other.utility)


def test_the_stages_are_settings():
    built = strategies.build("tcm([typiclust(max_clusters=20), margin], until=[2], by=rounds)")
    assert built == Tcm(stages=(TypiClust(max_clusters=20), Margin()), until=(2.0,), by="rounds")
