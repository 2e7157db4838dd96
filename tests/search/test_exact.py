import dataclasses
import tracemalloc
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import config_context
from sklearn.metrics.pairwise import cosine_distances

from sklearn_hierret import ClassHierarchy
from sklearn_hierret._arrays import unit_rows
from sklearn_hierret.building import soft_leaves
from sklearn_hierret.search import GalleryIndex, HardLeafDistance, SoftLeafDistance
from sklearn_hierret.search import search as search_index
from sklearn_hierret.search._pairs import run_dots
from tests.reference import retrieval as reference
from tests.strategies import trees

ALPHAS = [0.0, 1e-3, 0.5, 1.0, 5.0, 1e6, 1e300, np.inf]


class Leaves(NamedTuple):
    """Leaves or class probabilities of queries and gallery."""

    query: np.ndarray
    gallery: np.ndarray
    distances: np.ndarray


def softly(proba):
    """Soft leaves that keep all classes."""
    order = np.argsort(-proba, axis=1, kind="stable")
    return soft_leaves(order, np.take_along_axis(proba, order, axis=1), proba.dtype)


def leaf_part(query, U):
    """The leaf distance of hard leaves or probabilities, from a matrix of D_H."""
    if query.ndim == 1:
        return HardLeafDistance(query, lambda leaves: U[leaves], np.unique(U))

    def expected(leaves):
        proba = np.zeros((len(leaves), len(U)))
        np.put_along_axis(proba, leaves["leaf"].astype(int), leaves["probability"].astype(float), axis=1)
        return np.stack([U @ p for p in proba]) if len(proba) else proba

    return SoftLeafDistance(softly(query), expected)


def indexed(gallery, leaves=None, distances=None, n_parts=1):
    """An index of unit rows, not normalised twice, in several segments."""
    index, series = None, None if distances is None else np.lexsort(distances)
    leaves = softly(leaves) if leaves is not None and leaves.ndim == 2 else leaves
    for rows in np.array_split(np.arange(len(gallery)), n_parts):
        part = None if leaves is None else leaves[rows]
        if index is None:
            index = GalleryIndex.build(gallery[rows], part, series)
        else:
            index = index.appended(gallery[rows], rows, part)
    segments = tuple(dataclasses.replace(s, unit=gallery[s.serial]) for s in index.segments)
    return dataclasses.replace(index, segments=segments)


def search(queries, gallery, k, *, leaves=None, exclude_self=False, n_parts=1, allowed=None, **params):
    """Index a gallery of unit rows and search it."""
    index, part = indexed(gallery, n_parts=n_parts), None
    if leaves is not None:
        index = indexed(gallery, leaves.gallery, leaves.distances, n_parts)
        part = leaf_part(leaves.query, leaves.distances)
    if exclude_self:
        params["own_row"] = np.argsort(index.serial)
    if allowed is not None:
        params["allowed"] = allowed[index.serial]
    return search_index(queries, index, k, leaf_distance=part, **params)


