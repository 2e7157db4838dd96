"""The temperature of class probabilities."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from sklearn_hierret._training import TrainingSet

#: Folds that a temperature is chosen in.
N_FOLDS = 5
#: Scores of held-out samples that it is chosen by.
MOST_SCORES = 1 << 24


def held_out_temperature(
    training: TrainingSet, scores_of: Callable[[TrainingSet, NDArray], tuple[NDArray, NDArray]]
) -> float:
    """Choose the temperature that makes the labels of held-out samples likeliest.

    ``scores_of(rest, X)`` gives the classes of a model fitted to the rest, and the scores of samples.
    """
    X, classes = training.X, training.classes
    if np.bincount(training.codes).max() < N_FOLDS:
        raise ValueError(
            f"temperature='auto' holds samples out in {N_FOLDS} folds, and no class has this many samples: "
            "give a number."
        )
    limit = max(1, MOST_SCORES // (N_FOLDS * len(classes)))
    scores, codes = [], []
    for train, test in training.stratified_folds(N_FOLDS):
        present, rest_codes = np.unique(training.codes[train], return_inverse=True)
        rows = test[np.isin(training.codes[test], present)][:limit]
        if len(rows):
            held_out = np.full((len(rows), len(classes)), -np.inf)
            rest = TrainingSet(X[train], classes[present], rest_codes)
            known, held_out_scores = scores_of(rest, X[rows])
            held_out[:, np.searchsorted(classes, known)] = held_out_scores
            scores.append(held_out)
            codes.append(training.codes[rows])
    return best_temperature(np.concatenate(scores), np.concatenate(codes))


def best_temperature(scores: NDArray[np.float64], codes: NDArray[np.intp]) -> float:
    """Find the temperature at which ``softmax(scores / T)`` is likeliest to give the true classes."""
    true_class = np.arange(len(codes)), codes

    def loss(log_temperature: float) -> float:
        return -float(log_softmax(scores * np.exp(-log_temperature), axis=1)[true_class].mean())

    result = minimize_scalar(loss, bounds=np.log([0.05, 200.0]), method="bounded", options={"xatol": 1e-3})
    return float(np.exp(result.x))
