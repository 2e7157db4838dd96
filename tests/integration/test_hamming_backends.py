"""FAISS as the backend of a HammingRetriever: the same neighbours. Needs the extra "integration"."""

import pickle

import numpy as np
import pytest

from sklearn_hierret import HammingRetriever
from sklearn_hierret.search import Index, search, search_by_faiss
from tests.reference import hashing as reference


def random_codes(rng, n, n_bytes, n_distinct):
    distinct = rng.integers(0, 256, (n_distinct, n_bytes), dtype=np.uint8)
    return distinct[rng.integers(0, n_distinct, n)]


@pytest.mark.parametrize("n_bytes", [2, 4, 8, 9, 32])
@pytest.mark.parametrize("n_distinct", [1, 40, 5000])
@pytest.mark.parametrize("leave_one_out", [True, False])
def test_faiss_finds_the_same(rng, n_bytes, n_distinct, leave_one_out):
    gallery = random_codes(rng, 5000, n_bytes, n_distinct)
    own = np.arange(5000)[::50] if leave_one_out else None
    index = Index.build(gallery)

    def ours(queries, n_neighbors, **how):
        return search(queries, index, n_neighbors, **how)

    for k in (1, 10, 100):
        expected = ours(gallery[::50], k, own_row=own)
        found = search_by_faiss(gallery[::50], index, k, ours, own_row=own)
        np.testing.assert_array_equal(found[1], expected[1])
        np.testing.assert_array_equal(found[0], expected[0])


def test_a_retriever_that_asks_faiss(rng):
    gallery, queries = (rng.integers(0, 256, (n, 2), dtype=np.uint8) for n in (3000, 10))
    retriever = HammingRetriever(backend="faiss").fit(gallery).remove_from_gallery([5, 6])
    kept = np.delete(gallery, [5, 6], axis=0)
    expected = reference.neighbours(queries, kept, 10)
    distances, indices = retriever.kneighbors(queries, 10)
    np.testing.assert_array_equal(indices, expected[1])
    np.testing.assert_array_equal(distances, expected[0])
    retriever.add_to_gallery(queries)  # what FAISS was given before is out of date
    expected = reference.neighbours(queries, np.concatenate([kept, queries]), 4)
    np.testing.assert_array_equal(retriever.kneighbors(queries, 4)[1], expected[1])
    alone = pickle.loads(pickle.dumps(retriever)).kneighbors(None, 3)
    np.testing.assert_array_equal(alone, retriever.set_params(backend="numpy").kneighbors(None, 3))
