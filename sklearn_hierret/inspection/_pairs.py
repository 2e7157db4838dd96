"""Nearest neighbours of all rows of a collection, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import MiniBatchKMeans

from sklearn_hierret._arrays import row_chunks, unit_rows

#: Up to so many rows all pairs are compared.
MOST_EXACT = 30_000
#: Above it each row is compared with those of the cells nearest to its own, of about so many rows each.
CELL_SIZE, N_PROBES = 1000, 5
#: Larger cells, in units of that size, are cut into halves.
LARGE = 3
#: Rows that cells are made of.
MOST_SEEDS = 50_000
#: MiB of similarities at once, and columns whose best value tells whether one of them can be a neighbour.
CHUNK, GROUP = 32, 32


def nearest_of_all(rows: NDArray, n_neighbors: int) -> tuple[NDArray, NDArray[np.intp]]:
    """Find the nearest neighbours of each row among the others.

    Exact up to 30,000 rows. Above, rows fall into cells by spherical k-means, and each is compared with those
    of the five cells nearest to its own: near copies share a cell or stand on both sides of a border, and are
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
        for chunk in row_chunks(len(queries), rows.itemsize * len(others), at_most=CHUNK):
            batch = queries[chunk]
            similarities = rows[batch] @ candidates.T
            similarities[np.arange(len(batch)), np.searchsorted(others, batch)] = -np.inf
            best = _largest(similarities, k)
            values = np.take_along_axis(similarities, best, axis=1)
            order = np.lexsort((others[best], -values), axis=1)
            distances[batch, :k] = 1 - np.take_along_axis(values, order, axis=1)
            indices[batch, :k] = others[np.take_along_axis(best, order, axis=1)]
    return np.maximum(distances, 0), indices


def _largest(values: NDArray, k: int) -> NDArray[np.intp]:
    """Return the columns of the k largest values of each row.

    They lie in the k groups of columns with the largest maxima, so that few of them are sorted.
    """
    n, width = values.shape
    n_groups = width // GROUP
    if n_groups < 4 * k:
        return np.argpartition(values, -k, axis=1)[:, -k:]
    # Group g holds the columns g, g + n_groups, ...: maxima of whole rows of numbers are fast.
    maxima = values[:, : n_groups * GROUP].reshape(n, GROUP, n_groups).max(axis=1)
    group = np.argpartition(maxima, -k, axis=1)[:, -k:]
    columns = (group[:, :, None] + n_groups * np.arange(GROUP)).reshape(n, -1)
    rest = np.broadcast_to(np.arange(n_groups * GROUP, width), (n, width - n_groups * GROUP))
    columns = np.concatenate([columns, rest], axis=1)
    best = np.argpartition(np.take_along_axis(values, columns, axis=1), -k, axis=1)[:, -k:]
    return np.take_along_axis(columns, best, axis=1)


def _blocks(rows: NDArray) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Yield rows, and the sorted rows that they are compared with."""
    n = len(rows)
    if n <= MOST_EXACT:
        yield np.arange(n), np.arange(n)
        return
    members = [part for cell in _cells(rows) for part in _halves(rows, cell)]
    centers = unit_rows(np.stack([rows[cell].mean(axis=0) for cell in members]))[0]
    for cell, center in zip(members, centers, strict=True):
        near = np.argsort(-(centers @ center), kind="stable")[:N_PROBES]
        yield cell, np.unique(np.concatenate([cell, *(members[other] for other in near)]))


def _cells(rows: NDArray) -> list[NDArray[np.intp]]:
    """Assign rows to the directions that k-means finds; sums of few rows draw no others to them."""
    n, random_state = len(rows), np.random.RandomState(0)
    seeds = rows[np.sort(random_state.permutation(n)[:MOST_SEEDS])]
    n_cells = min(n // CELL_SIZE, len(seeds) // 4)
    k_means = MiniBatchKMeans(
        n_cells, init="random", n_init=1, max_iter=10, batch_size=10_000, random_state=0
    ).fit(seeds)
    centers = unit_rows(k_means.cluster_centers_.astype(rows.dtype))[0]
    cell = np.empty(n, dtype=np.intp)
    for chunk in row_chunks(n, rows.itemsize * n_cells, at_most=CHUNK):
        cell[chunk] = (rows[chunk] @ centers.T).argmax(axis=1)
    order = np.argsort(cell, kind="stable")
    parts = np.split(order, np.cumsum(np.bincount(cell, minlength=n_cells))[:-1])
    return [part for part in parts if len(part)]


def _halves(rows: NDArray, cell: NDArray[np.intp]) -> Iterator[NDArray[np.intp]]:
    """Cut a large cell at the median along what separates two of its rows, and again."""
    if len(cell) <= LARGE * CELL_SIZE:
        yield cell
        return
    first = rows[cell] @ rows[cell[0]]
    along = rows[cell] @ (rows[cell[first.argmin()]] - rows[cell[0]])
    order = np.argsort(along, kind="stable")
    for part in np.array_split(order, 2):
        yield from _halves(rows, cell[np.sort(part)])
