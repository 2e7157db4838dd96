"""Sequential networks: Plain-11, and a tiny one for small images and tests."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn


def convolutions(in_channels: int, stages: Sequence[Sequence[int]]) -> nn.Sequential:
    """3x3 convolutions with batch norm and ReLU; average pooling between the stages."""
    layers: list[nn.Module] = []
    for number, stage in enumerate(stages):
        if number:
            layers.append(nn.AvgPool2d(2, ceil_mode=True))
        for channels in stage:
            layers += [
                nn.Conv2d(in_channels, channels, 3, padding=1, bias=False),
                nn.BatchNorm2d(channels),
                nn.ReLU(inplace=True),
            ]
            in_channels = channels
    return nn.Sequential(*layers)


class Plain11(nn.Module):
    """Plain-11: eleven trainable layers with the classifier, for images of 32 to 64 pixels [1]_.

    Parameters
    ----------
    in_channels : int, default=3
    width : float, default=1.0
        Multiplies the numbers of channels, 64 ... 512. A quarter needs a sixteenth of the time.

    References
    ----------
    .. [1] B. Barz, J. Denzler, "Deep Learning is not a Matter of Depth but of Good Training",
       ICPRAI 2018; used in their WACV 2019 paper, section 5.1.1.

    Examples
    --------
    >>> from functools import partial
    >>> from sklearn_hierret.nn import CNNFeatureExtractor, Plain11
    >>> cnn = CNNFeatureExtractor(partial(Plain11, width=0.25))
    """

    def __init__(self, in_channels: int = 3, width: float = 1.0) -> None:
        super().__init__()
        c = [max(1, round(width * channels)) for channels in (64, 128, 256, 512)]
        self.convolutions = convolutions(in_channels, [[c[0]] * 2, [c[1]] * 3, [c[2]] * 3, [c[3]]])
        #: Comes after global pooling.
        self.neck = nn.Sequential(nn.Linear(c[3], c[3], bias=False), nn.BatchNorm1d(c[3]), nn.ReLU())

    def forward(self, images: Tensor) -> Tensor:
        return self.convolutions(images)


class TinyNet(nn.Module):
    """Three convolutions, for small images, tests and examples.

    Parameters
    ----------
    in_channels : int, default=3
    channels : sequence of int, default=(16, 32, 64)

    Examples
    --------
    >>> from functools import partial
    >>> from sklearn_hierret.nn import CNNFeatureExtractor, TinyNet
    >>> cnn = CNNFeatureExtractor(partial(TinyNet, channels=(8, 16)))
    """

    def __init__(self, in_channels: int = 3, channels: Sequence[int] = (16, 32, 64)) -> None:
        super().__init__()
        self.convolutions = convolutions(in_channels, [[c] for c in channels])

    def forward(self, images: Tensor) -> Tensor:
        return self.convolutions(images)
