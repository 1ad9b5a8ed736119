"""Weights in files that others wrote: read without running code, and put into a net exactly or not at all."""

import pickle
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from querist.errors import DataError
from querist.nets.checkpoints import fill

DAMAGE = (
    RuntimeError, ValueError, LookupError, TypeError, AttributeError, OSError, EOFError, pickle.UnpicklingError,
    SafetensorError,
)  # fmt: skip
"""What reading weights was seen to raise on other bytes; what torch's reader of pickles raises is not documented."""

COUNTERS = "num_batches_tracked"
"""Files that are older than these counters of batch normalisation lack them; scoring does not look at them."""


def read_weights(file: Path, what: str) -> Any:
    """Return what a .safetensors file or a file of ``torch.save`` holds, tensors on the CPU.

    Args:
        file: which is never trusted: only tensors and plain values are read, no code in it runs.
        what: wants it, for error messages.

    Raises:
        DataError: it is neither, damaged, or holds objects whose reading would run code; says what to do.
    """
    with refusing(f"{what}: cannot read {file}", "Expected a .safetensors file or one written by torch.save"):
        if file.suffix == ".safetensors":
            return load_file(file)
        try:
            return torch.load(file, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            raise DataError(
                f"{what}: {file} does not load as plain tensors. Either it is no file of torch.save, or it holds "
                "objects of Python classes, which are refused because reading them runs code from the file. If you "
                "trust it, rewrite it once where that code may run: state = torch.load(file, weights_only=False); "
                "torch.save({'state_dict': state['state_dict']}, 'plain.pth')."
            ) from error


@contextmanager
def refusing(problem: str, advice: str) -> Iterator[None]:
    """Turn what reading damaged or foreign weights raises into a `DataError` of a problem and an advice."""
    try:
        yield
    except DataError:
        raise
    except DAMAGE as error:
        raise DataError(f"{problem}: {first_line(error)}. {advice}.") from error


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its kind if it has none."""
    return (str(error) or type(error).__name__).splitlines()[0].rstrip(".")


def fill_backbone(backbone: nn.Module, state: Mapping[str, Tensor], head: Iterable[str], what: str) -> None:
    """Copy weights into a backbone, all of them or none; the head of the net they are of is left out.

    Args:
        backbone: whose parameters and buffers are set.
        state: the weights, of any floating type.
        head: names begin like this that belong to the head.
        what: what an error message calls the weights.

    Raises:
        DataError: another name is missing or unexpected, or a shape differs.
    """
    kept = {name: value for name, value in state.items() if not name.startswith(tuple(head))}
    own = backbone.state_dict()
    counters = {name: value for name, value in own.items() if name.endswith(COUNTERS) and name not in kept}
    fill(backbone, kept | counters, what)
