"""From Gaussian classes to levels of clusters: merging, level by level, or one dendrogram."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import linkage as scipy_linkage
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import squareform

from sklearn_hierret.gaussian import ClassStatistics, MahalanobisClassifier, linked_components
from sklearn_hierret.hierarchy import levels_from_linkage

#: `threshold_decay` lowers the threshold to this and no further.
LOWEST_THRESHOLD = 0.01


def merge_overlapping(
    model: MahalanobisClassifier,
    threshold: float,
    threshold_decay: float = 0.0,
    overlap: NDArray[np.float64] | None = None,
    report: Callable[[int, int], None] | None = None,
) -> NDArray[np.intp]:
    """Merge classes of overlapping Gaussians level by level (venkataramanan2023, 3.1).

    Returns the cluster of each class at each level, (n_levels, n_classes). `overlap` holds the level-0
    overlaps if they are known already; `report` is told each level and its number of clusters.
    """
    statistics: ClassStatistics = model.statistics_
    clusters = np.arange(statistics.n_classes, dtype=np.intp)
    levels, changed, last = [clusters], None, np.inf
    while statistics.n_classes > 1:
        t = max(threshold - (len(levels) - 1) * threshold_decay, min(threshold, LOWEST_THRESHOLD))
        if overlap is not None:
            labels = connected_components(csr_array(overlap >= t), directed=False)[1]
            overlap = None
        else:
            # Clusters that stayed as they were are as far from each other as before, if
            # neither the threshold nor what covariances are shrunk to has moved.
            known = model.covariance_type != "tied" and model.shrinkage in (None, 0) and t == last
            labels = linked_components(model.gaussians(statistics), t, changed if known else None)
        last = t
        if labels.max() + 1 == statistics.n_classes:
            break
        # SciPy numbers components in the order of their first member, and so are the
        # clusters that go in: labels stay numbered by smallest member.
        clusters = labels[clusters].astype(np.intp)
        levels.append(clusters)
        changed = np.bincount(labels) > 1
        statistics = statistics.merge(labels)
        if report is not None:
            report(len(levels) - 1, statistics.n_classes)
    if np.any(clusters):
        levels.append(np.zeros_like(clusters))
    return np.stack(levels)


def cluster_overlap(
    overlap: NDArray[np.float64], threshold: float, linkage: str
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Cut one dendrogram over 1 - overlap, joined at the root above 1 - threshold.

    Returns levels, (n_levels, n_classes), and their heights, (n_levels,).
    """
    distances = 1.0 - overlap
    np.fill_diagonal(distances, 0.0)
    Z = scipy_linkage(squareform(distances, checks=False), method=linkage)
    return levels_from_linkage(Z, max_height=1.0 - threshold, root_height=1.0)
