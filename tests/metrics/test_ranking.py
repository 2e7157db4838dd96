import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import average_precision_score

from sklearn_hierret import (
    average_precision_at_k,
    average_precision_at_r,
    map_at_k,
    map_at_r,
    precision_at_k,
    r_precision,
    recall_at_k,
    reciprocal_rank_at_k,
)
from tests.reference import metrics as reference
from tests.strategies import generators

DENOMINATORS = ["min", "relevant", "k", "hits"]


@given(generators(), st.integers(1, 12), st.sampled_from(DENOMINATORS))
def test_average_precision_equals_loops(rng, k, denominator):
    y, ranked = rng.integers(0, 4, 6), rng.integers(0, 4, (6, 12))
    n_relevant = (ranked == y[:, None]).sum(axis=1) + rng.integers(0, 5, 6)
    expected = [reference.average_precision(y[i], ranked[i], k, n_relevant[i], denominator) for i in range(6)]
    scores = average_precision_at_k(y, ranked, k, n_relevant=n_relevant, denominator=denominator)
    np.testing.assert_allclose(scores, expected)
    names = np.array(["d", "a", "c", "b"])
    by_name = average_precision_at_k(
        names[y], names[ranked], k, n_relevant=n_relevant, denominator=denominator
    )
    np.testing.assert_array_equal(by_name, scores)


def test_by_hand():
    # Relevant at ranks 1, 3 and 5: precisions 1, 2/3, 3/5.
    ranked = [["a", "b", "a", "b", "a"]]

    def ap(k, denominator, n_relevant=4):
        return average_precision_at_k(["a"], ranked, k, n_relevant=[n_relevant], denominator=denominator)[0]

    total = 1 + 2 / 3 + 3 / 5
    assert ap(5, "min") == pytest.approx(total / 4)
    assert ap(5, "relevant") == pytest.approx(total / 4)
    assert ap(5, "k") == pytest.approx(total / 5)
    assert ap(5, "hits") == pytest.approx(total / 3)
    assert ap(3, "min") == pytest.approx((1 + 2 / 3) / 3)
    assert ap(3, "relevant") == pytest.approx((1 + 2 / 3) / 4)
    assert ap(3, "hits") == pytest.approx((1 + 2 / 3) / 2)
    assert precision_at_k(["a"], ranked, 2).tolist() == [0.5]
    assert recall_at_k(["b"], ranked, 1).tolist() == [0.0]
    assert recall_at_k(["b"], ranked, 2).tolist() == [1.0]
    assert r_precision(["a"], ranked, n_relevant=[4]).tolist() == [0.5]
    assert average_precision_at_r(["a"], ranked, n_relevant=[4])[0] == pytest.approx((1 + 2 / 3) / 4)


def test_whole_rankings_score_as_in_scikit_learn(rng):
    scores = rng.normal(size=50)
    relevant = rng.random(50) < 0.3
    ranked = np.where(relevant, "x", "y")[np.argsort(-scores)]
    ours = average_precision_at_k(["x"], ranked[None])
    assert ours[0] == pytest.approx(average_precision_score(relevant, scores))


def test_queries_without_relevant_items():
    ranked = [["a", "b"], ["b", "b"]]
    y, n_relevant = ["a", "a"], [1, 0]
    np.testing.assert_array_equal(average_precision_at_k(y, ranked, n_relevant=n_relevant), [1, np.nan])
    for function in (precision_at_k, recall_at_k, r_precision, average_precision_at_r):
        assert np.isnan(function(y, ranked, n_relevant=n_relevant)).tolist() == [False, True]
    assert map_at_k(y, ranked, 2, n_relevant=n_relevant) == 1
    assert map_at_k(y, ranked, 2, n_relevant=n_relevant, empty="zero") == 0.5
    assert map_at_r(y, ranked, n_relevant=n_relevant, empty="zero") == 0.5
    with pytest.raises(ValueError, match="1 queries have no relevant item"):
        map_at_k(y, ranked, 2, n_relevant=n_relevant, empty="error")
    with pytest.warns(UndefinedMetricWarning, match="No query"):
        assert np.isnan(map_at_k(["z"], [["a"]], 1))


