import dataclasses
import tracemalloc
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import pairwise
from typing import NamedTuple
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import config_context
from sklearn.metrics.pairwise import cosine_distances

from sklearn_hierret import ClassHierarchy, CombinedHierarchy
from sklearn_hierret._arrays import unit_rows
from sklearn_hierret.leaves import expected_distances, hard_leaves, soft_leaves
from sklearn_hierret.search import Index, LeafDistance, _batch, _candidates, _index, _rows
from sklearn_hierret.search import search as search_index
from sklearn_hierret.search._rows import CodeRows, FeatureRows
from tests.reference import retrieval as reference
from tests.strategies import examples, generators, trees

ALPHAS = [0.0, 1e-3, 0.5, 1.0, 5.0, 1e6, 1e300, np.inf]
#: Constants that search is fast with, and others that make a small gallery as varied as a large one.
#: Of `BLOCK_ROWS` 32 and more, blocks are no smaller than groups.
CONSTANTS = {
    (_index, "BLOCK_ROWS"): [128, 32, 48],
    (_batch, "TILE_QUERIES"): [256, 3],
    (_batch, "TILE_SCORES"): [1 << 19, 1],
    (_batch, "TILE_ROWS"): [2048, 64, 1],
    (_batch, "TILE_CODES"): [_batch.TILE_CODES, 64],
    (_batch, "SPARSE"): [0.15, 1.0, 0.0],
    (_batch, "MOST_NEIGHBORS"): [256, 2],
    (_batch, "FEW_QUERIES"): [4, 0, 1000],
    (_batch, "LARGE_SHARE"): [0.1, 0.0],
    (_batch, "DENSE"): [8, 0, 1 << 20],
    (_batch, "FEW_CLASSES"): [512, 1],
    (_candidates, "MOST_CANDIDATES"): [1 << 22, 0],
    (_rows, "ROW_BYTES"): [1 << 20, 100],
}


@contextmanager
def tuned(values):
    """With some constants, in the order of `CONSTANTS`."""
    with ExitStack() as stack:
        for (module, name), value in zip(CONSTANTS, values, strict=True):
            stack.enter_context(mock.patch.object(module, name, value))
        yield


class Leaves(NamedTuple):
    """Leaves or class probabilities of queries and gallery."""

    query: np.ndarray
    gallery: np.ndarray
    distances: np.ndarray


def softly(proba):
    """Soft leaves that keep all classes."""
    order = np.argsort(-proba, axis=1, kind="stable")
    return soft_leaves(order, np.take_along_axis(proba, order, axis=1), proba.dtype)


def as_leaves(leaves, dtype=np.float64):
    """Classes as hard leaves, probabilities as soft ones."""
    return hard_leaves(leaves, np.dtype(dtype)) if leaves.ndim == 1 else softly(leaves)


def leaf_part(query, U):
    """The leaf distance of hard leaves or probabilities, from a matrix of D_H."""
    if query.ndim == 1:
        return LeafDistance(as_leaves(query), lambda leaves: U[leaves["leaf"][:, 0]], np.unique(U))

    def expected(leaves):
        proba = np.zeros((len(leaves), len(U)))
        np.put_along_axis(proba, leaves["leaf"].astype(int), leaves["probability"].astype(float), axis=1)
        return np.stack([U @ p for p in proba]) if len(proba) else proba

    return LeafDistance(softly(query), expected)


def indexed(gallery, leaves=None, distances=None, n_parts=1):
    """An index of unit rows, not normalised twice, in several segments."""
    index, series = None, None if distances is None else np.lexsort(distances)
    leaves = None if leaves is None else as_leaves(leaves, gallery.dtype)
    for rows in np.array_split(np.arange(len(gallery)), n_parts):
        part = None if leaves is None else leaves[rows]
        if index is None:
            index = Index.build(gallery[rows], part, series)
        else:
            index = index.appended(gallery[rows], rows, part)
    segments = [
        dataclasses.replace(s, rows=dataclasses.replace(s.rows, unit=gallery[s.serial]))
        for s in index.segments
    ]
    return dataclasses.replace(index, segments=tuple(segments))


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


