"""From a map of features to one vector: global pooling (barz2020, section 2.2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from sklearn_hierret.images import regions


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


class SPoCPooling(nn.Module):
    """Sum with a prior for the middle, a Gaussian of a third of the distance to the border [1]_.

    References
    ----------
    .. [1] A. Babenko, V. Lempitsky, "Aggregating Deep Convolutional Features for Image
       Retrieval", ICCV 2015, section 3.
    """

    def forward(self, maps: Tensor) -> Tensor:
        height, width = maps.shape[2:]
        y = torch.arange(height, device=maps.device, dtype=maps.dtype) - (height - 1) / 2
        x = torch.arange(width, device=maps.device, dtype=maps.dtype) - (width - 1) / 2
        sigma = min(height, width) / 2 / 3
        prior = torch.exp(-(y[:, None] ** 2 + x[None, :] ** 2) / (2 * sigma**2))
        return (maps * prior).sum(dim=(2, 3))


class PartialMeanPooling(nn.Module):
    """Mean of the largest responses of each channel, between maximum and mean [1]_.

    Parameters
    ----------
    share : float, default=0.1
        Of the places that count, at least one.

    References
    ----------
    .. [1] "Partial mean pooling" of barz2020, section 2.2, [54] there.
    """

    def __init__(self, share: float = 0.1) -> None:
        super().__init__()
        if not 0 < share <= 1:
            raise ValueError(f"share must be in (0, 1], got {share}.")
        self.share = share

    def forward(self, maps: Tensor) -> Tensor:
        places = maps.flatten(2)
        k = max(1, round(self.share * places.shape[2]))
        return places.topk(k, dim=2).values.mean(dim=2)


class RMACPooling(nn.Module):
    """R-MAC: maxima of overlapping square regions of several sizes, normalised and summed [1]_.

    At scale l the regions' side is ``2 min(height, width) / (l + 1)``, spread evenly, about 40 % of
    two neighbours in common. The whitening of the paper is left to what comes behind.

    Parameters
    ----------
    n_scales : int, default=3

    References
    ----------
    .. [1] G. Tolias, R. Sicre, H. Jegou, "Particular Object Retrieval with Integral
       Max-Pooling of CNN Activations", ICLR 2016, section 3.2.
    """

    def __init__(self, n_scales: int = 3) -> None:
        super().__init__()
        if n_scales < 1:
            raise ValueError(f"n_scales must be at least 1, got {n_scales}.")
        self.n_scales = n_scales

    def forward(self, maps: Tensor) -> Tensor:
        total = 0.0
        for top, left, side in regions(maps.shape[2], maps.shape[3], self.n_scales):
            region = maps[:, :, top : top + side, left : left + side].amax(dim=(2, 3))
            total = total + nn.functional.normalize(region, dim=1)
        return nn.functional.normalize(total, dim=1)


class AttentionPooling(nn.Module):
    """Sum of the features over positions, with learned weights [1]_.

    Two 1 x 1 convolutions with a ReLU between them score each position. The weight of a position is the
    softplus of its score.

    Parameters
    ----------
    n_channels : int
        Number of channels of the maps.
    n_hidden : int, default=512
        Number of channels between the two convolutions.

    References
    ----------
    .. [1] H. Noh, A. Araujo, J. Sim, T. Weyand, B. Han, "Large-Scale Image Retrieval with Attentive Deep
       Local Features", ICCV 2017, section 4.2 (DELF).

    Examples
    --------
    >>> import torch
    >>> from sklearn_hierret.nn import AttentionPooling
    >>> AttentionPooling(16)(torch.rand(2, 16, 4, 3)).shape
    torch.Size([2, 16])
    """

    def __init__(self, n_channels: int, n_hidden: int = 512) -> None:
        super().__init__()
        self.score = nn.Sequential(
            nn.Conv2d(n_channels, n_hidden, 1), nn.ReLU(), nn.Conv2d(n_hidden, 1, 1), nn.Softplus()
        )

    def forward(self, maps: Tensor) -> Tensor:
        return (maps * self.score(maps)).sum(dim=(2, 3))


POOLINGS: dict[str, Callable[[], nn.Module]] = {
    "average": AveragePooling,
    "max": MaxPooling,
    "gem": GeMPooling,
    "spoc": SPoCPooling,
    "partial_mean": PartialMeanPooling,
    "rmac": RMACPooling,
}


def make_pooling(pooling: Any, n_channels: int | None = None) -> nn.Module:
    """Make a pooling by name, or a module from (n, channels, height, width) to (n, channels).

    Parameters
    ----------
    pooling : str or nn.Module
    n_channels : int, optional
        Of the maps; where it is given, pooling may be "attention", which is learned.
    """
    if isinstance(pooling, nn.Module):
        return pooling
    if pooling == "attention" and n_channels is not None:
        return AttentionPooling(n_channels)
    if pooling not in POOLINGS:
        names = (*POOLINGS, *(() if n_channels is None else ("attention",)))
        raise ValueError(f"pooling must be one of {names} or a module, got {pooling!r}.")
    return POOLINGS[pooling]()
