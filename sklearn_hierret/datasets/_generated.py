"""Features that are generated from a known hierarchy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from sklearn_hierret.hierarchy import ClassHierarchy


def make_hierarchical_blobs(
    n_samples: int | Sequence[int] = 1000,
    *,
    branching: Sequence[int] = (3, 3),
    n_features: int = 16,
    level_std: Sequence[float] | None = None,
    cluster_std: float = 1.0,
    anisotropy: float = 0.0,
    random_state: int | np.random.RandomState | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.intp], ClassHierarchy]:
    """Gaussian classes whose means come from walking down a tree.

    Each node's centre is its parent's plus a Gaussian step, so that classes are near each other as
    far as they share their way.

    Parameters
    ----------
    n_samples : int or sequence of int, default=1000
        Samples in all, spread evenly, or of each class.
    branching : sequence of int, default=(3, 3)
        Children of the root, of each of these, and so on; their product is the number of classes.
    n_features : int, default=16
    level_std : sequence of float, optional
        Standard deviation of the steps at each level, from the root on; smaller ones overlap
        more. Default: ``4, 2, 1, ...``, half of the one before.
    cluster_std : float, default=1.0
        Standard deviation of the samples around their class's mean.
    anisotropy : float, default=0.0
        0 makes round classes; more makes each an ellipsoid of its own.
    random_state : int, RandomState or None, default=None

    Returns
    -------
    X : ndarray of shape (n_samples, n_features)
    y : ndarray of shape (n_samples,)
        0 ... n_classes - 1; the samples are shuffled.
    hierarchy : ClassHierarchy

    Examples
    --------
    >>> from sklearn_hierret.datasets import make_hierarchical_blobs
    >>> X, y, tree = make_hierarchical_blobs(90, branching=(2, 3), random_state=0)
    >>> X.shape, tree
    ((90, 16), <ClassHierarchy: 6 classes, 9 nodes, height 2>)
    """
    branching = tuple(branching)
    if not branching or any(not isinstance(b, (int, np.integer)) or b < 1 for b in branching):
        raise ValueError(f"branching must be positive integers, got {branching}.")
    if level_std is None:
        level_std = [4.0 / 2**level for level in range(len(branching))]
    if len(level_std) != len(branching) or any(not std >= 0 for std in level_std):
        raise ValueError(f"level_std must be {len(branching)} numbers of at least 0, got {level_std}.")
    if not cluster_std >= 0 or not anisotropy >= 0:
        raise ValueError("cluster_std and anisotropy must be at least 0.")
    n_classes = int(np.prod(branching))
    if isinstance(n_samples, (int, np.integer)):
        sizes = np.full(n_classes, n_samples // n_classes) + (np.arange(n_classes) < n_samples % n_classes)
    else:
        sizes = np.asarray(n_samples, dtype=np.intp)
    if sizes.shape != (n_classes,) or sizes.min() < 1:
        raise ValueError(f"n_samples must give each of the {n_classes} classes at least one sample.")
    random = check_random_state(random_state)
    centers = np.zeros((1, n_features))
    levels = []
    for n_children, std in zip(branching, level_std, strict=True):
        centers = np.repeat(centers, n_children, axis=0)
        centers = centers + std * random.normal(size=centers.shape)
        levels.append(np.arange(n_classes) // (n_classes // len(centers)))
    parts = []
    for center, size in zip(centers, sizes, strict=True):
        mixing = np.eye(n_features) + anisotropy * random.normal(size=(n_features, n_features))
        parts.append(center + cluster_std * random.normal(size=(size, n_features)) @ mixing)
    y = np.repeat(np.arange(n_classes), sizes)
    order = random.permutation(len(y))
    rows = [*levels[::-1], np.zeros(n_classes, dtype=np.intp)]
    return np.concatenate(parts)[order], y[order], ClassHierarchy.from_levels(rows)
