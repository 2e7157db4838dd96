"""The pieces compose with scikit-learn's: pipelines, searches, frames, safe saving."""

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn import config_context
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline

from sklearn_hierret import (
    TRUSTED_TYPES,
    HammingRetriever,
    HierarchicalRetriever,
    HierarchyBuilder,
    ITQHasher,
    LinkageHierarchyBuilder,
    MahalanobisClassifier,
    make_retrieval_scorer,
)
from sklearn_hierret.evaluation import retriever_of


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    names = np.array(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"])
    return X[:600], names[y[:600]], X[600:900], names[y[600:900]]


def pipeline():
    builder = HierarchyBuilder(class_model=MahalanobisClassifier(n_components=None))
    return Pipeline([("pca", PCA(0.95)), ("retriever", HierarchicalRetriever(builder))])


def test_grid_search_over_threshold_and_alpha(digits):
    X, y, Q, t = digits
    columns = [f"pixel_{i}" for i in range(64)]
    grid = {"retriever__hierarchy__threshold": [0.001, 0.1], "retriever__alpha": [0, 1.0, np.inf]}
    scorer = make_retrieval_scorer("map", k=20, gallery="query")
    search = GridSearchCV(pipeline(), grid, scoring=scorer, cv=3, error_score="raise")
    search.fit(pd.DataFrame(X, columns=columns), y)
    scores = pd.DataFrame(search.cv_results_).groupby("param_retriever__alpha")["mean_test_score"].max()
    assert scores[1.0] > scores[0] + 0.05
    assert search.best_params_["retriever__alpha"] != 0
    assert scorer(search, pd.DataFrame(Q, columns=columns), t) > 0.9
    assert search.best_estimator_.feature_names_in_.tolist() == columns
    np.testing.assert_array_equal(search.classes_, np.unique(y))


def test_search_stratifies(digits):
    X, y, _, _ = digits
    order = np.argsort(y, kind="stable")  # unstratified folds would miss whole classes
    search = GridSearchCV(
        pipeline(),
        {"retriever__alpha": [1.0]},
        scoring=make_retrieval_scorer(gallery="query"),
        cv=3,
        error_score="raise",
    )
    assert search.fit(X[order], y[order]).best_score_ > 0.9


def test_set_output_leaves_neighbours_unchanged(digits):
    X, y, Q, _ = digits
    plain = pipeline().fit(X, y)
    frames = pipeline().set_output(transform="pandas").fit(X, y)
    with config_context(transform_output="pandas"):
        configured = pipeline().fit(X, y)
        found = configured[-1].kneighbors(configured[:-1].transform(Q))[1]
    expected = plain[-1].kneighbors(plain[:-1].transform(Q))[1]
    np.testing.assert_array_equal(frames[-1].kneighbors(frames[:-1].transform(Q))[1], expected)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(plain.predict(Q), frames.predict(Q))


@pytest.mark.filterwarnings("ignore::DeprecationWarning:skops")
@pytest.mark.parametrize(
    "pipe",
    [
        pipeline(),
        make_pipeline(PCA(0.99), HierarchicalRetriever()),
        HierarchicalRetriever([HierarchyBuilder(), LinkageHierarchyBuilder()]),
    ],
)
def test_safe_saving_with_skops(digits, tmp_path, pipe):
    X, y, Q, _ = digits
    pipe.fit(X, y)
    path = tmp_path / "retriever.skops"
    skops.io.dump(pipe, path)
    loaded = skops.io.load(path, trusted=TRUSTED_TYPES)
    np.testing.assert_array_equal(loaded.predict(Q), pipe.predict(Q))
    one, other = (retriever_of(model, Q) for model in (loaded, pipe))
    for found, expected in zip(one[0].kneighbors(one[1]), other[0].kneighbors(other[1]), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert one[0].hierarchy_ == other[0].hierarchy_


@pytest.mark.filterwarnings("ignore::DeprecationWarning:skops")
def test_safe_saving_of_codes(digits, tmp_path):
    X, y, Q, _ = digits
    pipe = make_pipeline(ITQHasher(16, random_state=0), HammingRetriever()).fit(X, y)
    path = tmp_path / "codes.skops"
    skops.io.dump(pipe, path)
    loaded = skops.io.load(path, trusted=TRUSTED_TYPES)
    codes = pipe[:-1].transform(Q)
    np.testing.assert_array_equal(loaded[:-1].transform(Q), codes)
    np.testing.assert_array_equal(loaded[-1].kneighbors(codes), pipe[-1].kneighbors(codes))
    frames = make_pipeline(ITQHasher(16, random_state=0), HammingRetriever()).set_output(transform="pandas")
    np.testing.assert_array_equal(frames.fit(X, y).predict(Q), pipe.predict(Q))
