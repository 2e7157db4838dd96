"""Classes and single images at once: MultiGrain."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sklearn_hierret.nn.losses._cross_entropy import UnitCrossEntropy
from sklearn_hierret.nn.losses._lengths import lengths, square_distances


class MultiGrain(UnitCrossEntropy):
    """Cross entropy and a margin loss, jointly [1]_.

    ``weight * cross entropy + (1 - weight) * mean of max(0, margin + s (|x - z| - beta))`` over pairs,
    where s is 1 for two samples of a class and -1 for others, features have length 1, and beta is learned.
    The loss uses every pair of samples of one class and, for each, one pair of different classes. These are
    drawn with weights that make all distances about equally frequent [2]_. In [1]_, the pairs are differently
    augmented copies of an image; here, they are samples of a class.

    Parameters
    ----------
    n_features, n_classes : int
    weight : float, default=0.5
        Weight of the cross entropy, from 0 to 1; the margin loss has the rest.
    margin : float, default=0.2
        How far pairs should be on their side of `beta`.
    beta : float, default=1.2
        Initial value of the learned distance that separates pairs of one class from others.

    References
    ----------
    .. [1] M. Berman, H. Jegou, A. Vedaldi, I. Kokkinos, M. Douze, "MultiGrain: A Unified Image Embedding for
       Classes and Instances", 2019, eq. 4.
    .. [2] C.-Y. Wu, R. Manmatha, A. Smola, P. Krahenbuhl, "Sampling Matters in Deep Embedding Learning",
       ICCV 2017, eqs. 3 and 5.

    Examples
    --------
    >>> from sklearn_hierret.nn import CNNFeatureExtractor, MultiGrain
    >>> cnn = CNNFeatureExtractor(loss="multigrain", samples_per_class=4)
    >>> MultiGrain(16, 3).beta
    Parameter containing:
    tensor(1.2000, requires_grad=True)
    """

    def __init__(
        self, n_features: int, n_classes: int, weight: float = 0.5, margin: float = 0.2, beta: float = 1.2
    ) -> None:
        super().__init__(n_features, n_classes)
        if not 0 <= weight <= 1:
            raise ValueError(f"weight must be in [0, 1], got {weight}.")
        self.beta = nn.Parameter(torch.tensor(float(beta)))
        self.weight, self.margin = weight, margin

    def loss(self, outputs: tuple[Tensor, Tensor], codes: Tensor) -> Tensor:
        logits, features = outputs
        i, j = torch.triu_indices(len(codes), len(codes), 1, device=codes.device)
        same = codes[i] == codes[j]
        i, j = i[same], j[same]
        return self.weight * F.cross_entropy(logits, codes) + (1 - self.weight) * self.margin_loss(
            features, i, j, *self.drawn_negatives(features, codes, i)
        )

    def margin_loss(self, features: Tensor, i: Tensor, j: Tensor, a: Tensor, b: Tensor) -> Tensor:
        """Compute the loss of the pairs (i, j) of a class, and of other pairs (a, b).

        Parameters
        ----------
        features : tensor of shape (n, n_features)
            A batch.
        i, j, a, b : tensors of int
            Positions in the batch.

        Returns
        -------
        loss : tensor
            A scalar.
        """
        if not len(i) + len(a):
            return features.sum() * 0.0
        near = F.relu(self.margin + lengths(features[i] - features[j]) - self.beta)
        far = F.relu(self.margin - lengths(features[a] - features[b]) + self.beta)
        return torch.cat([near, far]).mean()

    @staticmethod
    def drawn_negatives(features: Tensor, codes: Tensor, anchors: Tensor) -> tuple[Tensor, Tensor]:
        """Draw a sample of another class for each anchor, by the inverse density of their distance.

        Parameters
        ----------
        features : tensor of shape (n, n_features)
            A batch.
        codes : tensor of shape (n,)
            Class of each sample.
        anchors : tensor of shape (n_anchors,)
            Positions in the batch.

        Returns
        -------
        negatives : tensor of shape (n_anchors,)
            Positions in the batch.
        """
        with torch.no_grad():
            weights = distance_weights(features, codes)[anchors]
            there = weights.sum(dim=1) > 0
            return anchors[there], torch.multinomial(weights[there], 1)[:, 0]


def distance_weights(features: Tensor, codes: Tensor, cutoff: float = 0.5, most: float = 1.4) -> Tensor:
    """Inverse of the density of distances on a sphere, for samples of other classes; (n, n).

    Distances count as `cutoff` at least; samples farther than `most` have no loss and get none.
    """
    n = features.shape[1]
    distances = square_distances(features, features).sqrt().clamp(min=cutoff)
    logs = (2.0 - n) * distances.log() - (n - 3.0) / 2.0 * (1.0 - distances.pow(2) / 4.0).clamp(
        min=1e-8
    ).log()
    valid = (codes[:, None] != codes[None, :]) & (distances < most)
    logs = torch.where(valid, logs, -torch.inf)
    top = logs.amax(dim=1, keepdim=True)
    return torch.where(valid, (logs - torch.where(top.isfinite(), top, 0.0)).exp(), 0.0)
