"""Vectors for any engine that searches by inner product."""

from __future__ import annotations

from dataclasses import replace
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_consistent_length, check_is_fitted, column_or_1d

from sklearn_hierret._arrays import checked_rows, plain_labels, unchanged_on_error
from sklearn_hierret._sklearn import Interval, StrOptions, fit_context
from sklearn_hierret._training import NestedParams, TrainingSet, take_features_of
from sklearn_hierret.embedding._class_embedding import class_embedding
from sklearn_hierret.leaves import leaf_matrix
from sklearn_hierret.retrieval import (
    HierarchicalRetriever,
    LeafOrigin,
    Options,
    Searcher,
    constraints_of,
    fit_leaf_model,
    fit_ranking,
)


class HierarchicalEmbedding(ClassNamePrefixFeaturesOutMixin, TransformerMixin, NestedParams):
    """Vectors whose inner product ranks as `HierarchicalRetriever` does.

    A vector is ``[v, sqrt(alpha) * phi]``, where v is the unit row whose cosine distance is the visual
    distance (``x / |x|``, or whitened), and phi embeds the leaf with ``phi_i . phi_j = 1 - D_H`` [1]_. Then
    ``D = 1 + alpha - query . gallery``: any index for inner products serves it. With ``weighted="query"``
    gallery vectors are ``[v, phi]`` and query vectors ``[v, alpha * phi]``, so that one index serves every
    alpha. `from_retriever` makes vectors that rank as a fitted retriever does, unknown
    classes included.

    Parameters
    ----------
    hierarchy : builder, ClassHierarchy, CombinedHierarchy, list of these or None, default=None
        As in `HierarchicalRetriever`.
    alpha : "auto" or float, default="auto"
        Weight of the hierarchical distance; finite. "auto" as in `HierarchicalRetriever`.
    metric : {"auto", "cosine", "whitened"} or transformer, default="auto"
        As in `HierarchicalRetriever`.
    assignment : {"soft", "hard"}, default="soft"
        "soft" takes the mean of phi under the class model's 16 largest probabilities.
    stem : "auto" or float in [0, 1], default="auto"
        As in `HierarchicalRetriever`.
    gallery_leaves : {"auto", "predicted", "labels"}, default="auto"
        Whether labels that `transform` is given are the leaves of the gallery, as in
        `HierarchicalRetriever`.
    class_model : classifier, default=None
        As in `HierarchicalRetriever`.
    n_components : int, default=None
        Dimensions of phi; fewer than classes approximate D_H. None is exact.
    weighted : {"both", "query"}, default="both"
        Where alpha is: in the vectors of queries and gallery alike, or in those of queries alone.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels seen at fit.
    hierarchy_ : ClassHierarchy or CombinedHierarchy
    hierarchy_builder_ : fitted builder, or None if a hierarchy was given
    class_model_ : fitted classifier
    alpha_ : float
        What was chosen, or the number that was given, at fit.
    metric_ : "cosine", "whitened" or fitted transformer
        What was chosen, or given.
    class_embedding_ : ndarray of shape (n_leaves, n_components)
        phi of the class model's classes, and of those that only the hierarchy knows.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features,)
        Only if `X` had string column names.

    Notes
    -----
    With hard leaves and features that are not zero all gallery vectors are of one length, so that the
    Euclidean distance and the cosine rank as the inner product does. With soft leaves their lengths
    differ: use the inner product.

    An engine computes in single precision: neighbours whose distances differ by less than
    about ``1e-7 (1 + alpha)`` may come in another order than the retriever's.

    References
    ----------
    .. [1] B. Barz, J. Denzler, "Hierarchy-based Image Embeddings for Semantic Image
       Retrieval", WACV 2019, section 3.2.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_hierret import HierarchicalEmbedding
    >>> X, y = load_digits(return_X_y=True)
    >>> embedding = HierarchicalEmbedding(alpha=2).fit(X[:1000], y[:1000])
    >>> gallery, queries = embedding.transform(X), embedding.transform_query(X[:5])
    >>> np.argmax(queries @ gallery.T, axis=1).shape
    (5,)
    """

    _nested: ClassVar[dict[str, str]] = {
        "hierarchy": "HierarchicalEmbedding(hierarchy=HierarchyBuilder())",
        "class_model": "class_model=DiscriminantClassifier()",
        "metric": "metric=WithinClassWhitening()",
    }
    _parameter_constraints: dict = {
        **constraints_of("hierarchy metric assignment stem gallery_leaves class_model"),
        "alpha": [StrOptions({"auto"}), Interval(Real, 0, None, closed="left")],
        "n_components": [None, Interval(Integral, 1, None, closed="left")],
        "weighted": [StrOptions({"both", "query"})],
    }

    def __init__(
        self,
        hierarchy: Any = None,
        *,
        alpha: float | str = "auto",
        metric: Any = "auto",
        assignment: str = "soft",
        stem: float | str = "auto",
        gallery_leaves: str = "auto",
        class_model: Any = None,
        n_components: int | None = None,
        weighted: str = "both",
    ) -> None:
        self.hierarchy = hierarchy
        self.alpha = alpha
        self.metric = metric
        self.assignment = assignment
        self.stem = stem
        self.gallery_leaves = gallery_leaves
        self.class_model = class_model
        self.n_components = n_components
        self.weighted = weighted

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: ArrayLike, y: ArrayLike) -> HierarchicalEmbedding:
        """Fit hierarchy and class model.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features.
        y : array-like of shape (n_samples,)
            Class labels, at least two distinct ones.

        Returns
        -------
        self : object
            The fitted transformer.
        """
        with unchanged_on_error(self):
            training, params = TrainingSet.of(self, X, y), self.get_params(deep=False)
            leaf_model = fit_leaf_model(self.hierarchy, self.class_model, training)
            names = ("metric", "alpha", "assignment", "stem")
            ranking = fit_ranking(training, leaf_model, **{name: params[name] for name in names})
            leaf_model = replace(ranking.leaf_model, sample=None)
            leaf_model.model.release()
            self.classes_, self.metric_ = training.classes, ranking.metric.chosen
            options = Options(ranking.alpha, stem=self.stem, assignment=self.assignment)
            origin, X = LeafOrigin(self.gallery_leaves), training.X
            visual = ranking.metric.visual
            self._rank_by(
                Searcher.over_nothing(leaf_model, visual, options, training.classes, origin, X.dtype),
                visual.rows(X[:1])[0].shape[1],
            )
        return self

    @classmethod
    def from_retriever(
        cls,
        retriever: HierarchicalRetriever,
        *,
        n_components: int | None = None,
        weighted: str = "both",
    ) -> HierarchicalEmbedding:
        """Make vectors that rank as a fitted retriever does now, for its gallery as it is now.

        Its metric, alpha, stem, kind of leaves, and how far queries rely on their leaves are taken; so is the
        share of known classes in its gallery.

        Parameters
        ----------
        retriever : fitted HierarchicalRetriever
        n_components : int, optional
            Dimensions of phi; fewer than classes approximate D_H.
        weighted : {"both", "query"}, default="both"

        Returns
        -------
        embedding : HierarchicalEmbedding
            Fitted. `transform_gallery` gives the vectors of the retriever's gallery.

        Raises
        ------
        TypeError
            For anything but a `HierarchicalRetriever`.
        ValueError
            For infinite alpha, which has no vectors.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn.datasets import load_digits
        >>> from sklearn_hierret import HierarchicalEmbedding, HierarchicalRetriever
        >>> X, y = load_digits(return_X_y=True)
        >>> retriever = HierarchicalRetriever().fit(X[:1000], y[:1000])
        >>> embedding = HierarchicalEmbedding.from_retriever(retriever)
        >>> products = embedding.transform_query(X[1000:]) @ embedding.transform_gallery().T
        >>> nearest = retriever.kneighbors(X[1000:], 1, return_distance=False)[:, 0]
        >>> float(np.mean(products.argmax(axis=1) == nearest))
        1.0
        """
        if not isinstance(retriever, HierarchicalRetriever):
            raise TypeError(f"A fitted HierarchicalRetriever is needed, got {type(retriever).__name__}.")
        check_is_fitted(retriever, "class_model_")
        searcher = retriever.searcher()
        if not len(searcher.gallery):
            raise ValueError("The gallery is empty: set one before vectors are made of the retriever.")
        embedding = cls(
            retriever.hierarchy,
            alpha=retriever.alpha,
            metric=retriever.metric,
            assignment=retriever.assignment,
            stem=retriever.stem,
            gallery_leaves=retriever.gallery_leaves,
            class_model=retriever.class_model,
            n_components=n_components,
            weighted=weighted,
        )
        embedding._validate_params()
        take_features_of(embedding, retriever)
        embedding.metric_ = retriever.metric_
        embedding._rank_by(searcher, searcher.gallery.queries(np.arange(1)).shape[1])
        embedding.classes_ = embedding.class_model_.classes_
        return embedding

    def _rank_by(self, searcher: Searcher, n_visual: int) -> None:
        """Take what to rank by."""
        model = searcher.leaves.model
        alpha = searcher.leaves.weight() if len(searcher.gallery) else searcher.options.alpha
        if not np.isfinite(alpha):
            raise ValueError("alpha must be a finite number: with infinite alpha no vectors rank alike.")
        self.class_embedding_ = class_embedding(model.ranking_tree(searcher.options.stem), self.n_components)
        self.alpha_ = alpha
        self.hierarchy_, self.hierarchy_builder_ = model.hierarchy, model.builder
        self.class_model_ = model.classifier
        self._searcher, self._weighted = searcher, self.weighted
        self._n_features_out = n_visual + self.class_embedding_.shape[1]

    def transform(self, X: ArrayLike, y: ArrayLike | None = None) -> NDArray:
        """Make gallery vectors.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,), optional
            Labels of the gallery; unless `gallery_leaves` is "predicted", the leaf of a sample is its
            label, where the hierarchy knows that.

        Returns
        -------
        vectors : ndarray of shape (n_samples, n_visual + n_components)
            float32 for half and single precision features, else float64.

        Raises
        ------
        ValueError
            If `gallery_leaves` is "labels", for labels that the hierarchy lacks; they are named.
        """
        check_is_fitted(self)
        X = checked_rows(self, X)
        labels = None if y is None else column_or_1d(plain_labels(y), warn=True)
        check_consistent_length(X, labels)
        leaves = self._searcher.leaves.in_gallery(X, labels)
        return self._vectors(self._searcher.gallery.as_queries(X), leaves, self._gallery_weight())

    def transform_gallery(self) -> NDArray:
        """Make vectors of the gallery of the retriever of `from_retriever`, in the order of its positions.

        Returns
        -------
        vectors : ndarray of shape (n_gallery, n_visual + n_components)
        """
        check_is_fitted(self)
        gallery = self._searcher.gallery
        if not len(gallery):
            raise ValueError("There is no gallery: only vectors made by from_retriever have one.")
        leaves = self._searcher.leaves.view(of_gallery=False).leaves()
        return self._vectors(gallery.queries(), leaves, self._gallery_weight())

    def _gallery_weight(self) -> float:
        return float(np.sqrt(self._weight(None))) if self._weighted == "both" else 1.0

    def transform_query(self, X: ArrayLike, alpha: float | None = None) -> NDArray:
        """Make query vectors.

        With ``weighted="both"`` they are those of `transform` without labels, unless the gallery of
        `from_retriever` has unknown classes: then queries rely on their leaves less.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        alpha : float, optional
            Default: the parameter of that name. With ``weighted="query"`` only.

        Returns
        -------
        vectors : ndarray of shape (n_samples, n_visual + n_components)
        """
        check_is_fitted(self)
        if alpha is not None and self._weighted == "both":
            raise ValueError(
                "The gallery's vectors hold alpha, too: fit with weighted='query' to change it here."
            )
        weight = self._weight(alpha)
        weight = np.sqrt(weight) if self._weighted == "both" else weight
        X = checked_rows(self, X)
        rows = self._searcher.gallery.as_queries(X)
        return self._vectors(rows, self._searcher.leaves.of_queries(X), weight)

    def _weight(self, alpha: float | str | None) -> float:
        alpha = self.alpha if alpha is None else alpha
        alpha = self.alpha_ if isinstance(alpha, str) and alpha == "auto" else alpha
        if not isinstance(alpha, Real) or not 0 <= alpha < np.inf:
            raise ValueError(f"alpha must be a finite number of at least 0, got {alpha!r}.")
        return float(alpha)

    def _vectors(self, rows: NDArray, leaves: NDArray, weight: float) -> NDArray:
        phi, d = self.class_embedding_, rows.shape[1]
        vectors = np.empty((len(rows), d + phi.shape[1]), dtype=rows.dtype)
        vectors[:, :d] = rows
        vectors[:, d:] = weight * (leaf_matrix(leaves, len(phi)) @ phi)
        return vectors

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
