"""Binary codes that keep a hierarchy: HPDH (zhang2021)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from numbers import Real

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from sklearn_hierret.nn.losses._objective import Objective

#: sigma_k of zhang2021, section 4.2, by the number of levels.
_PUBLISHED_SIGMAS = {2: (1.0, 2.0), 4: (1.0, 1.5, 2.0, 4.0)}


class HierarchyPreservingHashing(Objective):
    """HPDH: outputs near the centres of their class and of all its ancestors [1]_.

    A linear layer gives the relaxed codes r, whose signs are the bits. With the centres mu
    of the classes of each level k the loss is ::

        sum_k cross entropy(-|r - mu_kj|^2 / (2 sigma_k^2) over j, y_k)
            + bound_weight * sum ReLU(|r| - bound) + quantization_weight * |sgn(r) - r|^2

    averaged over a batch. Centres do not follow a gradient: `update_centers` sets them, from the
    means of the classes' outputs.

    Parameters
    ----------
    n_features : int
        Of the backbone.
    levels : array-like of shape (n_levels, n_classes)
        Cluster of each class at each level, fine to coarse, as from
        ``ClassHierarchy.levels(by="depth")``. Levels of one cluster, and levels equal to the one
        below them, are left out.
    n_bits : int, default=64
    sigmas : sequence of float, optional
        One for each level that is left, ascending. Default: the paper's for 2 and 4 levels, (1, 2)
        and (1, 1.5, 2, 4); else as many in geometric steps from 1 to 2.
    bound : float, default=1.1
    bound_weight : float, default=10.0
    quantization_weight : float, default=0.1
    n_hidden : int, optional
        Units of a hidden layer, with batch normalisation, before the bits. Default: none.

    Attributes
    ----------
    n_clusters : tuple of int
        Clusters of each level that is left, fine to coarse.
    centers : Tensor of shape (sum(n_clusters), n_bits)
        Those of the classes first. Before the first update those of the classes are random codes
        that agree the more, the more ancestors two classes share.

    References
    ----------
    .. [1] M. Zhang, X. Zhe, L. Ou-Yang, S. Chen, H. Yan, "Semantic Hierarchy Preserving Deep Hashing
       for Large-Scale Image Retrieval", 2021, eqs. 2-5. Their eq. 2 prints a distance; it is squared
       here, as that of two codes is 4 times their Hamming distance.

    Examples
    --------
    >>> import torch
    >>> from sklearn_hierret import ClassHierarchy
    >>> from sklearn_hierret.nn import HierarchyPreservingHashing
    >>> tree = ClassHierarchy.from_newick("((cat,dog)mammal,trout)animal;")
    >>> objective = HierarchyPreservingHashing(16, tree.levels(by="depth"), n_bits=8)
    >>> objective.n_clusters
    (3, 2)
    >>> relaxed = objective.features(torch.rand(5, 16))
    >>> objective.probabilities(objective(relaxed)).shape
    torch.Size([5, 3])
    """

    centers: Tensor
    clusters: Tensor

    def __init__(
        self,
        n_features: int,
        levels: ArrayLike,
        n_bits: int = 64,
        sigmas: Sequence[float] | None = None,
        bound: float = 1.1,
        bound_weight: float = 10.0,
        quantization_weight: float = 0.1,
        n_hidden: int | None = None,
    ) -> None:
        super().__init__()
        kept = distinct_levels(np.asarray(levels))
        self.n_clusters = tuple(int(row.max()) + 1 for row in kept)
        self.sigmas = check_sigmas(sigmas, len(kept))
        self.n_bits = n_bits
        weights = {"bound": bound, "bound_weight": bound_weight, "quantization_weight": quantization_weight}
        for name, value in weights.items():
            if not isinstance(value, Real) or not 0 <= value < np.inf:
                raise ValueError(f"{name} must be a number of at least 0, got {value!r}.")
        self.bound, self.bound_weight, self.quantization_weight = bound, bound_weight, quantization_weight
        self.projection: nn.Module = nn.Linear(n_hidden or n_features, n_bits)
        if n_hidden:
            hidden = nn.Linear(n_features, n_hidden), nn.BatchNorm1d(n_hidden), nn.ReLU()
            self.projection = nn.Sequential(*hidden, self.projection)
        # It follows from the levels, so it is not saved with the weights.
        self.register_buffer("clusters", torch.from_numpy(kept), persistent=False)
        self._variances = np.repeat(np.square(self.sigmas), self.n_clusters).tolist()
        self._mean_matrix = mean_matrix(kept)
        self.register_buffer("centers", torch.zeros(len(self._mean_matrix), n_bits))
        self.update_centers(_random_codes(kept, n_bits))

    def features(self, vectors: Tensor) -> Tensor:
        return self.projection(vectors)

    def forward(self, features: Tensor) -> Tensor:
        return features

    def loss(self, outputs: Tensor, codes: Tensor) -> Tensor:
        logits = self._logits(outputs)
        levels = logits.split(self.n_clusters, dim=1)
        total = sum(F.cross_entropy(one, own[codes]) for one, own in zip(levels, self.clusters, strict=True))
        beyond = F.relu(outputs.abs() - self.bound).sum(dim=1).mean()
        to_code = (outputs.abs() - 1.0).pow(2).sum(dim=1).mean()
        return total + self.bound_weight * beyond + self.quantization_weight * to_code

    def probabilities(self, outputs: Tensor) -> Tensor:
        return self._logits(outputs)[:, : self.n_clusters[0]].softmax(dim=1)

    def update_centers(self, class_means: Tensor) -> None:
        """Set the centres of the classes, and from them those above (zhang2021, eq. 4).

        Parameters
        ----------
        class_means : Tensor of shape (n_classes, n_bits)
            Mean output of each class (eq. 3).
        """
        # In double precision, which not every device has.
        centers = self._mean_matrix @ class_means.double().cpu().numpy()
        self.centers = torch.from_numpy(centers).to(self.centers)

    def _logits(self, outputs: Tensor) -> Tensor:
        """-|r - mu|^2 / (2 sigma^2), less what is the same for all centres."""
        products = outputs @ self.centers.T - self.centers.pow(2).sum(dim=1) / 2
        return products / outputs.new_tensor(self._variances)


def distinct_levels(levels: NDArray) -> NDArray[np.int64]:
    """Levels that separate something, each once, clusters numbered from 0."""
    if levels.ndim != 2 or levels.shape[1] < 2:
        raise ValueError(f"levels must be of shape (n_levels, n_classes), got {levels.shape}.")
    rows: list[NDArray] = [np.arange(levels.shape[1])]
    for row in levels:
        numbered = np.unique(row, return_inverse=True)[1]
        below = rows[-1]
        n_pairs = len(np.unique(np.stack([below, numbered]), axis=1).T)
        if n_pairs > below.max() + 1:
            raise ValueError("levels must go from fine to coarse: a cluster is in two of the next level.")
        if 0 < numbered.max() < below.max():
            rows.append(numbered)
    return np.stack(rows).astype(np.int64)


def mean_matrix(levels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Weights of the classes in the centre of each cluster of each level (zhang2021, eq. 4).

    A centre is the mean of those of the clusters that it is made of one level below.
    """
    blocks = [np.eye(levels.shape[1])]
    for below, row in pairwise(levels):
        parent = np.empty(len(blocks[-1]), dtype=np.int64)
        parent[below] = row
        of_children = np.equal.outer(np.arange(row.max() + 1), parent).astype(np.float64)
        blocks.append(of_children / of_children.sum(axis=1, keepdims=True) @ blocks[-1])
    return np.concatenate(blocks)


