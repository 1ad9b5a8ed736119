"""The conformance kit: inherit from a contract, say what it should build, and run your test runner.

>>> from querist.strategies.margin import Margin
>>> class TestMargin(StrategyContract):
...     make = Margin

Nothing here needs pytest: a contract is a plain class whose ``test_...`` methods raise `AssertionError` with a message
that says what to change, or `unittest.SkipTest` where a check does not apply.
"""

from querist.testing.provider_contract import EncoderContract, LearnerContract
from querist.testing.strategy_contract import StrategyContract

__all__ = ["EncoderContract", "LearnerContract", "StrategyContract"]
