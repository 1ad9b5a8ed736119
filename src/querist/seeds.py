"""Randomness as an argument with an address: `Seed` for programs, `Key` for strategies."""

from dataclasses import dataclass
from hashlib import blake2b
from operator import index

import numpy as np
import numpy.typing as npt

from querist.arrays import Hashes

Step = str | int


@dataclass(frozen=True)
class Seed:
    """A source of randomness named by where it is used, not by when.

    Two seeds are equal exactly if entropy and path are; children with different names are independent.

    >>> Seed(0).child("digits", "pool", 3) == Seed(0).child("digits").child("pool", 3)
    True
    """

    entropy: int
    path: tuple[Step, ...] = ()

    def __post_init__(self) -> None:
        # A step counts by its value: numpy's 3 and Python's are one address, and equal seeds have equal words.
        object.__setattr__(self, "entropy", int(index(self.entropy)))
        object.__setattr__(self, "path", tuple(str(s) if isinstance(s, str) else int(index(s)) for s in self.path))

    def child(self, *steps: Step) -> "Seed":
        """Return the seed at a longer address."""
        return Seed(self.entropy, self.path + steps)

    def words(self, count: int = 4) -> npt.NDArray[np.uint64]:
        """Return `count` 64-bit words (at most 8) that depend on the whole address."""
        # Type and length are part of the text, so that ("a", "b"), ("ab",), ("1",) and (1,) all differ.
        address = "".join(f"{type(s).__name__}:{len(str(s))}:{s};" for s in (self.entropy, *self.path))
        return np.frombuffer(blake2b(address.encode(), digest_size=64).digest(), dtype="<u8")[:count].astype(np.uint64)

    def integer(self) -> int:
        """Return a 31-bit integer, for libraries that accept nothing else."""
        return int(self.words(1)[0] >> np.uint64(33))

    def generator(self) -> np.random.Generator:
        """Return a fresh generator; every call starts the same stream."""
        return np.random.Generator(np.random.PCG64(np.random.SeedSequence(self.words().tolist())))

    def key(self) -> "Key":
        """Return the key a strategy receives."""
        return Key(self)


@dataclass(frozen=True)
class Key:
    """What a strategy gets instead of a generator.

    `hash` depends on the id alone, never on its position, so a strategy that breaks ties and draws by it is
    permutation-equivariant by construction.
    """

    seed: Seed

    def child(self, *steps: Step) -> "Key":
        """Return the key of a part, e.g. one step of a greedy loop or the base of a wrapper."""
        return Key(self.seed.child(*steps))

    def hash(self, ids: npt.NDArray[np.integer]) -> Hashes:
        """Return one 64-bit hash per id. Different ids never collide: for a given key the map is a bijection."""
        first, second = self.seed.words(2)
        return _mix(_mix(ids.astype(np.uint64) + first) ^ second)

    def uniform(self, ids: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
        """Return one number per id, uniform on the open interval (0, 1)."""
        # 52 bits, not 53: adding one half must not round, or the largest hash would give exactly 1.
        return ((self.hash(ids) >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52

    def generator(self) -> np.random.Generator:
        """Return a generator, for exact samplers that need a stream."""
        return self.seed.generator()


def _mix(words: Hashes) -> Hashes:
    """The finaliser of SplitMix64 (Steele, Lea & Flood, OOPSLA 2014): a bijection with full avalanche."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
