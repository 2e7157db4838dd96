import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sklearn_hierret import (
    ClassHierarchy,
    average_hierarchical_precision_at_k,
    average_precision_at_k,
    average_set_intersection_at_k,
    hierarchical_average_precision,
    hierarchical_precision_at_k,
    mistake_severity_at_k,
    ndcg_at_k,
)
from sklearn_hierret.datasets import load_cifar100_taxonomy
from tests.reference import hierarchy as naive_tree
from tests.reference import metrics as reference
from tests.strategies import generators, trees

DISCOUNTS = {"log2(rank+1)": lambda i: np.log2(i + 1), "log2(rank)": lambda i: np.log2(i) if i >= 2 else 1}
SIMILARITIES = {
    "lca": lambda tree, i, j: 1 - naive_tree.distance(tree, i, j),
    "wup": naive_tree.wu_palmer,
    "levels": naive_tree.shared_levels,
}


def compare(tree, codes, ranked, others, k, params, naive_of, naive_similarity):
    """Every metric against its loops, for queries that are the first of the gallery, or not part of it."""

    def check(function, naive, **more):
        found = function(queries, tree.classes[ranked], tree, k, **params, **more)
        expected = [naive(code, row, rest, k) for code, row, rest in zip(codes, ranked, others, strict=True)]
        np.testing.assert_allclose(found, expected, atol=1e-10, rtol=1e-10)

    queries = tree.classes[codes]
    check(
        hierarchical_precision_at_k,
        lambda *a: reference.hierarchical_precision(*a, naive_similarity),
    )
    curve_of = [
        [reference.hierarchical_precision(c, r, o, i, naive_similarity) for i in range(1, k + 1)]
        for c, r, o in zip(codes, ranked, others, strict=True)
    ]
    for integration, area in (
        ("mean", np.mean(curve_of, axis=1)),
        ("trapezoid", np.trapezoid(curve_of, dx=1 / k, axis=1)),
    ):
        found = average_hierarchical_precision_at_k(
            queries, tree.classes[ranked], tree, k, **params, integration=integration
        )
        np.testing.assert_allclose(found, area, atol=1e-10)
    for discount, divisor in DISCOUNTS.items():
        for average in (False, True):
            check(
                ndcg_at_k,
                lambda *a, d=divisor, v=average: reference.ndcg(*a, naive_similarity, d, v),
                discount=discount,
                average=average,
            )
    check(
        ndcg_at_k,
        lambda *a: reference.ndcg(
            *a, lambda i, j: 2 ** naive_similarity(i, j) - 1, DISCOUNTS["log2(rank+1)"]
        ),
        gain="exp2",
    )
    for denominator in ("relevant", "min"):
        check(
            hierarchical_average_precision,
            lambda *a, d=denominator: reference.hierarchical_average_precision(*a, naive_similarity, d),
            denominator=denominator,
        )
    check(
        average_set_intersection_at_k,
        lambda *a: reference.average_set_intersection(*a, naive_similarity),
    )
    severity = mistake_severity_at_k(queries, tree.classes[ranked], tree, k)
    expected = [reference.mistake_severity(c, r, k, naive_of) for c, r in zip(codes, ranked, strict=True)]
    np.testing.assert_allclose(severity, expected, atol=1e-10)


@given(trees(max_classes=6), generators(), st.sampled_from(sorted(SIMILARITIES)), st.booleans())
def test_equals_loops(tree, rng, similarity, exclude_query):
    gallery = rng.integers(0, tree.n_classes, 9)
    others = [np.delete(gallery, q) if exclude_query else gallery for q in range(4)]
    ranked = np.array([rng.permutation(o)[:6] for o in others])
    table = tree.similarity_matrix(similarity)

    def s(i, j):
        # ASI compares relevances with ==: the naive value must be the same float.
        np.testing.assert_allclose(table[i, j], SIMILARITIES[similarity](tree, i, j), atol=1e-12)
        return table[i, j]

    params = {
        "y_gallery": tree.classes[gallery],
        "exclude_query": exclude_query,
        "similarity": similarity,
    }
    compare(
        tree,
        gallery[:4],
        ranked,
        others,
        6,
        params,
        lambda i, j: naive_tree.distance(tree, i, j) * tree.height,
        s,
    ) if not np.isnan(s(0, 0)) else None


@pytest.mark.parametrize("similarity", ["lca", "wup"])
def test_cifar100_agrees_with_loops(rng, similarity):
    tree = load_cifar100_taxonomy("index")
    naive = np.array([[SIMILARITIES[similarity](tree, i, j) for j in range(100)] for i in range(100)])
    np.testing.assert_allclose(tree.similarity_matrix(similarity), naive, atol=1e-12, rtol=0)
    gallery = rng.integers(0, 100, 400)
    scores = naive[gallery[:3]] + rng.normal(scale=0.3, size=(3, 100))
    ranked, others = [], []
    for q in range(3):
        rest = np.delete(gallery, q)
        others.append(rest)
        ranked.append(rest[np.argsort(-scores[q][rest], kind="stable")][:250])
    for function, loops in (
        (hierarchical_precision_at_k, reference.hierarchical_precision),
        (average_hierarchical_precision_at_k, reference.average_hierarchical_precision),
    ):
        found = function(
            gallery[:3], ranked, tree, 250, y_gallery=gallery, exclude_query=True, similarity=similarity
        )
        expected = [loops(gallery[q], ranked[q], others[q], 250, lambda i, j: naive[i, j]) for q in range(3)]
        np.testing.assert_allclose(found, expected, atol=1e-10, rtol=0)


