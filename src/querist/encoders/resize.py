"""Whole images of any size and shape as squares of one size."""

import numpy as np
import numpy.typing as npt
from PIL import Image


def squash(image: npt.NDArray[np.uint8], side: int) -> npt.NDArray[np.uint8]:
    """Return an RGB image ``(h, w, 3)`` as ``(side, side, 3)``, read-only or not.

    The whole picture is kept and its aspect ratio given up, since nobody knows where in a picture its content is.
    Bilinear; the filter widens when it reduces, so that fine patterns do not alias.
    """
    if image.shape[:2] == (side, side):
        return image
    return np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BILINEAR))
