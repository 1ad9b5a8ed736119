"""MaxHerding: coverage by a smooth kernel instead of balls."""

from dataclasses import dataclass
from typing import ClassVar

from querist.errors import SpecError
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Features
from querist.kernels.coverage import gaussian
from querist.seeds import Key
from querist.strategies._coverage import COVERED, Covering
from querist.strategies.base import Picks, register


@register("max_herding", cite="Bae, Noh & Sutherland, ECCV 2024", presets={"paper": {"sigma": 1.0}})
@dataclass(frozen=True, kw_only=True)
class MaxHerding(Covering):
    """Wants the row that most raises the mean coverage of the pool by what is labelled or picked.

    Identity: ``gain(x) = mean_n max(0, k(n, x) - max_(s in L u S) k(n, s))``, ``k = exp(-|f_n - f_x|^2 / sigma^2)`` on
    unit-norm features. Up to `limit` rows nothing is subsampled. With a kernel that is 1 within a radius and 0 beyond
    it is `prob_cover`.

    Use when: there are no labels or few, with frozen features: the first choice there, smooth where prob_cover has a
    hard radius.

    Avoid when: there are tens of labels per class and a good model: margin and badge know where it errs.

    Pitfalls: looking at all pairs takes time in the square of the pool. A width of 1 suits features of many dimensions
    and unit length; hubs are picked early.

    Attributes:
        sigma: width of the kernel.
        limit: rows up to which all pairs are looked at; see `Covering`.
    """

    family: ClassVar = "budget-adaptive"
    regimes: ClassVar = ("VL", "L")
    sigma: float = 1.0
    needs: ClassVar = (Features(frame="all"),)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.0 < self.sigma < float("inf"):
            raise SpecError(f"Expected sigma to be positive and finite, got {self.sigma}.")

    def reason(self, utility: float) -> str:
        return f"it raises the mean coverage of the pool by {utility:.3g}" if utility else COVERED

    def select(self, ev: Evidence, b: int, key: Key) -> Picks:
        return self.covering(ev, ev[Features(frame="all")], gaussian(self.sigma), b, key, per=len(ev.all))
