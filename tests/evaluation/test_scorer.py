import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.base import clone, is_classifier
from sklearn.decomposition import PCA
from sklearn.exceptions import UndefinedMetricWarning, UnsetMetadataPassedError
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV, KFold, StratifiedKFold, cross_val_score
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_hierret import (
    ClassHierarchy,
    HierarchicalRetriever,
    average_hierarchical_precision_at_k,
    average_set_intersection_at_k,
    evaluate_retrieval,
    hierarchical_average_precision,
    hierarchical_precision_at_k,
    make_retrieval_scorer,
    map_at_k,
    map_at_r,
    mistake_severity_at_k,
    ndcg_at_k,
    precision_at_k,
    r_precision,
    recall_at_k,
    reciprocal_rank_at_k,
)
from tests.reference import retrieval as reference
from tests.strategies import blobs

TREE = ClassHierarchy.from_levels([range(5), [0, 0, 1, 1, 1], [0] * 5])


@pytest.fixture
def data(rng):
    X, y = blobs(rng, n_classes=5, spread=1.5)
    return X[:90], y[:90], X[90:], y[90:]


def counts_of(y, gallery):
    return np.array([np.sum(gallery == label) for label in y])


@pytest.mark.parametrize("gallery", ["fit", "query"])
def test_every_metric_equals_the_function(data, gallery):
    X, y, Q, t = data
    retriever = HierarchicalRetriever().fit(X, y)
    y_gallery, exclude = (y, False) if gallery == "fit" else (t, True)
    n_all = len(y_gallery) - exclude
    searcher = retriever if gallery == "fit" else clone(retriever).fit(X, y).set_gallery(Q, t)
    ranked = y_gallery[searcher.kneighbors(None if exclude else Q, n_neighbors=n_all)[1]]
    R = counts_of(t, y_gallery) - exclude
    expected = {
        "map": map_at_k(t, ranked, 7, n_relevant=R),
        "precision": precision_at_k(t, ranked, 7, n_relevant=R).mean(),
        "recall": recall_at_k(t, ranked, 7, n_relevant=R).mean(),
        "reciprocal_rank": reciprocal_rank_at_k(t, ranked, 7, n_relevant=R).mean(),
        "r_precision": r_precision(t, ranked, n_relevant=R).mean(),
        "map_at_r": map_at_r(t, ranked, n_relevant=R),
    }
    graded = {
        "hp": hierarchical_precision_at_k,
        "ahp": average_hierarchical_precision_at_k,
        "ndcg": ndcg_at_k,
        "hap": hierarchical_average_precision,
        "asi": average_set_intersection_at_k,
    }
    for metric, function in graded.items():
        scores = function(t, ranked, TREE, 7, y_gallery=y_gallery, exclude_query=exclude)
        expected[metric] = scores.mean()
    of_gallery = {"y_gallery": y_gallery, "exclude_query": exclude}
    for metric, function, more in [
        ("hap_at_r", hierarchical_average_precision, {"denominator": "min"}),
        ("asi_at_r", average_set_intersection_at_k, {}),
    ]:
        at_r = [
            function(t[[i]], ranked[[i]], TREE, int(R[i]), **of_gallery, **more)[0]
            for i in range(len(t))
            if R[i]
        ]
        expected[metric] = np.mean(at_r)
    expected["neg_mistake_severity"] = -np.nanmean(mistake_severity_at_k(t, ranked, TREE, 7))
    for metric, value in expected.items():
        of_tree = (*graded, "neg_mistake_severity", "hap_at_r", "asi_at_r")
        params = {"hierarchy": TREE} if metric in of_tree else {}
        scorer = make_retrieval_scorer(metric, k=7, gallery=gallery, **params)
        assert scorer(retriever, Q, t) == pytest.approx(value)
        assert pickle.loads(pickle.dumps(scorer))(retriever, Q, t) == pytest.approx(value)
    table = evaluate_retrieval(retriever, Q, t, [3, 7], expected, gallery, hierarchy=TREE)
    for metric, value in expected.items():
        rows = table[table["metric"] == metric]
        if metric.endswith("_at_r") or metric == "r_precision":
            assert rows["k"].isna().tolist() == [True]
            assert rows["score"].item() == pytest.approx(value)
        else:
            assert rows["k"].tolist() == [3, 7]
            assert rows.set_index("k").loc[7, "score"] == pytest.approx(value)
    share = make_retrieval_scorer("recall", k=7, gallery=gallery, kind="share")
    assert share(retriever, Q, t) == pytest.approx(
        recall_at_k(t, ranked, 7, n_relevant=R, kind="share").mean()
    )
    k_only = make_retrieval_scorer("map", k=7, gallery=gallery, denominator="k")
    assert k_only(retriever, Q, t) == pytest.approx(map_at_k(t, ranked, 7, n_relevant=R, denominator="k"))


