"""Ranking metrics in loops."""

import numpy as np


def average_precision(label, retrieved, k, n_relevant, denominator):
    if n_relevant == 0:
        return np.nan
    hits, total = 0, 0.0
    for i in range(1, k + 1):
        if retrieved[i - 1] == label:
            hits += 1
            total += hits / i
    divisor = {"min": min(n_relevant, k), "relevant": n_relevant, "k": k, "hits": max(hits, 1)}
    return total / divisor[denominator]


def hierarchical_precision(label, retrieved, gallery, k, similarity):
    """`gallery` without the query itself."""
    gained = sum(similarity(label, r) for r in retrieved[:k])
    best = sum(sorted((similarity(label, g) for g in gallery), reverse=True)[:k])
    return gained / best if best > 0 else np.nan


def average_hierarchical_precision(label, retrieved, gallery, k, similarity):
    curve = [hierarchical_precision(label, retrieved, gallery, i, similarity) for i in range(1, k + 1)]
    return np.mean(curve)
