"""One pass over any number of rows: embeddings in blocks that are always the same size."""

import numpy as np
import torch

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
    the batch. Every call of the net has the same number of images, the last one filled up with black: a library picks
    its algorithm, and with it the last bits, by the size of the batch. So a row has the same bits in any company:
    alone, in another order, or streamed.
    """
    device = next(net.parameters()).device
    size = BLOCK.get(device.type, LARGE_BLOCK)
    net.eval()
    out: list[Array] = []
    done, rows = 0, size
    while done < len(view):
        images = read_images(view.take(np.arange(done, min(done + rows, len(view)))))
        for start in range(0, len(images), size):
            part = images[start : start + size]
            block = np.zeros((size, *images.shape[1:]), np.uint8)
            block[: len(part)] = part
            batch = torch.from_numpy(block).permute(0, 3, 1, 2).to(device)
            out.append(net.embed(normalise(batch))[: len(part)].float().cpu().numpy())
        done += len(images)
        rows = size * max(1, CHUNK_BYTES // (size * images[0].nbytes))
        tell("scoring", done, len(view))
    return np.concatenate(out) if out else np.empty((0, net.head.in_features), np.float32)
