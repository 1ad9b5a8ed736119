"""Runs a frozen network over the images of a view in batches, one thread per batch."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from querist.arrays import Array
from querist.encoders.base import FittedEncoder
from querist.errors import DataError, SpecError
from querist.evidence.view import View
from querist.kernels.workers import each_block

PROBE = 64
"""Side of the black image that tells how large a network's inputs and features are."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FittedNet(FittedEncoder):
    """A frozen network in evaluation mode, with its own preprocessing.

    Attributes:
        net: a torch module, inputs ``(b, 3, s, s)`` to features ``(b, width)``.
        prepare: an RGB image ``(h, w, 3)`` uint8 to the tensor of an input.
        shape: of an input.
        width: of a row of features.
        batch: images per forward pass.
        device: where the network is.
    """

    net: Any
    prepare: Callable[[npt.NDArray[np.uint8]], Any]
    shape: tuple[int, ...]
    width: int
    batch: int
    device: Any

    def encode(self, view: View) -> Array:
        """Return ``(n, width)`` float32 features, row i depending on image i alone.

        Raises:
            DataError: the items are no images, or the preprocessing makes inputs of different shapes.
        """

        def prepare(image: npt.NDArray[np.uint8]) -> Any:
            tensor = self.prepare(image)
            if tuple(tensor.shape) != self.shape:
                raise DataError(
                    f"the model's preprocessing makes an input of shape {tuple(tensor.shape)} of an image of "
                    f"{image.shape}, and {self.shape} of others: it neither crops nor resizes to one size. Set both "
                    "sides, or a crop, in its preprocessor_config.json."
                )
            return tensor

        def forward(images: Any) -> Any:
            return self.net(images.to(self.device))

        return encode_images(view, batch=self.batch, width=self.width, prepare=prepare, forward=forward)


def fitted_net(net: Any, prepare: Callable[[npt.NDArray[np.uint8]], Any], *, batch: int, device: str) -> FittedNet:
    """Return a network ready to encode, on its device and frozen.

    Args:
        net: see `FittedNet`.
        prepare: see `FittedNet`.
        batch: images per forward pass.
        device: ``auto`` takes a graphics card if there is one.

    Raises:
        SpecError: there is no such device here, or the network does not take inputs of this size.
    """
    import torch

    from querist.nets.running import make_fabric

    place = make_fabric(device).device
    net = net.eval().requires_grad_(False).to(place)
    shape = tuple(prepare(np.zeros((PROBE, PROBE, 3), np.uint8)).shape)
    try:
        with torch.inference_mode():
            width = net(torch.zeros(1, *shape, device=place)).shape[1]
    except (RuntimeError, ValueError, AssertionError) as error:
        raise SpecError(
            f"the network does not take inputs of shape {shape}: {error}. Leave 'size' as it is."
        ) from error
    return FittedNet(net=net, prepare=prepare, shape=shape, width=width, batch=batch, device=place)


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
