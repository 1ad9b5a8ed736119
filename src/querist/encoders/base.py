"""What an encoder is: a frozen configuration that turns items into feature vectors without labels."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from querist.arrays import Array
from querist.evidence.view import View
from querist.registry import Card, Registry
from querist.seeds import Seed


class FittedEncoder(ABC):
    """An encoder after it has seen the pool (if it needs to)."""

    @abstractmethod
    def encode(self, view: View) -> Array:
        """Return ``(n, d)`` float32 features, row i depending on item i alone; not normalised."""


class Encoder(ABC):
    """Turns items into features. Subclasses are frozen, keyword-only dataclasses."""

    registry: ClassVar["Registry[Any]"]
    card: ClassVar[Card[Any]]

    @abstractmethod
    def fit(self, pool: View, seed: Seed) -> FittedEncoder:
        """Return the encoder ready to use; `pool` has no labels and no test rows."""


encoders: Registry[Encoder] = Registry("encoder", "querist.encoders")
Encoder.registry = encoders
register = encoders.register
