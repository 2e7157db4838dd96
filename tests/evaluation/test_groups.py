"""Groups in scorers: no query finds its own, and metrics know what is left."""

import numpy as np
import pytest
from sklearn import config_context
from sklearn.model_selection import GroupKFold, LeaveOneGroupOut, StratifiedKFold, cross_validate
from sklearn.neighbors import NearestNeighbors

from sklearn_hierret import (
    ClassHierarchy,
    HierarchicalRetriever,
    average_precision_at_k,
    evaluate_retrieval,
    make_retrieval_scorer,
    ndcg_at_k,
)
from sklearn_hierret.model_selection import HierarchicalRetrieverCV
from sklearn_hierret.reranking import Diversify
from tests.strategies import blobs

TREE = ClassHierarchy.from_levels([range(5), [0, 0, 1, 1, 1], [0] * 5])


@pytest.fixture
def data(rng):
    X, y = blobs(rng, n_classes=5, n_features=4, spread=1.5)
    return X, y, np.array([f"series {number}" for number in rng.integers(0, 25, len(X))])


def by_hand(indices, y, y_gallery, groups, of_gallery):
    """AP@5 and NDCG@5 of whole rankings, a query at a time."""
    found = []
    for row, label, group in zip(indices, y, groups, strict=True):
        others = row[of_gallery[row] != group]
        left = y_gallery[of_gallery != group]
        ap = average_precision_at_k([label], [y_gallery[others][:5]], n_relevant=[np.sum(left == label)])
        found.append((ap[0], ndcg_at_k([label], [y_gallery[others][:5]], TREE, y_gallery=left)[0]))
    return np.array(found).T


def scores(estimator, X, y, **options):
    table = evaluate_retrieval(
        estimator, X, y, [5], ["map", "ndcg"], hierarchy=TREE, per_query=True, **options
    )
    return table["score"].to_numpy().reshape(2, -1)


@pytest.mark.parametrize("estimator", [HierarchicalRetriever(alpha=1), NearestNeighbors()])
def test_own_groups_are_not_found(data, estimator):
    X, y, groups = data
    model = estimator.fit(X, y)
    if isinstance(model, HierarchicalRetriever):
        alone = model.with_gallery(X, y, gallery_leaves="predicted")
    else:
        alone = model
    indices = alone.kneighbors(None, len(X) - 1)[1]
    expected = by_hand(indices, y, y, groups, groups)
    np.testing.assert_allclose(scores(model, X, y, groups=groups), expected, rtol=1e-12)
    scorer = make_retrieval_scorer("map", 5)
    assert scorer(model, X, y, groups=groups) == pytest.approx(np.nanmean(expected[0]))
    assert scorer(model, X, y, groups=groups) != scorer(model, X, y)


def test_groups_of_a_column(data):
    X, y, groups = data
    model = HierarchicalRetriever(alpha=1).fit(X[20:], y[20:], metadata={"series": groups[20:]})
    expected = by_hand(model.kneighbors(X[:20], len(X) - 20)[1], y[:20], y[20:], groups[:20], groups[20:])
    found = scores(model, X[:20], y[:20], gallery="fit", groups={"series": groups[:20]})
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    new = np.array(["a series that the gallery lacks"] * 20)
    found = scores(model, X[:20], y[:20], gallery="fit", groups={"series": new})
    np.testing.assert_allclose(found, scores(model, X[:20], y[:20], gallery="fit"), rtol=1e-12)


def test_copies_of_a_series_are_no_success(rng):
    """Every sample has a near copy of its own series; without it there is nothing but noise."""
    X = np.repeat(rng.normal(size=(40, 30)), 2, axis=0) + 1e-3 * rng.normal(size=(80, 30))
    y, groups = np.repeat(rng.permutation(np.arange(40) % 4), 2), np.repeat(np.arange(40), 2)
    model, scorer = HierarchicalRetriever(alpha=0, metric="cosine").fit(X, y), make_retrieval_scorer("map", 1)
    assert scorer(model, X, y) == 1
    assert scorer(model, X, y, groups=groups) < 0.6
    # Cross-validation that deals series to both sides sees the same.
    halves = list(StratifiedKFold(2, shuffle=True, random_state=0).split(X, y))
    params = {"alphas": [0.0], "metrics": ["cosine"], "scoring": make_retrieval_scorer("map", 1, "fit")}
    alone = HierarchicalRetrieverCV(**params, cv=halves).fit(X, y)
    for cv in (halves, 2):
        together = HierarchicalRetrieverCV(**params, cv=cv).fit(X, y, groups=groups)
        assert together.cv_results_["mean_test_score"][0] < 0.5
    assert alone.cv_results_["mean_test_score"][0] > 0.6


