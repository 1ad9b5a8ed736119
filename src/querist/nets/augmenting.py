"""Settings of what happens to images in training; without torch."""

from dataclasses import dataclass
from typing import Literal, get_args

from querist.errors import SpecError, UnknownNameError
from querist.nets.bounds import require_within

Policies = Literal["none", "randaugment", "trivialaugment", "randaugment_s2", "fixmatch"]
USES = {
    "none": (),
    "randaugment": ("operations", "magnitude"),
    "trivialaugment": (),
    "randaugment_s2": ("operations", "magnitude"),
    "fixmatch": ("operations",),
}
"""Which settings a policy looks at."""


@dataclass(frozen=True, kw_only=True)
class Augmenting:
    """How images are varied in training. Scoring always sees them as they are.

    Attributes:
        crop: how far a random crop may be off, as a share of the shorter side, beyond the border by reflection; 0 none.
        flip: whether half of the images are mirrored left to right. Switch it off for digits, letters and whatever else
            is another thing in the mirror.
        policy: operations drawn at random for every image: ``none``; ``randaugment`` (`operations` of magnitude
            `magnitude` of 30); ``trivialaugment`` (one, of any magnitude); ``randaugment_s2`` (the table of TorchAL,
            magnitudes 0 to 9); ``fixmatch`` (`operations` of any magnitude, then a cut-out). The colours of an image
            with one channel are what they are: the operation on colour leaves it alone.
        operations: how many ``randaugment``, ``randaugment_s2`` and ``fixmatch`` draw per image, an operation perhaps
            several times.
        magnitude: how strong those of ``randaugment`` and ``randaugment_s2`` are.
        cutout: side of a square of the mean colour at a random place, as a share of the shorter side; 0 for none.
        mixup: parameter of the Beta distribution of the share of another image that is blended in; 0 for none.
        cutmix: parameter of the Beta distribution of the area that is pasted from another image; 0 for none. With
            `mixup` too, a batch gets one of the two at even odds.
    """

    crop: float = 0.125
    flip: bool = True
    policy: Policies = "none"
    operations: int = 2
    magnitude: int = 9
    cutout: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0

    def __post_init__(self) -> None:
        if self.policy not in get_args(Policies):
            raise UnknownNameError("policy of augmentation", self.policy, get_args(Policies))
        require_within("crop", self.crop, 0, 0.5)
        require_within("operations", self.operations, 1, 15)
        require_within("magnitude", self.magnitude, 0, 9 if self.policy == "randaugment_s2" else 30)
        require_within("cutout", self.cutout, 0, 1)
        for name in ("mixup", "cutmix"):
            require_within(name, getattr(self, name), 0, 100)
        for name in ("operations", "magnitude"):
            if name not in USES[self.policy] and getattr(self, name) != getattr(Augmenting, name):
                used = " or ".join(repr(policy) for policy, settings in USES.items() if name in settings)
                raise SpecError(
                    f"{name} = {getattr(self, name)} means nothing to policy = {self.policy!r}; it belongs to {used}."
                )
