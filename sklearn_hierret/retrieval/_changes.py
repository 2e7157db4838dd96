"""Galleries that are replaced, grow and shrink."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from sklearn_hierret._arrays import check_same_kind
from sklearn_hierret.retrieval._gallery import Gallery, one_per_row
from sklearn_hierret.retrieval._gallery_leaves import LeafOrigin
from sklearn_hierret.retrieval._leaf_search import LeafSearch, writing
from sklearn_hierret.search import COSINE, Index


class GalleryChanges(LeafSearch):
    """What changes a gallery, and what tells what is in it."""

    def set_gallery(
        self,
        X: ArrayLike,
        y: ArrayLike | None = None,
        ids: ArrayLike | None = None,
        *,
        gallery_leaves: str | None = None,
    ) -> Any:
        """Replace the gallery; hierarchy and class model stay.

        Parameters
        ----------
        X : array-like of shape (n_gallery, n_features)
        y : array-like of shape (n_gallery,), optional
            Labels; they define what is relevant and may be unseen at fit. Without them
            `predict` and `score` raise.
        ids : array-like of shape (n_gallery,), optional
            Distinct names of the samples for `retrieve`; default: running numbers.
        gallery_leaves : {"auto", "predicted", "labels"}, optional
            For this gallery and what is added to it; default: the parameter, as it was at fit.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            For "labels", among others, if there are none, or some that the hierarchy lacks; they are named.
        """
        check_is_fitted(self, "class_model_")
        if gallery_leaves not in (None, "auto", "predicted", "labels"):
            raise ValueError(
                f"gallery_leaves must be 'auto', 'predicted' or 'labels', got {gallery_leaves!r}."
            )
        self._validate_late_params()
        X = self._checked(X)
        with writing(self):
            self._index(X, y, ids, LeafOrigin(gallery_leaves or self._gallery_leaves))
        return self

    def add_to_gallery(self, X: ArrayLike, y: ArrayLike | None = None, ids: ArrayLike | None = None) -> Any:
        """Add samples to the gallery, at its end; hierarchy and class model stay.

        The amortised cost depends on the new samples only, so many small additions are cheap. Codes of a
        `HammingRetriever` are copied.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,), optional
            Labels, if and only if the gallery has some.
        ids : array-like of shape (n_samples,), optional
            Names that no sample of the gallery has; default: running numbers that none ever had,
            where the gallery's ids are integers.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            For ids that are there already.
        """
        check_is_fitted(self, "class_model_")
        self._validate_late_params()
        with writing(self):
            gallery = self._gallery
            X = self._checked(X, gallery.dtype)
            labels = None if y is None else one_per_row(y, len(X), "labels")
            leaves, classes = None, gallery.classes
            if (labels is None) == (gallery.labels is None):  # `added` raises otherwise
                classes = self._classes_with(classes, labels)
                if gallery.kind is not None:
                    serials = np.arange(gallery.n_ever, gallery.n_ever + len(X))
                    leaves = self._leaves_of(X, labels, gallery.kind, gallery.origin, serials)
            self._gallery = gallery.added(X, labels, ids, leaves, classes)
        return self

    def remove_from_gallery(self, ids: ArrayLike) -> Any:
        """Remove samples from the gallery; those behind them move up, their ids stay.

        Parameters
        ----------
        ids : array-like of shape (n_samples,)
            Some of `gallery_ids_`, each once.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            For an id that is not there; nothing is removed then.
        """
        check_is_fitted(self, "class_model_")
        with writing(self):
            self._gallery = self._gallery.removed(ids)
        return self

    @property
    def classes_(self) -> NDArray:
        """Labels that `predict` can return."""
        return self._there().classes

    @property
    def gallery_labels_(self) -> NDArray | None:
        """Label of each sample of the gallery; None if it has no labels."""
        return self._there().position_labels

    @property
    def gallery_ids_(self) -> NDArray:
        """Id of each sample of the gallery."""
        return self._there().position_ids

    @property
    def n_samples_fit_(self) -> int:
        """Size of the gallery."""
        return len(self._there())

    # ----------------------------------------------------------------------- inside

    def _index(self, X: NDArray, y: ArrayLike | None, ids: ArrayLike | None, origin: LeafOrigin) -> None:
        labels = None if y is None else one_per_row(y, len(X), "labels")
        classes = self._classes_with(self._fit_classes, labels)
        if origin.gallery_leaves == "labels" and self._leaf_model is not None:
            self._leaf_model.of_labels(labels, "auto" if self._heeds_novelty() else "labels")  # raises
        kind = leaves = series = None
        if self._weight() != 0:
            self._require_leaves()
            kind = self._kind(origin, labels is not None)
            leaves = self._leaves_of(X, labels, kind, origin, np.arange(len(X)))
            series = self._leaf_model.tree.leaf_order
        index = Index.build(X, leaves, series, self._visual or COSINE)
        self._gallery = Gallery.of(index, self._visual, X, labels, ids, kind, origin, classes)

    def _classes_with(self, classes: NDArray, labels: NDArray | None) -> NDArray:
        if labels is None:
            return classes
        if not len(classes):  # fitted without labels
            classes = labels[:0]
        check_same_kind(labels, classes, "Gallery labels", "the labels seen at fit")
        try:
            return np.union1d(classes, np.unique(labels))
        except TypeError:
            raise ValueError("Gallery labels must be of one type that can be sorted.") from None
