"""VGG-16 with batch normalisation, in the two forms that active learning on small images has used."""

from torch import nn

from querist.nets.base import register
from querist.nets.layers import convolution

STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


@register("vgg16_bn", cite="Simonyan & Zisserman, ICLR 2015; as in Munjal et al., CVPR 2022")
def vgg16_bn(channels: int, dropout: float = 0.5) -> nn.Module:
    """Thirteen convolutions, layers of 4,096 and 512, dropout between; 512 embeddings, 119.6 million parameters.

    The last maps are pooled to 7 x 7 whatever the image, as for ImageNet; of a 32 x 32 image all 49 are copies of one,
    and 100 million parameters read them. `vgg_small` leaves them out. ``torchvision/vgg16_bn`` has embeddings of 4,096.

    Args:
        channels: of the images.
        dropout: of the 4,096.
    """
    hidden, embedding = nn.Linear(512 * 7 * 7, 4096), nn.Linear(4096, 512)
    for layer in (hidden, embedding):
        nn.init.normal_(layer.weight, std=0.01)
        nn.init.zeros_(layer.bias)
    return nn.Sequential(
        *_features(channels), nn.AdaptiveAvgPool2d(7), nn.Flatten(),
        hidden, nn.ReLU(inplace=True), nn.Dropout(dropout), embedding, nn.ReLU(inplace=True),
    )  # fmt: skip


@register("vgg_small", cite="Simonyan & Zisserman, ICLR 2015; the head for small images in Munjal et al., CVPR 2022")
def vgg_small(channels: int, dropout: float = 0.5) -> nn.Module:
    """Thirteen convolutions and two layers of 512 with dropout before each; 512 embeddings, 15.2 million parameters.

    Args:
        channels: of the images.
        dropout: of what each of the two layers reads.
    """
    return nn.Sequential(
        *_features(channels), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Dropout(dropout), nn.Linear(512, 512), nn.ReLU(inplace=True),
        nn.Dropout(dropout), nn.Linear(512, 512), nn.ReLU(inplace=True),
    )  # fmt: skip


def _features(channels: int) -> list[nn.Module]:
    layers: list[nn.Module] = []
    before = channels
    for stage in STAGES:
        for width in stage:
            layers += [convolution(before, width, bias=True), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
            before = width
        layers.append(nn.MaxPool2d(2, ceil_mode=True))  # rounded up: 28 -> 14 -> 7 -> 4 -> 2 -> 1, and 32 as ever
    return layers
