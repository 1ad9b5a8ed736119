"""Any module as a backbone: what its own classifier is given is the embedding."""

from collections.abc import Callable
from typing import Any, cast

from torch import Tensor, nn

from querist.errors import SpecError, UnknownNameError

Call = Callable[[nn.Module, Tensor], Any]
"""Runs a module on a batch of images ``(b, channels, h, w)``; what it returns is not looked at."""


class Tapped(nn.Module):
    """A whole classifier as a backbone: images to what its last layer would be given.

    Nothing is asked of the module's ``forward``: it may take what it likes and return what it likes, for the embedding
    is caught on its way into the classifier. The classifier itself is taken out of the module, and in its place is a
    layer without parameters that gives zeros of the same shape, so that whatever comes after it still runs.

    Args:
        module: the classifier; changed in place.
        embedding: name, as in ``module.named_modules()``, of the layer that takes the embedding in, ``(b, d)``;
            by default the last linear layer.
        call: how the module is run on images; by default ``module(images)``.

    Raises:
        UnknownNameError: there is no layer of that name.
        SpecError: no layer is named, and the module has no linear one.
    """

    def __init__(self, module: nn.Module, embedding: str = "", call: Call | None = None) -> None:
        super().__init__()
        layers = {name: layer for name, layer in module.named_modules() if name}
        if not embedding:
            embedding = last_linear(module, f"the module {type(module).__name__}")
        if embedding not in layers:
            raise UnknownNameError("layer", embedding, layers, type(module).__name__)
        classifier = layers[embedding]
        module.set_submodule(embedding, Tap(classifier.out_features if isinstance(classifier, nn.Linear) else None))
        self.module, self.embedding, self.call = module, embedding, call

    def forward(self, x: Tensor) -> Tensor:
        tap = cast("Tap", self.module.get_submodule(self.embedding))
        tap.seen = None
        if self.call is None:
            self.module(x)
        else:
            self.call(self.module, x)
        rows, tap.seen = tap.seen, None
        if rows is None:
            raise SpecError(
                f"the layer {self.embedding!r} of {type(self.module).__name__} was not used in its forward pass, so "
                "there is no embedding. Name the layer that takes the embedding in."
            )
        return rows


class Tap(nn.Module):
    """Remembers what it is given.

    Args:
        width: of the zeros it gives; without, it gives what it was given.
    """

    def __init__(self, width: int | None) -> None:
        super().__init__()
        self.width = width
        self.seen: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        self.seen = x
        return x if self.width is None else x.new_zeros(*x.shape[:-1], self.width)


def last_linear(module: nn.Module, what: str) -> str:
    """Return the name of the last linear layer of a module, which is its classifier.

    Raises:
        SpecError: there is none; `what` is what the message calls the module.
    """
    found = [name for name, layer in module.named_modules() if name and isinstance(layer, nn.Linear)]
    if not found:
        raise SpecError(
            f"{what} ends in no linear layer, so it has no embedding; take another, or name the layer that takes its "
            "embedding in."
        )
    return found[-1]
