"""The builder beyond one fit in memory: blocks, caches, paths of thresholds."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from sklearn_hierret import (
    HierarchicalRetriever,
    HierarchyBuilder,
    MahalanobisClassifier,
    make_retrieval_scorer,
)
from sklearn_hierret.building import _builder
from sklearn_hierret.gaussian._model import GaussianRule
from tests.reference import gaussians as reference
from tests.strategies import blobs


@pytest.fixture
def data(rng):
    groups = np.arange(12) // 3
    return blobs(rng, n_classes=12, n_features=4, n_per_class=(30, 60), spread=4.0, groups=groups)


def builders(**params):
    for covariance_type in ("full", "tied", "diag"):
        for linkage in ("single", "average"):
            model = MahalanobisClassifier(covariance_type)
            yield HierarchyBuilder(0.1, linkage=linkage, class_model=model, **params)


def test_partial_fit_over_fifty_blocks(data, rng):
    X, y = data
    X = (X + 1e4).astype(np.float32)
    for builder in builders():
        whole = clone(builder).fit(X, y)
        for rows in np.array_split(rng.permutation(len(X)), 50):
            builder.partial_fit(X[rows], y[rows])
        np.testing.assert_array_equal(builder.levels_, whole.levels_)
        np.testing.assert_allclose(builder.overlap_, whole.overlap_, atol=1e-8)
        np.testing.assert_allclose(
            builder.hierarchy_.distance_matrix(), whole.hierarchy_.distance_matrix(), atol=1e-8
        )
        for name in ("means_", "covariances_"):
            one, other = (getattr(b.class_model_, name) for b in (builder, whole))
            np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-10 * np.abs(other).max())


def test_nothing_is_built_before_it_is_asked_for(data, monkeypatch):
    X, y = data
    built = []
    build = HierarchyBuilder._build
    monkeypatch.setattr(HierarchyBuilder, "_build", lambda self, m: built.append(1) or build(self, m))
    builder = HierarchyBuilder()
    for rows in np.array_split(np.arange(len(X)), 5):
        builder.partial_fit(X[rows], y[rows])
    assert not built
    first = builder.hierarchy_
    assert builder.hierarchy_ is first
    assert len(built) == 1
    builder.partial_fit(X[:10] + 50, y[:10])
    assert builder.hierarchy_ is not first
    assert builder.overlap_.shape == (12, 12)


@pytest.mark.parametrize("linkage", ["single", "average"])
def test_threshold_path_is_a_fit_for_each_threshold(data, linkage):
    X, y = data
    builder = HierarchyBuilder(linkage=linkage).fit(X, y)
    path = builder.threshold_path()
    assert 2 <= path["threshold"].nunique() <= 50
    assert path["threshold"].is_monotonic_decreasing
    for t in path["threshold"].unique()[::7]:
        levels = HierarchyBuilder(t, linkage=linkage).fit(X, y).levels_
        mine = path[path["threshold"] == t]
        assert mine["n_clusters"].tolist() == [len(np.unique(level)) for level in levels[1:]]
        assert mine["largest"].tolist() == [np.bincount(level).max() for level in levels[1:]]
    chosen = builder.threshold_path([0.2, 0.01])
    assert chosen["threshold"].unique().tolist() == [0.2, 0.01]
    assert isinstance(chosen, pd.DataFrame)
    for bad in ([0.0], [1.5], [], [np.nan]):
        with pytest.raises(ValueError, match="thresholds must be in"):
            builder.threshold_path(bad)


def test_a_search_over_thresholds_fits_one_class_model_a_fold(data, tmp_path, monkeypatch):
    X, y = data
    fits = []
    make = GaussianRule.model
    monkeypatch.setattr(GaussianRule, "model", lambda self, *args: fits.append(1) or make(self, *args))
    scoring = make_retrieval_scorer("map", k=5, gallery="query")
    grid = {"hierarchy__threshold": [0.3, 0.1, 0.01], "alpha": [1.0, 4.0]}
    found = {}
    for memory in (None, str(tmp_path)):
        fits.clear()
        retriever = HierarchicalRetriever(HierarchyBuilder(memory=memory))
        search = GridSearchCV(retriever, grid, scoring=scoring, cv=2, refit=False).fit(X, y)
        found[memory] = search.cv_results_["mean_test_score"], len(fits)
    assert found[None][1] == 12
    assert found[str(tmp_path)][1] == 2
    np.testing.assert_array_equal(found[None][0], found[str(tmp_path)][0])
    assert _builder._fitted.__module__ == "sklearn_hierret.building._builder"


def test_verbose_says_what_was_done(data, capsys):
    X, y = data
    HierarchyBuilder(0.1, verbose=True).fit(X, y)
    printed = capsys.readouterr().out
    assert "[HierarchyBuilder] 12 classes, their statistics in" in printed
    assert "[HierarchyBuilder] level 1: " in printed
    HierarchyBuilder(0.1).fit(X, y)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("covariance_type", "shrinkage"), [("full", "auto"), ("full", None), ("tied", None)])
def test_levels_are_those_of_the_naive_loop_over_three_levels_and_more(covariance_type, shrinkage):
    deep = 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        places = np.cumsum(rng.choice([1.5, 4.0, 7.0, 12.0], size=14))
        y = np.repeat(np.arange(14), 40)
        X = rng.normal(size=(len(y), 2)) + np.outer(places[y], [1, 0.3])
        model = MahalanobisClassifier(covariance_type, shrinkage=shrinkage, n_components=None)
        levels = HierarchyBuilder(0.12, class_model=model).fit(X, y).levels_
        expected = reference.levels_from_samples(X, y, 0.12, covariance_type, shrinkage)
        np.testing.assert_array_equal(levels, expected)
        deep += len(levels) > 4
    assert deep >= 1


def test_a_cached_fit_heeds_groups(tmp_path):
    rng = np.random.default_rng(0)
    X, y = np.repeat(rng.normal(size=(40, 3)), 3, axis=0), np.repeat(np.arange(40) % 2, 3)
    X = X + 1e-3 * rng.normal(size=X.shape)
    groups, model = np.repeat(np.arange(40), 3), MahalanobisClassifier(temperature="auto")
    chosen = []
    for memory in (None, str(tmp_path), tmp_path):
        builder = HierarchyBuilder(class_model=model, memory=memory)
        retriever = HierarchicalRetriever(builder, alpha=1.0)
        chosen += [retriever.fit(X, y, g).class_model_.temperature_ for g in (groups, None)]
    assert chosen[:2] == chosen[2:4] == chosen[4:]
    assert chosen[0] != chosen[1]
