"""The last layer of a network as a classifier of its features."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_array

from sklearn_hierret.nn._net import ImageNeuralNet


class HeadClassifier(ClassifierMixin, BaseEstimator):
    """A fitted network's own probabilities, from the features that its `transform` gives.

    Make one with `CNNFeatureExtractor.as_class_model`. Fitting it does nothing, and cloning
    returns the same object, since the network is already trained.

    Parameters
    ----------
    network : fitted CNNFeatureExtractor
    """

    def __init__(self, network: ImageNeuralNet) -> None:
        self.network = network

    @property
    def classes_(self) -> NDArray:
        return self.network.classes_

    @property
    def n_features_in_(self) -> int:
        return self.network.n_features_out_

    def fit(self, X: ArrayLike, y: Any = None) -> HeadClassifier:
        """Do nothing."""
        return self

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float32]:
        """Class probabilities of features, shape (n_samples, n_classes)."""
        X = check_array(X, dtype=np.float32)
        if X.shape[1] != self.n_features_in_:
            raise ValueError(
                f"X has {X.shape[1]} features, but the network's classifier takes {self.n_features_in_}."
            )
        objective = self.network.module_.objective.eval()
        with torch.inference_mode():
            outputs = objective(torch.from_numpy(X).to(self.network.device))
            return objective.probabilities(outputs).cpu().numpy()

    def predict(self, X: ArrayLike) -> NDArray:
        """Most probable class of each sample."""
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    def __sklearn_clone__(self) -> HeadClassifier:
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return True
