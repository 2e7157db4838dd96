"""Exact search of ``D = D_C + alpha D_H`` in chunks: arrays in, arrays out.

Ties are in one total order, (distance, gallery index). Plain matrix products round
differently in batches of different shapes, so they only select candidates, within a
margin that covers their error; the candidates' distances are then computed pair by
pair in float64, in an order that no batch changes.
"""

from __future__ import annotations

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray

from sklearn_hierret._arrays import row_chunks
from sklearn_hierret.search._leaf_distance import LeafDistance


def unit_rows(X: NDArray) -> tuple[NDArray, NDArray[np.float64]]:
    """Rows divided by their norms, and the norms; zero rows stay zero.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features), float32 or float64

    Returns
    -------
    unit : ndarray of shape (n_samples, n_features), in the dtype of `X`
    norms : ndarray of shape (n_samples,)
    """
    unit = np.empty_like(X, order="C")
    norms = np.empty(len(X))
    for rows in row_chunks(len(X), 16 * X.shape[1]):
        # Scaled by the largest entry first, so that squares neither overflow nor vanish.
        values = X[rows].astype(np.float64)
        scale = np.abs(values).max(axis=1)
        safe = np.where(scale > 0, scale, 1.0)
        values /= safe[:, None]
        length = np.sqrt(np.einsum("ij,ij->i", values, values))
        values /= np.where(length > 0, length, 1.0)[:, None]
        unit[rows] = values
        norms[rows] = length * scale
    return unit, norms


def search(
    queries: NDArray,
    gallery: NDArray,
    n_neighbors: int,
    *,
    leaf_distance: LeafDistance | None = None,
    alpha: float = 0.0,
    exclude_self: bool = False,
    n_jobs: int | None = None,
) -> tuple[NDArray, NDArray[np.intp]]:
    """Nearest gallery items by ``D = D_C + alpha D_H`` (venkataramanan2023, eq. 6).

    Parameters
    ----------
    queries : ndarray of shape (n_queries, n_features)
        Rows of unit length or zero.
    gallery : ndarray of shape (n_gallery, n_features)
        Rows of unit length or zero, of the dtype of `queries`.
    n_neighbors : int
    leaf_distance : HardLeafDistance or SoftLeafDistance, optional
        Not needed for `alpha` 0.
    alpha : float, default=0.0
        Weight of D_H; infinity orders by (D_H, D_C, index) and returns D_H.
    exclude_self : bool, default=False
        The queries are the gallery, and none is its own neighbour.
    n_jobs : int, optional
        Threads, over chunks of queries.

    Returns
    -------
    distances : ndarray of shape (n_queries, n_neighbors), in the dtype of `queries`
        Ascending.
    indices : ndarray of shape (n_queries, n_neighbors)
        Equal distances in ascending order of the index.
    """
    n_gallery = len(gallery)
    part = None if alpha == 0 else leaf_distance
    # Per query: the block, D_H's, the partitioned copy, the mask; candidates rarely matter.
    chunks = list(row_chunks(len(queries), n_gallery * (3 * queries.itemsize + 1)))
    found = Parallel(n_jobs=n_jobs, prefer="threads")(
        delayed(_search_chunk)(queries, gallery, rows, n_neighbors, part, alpha, exclude_self)
        for rows in chunks
    )
    distances = np.empty((len(queries), n_neighbors), dtype=queries.dtype)
    indices = np.empty((len(queries), n_neighbors), dtype=np.intp)
    with np.errstate(over="ignore"):  # an alpha near the largest float32 can end in infinity
        for rows, (d, i) in zip(chunks, found, strict=True):
            distances[rows], indices[rows] = d, i
    return distances, indices


def cosine_pairs(
    queries: NDArray, gallery: NDArray, i: NDArray[np.intp], j: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Cosine distances of single pairs of unit rows, in float64, the same in every batch."""
    dots = np.empty(len(i))
    for s in row_chunks(len(i), 32 * queries.shape[1]):
        left, right = queries[i[s]].astype(np.float64), gallery[j[s]].astype(np.float64)
        np.einsum("ij,ij->i", left, right, out=dots[s])
    return np.clip(1.0 - dots, 0.0, 2.0)


def _search_chunk(
    queries: NDArray,
    gallery: NDArray,
    rows: slice,
    k: int,
    part: LeafDistance | None,
    alpha: float,
    exclude_self: bool,
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    approximate, error = _approximate_distances(queries, gallery, rows, part, alpha)
    if exclude_self:
        own = np.arange(rows.start, rows.stop)
        approximate[own - rows.start, own] = np.inf
    # The k nearest are at most 2 errors above the k-th smallest approximate distance.
    limit = np.partition(approximate, k - 1, axis=1)[:, k - 1 : k]
    n_rows, n_gallery = approximate.shape
    distances = np.empty((n_rows, k))
    indices = np.empty((n_rows, k), dtype=np.intp)
    candidates = approximate <= limit + 2 * error
    del approximate
    if exclude_self:
        candidates[own - rows.start, own] = False
    counts = candidates.sum(axis=1)
    for some in _runs(counts, max(n_gallery, 1 << 20)):
        row, item = np.nonzero(candidates[some])
        query = row + (rows.start + some.start)
        cosine = cosine_pairs(queries, gallery, query, item)
        hierarchical = None if part is None else part.pairs(query, item)
        if hierarchical is None:
            keys: tuple[NDArray, ...] = (cosine, row)
            distance = cosine
        elif np.isinf(alpha):
            keys, distance = (cosine, hierarchical, row), hierarchical
        else:
            distance = cosine + alpha * hierarchical
            keys = (distance, row)
        order = np.lexsort((item, *keys))
        first = np.concatenate([[0], np.cumsum(counts[some])[:-1]])
        take = order[first[:, None] + np.arange(k)]
        distances[some], indices[some] = distance[take], item[take]
    return distances, indices


def _approximate_distances(
    queries: NDArray, gallery: NDArray, rows: slice, part: LeafDistance | None, alpha: float
) -> tuple[NDArray, float]:
    """A block of numbers in the order of D, by matrix products, and their rounding error.

    They are D / max(1, alpha), so that no alpha overflows; where D_H alone decides (its
    distinct values times alpha lie further apart than any two cosine distances), they
    are D_C + 4 rank(D_H).
    """
    d, dtype = queries.shape[1], queries.dtype
    eps = float(np.finfo(dtype).eps)
    block = queries[rows] @ gallery.T
    np.subtract(1, block, out=block)
    if part is None:
        return block, eps * (d + 8)
    if part.decides(alpha):
        hierarchical = part.block(rows, dtype, ranked=True)
        hierarchical *= 4
        error = d + 8 + 2 * float(hierarchical.max())
    else:
        scale = max(1.0, alpha)
        hierarchical = part.block(rows, dtype)
        weight = 1.0 if scale == alpha else alpha
        hierarchical *= weight
        block *= dtype.type(1 / scale)  # 0 for huge alphas
        error = (d + 8) / scale + (part.n_terms + 8) * weight
    block += hierarchical
    return block, eps * error


def _runs(counts: NDArray[np.intp], limit: int) -> list[slice]:
    """Consecutive rows with at most `limit` candidates together (one row at least)."""
    runs, start, total = [], 0, 0
    for i, count in enumerate(counts.tolist()):
        if total and total + count > limit:
            runs.append(slice(start, i))
            start, total = i, 0
        total += count
    runs.append(slice(start, len(counts)))
    return runs
