"""The linear part of the class model: class directions, and logistic regression drawn to them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

#: Passes over the rows.
N_PASSES = 25


def logistic_regression(
    Z: NDArray,
    codes: NDArray[np.intp],
    weights: NDArray,
    prior: tuple[NDArray, NDArray],
    penalty: float,
    start: tuple[NDArray, NDArray] | None = None,
) -> tuple[NDArray, NDArray]:
    """Multinomial logistic regression whose coefficients are drawn to given ones, not to zero.

    It minimises ``-sum w log p(y) + penalty / 2 |W - W0|^2`` by L-BFGS, with a bounded number of passes.

    Parameters
    ----------
    Z : ndarray of shape (n_rows, n_components)
    codes : ndarray of shape (n_rows,)
        Class of each row.
    weights : ndarray of shape (n_rows,)
        How many samples each row stands for.
    prior : (coefficients, intercepts) of shapes (n_classes, n_components) and (n_classes,)
        W0, and where the intercepts start, which are not penalised.
    penalty : float
    start : (coefficients, intercepts), optional
        Default: `prior`.

    Returns
    -------
    coefficients : ndarray of shape (n_classes, n_components)
    intercepts : ndarray of shape (n_classes,)
    """
    (W0, b0), dtype, n = prior, Z.dtype, float(weights.sum())
    shape, own = W0.shape, (np.arange(len(Z)), codes)
    base = Z @ W0.T + b0
    weights = weights.astype(dtype)

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        W, b = _unflattened(flat, shape)
        scores = Z @ W.T.astype(dtype)
        scores += base
        scores += b.astype(dtype)
        scores -= scores.max(axis=1, keepdims=True)
        of_own = scores[own]
        np.exp(scores, out=scores)
        total = scores.sum(axis=1)
        value = float((weights * (np.log(total) - of_own)).sum(dtype=np.float64))
        scores *= (weights / total)[:, None]
        scores[own] -= weights
        gradient = np.concatenate([(scores.T @ Z).ravel(), scores.sum(axis=0)]).astype(np.float64)
        gradient[: W.size] += penalty * flat[: W.size]
        return (value + penalty / 2 * float(flat[: W.size] @ flat[: W.size])) / n, gradient / n

    begin = np.zeros(W0.size + len(b0))
    if start is not None:
        begin = np.concatenate([(start[0] - W0).ravel(), start[1] - b0]).astype(np.float64)
    options = {"maxiter": N_PASSES, "maxfun": N_PASSES + 5}
    W, b = _unflattened(minimize(loss, begin, jac=True, method="L-BFGS-B", options=options).x, shape)
    return W0 + W.astype(dtype), b0 + b.astype(dtype)


def _unflattened(
    flat: NDArray[np.float64], shape: tuple[int, int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    n = shape[0] * shape[1]
    return flat[:n].reshape(shape), flat[n:]
