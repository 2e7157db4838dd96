"""PyramidNet: residual networks that widen with every block."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class PyramidNet(nn.Module):
    """PyramidNet with bottleneck blocks, PyramidNet-272-200 by default [1]_.

    Parameters
    ----------
    in_channels : int, default=3
    depth : int, default=272
        Layers with the classifier, ``9 n + 2`` for n blocks in each of three stages.
    widening : int, default=200
        Channels that are added from the first to the last block.

    References
    ----------
    .. [1] D. Han, J. Kim, J. Kim, "Deep Pyramidal Residual Networks", CVPR 2017.

    Examples
    --------
    >>> from functools import partial
    >>> from sklearn_hierret.nn import CNNFeatureExtractor, PyramidNet
    >>> cnn = CNNFeatureExtractor(partial(PyramidNet, depth=110, widening=84))
    """

    def __init__(self, in_channels: int = 3, depth: int = 272, widening: int = 200) -> None:
        super().__init__()
        if depth < 11 or (depth - 2) % 9:
            raise ValueError(f"depth must be 9 n + 2, such as 11, 20, ... 272, got {depth}.")
        n_blocks = (depth - 2) // 9
        self.stem = nn.Sequential(nn.Conv2d(in_channels, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16))
        blocks, before = [], 16
        for number in range(3 * n_blocks):
            # Widths grow evenly and are rounded down (eq. 2).
            width = int(16 + widening * (number + 1) / (3 * n_blocks))
            stride = 2 if number and number % n_blocks == 0 else 1
            blocks.append(_Bottleneck(before, width, stride))
            before = 4 * width
        self.blocks = nn.Sequential(*blocks)
        self.last = nn.Sequential(nn.BatchNorm2d(before), nn.ReLU(inplace=True))

    def forward(self, images: Tensor) -> Tensor:
        return self.last(self.blocks(self.stem(images)))


class _Bottleneck(nn.Module):
    def __init__(self, in_channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.BatchNorm2d(in_channels),
            nn.Conv2d(in_channels, width, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, 4 * width, 1, bias=False),
            nn.BatchNorm2d(4 * width),
        )
        self.stride, self.added = stride, 4 * width - in_channels

    def forward(self, x: Tensor) -> Tensor:
        residual = self.convolutions(x)
        shortcut = F.avg_pool2d(x, 2, ceil_mode=True) if self.stride == 2 else x
        return residual + F.pad(shortcut, (0, 0, 0, 0, 0, self.added))
