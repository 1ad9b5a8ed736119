"""Runs a frozen network over the images of a view in batches, one thread per batch."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from querist.arrays import Array
from querist.evidence.view import View
from querist.kernels.workers import each_block


def encode_images(
    view: View,
    *,
    batch: int,
    width: int,
    prepare: Callable[[npt.NDArray[np.uint8]], Any],
    forward: Callable[[Any], Any],
) -> Array:
    """Return features ``(n, width)`` float32 of the images of a view.

    Batches are the same for any number of threads, and within each torch computes on one, so that features do not
    depend on it.

    Args:
        view: whose images.
        batch: images per batch.
        width: of one row of features.
        prepare: an RGB image ``(h, w, 3)`` uint8 to the tensor of the network's input ``(3, s, s)``.
        forward: a batch ``(b, 3, s, s)`` to features ``(b, width)``; called without gradients, by several threads.
    """
    import torch

    encoded = np.empty((len(view), width), dtype=np.float32)

    def work(block: slice) -> None:
        part = view.take(np.arange(block.start, block.stop))
        with torch.inference_mode():  # a switch of the thread, so each thread turns it on
            images = torch.stack([prepare(image) for image in part.images()])
            # The shape of a batch decides the last bits, so the last one is as large as the others.
            full = torch.cat([images, images.new_zeros(batch - len(images), *images.shape[1:])])
            encoded[block] = forward(full)[: len(images)].float().cpu().numpy()

    with one_torch_thread():
        each_block(work, len(view), batch)
    return encoded


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Hold torch at one thread per operation, then put its number of threads back."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
