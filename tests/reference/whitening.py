"""Whitening within classes, a sample and a class at a time."""

import numpy as np


def within_covariance(U, y):
    """Pooled covariance within classes of rows, divided by n - K."""
    total = np.zeros((U.shape[1], U.shape[1]))
    for label in set(y.tolist()):
        mean = np.mean([u for u, own in zip(U, y, strict=True) if own == label], axis=0)
        for u, own in zip(U, y, strict=True):
            if own == label:
                total += np.outer(u - mean, u - mean)
    return total / (len(U) - len(set(y.tolist())))


def whitened(X, y, Q, shrinkage):
    """Rows of Q, whitened by what X and y say: the formula, by a symmetric square root."""
    U = np.array([x / np.linalg.norm(x) for x in X])
    W, mean = within_covariance(U, y), U.mean(axis=0)
    d = X.shape[1]
    shrunk = (1 - shrinkage) * W + shrinkage * np.trace(W) / d * np.eye(d)
    values, vectors = np.linalg.eigh(shrunk)
    root = vectors @ np.diag(values**-0.5) @ vectors.T
    rows = []
    for q in Q:
        z = root @ (q / np.linalg.norm(q) - mean)
        rows.append(z / np.linalg.norm(z))
    return np.array(rows)


def two_covariance_cosines(X, y, Q, shrinkage, between_shrinkage):
    """Cosines of whitened rows, weighed by the cross term of the two-covariance model."""
    U = np.array([x / np.linalg.norm(x) for x in X])
    W, mean, d = within_covariance(U, y), U.mean(axis=0), X.shape[1]
    shrunk = (1 - shrinkage) * W + shrinkage * np.trace(W) / d * np.eye(d)
    values, vectors = np.linalg.eigh(shrunk)
    root = vectors @ np.diag(values**-0.5) @ vectors.T
    labels = sorted(set(y.tolist()))
    means = np.array([root @ (U[y == label].mean(axis=0) - mean) for label in labels])
    B = np.cov(means.T) - np.mean([1 / np.sum(y == label) for label in labels]) * root @ W @ root
    b, axes = np.linalg.eigh(B)
    b = np.maximum(b, 0)
    b = (1 - between_shrinkage) * b + between_shrinkage * b.mean()
    weight = axes @ np.diag(np.sqrt(b / (1 + 2 * b))) @ axes.T
    Z = np.array([weight @ root @ (q / np.linalg.norm(q) - mean) for q in Q])
    Z /= np.linalg.norm(Z, axis=1, keepdims=True)
    return Z @ Z.T
