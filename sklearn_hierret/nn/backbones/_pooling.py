"""From a map of features to one vector: global pooling (barz2020, section 2.2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


class AveragePooling(nn.Module):
    """Mean over all places."""

    def forward(self, maps: Tensor) -> Tensor:
        return maps.mean(dim=(2, 3))


class MaxPooling(nn.Module):
    """MAC, the maximum over all places [1]_.

    References
    ----------
    .. [1] G. Tolias, R. Sicre, H. Jegou, "Particular Object Retrieval with Integral
       Max-Pooling of CNN Activations", ICLR 2016.
    """

    def forward(self, maps: Tensor) -> Tensor:
        return maps.amax(dim=(2, 3))


class GeMPooling(nn.Module):
    """Generalised mean, ``mean(x ** p) ** (1 / p)`` with a learned p [1]_.

    Parameters
    ----------
    p : float, default=3.0
        Where learning starts; 1 is the mean, infinity the maximum. It stays above 1.
    eps : float, default=1e-6
        Features are at least this.

    References
    ----------
    .. [1] F. Radenovic, G. Tolias, O. Chum, "Fine-Tuning CNN Image Retrieval with No Human
       Annotation", TPAMI 2019.
    """

    def __init__(self, p: float = 3.0, eps: float = 1e-6) -> None:
        super().__init__()
        if not p >= 1:
            raise ValueError(f"p must be at least 1, got {p}.")
        self.p = nn.Parameter(torch.tensor(float(p)))
        self.eps = eps

    def forward(self, maps: Tensor) -> Tensor:
        p = self.p.clamp(min=1.0)
        # Powers of small features underflow: scaled by the largest they do not.
        maps = maps.clamp(min=self.eps)
        top = maps.amax(dim=(2, 3), keepdim=True).detach()
        means = (maps / top).pow(p).mean(dim=(2, 3))
        return means.pow(1.0 / p) * top[:, :, 0, 0]


POOLINGS: dict[str, Callable[[], nn.Module]] = {
    "average": AveragePooling,
    "max": MaxPooling,
    "gem": GeMPooling,
}


def make_pooling(pooling: Any) -> nn.Module:
    """A pooling by name, or a module from (n, channels, height, width) to (n, channels)."""
    if isinstance(pooling, nn.Module):
        return pooling
    if pooling not in POOLINGS:
        raise ValueError(f"pooling must be one of {tuple(POOLINGS)} or a module, got {pooling!r}.")
    return POOLINGS[pooling]()