def test_whole_rankings(data):
    X, y, Q, t = data
    retriever = HierarchicalRetriever().fit(X, y)
    n = len(Q) - 1
    whole = make_retrieval_scorer("map", k=None, gallery="query")
    assert whole(retriever, Q, t) == make_retrieval_scorer("map", k=n, gallery="query")(retriever, Q, t)
    table = evaluate_retrieval(retriever, Q, t, [5, None], ["map", "hap"], hierarchy=TREE)
    assert table["k"].tolist() == [5, n, 5, n]
    assert evaluate_retrieval(retriever, Q, t, None)["score"].item() == whole(retriever, Q, t)


@pytest.mark.parametrize("gallery", ["fit", "query"])
@pytest.mark.parametrize("ties", ["index", "average"])
def test_queries_in_parts_score_the_same(data, gallery, ties):
    X, y, Q, t = data
    X, Q = np.round(X), np.round(Q)  # some ties
    for model in (HierarchicalRetriever(), HierarchicalRetriever(alpha=0), NearestNeighbors()):
        if gallery == "fit" and isinstance(model, NearestNeighbors):
            continue
        model.fit(X, y)
        arguments = (model, Q, t, [3, 20], ["map", "r_precision", "hp"], gallery)
        at_once = evaluate_retrieval(*arguments, ties=ties, hierarchy=TREE, per_query=True)
        with config_context(working_memory=0.02):
            in_parts = evaluate_retrieval(*arguments, ties=ties, hierarchy=TREE, per_query=True)
        pd.testing.assert_frame_equal(at_once, in_parts)


def test_the_hierarchy_that_did_the_ranking_only_if_asked(data):
    X, y, Q, t = data
    retriever = HierarchicalRetriever().fit(X, y)
    asked = make_retrieval_scorer("ahp", 10, "query", hierarchy="fitted")
    given = make_retrieval_scorer("ahp", 10, "query", hierarchy=retriever.hierarchy_)
    assert asked(retriever, Q, t) == given(retriever, Q, t)
    with pytest.raises(ValueError, match="needs an estimator with a hierarchy_"):
        asked(NearestNeighbors().fit(X), Q, t)


def test_query_gallery_leaves_the_estimator_alone(data):
    X, y, Q, t = data
    retriever = HierarchicalRetriever().fit(X, y)
    before = dict(vars(retriever))
    make_retrieval_scorer(gallery="query")(retriever, Q, t)
    evaluate_retrieval(retriever, Q, t, [5])
    assert vars(retriever) == before


def test_queries_are_not_their_own_neighbours(data):
    X, y, Q, _ = data
    scorer = make_retrieval_scorer("precision", k=1, gallery="query")
    alone = np.arange(len(Q))  # labels of their own: only itself would be relevant
    with pytest.warns(UserWarning, match="No query"):
        assert np.isnan(scorer(HierarchicalRetriever(alpha=0).fit(X, y), Q, alone))


