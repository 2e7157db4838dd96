"""Pairs of samples as far apart as their classes: adaptive margins, HUSE, SHREWD (barz2020, section 4)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.nn import functional as F

from sklearn_hierret.nn.losses._cross_entropy import UnitCrossEntropy
from sklearn_hierret.nn.losses._lengths import lengths, square_distances
from sklearn_hierret.nn.losses._objective import Objective


class AdaptiveMargin(nn.Module):
    """Contrastive loss whose margin grows with the dissimilarity of two classes [1]_.

    The mean of ``|x - z|^2`` over pairs of a class, and of ``max(0, margin d(y, y') - |x - z|)^2`` over other
    pairs, of unit features. A loss for `MetricLearning`.

    Parameters
    ----------
    distances : array-like of shape (n_classes, n_classes)
        Distances between the classes, such as ``ClassHierarchy.distance_matrix()``.
    margin : float, default=1.0
        Margin of two classes at distance 1.

    References
    ----------
    .. [1] S. Yang, W. Yu, Y. Zheng, H. Yao, T. Mei, "Adaptive Semantic-Visual Tree for Hierarchical
       Embeddings", ACM Multimedia 2019: the margin; their tree of several levels is not here.

    Examples
    --------
    >>> from sklearn_hierret import ClassHierarchy
    >>> from sklearn_hierret.nn import AdaptiveMargin, CNNFeatureExtractor
    >>> tree = ClassHierarchy.from_newick("((cat,dog)mammal,trout)animal;")
    >>> cnn = CNNFeatureExtractor(loss="adaptive_margin", hierarchy=tree, samples_per_class=4)
    >>> AdaptiveMargin(tree.distance_matrix()).distances
    tensor([[0.0000, 0.5000, 1.0000],
            [0.5000, 0.0000, 1.0000],
            [1.0000, 1.0000, 0.0000]])
    """

    distances: Tensor

    def __init__(self, distances: ArrayLike, margin: float = 1.0) -> None:
        super().__init__()
        self.register_buffer("distances", checked_distances(distances))
        self.margin = margin

    def forward(self, features: Tensor, codes: Tensor) -> Tensor:
        i, j = torch.triu_indices(len(codes), len(codes), 1, device=codes.device)
        apart = lengths(features[i] - features[j])
        margins = self.margin * self.distances[codes[i], codes[j]]
        same = codes[i] == codes[j]
        gaps = F.relu(margins - apart).pow(2)
        return _mean(apart[same].pow(2), features) + _mean(gaps[~same], features)


class HUSE(UnitCrossEntropy):
    """Cross entropy, and a term that fits cosine distances of samples to distances of their classes [1]_.

    The second term is the mean of ``s (d(x, x') - A)^2`` over pairs. Here d is the cosine distance of two
    features and A the distance of their classes; s is 0 if both are at least `margin`, and 1 otherwise. So
    pairs of distant classes are ignored once their features are far apart. Features have length 1. The term
    of [1]_ for a second modality is left out.

    Parameters
    ----------
    n_features, n_classes : int
    distances : array-like of shape (n_classes, n_classes)
        Of classes: of a hierarchy, or cosine distances of the vectors of their names.
    weight : float, default=1.0
        Weight of the second term.
    margin : float, default=0.7
        Cosine distance beyond which pairs of distant classes are ignored.
    n_dimensions : int, optional
        Output size of a linear layer before the features; default: no such layer.

    References
    ----------
    .. [1] P. Narayana et al., "HUSE: Hierarchical Universal Semantic Embeddings", 2019.

    Examples
    --------
    >>> from sklearn_hierret import ClassHierarchy
    >>> from sklearn_hierret.nn import CNNFeatureExtractor, HUSE
    >>> tree = ClassHierarchy.from_newick("((cat,dog)mammal,trout)animal;")
    >>> cnn = CNNFeatureExtractor(loss="huse", hierarchy=tree)
    >>> HUSE(16, 3, tree.distance_matrix()).margin
    0.7
    """

    distances: Tensor

    def __init__(
        self,
        n_features: int,
        n_classes: int,
        distances: ArrayLike,
        weight: float = 1.0,
        margin: float = 0.7,
        n_dimensions: int | None = None,
    ) -> None:
        super().__init__(n_features, n_classes, n_dimensions)
        self.register_buffer("distances", checked_distances(distances, n_classes))
        self.weight, self.margin = weight, margin

    def loss(self, outputs: tuple[Tensor, Tensor], codes: Tensor) -> Tensor:
        logits, features = outputs
        results = 1.0 - features @ features.T
        wanted = self.distances[codes[:, None], codes[None, :]]
        counts = (wanted < self.margin) | (results < self.margin)
        counts = counts & ~torch.eye(len(codes), dtype=torch.bool, device=codes.device)
        graph = torch.where(counts, results - wanted, 0.0).pow(2).sum() / max(
            1, len(codes) * (len(codes) - 1)
        )
        return F.cross_entropy(logits, codes) + self.weight * graph


class SHREWD(Objective):
    """Relaxed binary codes with the relative distances of their classes, pushed to 0 and 1 [1]_.

    Features z are a linear layer's sigmoids. The loss is ::

        mean over pairs of w |  |z - z'|_1 / mean of these  -  d(y, y') / mean of these  |
            + binary_weight / B * sum_i log( min_j |z_i - b_j| / min_{j != i} |z_i - z_j| )

    with weights w = exp(-decay d / mean) that fall with the distance of the classes. The second term
    estimates, by nearest neighbours, the divergence from the features to random vectors b, drawn from
    Beta(0.1, 0.1) in each bit: features become binary and use all codes. B is the number of samples in the
    batch. The objective also adds the cross entropy of a linear classifier; its gradient does not reach the
    features.

    Parameters
    ----------
    n_features, n_classes : int
    distances : array-like of shape (n_classes, n_classes)
        Of classes.
    n_bits : int, default=64
        Number of bits of a code.
    decay : float, default=1.0
        How fast the weight of a pair falls with the distance of its classes.
    binary_weight : float, default=0.1
        Weight of the term that pushes features to 0 and 1.

    References
    ----------
    .. [1] H. Arponen, T. Bishop, "SHREWD: Semantic Hierarchy-based Relational Embeddings for
       Weakly-supervised Deep Hashing", 2019.

    Examples
    --------
    >>> import torch
    >>> from sklearn_hierret import ClassHierarchy
    >>> from sklearn_hierret.nn import SHREWD
    >>> tree = ClassHierarchy.from_newick("((cat,dog)mammal,trout)animal;")
    >>> objective = SHREWD(16, 3, tree.distance_matrix(), n_bits=8)
    >>> objective.features(torch.rand(5, 16)).shape
    torch.Size([5, 8])
    """

    distances: Tensor

    def __init__(
        self,
        n_features: int,
        n_classes: int,
        distances: ArrayLike,
        n_bits: int = 64,
        decay: float = 1.0,
        binary_weight: float = 0.1,
    ) -> None:
        super().__init__()
        self.projection = nn.Linear(n_features, n_bits)
        self.classifier = nn.Linear(n_bits, n_classes)
        self.register_buffer("distances", checked_distances(distances, n_classes))
        self.decay, self.binary_weight = decay, binary_weight

    def features(self, vectors: Tensor) -> Tensor:
        return torch.sigmoid(self.projection(vectors))

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        return self.classifier(2.0 * features.detach() - 1.0), features

    def loss(self, outputs: tuple[Tensor, Tensor], codes: Tensor) -> Tensor:
        logits, features = outputs
        relations = self.relations(features, codes)
        binary = self.divergence(features, self.binary_vectors(features))
        return relations + self.binary_weight * binary + F.cross_entropy(logits, codes)

    def relations(self, features: Tensor, codes: Tensor) -> Tensor:
        """Compute the mean difference of relative distances, of features and of classes.

        Parameters
        ----------
        features : tensor of shape (n, n_features)
            A batch.
        codes : tensor of shape (n,)
            Class of each sample.

        Returns
        -------
        difference : tensor
            A scalar.
        """
        i, j = torch.triu_indices(len(codes), len(codes), 1, device=codes.device)
        if not len(i):
            return features.sum() * 0.0
        results = (features[i] - features[j]).abs().sum(dim=1)
        wanted = self.distances[codes[i], codes[j]]
        wanted = wanted / wanted.mean().clamp(min=1e-12)
        weights = torch.exp(-self.decay * wanted)
        return (weights * (results / results.mean().clamp(min=1e-12) - wanted).abs()).mean()

    def divergence(self, features: Tensor, target: Tensor) -> Tensor:
        """Estimate the Kullback-Leibler divergence by nearest neighbours, for each dimension.

        Parameters
        ----------
        features : tensor of shape (n, n_features)
            A batch.
        target : tensor of shape (n, n_features)
            A sample of the other distribution.

        Returns
        -------
        divergence : tensor
            A scalar.
        """
        if len(features) < 2:
            return features.sum() * 0.0
        apart = square_distances(features, features)
        apart = apart + torch.diag(
            torch.full((len(features),), torch.inf, dtype=apart.dtype, device=apart.device)
        )
        nearest = square_distances(features, target).amin(dim=1)
        return (nearest.log() - apart.amin(dim=1).log()).mean() / 2

    @staticmethod
    def binary_vectors(features: Tensor) -> Tensor:
        """Draw vectors of which nearly all numbers are near 0 or 1, as many as features.

        Parameters
        ----------
        features : tensor of shape (n, n_features)
            A batch.

        Returns
        -------
        vectors : tensor
            Of the same shape.
        """
        tenth = torch.full(features.shape, 0.1, device=features.device)
        with torch.no_grad():
            return torch.distributions.Beta(tenth, tenth).sample().to(features.dtype)

    def probabilities(self, outputs: tuple[Tensor, Tensor]) -> Tensor:
        return outputs[0].softmax(dim=1)


def checked_distances(distances: ArrayLike, n_classes: int | None = None) -> Tensor:
    """Distances of classes as a tensor.

    Raises
    ------
    ValueError
        Unless they are a symmetric matrix of finite numbers of at least 0, with zeros in its diagonal, and of
        so many classes.
    """
    matrix = np.asarray(distances, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"distances must be a square matrix, got shape {matrix.shape}.")
    if not np.isfinite(matrix).all() or (matrix < 0).any() or np.diag(matrix).any():
        raise ValueError("distances must be finite, at least 0, and 0 from a class to itself.")
    if not np.allclose(matrix, matrix.T):
        raise ValueError("distances must be symmetric.")
    if n_classes is not None and len(matrix) != n_classes:
        raise ValueError(f"distances are of {len(matrix)} classes, but there are {n_classes}.")
    return torch.from_numpy(matrix).to(torch.get_default_dtype())


def _mean(values: Tensor, features: Tensor) -> Tensor:
    """Return the mean, or a zero with a gradient where there is no value."""
    return values.mean() if len(values) else features.sum() * 0.0
