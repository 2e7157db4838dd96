"""Leaves of samples as arrays, and the distances between them."""

from sklearn_hierret.leaves._expected import expected_distances, leaf_matrix
from sklearn_hierret.leaves._leaves import (
    N_KEPT,
    NO_MASS,
    float_dtype,
    hard_leaves,
    joined_leaves,
    leaf_dtype,
    likeliest,
    scaled_leaves,
    soft_leaves,
    unassigned,
)

__all__ = [
    "NO_MASS",
    "N_KEPT",
    "expected_distances",
    "float_dtype",
    "hard_leaves",
    "joined_leaves",
    "leaf_dtype",
    "leaf_matrix",
    "likeliest",
    "scaled_leaves",
    "soft_leaves",
    "unassigned",
]
