"""Copies are found by a lookup, and are first."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_hierret._arrays import unit_rows
from sklearn_hierret.search import copies_first
from sklearn_hierret.search._copies import TOLERANCE, CopyLookup
from tests.strategies import Draws, examples


def by_loops(unit, queries):
    return [
        (i, j)
        for i, query in enumerate(queries)
        for j, row in enumerate(unit)
        if np.any(query) and np.abs(row - query).max() <= TOLERANCE
    ]


@settings(max_examples=examples(50))
@given(st.data())
def test_pairs_are_those_of_all_comparisons(data):
    rng = Draws(data.draw)
    n, d = int(rng.integers(1, 30)), int(rng.integers(1, 5))
    dtype = np.float32 if rng.integers(0, 2) else np.float64
    unit = unit_rows(rng.normal(size=(n, d)).astype(dtype))[0]
    queries = np.concatenate(
        [unit[rng.integers(0, n, 5)], unit_rows(rng.normal(size=(5, d)).astype(dtype))[0]]
    )
    query, row = CopyLookup.of(unit).find(queries)
    assert list(zip(query.tolist(), row.tolist(), strict=True)) == by_loops(unit, queries)


def test_rounding_parts_no_copies(rng):
    """Whatever cell a projection falls into, and whatever is rounded."""
    X = rng.normal(size=(3000, 200))
    lookup = CopyLookup.of(unit_rows(X.astype(np.float32))[0])
    for scale in (1.0, 1e-3, 3.7):
        queries = unit_rows((X * scale).astype(np.float32))[0]
        query, row = lookup.find(queries)
        np.testing.assert_array_equal(query, np.arange(3000))
        np.testing.assert_array_equal(row, np.arange(3000))


def test_many_copies_of_many_queries():
    unit = np.tile(np.array([[1.0, 0.0], [0.0, 1.0]]), (600, 1))
    query, row = CopyLookup.of(unit).find(unit)
    assert len(query) == 1200 * 600
    assert set(row[query == 7].tolist()) == set(range(1, 1200, 2))


@pytest.mark.parametrize(
    ("copies", "distances", "serials", "is_copy"),
    [
        ([5], [0, 0.1, 0.2], [5, 1, 2], [True, False, False]),  # not among the neighbours
        ([2], [0, 0.1, 0.3], [2, 1, 9], [True, False, False]),  # among them
        ([7, 3, 8, 4], [0, 0, 0], [3, 4, 7], [True, True, True]),  # by number where there are many
    ],
)
def test_they_are_put_first(copies, distances, serials, is_copy):
    found, numbers = np.array([[0.1, 0.2, 0.3]]), np.array([[1, 2, 9]])
    mask = copies_first(found, numbers, np.zeros(len(copies), dtype=int), np.array(copies))
    np.testing.assert_allclose(found, [distances])
    np.testing.assert_array_equal(numbers, [serials])
    np.testing.assert_array_equal(mask, [is_copy])


def test_places_without_a_neighbour_stay_behind():
    found, numbers = np.array([[0.1, np.inf, np.inf]]), np.array([[1, -1, -1]])
    copies_first(found, numbers, np.array([0]), np.array([6]))
    np.testing.assert_array_equal(numbers, [[6, 1, -1]])
    np.testing.assert_array_equal(found, [[0, 0.1, np.inf]])