def problem(tree, seed, dtype, soft, n_queries=7, n_gallery=40, d=3):
    """A search problem full of duplicates, ties, zero vectors and empty leaves."""
    rng = np.random.default_rng(seed)
    gallery = rng.integers(-2, 3, size=(n_gallery, d)).astype(dtype)  # many equal, some zero
    queries = np.concatenate([gallery[: n_queries // 2], rng.normal(size=(n_queries - n_queries // 2, d))])
    U, k = tree.distance_matrix(), tree.n_classes
    if soft:
        p, r = rng.dirichlet(np.full(k, 0.3), n_queries), rng.dirichlet(np.full(k, 0.3), n_gallery)
        r[: n_gallery // 2] = np.eye(k)[rng.integers(0, k, n_gallery // 2)]  # ties in D_H too
        p, r = p.astype(dtype), r.astype(dtype)
        part, full = Leaves(p, r, U), reference.soft_distances(p.astype(float), r.astype(float), U)
    else:
        ql, gl = rng.integers(0, k, n_queries), rng.integers(0, max(1, k // 2), n_gallery)
        part, full = Leaves(ql, gl, U), reference.hard_distances(ql, gl, U)
    return queries.astype(dtype), gallery, part, full


def agree(found, expected, full, unit_queries, unit_gallery, alpha, dtype):
    """Equal distances, and equal neighbours wherever rounding leaves no doubt."""
    distances, indices = found
    tolerance = 1e-6 if dtype == np.float32 else 1e-12
    scale = max(1.0, 0 if np.isinf(alpha) else alpha)
    if scale < float(np.finfo(dtype).max):
        np.testing.assert_allclose(distances.astype(float) / scale, expected[0] / scale, atol=tolerance)
    for row, (ours, theirs) in enumerate(zip(indices, expected[1], strict=True)):
        assert len(set(ours.tolist())) == len(ours)
        for a, b in zip(ours, theirs, strict=True):
            if a != b:  # only between items as far as rounding can tell
                cosine = [reference.cosine_distance(unit_queries[row], unit_gallery[i]) for i in (a, b)]
                if np.isinf(alpha):
                    assert abs(full[row, a] - full[row, b]) < tolerance
                    if full[row, a] == full[row, b]:
                        assert abs(cosine[0] - cosine[1]) < tolerance
                else:
                    gap = (cosine[0] - cosine[1]) / scale + alpha / scale * (full[row, a] - full[row, b])
                    assert abs(gap) < tolerance


@given(
    trees(max_classes=8),
    st.integers(0, 2**32 - 1),
    st.sampled_from([np.float32, np.float64]),
    st.booleans(),
    st.sampled_from(ALPHAS),
    st.sampled_from([1, 5, 39, 40]),
)
@settings(max_examples=150)
def test_search_equals_sorting_all_distances(tree, seed, dtype, soft, alpha, k):
    queries, gallery, part, full = problem(tree, seed, dtype, soft)
    uq, ug = unit_rows(queries)[0], unit_rows(gallery)[0]
    found = search(uq, ug, k, leaves=part, alpha=alpha)
    expected = reference.neighbours(uq.astype(float), ug.astype(float), k, alpha, full if alpha else None)
    agree(found, expected, full, uq.astype(float), ug.astype(float), alpha, dtype)
    assert found[0].dtype == dtype


@given(st.integers(0, 2**32 - 1), st.booleans(), st.sampled_from(ALPHAS), st.sampled_from([1, 10, 39]))
@settings(max_examples=60)
def test_leave_one_out(seed, soft, alpha, k):
    rng = np.random.default_rng(seed)
    gallery = unit_rows(rng.integers(-2, 3, size=(40, 3)).astype(float))[0]
    U = 1 - np.eye(4)
    if soft:
        p = rng.dirichlet(np.full(4, 0.3), 40)
        part, full = Leaves(p, p, U), reference.soft_distances(p, p, U)
    else:
        leaves = rng.integers(0, 4, 40)
        part, full = Leaves(leaves, leaves, U), reference.hard_distances(leaves, leaves, U)
    found = search(gallery, gallery, k, leaves=part, alpha=alpha, exclude_self=True)
    assert not np.any(found[1] == np.arange(40)[:, None])
    expected = reference.neighbours(gallery, gallery, k, alpha, full if alpha else None, exclude_self=True)
    agree(found, expected, full, gallery, gallery, alpha, np.float64)


@given(
    trees(max_classes=8),
    st.integers(0, 2**32 - 1),
    st.sampled_from([np.float32, np.float64]),
    st.sampled_from(["none", "hard", "soft"]),
    st.sampled_from([0.5, 16.0, 1e9, np.inf]),
    st.sampled_from([1, 5, 40]),
    st.integers(1, 5),
    st.sampled_from([0.0, 0.1, 0.5, 1.0]),
)
@settings(max_examples=100, deadline=None)
def test_segments_and_rows_that_are_not_allowed(tree, seed, dtype, kind, alpha, k, n_parts, share):
    queries, gallery, part, _ = problem(tree, seed, dtype, kind == "soft")
    if kind == "none":
        part, alpha = None, 0.0
    uq, ug = unit_rows(queries)[0], unit_rows(gallery)[0]
    allowed = np.random.default_rng(seed).random(40) < share
    n = min(k, int(allowed.sum()))
    whole = search(uq, ug, 40, leaves=part, alpha=alpha)
    distances, found = search(uq, ug, k, leaves=part, alpha=alpha, n_parts=n_parts, allowed=allowed)
    for i in range(len(uq)):
        expected = allowed[whole[1][i]]
        np.testing.assert_array_equal(found[i, :n], whole[1][i][expected][:n])
        np.testing.assert_array_equal(distances[i, :n], whole[0][i][expected][:n])
    assert (found[:, n:] == -1).all()
    assert np.isposinf(distances[:, n:]).all()


@pytest.mark.parametrize("alpha", [0.2, 1.0, 16.0, 1e300, np.inf])
@pytest.mark.parametrize("k", [1, 20, 400])
def test_soft_leaves_in_many_blocks(alpha, k):
    rng = np.random.default_rng(2)
    levels = [np.arange(24), np.arange(24) // 3, np.arange(24) // 12, np.zeros(24)]
    U = ClassHierarchy.from_levels(levels).distance_matrix()
    own = rng.integers(0, 24, 4000)
    gallery = unit_rows(rng.normal(size=(24, 8))[own] + 0.3 * rng.normal(size=(4000, 8)))[0]
    proba = 0.02 * rng.dirichlet(np.full(24, 0.2), 4000) + 0.98 * np.eye(24)[own]
    proba[::3] = rng.dirichlet(np.full(24, 0.2), len(proba[::3]))
    queries, query_proba = gallery[::50], proba[::50]
    distances, found = search(queries, gallery, k, leaves=Leaves(query_proba, proba, U), alpha=alpha)
    for q in range(len(queries)):
        cosine = np.clip(1 - gallery @ queries[q], 0, 2)
        h = proba @ (U @ query_proba[q])
        total = h if np.isinf(alpha) else cosine + alpha * h
        np.testing.assert_allclose(distances[q], np.sort(total)[:k], atol=1e-12, rtol=1e-9)
        np.testing.assert_allclose(total[found[q]], distances[q], atol=1e-12, rtol=1e-9)
        assert len(set(found[q])) == k


def test_most_of_the_gallery_is_never_touched(monkeypatch):
    rng = np.random.default_rng(2)
    own = rng.integers(0, 100, 20_000)
    U = 1 - np.eye(100)
    gallery = unit_rows(rng.normal(size=(100, 16))[own] + 0.3 * rng.normal(size=(20_000, 16)))[0]
    seen = 0

    def counted(rows, queries, out):
        nonlocal seen
        seen += out.size
        out[:] = rows @ queries.T

    monkeypatch.setattr("sklearn_hierret.search._batch.products", counted)
    proba = 0.1 * rng.dirichlet(np.full(100, 0.1), 20_000) + 0.9 * np.eye(100)[own]
    for leaves in (Leaves(own[:200], own, U), Leaves(proba[:200], proba, U)):
        seen = 0
        search(gallery[:200], gallery, 10, leaves=leaves, alpha=4.0)
        assert seen < 0.05 * 200 * 20_000


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("alpha", [0.0, 0.7, np.inf])
def test_bit_for_bit_whatever_the_batch(dtype, soft, alpha):
    rng = np.random.default_rng(3)
    base = rng.normal(size=(300, 37)).astype(dtype)
    gallery = unit_rows(np.concatenate([base, base[::-1], base]))[0]  # duplicates far apart
    queries = unit_rows(rng.normal(size=(50, 37)).astype(dtype))[0]
    queries[:10] = gallery[:10]
    U = 1 - np.eye(6)
    leaves = np.tile(rng.integers(0, 6, 300), 1)
    leaves = np.concatenate([leaves, leaves[::-1], leaves])
    proba = rng.dirichlet(np.full(6, 0.2), 300).astype(dtype)
    proba = np.concatenate([proba, proba[::-1], proba])

    def run(rows, **params):
        q = rng_rows(rows)
        part = Leaves(query_proba[rows], proba, U) if soft else Leaves(query_leaves[rows], leaves, U)
        return search(q, gallery, 25, leaves=part, alpha=alpha, **params)

    def rng_rows(rows):
        return np.ascontiguousarray(queries[rows])

    query_leaves = rng.integers(0, 6, 50)
    query_proba = rng.dirichlet(np.full(6, 0.2), 50).astype(dtype)
    distances, indices = run(slice(None))
    one_by_one = [run(slice(i, i + 1)) for i in range(50)]
    np.testing.assert_array_equal(np.concatenate([d for d, _ in one_by_one]), distances)
    np.testing.assert_array_equal(np.concatenate([i for _, i in one_by_one]), indices)
    for params in ({}, {"n_jobs": 2}):
        with config_context(working_memory=0.05):
            d, i = run(slice(None), **params)
        np.testing.assert_array_equal(d, distances)
        np.testing.assert_array_equal(i, indices)
    # Copies are as far as each other, and in the order of their position.
    origin = np.concatenate([np.arange(300), np.arange(300)[::-1], np.arange(300)])[indices]
    copies = origin[:, 1:] == origin[:, :-1]
    assert copies.sum() > 100
    assert np.all(np.diff(distances, axis=1)[copies] == 0)
    assert np.all(np.diff(indices, axis=1)[copies] > 0)


def test_unit_rows_at_the_edges_of_floats():
    X = np.array([[0, 0], [3, 4], [1e200, 1e200], [1e-300, 0], [-5e-324, 0]])
    unit, norms = unit_rows(X)
    half = np.sqrt(0.5)
    np.testing.assert_allclose(unit, [[0, 0], [0.6, 0.8], [half, half], [1, 0], [-1, 0]])
    np.testing.assert_allclose(norms[:3], [0, 5, np.sqrt(2) * 1e200])
    X32 = np.array([[1e30, 1e30], [1e-30, 0], [0, 0]], dtype=np.float32)
    unit32, _ = unit_rows(X32)
    assert unit32.dtype == np.float32
    np.testing.assert_allclose(unit32, [[half, half], [1, 0], [0, 0]], rtol=1e-6)


def test_cosine_is_scikit_learns_zero_vectors_included(rng):
    X = rng.normal(size=(6, 4))
    X[2] = 0
    unit = unit_rows(X)[0]
    distances, indices = search(unit, unit, 6)
    expected = cosine_distances(X)
    np.testing.assert_allclose(
        np.take_along_axis(expected, indices, axis=1)[[0, 1, 3]], distances[[0, 1, 3]], atol=1e-12
    )
    np.testing.assert_array_equal(distances[2], 1)  # also to itself: a zero vector has no direction


@pytest.mark.parametrize("alpha", [0.3, 1e6, 1e12, 1e16, np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_first_neighbours_do_not_depend_on_k(rng, alpha, dtype):
    gallery = unit_rows(rng.normal(size=(400, 6)).astype(dtype))[0]
    queries = unit_rows(rng.normal(size=(30, 6)).astype(dtype))[0]
    U = 1 - np.eye(4)
    part = Leaves(rng.integers(0, 4, 30), rng.integers(0, 4, 400), U)
    whole = search(queries, gallery, 400, leaves=part, alpha=alpha)[1]
    for k in (1, 20, 150, 300):
        np.testing.assert_array_equal(search(queries, gallery, k, leaves=part, alpha=alpha)[1], whole[:, :k])


@pytest.mark.parametrize("alpha", [0.05, 0.3, 1.0, 5.0, np.inf])
@pytest.mark.parametrize("k", [1, 20, 300])
@pytest.mark.parametrize("exclude_self", [False, True])
def test_visiting_leaves_equals_sorting_all_distances(alpha, k, exclude_self):
    """Large enough for leaves to be skipped, and to be too many."""
    rng = np.random.default_rng(1)
    levels = [np.arange(24), np.arange(24) // 3, np.arange(24) // 12, np.zeros(24)]
    U = ClassHierarchy.from_levels(levels).distance_matrix()
    leaves = rng.integers(0, 24, 3000)
    gallery = rng.normal(size=(24, 8))[leaves] + 0.3 * rng.normal(size=(3000, 8))
    gallery[::100] = 0
    gallery[1::50] = gallery[2::50]
    unit = unit_rows(gallery)[0]
    queries, own = (unit, leaves) if exclude_self else (unit[::7].copy(), leaves[::7])
    part = Leaves(own, leaves, U)
    distances, found = search(queries, unit, k, leaves=part, alpha=alpha, exclude_self=exclude_self, n_jobs=2)
    for q in range(0, len(queries), 37):
        cosine = np.clip(1 - unit @ queries[q], 0, 2)
        h = U[own[q], leaves]
        total = h if np.isinf(alpha) else cosine + alpha * h
        order = np.lexsort((np.arange(3000), cosine.round(12), total.round(12)))
        order = order[order != q][:k] if exclude_self else order[:k]
        np.testing.assert_allclose(distances[q], total[order], atol=1e-12)
        assert len(set(found[q])) == k
        np.testing.assert_allclose(total[found[q]], distances[q], atol=1e-12)


@pytest.mark.parametrize("d", [1, 3, 100, 20000])
def test_dot_products_are_the_same_in_every_batch(rng, d):
    left, right = rng.normal(size=(12, d)), rng.normal(size=(60, d)).astype(np.float32)
    counts = np.array([5, 5, 1, 0, 9, 5, 5, 5, 5, 1, 18, 1])
    whole = run_dots(left, counts, lambda s: right[s])
    expected = np.sum(np.repeat(left, counts, axis=0) * right, axis=1)
    np.testing.assert_allclose(whole, expected, rtol=1e-9, atol=1e-9)
    for i, j in enumerate(np.repeat(np.arange(12), counts)):
        alone = run_dots(left[j : j + 1], np.array([1]), lambda s, i=i: right[i : i + 1])
        assert alone[0] == whole[i]


def test_memory_stays_within_bounds(rng):
    n, k = 3000, 300
    gallery = unit_rows(rng.normal(size=(n, 16)).astype(np.float32))[0]
    proba = rng.dirichlet(np.full(200, 0.1), n).astype(np.float32)
    part = leaf_part(proba, 1 - np.eye(200))
    index = GalleryIndex.build(gallery, softly(proba), np.arange(200))
    tracemalloc.start()
    with config_context(working_memory=8):
        search_index(gallery, index, k, leaf_distance=part, alpha=1.0, own_row=np.argsort(index.serial))
        part.of_batch(np.arange(n)).pairs(np.arange(n), np.full(n, 9), np.tile(np.arange(9), n), index)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    results = n * k * (4 + 8)
    pairs = n * 100 * (8 + 8 + 8)
    assert peak < max(results, pairs) + 40 * 2**20  # the whole matrix of pairs would be 480 MB
