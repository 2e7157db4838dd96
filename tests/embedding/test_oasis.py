import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline

from sklearn_hierret import (
    OASIS,
    TRUSTED_TYPES,
    HierarchicalRetriever,
    evaluate_retrieval,
    make_retrieval_scorer,
)
from sklearn_hierret.embedding._oasis import triplets


def in_loops(X, codes, C, n, seed):
    """Algorithm 1 of Chechik et al., from the identity."""
    X = X / np.linalg.norm(X, axis=1, keepdims=True)
    W, n_updates = np.eye(X.shape[1]), 0
    for p, positive, negative in triplets(codes, n, np.random.RandomState(seed)):
        loss = max(0, 1 - X[p] @ W @ X[positive] + X[p] @ W @ X[negative])
        V = np.outer(X[p], X[positive] - X[negative])
        if loss > 0:
            W = W + min(C, loss / (V**2).sum()) * V
            n_updates += 1
    return W, n_updates


@pytest.mark.parametrize("C", [0.01, 0.1, 10])
def test_it_is_the_algorithm(rng, C):
    X, y = rng.normal(size=(40, 6)), np.repeat(list("abcd"), 10)
    codes = np.repeat(np.arange(4), 10)
    W, n_updates = in_loops(X, codes, C, 300, 5)
    oasis = OASIS(C, n_triplets=300, semidefinite=False, random_state=5).fit(X, y)
    np.testing.assert_allclose(oasis.W_, W)
    assert oasis.n_updates_ == n_updates
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    np.testing.assert_allclose(oasis.transform_queries(X) @ oasis.transform(X).T, unit @ W @ unit.T)
    factored = OASIS(C, n_triplets=300, random_state=5).fit(X, y)
    values, vectors = np.linalg.eigh((W + W.T) / 2)
    nearest = (vectors * np.maximum(values, 0)) @ vectors.T
    np.testing.assert_allclose(factored.W_, nearest, atol=1e-12)
    np.testing.assert_allclose(factored.factor_ @ factored.factor_.T, nearest, atol=1e-12)
    np.testing.assert_array_equal(factored.transform_queries(X), factored.transform(X))
    refitted = factored.set_params(semidefinite=False).fit(X, y)
    np.testing.assert_allclose(refitted.W_, W)
    assert not hasattr(refitted, "factor_")


@given(st.lists(st.integers(0, 3), min_size=4, max_size=30), st.integers(0, 2**31 - 1))
def test_triplets_are_of_two_classes(labels, seed):
    codes = np.unique([0, 0, 1, *labels], return_inverse=True)[1]
    drawn = triplets(codes, 200, np.random.RandomState(seed))
    p, positive, negative = drawn.T
    assert (p != positive).all()
    assert (codes[p] == codes[positive]).all()
    assert (codes[p] != codes[negative]).all()


def test_all_triplets_are_equally_likely():
    codes = np.array([1, 0, 0, 1, 0])
    drawn = triplets(codes, 60_000, np.random.RandomState(0))
    found, counts = np.unique(drawn, axis=0, return_counts=True)
    share = {tuple(row): count / 60_000 for row, count in zip(found.tolist(), counts, strict=True)}
    assert len(share) == 3 * 2 * 2 + 2 * 1 * 3
    for (p, _, _), value in share.items():
        expected = 1 / 5 / ((1 / 2 if codes[p] else 1 / 4) ** -1)
        assert value == pytest.approx(expected * (2 / 3 if codes[p] else 1), rel=0.1)


def test_it_helps_where_some_features_mislead(rng):
    X, y = load_digits(return_X_y=True)
    noise = 20 * rng.normal(size=(len(X), 10))
    X_train, X_test, y_train, y_test = train_test_split(np.hstack([X, noise]), y, random_state=0, stratify=y)
    plain = HierarchicalRetriever(alpha=0)
    before = evaluate_retrieval(plain.fit(X_train, y_train), X_test, y_test, ks=[20])["score"][0]
    pipe = make_pipeline(OASIS(n_triplets=20_000, random_state=0), plain).fit(X_train, y_train)
    assert evaluate_retrieval(pipe, X_test, y_test, ks=[20])["score"][0] > before + 0.4


def test_it_composes():
    X, y = load_digits(return_X_y=True)
    pipe = make_pipeline(PCA(16), OASIS(n_triplets=500, random_state=0), HierarchicalRetriever(alpha=0))
    scorer = make_retrieval_scorer("map", k=10)
    search = GridSearchCV(pipe, {"oasis__aggressiveness": [0.01, 1]}, scoring=scorer, cv=2).fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    single = OASIS(n_triplets=50, random_state=0).fit(X.astype(np.float32), y)
    assert single.transform(X[:2].astype(np.float32)).dtype == np.float32
    names = single.get_feature_names_out()
    assert len(names) == single.transform(X[:2]).shape[1]


@pytest.mark.parametrize(
    ("params", "y", "message"),
    [
        ({}, [0, 0, 0, 0], "one class"),
        ({}, [0, 1, 2, 3], "alone in its class"),
        ({"aggressiveness": 0}, [0, 0, 1, 1], "'aggressiveness' parameter"),
        ({"n_triplets": 0}, [0, 0, 1, 1], "'n_triplets' parameter"),
        ({"semidefinite": "yes"}, [0, 0, 1, 1], "'semidefinite' parameter"),
    ],
)
def test_bad_input(rng, params, y, message):
    with pytest.raises(ValueError, match=message):
        OASIS(**params).fit(rng.normal(size=(4, 3)), y)


def test_it_is_saved_without_code():
    skops = pytest.importorskip("skops.io", reason="the extra test")
    X, y = load_digits(return_X_y=True)
    pipe = make_pipeline(PCA(8), OASIS(n_triplets=100, random_state=0), HierarchicalRetriever()).fit(X, y)
    loaded = skops.loads(skops.dumps(pipe), trusted=TRUSTED_TYPES)
    np.testing.assert_array_equal(loaded.predict(X[:50]), pipe.predict(X[:50]))


def test_few_samples_of_many_features_are_saved_without_code(rng):
    skops = pytest.importorskip("skops.io", reason="the extra test")
    X, y = rng.normal(size=(40, 90)), np.arange(40) % 4
    retriever = HierarchicalRetriever().fit(X, y)
    loaded = skops.loads(skops.dumps(retriever), trusted=TRUSTED_TYPES)
    np.testing.assert_array_equal(loaded.kneighbors(X, 5)[1], retriever.kneighbors(X, 5)[1])


def test_a_refit_that_fails_changes_nothing(rng):
    X, y = rng.normal(size=(20, 4)), np.repeat([0, 1], 10)
    oasis = OASIS(n_triplets=50, random_state=0).fit(X, y)
    before = oasis.transform(X)
    with pytest.raises(ValueError, match="alone in its class"):
        oasis.fit(X[:2, :3], [0, 1])
    np.testing.assert_array_equal(oasis.transform(X), before)


def test_rows_of_zeros_change_nothing():
    X = np.array([[0.0, 0.0], [0.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    oasis = OASIS(n_triplets=20, semidefinite=False, random_state=0).fit(X, [0, 0, 1, 1])
    assert np.isfinite(oasis.W_).all()
