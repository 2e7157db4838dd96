"""Several query images for one need."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_consistent_length

from sklearn_hierret._sklearn import safe_indexing
from sklearn_hierret.evaluation import retriever_of
from sklearn_hierret.interaction._method import check_retriever
from sklearn_hierret.interaction._session import RetrievalSession
from sklearn_hierret.retrieval import checked_samples


def kneighbors_of_set(
    estimator: Any, X: ArrayLike, n_neighbors: int | None = None, *, groups: ArrayLike | None = None
) -> tuple[NDArray, NDArray[np.intp]]:
    """Nearest gallery samples to what several query images have in common.

    Each image is a sample of some class below the node of the hierarchy that is meant, so that the node's
    probability is a product over the images, and large nodes, in which these images would be a coincidence,
    are less probable than small ones [1]_. Results are ranked by the cosine distance to the mean
    direction, plus alpha times the expected distance to that node, alpha being 8 at least unless it is 0; see
    `NodePosterior`. With a `CombinedHierarchy`, the mean direction is searched for.

    Parameters
    ----------
    estimator : fitted HierarchicalRetriever, or Pipeline that ends with one
    X : array-like of shape (n_images, n_features)
    n_neighbors : int, optional
        Default: the retriever's.
    groups : array-like of shape (n_images,), optional
        The need of each image; default: all have one.

    Returns
    -------
    distances, indices : ndarrays of shape (n_groups, n_neighbors)
        A row for each distinct group, sorted.

    References
    ----------
    .. [1] J. B. Tenenbaum, T. L. Griffiths, "Generalization, Similarity, and Bayesian Inference", Behavioral
       and Brain Sciences 24, 2001: the size principle.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_hierret import HierarchicalRetriever
    >>> from sklearn_hierret.interaction import kneighbors_of_set
    >>> X, y = load_digits(return_X_y=True)
    >>> retriever = HierarchicalRetriever().fit(X[:900], y[:900])
    >>> distances, indices = kneighbors_of_set(retriever, X[900:906], 5, groups=[0, 0, 0, 1, 1, 1])
    >>> indices.shape
    (2, 5)
    """
    retriever, X = retriever_of(estimator, X)
    check_retriever(retriever)
    n_images = len(checked_samples(retriever, X))
    if groups is None:
        groups = np.zeros(n_images, dtype=int)
    groups = np.asarray(groups)
    if groups.ndim != 1:
        raise ValueError(f"groups must be one-dimensional, got shape {groups.shape}.")
    check_consistent_length(np.empty(n_images), groups)
    codes = np.unique(groups, return_inverse=True)[1]
    needs = [
        RetrievalSession(retriever, safe_indexing(X, np.flatnonzero(codes == code))).kneighbors(n_neighbors)
        for code in range(codes.max() + 1)
    ]
    return np.concatenate([d for d, _ in needs]), np.concatenate([i for _, i in needs])
