import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from sklearn_hierret import HammingRetriever, HierarchicalRetriever, evaluate_retrieval, make_retrieval_scorer
from sklearn_hierret.reranking import DatabaseAugmentation, Diffusion, KReciprocal, QueryExpansion
from tests.strategies import blobs

STEPS = [
    QueryExpansion(n_expanded=4),
    DatabaseAugmentation(n_augmented=4),
    KReciprocal(k1=8, k2=3, n_candidates=15),
    Diffusion(n_edges=6, n_seeds=3),
]


@pytest.fixture
def data(rng):
    X, y = blobs(rng, n_classes=4, n_features=5, spread=1.5)
    return X[:50], y[:50], X[50:70], y[50:70]


def unit(X):
    return X / np.linalg.norm(X, axis=1, keepdims=True)


def test_expansion_by_hand(data):
    X, y, Q, _ = data
    step = QueryExpansion(HierarchicalRetriever(alpha=0), n_expanded=3, exponent=2.0).fit(X, y)
    u, q = unit(X), unit(Q)
    for i, row in enumerate(step.kneighbors(Q, 50)[1]):
        near = np.argsort(-(u @ q[i]), kind="stable")[:3]
        moved = q[i] + sum(max(u[j] @ q[i], 0) ** 2 * u[j] for j in near)
        np.testing.assert_array_equal(row, np.argsort(-(u @ moved), kind="stable"))


def test_alpha_of_query_expansion_is_the_former_name_of_exponent(data):
    X, y, Q, _ = data
    expected = QueryExpansion(exponent=1.0).fit(X, y).kneighbors(Q)
    with pytest.warns(FutureWarning, match="exponent"):
        result = QueryExpansion(alpha=1.0).fit(X, y).kneighbors(Q)
    np.testing.assert_array_equal(result, expected)


def test_augmentation_by_hand(data):
    X, y, Q, _ = data
    step = DatabaseAugmentation(HierarchicalRetriever(alpha=0), n_augmented=4).fit(X, y)
    u = unit(X)
    augmented = u.copy()
    for i in range(len(u)):
        others = [j for j in np.argsort(-(u @ u[i]), kind="stable") if j != i][:4]
        for rank, j in enumerate(others, start=1):
            augmented[i] += (4 - rank) / 4 * u[j]
    expected = np.argsort(-(unit(augmented) @ unit(Q).T).T, axis=1, kind="stable")
    np.testing.assert_array_equal(step.kneighbors(Q, 50)[1], expected)


def test_diffusion_by_hand(data):
    X, y, Q, _ = data
    step = Diffusion(HierarchicalRetriever(alpha=0), n_edges=5, n_seeds=3, gamma=2, restart=0.8).fit(X, y)
    u, n = unit(X), len(X)
    near = [[j for j in np.argsort(-(u @ u[i]), kind="stable") if j != i][:5] for i in range(n)]
    W = np.zeros((n, n))
    for i in range(n):
        for j in near[i]:
            if i in near[j]:
                W[i, j] = max(u[i] @ u[j], 0) ** 2
    d = W.sum(axis=1)
    scale = np.divide(1, np.sqrt(d), out=np.zeros(n), where=d > 0)
    for i, row in enumerate(step.kneighbors(Q, 10)[1]):
        start = np.zeros(n)
        seeds = np.argsort(-(u @ unit(Q)[i]), kind="stable")[:3]
        start[seeds] = np.maximum(u[seeds] @ unit(Q)[i], 0) ** 2
        reached = np.linalg.solve(np.eye(n) - 0.8 * scale[:, None] * W * scale[None], start)
        best = [j for j in np.argsort(-reached, kind="stable") if reached[j] > 1e-8][:10]
        assert row[: len(best)].tolist() == best


