"""Visits compiled by numba, which is optional: row by row, with limits that fall at each.

They are faster where bounds leave little of the gallery to visit, or there are few queries, and find
the same candidates.
"""

from __future__ import annotations

import numpy as np
from numba import njit

#: Queries that are compared with a block in turn.
SIDE_BY_SIDE = 16
#: Candidates of a query beyond two for each neighbour, before they are thinned out.
SLACK = 32
_FAST = {"reassoc", "contract", "nsz"}


@njit(nogil=True, cache=True, fastmath=_FAST)
def _dot(a, i, b, j):
    total = a[i, 0] * b[j, 0]
    for column in range(1, a.shape[1]):
        total += a[i, column] * b[j, column]
    return total


@njit(nogil=True, cache=True, fastmath=_FAST)
def _expected(distances, q, leaf, probability, left, start, out):
    """Compute the expected D_H of a query to rows."""
    for i in range(out.size):
        out[i] = left[start + i]
    for j in range(leaf.shape[0]):
        for i in range(out.size):
            out[i] += distances[q, leaf[j, start + i]] * probability[j, start + i]


@njit(nogil=True, cache=True)
def leaf_distances(distances, queries, rows, leaf, probability, left):
    """`leaf_distances` of an index, bit for bit: no fast arithmetic here."""
    out = np.empty(len(rows))
    for i in range(len(rows)):
        total = left[rows[i]]
        for j in range(leaf.shape[0]):
            total += distances[queries[i], leaf[j, rows[i]]] * np.float64(probability[j, rows[i]])
        out[i] = total
    return out


@njit(nogil=True, cache=True)
def _thinned(row, number, n, k, most, margin):
    """Keep what may be among the k nearest of the first n; how many there are, and the limit."""
    if n >= k:
        most = min(most, np.partition(number[:n], k - 1)[k - 1] + margin)
    kept = 0
    for i in range(n):
        if number[i] <= most:
            row[kept], number[kept] = row[i], number[i]
            kept += 1
    return kept, most


@njit(nogil=True, cache=True)
def visit(
    queries, unit, leaf, probability, left, distances, floors, todo, starts, allowed, own_row,
    k, limit, margin, weight, leaf_weight, most_candidates,
):  # fmt: skip
    """Candidates of each query in the blocks that it is to visit, and its limit, which falls.

    `own_row`, `allowed` and `leaf` are empty where there is nothing to say. With more than
    `most_candidates` it stops.

    Returns
    -------
    query, row, number : ndarrays of shape (n_candidates,)
        As in `Candidates`.
    """
    query, results, number = np.empty(0, np.uint16), np.empty(0, np.intp), np.empty(0)
    n_blocks, n_most, total = starts.size - 1, np.diff(starts).max(), 0
    expected = np.zeros(n_most, unit.dtype)
    # Several queries see a block while it is in the caches.
    size = min(SIDE_BY_SIDE, len(queries))
    rows, numbers = np.empty((size, 2 * k + SLACK), np.intp), np.empty((size, 2 * k + SLACK))
    best, counts = np.empty(size, np.intp), np.empty(size, np.intp)
    # What rules out more comes first.
    is_soft = leaf.shape[0] > 0
    leaves_first = is_soft and leaf_weight > 2 * weight
    for begin in range(0, len(queries), size):
        end = min(begin + size, len(queries))
        for q in range(begin, end):
            counts[q - begin], best[q - begin] = 0, -1
            for b in range(n_blocks):
                if todo[q, b] and (best[q - begin] < 0 or floors[q, b] < floors[q, best[q - begin]]):
                    best[q - begin] = b
        for turn in range(-1, n_blocks):
            for q in range(begin, end):
                b = best[q - begin] if turn < 0 else turn
                if b < 0 or not todo[q, b] or floors[q, b] > limit[q] or turn == best[q - begin]:
                    continue
                n, most, start = counts[q - begin], limit[q], starts[b]
                if leaves_first:
                    _expected(distances, q, leaf, probability, left, start, expected[: starts[b + 1] - start])
                knows_leaves = leaves_first
                for i in range(starts[b + 1] - start):
                    floor = leaf_weight * expected[i] if knows_leaves else floors[q, b]
                    if floor > most:
                        continue
                    cosine = weight * (1 - _dot(queries, q, unit, start + i))
                    if cosine + floor > most:
                        continue
                    if is_soft and not knows_leaves:
                        _expected(
                            distances, q, leaf, probability, left, start, expected[: starts[b + 1] - start]
                        )
                        knows_leaves = True
                    sum_ = cosine + leaf_weight * expected[i]
                    if sum_ > most:
                        continue
                    if (own_row.size and start + i == own_row[q]) or (
                        allowed.size and not allowed[start + i]
                    ):
                        continue
                    rows[q - begin, n], numbers[q - begin, n] = start + i, sum_
                    n += 1
                    if n == rows.shape[1]:
                        n, most = _thinned(rows[q - begin], numbers[q - begin], n, k, most, margin)
                        if 2 * n > rows.shape[1]:
                            rows = np.concatenate((rows, np.empty_like(rows)), axis=1)
                            numbers = np.concatenate((numbers, np.empty_like(numbers)), axis=1)
                if n >= k + SLACK or turn < 0:
                    n, most = _thinned(rows[q - begin], numbers[q - begin], n, k, most, margin)
                counts[q - begin], limit[q] = n, most
        n_new = 0
        for q in range(begin, end):
            at = q - begin
            counts[at], limit[q] = _thinned(rows[at], numbers[at], counts[at], k, limit[q], margin)
            n_new += counts[at]
        while total + n_new > query.size:
            more = max(query.size, size * k)
            query = np.append(query, np.empty(more, np.uint16))
            results = np.append(results, np.empty(more, np.intp))
            number = np.append(number, np.empty(more))
        for q in range(begin, end):
            n = counts[q - begin]
            query[total : total + n] = q
            results[total : total + n] = rows[q - begin, :n]
            number[total : total + n] = numbers[q - begin, :n]
            total += n
        if total > most_candidates:
            break
    return query[:total], results[:total], number[:total]
