"""Hierarchies from what classes are called."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import issparse
from sklearn.utils.validation import check_is_fitted

from sklearn_hierret._sklearn import HasMethods, StrOptions
from sklearn_hierret._training import SupervisedEstimator, TrainingSet
from sklearn_hierret.building._class_distances import distances_of_vectors, linked
from sklearn_hierret.hierarchy import shorten


class TextHierarchyBuilder(SupervisedEstimator):
    """Hierarchy of the classes by the meaning of their names.

    Names become vectors by a text encoder; the tree is a linkage of the cosine distances of these vectors.
    Features are not looked at.

    Parameters
    ----------
    encoder : callable or object with a method ``encode``
        Gives vectors, a dense or sparse array of shape (n_names, n_dimensions), for a list of strings.
        A ``SentenceTransformer`` fits.
        Clones of this builder copy it.
    names : mapping from class labels to strings, default=None
        It may name other classes too; for a list of names in the order of integer labels write
        ``dict(enumerate(names))``. None takes the labels themselves, with underscores and hyphens
        as spaces.
    method : {"average", "complete", "single", "weighted"}, default="average"
        As in `scipy.cluster.hierarchy.linkage`.
    heights : {"distance", "rank"}, default="rank"
        A node's height is its merge distance, or the rank of that among the distinct ones, so that
        heights are spread evenly whatever the distances.

    Attributes
    ----------
    hierarchy_ : ClassHierarchy
    classes_ : ndarray of shape (n_classes,)
    names_ : list of str
        What was encoded, in the order of ``classes_``.
    vectors_ : ndarray of shape (n_classes, n_dimensions)
    linkage_matrix_ : ndarray of shape (n_classes - 1, 4)
        SciPy's linkage matrix over the classes in their order.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features,)
        Only if `X` had string column names.

    See Also
    --------
    CombinedHierarchyBuilder : Adds these distances to visual ones.

    Examples
    --------
    Any callable is an encoder, here one that counts groups of letters:

    >>> import numpy as np
    >>> from sklearn.feature_extraction.text import HashingVectorizer
    >>> from sklearn_hierret import TextHierarchyBuilder
    >>> letters = HashingVectorizer(analyzer="char_wb", ngram_range=(3, 3), n_features=512)
    >>> builder = TextHierarchyBuilder(letters.transform)
    >>> y = np.array(["green apple", "red apple", "sweet potato"])
    >>> builder.fit(np.zeros((3, 2)), y).hierarchy_.distance("red apple", y)
    array([0.5, 0. , 1. ])

    With the package sentence-transformers::

        encoder = SentenceTransformer("all-MiniLM-L6-v2")
        TextHierarchyBuilder(encoder, names={0: "a diatom", 1: "a copepod with eggs"})
    """

    _parameter_constraints: dict = {
        "encoder": [callable, HasMethods("encode")],
        "names": [None, HasMethods(["keys", "__getitem__"])],
        "method": [StrOptions({"average", "complete", "single", "weighted"})],
        "heights": [StrOptions({"distance", "rank"})],
    }

    def __init__(
        self,
        encoder: Callable[[list[str]], ArrayLike] | Any,
        names: Mapping | None = None,
        *,
        method: str = "average",
        heights: str = "rank",
    ) -> None:
        self.encoder = encoder
        self.names = names
        self.method = method
        self.heights = heights

    def _fit(self, training: TrainingSet) -> None:
        classes = training.classes
        names = self._names_of(classes)
        vectors = encoded_names(self.encoder, names)
        distances = distances_of_vectors(vectors, "cosine", classes, "vector")
        self.linkage_matrix_, tree = linked(distances, classes, self.method, self.heights)
        self.hierarchy_ = tree.with_origin("mixed")
        self.classes_, self.names_, self.vectors_ = classes, names, vectors

    def class_distances(self) -> NDArray[np.float64]:
        """Compute cosine distances of the vectors of all pairs of classes.

        Returns
        -------
        distances : ndarray of shape (n_classes * (n_classes - 1) / 2,)
            In the order of `scipy.spatial.distance.pdist`.
        """
        check_is_fitted(self)
        return distances_of_vectors(self.vectors_, "cosine", self.classes_, "vector")

    def _names_of(self, classes: NDArray) -> list[str]:
        if self.names is None:
            return [
                re.sub("[_-]", " ", label) if isinstance(label, str) else str(label)
                for label in classes.tolist()
            ]
        names = dict(self.names)
        without = [label for label in classes.tolist() if label not in names]
        if without:
            raise ValueError(f"names has none for these classes: {shorten(without)}.")
        for label in classes.tolist():
            if not isinstance(names[label], str) or not names[label].strip():
                raise ValueError(
                    f"The name of class {label!r} must be text and not empty, got {names[label]!r}."
                )
        return [names[label] for label in classes.tolist()]


def encoded_names(encoder: Any, names: list[str]) -> NDArray[np.float64]:
    """Return an encoder's vector of each name.

    Raises
    ------
    ValueError
        For a string in place of an encoder, and for anything but a finite row for each name.
    """
    if isinstance(encoder, str):
        raise ValueError(
            f"encoder must be a callable or have a method encode, got the string {encoder!r}; pass "
            f"SentenceTransformer({encoder!r}), say."
        )
    vectors: Any = getattr(encoder, "encode", encoder)(list(names))
    try:
        vectors = np.asarray(vectors.toarray() if issparse(vectors) else vectors, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"The encoder gave no vectors of numbers: {error}") from error
    if vectors.ndim != 2 or len(vectors) != len(names):
        raise ValueError(
            f"The encoder gave an array of shape {vectors.shape} for {len(names)} names; one row a name "
            "is expected."
        )
    wrong = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(wrong):
        raise ValueError(f"The encoder's vector of {names[wrong[0]]!r} is not finite.")
    return vectors