def test_metadata_routing(data):
    X, y, groups = data
    with config_context(enable_metadata_routing=True):
        scorer = make_retrieval_scorer("map", 5).set_score_request(groups=True)
        retriever = HierarchicalRetriever(alpha=1).set_fit_request(groups=False)
        result = cross_validate(
            retriever, X, y, cv=GroupKFold(2), scoring=scorer, params={"groups": groups}, error_score="raise"
        )
    assert np.isfinite(result["test_score"]).all()


def test_bad_groups(data):
    X, y, groups = data
    model = HierarchicalRetriever(alpha=1).fit(X, y)
    with pytest.raises(ValueError, match=r"queries, but \d+ groups"):
        evaluate_retrieval(model, X, y, [5], groups=groups[1:])
    with pytest.raises(ValueError, match="groups are missing"):
        evaluate_retrieval(model, X, y, [5], groups=[None, *groups[1:]])
    with pytest.raises(ValueError, match="do not go together"):
        evaluate_retrieval(model, X, y, [5], groups=groups, ties="average")
    with pytest.raises(TypeError, match="must map a column"):
        evaluate_retrieval(model, X, y, [5], gallery="fit", groups=groups)
    with pytest.raises(TypeError, match="not of a column"):
        evaluate_retrieval(model, X, y, [5], groups={"series": groups})
    with pytest.raises(ValueError, match="larger than the gallery, which holds"):
        make_retrieval_scorer("map", len(X) - 2)(model, X, y, groups=groups)


def test_metrics_at_r_and_groups_of_uneven_sizes(rng):
    X = rng.normal(size=(80, 6))
    y = np.repeat([0, 1], [60, 20])
    groups = np.append(np.zeros(45, dtype=int), np.arange(1, 36))
    model = HierarchicalRetriever(alpha=0, metric="cosine").fit(X, y)
    table = evaluate_retrieval(model, X, y, [5], ["r_precision", "map_at_r"], per_query=True, groups=groups)
    indices = model.with_gallery(X, y, gallery_leaves="predicted").kneighbors(None, 79)[1]
    for i, row in enumerate(indices):
        others = row[groups[row] != groups[i]]
        n = np.sum((y == y[i]) & (groups != groups[i]))
        found = (y[others] == y[i])[:n]
        precision = np.cumsum(found) / np.arange(1, n + 1)
        expected = {"r_precision": found.mean(), "map_at_r": (precision * found).sum() / n}
        for name, value in expected.items():
            score = table[(table["metric"] == name) & (table["query"] == i)]["score"].item()
            assert score == pytest.approx(value)


def test_samples_without_a_group_stay(data):
    X, y, _ = data
    series = [None] * 30 + [f"s{i % 7}" for i in range(len(X) - 30)]
    model = HierarchicalRetriever(alpha=1).fit(X, y, metadata={"series": series})
    new = {"series": ["unknown"] * 20}
    names = ["hap", "ndcg", "hp", "asi"]
    options = {"metrics": names, "hierarchy": TREE, "gallery": "fit"}
    apart = evaluate_retrieval(model, X[:20], y[:20], [5], groups=new, **options)
    assert apart.equals(evaluate_retrieval(model, X[:20], y[:20], [5], **options))


def test_groups_of_another_kind(data):
    X, y, _ = data
    model = HierarchicalRetriever(alpha=1).fit(
        X, y, metadata={"series": [f"s{i % 7}" for i in range(len(X))]}
    )
    with pytest.raises(ValueError, match="never match"):
        evaluate_retrieval(model, X, y, [5], gallery="fit", groups={"series": np.arange(len(X))})
    with pytest.raises(ValueError, match="never match"):
        model.kneighbors(X[:2], 3, not_same={"series": [1, 2]})


@pytest.mark.parametrize("cv", [LeaveOneGroupOut(), 3])
@pytest.mark.parametrize("ties", ["index", "average"])
@pytest.mark.parametrize("gallery", ["fit", "query"])
def test_groups_for_the_splitter_alone_work(data, cv, ties, gallery):
    X, y, groups = data
    few = np.array([f"series {int(name.split()[1]) % 4}" for name in groups])
    scoring = make_retrieval_scorer("map", 3, gallery, ties=ties)
    model = HierarchicalRetrieverCV(alphas=[0, 1], metrics=["cosine"], cv=cv, scoring=scoring)
    assert np.isfinite(model.fit(X, y, groups=few).cv_results_["mean_test_score"]).all()


def test_routing_to_the_splitter(data):
    X, y, groups = data
    with config_context(enable_metadata_routing=True):
        model = HierarchicalRetrieverCV(alphas=[0, 1], metrics=["cosine"], cv=2).fit(X, y, groups=groups)
        step = Diversify(model.set_fit_request(metadata=True)).fit(X, y, metadata={"series": groups})
    assert step.retriever_.searcher().gallery.columns(["series"])["series"].tolist() == groups.tolist()
