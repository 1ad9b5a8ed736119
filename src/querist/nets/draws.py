"""Monte Carlo dropout: one trained net as many functions, each with the same masks for every row."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from querist.arrays import Array
from querist.errors import SpecError
from querist.evidence.view import View
from querist.kernels.inner import scores
from querist.nets.base import NO_DROPOUT
from querist.nets.images import Normalisation
from querist.nets.net import Net, build_backbone
from querist.nets.running import generator
from querist.nets.scoring import batches, embed, rows
from querist.seeds import Seed

GROUP_BYTES = 1 << 28
"""How many bytes of logits are held at once: as many draws as fit share one reading of the rows."""

WHOLE_CHANNELS = (nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.FeatureAlphaDropout)
ALPHA = 1.0507009873554805 * 1.6732632423543772
"""Alpha dropout puts minus this, the lower limit of SELU, in the place of what it drops (Klambauer et al. 2017)."""


def has_dropout(net: nn.Module) -> bool:
    """Return whether a net is many functions: whether some dropout layer in it drops anything.

    What counts is a layer of torch's classes, or of a subclass, with a share above 0. Stochastic depth (``DropPath`` of
    timm, ``StochasticDepth`` of torchvision) leaves out parts of a net and is no dropout. Dropout that a net calls as a
    function, such as that of attention weights or timm's ``drop_rate`` before a classifier, cannot be told from
    outside and stays off.
    """
    return bool(dropouts(net))


def architecture_has_dropout(name: str, channels: int = 3) -> bool:
    """Return whether there is dropout inside an architecture; no memory is taken and no random number drawn.

    Args:
        name: see `querist.nets.base.locate`.
        channels: of the images.

    Raises:
        UnknownNameError: no such architecture.
        SpecError: it cannot have an embedding, or a setting makes no sense.
        MissingExtraError: its library is not installed.
    """
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        return has_dropout(build_backbone(name, channels))


def dropouts(net: nn.Module) -> dict[str, nn.Module]:
    """Return the layers of a net that drop something in training, by name."""
    return {name: layer for name, layer in net.named_modules() if isinstance(layer, _DropoutNd) and layer.p > 0}


def dropout_draws(
    net: Net, normalise: Normalisation, view: View, seed: Seed, k: int, x_n_d: Array | None = None
) -> Iterator[Array]:
    """Return an iterator over `k` draws: ``(n, c)`` float64 logits of the rows under one mask per dropout layer.

    Only dropout layers act; everything else, batch normalisation included, is as in scoring. Every row of a draw meets
    the same masks, so a draw is one function of images: its rows are the same bits in another order, alone, or in
    another pool. The masks are made on the CPU from the seed, the number of the draw and the name of the layer, so
    they are the same on every device, and more draws change no earlier ones. No generator of torch's is used, and
    between draws the net is as it was: flags, hooks and statistics.

    Consume it under `running.reproducible`, as everything that runs a net.

    Where the only dropout is the one before the head, all draws share one pass over the rows; where the backbone is an
    `nn.Sequential`, they share what comes before the first dropout.

    Args:
        net: trained.
        normalise: applied to its images.
        view: the rows.
        seed: of the masks.
        k: number of draws.
        x_n_d: embeddings of the rows, if at hand: they spare that one pass, and are not used if there is another.

    Raises:
        SpecError: the net has no dropout, or `k` is below 1.
        DataError: the items are no uint8 images, or change from one reading to the next.
    """
    layers = dropouts(net)
    if not layers:
        raise SpecError(f"Monte Carlo dropout: {NO_DROPOUT}")
    if k < 1:
        raise SpecError(f"Expected at least 1 draw, got {k}.")
    inner = {name: layer for name, layer in layers.items() if layer is not net.dropout}
    return (
        _through_backbone(net, normalise, view, seed, k, inner)
        if inner
        else _heads(net, normalise, view, seed, k, x_n_d)
    )


def _heads(net: Net, normalise: Normalisation, view: View, seed: Seed, k: int, x_n_d: Array | None) -> Iterator[Array]:
    if x_n_d is None:
        with _scoring(net):
            x_n_d = embed(net, normalise, view)
    for j in range(k):
        yield _head(net, seed.child(j))(x_n_d)


def _through_backbone(
    net: Net, normalise: Normalisation, view: View, seed: Seed, k: int, inner: Mapping[str, nn.Module]
) -> Iterator[Array]:
    group = max(1, GROUP_BYTES // max(1, 8 * len(view) * net.head.out_features))
    for first in range(0, k, group):
        yield from _group(net, normalise, view, [seed.child(j) for j in range(first, min(first + group, k))], inner)


@torch.inference_mode()
def _group(
    net: Net, normalise: Normalisation, view: View, seeds: list[Seed], inner: Mapping[str, nn.Module]
) -> Sequence[Array]:
    """Return one draw per seed."""
    heads = [_head(net, seed) for seed in seeds]
    logits = [np.empty((len(view), net.head.out_features)) for _ in seeds]
    before, after = _split(net.backbone)
    done = 0
    with _scoring(net):
        for batch, count in batches(normalise, view, net.head.weight.device):
            shared = before(batch)
            for seed, head, out in zip(seeds, heads, logits, strict=True):
                with _masked(inner, seed):
                    x = after(shared.clone())  # a layer may work in place
                out[done : done + count] = head(rows(x, count))
            done += count
    return logits


def _head(net: Net, seed: Seed) -> Callable[[Array], Array]:
    """Return the function from embeddings to logits, with a mask if there is dropout before the head.

    The mask multiplies the columns of the weights instead of the embeddings: the same function, without a copy of them.
    """
    weight, bias = (p.detach().cpu().numpy().astype(np.float64) for p in (net.head.weight, net.head.bias))
    if p := net.dropout.p:
        weight = weight * (_kept((weight.shape[1],), p, seed.child("dropout")).numpy() * _scale(p))
    return lambda x_n_d: scores(x_n_d, weight) + bias


def _split(backbone: nn.Module) -> tuple[nn.Module, nn.Module]:
    """Return what of a backbone comes before its first dropout, and the rest."""
    parts = list(_chain(backbone))
    first = next(i for i, part in enumerate(parts) if dropouts(part))
    return nn.Sequential(*parts[:first]), nn.Sequential(*parts[first:])


def _chain(module: nn.Module) -> Iterator[nn.Module]:
    """Yield the parts of a module that are applied one after another; itself, if that cannot be known."""
    if type(module) is nn.Sequential and not module._forward_hooks and not module._forward_pre_hooks:
        for part in module:
            yield from _chain(part)
    else:
        yield module


@contextmanager
def _scoring(net: nn.Module) -> Iterator[None]:
    """Put a net in evaluation mode, and every part of it back into its own."""
    flags = [(part, part.training) for part in net.modules()]
    net.eval()
    try:
        yield
    finally:
        for part, flag in flags:
            part.training = flag


@contextmanager
def _masked(layers: Mapping[str, nn.Module], seed: Seed) -> Iterator[None]:
    """Make dropout layers, which do nothing in evaluation mode, drop what their masks say."""
    calls: Counter[str] = Counter()

    def hook(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor]:
        def drop(layer: nn.Module, _: tuple[Tensor, ...], x: Tensor) -> Tensor:
            calls[name] += 1  # a layer that is used twice in one pass has two masks
            return dropped(layer, x, seed.child(name, calls[name]))

        return drop

    handles = [layer.register_forward_hook(hook(name)) for name, layer in layers.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def dropped(layer: nn.Module, x: Tensor, seed: Seed) -> Tensor:
    """Return rows ``(b, ...)`` as a dropout layer gives them in training, with one mask for all of them.

    Layers that drop whole channels have one number per entry of the second axis, others one per entry of a row.
    """
    p = cast("_DropoutNd", layer).p
    shape = tuple(x.shape[1:])
    if isinstance(layer, WHOLE_CHANNELS):
        shape = (*shape[:1], *[1] * len(shape[1:]))
    kept = _kept(shape, p, seed).to(x.device)
    if isinstance(layer, nn.AlphaDropout | nn.FeatureAlphaDropout):
        # Mean 0 and variance 1 stay what they are.
        stretch = ((1 - p) * (1 + p * ALPHA**2)) ** -0.5 if p < 1 else 0.0
        return stretch * (torch.where(kept, x, -ALPHA) + p * ALPHA)
    return x * (kept.to(x.dtype) * _scale(p))


def _kept(shape: tuple[int, ...], p: float, seed: Seed) -> Tensor:
    return torch.rand(shape, generator=generator(seed), device="cpu") >= p


def _scale(p: float) -> float:
    return 1 / (1 - p) if p < 1 else 0.0
