"""What an encoder is: a frozen configuration that turns items into feature vectors without labels."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal

from querist.arrays import Array
from querist.data.dataset import Dataset
from querist.errors import DataError
from querist.evidence.view import View
from querist.registry import Card, Registry, describe
from querist.seeds import Seed


class FittedEncoder(ABC):
    """An encoder after it has seen the pool (if it needs to)."""

    @abstractmethod
    def encode(self, view: View) -> Array:
        """Return ``(n, d)`` float32 features, row i depending on item i alone; not normalised."""


class Encoder(ABC):
    """Turns items into features. Subclasses are frozen, keyword-only dataclasses.

    ``storage`` says how precisely the feature store keeps what `FittedEncoder.encode` returns. Half precision suits
    networks, whose activations mean nothing beyond three digits; it halves the files.
    """

    registry: ClassVar["Registry[Any]"]
    card: ClassVar[Card[Any]]
    storage: ClassVar[Literal["float32", "float16"]] = "float32"

    @abstractmethod
    def fit(self, pool: View, seed: Seed) -> FittedEncoder:
        """Return the encoder ready to use; `pool` has no labels and no test rows."""

    def identity(self) -> dict[str, object]:
        """Return all that the features depend on, as JSON values: what specifications record and the store asks for.

        An encoder whose settings name a file puts a digest of its content in the place of the path.
        """
        return describe(self)

    def require_items(self, dataset: Dataset) -> None:  # noqa: B027 - most encoders find out when they are used
        """Raise `DataError` if the items are known to be none that it can take, before anything is encoded."""

    def traces(self) -> tuple[str, ...]:
        """Return the names of the statistics per item that a pre-training kept; none for most encoders."""
        return ()

    def trace(self, name: str, dataset: Dataset) -> Array:
        """Return a statistic of `traces`, ``(N, t)`` float32, a row per item of the dataset it was trained on.

        Rows of items that are not in the pool, which no pre-training sees, are zeros.

        Raises:
            DataError: it was kept of another dataset.
        """
        raise DataError(f"encoder {describe(self)['name']!r} kept no statistic {name!r} of a pre-training.")


encoders: Registry[Encoder] = Registry("encoder", "querist.encoders")
Encoder.registry = encoders
register = encoders.register