@pytest.mark.parametrize(
    ("args", "params", "message"),
    [
        ((["a"], [["a", "b"]], 3), {}, "k=3 is larger than the ranking"),
        ((["a"], [["a", "b"]], 0), {}, "positive integer"),
        ((["a"], [["a", "b"]], 1.5), {}, "positive integer"),
        ((["a", "b"], [["a", "b"]], 1), {}, "must have shape"),
        ((["a"], ["a"], 1), {}, "must have shape"),
        (([1], [["a", "b"]], 1), {}, "never match"),
        ((["a"], [["a", "a"]], 1), {"n_relevant": [1]}, "n_relevant=1, but 2 relevant"),
        ((["a"], [["a", "a"]], 1), {"n_relevant": [1, 2]}, "n_relevant must have shape"),
        ((["a"], [["a", "a"]], 1), {"denominator": "r"}, "denominator must be"),
        (([], np.empty((0, 3)), 1), {}, "no query"),
    ],
)
def test_bad_input(args, params, message):
    with pytest.raises(ValueError, match=message):
        average_precision_at_k(*args, **params)


def test_too_short_rankings_for_r():
    with pytest.raises(ValueError, match="a query has 5 relevant items"):
        map_at_r(["a"], [["a", "b"]], n_relevant=[5])
    with pytest.raises(ValueError, match="empty must be"):
        map_at_k(["a"], [["a"]], 1, empty="drop")


@given(generators(), st.integers(1, 40), st.sampled_from(["skip", "zero"]))
def test_macro_is_the_mean_over_classes(rng, n, empty):
    y, ranked = rng.integers(0, 6, n), rng.integers(0, 6, (n, 9))
    n_relevant = (ranked == y[:, None]).sum(axis=1)  # now and then none
    n_relevant[0] += 3
    scores = average_precision_at_k(y, ranked, 5, n_relevant=n_relevant)
    if empty == "zero":
        scores = np.nan_to_num(scores)
    means = [np.nanmean(scores[y == c]) for c in np.unique(y) if not np.isnan(scores[y == c]).all()]
    found = map_at_k(y, ranked, 5, n_relevant=n_relevant, empty=empty, macro=True)
    assert found == pytest.approx(np.mean(means))


def test_macro_by_hand():
    y, ranked = ["a", "a", "a", "b"], [["a"], ["a"], ["b"], ["a"]]
    relevant = {"n_relevant": [1, 1, 1, 1]}
    assert map_at_k(y, ranked, 1, **relevant) == 0.5
    assert map_at_k(y, ranked, 1, macro=True, **relevant) == pytest.approx((2 / 3 + 0) / 2)
    assert map_at_r(y, ranked, macro=True, **relevant) == pytest.approx(1 / 3)


def naive_found_share(label, ranked, k, n_relevant):
    return sum(other == label for other in ranked[:k]) / n_relevant if n_relevant else np.nan


def naive_reciprocal_rank(label, ranked, k):
    return next((1 / (i + 1) for i, other in enumerate(ranked[:k]) if other == label), 0.0)


@given(st.data())
def test_true_recall_and_reciprocal_rank(data):
    n, k = data.draw(st.integers(1, 8)), data.draw(st.integers(1, 6))
    labels = st.integers(0, 2)
    ranked = data.draw(arrays(np.int64, (n, k), elements=labels))
    queries = data.draw(arrays(np.int64, n, elements=labels))
    more = data.draw(arrays(np.int64, n, elements=st.integers(0, 3)))
    n_relevant = (ranked == queries[:, None]).sum(axis=1) + more
    at = data.draw(st.integers(1, k))
    shares = [naive_found_share(q, r, at, m) for q, r, m in zip(queries, ranked, n_relevant, strict=True)]
    found = recall_at_k(queries, ranked, at, n_relevant=n_relevant, kind="share")
    np.testing.assert_allclose(found, shares)
    ranks = [naive_reciprocal_rank(q, r, at) for q, r in zip(queries, ranked, strict=True)]
    np.testing.assert_allclose(reciprocal_rank_at_k(queries, ranked, at), ranks)
    with pytest.raises(ValueError, match="kind must be one of"):
        recall_at_k(queries, ranked, at, kind="all")
