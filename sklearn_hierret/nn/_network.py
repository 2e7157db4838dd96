"""The module that is trained: from a batch of images as they come to the outputs of a head."""

from __future__ import annotations

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sklearn_hierret.nn.losses import Objective


class ImageNetwork(nn.Module):
    """Normalisation, augmentation, backbone, pooling, head.

    Images come as (n, height, width, channels), uint8 or float, so that eight bits travel to the
    device, not thirty-two.

    Parameters
    ----------
    backbone, pooling : nn.Module
    objective : Objective
    mean, deviation : ndarray of shape (n_channels,)
        Of the training images, from 0 to 1.
    augmentation : nn.Module, optional
        Used while training.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        backbone: nn.Module,
        pooling: nn.Module,
        objective: Objective,
        mean: NDArray,
        deviation: NDArray,
        augmentation: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.backbone = Vectors(backbone, pooling)
        self.objective = objective
        self.augmentation = augmentation
        self.register_buffer("mean", torch.as_tensor(mean)[:, None, None])
        self.register_buffer("deviation", torch.as_tensor(deviation)[:, None, None])

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, ...]:
        return self.objective(self.features(images))

    def features(self, images: Tensor) -> Tensor:
        """Features for retrieval, (n, n_features)."""
        return self.objective.features(self.backbone(self.prepared(images)))

    def prepared(self, images: Tensor) -> Tensor:
        """Images as the backbone gets them, (n, channels, height, width)."""
        scale = 255.0 if images.dtype == torch.uint8 else 1.0
        images = images.permute(0, 3, 1, 2).float() / scale
        images = (images - self.mean) / self.deviation
        images = images.contiguous()
        if self.training and self.augmentation is not None:
            images = self.augmentation(images)
        return images


class Vectors(nn.Module):
    """A backbone whose maps are pooled and, where it has a neck, go through that."""

    def __init__(self, backbone: nn.Module, pooling: nn.Module) -> None:
        super().__init__()
        self.network, self.pooling = backbone, pooling

    def forward(self, images: Tensor) -> Tensor:
        maps = self.network(images)
        vectors = self.pooling(maps) if maps.ndim == 4 else maps
        neck = getattr(self.network, "neck", None)
        return vectors if neck is None else neck(vectors)
