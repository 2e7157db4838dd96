"""Leaves of samples: one class each, or the few most probable classes of each.

A leaf is a row of (leaf, probability) pairs: one pair of probability 1 if it is hard. The remaining
probability lies on the root, whose distance from every class is 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Classes that a soft leaf keeps (docs/defaults.md).
N_KEPT = 16
#: Less than this is rounding of probabilities that should sum to 1.
NO_MASS = 1e-6


def float_dtype(X: Any) -> np.dtype:
    """Return the dtype of X if it is a float, else float64."""
    return X.dtype if X.dtype.kind == "f" else np.dtype(np.float64)


def leaf_dtype(dtype: np.dtype) -> np.dtype:
    """Return the dtype of leaves whose probabilities have some dtype."""
    return np.dtype([("leaf", np.int32), ("probability", dtype)])


def soft_leaves(codes: NDArray, probabilities: NDArray, dtype: np.dtype) -> NDArray:
    """Make leaves of positions of classes and their probabilities, both (n_samples, n_kept)."""
    leaves = np.zeros(codes.shape, dtype=leaf_dtype(dtype))
    leaves["leaf"], leaves["probability"] = codes, probabilities
    return leaves


def hard_leaves(classes: NDArray[np.intp], dtype: np.dtype) -> NDArray:
    """Make leaves that lie on one class each, (n_samples, 1)."""
    return soft_leaves(classes[:, None], np.ones((len(classes), 1)), dtype)


def scaled_leaves(leaves: NDArray, factor: Any) -> NDArray:
    """Scale the probabilities of leaves by a factor for each leaf or entry; the rest lies on the root."""
    leaves = leaves.copy()
    factor = np.asarray(factor, dtype=leaves.dtype["probability"])
    leaves["probability"] *= factor if factor.ndim == 2 else factor.reshape(-1, 1)
    return leaves


def likeliest(leaves: NDArray) -> NDArray[np.intp]:
    """Return the most probable class of each sample."""
    return leaves["leaf"][:, 0].astype(np.intp)


def unassigned(leaves: NDArray) -> NDArray[np.float64]:
    """Return the probability that leaves leave to the root; 0 where it may be rounding."""
    left = np.ones(len(leaves))
    for column in leaves["probability"].T:  # one order, whatever the batch
        left -= column
    return np.where(left > NO_MASS, left, 0.0)


def joined_leaves(batches: list[NDArray]) -> NDArray:
    """Join leaves that may keep different numbers of classes."""
    width = max(batch.shape[1] for batch in batches)
    leaves = np.zeros((sum(map(len, batches)), width), dtype=batches[0].dtype)
    start = 0
    for batch in batches:
        leaves[start : start + len(batch), : batch.shape[1]] = batch
        start += len(batch)
    return leaves