def test_pipelines_and_searches(data):
    X, y, Q, t = data
    pipe = Pipeline([("scale", StandardScaler()), ("retriever", HierarchicalRetriever())]).fit(X, y)
    by_hand = HierarchicalRetriever().fit(pipe[:-1].transform(X), y)
    scorer = make_retrieval_scorer(gallery="query")
    assert scorer(pipe, Q, t) == scorer(by_hand, pipe[:-1].transform(Q), t)
    assert scorer(make_pipeline(HierarchicalRetriever()).fit(X, y), Q, t) == scorer(
        HierarchicalRetriever().fit(X, y), Q, t
    )
    assert pipe.score(Q, t) == pytest.approx(make_retrieval_scorer("map", k=5, gallery="fit")(pipe, Q, t))
    search = GridSearchCV(pipe, {"retriever__alpha": [0, 1]}, scoring=scorer, cv=3).fit(X, y)
    assert scorer(search, Q, t) == scorer(search.best_estimator_, Q, t)
    assert cross_val_score(pipe, X, y, scoring=scorer, cv=3, error_score="raise").shape == (3,)


def test_euclidean_baselines_by_scikit_learn(data):
    X, y, Q, t = data
    for model in (KNeighborsClassifier(), NearestNeighbors()):
        model.fit(X, y)
        table = evaluate_retrieval(model, Q, t, [10])
        order = np.argsort(((Q[:, None] - Q[None]) ** 2).sum(axis=2) + 1e9 * np.eye(len(Q)), axis=1)
        R = counts_of(t, t) - 1
        assert table["score"].item() == pytest.approx(map_at_k(t, t[order[:, :10]], 10, n_relevant=R))
        with pytest.raises(ValueError, match="gallery='fit' needs a gallery with labels"):
            evaluate_retrieval(model, Q, t, [10], gallery="fit")


def test_cosine_against_the_reference(data):
    X, y, Q, t = data
    _, order = reference.neighbours(Q, Q, 10, exclude_self=True)
    score = make_retrieval_scorer(k=10, gallery="query")(HierarchicalRetriever(alpha=0).fit(X, y), Q, t)
    assert score == pytest.approx(map_at_k(t, t[order], 10, n_relevant=counts_of(t, t) - 1))


def test_per_query_rows(data):
    X, y, Q, t = data
    retriever = HierarchicalRetriever().fit(X, y)
    rows = evaluate_retrieval(retriever, Q, t, [5, 10], ["map", "recall"], per_query=True)
    assert rows.columns.tolist() == ["metric", "k", "query", "score"]
    assert len(rows) == 4 * len(Q)
    means = rows.groupby(["metric", "k"])["score"].mean()
    table = evaluate_retrieval(retriever, Q, t, [5, 10], ["map", "recall"]).set_index(["metric", "k"])
    for key in means.index:
        assert means[key] == pytest.approx(table.loc[key, "score"])


def test_frozen_estimators_keep_their_gallery(data):
    X, y, Q, t = data
    retriever = HierarchicalRetriever().fit(X, y)
    expected = evaluate_retrieval(retriever, Q, t, [5])
    for frozen in (FrozenEstimator(retriever), make_pipeline(FrozenEstimator(retriever))):
        assert evaluate_retrieval(frozen, Q, t, [5]).equals(expected)
        assert retriever.n_samples_fit_ == len(X)


def test_labels_that_are_missing_or_never_match(data):
    X, y, Q, t = data
    retriever = HierarchicalRetriever().fit(X, y)
    for gallery in ("fit", "query"):
        with pytest.raises(ValueError, match="missing"):
            evaluate_retrieval(retriever, Q, np.where(t == 0, np.nan, t), [5], gallery=gallery)
    for text in (t.astype(str), pd.Series(t.astype(str)), t.astype(str).astype(object)):
        with pytest.raises(ValueError, match="text and numbers never match"):
            retriever.score(Q, text)


def test_one_k_and_one_metric(data):
    X, y, Q, t = data
    retriever = HierarchicalRetriever().fit(X, y)
    one = evaluate_retrieval(retriever, Q, t, ks=5, metrics="recall")
    assert one.equals(evaluate_retrieval(retriever, Q, t, ks=(k for k in [5]), metrics=iter(["recall"])))


