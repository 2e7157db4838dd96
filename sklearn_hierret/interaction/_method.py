"""What a method of relevance feedback is: from queries and marks to another search."""

from __future__ import annotations

from numbers import Real
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from sklearn_hierret.interaction._belief import NodeBelief
from sklearn_hierret.retrieval import HammingRetriever, HierarchicalRetriever


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
        """Return what to search for, after these marks."""
        ...


def check_retriever(estimator: Any, *, with_tree: bool = False) -> None:
    """Raise a TypeError unless an estimator is a fitted retriever of features.

    Parameters
    ----------
    estimator : object
    with_tree : bool, default=False
        Whether its hierarchy must be one tree.
    """
    if isinstance(estimator, HammingRetriever):
        raise TypeError("Features are needed, which feedback can move; a HammingRetriever has codes.")
    if not isinstance(estimator, HierarchicalRetriever):
        raise TypeError(
            f"A fitted HierarchicalRetriever is needed, got {type(estimator).__name__}; of a Pipeline or a "
            "re-ranking step, pass the retriever inside, and queries as that sees them."
        )
    check_is_fitted(estimator, "class_model_")
    if with_tree and estimator.searcher().leaves.tree is None:
        raise TypeError("One tree is needed, and hierarchy_ is a CombinedHierarchy.")


def check_weights(method: Any) -> None:
    """Raise a ValueError unless all numbers of a method are finite and not negative."""
    for name, value in vars(method).items():
        if not isinstance(value, Real) or not 0 <= float(value) < np.inf:
            raise ValueError(f"{name} must be a finite number of at least 0, got {value!r}.")


def unit(vector: NDArray, otherwise: NDArray) -> NDArray:
    """Return a vector of length one, or another where it has none."""
    length = np.linalg.norm(vector)
    return vector / length if length > 1e-12 else otherwise
