"""The discriminant model by loops and dense inverses."""

import numpy as np


def within_covariance(U, y):
    """Pooled covariance of unit rows within classes."""
    scatter = np.zeros((U.shape[1], U.shape[1]))
    for c in np.unique(y):
        for row in U[y == c] - U[y == c].mean(axis=0):
            scatter += np.outer(row, row)
    return scatter / (len(U) - len(np.unique(y)))


def whitened(U, y, shrinkage):
    """Rows and class means less the mean of all, whitened by an inverse square root."""
    d = U.shape[1]
    S = within_covariance(U, y)
    S = (1 - shrinkage) * S + shrinkage * np.trace(S) / d * np.eye(d)
    values, vectors = np.linalg.eigh(S)
    root = vectors @ np.diag(values**-0.5) @ vectors.T
    means = np.array([U[y == c].mean(axis=0) for c in np.unique(y)])
    return (U - U.mean(axis=0)) @ root, (means - U.mean(axis=0)) @ root


def cosines_in_discriminant_space(U, y, shrinkage):
    """Of all rows, after projection to the span of the whitened class means."""
    rows, means = whitened(U, y, shrinkage)
    span = np.linalg.pinv(means) @ means  # the projector onto it
    rows = rows @ span
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return rows @ rows.T


def votes(Z, candidates, kept, codes, counts, most, width):
    """Shares of the candidates in the votes of the first kept rows of each."""
    result = np.zeros(candidates.shape)
    for i, z in enumerate(Z):
        for j, c in enumerate(candidates[i]):
            rows = kept[codes == c][:most]
            if len(rows):
                weight = counts[c] / len(rows)
                result[i, j] = weight * sum(np.exp((z @ row - 1) / width) for row in rows)
        result[i] /= result[i].sum()
    return result
