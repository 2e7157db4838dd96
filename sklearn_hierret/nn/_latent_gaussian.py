"""Training that makes classes of several kinds into several classes."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from sklearn.utils import check_random_state

from sklearn_hierret.nn._data import ImageDataset
from sklearn_hierret.nn._extractor import CNNFeatureExtractor


class LatentGaussianExtractor(CNNFeatureExtractor):
    """A network whose classes are nearer to Gaussians: those that it misses often are split.

    After training, each class of which too large a share is misclassified is split: its features are
    clustered, the clusters become classes, and training goes on with a new last layer. In this way
    venkataramanan2023 prepares classes with several appearances for Bhattacharyya
    coefficients [1]_. Labels and predictions are those of the classes, not of their clusters.

    Parameters
    ----------
    backbone : see `CNNFeatureExtractor`
    max_false_negative_rate : float, default=0.3
        Classes of whose training images a larger share is misclassified are split.
    max_clusters : int, default=10
        The most clusters of a class; how many is chosen as by x-means, by the Bayesian
        information criterion of spherical Gaussians.
    n_rounds : int, default=1
        How often classes are split, each time with `max_epochs` more epochs.
    **params
        See `CNNFeatureExtractor`; `loss` must be one that needs no hierarchy.

    Attributes
    ----------
    cluster_classes_ : ndarray of shape (n_clusters,)
        Position in ``classes_`` of the class of each cluster.

    References
    ----------
    .. [1] A. Venkataramanan, M. Laviale, C. Pradalier, "Integrating Visual and Semantic
       Similarity Using Hierarchies for Image Retrieval", 2023, section 4, and their [13] for the
       method; D. Pelleg, A. Moore, "X-means", ICML 2000.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_hierret.nn import LatentGaussianExtractor
    >>> digits = load_digits()
    >>> parity = digits.target % 2  # two classes of five kinds each
    >>> cnn = LatentGaussianExtractor("tiny", max_epochs=1, random_state=0, max_false_negative_rate=0)
    >>> cnn.fit(digits.images[:300] / 16, parity[:300]).predict_proba(digits.images[:2] / 16).shape
    (2, 2)
    """

    cluster_classes_: NDArray[np.intp] | None

    def __init__(
        self,
        backbone: Any = "plain11",
        *,
        max_false_negative_rate: float = 0.3,
        max_clusters: int = 10,
        n_rounds: int = 1,
        **params: Any,
    ) -> None:
        self.max_false_negative_rate = max_false_negative_rate
        self.max_clusters = max_clusters
        self.n_rounds = n_rounds
        super().__init__(backbone, **params)

    def fit(
        self, X: Any, y: ArrayLike | None = None, sample_weight: ArrayLike | None = None, **fit_params: Any
    ) -> LatentGaussianExtractor:
        """Train, split, train on.

        Parameters
        ----------
        X, y, sample_weight, **fit_params
            See `CNNFeatureExtractor.fit`.

        Returns
        -------
        self : object
        """
        self.cluster_classes_ = None
        super().fit(X, y, sample_weight, **fit_params)
        data = self._training_data(X, y, self.classes_, sample_weight)
        codes = data.codes
        for _ in range(self.n_rounds):
            features = self.features_of(ImageDataset(data.source))
            results = self.predict_proba(ImageDataset(data.source)).argmax(axis=1)
            missed = np.bincount(codes[results != codes], minlength=len(self.classes_))
            rates = missed / np.bincount(codes, minlength=len(self.classes_))
            split = np.flatnonzero(rates > self.max_false_negative_rate)
            clusters, of_cluster = self._split(features, codes, split)
            if len(of_cluster) == len(self.classes_):
                break
            with self._seeded(), self._memory_hint():
                self._go_on(ImageDataset(data.source, clusters, data.weights), of_cluster)
        return self

    def predict_proba(self, X: Any) -> NDArray[np.float32]:
        """Class probabilities, those of a class's clusters added.

        Parameters
        ----------
        X : as in `fit`

        Returns
        -------
        probabilities : ndarray of shape (n, n_classes)
        """
        proba = super().predict_proba(X)
        if self.cluster_classes_ is None:
            return proba
        summed = np.zeros((len(proba), len(self.classes_)), dtype=proba.dtype)
        np.add.at(summed.T, self.cluster_classes_, proba.T)
        return summed

    def class_codes(self, codes: NDArray) -> NDArray:
        """Find positions of classes, from those of clusters.

        Parameters
        ----------
        codes : ndarray of int
            Positions of clusters.

        Returns
        -------
        positions : ndarray of int
            Of the same shape.
        """
        return codes if self.cluster_classes_ is None else self.cluster_classes_[codes]

    def partial_fit(
        self,
        X: Any,
        y: ArrayLike | None = None,
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        **fit_params: Any,
    ) -> LatentGaussianExtractor:
        """Train on; possible only before classes are split, since new images have no clusters.

        Parameters
        ----------
        X, y, classes, sample_weight, **fit_params
            See `CNNFeatureExtractor.partial_fit`.

        Returns
        -------
        self : object
        """
        if not hasattr(self, "cluster_classes_"):
            self.cluster_classes_ = None
        if self.cluster_classes_ is not None and not isinstance(X, ImageDataset):
            raise ValueError("Classes are split: new images have no clusters. Call fit with all of them.")
        return super().partial_fit(X, y, classes, sample_weight, **fit_params)

    @property
    def n_outputs_(self) -> int:
        """Classes of the last layer."""
        return len(self.classes_) if self.cluster_classes_ is None else len(self.cluster_classes_)

    def as_class_model(self) -> Any:
        """See `CNNFeatureExtractor.as_class_model`; not for split classes.

        Returns
        -------
        class_model : HeadClassifier
            A fitted classifier.
        """
        if self.cluster_classes_ is not None:
            raise ValueError("The last layer tells clusters, not classes.")
        return super().as_class_model()

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if self.loss in ("corr", "corr+cls"):
            raise ValueError(f"loss={self.loss!r} has one place for each class: it can't be split.")
        if not 0 <= self.max_false_negative_rate <= 1:
            raise ValueError(
                f"max_false_negative_rate must be in [0, 1], got {self.max_false_negative_rate}."
            )
        if self.max_clusters < 2 or self.n_rounds < 1:
            raise ValueError("max_clusters must be at least 2 and n_rounds at least 1.")

    def _split(
        self, features: NDArray, codes: NDArray[np.intp], split: NDArray[np.intp]
    ) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Cluster of each image and class of each cluster; classes that stay are one cluster."""
        random = check_random_state(self.random_state)
        clusters = np.empty(len(codes), dtype=np.intp)
        of_cluster: list[int] = []
        for c in range(len(self.classes_)):
            own = np.flatnonzero(codes == c)
            labels = np.zeros(len(own), dtype=np.intp)
            if c in split:
                labels = x_means(features[own], self.max_clusters, random)
            clusters[own] = len(of_cluster) + labels
            of_cluster += [c] * (labels.max() + 1)
        return clusters, np.array(of_cluster)

    def _go_on(self, data: ImageDataset, of_cluster: NDArray[np.intp]) -> None:
        """Train a new last layer on the network as it is, and more epochs."""
        learnt = {name: tensor.clone() for name, tensor in self.module_.backbone.state_dict().items()}
        epochs = list(self.history)
        self.cluster_classes_ = of_cluster
        self.initialize()
        with torch.no_grad():
            self.module_.backbone.load_state_dict(learnt)
        super().partial_fit(data, data.codes)
        # Schedules begin anew, with a history of their own; here is the whole one.
        self.history[:0] = epochs


def x_means(X: NDArray, max_clusters: int, random: np.random.RandomState) -> NDArray[np.intp]:
    """Clusters by the mixture of spherical Gaussians with the least BIC, of at most so many."""
    seed = random.randint(2**31 - 1)
    X = X.astype(np.float64)
    best, least = np.zeros(len(X), dtype=np.intp), np.inf
    for k in range(1, min(max_clusters, len(X) // 2) + 1):
        mixture = GaussianMixture(
            k, covariance_type="spherical", reg_covar=1e-6 * float(X.var()) + 1e-12, random_state=seed
        )
        with warnings.catch_warnings():
            # Fewer distinct images than clusters, or no convergence: the criterion tells.
            warnings.simplefilter("ignore", ConvergenceWarning)
            labels = mixture.fit_predict(X)
        bic = mixture.bic(X)
        if bic < least:
            best, least = np.unique(labels, return_inverse=True)[1], bic
    return best
