"""The hierarchical part of the distance: of queries to classes, to blocks, and to single rows.

A soft leaf lies on a few classes, and the remaining probability lies on the root, at distance 1 from
everything. One class with all of the probability is a hard leaf. Scaling the probabilities of a query
by k_q and those of a row by k_i so gives ``1 - k_q k_i (1 - D_H)``.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from sklearn_hierret.leaves import NO_MASS, likeliest
from sklearn_hierret.search._index import Blocks

#: Gives the D_H of soft leaves to all classes, (n_samples, n_classes).
DistancesOf = Callable[[NDArray], NDArray[np.float64]]
#: Less of D_C is lost in the rounding of D_H, and 1 / 0 would not be.
LEAST_WEIGHT = 1e-30
#: Ranks of the affinities that bounds are tried with.
TRIED = (1, 4)


class LeafDistance:
    """``p_q' U p_i``, the expected D_H (venkataramanan2023, eq. 5, for hard leaves).

    Parameters
    ----------
    leaves : ndarray of shape (n_queries, n_kept)
        Soft leaves of the queries.
    distances_of : callable
        D_H of soft leaves to all classes.
    values : ndarray, optional
        All values that D_H takes, ascending, where leaves on both sides are hard.
    """

    def __init__(
        self, leaves: NDArray, distances_of: DistancesOf, values: NDArray[np.float64] | None = None
    ) -> None:
        self.leaves = leaves
        self.distances_of = distances_of
        self.values = values

    def order(self) -> NDArray[np.intp]:
        """Order of the queries in which those of one leaf are side by side."""
        return np.argsort(likeliest(self.leaves), kind="stable")

    def decides(self, alpha: float) -> bool:
        """Whether D_H alone decides: no two distances of features differ by as much, which is 2 at most."""
        if self.values is None or np.isinf(alpha):
            return bool(np.isinf(alpha))
        return bool(alpha * np.diff(self.values).min(initial=np.inf) > 4)

    def weighing(self, alpha: float) -> Weighing:
        """How search compares distances."""
        if self.values is not None and self.decides(alpha):
            return Weighing(1.0, 4.0, len(self.values), self.values)
        scale = max(1.0, alpha)
        return Weighing(max(1 / scale, LEAST_WEIGHT), 1.0 if scale == alpha else alpha)


class Weighing:
    """Numbers in the order of ``D = D_C + alpha D_H``, which no alpha overflows.

    A number is ``weight * D_C + leaf_weight * D_H``, both divided by max(1, alpha). Where D_H alone
    decides between hard leaves, its rank stands for it, so that no rounding takes D_C away.
    """

    def __init__(
        self, weight: float, leaf_weight: float, top: float = 1.0, values: NDArray | None = None
    ) -> None:
        self.weight, self.leaf_weight, self.values, self.top = weight, leaf_weight, values, top

    def of_classes(self, distances: NDArray[np.float64]) -> NDArray[np.float64]:
        """D_H as it is weighed."""
        return distances if self.values is None else np.searchsorted(self.values, distances).astype(float)

    def error(self, n_terms: int, eps: float) -> float:
        """Bound the rounding of the hierarchical part of a number, summed at a relative error `eps`."""
        return eps * (n_terms + 16) * self.leaf_weight * self.top


def least_distances(distances: NDArray[np.float64], blocks: Blocks, dtype: np.dtype) -> NDArray:
    """Lower bounds of weighed D_H between queries and rows of each block, (n_queries, n_blocks).

    The expected D_H to a row is 1 less the sum of its probabilities times affinities, 1 - D_H. With
    probabilities that are at most the block's highest and sum to at most 1, that is, by duality, at most
    ``a + sum(max(0, affinity - a) * highest)`` for any a from 0 on: a few of the affinities are tried.
    """
    if blocks.highest is None:
        assert blocks.leaf is not None
        assert blocks.probability is not None
        assert blocks.first is not None
        least = 1 - blocks.probability * (1 - distances[:, blocks.leaf])
        if len(blocks.leaf) > len(blocks):
            least = np.minimum.reduceat(least, blocks.first, axis=1)
        return least.astype(dtype)
    affinity = (1 - distances).astype(dtype)
    n_classes = affinity.shape[1]
    ranks = [rank for rank in (0, *TRIED) if rank < n_classes]
    tried = np.maximum(-np.partition(-affinity, ranks, axis=1)[:, ranks], 0)
    most = np.minimum(affinity @ blocks.highest, tried[:, :1])
    for at in tried.T[1:]:
        np.minimum(most, at[:, None] + np.maximum(affinity - at[:, None], 0) @ blocks.highest, out=most)
    most += 4 * (n_classes + 8) * float(np.finfo(dtype).eps) + NO_MASS
    return np.subtract(1, most, out=most)
