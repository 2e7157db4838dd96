"""Nearest neighbours of all rows of a collection, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import MiniBatchKMeans

from sklearn_hierret._arrays import row_chunks

#: Up to so many rows all pairs are compared.
MOST_EXACT = 30_000
#: Above it each row is compared with those of the cells nearest to its own, of about so many rows each.
CELL_SIZE, N_PROBES = 1000, 5
#: Rows that cells are made of.
MOST_SEEDS = 50_000
#: MiB of similarities at once.
CHUNK = 128


def nearest_of_all(rows: NDArray, n_neighbors: int) -> tuple[NDArray, NDArray[np.intp]]:
    """Find the nearest neighbours of each row among the others.

    Exact up to 30,000 rows. Above, rows fall into cells by k-means, and each is compared with those of the
    five cells nearest to its own: near copies share a cell or stand on both sides of a border, and are
    missed where they do neither.

    Parameters
    ----------
    rows : ndarray of shape (n_rows, n_features)
        Unit or zero rows.
    n_neighbors : int
        Less than the number of rows.

    Returns
    -------
    distances : ndarray of shape (n_rows, n_neighbors)
        Cosine distances, rising; infinite where the cells hold too few rows.
    indices : ndarray of the same shape
        -1 there.
    """
    n = len(rows)
    distances = np.full((n, n_neighbors), np.inf, dtype=rows.dtype)
    indices = np.full((n, n_neighbors), -1, dtype=np.intp)
    for queries, others in _blocks(rows):
        k = min(n_neighbors, len(others) - 1)
        if k < 1:
            continue
        candidates = rows[others]
        for chunk in row_chunks(len(queries), 3 * rows.itemsize * len(others), at_most=CHUNK):
            batch = queries[chunk]
            similarities = rows[batch] @ candidates.T
            place = np.searchsorted(others, batch)
            similarities[np.arange(len(batch)), place] = -np.inf
            best = np.argpartition(similarities, -k, axis=1)[:, -k:]
            values = np.take_along_axis(similarities, best, axis=1)
            order = np.lexsort((others[best], -values), axis=1)
            distances[batch, :k] = 1 - np.take_along_axis(values, order, axis=1)
            indices[batch, :k] = others[np.take_along_axis(best, order, axis=1)]
    return np.maximum(distances, 0), indices


def _blocks(rows: NDArray) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Yield rows, and the sorted rows that they are compared with."""
    n = len(rows)
    if n <= MOST_EXACT:
        yield np.arange(n), np.arange(n)
        return
    random_state = np.random.RandomState(0)
    seeds = rows[np.sort(random_state.permutation(n)[:MOST_SEEDS])]
    n_cells = min(n // CELL_SIZE, len(seeds) // 4)
    cells = MiniBatchKMeans(
        n_cells, init="random", n_init=1, max_iter=10, batch_size=10_000, random_state=0
    ).fit(seeds)
    centers = cells.cluster_centers_.astype(rows.dtype)
    offsets = (centers**2).sum(axis=1) / 2
    cell = np.empty(n, dtype=np.intp)
    for chunk in row_chunks(n, 8 * n_cells):
        cell[chunk] = (rows[chunk] @ centers.T - offsets).argmax(axis=1)
    order = np.argsort(cell, kind="stable")
    members = np.split(order, np.cumsum(np.bincount(cell, minlength=n_cells))[:-1])
    squared = (centers**2).sum(axis=1)
    for c in range(n_cells):
        if not len(members[c]):
            continue
        near = np.argsort(squared - 2 * centers @ centers[c], kind="stable")[:N_PROBES]
        yield members[c], np.sort(np.concatenate([members[other] for other in {c, *near.tolist()}]))
