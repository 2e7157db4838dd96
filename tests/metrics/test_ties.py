import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_hierret import (
    ClassHierarchy,
    average_hierarchical_precision_at_k,
    average_precision_at_k,
    average_precision_at_r,
    hierarchical_average_precision,
    hierarchical_precision_at_k,
    ndcg_at_k,
    precision_at_k,
    r_precision,
    recall_at_k,
)
from tests.reference.metrics import over_tied_orders
from tests.strategies import examples, generators

TREE = ClassHierarchy.from_newick("((a,b),(c,d));")


@given(generators(), st.integers(1, 6))
@settings(max_examples=examples(40))
def test_equals_the_mean_over_all_orders(rng, k):
    gallery = rng.choice(list("aabcd"), 6)
    ranked = rng.permutation(gallery)
    distances = np.sort(rng.integers(0, 3, 6))
    R = [np.sum(gallery == "a")]
    graded = {"hierarchy": TREE, "y_gallery": gallery}
    metrics = {
        precision_at_k: {"k": k, "n_relevant": R},
        recall_at_k: {"k": k, "n_relevant": R},
        r_precision: {"n_relevant": R},
        average_precision_at_r: {"n_relevant": R},
        hierarchical_precision_at_k: {"k": k, **graded},
        average_hierarchical_precision_at_k: {"k": k, "integration": "trapezoid", **graded},
        ndcg_at_k: {"k": k, "gain": "exp2", "discount": "log2(rank)", **graded},
        hierarchical_average_precision: {"k": k, **graded},
    }
    cases = [*metrics.items(), *((average_precision_at_k, {"k": k, "n_relevant": R, "denominator": d})
                                 for d in ("min", "relevant", "k"))]  # fmt: skip
    for function, params in cases:
        expected = over_tied_orders(distances, lambda o, f=function, p=params: f(["a"], [ranked[o]], **p)[0])
        found = function(["a"], [ranked], distances=[distances], **params)
        np.testing.assert_allclose(found, [expected], atol=1e-12, err_msg=function.__name__)


def test_without_ties_nothing_changes(rng):
    ranked, distances = rng.choice(list("abcd"), (5, 8)), np.sort(rng.random((5, 8)), axis=1)
    queries = list("abcda")
    np.testing.assert_allclose(
        average_precision_at_k(queries, ranked, 4, distances=distances),
        average_precision_at_k(queries, ranked, 4),
        atol=1e-15,
    )


def test_bad_distances():
    for distances, message in [
        ([[0.0]], "shape of y_retrieved"),
        ([[1.0, 0.0]], "ascend"),
        ([[0.0, np.nan]], "ascend"),
    ]:
        with pytest.raises(ValueError, match=message):
            average_precision_at_k(["a"], [["a", "b"]], distances=distances)
    with pytest.raises(ValueError, match="no closed form"):
        average_precision_at_k(["a"], [["a", "b"]], distances=[[0, 0]], denominator="hits")
