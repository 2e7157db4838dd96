"""Several hierarchies over the same classes, their distances added."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sklearn_hierret.hierarchy._class_hierarchy import ClassHierarchy
from sklearn_hierret.hierarchy._nodes import shorten


class CombinedHierarchy:
    """Weighted mean of the distances of several hierarchies, such as a visual one and a taxonomy.

    ``D_H = sum of w_i D_H_i``, with weights that sum to 1, so that D_H stays in [0, 1] and alpha
    keeps its scale. It is no tree, but goes wherever only distances matter: retrievers,
    `HierarchicalEmbedding`, `class_embedding`, metrics.

    Parameters
    ----------
    hierarchies : sequence of ClassHierarchy
        All over the same classes.
    weights : array-like of shape (n_hierarchies,), optional
        Non-negative, not all zero; divided by their sum. Default: equal.

    Attributes
    ----------
    hierarchies : tuple of ClassHierarchy
        With the classes in the order of the first.
    weights : ndarray of shape (n_hierarchies,)
    classes : ndarray of shape (n_classes,)
    n_classes : int
    height : float
        1; the distances are relative.

    Raises
    ------
    ValueError
        If the classes differ, or the weights are no weights.

    Examples
    --------
    >>> from sklearn_hierret import ClassHierarchy, CombinedHierarchy
    >>> visual = ClassHierarchy.from_newick("((cat,trout),dog);")
    >>> taxonomy = ClassHierarchy.from_newick("((cat,dog)mammal,trout)animal;")
    >>> CombinedHierarchy([visual, taxonomy], weights=[1, 3]).distance("cat", ["dog", "trout"])
    array([0.625, 0.875])
    """

    height = 1.0

    def __init__(self, hierarchies: Sequence[ClassHierarchy], weights: ArrayLike | None = None) -> None:
        if isinstance(hierarchies, ClassHierarchy):
            raise TypeError("A sequence of hierarchies is expected, got one ClassHierarchy.")
        hierarchies = list(hierarchies)
        if not hierarchies:
            raise ValueError("At least one hierarchy is needed.")
        for hierarchy in hierarchies:
            if not isinstance(hierarchy, ClassHierarchy):
                raise TypeError(f"A ClassHierarchy is expected, got {type(hierarchy).__name__}.")
        classes = hierarchies[0].classes
        for i, hierarchy in enumerate(hierarchies):
            others_of, ours = set(hierarchy.classes.tolist()), set(classes.tolist())
            if others_of != ours:
                raise ValueError(
                    f"Hierarchies 0 and {i} differ in their classes: only one of them has "
                    f"{shorten(sorted(others_of ^ ours, key=str))}; `restrict` to those in common."
                )
        self.hierarchies = tuple(h.restrict(classes) for h in hierarchies)
        self.weights = check_weights(weights, len(hierarchies))

    @property
    def classes(self) -> NDArray:
        return self.hierarchies[0].classes

    @property
    def n_classes(self) -> int:
        return self.hierarchies[0].n_classes

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, CombinedHierarchy):
            return NotImplemented
        return self.hierarchies == other.hierarchies and np.array_equal(self.weights, other.weights)

    def __hash__(self) -> int:
        return hash((self.hierarchies, self.weights.tobytes()))

    def __repr__(self) -> str:
        parts = " + ".join(f"{w:.3g} {h!r}" for w, h in zip(self.weights, self.hierarchies, strict=True))
        return f"<CombinedHierarchy: {parts}>"

    def index(self, labels: ArrayLike) -> NDArray[np.intp]:
        """Find positions of labels in `classes`; a ValueError names those it lacks.

        Parameters
        ----------
        labels : class label or array-like of class labels
            Classes.

        Returns
        -------
        positions : ndarray
            Of the shape of `labels`.
        """
        return self.hierarchies[0].index(labels)

    def distance(self, a: ArrayLike, b: ArrayLike) -> Any:
        """Compute D_H of classes `a` and `b`; see `ClassHierarchy.distance`.

        Parameters
        ----------
        a, b : class label or array-like of class labels
            Broadcast against each other.

        Returns
        -------
        distance : float or ndarray
            In [0, 1].
        """
        return self._mean("distance", a, b)

    def distance_matrix(self) -> NDArray[np.float64]:
        """Compute D_H of all pairs of classes.

        Returns
        -------
        distances : ndarray of shape (n_classes, n_classes)
            Symmetric, the diagonal zero.
        """
        return self._mean("distance_matrix")

    def expected_distance(self, proba: ArrayLike) -> NDArray[np.float64]:
        """Compute expected D_H to each class; see `ClassHierarchy.expected_distance`.

        Parameters
        ----------
        proba : array-like of shape (n_samples, n_classes)
            Probabilities.

        Returns
        -------
        distances : ndarray of shape (n_samples, n_classes)
            In [0, 1].
        """
        return self._mean("expected_distance", proba)

    def similarity_matrix(self, kind: str = "lca") -> NDArray[np.float64]:
        """Compute the mean of the similarities; see `ClassHierarchy.similarity_matrix`.

        Parameters
        ----------
        kind : {"lca", "wup", "levels"}, default="lca"
            See there.

        Returns
        -------
        similarities : ndarray of shape (n_classes, n_classes)
            Symmetric.
        """
        return self._mean("similarity_matrix", kind)

    def restrict(self, classes: ArrayLike) -> CombinedHierarchy:
        """Return the combination for some of its classes, in this order.

        Parameters
        ----------
        classes : array-like of class labels
            Classes to keep.

        Returns
        -------
        hierarchy : CombinedHierarchy
            Another one; this stays as it is.
        """
        return CombinedHierarchy([h.restrict(classes) for h in self.hierarchies], self.weights)

    def with_stem(self, stem: float) -> CombinedHierarchy:
        """Move different classes at least a stem apart; see `ClassHierarchy.with_stem`.

        Parameters
        ----------
        stem : float in [0, 1]
            The least distance.

        Returns
        -------
        hierarchy : CombinedHierarchy
            Another one; this stays as it is.
        """
        return CombinedHierarchy([h.with_stem(stem) for h in self.hierarchies], self.weights)

    @property
    def leaf_order(self) -> NDArray[np.intp]:
        """Leaves in the depth-first order of the first hierarchy."""
        return self.hierarchies[0].leaf_order

    def distances_from(self, leaves: NDArray[np.intp]) -> NDArray[np.float64]:
        """Compute D_H of classes, given by their positions, to all classes.

        Parameters
        ----------
        leaves : ndarray of shape (n_leaves,)
            Positions in `classes`.

        Returns
        -------
        distances : ndarray of shape (n_leaves, n_classes)
            In [0, 1].
        """
        return self._mean("distances_from", leaves)

    def distinct_distances(self) -> NDArray[np.float64]:
        """Return all values that D_H takes.

        Returns
        -------
        values : ndarray of shape (n_values,)
            Ascending.
        """
        return self._distinct_distances

    @cached_property
    def _distinct_distances(self) -> NDArray[np.float64]:
        values, classes = np.zeros(1), self.classes
        for label in classes:
            values = np.union1d(values, self.distance(label, classes))
        return values

    def _mean(self, method: str, *args: Any) -> Any:
        parts = [
            w * getattr(h, method)(*args) for w, h in zip(self.weights, self.hierarchies, strict=True) if w
        ]
        return sum(parts[1:], start=parts[0])


def check_weights(weights: ArrayLike | None, n_hierarchies: int) -> NDArray[np.float64]:
    """Weights that sum to 1."""
    if weights is None:
        return np.full(n_hierarchies, 1.0 / n_hierarchies)
    array = np.asarray(weights, dtype=np.float64)
    if array.shape != (n_hierarchies,) or not np.all(np.isfinite(array)) or np.any(array < 0):
        raise ValueError(f"weights must be {n_hierarchies} numbers of at least 0, got {weights!r}.")
    if not array.sum() > 0:
        raise ValueError("weights must not all be 0.")
    return array / array.sum()
