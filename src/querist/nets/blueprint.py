"""What a net is built from: the few values that say how, as a checkpoint keeps them, and the net they give."""

from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional

from querist.errors import SpecError
from querist.nets.net import Net, RepeatGrey, build_net


class Blueprint(NamedTuple):
    """All that the layers of a net depend on, as JSON values."""

    net: str
    """Name of the architecture, see `querist.nets.base.locate`."""
    shape: tuple[int, int, int]
    """Channels, height and width of the images that the net is given."""
    c: int
    """Number of classes."""
    dropout: float = 0.0
    """Share of the embedding that is dropped before the head in training."""
    takes: tuple[int, int, int] | None = None
    """Channels, height and width of the images that the backbone is given; None for those that the net is."""
    unit: bool = False
    """Whether an embedding is divided by its length."""
    frozen: bool = False
    """Whether the backbone is no part of the training."""


def assemble(plan: Blueprint) -> Net:
    """Return the net of a blueprint with random weights, from torch's global generator.

    The head and the backbone are drawn as `build_net` draws them, whatever is put before and after the backbone.

    Raises:
        UnknownNameError: no such architecture.
        SpecError: it does not take such images, or colour images are given to a backbone for grey ones.
        MissingExtraError: its library is not installed.
    """
    takes = plan.takes or plan.shape
    if plan.shape[0] > takes[0]:
        raise SpecError(
            f"the backbone {plan.net!r} was trained on grey images, and these have {plan.shape[0]} channels. Take one "
            "that was trained on colour images, or make these grey."
        )
    net = build_net(plan.net, takes, plan.c, plan.dropout)
    if takes != plan.shape or plan.unit or plan.frozen:
        net.backbone = Prepared(net.backbone, plan)
    return net


class Prepared(nn.Module):
    """A backbone with what has to happen before and after it.

    Args:
        body: images ``(b, channels, h, w)`` of the size it takes to embeddings ``(b, d)``.
        plan: says what images come in, whether embeddings become unit rows, and whether the body is frozen.
    """

    def __init__(self, body: nn.Module, plan: Blueprint) -> None:
        super().__init__()
        self.body, self._unit = body, plan.unit
        takes = plan.takes or plan.shape
        self.grey = RepeatGrey() if plan.shape[0] < takes[0] else nn.Identity()
        self._size = takes[1:] if takes[1:] != plan.shape[1:] else None
        if plan.frozen:
            body.requires_grad_(False)  # the training loop leaves such a part in evaluation mode

    def forward(self, x: Tensor) -> Tensor:
        """Return embeddings ``(b, d)``."""
        if self._size is not None:
            x = functional.interpolate(x, self._size, mode="bilinear", antialias=True, align_corners=False)
        rows = self.body(self.grey(x))
        # A zero row stays zero.
        return functional.normalize(rows, dim=1, eps=1e-12) if self._unit else rows


def body_of(net: Net) -> nn.Module:
    """Return the architecture itself, without what was put before and after it."""
    return net.backbone.body if isinstance(net.backbone, Prepared) else net.backbone
