"""One pass over any number of rows: embeddings in blocks that are always the same size."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from querist.arrays import Array
from querist.evidence.view import View
from querist.nets.images import Normalisation, read_images
from querist.nets.net import Net
from querist.progress import tell

BLOCK = {"cpu": 64}
LARGE_BLOCK = 512
"""Images in one call of the net; on a CPU what fits its cache is fastest."""

CHUNK_BYTES = 1 << 26
"""How many bytes of images are read at once."""


@torch.inference_mode()
def embed(net: Net, normalise: Normalisation, view: View) -> Array:
    """Return the embeddings of the rows of a view, ``(n, d)`` float32.

    The net stays in evaluation mode and sees clean, normalised images: no crop, no flip, no dropout, no statistic of
    the batch. A row has the same bits in any company, see `batches`.
    """
    net.eval()
    device = next(net.parameters()).device
    out = [rows(net.embed(x), count) for x, count in batches(normalise, view, device)]
    return np.concatenate(out) if out else np.empty((0, net.head.in_features), np.float32)


def batches(normalise: Callable[[Tensor], Tensor], view: View, device: torch.device) -> Iterator[tuple[Tensor, int]]:
    """Yield the rows of a view in order as normalised images ``(b, channels, h, w)``, and how many of them there are.

    Every batch has the same number of images, the last one filled up with black: a library picks its algorithm, and
    with it the last bits, by the size of the batch. So a row has the same bits alone, in another order, or streamed.
    """
    size = block_size(device)
    done, chunk = 0, size
    while done < len(view):
        images = read_images(view.take(np.arange(done, min(done + chunk, len(view)))))
        for start in range(0, len(images), size):
            part = images[start : start + size]
            block = np.zeros((size, *images.shape[1:]), np.uint8)
            block[: len(part)] = part
            yield normalise(torch.from_numpy(block).permute(0, 3, 1, 2).to(device)), len(part)
        done += len(images)
        chunk = size * max(1, CHUNK_BYTES // (size * images[0].nbytes))
        tell("scoring", done, len(view))


def block_size(device: torch.device) -> int:
    """Return how many images a batch has on a device."""
    return BLOCK.get(device.type, LARGE_BLOCK)


def rows(x: Tensor, count: int) -> Array:
    """Return the first `count` rows of an output as float32 on the CPU."""
    return x[:count].float().cpu().numpy()
