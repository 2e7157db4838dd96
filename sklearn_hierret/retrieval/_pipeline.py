"""A pipeline that ends with a retriever, and is asked as the retriever is."""

from __future__ import annotations

import copy
from typing import Any

import pandas as pd
from numpy.typing import ArrayLike
from sklearn.pipeline import Pipeline
from sklearn.utils.metaestimators import available_if


def _last_has(method: str) -> Any:
    """Offer a method where the last step has it."""

    def check(pipeline: RetrievalPipeline) -> bool:
        getattr(pipeline.steps[-1][1], method)
        return True

    return available_if(check)


class RetrievalPipeline(Pipeline):
    """A scikit-learn `Pipeline` whose last step is a retriever, with the retriever's questions.

    Images or rows go through the other steps, and the retriever is asked, or given a gallery. What needs no
    rows is asked of the retriever itself: ``pipeline[-1].remove_from_gallery(ids)``.

    Parameters
    ----------
    steps : list of (str, estimator) pairs
        The last one is a retriever, a re-ranking step, or an estimator of neighbours.
    transform_input, memory, verbose
        See `sklearn.pipeline.Pipeline`.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.decomposition import PCA
    >>> from sklearn_hierret import HierarchicalRetriever, RetrievalPipeline
    >>> X, y = load_digits(return_X_y=True)
    >>> steps = [("pca", PCA(30, random_state=0)), ("retriever", HierarchicalRetriever())]
    >>> pipeline = RetrievalPipeline(steps).fit(X[:900], y[:900])
    >>> pipeline.retrieve(X[900:902], n_neighbors=3).shape[0]
    6
    """

    @_last_has("kneighbors")
    def kneighbors(self, X: Any = None, *args: Any, **options: Any) -> Any:
        """Find the nearest gallery samples.

        Parameters
        ----------
        X : array-like, optional
            What the first step takes. Default: the gallery, where no sample is its own neighbour.
        *args, **options
            Those of the retriever's method, see `HierarchicalRetriever.kneighbors`.

        Returns
        -------
        distances, indices : ndarrays of shape (n_queries, n_neighbors)
            As the retriever returns them.
        """
        return self.steps[-1][1].kneighbors(self._features(X), *args, **options)

    @_last_has("radius_neighbors")
    def radius_neighbors(self, X: Any = None, *args: Any, **options: Any) -> Any:
        """Find all gallery samples up to some distance.

        Parameters
        ----------
        X : array-like, optional
            What the first step takes. Default: the gallery.
        *args, **options
            Those of the retriever's method, see `HierarchicalRetriever.radius_neighbors`.

        Returns
        -------
        distances, indices : ndarrays of shape (n_queries,), of arrays
            As the retriever returns them.
        """
        return self.steps[-1][1].radius_neighbors(self._features(X), *args, **options)

    @_last_has("retrieve")
    def retrieve(self, X: Any = None, *args: Any, **options: Any) -> pd.DataFrame:
        """Return neighbours as a tidy table.

        Parameters
        ----------
        X : array-like, optional
            What the first step takes. Default: the gallery.
        *args, **options
            Those of the retriever's method, see `HierarchicalRetriever.retrieve`.

        Returns
        -------
        table : DataFrame
            One row for each query and rank.
        """
        return self.steps[-1][1].retrieve(self._features(X), *args, **options)

    @_last_has("leaves")
    def leaves(self, X: Any = None, **options: Any) -> Any:
        """Return the leaf of each sample.

        Parameters
        ----------
        X : array-like, optional
            What the first step takes. Default: the gallery.
        **options
            Those of the retriever's method, see `HierarchicalRetriever.leaves`.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            As the retriever returns them.
        """
        return self.steps[-1][1].leaves(self._features(X), **options)

    @_last_has("set_gallery")
    def set_gallery(
        self, X: Any, y: ArrayLike | None = None, ids: ArrayLike | None = None, **options: Any
    ) -> RetrievalPipeline:
        """Replace the gallery.

        Parameters
        ----------
        X : array-like
            What the first step takes.
        y, ids, **options
            Those of the retriever's method, see `HierarchicalRetriever.set_gallery`.

        Returns
        -------
        self : RetrievalPipeline
        """
        self.steps[-1][1].set_gallery(self._features(X), y, ids, **options)
        return self

    @_last_has("with_gallery")
    def with_gallery(
        self, X: Any, y: ArrayLike | None = None, ids: ArrayLike | None = None, **options: Any
    ) -> RetrievalPipeline:
        """Return a copy with another gallery; this pipeline stays as it is.

        Parameters
        ----------
        X : array-like
            What the first step takes.
        y, ids, **options
            Those of the retriever's method, see `HierarchicalRetriever.set_gallery`.

        Returns
        -------
        pipeline : RetrievalPipeline
            Fitted, with the same steps before the retriever.
        """
        other, (name, retriever) = copy.copy(self), self.steps[-1]
        other.steps = [*self.steps[:-1], (name, retriever.with_gallery(self._features(X), y, ids, **options))]
        return other

    @_last_has("add_to_gallery")
    def add_to_gallery(
        self, X: Any, y: ArrayLike | None = None, ids: ArrayLike | None = None, **options: Any
    ) -> RetrievalPipeline:
        """Add samples to the gallery.

        Parameters
        ----------
        X : array-like
            What the first step takes.
        y, ids, **options
            Those of the retriever's method, see `HierarchicalRetriever.add_to_gallery`.

        Returns
        -------
        self : RetrievalPipeline
        """
        self.steps[-1][1].add_to_gallery(self._features(X), y, ids, **options)
        return self

    def _features(self, X: Any) -> Any:
        """Take rows through the steps before the retriever."""
        if X is None or len(self.steps) == 1:
            return X
        return self[:-1].transform(X)