def test_ks_beyond_the_gallery_are_dropped(data):
    X, y, Q, t = data
    retriever = HierarchicalRetriever().fit(X, y)
    with pytest.warns(UserWarning, match=rf"dropped: \[{len(Q)}, 1000\]"):
        table = evaluate_retrieval(retriever, Q, t, [1000, 5, len(Q)])
    assert table["k"].tolist() == [5]
    with pytest.raises(ValueError, match="k=1000 is larger than the gallery"):
        make_retrieval_scorer(k=1000)(retriever, Q, t)


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"metric": "accuracy"}, ValueError, "metric must be one of"),
        ({"metric": "ahp"}, ValueError, "needs hierarchy="),
        ({"gallery": "train"}, ValueError, "gallery must be"),
        ({"denominator": "bogus"}, ValueError, "denominator must be one of"),
        ({"metric": "hp", "hierarchy": "flat"}, TypeError, "must be a ClassHierarchy"),
        ({"metric": "ahp", "hierarchy": TREE, "similarity": "x"}, ValueError, "similarity must be"),
        ({"metric": "hp", "hierarchy": TREE, "integration": "mean"}, TypeError, "takes no parameter"),
        ({"metric": "ahp", "hierarchy": TREE, "integration": "x"}, ValueError, "integration must be"),
        ({"metric": "ndcg", "hierarchy": TREE, "gain": "x"}, ValueError, "gain must be"),
        ({"metric": "mistake_severity", "hierarchy": TREE}, ValueError, "use metric='neg_mistake"),
        ({"metric": "hap", "hierarchy": TREE, "denominator": "k"}, ValueError, "denominator of 'hap'"),
        ({"k": 0}, ValueError, "positive integer"),
        ({"k": 2.5}, ValueError, "positive integer"),
        ({"empty": "drop"}, ValueError, "empty must be"),
        ({"metric": "precision", "denominator": "k"}, TypeError, "takes no parameter 'denominator'"),
        ({"colour": "red"}, TypeError, "takes no parameter 'colour'"),
    ],
)
def test_bad_scorers(params, error, message):
    with pytest.raises(error, match=message):
        make_retrieval_scorer(**params)


def test_bad_evaluations(data):
    X, y, Q, t = data
    retriever = HierarchicalRetriever().fit(X, y)
    with pytest.raises(ValueError, match="positive integers"):
        evaluate_retrieval(retriever, Q, t, [0, 5])
    with pytest.raises(ValueError, match="metric must be one of"):
        evaluate_retrieval(retriever, Q, t, metrics=["map", "auc"])
    with pytest.raises(TypeError, match="neither set_gallery nor kneighbors"):
        evaluate_retrieval(PCA().fit(X), Q, t, [5])
    with pytest.raises(ValueError, match="one-dimensional"):
        evaluate_retrieval(retriever, Q, t[:, None], [5])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        evaluate_retrieval(retriever, Q, t[:-1], [5])


def public(scorer):
    return {name: value for name, value in vars(scorer).items() if not name.startswith("_")}


def test_repr_says_how_to_make_it():
    scorer = make_retrieval_scorer("map", 5, empty="zero", denominator="k")
    assert public(eval(repr(scorer))) == public(scorer)
    assert (
        repr(make_retrieval_scorer("map", 20, "query"))
        == "make_retrieval_scorer('map', k=20, gallery='query')"
    )