def check_sigmas(sigmas: Sequence[float] | None, n_levels: int) -> tuple[float, ...]:
    """One for each level, not decreasing upwards."""
    if sigmas is None:
        default = _PUBLISHED_SIGMAS.get(n_levels, np.geomspace(1.0, 2.0, n_levels))
        return tuple(float(sigma) for sigma in default)
    given = tuple(np.atleast_1d(np.asarray(sigmas, dtype=float)).tolist())
    if len(given) != n_levels:
        raise ValueError(f"{len(given)} sigmas, but {n_levels} levels separate classes.")
    if not np.isfinite(given).all() or given[0] <= 0 or any(a > b for a, b in pairwise(given)):
        raise ValueError(f"sigmas must be positive numbers that do not decrease upwards, got {given}.")
    return given


def _random_codes(levels: NDArray[np.int64], n_bits: int) -> Tensor:
    """Codes of the classes: signs of sums of random vectors, one for each cluster they are in.

    They are distinct, as far as there are enough codes.
    """
    total = torch.zeros(levels.shape[1], n_bits)
    for row in levels:
        total += torch.randn(int(row.max()) + 1, n_bits)[torch.from_numpy(row)]
    codes = torch.where(total >= 0, 1.0, -1.0)
    taken: set[tuple] = set()
    for code in codes:
        while tuple(code.tolist()) in taken and len(taken) < 2.0**n_bits:
            code[torch.randint(n_bits, ())] *= -1
        taken.add(tuple(code.tolist()))
    return codes
