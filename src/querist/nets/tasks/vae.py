"""A variational autoencoder in torch: a backbone as its encoder, and a mirrored decoder for images of any size."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from querist.nets.share import ALONE, Draws, Share
from querist.nets.tasks.base import Load, Outcome, Start, full_precision
from querist.nets.tasks.varied import VariedTask, in_order
from querist.seeds import Seed

LOSS = "vae_loss"
"""Name of the statistic that says how badly an image is reconstructed."""

WIDTHS = (256, 128, 64, 32)
"""Channels of the decoder, from the smallest maps to the largest."""

LARGEST_LOG = 10.0
"""Bound of the logarithm of variances, either way, so that their exponentials are finite."""


class VAETask(VariedTask):
    """Backbone, linear layers for mean and logarithm of the variance of the posterior, and a decoder.

    Args:
        start: what it begins with.
        latent: width of the code.
        weight: of the divergence from the prior, beside the mean squared error of a value of an image.
    """

    def __init__(self, start: Start, *, latent: int, weight: float) -> None:
        super().__init__(start)
        self.mean, self.log_variance = nn.Linear(start.d, latent), nn.Linear(start.d, latent)
        self.decoder = Decoder(latent, start.shape, start.normalise.mean, start.normalise.std)
        self.latent, self.weight = latent, weight

    def views(self, rows: Tensor, load: Load, draws: Draws) -> tuple[Tensor, ...]:
        """Return clean images, and the noise ``(b, latent)`` that codes are drawn with."""
        x = self.normalise(load(rows))
        return x, draws.normal(self.latent).to(x.device)

    def forward(self, *views: Tensor) -> tuple[Tensor, ...]:
        """Return embeddings ``(b, d)`` and losses ``(b,)`` at codes drawn from the posterior."""
        x, noise = views
        embedded, mean, log_variance = self.posterior(x)
        decoded = self.decoder(mean + torch.exp(0.5 * log_variance) * noise)
        with full_precision(x):
            losses = vae_losses(x, decoded.float(), mean.float(), log_variance.float(), self.weight)
        return embedded.detach(), losses

    def outcome(self, rows: Tensor, *parts: Tensor) -> Outcome:
        """Return the mean loss."""
        embedded, losses = parts
        return Outcome(losses.mean(), embedded, {})

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return embeddings ``(b, d)``, and means and logarithms of variances ``(b, latent)`` of codes."""
        embedded = self.backbone(x)
        return embedded, self.mean(embedded), self.log_variance(embedded).clamp(-LARGEST_LOG, LARGEST_LOG)

    def finish(self, load: Load, seed: Seed, share: Share = ALONE) -> Mapping[str, Tensor]:
        """Return the loss of every clean image at the mean of its posterior, without any draw, ``(n, 1)``."""

        def measure(x: Tensor) -> Tensor:
            _, mean, log_variance = self.posterior(x)
            decoded = self.decoder(mean).double()
            return vae_losses(x.double(), decoded, mean.double(), log_variance.double(), self.weight)[:, None]

        return {LOSS: in_order(self, load, measure, "losses per image", share)}


class Decoder(nn.Module):
    """Codes ``(b, latent)`` to normalised images ``(b, channels, h, w)``, as a net would see levels between 0 and 255.

    Four convolutions that double the sides, to exactly those of the image. The last values go through a sigmoid to
    0..255 and are normalised as images are: whatever an image can be, an output can be, and nothing else.

    Args:
        latent: width of a code.
        shape: channels, height and width of an image.
        mean: of each channel, in 0..255.
        std: of each channel.
    """

    low: Tensor
    scale: Tensor

    def __init__(
        self, latent: int, shape: tuple[int, int, int], mean: tuple[float, ...], std: tuple[float, ...]
    ) -> None:
        super().__init__()
        channels, height, width = shape
        self.sizes = [(-(-height // 2**k), -(-width // 2**k)) for k in range(len(WIDTHS), -1, -1)]
        self.first = nn.Linear(latent, WIDTHS[0] * self.sizes[0][0] * self.sizes[0][1])
        self.layers = nn.ModuleList(
            nn.ConvTranspose2d(before, after, 3, stride=2, padding=1)
            for before, after in zip(WIDTHS, (*WIDTHS[1:], WIDTHS[-1]), strict=True)
        )
        self.after = nn.ModuleList(
            nn.Sequential(nn.BatchNorm2d(width), nn.LeakyReLU()) for width in (*WIDTHS[1:], WIDTHS[-1])
        )
        self.last = nn.Conv2d(WIDTHS[-1], channels, 3, padding=1)
        # They follow from the normalisation, which is kept elsewhere.
        low, scale = (torch.tensor(values).view(1, -1, 1, 1) for values in (mean, [255 / s for s in std]))
        self.register_buffer("low", -low / torch.tensor(std).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("scale", scale, persistent=False)

    def forward(self, code: Tensor) -> Tensor:
        x = self.first(code).view(len(code), WIDTHS[0], *self.sizes[0])
        for grow, after, size in zip(self.layers, self.after, self.sizes[1:], strict=True):
            x = after(grow(x, output_size=list(size)))
        return self.last(x).sigmoid() * self.scale + self.low


def vae_losses(x: Tensor, decoded: Tensor, mean: Tensor, log_variance: Tensor, weight: float) -> Tensor:
    """Return ``|x - decoded|^2 / (values of an image) + weight * KL(N(mean, variance) | N(0, 1))``, ``(b,)``.

    The divergence is the sum over the dimensions of a code: its scale hangs neither on the batch nor on the image.
    """
    error = (x - decoded).square().mean(dim=(1, 2, 3))
    divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1)
    return error + weight * divergence
