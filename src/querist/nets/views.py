"""Embeddings of augmented views: view j of an item is a function of the item and of j alone."""

from collections.abc import Iterator

import numpy as np
import torch

from querist.arrays import Array, Ids
from querist.evidence.view import View
from querist.nets.augmentation import Variation
from querist.nets.augmenting import Augmenting
from querist.nets.images import Normalisation
from querist.nets.net import Net
from querist.nets.policies import Chance
from querist.nets.scoring import batches, rows
from querist.seeds import Key, Seed


def view_embeddings(
    net: Net, normalise: Normalisation, view: View, augmenting: Augmenting, seed: Seed, k: int
) -> Iterator[Array]:
    """Yield the embeddings of `k` augmented views, ``(n, d)`` float32 each, one pass over the rows after another.

    Every random number is a hash of the id of an item, the number of the view and the place where it is used. So a row
    has the same bits in any company, order or chunks, and more views change none of the earlier ones. The net stays in
    evaluation mode. Views are no predictions of clean images: score with `querist.nets.scoring.embed`.

    Args:
        net: any; it is put into evaluation mode.
        normalise: applied after the augmentation; cut-outs have its mean.
        view: rows with uint8 images.
        augmenting: how images are varied; `mixup` and `cutmix` mix items, which views of one item cannot be, and play
            no part.
        seed: of all views.
        k: how many views.
    """
    for j in range(k):
        yield _embeddings(net, normalise, view, augmenting, seed.child("view", j).key())


@torch.inference_mode()
def _embeddings(net: Net, normalise: Normalisation, view: View, augmenting: Augmenting, key: Key) -> Array:
    net.eval()
    device = next(net.parameters()).device
    vary: Variation | None = None
    out: list[Array] = []
    done = 0
    for images, count in batches(lambda raw: raw, view, device):
        b, channels, height, width = images.shape
        if vary is None:
            vary = Variation(augmenting, (height, width, channels), device, normalise.mean)
        chance = keyed(key, view.ids[done : done + count], b)
        varied = vary(images.permute(0, 2, 3, 1).contiguous(), torch.arange(b), chance)
        out.append(rows(net.embed(normalise(varied)), count))
        done += count
    return np.concatenate(out) if out else np.empty((0, net.head.in_features), np.float32)


def keyed(key: Key, ids: Ids, b: int) -> Chance:
    """Return chances that are hashes of ids and of how many were asked for before; zeros fill a batch up to `b`."""
    asked = 0

    def chance() -> torch.Tensor:
        nonlocal asked
        numbers = np.zeros(b)
        numbers[: len(ids)] = key.child(asked).uniform(ids)
        asked += 1
        return torch.from_numpy(numbers)

    return chance
