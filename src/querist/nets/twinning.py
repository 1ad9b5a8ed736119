"""Settings of the two random views of an image that a method of pre-training compares; without torch."""

import math
from dataclasses import dataclass

from querist.nets.bounds import require_within


@dataclass(frozen=True, kw_only=True)
class Twinning:
    """How two views of one image differ. Features always see images as they are.

    Attributes:
        crop: smallest share of the area that a random crop keeps; the largest is all of it, its ratio of
            sides is off by up to 4 : 3, and it is resized to the whole. 1 for no crop.
        jitter: how far brightness, contrast and saturation are off, as a share; 0 for none.
        hue: how far the hue is off, as a share of the circle, at most a half; 0 for none.
        jittered: probability that brightness, contrast, saturation and hue of a view change at all.
        grey: probability that a view of a colour image loses its colours.
        blur: probability that a view is blurred by a Gaussian.
        sigma: smallest and largest standard deviation of it, in pixels.
        flip: whether half of the views are mirrored left to right. Switch it off for digits, letters and whatever else
            is another thing in the mirror.
    """

    crop: float = 0.2
    jitter: float = 0.4
    hue: float = 0.1
    jittered: float = 0.8
    grey: float = 0.2
    blur: float = 0.0
    sigma: tuple[float, float] = (0.1, 2.0)
    flip: bool = True

    def __post_init__(self) -> None:
        require_within("crop", self.crop, 0, 1, above=True)
        require_within("jitter", self.jitter, 0, 1)
        require_within("hue", self.hue, 0, 0.5)
        for name in ("jittered", "grey", "blur"):
            require_within(name, getattr(self, name), 0, 1)
        low, high = self.sigma
        require_within("sigma[0]", low, 0, math.inf, above=True)
        require_within("sigma[1]", high, low, math.inf)