def naive_reciprocal(D, q_to, k1, k2, mix):
    """zhong2017 in loops, of one query, from distances within the gallery and to the query."""
    n = len(D)
    near = [[j for j in np.argsort(D[i], kind="stable") if j != i] for i in range(n)]

    def mutual(i, k):
        return {j for j in near[i][:k] if i in near[j][:k]}

    def describe(distance, own, own_near):
        members = set(own)
        for g in own:
            theirs = mutual(g, max(1, k1 // 2)) | {g}
            if len(theirs & own) >= 2 / 3 * len(theirs):
                members |= theirs
        far = distance[own_near[k1 - 1]]
        v = np.zeros(n)
        for j in members:
            v[j] = np.exp(-distance[j] / far if j in own_near[:k1] else -1)
        return v

    rows = []
    for i in range(n):
        v = describe(D[i], mutual(i, k1), near[i])
        v[i] = 1.0
        rows.append(v / v.sum())
    averaged = [np.mean([rows[j] for j in [i, *near[i][: k2 - 1]]], axis=0) for i in range(n)]
    order = np.argsort(q_to, kind="stable")
    own = {j for j in order[:k1] if q_to[j] <= D[j][near[j][k1 - 1]]}
    v = describe(q_to, own, order)
    v = v / v.sum() if v.sum() else v
    v = np.mean([v, *(averaged[j] for j in order[: k2 - 1])], axis=0)
    jaccard = np.array([1 - np.minimum(v, w).sum() / np.maximum(v, w).sum() for w in averaged])
    return (1 - mix) * jaccard + mix * q_to / q_to.max()


def test_reciprocal_by_hand(data):
    X, y, Q, _ = data
    step = KReciprocal(HierarchicalRetriever(alpha=0), k1=8, k2=3, mix=0.3, n_candidates=50).fit(X, y)
    u = unit(X)
    D = 1 - u @ u.T
    distances, indices = step.kneighbors(Q, 12)
    for i in range(len(Q)):
        expected = naive_reciprocal(D, 1 - u @ unit(Q)[i], 8, 3, 0.3)
        np.testing.assert_allclose(distances[i], np.sort(expected)[:12], atol=1e-6)
        np.testing.assert_allclose(expected[indices[i]], np.sort(expected)[:12], atol=1e-6)


@pytest.mark.parametrize("step", STEPS, ids=lambda step: type(step).__name__)
def test_steps_are_retrievers(data, step):
    X, y, Q, t = data
    names = np.array(["ant", "bee", "cow", "dog"])
    step = clone(step).set_params(retriever=HierarchicalRetriever(alpha=1.0)).fit(X, names[y])
    distances, indices = step.kneighbors(Q, 9)
    assert np.all(np.diff(distances, axis=1) >= -1e-12)
    assert all(len(set(row)) == 9 for row in indices.tolist())
    one_by_one = np.concatenate([step.kneighbors(Q[[i]], 9)[1] for i in range(len(Q))])
    np.testing.assert_array_equal(one_by_one, indices)  # queries do not know of each other
    own = step.kneighbors(None, 9)[1]
    assert not np.any(own == np.arange(len(X))[:, None])
    assert set(step.predict(Q)) <= set(names)
    again = pickle.loads(pickle.dumps(step))
    np.testing.assert_array_equal(again.kneighbors(Q, 9)[1], indices)
    for gallery in ("query", "fit"):
        score = evaluate_retrieval(step, Q, names[t], [5], gallery=gallery)["score"].item()
        assert 0.2 < score <= 1
    np.testing.assert_array_equal(step.kneighbors(Q, 9)[1], indices)  # scoring changed nothing
    search = GridSearchCV(
        clone(step), {"retriever__alpha": [0.0, 1.0]}, cv=2, scoring=make_retrieval_scorer("map", 5)
    ).fit(X, names[y])
    assert search.best_score_ > 0.3
    frame = pd.DataFrame(X).add_prefix("f")
    named = clone(step).fit(frame, names[y])
    np.testing.assert_array_equal(named.kneighbors(pd.DataFrame(Q).add_prefix("f"), 9)[1], indices)


def test_steps_may_be_stacked(data):
    X, y, Q, t = data
    steps = KReciprocal(QueryExpansion(n_expanded=3), k1=6, k2=2).fit(X, y)
    assert steps.retriever_.retriever_.hierarchy_ is steps.hierarchy_
    assert steps.kneighbors(Q, 5)[1].shape == (20, 5)
    assert evaluate_retrieval(steps, Q, t, [5])["score"].item() > 0.2
    with pytest.raises(TypeError, match="not of another step"):
        DatabaseAugmentation(QueryExpansion()).fit(X, y)


@pytest.mark.parametrize("step", STEPS, ids=lambda step: type(step).__name__)
def test_bad_input(data, step):
    X, y, Q, _ = data
    fitted = clone(step).fit(X, y)
    for call, error, message in [
        (lambda: fitted.kneighbors(Q[:, 1:]), ValueError, "features"),
        (lambda: fitted.kneighbors(Q * np.nan), ValueError, "NaN"),
        (lambda: fitted.kneighbors(Q, 0), ValueError, "n_neighbors must be"),
        (lambda: fitted.kneighbors(Q, 51), ValueError, "the gallery holds 50 samples"),
        (lambda: fitted.kneighbors(None, 50), ValueError, "besides the query"),
        (lambda: clone(step).kneighbors(Q), ValueError, "not fitted"),
        (lambda: clone(step).set_params(retriever="cosine").fit(X, y), ValueError, "'retriever' parameter"),
        (lambda: clone(step).fit(X, y[:-1]), ValueError, "inconsistent"),
        (lambda: fitted.set_gallery(X, y[:-1]), ValueError, "samples, but 49 labels"),
        (lambda: clone(step).set_params(retriever=HammingRetriever()).fit(X, y), TypeError, "has codes"),
    ]:
        with pytest.raises(error, match=message):
            call()
    fitted.set_gallery(X)
    with pytest.raises(ValueError, match="has no labels"):
        fitted.predict(Q)
    parameters = set(step.get_params(deep=False)) - {"retriever", "alpha", "gamma"}
    for name in parameters:
        with pytest.raises(ValueError, match=f"'{name}' parameter"):
            clone(step).set_params(**{name: -1}).fit(X, y)


@pytest.mark.parametrize("step", STEPS, ids=lambda step: type(step).__name__)
def test_galleries_change_whole_or_not_at_all(data, step):
    X, y, Q, _ = data
    fitted = clone(step).fit(X, y)
    before = fitted.kneighbors(Q, 4)[1]
    with pytest.raises(ValueError, match="ids must be distinct"):
        fitted.set_gallery(X, y, np.zeros(len(X), dtype=int))
    if isinstance(step, KReciprocal | Diffusion):
        with pytest.raises(ValueError, match="two samples at least"):
            fitted.set_gallery(X[:1], y[:1])
    np.testing.assert_array_equal(fitted.kneighbors(Q, 4)[1], before)
    fitted.retriever_.remove_from_gallery([3])
    with pytest.raises(RuntimeError, match="changed: call set_gallery"):
        fitted.kneighbors(Q, 4)


def test_large_distances_are_no_trouble(data):
    X, y, Q, _ = data
    step = KReciprocal(HierarchicalRetriever(alpha=1e4), k1=8).fit(X, y)
    assert np.isfinite(step.kneighbors(Q, 20)[0]).all()


def test_nested_parameters_without_a_retriever():
    with pytest.raises(ValueError, match="since retriever is None"):
        QueryExpansion().set_params(retriever__alpha=0.1)
