"""Results whose local features lie as the query's do, first."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.metadata_routing import MetadataRouter

from sklearn_hierret._sklearn import Interval
from sklearn_hierret.descriptors._root_sift import LocalFeatures, scikit_image
from sklearn_hierret.reranking import RerankingStep


class SpatialVerification(RerankingStep):
    """Rank results first whose local features are arranged as in the query [1]_.

    Descriptors of the query and a result are matched, and RANSAC finds the shift, rotation and scale that
    most matches agree with. Results with at least `min_inliers` such matches come first, those with most
    matches at the top; the others keep their order. This suits near duplicates and single objects.
    Different samples of a class rarely share an arrangement. The step is the outermost one: it needs the
    queries' local features.

    Parameters
    ----------
    retriever : retriever or another step, default=None
        It is cloned and fitted. None means a default `HierarchicalRetriever`.
    n_candidates : int, default=20
        Results that are verified; each takes some milliseconds.
    min_inliers : int, default=6
    max_ratio : float, default=0.8
        A match counts if its distance is below `max_ratio` times that of the second nearest descriptor, and
        both descriptors choose each other.
    tolerance : float, default=4.0
        Pixels by which an inlier may miss its place.
    max_trials : int, default=200
        Of RANSAC, seeded: results are repeatable.
    n_neighbors : int, default=5
        Default of `kneighbors`.

    Attributes
    ----------
    retriever_ : fitted retriever
    local_features_ : list of LocalFeatures
        Of the gallery.

    References
    ----------
    .. [1] J. Philbin, O. Chum, M. Isard, J. Sivic, A. Zisserman, "Object Retrieval with Large Vocabularies
       and Fast Spatial Matching", CVPR 2007, section 4.

    Examples
    --------
    >>> from sklearn_hierret import HierarchicalRetriever
    >>> from sklearn_hierret.descriptors import SpatialVerification
    >>> step = SpatialVerification(HierarchicalRetriever(metric="cosine", alpha=0), min_inliers=8)
    >>> step.fit(X, y, RootSIFT().local_features(images))  # doctest: +SKIP
    >>> step.kneighbors(X_new, 10, local_features=RootSIFT().local_features(new_images))  # doctest: +SKIP
    """

    _parameter_constraints: dict = {
        **RerankingStep._parameter_constraints,
        "n_candidates": [Interval(Integral, 1, None, closed="left")],
        "min_inliers": [Interval(Integral, 3, None, closed="left")],
        "max_ratio": [Interval(Real, 0, 1, closed="right")],
        "tolerance": [Interval(Real, 0, None, closed="neither")],
        "max_trials": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        retriever: Any = None,
        *,
        n_candidates: int = 20,
        min_inliers: int = 6,
        max_ratio: float = 0.8,
        tolerance: float = 4.0,
        max_trials: int = 200,
        n_neighbors: int = 5,
    ) -> None:
        self.retriever = retriever
        self.n_candidates = n_candidates
        self.min_inliers = min_inliers
        self.max_ratio = max_ratio
        self.tolerance = tolerance
        self.max_trials = max_trials
        self.n_neighbors = n_neighbors

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        local_features: Sequence[LocalFeatures] | None = None,
        **params: Any,
    ) -> Any:
        """Fit the retriever; the training set becomes the gallery.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
        local_features : sequence of LocalFeatures, one for each sample
        **params : dict
            Of the retriever's `fit`; with metadata routing those that it asks for.

        Returns
        -------
        self : object
        """
        scikit_image("SpatialVerification")
        checked = _checked(local_features, X)
        super().fit(X, y, **params)
        self.local_features_ = checked
        return self

    def get_metadata_routing(self) -> MetadataRouter:
        """Route what `fit` is given to this step and to the retriever.

        Returns
        -------
        routing : MetadataRouter
        """
        return super().get_metadata_routing().add_self_request(self)

    def set_gallery(
        self,
        X: ArrayLike,
        y: ArrayLike | None = None,
        ids: ArrayLike | None = None,
        *,
        local_features: Sequence[LocalFeatures] | None = None,
        **how: Any,
    ) -> Any:
        """Replace the gallery.

        Parameters
        ----------
        X, y, ids
            See `HierarchicalRetriever.set_gallery`.
        local_features : sequence of LocalFeatures, one for each sample
        **how : dict
            Keyword arguments of `HierarchicalRetriever.set_gallery`.

        Returns
        -------
        self : object
        """
        checked = _checked(local_features, X)
        super().set_gallery(X, y, ids, **how)
        self.local_features_ = checked
        return self

    def kneighbors(
        self,
        X: ArrayLike | None = None,
        n_neighbors: int | None = None,
        return_distance: bool = True,
        *,
        local_features: Sequence[LocalFeatures] | None = None,
    ) -> Any:
        """Nearest gallery samples, verified ones first.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features), optional
            Default: the gallery, where no sample is its own neighbour.
        n_neighbors : int, optional
            Default: the parameter of that name.
        return_distance : bool, default=True
        local_features : sequence of LocalFeatures, one for each query
            Those of the gallery if `X` is None.

        Returns
        -------
        distances, indices : ndarrays of shape (n_queries, n_neighbors)
            Verified results have the query's smallest distance minus the number of inliers, which is usually
            negative. Other results keep the distances of the retriever.
        """
        k = self.checked_k(X, n_neighbors)
        gallery = self.local_features_
        widths = [one.descriptors.shape[1] for one in gallery if len(one.descriptors)]
        queries = gallery if X is None else _checked(local_features, X, next(iter(widths), None))
        n = min(max(k, self.n_candidates), self.n_samples_fit_ - (X is None))
        distances, indices = self.retriever_.kneighbors(X, n)
        inliers = np.zeros(indices.shape, dtype=np.intp)
        for i, query in enumerate(queries):
            for j in range(min(n, self.n_candidates)):
                inliers[i, j] = count_inliers(
                    query,
                    gallery[indices[i, j]],
                    max_ratio=self.max_ratio,
                    tolerance=self.tolerance,
                    max_trials=self.max_trials,
                )
        inliers[inliers < self.min_inliers] = 0
        distances = np.where(inliers > 0, distances.min(axis=1, keepdims=True) - inliers, distances)
        order = np.argsort(-inliers, axis=1, kind="stable")[:, :k]
        distances, indices = (np.take_along_axis(values, order, axis=1) for values in (distances, indices))
        return (distances, indices) if return_distance else indices

    def predict(self, X: ArrayLike, local_features: Sequence[LocalFeatures] | None = None) -> NDArray:
        """Most frequent label among the nearest neighbours; ties go to the first class.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features)
        local_features : sequence of LocalFeatures, one for each query

        Returns
        -------
        labels : ndarray of shape (n_queries,)
        """
        return self.most_frequent_label(
            self.kneighbors(X, return_distance=False, local_features=local_features)
        )


def count_inliers(
    a: LocalFeatures,
    b: LocalFeatures,
    *,
    max_ratio: float = 0.8,
    tolerance: float = 4.0,
    max_trials: int = 200,
) -> int:
    """Count the matches of two images that agree with one shift, rotation and scale.

    Parameters
    ----------
    a, b : LocalFeatures
    max_ratio, tolerance, max_trials
        See `SpatialVerification`.

    Returns
    -------
    n_inliers : int
        0 if there are fewer than three keypoints or matches, or only transforms that shrink or enlarge
        more than eight times.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_hierret.descriptors import LocalFeatures, count_inliers
    >>> rng = np.random.default_rng(0)
    >>> a = LocalFeatures(100 * rng.random((30, 2)), rng.random((30, 16)))
    >>> count_inliers(a, LocalFeatures(2 * a.keypoints + 7, a.descriptors))
    30
    """
    feature = scikit_image("count_inliers")
    if min(len(a.keypoints), len(b.keypoints)) < 3:
        return 0
    matches = feature.match_descriptors(a.descriptors, b.descriptors, max_ratio=max_ratio)
    if len(matches) < 3:
        return 0
    source, target = (part.keypoints[matches[:, i]] for i, part in enumerate((a, b)))
    # A place may have several descriptors, for several orientations: it counts once.
    places = np.unique(np.hstack([source, target]), axis=0)
    return _ransac(places[:, :2], places[:, 2:], tolerance, max_trials)


def _ransac(source: NDArray, target: NDArray, tolerance: float, max_trials: int) -> int:
    """Most places that agree with a similarity transform, through two pairs drawn at random."""
    random = np.random.RandomState(0)
    # A similarity transform is a complex line, z -> p z + q.
    z, w = (points[:, 0] + 1j * points[:, 1] for points in (source, target))
    i = random.randint(len(z), size=max_trials)
    j = (i + random.randint(1, len(z), size=max_trials)) % len(z)
    apart = z[i] - z[j]
    valid = np.abs(apart) > 1e-9
    p = (w[i] - w[j])[valid] / apart[valid]
    scale = np.abs(p)
    p, i = p[(scale > 1 / 8) & (scale < 8)], i[valid][(scale > 1 / 8) & (scale < 8)]
    if not len(p):
        return 0
    q = w[i] - p * z[i]
    errors = np.abs(p[:, None] * z[None] + q[:, None] - w[None])
    best = (errors <= tolerance)[(errors <= tolerance).sum(axis=1).argmax()]
    return min(len(np.unique(z[best])), len(np.unique(w[best])))


def _checked(local_features: Any, X: Any, width: int | None = None) -> list[LocalFeatures]:
    """Local features, one for each sample, with descriptors of one width."""
    if local_features is None:
        raise ValueError("local_features are missing: pass those of RootSIFT().local_features(images).")
    if not hasattr(X, "__len__") or not isinstance(local_features, Sequence):
        kinds = f"a {type(X).__name__} and a {type(local_features).__name__}"
        raise TypeError(f"X must be a matrix, and local_features a sequence, got {kinds}.")
    if len(local_features) != len(X):
        raise ValueError(f"There are {len(X)} samples, but local_features of {len(local_features)}.")
    results = []
    for i, one in enumerate(local_features):
        if not isinstance(one, tuple) or len(one) != 2:
            raise TypeError(
                f"local_features of sample {i}: LocalFeatures are expected, got a {type(one).__name__}."
            )
        keypoints, descriptors = (np.asarray(part) for part in one)
        if descriptors.ndim != 2 or keypoints.shape != (len(descriptors), 2):
            raise ValueError(
                f"local_features of sample {i}: keypoints (n, 2) and descriptors (n, d) are expected, got "
                f"shapes {keypoints.shape} and {descriptors.shape}."
            )
        if not np.isfinite(keypoints).all() or not np.isfinite(descriptors).all():
            raise ValueError(f"local_features of sample {i} are not finite.")
        results.append(LocalFeatures(keypoints.astype(float), descriptors))
    widths = {one.descriptors.shape[1] for one in results if len(one.descriptors)}
    widths |= set() if width is None else {width}
    if len(widths) > 1:
        raise ValueError(f"local_features have descriptors of different widths: {sorted(widths)}.")
    return results