def problem(tree, rng, dtype, soft, n_queries=7, n_gallery=40, d=3):
    """A search problem full of duplicates, ties, zero vectors and empty leaves."""
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


def agree(found, expected, full, unit_queries, unit_gallery, alpha, dtype, ties=True):
    """Equal distances, and equal neighbours wherever rounding leaves no doubt.

    Without `ties`, D_H that are equal may differ in rounding where they are summed in another order.
    """
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
                    if ties and full[row, a] == full[row, b]:
                        assert abs(cosine[0] - cosine[1]) < tolerance
                else:
                    gap = (cosine[0] - cosine[1]) / scale + alpha / scale * (full[row, a] - full[row, b])
                    assert abs(gap) < tolerance


@given(
    trees(max_classes=8),
    generators(),
    st.sampled_from([np.float32, np.float64]),
    st.booleans(),
    st.sampled_from(ALPHAS),
    st.sampled_from([1, 5, 39, 40]),
)
@settings(max_examples=examples(150))
def test_search_equals_sorting_all_distances(tree, rng, dtype, soft, alpha, k):
    queries, gallery, part, full = problem(tree, rng, dtype, soft)
    uq, ug = unit_rows(queries)[0], unit_rows(gallery)[0]
    found = search(uq, ug, k, leaves=part, alpha=alpha)
    expected = reference.neighbours(uq.astype(float), ug.astype(float), k, alpha, full if alpha else None)
    agree(found, expected, full, uq.astype(float), ug.astype(float), alpha, dtype, ties=not soft)
    assert found[0].dtype == np.float64


@given(generators(), st.booleans(), st.sampled_from(ALPHAS), st.sampled_from([1, 10, 39]))
@settings(max_examples=examples(60))
def test_leave_one_out(rng, soft, alpha, k):
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
    agree(found, expected, full, gallery, gallery, alpha, np.float64, ties=not soft)


@given(
    trees(max_classes=8),
    generators(),
    st.sampled_from([np.float32, np.float64]),
    st.sampled_from(["none", "hard", "soft"]),
    st.sampled_from([0.5, 16.0, 1e9, np.inf]),
    st.sampled_from([1, 5, 40]),
    st.integers(1, 5),
    st.sampled_from([0.0, 0.1, 0.5, 1.0]),
)
@settings(max_examples=examples(100), deadline=None)
def test_segments_and_rows_that_are_not_allowed(tree, rng, dtype, kind, alpha, k, n_parts, share):
    queries, gallery, part, _ = problem(tree, rng, dtype, kind == "soft")
    if kind == "none":
        part, alpha = None, 0.0
    uq, ug = unit_rows(queries)[0], unit_rows(gallery)[0]
    allowed = rng.random(40) < share
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

    def counted(self, queries, rows, out):
        nonlocal seen
        seen += out.size
        return scores(self, queries, rows, out)

    def counted_compiled(self, todo):
        nonlocal seen
        seen += int((todo * np.diff(self.segment.blocks.starts)).sum())  # at most
        return visit_compiled(self, todo)

    scores, visit_compiled = FeatureRows.scores, _batch._Visits._visit_compiled
    monkeypatch.setattr(FeatureRows, "scores", counted)
    monkeypatch.setattr(_batch._Visits, "_visit_compiled", counted_compiled)
    proba = 0.1 * rng.dirichlet(np.full(100, 0.1), 20_000) + 0.9 * np.eye(100)[own]
    for leaves in (Leaves(own[:200], own, U), Leaves(proba[:200], proba, U)):
        seen = 0
        search(gallery[:200], gallery, 10, leaves=leaves, alpha=4.0)
        assert 200 * 10 <= seen < 0.05 * 200 * 20_000


def scaled(leaves, factors):
    """Leaves whose probabilities are those of others, times factors; the rest lies on the root."""
    leaves = leaves.copy()
    leaves["probability"] *= factors[:, None].astype(leaves.dtype["probability"])
    return leaves


