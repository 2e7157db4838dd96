"""What re-ranking steps share: a retriever inside, which they are used like."""

from __future__ import annotations

import copy
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import mode as most_frequent
from sklearn.base import ClassifierMixin
from sklearn.utils.metadata_routing import MetadataRouter
from sklearn.utils.validation import check_is_fitted

from sklearn_hierret._arrays import check_positive_integer, unchanged_on_error
from sklearn_hierret._sklearn import HasMethods, Interval, fit_context
from sklearn_hierret._training import LazyAttributes, NestedParams
from sklearn_hierret.retrieval import HammingRetriever, checked_queries, fit_inside, routing_inside


class RerankingStep(ClassifierMixin, NestedParams, LazyAttributes):
    """A retriever whose `kneighbors` ranks again what another retriever, or step, found."""

    retriever: Any
    retriever_: Any

    _nested: ClassVar[dict[str, str]] = {"retriever": "retriever=HierarchicalRetriever()"}
    _lazy: ClassVar[dict] = {
        "classes_": lambda self: self.retriever_.classes_,
        "gallery_labels_": lambda self: self.retriever_.gallery_labels_,
        "gallery_ids_": lambda self: self.retriever_.gallery_ids_,
        "n_samples_fit_": lambda self: self.retriever_.n_samples_fit_,
        "hierarchy_": lambda self: self.retriever_.hierarchy_,
    }
    _parameter_constraints: dict = {
        "retriever": [None, HasMethods(["fit", "kneighbors", "set_gallery"])],
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
    }

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: ArrayLike, y: ArrayLike, **params: Any) -> Any:
        """Fit the retriever; the training set becomes the gallery.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
            Class labels.
        **params : dict
            Of the retriever's `fit`, such as ``groups``; with metadata routing those that it asks for.

        Returns
        -------
        self : object
        """
        with unchanged_on_error(self):
            if isinstance(self.retriever, HammingRetriever):
                raise TypeError(f"{type(self).__name__} works on features; a HammingRetriever has codes.")
            fit_inside(self, X, y, params)
            self._prepared_for = innermost(self).searcher()
            self._prepare()
        return self

    def get_metadata_routing(self) -> MetadataRouter:
        """Route what `fit` is given to the retriever.

        Returns
        -------
        routing : MetadataRouter
        """
        return routing_inside(self)

    def set_gallery(
        self, X: ArrayLike, y: ArrayLike | None = None, ids: ArrayLike | None = None, **how: Any
    ) -> Any:
        """Replace the gallery; see `HierarchicalRetriever.set_gallery`.

        Parameters
        ----------
        X, y, ids
            See there.
        **how : dict
            Its keyword arguments.

        Returns
        -------
        self : object
        """
        check_is_fitted(self, "retriever_")
        self._validate_params()
        with unchanged_on_error(self):
            # A copy, so that copies of this step do not change each other.
            self.retriever_ = self.retriever_.with_gallery(X, y, ids, **how)
            self._prepared_for = innermost(self).searcher()
            self._prepare()
        return self

    def with_gallery(
        self, X: ArrayLike, y: ArrayLike | None = None, ids: ArrayLike | None = None, **how: Any
    ) -> Any:
        """Return a copy with another gallery; this step stays as it is.

        Parameters
        ----------
        X, y, ids
            See `HierarchicalRetriever.set_gallery`.
        **how : dict
            Its keyword arguments.

        Returns
        -------
        step : object
            Fitted, with the same retriever inside.
        """
        return copy.copy(self).set_gallery(X, y, ids, **how)

    def kneighbors(
        self, X: ArrayLike | None = None, n_neighbors: int | None = None, return_distance: bool = True
    ) -> Any:
        """Nearest gallery samples after this step.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features), optional
            Default: the gallery, where no sample is its own neighbour.
        n_neighbors : int, optional
            Default: the parameter of that name.
        return_distance : bool, default=True

        Returns
        -------
        distances, indices : ndarrays of shape (n_queries, n_neighbors)
            See `HierarchicalRetriever.kneighbors`.
        """
        k = self.checked_k(X, n_neighbors)
        distances, indices = self._ranked_again(X, k)
        return (distances, indices) if return_distance else indices

    def checked_k(self, X: ArrayLike | None, n_neighbors: int | None) -> int:
        """Check how many neighbours are asked for: the gallery is that of the last fit, and has this many.

        Parameters
        ----------
        X : array-like or None
            The queries.
        n_neighbors : int or None
            None means the parameter.

        Returns
        -------
        k : int
            Neighbours to return.
        """
        check_is_fitted(self, "retriever_")
        self._validate_params()
        if not self._is_current():
            raise RuntimeError(
                f"The gallery of the retriever inside {type(self).__name__} changed: call set_gallery of the "
                "outermost step instead."
            )
        k = self.n_neighbors if n_neighbors is None else n_neighbors
        check_positive_integer(k, "n_neighbors")
        n_there = self.n_samples_fit_ - (X is None)
        if k > n_there:
            raise ValueError(
                f"Expected n_neighbors <= n_samples_fit_, but n_neighbors = {k} and the gallery holds "
                f"{max(0, n_there)} samples" + (" besides the query." if X is None else ".")
            )
        return int(k)

    def predict(self, X: ArrayLike) -> NDArray:
        """Most frequent label among the nearest neighbours; ties go to the first class.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features)

        Returns
        -------
        labels : ndarray of shape (n_queries,)
        """
        check_is_fitted(self, "retriever_")
        return self.most_frequent_label(self.kneighbors(X, return_distance=False))

    def most_frequent_label(self, indices: NDArray[np.intp]) -> NDArray:
        labels = self.gallery_labels_
        if labels is None:
            raise ValueError("The gallery has no labels: pass y to set_gallery to predict.")
        codes = np.searchsorted(self.classes_, labels)[indices]
        return self.classes_[most_frequent(codes, axis=1).mode]

    # ------------------------------------------------------------------------- inside

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        if hasattr(self, "_prepared_for") and self._is_current():
            state["_prepared_for"] = None  # the retriever has it
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "_prepared_for" in state and state["_prepared_for"] is None:
            self._prepared_for = innermost(self).searcher()

    def _is_current(self) -> bool:
        return self._prepared_for.gallery.holds_the_same(innermost(self).searcher().gallery)

    def _prepare(self) -> None:
        """Compute what is needed once for a gallery."""

    def _ranked_again(self, X: ArrayLike | None, k: int) -> tuple[NDArray, NDArray[np.intp]]:
        raise NotImplementedError

    def _features(self, X: ArrayLike | None) -> NDArray:
        """Check queries, or take the features of the whole gallery."""
        searcher = self._prepared_for
        return searcher.gallery.features if X is None else checked_queries(innermost(self), X, searcher)

    def _visual_queries(self, X: ArrayLike | None) -> NDArray:
        """Map queries, or the whole gallery, to the rows that are compared."""
        gallery = self._prepared_for.gallery
        return gallery.queries() if X is None else gallery.as_queries(self._features(X))


def innermost(step: Any) -> Any:
    """Return the retriever inside steps."""
    while isinstance(step, RerankingStep):
        check_is_fitted(step, "retriever_")
        step = step.retriever_
    return step


def as_frame(retriever: Any, rows: NDArray) -> Any:
    """Rows with the names of the features, where the retriever knows some."""
    names = getattr(retriever, "feature_names_in_", None)
    if names is None:
        return rows
    import pandas as pd

    return pd.DataFrame(rows, columns=names)
