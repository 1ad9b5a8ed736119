"""What the sessions of one dataset share: items, frozen features and the evaluator."""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import cached_property
from typing import Any

import numpy as np

from querist.arrays import Array, Ids, Labels, readonly
from querist.data.dataset import Dataset
from querist.encoders.base import Encoder, encoders
from querist.evidence.cache import Cache
from querist.evidence.features import Encoding, FrozenFeatures, compute_features, encode_here
from querist.evidence.needs import Features, Need, PretrainTrace
from querist.evidence.principal import WithPrincipal
from querist.evidence.provider import Offer
from querist.evidence.view import View
from querist.progress import listening
from querist.registry import describe
from querist.seeds import Seed
from querist.session.evaluator import Evaluator

NO_TARGETS = (
    "there are no targets without a validation set. Let the session buy one: validation=n, "
    "or size = n under [validation] in a study."
)
"""Why nothing is known about the frame ``targets``."""


class Setting:
    """A dataset with its frozen features. Build it once and hand it to many sessions.

    Args:
        dataset: items and sealed labels.
        features: the encoder, by name, composition or object.
        seed: randomness of the encoder, shared by all sessions.
        cache: where features are kept; None keeps them in memory.
        progress: called with the number of rows encoded so far and the number of all.
        encoding: where features are computed; in this process unless somebody says otherwise.
    """

    def __init__(
        self,
        dataset: Dataset,
        features: str | Mapping[str, Any] | Encoder = "pixels",
        *,
        seed: int = 0,
        cache: Cache | None = None,
        progress: Callable[[int, int], None] | None = None,
        encoding: Encoding = encode_here,
    ) -> None:
        self.dataset, self._encoding = dataset, encoding
        self.encoder: Encoder = encoders.build(features)
        self._seed, self._cache, self._progress = Seed(seed).child(dataset.name, "encoder"), cache, progress
        self._pool: dict[Features, Array] = {}

    @cached_property
    def features(self) -> WithPrincipal:
        """Frozen features of all rows of the dataset; computed, or read from the cache, when one is read."""
        return WithPrincipal(FrozenFeatures(self._name, self._compute), self.dataset.pool)

    def _compute(self) -> Mapping[Features, Array]:
        tick = self._progress
        with nullcontext() if tick is None else listening(lambda _what, done, total: tick(done, total)):
            return compute_features(self.dataset, self.encoder, self._seed, self._cache, self._encoding)

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
            "features": self.encoder.identity(),
            "features_seed": self._seed.entropy,
        }

    # As a source of evidence:

    @property
    def name(self) -> str:
        return f"encoder {self._name!r}"

    @property
    def _name(self) -> str:
        return str(describe(self.encoder)["name"])

    def offers(self, need: Need[Any]) -> Offer | str:
        """Offer features of this encoder, and the statistics it kept of its pre-training."""
        if isinstance(need, PretrainTrace):
            kept = self.encoder.traces()
            if need.name in kept:
                return Offer()
            return f"it kept {'no statistics' if not kept else 'only ' + ', '.join(kept)} of a pre-training."
        if not isinstance(need, Features):
            return "it provides Features and statistics of a pre-training only."
        if need.frame == "targets":
            return NO_TARGETS
        if need.encoder not in (None, self._name):
            return f"the features of this session are made by {self._name!r}, not by {need.encoder!r}."
        return Offer()

    def provide(self, need: Features | PretrainTrace, ids: Ids) -> Array:
        """Return features or statistics of `ids`; features of the whole pool are gathered once and shared."""
        if isinstance(need, PretrainTrace):
            return self.encoder.trace(need.name, self.dataset)[ids]
        if len(ids) != len(self.dataset.pool) or not np.array_equal(ids, self.dataset.pool):
            return self.view(ids)[need]
        whole = need.on("all")
        if whole not in self._pool:
            self._pool[whole] = readonly(self.view(ids)[need])  # pyright: ignore[reportArgumentType]
        return self._pool[whole]  # pyright: ignore[reportArgumentType]