def test_perfect_and_worst_rankings():
    tree = ClassHierarchy.from_newick("((a,b),(c,d));")
    gallery = ["a", "b", "c", "d"]
    best, worst = [["a", "b", "c", "d"]], [["c", "d"]]
    params = {"hierarchy": tree, "y_gallery": gallery}
    for function in (
        average_hierarchical_precision_at_k,
        ndcg_at_k,
        hierarchical_average_precision,
        average_set_intersection_at_k,
    ):
        assert function(["a"], best, **params) == pytest.approx([1.0])
    for function in (average_hierarchical_precision_at_k, ndcg_at_k, hierarchical_average_precision):
        assert function(["a"], worst, **params).tolist() == [0.0]
    # A perfect list's trapezoids span K - 1 of K widths.
    area = average_hierarchical_precision_at_k(["a"], best, **params, integration="trapezoid")
    assert area == pytest.approx([3 / 4])
    # HP@1 = 0.5 / 1, HP@2 = 1.5 / 1.5
    half = average_hierarchical_precision_at_k(["a"], [["b", "a"]], **params)
    assert half.tolist() == [0.75]


@given(generators())
def test_hap_of_binary_relevance_is_ap(rng):
    tree = ClassHierarchy.flat(range(3))
    gallery = rng.integers(0, 3, 12)
    ranked = np.array([rng.permutation(gallery) for _ in range(4)])
    queries = rng.choice(gallery, 4)
    R = [np.sum(gallery == q) for q in queries]
    for k, denominator in [(12, "relevant"), (12, "min"), (5, "relevant"), (5, "min")]:
        hap = hierarchical_average_precision(
            queries, ranked, tree, k, y_gallery=gallery, denominator=denominator
        )
        ap = average_precision_at_k(queries, ranked, k, n_relevant=R, denominator=denominator)
        np.testing.assert_allclose(hap, ap, atol=1e-12)


def test_gains_and_discounts_of_ones_own():
    tree = ClassHierarchy.from_newick("((a,b),c);")
    gallery, ranked = ["a", "b", "c"], [["b", "a", "c"]]
    found = ndcg_at_k(
        ["a"], ranked, tree, y_gallery=gallery, gain=lambda rel: rel**2, discount=lambda ranks: ranks
    )
    assert found == pytest.approx([(0.25 + 1 / 2) / (1 + 0.25 / 2)])
    levels = ndcg_at_k(["a"], ranked, tree, y_gallery=gallery, similarity="levels")
    assert levels == pytest.approx([(1 + 2 / np.log2(3)) / (2 + 1 / np.log2(3))])
    for wrong in (lambda rel: -rel, lambda rel: rel[0], lambda rel: rel * np.nan, "square"):
        with pytest.raises(ValueError, match="gain must"):
            ndcg_at_k(["a"], ranked, tree, y_gallery=gallery, gain=wrong)
    for wrong in (lambda ranks: ranks - 1, lambda ranks: 1.0, "log10"):
        with pytest.raises(ValueError, match="discount must"):
            ndcg_at_k(["a"], ranked, tree, y_gallery=gallery, discount=wrong)


def test_nothing_similar_in_the_gallery():
    tree = ClassHierarchy.flat(["a", "b"])
    for function in (
        hierarchical_precision_at_k,
        average_hierarchical_precision_at_k,
        ndcg_at_k,
        hierarchical_average_precision,
        average_set_intersection_at_k,
    ):
        assert np.isnan(function(["a"], [["b"]], tree, y_gallery=["b"])).all(), function.__name__
    assert np.isnan(mistake_severity_at_k(["a"], [["a"]], tree)).all()


def test_bad_input():
    tree = ClassHierarchy.flat(["a", "b"])
    with pytest.raises(ValueError, match="missing in the hierarchy: 'z'"):
        hierarchical_precision_at_k(["a"], [["z"]], tree, y_gallery=["a", "b"])
    with pytest.raises(ValueError, match="missing in the hierarchy: 'z'"):
        hierarchical_precision_at_k(["a"], [["b"]], tree, y_gallery=["a", "z"])
    with pytest.raises(ValueError, match="results of query 0 are better than any ranking"):
        hierarchical_precision_at_k(["a"], [["a", "a"]], tree, y_gallery=["a", "b"])
    for wrong in (None, "tree", {"a": "b"}):
        for function in (ndcg_at_k, hierarchical_average_precision, average_set_intersection_at_k):
            with pytest.raises(TypeError, match="hierarchy must be a ClassHierarchy"):
                function(["a"], [["b"]], wrong, y_gallery=["a", "b"])
        with pytest.raises(TypeError, match="hierarchy must be a ClassHierarchy"):
            mistake_severity_at_k(["a"], [["b"]], wrong)
    with pytest.raises(ValueError, match="one-dimensional"):
        ndcg_at_k(["a"], [["b"]], tree, y_gallery=[["a", "b"]])
    with pytest.raises(ValueError, match="larger than the gallery"):
        hierarchical_precision_at_k(["a"], [["b", "a"]], tree, y_gallery=["a", "b"], exclude_query=True)
    with pytest.raises(ValueError, match="Query 0 is not in y_gallery"):
        hierarchical_precision_at_k(["a"], [["b"]], tree, y_gallery=["b", "b"], exclude_query=True)
    with pytest.raises(ValueError, match="kind must be"):
        hierarchical_precision_at_k(["a"], [["b"]], tree, y_gallery=["a", "b"], similarity="cosine")
    with pytest.raises(ValueError, match="integration must be"):
        average_hierarchical_precision_at_k(["a"], [["b"]], tree, y_gallery=["a", "b"], integration="x")
    with pytest.raises(ValueError, match="denominator must be"):
        hierarchical_average_precision(["a"], [["b"]], tree, y_gallery=["a", "b"], denominator="hits")
