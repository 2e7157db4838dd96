"""Residual networks for images of 32 pixels."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ResNetCifar(nn.Module):
    """ResNet of three stages, ResNet-110 by default [1]_.

    Parameters
    ----------
    in_channels : int, default=3
    n_blocks : int, default=18
        Blocks of two convolutions in each stage; 18 make ``6 * 18 + 2 = 110`` layers.
    channels : (int, int, int), default=(16, 32, 64)
        Of each stage; (32, 64, 128) is the wide variant of barz2019, "resnet110w".

    References
    ----------
    .. [1] K. He, X. Zhang, S. Ren, J. Sun, "Deep Residual Learning for Image Recognition",
       CVPR 2016, section 4.2.

    Examples
    --------
    >>> from functools import partial
    >>> from sklearn_hierret.nn import CNNFeatureExtractor, ResNetCifar
    >>> cnn = CNNFeatureExtractor(partial(ResNetCifar, n_blocks=3))  # ResNet-20
    """

    def __init__(
        self, in_channels: int = 3, n_blocks: int = 18, channels: tuple[int, int, int] = (16, 32, 64)
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, channels[0], 3, padding=1, bias=False),
            nn.BatchNorm2d(channels[0]),
            nn.ReLU(inplace=True),
        )
        blocks, before = [], channels[0]
        for stage, width in enumerate(channels):
            for number in range(n_blocks):
                blocks.append(_Block(before, width, 2 if stage and not number else 1))
                before = width
        self.blocks = nn.Sequential(*blocks)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        return self.blocks(self.stem(images))


class _Block(nn.Module):
    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv2d(in_channels, channels, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )
        self.stride, self.added = stride, channels - in_channels

    def forward(self, x: Tensor) -> Tensor:
        # The shortcut has no parameters: skipped pixels, zeros for new channels (option A).
        shortcut = x[:, :, :: self.stride, :: self.stride]
        if self.added:
            shortcut = F.pad(shortcut, (0, 0, 0, 0, 0, self.added))
        return torch.relu(self.convolutions(x) + shortcut)
