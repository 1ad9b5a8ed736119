"""The encoder of images that is taken when none is named, and what to tell people when it cannot be had."""

from importlib.util import find_spec
from pathlib import Path

from querist.encoders.base import Encoder
from querist.encoders.handcrafted import Handcrafted
from querist.encoders.hub import find_on_hub
from querist.encoders.timm import WEIGHTS, Timm

DEFAULT = Timm(model="vit_small_patch14_dinov2.lvd142m", size=224)
"""DINOv2 (Oquab et al., TMLR 2024), the small model: trained without labels, so that its features suit pictures of any
kind; 88 MB. At 224 pixels, not the 518 of its training, it is some six times as fast."""


def default_encoder() -> tuple[Encoder, str | None]:
    """Return the encoder for images when none is named, and a notice to show if it is not the good one.

    The good one is a small model of timm whose weights are downloaded once. Without torch or without its weights,
    `handcrafted` stands in: it runs anywhere and is much weaker. Answers within seconds where there is no network;
    where there is one, the download happens here. Record the encoder that was returned, not that none was named.
    """
    reason = _reason()
    if reason is None:
        return DEFAULT, None
    return Handcrafted(), (
        f"Images are encoded by 'handcrafted', since the default, timm's {DEFAULT.model}, cannot be had: {reason}. "
        "Picks are usable but clearly worse than with a pretrained network. To get one: pip install 'querist[deep]' "
        "and go online once, or name a local file, e.g. \"timm(model='...', weights='...')\" or "
        "\"backbone(path='...')\". To stay with it and hide this notice, ask for 'handcrafted'."
    )


def _reason() -> str | None:
    """Return why the default cannot be had, None if it can."""
    missing = [name for name in ("torch", "torchvision", "timm") if find_spec(name) is None]
    if missing:
        return f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed"
    found = find_on_hub(f"timm/{DEFAULT.model}", WEIGHTS)
    return None if isinstance(found, Path) else found
