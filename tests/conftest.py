"""What all tests share: examples that never flake, and registries that no file of tests leaves changed.

``HYPOTHESIS_PROFILE=search`` looks for new examples instead, for as long as one likes.
"""

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

from querist.data.dataset import datasets
from querist.encoders.base import encoders
from querist.learners.base import learners
from querist.strategies.base import strategies

# No deadline, for first calls compile, and the same examples every time.
settings.register_profile("suite", deadline=None, derandomize=True, database=None)
settings.register_profile("search", deadline=None, max_examples=2_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))


@pytest.fixture(scope="module", autouse=True)
def _own_names() -> Iterator[None]:
    """Forget what a file of tests registered. Our own components stay: they register themselves only once."""
    registries = (datasets, encoders, learners, strategies)
    before = [set(registry._cards) for registry in registries]
    yield
    for registry, known in zip(registries, before, strict=True):
        for name in set(registry._cards) - known:
            if not registry._cards[name].component.__module__.startswith(f"{registry.package}."):
                del registry._cards[name]
                registry._names = {word: owner for word, owner in registry._names.items() if owner != name}
