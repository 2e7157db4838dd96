"""FAISS as the backend of a HammingRetriever: the same neighbours. Needs the extra "integration"."""

import pickle

import numpy as np
import pytest

from sklearn_hierret import HammingRetriever
from sklearn_hierret.search import CodeIndex, search_codes
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
    index = CodeIndex.build(gallery)
    for k in (1, 10, 100):
        both = [
            search_codes(gallery[::50], index, k, own_serial=own, backend=backend)
            for backend in ("numpy", "faiss")
        ]
        np.testing.assert_array_equal(*[found[1] for found in both])
        np.testing.assert_array_equal(*[found[0] for found in both])


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