def test_macro(data):
    X, y, Q, t = data
    Q, t = np.concatenate([Q, Q[t == 0]]), np.concatenate([t, t[t == 0]])
    retriever = HierarchicalRetriever().fit(X, y)
    table = evaluate_retrieval(
        retriever, Q, t, [3], ["map", "ahp"], hierarchy=TREE, gallery="fit", per_query=True
    )
    for metric, part in table.groupby("metric"):
        params = {"hierarchy": TREE} if metric == "ahp" else {}
        expected = part.groupby(t[part["query"]])["score"].mean().mean()
        scorer = make_retrieval_scorer(metric, 3, "fit", macro=True, **params)
        assert scorer(retriever, Q, t) == pytest.approx(expected)
        assert scorer(retriever, Q, t) != pytest.approx(part["score"].mean())
        of_table = evaluate_retrieval(retriever, Q, t, 3, metric, gallery="fit", macro=True, **params)
        assert of_table["score"].item() == pytest.approx(expected)
        assert "macro=True" in repr(scorer)
    with pytest.raises(ValueError, match="macro is for means"):
        evaluate_retrieval(retriever, Q, t, 3, macro=True, per_query=True)


def test_sample_weight_counts_queries(data):
    X, y, Q, t = data
    retriever = HierarchicalRetriever().fit(X, y)
    for macro in (False, True):
        scorer = make_retrieval_scorer("map", 5, "fit", macro=macro)
        twice = np.r_[np.arange(len(Q)), np.arange(0, len(Q), 3)]
        weights = 1.0 + (np.arange(len(Q)) % 3 == 0)
        assert scorer(retriever, Q, t, weights) == pytest.approx(scorer(retriever, Q[twice], t[twice]))
        some = np.arange(len(Q)) % 2
        assert scorer(retriever, Q, t, some) == pytest.approx(scorer(retriever, Q[1::2], t[1::2]))
        assert scorer(retriever, Q, t, np.ones(len(Q))) == pytest.approx(scorer(retriever, Q, t))
    with pytest.raises(ValueError, match="must not be negative"):
        scorer(retriever, Q, t, -weights)
    with pytest.raises(ValueError, match="shape"):
        scorer(retriever, Q, t, weights[1:])
    with pytest.raises(ValueError, match="zero"):
        scorer(retriever, Q, t, 0 * weights)
    of_first = y == t[0]
    with pytest.warns(UndefinedMetricWarning, match="No query that counts"):
        assert np.isnan(scorer(retriever.set_gallery(X[of_first], y[of_first]), Q, t, t != t[0]))


def test_weights_are_routed(data, rng):
    X, y, _, _ = data
    retriever = HierarchicalRetriever().fit(X, y)
    weights = rng.random(len(X))
    scorer = make_retrieval_scorer("map", 5)
    with pytest.raises(RuntimeError, match="enable_metadata_routing"):
        scorer.set_score_request(sample_weight=True)
    with config_context(enable_metadata_routing=True):
        asked = make_retrieval_scorer("map", 5).set_score_request(sample_weight=True)
        folds = KFold(3)
        found = cross_val_score(retriever, X, y, scoring=asked, cv=folds, params={"sample_weight": weights})
        expected = []
        for train, test in folds.split(X):
            model = clone(retriever).fit(X[train], y[train])
            expected.append(scorer(model, X[test], y[test], weights[test]))
        np.testing.assert_allclose(found, expected)
        with pytest.raises(UnsetMetadataPassedError, match="sample_weight"):
            cross_val_score(retriever, X, y, scoring=scorer, cv=folds, params={"sample_weight": weights})


def test_searches_stratify_and_score_as_asked(data):
    """To scikit-learn a retriever is a classifier, so folds have all classes."""
    X, y, _, _ = data
    retriever = HierarchicalRetriever().fit(X, y)
    order = np.argsort(y, kind="stable")
    assert is_classifier(retriever)
    search = GridSearchCV(retriever, {"alpha": [0.0]}, cv=3, scoring=make_retrieval_scorer("map", 5))
    search.fit(X[order], y[order])
    by_hand = [
        make_retrieval_scorer("map", 5)(clone(retriever).set_params(alpha=0.0).fit(X[a], y[a]), X[b], y[b])
        for a, b in ((order[a], order[b]) for a, b in StratifiedKFold(3).split(X, y[order]))
    ]
    assert search.cv_results_["mean_test_score"][0] == pytest.approx(np.mean(by_hand))
