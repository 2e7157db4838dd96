"""Class embeddings: vectors of the classes whose dot products are 1 - D_H."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from sklearn_hierret._arrays import check_positive_integer
from sklearn_hierret.hierarchy import ClassHierarchy, CombinedHierarchy


def class_embedding(
    hierarchy: ClassHierarchy | CombinedHierarchy, n_components: int | None = None, method: str | None = None
) -> NDArray[np.float64]:
    """Embed classes so that their dot products are their similarities, ``1 - D_H``.

    Parameters
    ----------
    hierarchy : ClassHierarchy or CombinedHierarchy
        A taxonomy, a visual hierarchy, or several.
    n_components : int, optional
        Dimensions; default: as many as classes, which is exact.
    method : {"unit_sphere", "spectral"}, optional
        "unit_sphere": vectors of unit length, lower triangular and, for a tree, non-negative:
        those of Algorithm 1 [1]_. "spectral": the leading eigenvectors of the similarities, the best
        approximation in `n_components` dimensions; not of unit length then. Default:
        "spectral" if `n_components` is given, else "unit_sphere".

    Returns
    -------
    embedding : ndarray of shape (n_classes, n_components)
        Rows in the order of ``hierarchy.classes``.

    Raises
    ------
    ValueError
        If `n_components` is more than the number of classes, or fewer for "unit_sphere".

    Notes
    -----
    The similarity of two classes is the sum of ``(h(parent) - h(node)) / h(root)`` over the
    nodes that have both below them. The roots of these weights, a column a node, already
    are an embedding; an orthogonal rotation makes it triangular. Nothing is squared, so that
    the dot products are exact to a few units in the last place.

    References
    ----------
    .. [1] B. Barz, J. Denzler, "Hierarchy-based Image Embeddings for Semantic Image
       Retrieval", WACV 2019, Algorithm 1 and section 3.3.

    Examples
    --------
    >>> from sklearn_hierret import ClassHierarchy, class_embedding
    >>> tree = ClassHierarchy.from_newick("((cat,dog)mammal,trout)animal;")
    >>> phi = class_embedding(tree)
    >>> (phi @ phi.T).round(2)
    array([[1. , 0.5, 0. ],
           [0.5, 1. , 0. ],
           [0. , 0. , 1. ]])
    """
    trees = hierarchy.hierarchies if isinstance(hierarchy, CombinedHierarchy) else (hierarchy,)
    if not isinstance(trees[0], ClassHierarchy):
        raise TypeError(f"hierarchy must be a ClassHierarchy, got {type(hierarchy).__name__}.")
    n = hierarchy.n_classes
    if n_components is not None:
        check_positive_integer(n_components, "n_components")
        if n_components > n:
            raise ValueError(f"n_components={n_components} exceeds the {n} classes.")
    if method is None:
        method = "unit_sphere" if n_components is None else "spectral"
    if method == "unit_sphere":
        if n_components not in (None, n):
            raise ValueError(
                f"method='unit_sphere' needs {n} dimensions, one a class; use 'spectral' for {n_components}."
            )
        # Classes at distance 0 of each other share a vector, that of the first of them.
        together = np.stack([tree.cut(0.0) for tree in trees])
        _, first, cluster = np.unique(together, axis=1, return_index=True, return_inverse=True)
        rank = np.argsort(np.argsort(first))  # triangular in the order of the classes
        first, cluster = np.sort(first), rank[cluster]
        weights = _weights_of(hierarchy, trees)[first]
        triangle = linalg.qr(weights.T, mode="r", check_finite=False)[0][: len(first)].T
        triangle *= np.where(np.diag(triangle) < 0, -1.0, 1.0)  # signs are free
        if len(trees) == 1:
            # Entries that are 0 must not turn negative by rounding.
            triangle = np.maximum(triangle, 0)
        embedding = np.zeros((n, n))
        embedding[:, first] = triangle[cluster]
        return embedding
    if method == "spectral":
        weights = _weights_of(hierarchy, trees)
        left, values, _ = linalg.svd(weights, full_matrices=False, check_finite=False)
        kept = slice(0, n if n_components is None else n_components)
        return left[:, kept] * values[kept]
    raise ValueError(f"method must be 'unit_sphere' or 'spectral', got {method!r}.")


def _weights_of(
    hierarchy: ClassHierarchy | CombinedHierarchy, trees: tuple[ClassHierarchy, ...]
) -> NDArray[np.float64]:
    """`_node_weights` of a tree, or of all trees side by side: their products add up."""
    if isinstance(hierarchy, ClassHierarchy):
        return _node_weights(hierarchy)
    shares = np.sqrt(hierarchy.weights)
    return np.hstack([share * _node_weights(tree) for share, tree in zip(shares, trees, strict=True)])


def _node_weights(hierarchy: ClassHierarchy) -> NDArray[np.float64]:
    """For each class, the root of the weight of each node above it: (n_classes, n_nodes - 1).

    Padded with columns of zeros where there are fewer than classes.
    """
    parents, heights = hierarchy.parents, hierarchy.heights
    n, height = hierarchy.n_classes, hierarchy.height
    if height == 0:
        # No class differs from another: all have similarity 1.
        return np.eye(1, max(1, n)).repeat(n, axis=0)
    roots = np.sqrt((heights[parents[:-1]] - heights[:-1]) / height)
    embedding = np.zeros((n, max(n, hierarchy.n_nodes - 1)))
    node = np.arange(n)
    while True:
        below = np.flatnonzero(node != hierarchy.root)
        if not len(below):
            return embedding
        embedding[below, node[below]] = roots[node[below]]
        node[below] = parents[node[below]]
