import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_hierret.search import Index, LeafDistance, _batch, _index
from sklearn_hierret.search import search as search_index
from sklearn_hierret.search._rows import CodeRows
from tests.reference import hashing as reference
from tests.search.test_search import as_leaves, leaf_part, softly
from tests.strategies import examples, generators, trees


def random_codes(rng, n, n_bytes, n_distinct):
    distinct = rng.integers(0, 256, (n_distinct, n_bytes), dtype=np.uint8)
    return distinct[rng.integers(0, n_distinct, n)]


@pytest.mark.parametrize("n_bytes", [1, 2, 3, 4, 5, 8, 12, 31, 32, 40])
def test_hamming_distances(rng, n_bytes):
    a, b = (random_codes(rng, n, n_bytes, n) for n in (4, 9))
    b[0] = ~a[0]  # all bits differ
    rows = CodeRows.of(b, np.arange(9))
    out = rows.scores(a, slice(0, 9), np.empty((9, 4), dtype=rows.score_dtype))
    assert out.T.tolist() == [[reference.hamming(x, y) for y in b] for x in a]
    assert out[0, 0] == 8 * n_bytes
    some = rows.scores(a, slice(2, 7), np.empty((5, 4), dtype=rows.score_dtype))
    np.testing.assert_array_equal(some, out[2:7])
    distances = rows.distances(a, np.tile(np.arange(9), (4, 1)))
    np.testing.assert_array_equal(distances, out.T / (8 * n_bytes))


@given(st.data())
@settings(max_examples=examples(80))
def test_search_equals_sorting_all_distances(data):
    rng = data.draw(generators())
    alpha = data.draw(st.sampled_from([0.0, 0.25, 1.0, 3.0, np.inf]))
    kind = data.draw(st.sampled_from(["none", "hard", "soft"])) if alpha else "none"
    alpha = 0.0 if kind == "none" else alpha
    # Soft distances are sums of floats, that tie exactly only where shares are exact.
    n_bytes = data.draw(st.sampled_from([1, 2, 8, 32] if kind == "soft" else [1, 2, 3, 8, 9, 33]))
    n = data.draw(st.integers(2, 120))
    gallery = random_codes(rng, n, n_bytes, data.draw(st.integers(1, n)))
    leave_one_out = data.draw(st.booleans())
    n_queries = n if leave_one_out else data.draw(st.integers(1, 9))
    queries = gallery if leave_one_out else random_codes(rng, n_queries, n_bytes, n_queries)
    k = data.draw(st.integers(1, n - 1))
    leaf_distance = leaves = series = hierarchical = None
    if kind != "none":
        tree = data.draw(trees())
        U, series = tree.distance_matrix(), tree.leaf_order
        if kind == "hard":
            leaves = rng.integers(0, tree.n_classes, n)
            theirs = leaves if leave_one_out else rng.integers(0, tree.n_classes, n_queries)
            leaf_distance = leaf_part(theirs, U)
            hierarchical = U[theirs][:, leaves]
        else:
            # Halves and quarters, so that sums are exact and ties are ties.
            leaves = rng.multinomial(4, np.ones(tree.n_classes) / tree.n_classes, n) / 4
            expected = np.round(8 * rng.random((n_queries, tree.n_classes))) / 8
            numbered = softly(np.eye(1, tree.n_classes).repeat(n_queries, axis=0))
            numbered["leaf"][:, 0] = np.arange(n_queries)  # leaves of queries only say which row to take
            leaf_distance = LeafDistance(numbered, lambda them: expected[them["leaf"][:, 0]])
            hierarchical = expected @ leaves.T
    index = Index.build(gallery, None if leaves is None else as_leaves(leaves), series)
    own = np.argsort(index.serial) if leave_one_out else None
    found = search_index(queries, index, k, leaf_distance=leaf_distance, alpha=alpha, own_row=own, n_jobs=2)
    expected = reference.neighbours(queries, gallery, k, alpha, hierarchical, leave_one_out)
    np.testing.assert_array_equal(found[1], expected[1])
    np.testing.assert_allclose(found[0], expected[0], rtol=0, atol=1e-12)


@pytest.mark.parametrize("alpha", [0.0, 0.5, np.inf])
def test_many_blocks_and_few_neighbours(rng, alpha, monkeypatch):
    """Limits are only used where galleries are large; small blocks make one large."""
    monkeypatch.setattr(_index, "BLOCK_ROWS", 64)
    monkeypatch.setattr(_batch, "TILE_CODES", 64)
    gallery, queries = random_codes(rng, 2000, 2, 300), random_codes(rng, 20, 2, 20)
    leaves, theirs = rng.integers(0, 4, 2000), rng.integers(0, 4, 20)
    U = np.array([[0, 0.5, 1, 1], [0.5, 0, 1, 1], [1, 1, 0, 0.25], [1, 1, 0.25, 0]])
    part = leaf_part(theirs, U) if alpha else None
    hierarchical = U[theirs][:, leaves] if alpha else None
    index = Index.build(gallery, as_leaves(leaves), np.arange(4))
    for k in (1, 7, 50):
        found = search_index(queries, index, k, leaf_distance=part, alpha=alpha)
        expected = reference.neighbours(queries, gallery, k, alpha, hierarchical)
        np.testing.assert_array_equal(found[1], expected[1])
        np.testing.assert_array_equal(found[0], expected[0])


def test_a_huge_alpha_does_not_round_codes_away(rng):
    gallery = random_codes(rng, 300, 2, 300)
    leaves = rng.integers(0, 2, 300)
    part = leaf_part(np.array([0, 1]), 1.0 - np.eye(2))
    index = Index.build(gallery, as_leaves(leaves), np.arange(2))
    huge = search_index(gallery[:2], index, 5, leaf_distance=part, alpha=1e300)[1]
    infinite = search_index(gallery[:2], index, 5, leaf_distance=part, alpha=np.inf)[1]
    np.testing.assert_array_equal(huge, infinite)


def test_few_rows_allowed(rng):
    gallery = random_codes(rng, 200, 1, 30)
    allowed = np.zeros(200, dtype=bool)
    allowed[[5, 7, 190]] = True
    distances, serials = search_index(gallery[:2], Index.build(gallery), 5, allowed=allowed)
    assert np.sort(serials[:, :3]).tolist() == [[5, 7, 190]] * 2
    assert np.all(serials[:, 3:] == -1)
    assert np.all(np.isinf(distances[:, 3:]))
    nothing = search_index(gallery[:2], Index.build(gallery), 2, allowed=np.zeros(200, dtype=bool))
    assert np.all(nothing[1] == -1)
