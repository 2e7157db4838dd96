"""What a method of relevance feedback is: from queries and marks to another search."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from sklearn_hierret.interaction._belief import NodeBelief


class Marks(NamedTuple):
    """What a user has said so far.

    Attributes
    ----------
    queries : ndarray of shape (n_queries, n_features)
        Unit vectors of the query images.
    items : ndarray of shape (n_marked, n_features)
        Unit vectors of the marked items.
    is_relevant : ndarray of shape (n_marked,)
    belief : NodeBelief or None
        About the node that is meant, after the marks; None if there is no tree.
    """

    queries: NDArray
    items: NDArray
    is_relevant: NDArray[np.bool_]
    belief: NodeBelief | None


class Ranking(NamedTuple):
    """What to search for.

    Attributes
    ----------
    query : ndarray of shape (n_features,)
    belief : NodeBelief or None
        Its expected distances stand for those of the query's leaf; None: the leaf of `query`.
    least_alpha : float
        Least weight of these distances.
    mark_weight : float
        Weight of the distance to the nearest relevant item, relative to that and the nearest irrelevant one.
    uses_leaves : bool
        False for a ranking by `query` and cosine alone.
    """

    query: NDArray
    belief: NodeBelief | None = None
    least_alpha: float = 0.0
    mark_weight: float = 0.0
    uses_leaves: bool = True


class FeedbackMethod(Protocol):
    """Turns marks into a ranking; it keeps nothing, so that sessions may share one."""

    def ranking(self, marks: Marks) -> Ranking:
        """What to search for, after these marks."""
        ...


def unit(vector: NDArray, otherwise: NDArray) -> NDArray:
    """A vector of length one, or another where it has none."""
    length = np.linalg.norm(vector)
    return vector / length if length > 1e-12 else otherwise
