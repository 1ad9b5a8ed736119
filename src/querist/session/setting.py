"""What the sessions of one dataset share: items, frozen features and the evaluator."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np

from querist.arrays import Array, Ids, Labels, readonly
from querist.data.dataset import Dataset
from querist.encoders.base import Encoder, encoders
from querist.evidence.features import compute_features
from querist.evidence.needs import Features, Need
from querist.evidence.provider import Offer
from querist.evidence.view import View
from querist.registry import describe
from querist.seeds import Seed
from querist.session.evaluator import Evaluator

NO_TARGETS = "a session has no targets."
"""Why nothing is known about the frame ``targets``."""


class Setting:
    """A dataset with its frozen features. Build it once and hand it to many sessions.

    Args:
        dataset: items and sealed labels.
        features: the encoder, by name, composition or object.
        seed: randomness of the encoder, shared by all sessions.
        options: passed on to `compute_features`: ``cache`` and ``progress``.
    """

    def __init__(
        self, dataset: Dataset, features: str | Mapping[str, Any] | Encoder = "pixels", *, seed: int = 0, **options: Any
    ) -> None:
        self.dataset = dataset
        self.encoder: Encoder = encoders.build(features)
        self._seed, self._options = Seed(seed).child(dataset.name, "encoder"), options
        self._pool: dict[Features, Array] = {}

    @cached_property
    def features(self) -> Mapping[Features, Array]:
        """Frozen features of all rows of the dataset; computed, or read from the cache, when first asked for."""
        return compute_features(self.dataset, self.encoder, self._seed, **self._options)

    @cached_property
    def evaluator(self) -> Evaluator | None:
        """Who tests checkpoints; None without a test split."""
        return Evaluator(self) if len(self.dataset.test) else None

    def view(self, ids: Ids, labels: Labels | None = None) -> View:
        """Return rows as a provider may see them."""
        return View(self.dataset, ids, features=self.features, labels=labels)

    @property
    def spec(self) -> dict[str, object]:
        """What a result depends on."""
        return {
            "dataset": {"name": self.dataset.name, "fingerprint": self.dataset.fingerprint},
            "features": describe(self.encoder),
            "features_seed": self._seed.entropy,
        }

    # As a source of evidence:

    @property
    def name(self) -> str:
        return f"encoder {describe(self.encoder)['name']!r}"

    def offers(self, need: Need[Any]) -> Offer | str:
        """Offer features of this encoder."""
        if not isinstance(need, Features):
            return "it provides Features only."
        if need.frame == "targets":
            return NO_TARGETS
        known = describe(self.encoder)["name"]
        if need.encoder not in (None, known):
            return f"the features of this session are made by {known!r}, not by {need.encoder!r}."
        return Offer()

    def provide(self, need: Features, ids: Ids) -> Array:
        """Return features of `ids`; those of the whole pool are gathered once and shared."""
        if len(ids) != len(self.dataset.pool) or not np.array_equal(ids, self.dataset.pool):
            return self.view(ids)[need]
        whole = need.on("all")
        if whole not in self._pool:
            self._pool[whole] = readonly(self.view(ids)[need])  # pyright: ignore[reportArgumentType]
        return self._pool[whole]  # pyright: ignore[reportArgumentType]
