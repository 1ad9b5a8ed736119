"""Components broken on purpose, each with the check that must catch it: how a contract is tested itself."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from unittest import SkipTest

import numpy as np

from querist.testing.component import ComponentContract

frozen = dataclass(frozen=True, kw_only=True)
WORDS = 30
"""A message shorter than this many characters does not say what to change."""


@dataclass(frozen=True, eq=False)
class Plant:
    """One broken component.

    Attributes:
        check: the method of the contract that must fail.
        contract: the contract, set up to build the component.
        raises: what the method must raise.
    """

    check: str
    contract: ComponentContract
    raises: type[Exception]

    def __str__(self) -> str:
        return f"{self.check.removeprefix('test_')}-{type(self.contract.build()).__name__}"

    def verify(self) -> None:
        """Raise `AssertionError` unless the check fails as it must, with a message that says what to change."""
        try:
            with np.errstate(all="ignore"):
                getattr(self.contract, self.check)()
        except SkipTest as reason:
            raise AssertionError(f"{self} was skipped: {reason}") from None
        except self.raises as error:
            if type(error) is AssertionError and len(str(error)) < WORDS:
                raise AssertionError(f"{self} was caught, but {str(error)!r} does not say what to change.") from error
        else:
            raise AssertionError(f"{self} was not caught.")


class Plants(list[Plant]):
    """The plants of one contract; calling it gives a decorator that plants a class.

    >>> from querist.testing.contract import StrategyContract
    >>> from querist.strategies.margin import Margin
    >>> plants = Plants(StrategyContract)
    >>> @plants("test_scores_stay_above_their_lowest")
    ... class BelowItsLowest(Margin):
    ...     lowest = 0.0
    >>> plants[0].verify()
    """

    def __init__(self, contract: type[ComponentContract]) -> None:
        super().__init__()
        self.contract = contract

    def __call__(
        self, check: str, raises: type[Exception] = AssertionError, **settings: object
    ) -> Callable[[type[Any]], type[Any]]:
        """Return the decorator that makes a class a frozen dataclass, unless it is one, and plants it.

        Args:
            check: the method of the contract that must fail on it.
            raises: what the method must raise.
            settings: attributes of the contract.
        """

        def plant(broken: type[Any]) -> type[Any]:
            made = broken if "__dataclass_params__" in vars(broken) else frozen(broken)
            self.append(Plant(check, type("Contract", (self.contract,), {"make": made, **settings})(), raises))
            return made

        return plant

    @property
    def checks(self) -> set[str]:
        """The checks that have a plant."""
        return {plant.check for plant in self}


def own_checks(contract: type[ComponentContract]) -> set[str]:
    """Return the checks a class defines itself, inherited ones left out."""
    return {name for name in vars(contract) if name.startswith("test_")}
