"""The temperature of class probabilities."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax


def best_temperature(scores: NDArray[np.float64], codes: NDArray[np.intp]) -> float:
    """The temperature that makes ``softmax(scores / T)`` most likely to give the true classes.

    Parameters
    ----------
    scores : ndarray of shape (n_samples, n_classes)
        Log-probabilities up to a constant a sample.
    codes : ndarray of shape (n_samples,)
        True class of each sample.
    """
    own = np.arange(len(codes)), codes

    def loss(log_temperature: float) -> float:
        return -float(log_softmax(scores * np.exp(-log_temperature), axis=1)[own].mean())

    found = minimize_scalar(loss, bounds=np.log([0.05, 200.0]), method="bounded", options={"xatol": 1e-3})
    return float(np.exp(found.x))
