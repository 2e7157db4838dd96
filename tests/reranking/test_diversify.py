"""Results that differ: against loops, and one of each group."""

import numpy as np
import pytest

from sklearn_hierret import HierarchicalRetriever
from sklearn_hierret.reranking import Diversify
from tests.strategies import blobs


@pytest.fixture
def data(rng):
    X, y = blobs(rng, n_classes=4, n_features=5, spread=1.5)
    return X[:60], y[:60], X[60:75]


def unit(X):
    return X / np.linalg.norm(X, axis=1, keepdims=True)


def test_marginal_relevance_by_hand(data):
    X, y, Q = data
    step = Diversify(HierarchicalRetriever(metric="cosine"), trade_off=0.5, n_candidates=20).fit(X, y)
    distances, indices = step.retriever_.kneighbors(Q, 20)
    found = step.kneighbors(Q, 8)
    apart = 1 - unit(X) @ unit(X).T
    for i in range(len(Q)):
        left, chosen = list(range(20)), []
        while len(chosen) < 8:
            costs = [
                distances[i, j] - 0.5 * min((apart[indices[i, j], indices[i, c]] for c in chosen), default=0)
                for j in left
            ]
            chosen.append(left.pop(int(np.argmin(costs))))
        np.testing.assert_array_equal(found[1][i], indices[i, chosen])
        np.testing.assert_allclose(found[0][i], distances[i, chosen])


def first_of_each(row, groups, k):
    seen, firsts, repeats = set(), [], []
    for item in row:
        (repeats if groups[item] in seen else firsts).append(item)
        if groups[item] is not None:
            seen.add(groups[item])
    return [*firsts, *repeats][:k]


def test_one_of_each_group(data, rng):
    X, y, Q = data
    series = [None if rng.random() < 0.2 else f"s{rng.integers(8)}" for _ in X]
    retriever = HierarchicalRetriever().fit(X, y, metadata={"series": series})
    for one_per, groups in (("leaf", list(y)), ("series", series)):
        step = Diversify(one_per=one_per, n_candidates=40).fit(X, y)
        step.set_gallery(X, y, metadata={"series": series})
        whole = retriever.kneighbors(Q, 40)[1]
        expected = [first_of_each(row, groups, 10) for row in whole]
        np.testing.assert_array_equal(step.kneighbors(Q, 10)[1], expected)


def test_near_copies_come_last(data, rng):
    X, y, Q = data
    X = np.concatenate([X, X[:30] + 1e-4 * rng.normal(size=(30, X.shape[1]))])
    y = np.concatenate([y, y[:30]])
    step = Diversify(HierarchicalRetriever(metric="cosine"), one_per="copy", copy_distance=1e-3).fit(X, y)
    found = step.kneighbors(Q, 60)[1]
    assert all(len({item % 60 for item in row.tolist()}) == 60 for row in found)


def test_nothing_to_trade(data):
    X, y, Q = data
    step = Diversify(trade_off=0).fit(X, y)
    np.testing.assert_array_equal(step.kneighbors(Q, 9)[1], step.retriever_.kneighbors(Q, 9)[1])
    assert step.kneighbors(None, 3)[1].shape == (60, 3)


@pytest.mark.parametrize("one_per", [None, "leaf", "copy", "price"])
def test_conditions(data, one_per):
    X, y, Q = data
    step = Diversify(one_per=one_per).fit(X, y)
    step.set_gallery(X, y, metadata={"price": np.arange(60)})
    distances, indices = step.kneighbors(Q, 8, where="price < 5")
    assert (np.sort(indices, axis=1) == [-1, -1, -1, 0, 1, 2, 3, 4]).all()
    assert (indices[:, 5:] == -1).all()
    assert np.isinf(distances[:, 5:]).all()


def test_bad_input(data):
    X, y, Q = data
    with pytest.raises(ValueError, match="No column"):
        Diversify(one_per="brand").fit(X, y).kneighbors(Q, 2)
    with pytest.raises(TypeError, match="offset"):
        Diversify().fit(X, y).kneighbors(Q, 2, offset=3)
    with pytest.raises(ValueError, match="trade_off"):
        Diversify(trade_off=-1).fit(X, y)


@pytest.mark.parametrize("one_per", [None, "leaf", "copy"])
def test_more_neighbours_change_no_earlier_ones(data, one_per):
    X, y, Q = data
    step = Diversify(one_per=one_per, n_candidates=10, trade_off=2).fit(X, y)
    for n in (12, 60):
        np.testing.assert_array_equal(step.kneighbors(Q, n)[1][:, :8], step.kneighbors(Q, 8)[1])


def test_steps_inside_take_no_conditions(data):
    X, y, Q = data
    with pytest.raises(TypeError, match="need the retriever itself"):
        Diversify(Diversify()).fit(X, y).kneighbors(Q, 3, where="price < 3")
