"""Search by the full distance matrix and a stable sort."""

import numpy as np


def cosine_distance(x, z):
    nx, nz = np.linalg.norm(x), np.linalg.norm(z)
    return 1.0 if nx == 0 or nz == 0 else 1.0 - x @ z / (nx * nz)


def hard_distances(query_leaves, gallery_leaves, U):
    return np.array([[U[q, i] for i in gallery_leaves] for q in query_leaves])


def soft_distances(query_proba, gallery_proba, U):
    return np.array([[p @ U @ r for r in gallery_proba] for p in query_proba])


def scaled_distances(distances, query_factors, gallery_factors):
    """D_H where classes are believed by a factor only, and the root, 1 from everything, by the rest."""
    return np.array(
        [
            [1 - a * b * (1 - d) for b, d in zip(gallery_factors, row, strict=True)]
            for a, row in zip(query_factors, distances, strict=True)
        ]
    )


def neighbours(queries, gallery, k, alpha=0.0, hierarchical=None, exclude_self=False):
    """(distances, indices) in the order of (distance, index), or (D_H, D_C, index) for inf."""
    distances, indices = [], []
    for q, x in enumerate(queries):
        items = []
        for i, z in enumerate(gallery):
            if exclude_self and i == q:
                continue
            dc = cosine_distance(x, z)
            dh = 0.0 if hierarchical is None else hierarchical[q, i]
            items.append((dh, dc, i, dh) if np.isinf(alpha) else (dc + alpha * dh, i, 0, dc + alpha * dh))
        items.sort()
        indices.append([item[2] if np.isinf(alpha) else item[1] for item in items[:k]])
        distances.append([item[3] for item in items[:k]])
    return np.array(distances), np.array(indices)
