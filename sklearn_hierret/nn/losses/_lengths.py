"""Lengths and distances with slopes everywhere."""

from __future__ import annotations

import torch
from torch import Tensor


def lengths(vectors: Tensor) -> Tensor:
    """Of the last axis; above 0, since the root has no slope there."""
    return vectors.pow(2).sum(dim=-1).clamp(min=1e-12).sqrt()


def square_distances(a: Tensor, b: Tensor) -> Tensor:
    """Squared Euclidean distances (n, m) of (n, d) and (m, d), without their n m d differences."""
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist").pow(2).clamp(min=1e-12)
