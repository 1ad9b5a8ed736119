"""The 13-layer convolutional net of semi-supervised learning, with weight normalisation."""

from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from querist.nets.base import register
from querist.nets.layers import Mean, convolution

SLOPE = 0.1


@register("cnn13", cite="Laine & Aila, ICLR 2017; Tarvainen & Valpola, NeurIPS 2017; as in Simeoni et al., ICPR 2020")
def cnn13(channels: int, dropout: float = 0.5) -> nn.Module:
    """Nine convolutions of 128 to 512 channels and dropout after poolings; 128 embeddings, 3.1 million parameters.

    The mean at the end is over all positions, so 28 x 28 fits as well as 32 x 32; images have at least 12 pixels a
    side. Embeddings are not of unit length, the head is not weight-normalised, and the input gets no noise.

    Args:
        channels: of the images.
        dropout: after each of the two poolings.
    """
    return nn.Sequential(
        *_layer(channels, 128), *_layer(128, 128), *_layer(128, 128), nn.MaxPool2d(2), nn.Dropout(dropout),
        *_layer(128, 256), *_layer(256, 256), *_layer(256, 256), nn.MaxPool2d(2), nn.Dropout(dropout),
        *_layer(256, 512, padding=0), *_layer(512, 256, 1), *_layer(256, 128, 1), Mean(),
    )  # fmt: skip


def _layer(before: int, width: int, size: int = 3, padding: int | None = None) -> list[nn.Module]:
    plain = convolution(before, width, size, slope=SLOPE)
    if padding is not None:
        plain.padding = (padding, padding)
    return [weight_norm(plain), nn.BatchNorm2d(width), nn.LeakyReLU(SLOPE, inplace=True)]