@given(
    trees(max_classes=8),
    generators(),
    st.sampled_from([np.float32, np.float64]),
    st.booleans(),
    st.sampled_from([0.3, 1.0, 16.0, 1e4, 1e300, np.inf]),
    st.sampled_from([1, 5, 40]),
    st.integers(1, 3),
)
@settings(max_examples=examples(100))
def test_factors_of_probabilities(tree, rng, dtype, soft, alpha, k, n_parts):
    """``D_C + alpha (1 - k_q k_i (1 - D_H))``, of hard and of soft leaves."""
    queries, gallery, part, full = problem(tree, rng, dtype, soft)
    of_query, of_row = rng.integers(0, 9, len(queries)) / 8, rng.integers(0, 9, len(gallery)) / 8
    uq, ug = unit_rows(queries)[0], unit_rows(gallery)[0]
    leaves, index = scaled(as_leaves(part.gallery, dtype), of_row), None
    for rows in np.array_split(np.arange(len(ug)), n_parts):
        if index is None:
            index = Index.build(ug[rows], leaves[rows], tree.leaf_order)
        else:
            index = index.appended(ug[rows], rows, leaves[rows])
    query_leaves = scaled(as_leaves(part.query, dtype), of_query)
    leaf_distance = LeafDistance(query_leaves, partial(expected_distances, hierarchy=tree))
    found = search_index(uq, index, k, leaf_distance=leaf_distance, alpha=alpha)
    full = reference.scaled_distances(full, of_query, of_row)
    expected = reference.neighbours(uq.astype(float), ug.astype(float), k, alpha, full)
    agree(found, expected, full, uq.astype(float), ug.astype(float), alpha, dtype, ties=False)


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("alpha", [0.2, 1.0, 16.0, 1e300, np.inf])
@pytest.mark.parametrize("k", [1, 20, 400])
def test_factors_in_many_blocks(soft, alpha, k):
    rng = np.random.default_rng(4)
    tree = ClassHierarchy.from_levels([np.arange(24), np.arange(24) // 3, np.arange(24) // 12, np.zeros(24)])
    U, own = tree.distance_matrix(), rng.integers(0, 24, 4000)
    gallery = unit_rows(rng.normal(size=(24, 8))[own] + 0.3 * rng.normal(size=(4000, 8)))[0]
    proba = np.eye(24)[own]
    if soft:
        proba = 0.1 * rng.dirichlet(np.full(24, 0.2), 4000) + 0.9 * proba
    of_row, of_query = rng.uniform(0.5, 1, 4000), rng.uniform(0, 1, 80)
    leaves = softly(proba) if soft else as_leaves(own)
    index = Index.build(gallery, scaled(leaves, of_row), tree.leaf_order)
    query_leaves = scaled(leaves[::50], of_query)
    part = LeafDistance(query_leaves, partial(expected_distances, hierarchy=tree))
    distances, found = search_index(gallery[::50], index, k, leaf_distance=part, alpha=alpha)
    for q in range(80):
        cosine = np.clip(1 - gallery @ gallery[50 * q], 0, 2)
        h = 1 - of_query[q] * of_row * (1 - proba @ (U @ proba[50 * q]))
        total = h if np.isinf(alpha) else cosine + alpha * h
        np.testing.assert_allclose(distances[q], np.sort(total)[:k], atol=1e-12, rtol=1e-9)
        np.testing.assert_allclose(total[found[q]], distances[q], atol=1e-12, rtol=1e-9)
        assert len(set(found[q])) == k


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


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("d", [1, 3, 100, 20000])
def test_distances_of_features_are_the_same_in_every_batch(rng, d, dtype):
    left, right = (unit_rows(rng.normal(size=(n, d)).astype(t))[0] for n, t in ((12, float), (60, dtype)))
    rows, table = FeatureRows(right, np.ones(60)), rng.integers(0, 60, (12, 18))
    whole = rows.distances(left, table)
    dots = np.sum(left[:, None] * right[table].astype(float), axis=2)
    np.testing.assert_allclose(1 - whole, np.clip(dots, -1, 1), rtol=0, atol=1e-12)
    for j in range(12):
        for i in range(18):
            assert rows.distances(left[[j]], table[[j], i : i + 1])[0, 0] == whole[j, i]
    for n, width in ((5, 18), (12, 5), (7, 9), (1, 18), (0, 3), (3, 0)):
        np.testing.assert_array_equal(rows.distances(left[:n], table[:n, :width]), whole[:n, :width])


@pytest.mark.parametrize("n_bytes", [1, 3, 8, 33])
def test_distances_of_codes_are_the_same_in_every_batch(rng, n_bytes):
    left, right = (rng.integers(0, 256, (n, n_bytes), dtype=np.uint8) for n in (12, 60))
    rows, table = CodeRows.of(right, np.arange(60)), rng.integers(0, 60, (12, 18))
    whole = rows.distances(left, table)
    differing = np.unpackbits(left[:, None] ^ right[table], axis=2).sum(axis=2)
    np.testing.assert_array_equal(whole, differing / (8 * n_bytes))
    for n, width in ((5, 18), (12, 5), (7, 9), (1, 1), (0, 3), (3, 0)):
        np.testing.assert_array_equal(rows.distances(left[:n], table[:n, :width]), whole[:n, :width])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_distances_of_leaves_are_the_same_in_every_batch(rng, dtype, monkeypatch):
    proba = rng.dirichlet(np.full(9, 0.4), 60).astype(dtype)
    index = indexed(np.ones((60, 1), dtype), proba, 1 - np.eye(9), n_parts=3)
    distances, table = rng.random((12, 9)), rng.integers(0, 60, (12, 18))
    whole = index.pair_leaf_distances(distances, table)
    leaves = proba[index.serial[table]].astype(float)
    np.testing.assert_allclose(whole, np.einsum("qc,qic->qi", distances, leaves), rtol=0, atol=1e-6)
    for n, width in ((5, 18), (12, 5), (7, 9), (1, 1), (0, 3), (3, 0)):
        part = index.pair_leaf_distances(distances[:n], table[:n, :width])
        np.testing.assert_array_equal(part, whole[:n, :width])
    monkeypatch.setattr(_index, "_compiled", None)  # nor with numba or without
    np.testing.assert_array_equal(index.pair_leaf_distances(distances, table), whole)


@pytest.mark.slow
def test_memory_stays_within_bounds(rng):
    n, k = 3000, 300
    gallery = unit_rows(rng.normal(size=(n, 16)).astype(np.float32))[0]
    proba = rng.dirichlet(np.full(200, 0.1), n).astype(np.float32)
    part = leaf_part(proba, 1 - np.eye(200))
    index = Index.build(gallery, softly(proba), np.arange(200))
    rows = np.tile(np.arange(9), (n, 1))
    tracemalloc.start()
    with config_context(working_memory=8):
        search_index(gallery, index, k, leaf_distance=part, alpha=1.0, own_row=np.argsort(index.serial))
        index.pair_leaf_distances(part.distances_of(part.leaves), rows)
        index.pair_distances(gallery, rows)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    results = n * k * (4 + 8)
    pairs = n * 100 * (8 + 8 + 8)
    assert peak < max(results, pairs) + 40 * 2**20  # the whole matrix of pairs would be 480 MB


def over(pattern, shape):
    """A pattern over and over: copies far apart."""
    return np.resize(pattern, shape)


class Tied:
    """A search problem full of copies, of rows that are nearly so, and of equal leaves.

    Of features or of codes, which were added in turn, and some of them removed.
    """

    def __init__(self, data):
        self.data = data
        dtype = self.draw(st.sampled_from([np.float32, np.float64, np.uint8]), "dtype")
        self.kind = self.draw(
            st.sampled_from(["none", "hard", "soft", "labelled", "hard queries", "some labelled"]), "kind"
        )
        self.is_codes, self.has_leaves = dtype == np.uint8, self.kind != "none"
        self.float_dtype = np.dtype(float if self.is_codes else dtype)
        alphas = [0.0, 0.01, 0.3, 1.0, 16.0, 1e4, 1e300, np.inf]
        self.alpha = self.draw(st.sampled_from(alphas), "alpha") if self.has_leaves else 0.0
        d = self.draw(st.sampled_from([1, 2, 3, 9, 70]), "d")
        n = self.draw(st.one_of(st.integers(1, 400), st.integers(200, 400)), "n")
        n_queries = self.draw(st.sampled_from([1, 2, 5, 9, 40, 70]), "n_queries")
        low, high = (0, 255) if self.is_codes else (-2, 2)
        n_distinct = self.draw(st.one_of(st.integers(1, 2), st.integers(1, 12)), "n_distinct")
        distinct = self.integers((n_distinct, d), low, high, "distinct")
        X = distinct[over(self.integers(st.integers(1, 30), 0, len(distinct) - 1, "rows"), n)].astype(dtype)
        if not self.is_codes:
            X = self.nudged(X, "rows")
        row = self.integers(st.integers(1, 9), 0, len(distinct) - 1, "rows of queries")
        queries = distinct[over(row, n_queries)].astype(dtype)
        queries[1::3] = over(self.integers(st.integers(1, 20), low, high, "others"), queries[1::3].shape)

        self.series, self.part, self.n_classes = None, None, 1
        if self.has_leaves:
            hierarchy = self.draw(trees(max_classes=8), "hierarchy")
            if self.draw(st.booleans(), "is combined"):
                other = hierarchy.permute(self.draw(st.integers(0, 9), "seed of the other"))
                hierarchy = CombinedHierarchy([hierarchy, other], [2, 1])
            hierarchy = hierarchy.with_stem(self.draw(st.sampled_from([0.0, 0.5]), "stem"))
            self.n_classes, self.series = hierarchy.n_classes, hierarchy.leaf_order
        self.index = self.indexed(X)
        if self.has_leaves:
            is_hard = self.kind == "hard"
            leaves = self.leaves(n_queries, is_hard or self.kind == "hard queries", "of queries")
            values = hierarchy.distinct_distances() if is_hard and self.index.is_hard else None
            self.part = LeafDistance(leaves, partial(expected_distances, hierarchy=hierarchy), values)

        n = len(self.index)
        self.queries, self.how = queries if queries.dtype == np.uint8 else unit_rows(queries)[0], {}
        if n and self.draw(st.booleans(), "are from the gallery"):
            self.how["own_row"] = over(self.integers(st.integers(1, 9), 0, n - 1, "own rows"), n_queries)
            self.queries = self.index.queries(self.how["own_row"])
        if self.draw(st.booleans(), "has a mask"):
            self.how["allowed"] = over(self.integers(st.integers(1, 15), 0, 1, "allowed"), n) > 0
        n = max(1, n)
        self.k = self.draw(st.one_of(st.integers(1, min(3, n)), st.integers(1, n), st.just(n)), "k")

    def draw(self, strategy, label):
        return self.data.draw(strategy, label)

    def integers(self, shape, low, high, label):
        """Small integers that Hypothesis draws, and can make simpler."""
        return self.draw(arrays(np.int64, shape, elements=st.integers(low, high)), label)

    def nudged(self, values, label):
        """Values of which some differ by rounding, or none."""
        if not self.draw(st.booleans(), f"nudges {label}"):
            return values
        nudges = over(self.integers(st.integers(1, 40), -2, 2, "nudges"), values.shape)
        return (values * (1 + 2 * np.finfo(values.dtype).eps * nudges)).astype(values.dtype)

    def leaves(self, n, is_hard, label):
        """The same few leaves over and over; soft ones may leave something to the root."""
        if is_hard:
            classes = self.integers(st.integers(1, 20), 0, self.n_classes - 1, f"classes {label}")
            return hard_leaves(over(classes, n), self.float_dtype)
        shape = self.draw(st.integers(1, 7), f"leaves {label}"), self.n_classes + 1
        parts = self.integers(shape, 0, 3, f"parts of probabilities {label}")
        proba = parts[:, :-1] / np.maximum(1, parts.sum(axis=1, keepdims=True))
        leaves = softly(proba.astype(self.float_dtype))[over(np.arange(len(proba)), n)]
        leaves["probability"] = self.nudged(leaves["probability"], "probabilities")
        return leaves[:, : self.draw(st.integers(1, self.n_classes), "width")]

    def gallery_leaves(self, n, turn):
        if not self.has_leaves:
            return None
        is_hard = self.kind in ("hard", "labelled") or (self.kind == "some labelled" and turn % 2 == 1)
        return self.leaves(n, is_hard, f"of turn {turn}")

    def indexed(self, X):
        n, index = len(X), None
        is_kept, proba = np.ones(n, dtype=bool), np.zeros((n, self.n_classes))
        ends = sorted(self.draw(st.sets(st.integers(1, n), max_size=3), "parts") | {n})
        for turn, (start, end) in enumerate(pairwise([0, *ends])):
            new = np.arange(start, end)
            leaves = self.gallery_leaves(len(new), turn)
            proba[new] = self.dense(leaves, len(new))
            if index is None:
                index = Index.build(X[new], leaves, self.series)
            else:
                index = index.appended(X[new], new, leaves)
            if self.draw(st.integers(0, 3), "removes if 3") == 3:
                is_kept[:end] &= over(self.integers(st.integers(1, 9), 0, 1, "kept"), end) > 0
                index = index.keep(is_kept)
        other = self.draw(st.sampled_from(["none", "sorted by them", "in place"]), "other leaves")
        if self.has_leaves and other != "none":
            leaves = self.gallery_leaves(len(index), 0)
            proba[is_kept] = self.dense(leaves, len(index))
            if other == "in place":
                index = index.with_leaves(np.argsort(index.serial), leaves)
            else:
                index = index.sorted_by(leaves, self.series)
        rows = np.argsort(index.serial)
        np.testing.assert_array_equal(index.serial[rows], np.flatnonzero(is_kept))
        np.testing.assert_array_equal(
            index.queries(rows), unit_rows(X[is_kept])[0] if X.dtype != np.uint8 else X[is_kept]
        )
        if self.has_leaves:
            np.testing.assert_array_equal(self.dense(index.leaves(rows), len(index)), proba[is_kept])
        return index

    def dense(self, leaves, n):
        """Probabilities of all classes."""
        proba = np.zeros((n, self.n_classes))
        if leaves is not None:
            np.add.at(proba, (np.arange(n)[:, None], leaves["leaf"]), leaves["probability"])
        return proba

    def search(self):
        """What `search` finds."""
        return search_index(
            self.queries, self.index, self.k, leaf_distance=self.part, alpha=self.alpha, n_jobs=2, **self.how
        )

    def expected(self):
        """The same by sorting all distances, which the index gives pair by pair."""
        index, n_queries = self.index, len(self.queries)
        rows = np.tile(np.argsort(index.serial), (n_queries, 1))
        total = index.pair_distances(self.queries, rows)
        first, second = None, np.zeros(total.shape)
        if self.part is not None and self.alpha:
            cosine = total
            hierarchical = index.pair_leaf_distances(self.part.distances_of(self.part.leaves), rows)
            total = hierarchical if np.isinf(self.alpha) else cosine + self.alpha * hierarchical
            if self.part.decides(self.alpha):
                first, second = hierarchical, cosine
            elif self.is_codes and self.alpha < 1e3:
                total = total.round(12)
        is_there = np.ones(rows.shape, dtype=bool)
        if "allowed" in self.how:
            is_there &= self.how["allowed"][rows]
        if "own_row" in self.how:
            is_there &= rows != self.how["own_row"][:, None]
        first = total if first is None else first
        order = np.lexsort((index.serial[rows], second, first, ~is_there), axis=1)[:, : self.k]
        serials, distances = np.full((n_queries, self.k), -1), np.full((n_queries, self.k), np.inf)
        width = order.shape[1]
        serials[:, :width] = np.take_along_axis(np.where(is_there, index.serial[rows], -1), order, axis=1)
        distances[:, :width] = np.take_along_axis(np.where(is_there, total, np.inf), order, axis=1)
        with np.errstate(over="ignore"):
            return distances.astype(self.float_dtype), serials


@given(st.data(), st.tuples(*map(st.sampled_from, CONSTANTS.values())))
@settings(max_examples=examples(400))
def test_ties_are_in_the_order_of_their_numbers(data, constants):
    """Copies are exactly as far as each other, and no constant, batch or bound changes their order."""
    with tuned(constants):
        problem = Tied(data)
        distances, serials = problem.search()
    expected = problem.expected()
    np.testing.assert_array_equal(serials, expected[1])
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(distances.astype(problem.float_dtype), expected[0])
    assert distances.dtype == np.float64
