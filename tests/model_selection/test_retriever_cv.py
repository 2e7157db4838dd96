import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV, GroupKFold, LeaveOneOut, PredefinedSplit, StratifiedKFold
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_hierret import (
    ClassHierarchy,
    CombinedHierarchy,
    CombinedHierarchyBuilder,
    HierarchicalRetriever,
    HierarchyBuilder,
    LinkageHierarchyBuilder,
    evaluate_retrieval,
    make_retrieval_scorer,
)
from sklearn_hierret.model_selection import HierarchicalRetrieverCV
from tests.strategies import blobs

TREE = ClassHierarchy.from_levels([range(6), [0, 0, 1, 1, 2, 2], [0] * 6])
OTHER = ClassHierarchy.from_levels([range(6), [0, 1, 1, 2, 2, 0], [0] * 6])
ALPHAS = [0, 0.5, 4]
FROZEN = FrozenEstimator(GaussianNB().fit(np.arange(14)[:, None] * np.ones(5), np.arange(14) // 2))
TIED = make_retrieval_scorer("map", 5, "query", ties="average")


@pytest.fixture
def data(rng):
    return blobs(rng, n_classes=6, n_features=5, spread=1.0, n_per_class=(20, 30))


def mean_scores(results, grid):
    """Mean scores of a grid search, in the order of the candidates of a `HierarchicalRetrieverCV`."""
    table = pd.DataFrame(grid.cv_results_)
    weights = table.get("param_hierarchy__weights", pd.Series([None] * len(table)))
    found = []
    for alpha, stem, some in zip(*(results[f"param_{n}"] for n in ("alpha", "stem", "weights")), strict=True):
        is_it = (table["param_alpha"] == alpha) & (table["param_stem"] == stem)
        if some is not None:
            is_it &= np.array([np.allclose(np.array(w) / np.sum(w), some) for w in weights])
        found.append(table.loc[is_it, "mean_test_score"].item())
    return found


@pytest.mark.slow
@pytest.mark.parametrize("gallery", ["query", "fit"])
@pytest.mark.parametrize("metric", [("map", {}), ("ahp", {"hierarchy": TREE})])
def test_scores_are_those_of_a_grid_search(data, gallery, metric):
    X, y = data
    scorer = make_retrieval_scorer(metric[0], 10, gallery, **metric[1])
    cv = StratifiedKFold(3, shuffle=True, random_state=1)
    retriever = HierarchicalRetrieverCV(alphas=ALPHAS, stems=["auto", 0.2], cv=cv, scoring=scorer).fit(X, y)
    grid = GridSearchCV(
        HierarchicalRetriever(), {"alpha": ALPHAS, "stem": ["auto", 0.2]}, scoring=scorer, cv=cv
    ).fit(X, y)
    results = retriever.cv_results_
    np.testing.assert_allclose(results["mean_test_score"], mean_scores(results, grid), atol=1e-12)
    assert retriever.best_index_ == np.argmax(results["mean_test_score"])
    assert retriever.alpha_ == results["param_alpha"][retriever.best_index_]
    assert results["rank_test_score"][retriever.best_index_] == 1
    assert retriever.n_splits_ == 3


@pytest.mark.slow
@pytest.mark.parametrize("linkage", [None, "average"])
def test_weights_are_those_of_a_grid_search(data, linkage):
    X, y = data
    parts = [("visual", LinkageHierarchyBuilder()), ("given", OTHER)]
    combined = CombinedHierarchyBuilder(parts, linkage=linkage)
    weights = [[1, 0], [1, 1], [0, 3]]
    scorer = make_retrieval_scorer("ahp", 10, "query", hierarchy=TREE)
    retriever = HierarchicalRetrieverCV(combined, alphas=[1, 4], weights=weights, scoring=scorer).fit(X, y)
    grid = GridSearchCV(
        HierarchicalRetriever(combined),
        {"alpha": [1, 4], "hierarchy__weights": weights, "stem": ["auto"]},
        scoring=scorer,
        cv=3,
    ).fit(X, y)
    results = retriever.cv_results_
    np.testing.assert_allclose(results["mean_test_score"], mean_scores(results, grid), atol=1e-12)
    assert len(set(results["mean_test_score"])) > 3
    assert retriever.weights_ == results["param_weights"][retriever.best_index_]
    assert combined.weights is None  # parameters stay
    combined.set_params(weights=retriever.weights_)
    assert retriever.hierarchy_ == combined.fit(X, y).hierarchy_


def test_weights_of_hierarchies_that_are_given(data):
    X, y = data
    scorer = make_retrieval_scorer("ahp", 10, "query", hierarchy=TREE)
    params = {"alphas": [4], "stems": [0.5], "weights": [[0, 1], [1, 0]], "scoring": scorer}
    found = [
        HierarchicalRetrieverCV(both, **params).fit(X, y)
        for both in ([OTHER, TREE], CombinedHierarchy([OTHER, TREE]))
    ]
    for retriever in found:
        assert retriever.weights_ == (0, 1)
        assert retriever.hierarchy_ == CombinedHierarchy([OTHER, TREE], [0, 1])
    np.testing.assert_array_equal(*(r.cv_results_["mean_test_score"] for r in found))


def test_the_rule(data):
    """Best by mAP@20 among those within one standard error of the best mAP@1."""
    X, y = data
    X = X + np.random.default_rng(1).normal(scale=1.0, size=X.shape)
    alphas = [0, 0.2, 1, 4, 16]
    retriever = HierarchicalRetrieverCV(alphas=alphas).fit(X, y)
    first, second = [], []
    for train, test in StratifiedKFold(3).split(X, y):
        tables = [
            evaluate_retrieval(
                HierarchicalRetriever(alpha=alpha).fit(X[train], y[train]),
                X[test],
                y[test],
                [1, 20],
                per_query=True,
            ).pivot_table(index="query", columns="k", values="score")
            for alpha in alphas
        ]
        first.append(np.stack([table[1] for table in tables]))
        second.append(np.stack([table[20] for table in tables]))
    results = retriever.cv_results_
    means = [np.mean([part.mean(axis=1) for part in parts], axis=0) for parts in (first, second)]
    np.testing.assert_allclose(results["mean_test_first"], means[0], atol=1e-12)
    np.testing.assert_allclose(results["mean_test_second"], means[1], atol=1e-12)
    np.testing.assert_allclose(results["split1_test_second"], second[1].mean(axis=1), atol=1e-12)
    pooled = np.concatenate(first, axis=1)
    best = means[0].argmax()
    allowed = []
    for scores in pooled:
        loss = pooled[best] - scores
        allowed.append(loss.mean() <= loss.std(ddof=1) / np.sqrt(len(loss)) + 1e-12)
    np.testing.assert_array_equal(results["is_within_one_se"], allowed)
    assert 0 < sum(allowed) < len(alphas)
    expected = max(np.flatnonzero(allowed), key=lambda i: means[1][i])
    assert retriever.best_index_ == expected


def test_ranks_as_the_retriever_with_what_was_chosen(data):
    X, y = data
    train = np.arange(len(y)) % 3 > 0
    chosen = HierarchicalRetrieverCV(
        [LinkageHierarchyBuilder(), OTHER], alphas=ALPHAS, stems=[0.1, 0.6], weights=[[1, 2], [2, 1]]
    ).fit(X[train], y[train])
    parts = CombinedHierarchyBuilder([("a", LinkageHierarchyBuilder()), ("b", OTHER)], chosen.weights_)
    plain = HierarchicalRetriever(parts, alpha=chosen.alpha_, stem=chosen.stem_).fit(X[train], y[train])
    for found, expected in zip(chosen.kneighbors(X[~train], 9), plain.kneighbors(X[~train], 9), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert chosen.score(X[~train], y[~train]) == plain.score(X[~train], y[~train])
    again = pickle.loads(pickle.dumps(chosen))
    np.testing.assert_array_equal(again.kneighbors(X[~train], 9)[1], plain.kneighbors(X[~train], 9)[1])
    with pytest.raises(ValueError, match="Invalid parameter 'alpha'"):
        chosen.set_params(alpha=3)


@pytest.mark.parametrize("gallery", ["query", "fit"])
def test_whole_classes_are_held_out(data, gallery):
    X, y = data
    scorer = make_retrieval_scorer("map", 5, gallery)
    retriever = HierarchicalRetrieverCV(alphas=ALPHAS, scoring=scorer, unseen=0.34, random_state=3).fit(X, y)
    order = np.random.RandomState(3).permutation(np.unique(y))
    expected = []
    for i, (train, test) in enumerate(StratifiedKFold(3).split(X, y)):
        hidden = order[[(j + 2 * i) % 6 for j in range(2)]]  # two of six, other ones in each fold
        seen = train[~np.isin(y[train], hidden)]
        unseen = train[np.isin(y[train], hidden)]
        model = HierarchicalRetriever().fit(X[seen], y[seen])
        model.add_to_gallery(X[unseen], y[unseen])
        assert set(model.class_model_.classes_) == set(range(6)) - set(hidden)
        expected.append([scorer(model.set_params(alpha=alpha), X[test], y[test]) for alpha in ALPHAS])
    np.testing.assert_allclose(
        retriever.cv_results_["mean_test_score"], np.mean(expected, axis=0), atol=1e-12
    )
    assert set(retriever.class_model_.classes_) == set(range(6))


class Counting(GaussianNB):
    n_fits = 0

    def fit(self, X, y):
        Counting.n_fits += 1
        return super().fit(X, y)


def test_one_class_model_a_fold(data):
    X, y = data
    Counting.n_fits = 0
    HierarchicalRetrieverCV(TREE, stems=[0, 0.5], cv=4, class_model=Counting()).fit(X, y)
    assert Counting.n_fits == 4 + 1


def test_any_callable_scores(data):
    X, y = data

    def scoring(estimator, Q, t):
        assert isinstance(estimator, HierarchicalRetriever)
        assert estimator.n_samples_fit_ == len(X) - len(Q)
        return -abs(estimator.alpha - 0.5)

    assert HierarchicalRetrieverCV(alphas=ALPHAS, scoring=scoring).fit(X, y).alpha_ == 0.5


def test_groups(data):
    X, y = data
    groups = np.arange(len(y)) % 5
    by_hand = [(np.flatnonzero(groups != g), np.flatnonzero(groups == g)) for g in range(5)]
    # With groups queries search the training part; in their own they would find their group.
    pair = [make_retrieval_scorer("map", k, "fit") for k in (1, 20)]
    splits = {"cv": PredefinedSplit(groups), "scoring": pair}
    with pytest.warns(UserWarning, match="ignored by PredefinedSplit"):
        expected = HierarchicalRetrieverCV(alphas=ALPHAS, **splits).fit(X, y, groups=groups).cv_results_
    retriever = HierarchicalRetrieverCV(alphas=ALPHAS, cv=GroupKFold(5))
    found = clone(retriever).fit(X, y, groups=groups).cv_results_
    np.testing.assert_allclose(found["mean_test_second"], expected["mean_test_second"])
    as_lists = [(train.tolist(), test.tolist()) for train, test in by_hand]
    as_masks = [(groups != g, groups == g) for g in range(5)]
    for cv in (by_hand, as_lists, as_masks):
        listed = (
            HierarchicalRetrieverCV(alphas=ALPHAS, cv=cv, scoring=pair).fit(X, y, groups=groups).cv_results_
        )
        np.testing.assert_allclose(listed["mean_test_second"], expected["mean_test_second"])
    with config_context(enable_metadata_routing=True):
        routed = clone(retriever).fit(X, y, groups=groups).cv_results_
        np.testing.assert_array_equal(routed["mean_test_second"], found["mean_test_second"])
        pipeline = make_pipeline(StandardScaler(), retriever).fit(X, y, groups=groups)
        assert pipeline[-1].n_splits_ == 5
    with pytest.raises(ValueError, match="'groups' parameter should not be None"):
        clone(retriever).fit(X, y)
    with pytest.raises(ValueError, match="Some groups are missing"):
        clone(retriever).fit(X, y, groups=np.where(groups == 1, np.nan, groups))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        clone(retriever).fit(X, y, groups=groups[:-1])
    with pytest.raises(TypeError, match="unexpected keyword argument 'sample_weight'"):
        clone(retriever).fit(X, y, sample_weight=groups)


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"unseen": 0.9}, ValueError, "unseen=0.9 of 6 classes leaves 1"),
        ({"unseen": 1.0}, ValueError, "'unseen' parameter"),
        ({"alphas": []}, ValueError, "alphas must be a list"),
        ({"alphas": [1, -1]}, ValueError, "alphas must be a list"),
        ({"alphas": [np.nan]}, ValueError, "alphas must be a list"),
        ({"alphas": ["auto", 1]}, ValueError, "alphas must be a list"),
        ({"stems": []}, ValueError, "must not be empty"),
        ({"stems": ["auto", 1.5]}, ValueError, "stems must be"),
        ({"weights": [[1, 2]]}, ValueError, "hierarchy is one"),
        ({"weights": [[1, 2, 3]], "hierarchy": [TREE, OTHER]}, ValueError, "weights must be 2 numbers"),
        ({"weights": [], "hierarchy": [TREE, OTHER]}, ValueError, "must not be empty"),
        ({"scoring": ["map", "ahp"]}, ValueError, "scorer, or a pair"),
        ({"scoring": [make_retrieval_scorer()]}, ValueError, "scorer, or a pair"),
        ({"cv": 1}, ValueError, "'cv' parameter"),
        ({"cv": []}, ValueError, "cv gave no folds"),
        ({"cv": LeaveOneOut()}, ValueError, "gallery='fit'"),
        ({"unseen": 0.3, "class_model": FROZEN}, ValueError, "this one is frozen"),
        ({"class_model": FROZEN}, ValueError, "knows classes that the hierarchy lacks: 6"),
        ({"alphas": [np.inf], "scoring": TIED}, ValueError, "With alpha=inf distances are those of leaves"),
        ({"hierarchy": HierarchyBuilder(threshold=3)}, ValueError, "'threshold' parameter"),
    ],
)
def test_bad_input_changes_nothing(data, params, error, message):
    X, y = data
    retriever = HierarchicalRetrieverCV(alphas=[0, 1]).fit(X, y)
    before = retriever.kneighbors(X[:5], 3)[1]
    retriever.set_params(**params)
    with pytest.raises(error, match=message):
        retriever.fit(X, y)
    assert retriever.n_splits_ == 3
    np.testing.assert_array_equal(retriever.kneighbors(X[:5], 3)[1], before)


def test_folds_in_which_nothing_can_be_found(data):
    X, y = data
    alone = np.array([np.flatnonzero(y == c)[0] for c in range(6)])
    folds = [(np.setdiff1d(np.arange(len(y)), alone), alone)]
    for scoring in (None, lambda estimator, X, y: np.nan):
        with pytest.raises(ValueError, match="Fold 0 has no score"):
            HierarchicalRetrieverCV(cv=folds, scoring=scoring).fit(X, y)
    of_zero = make_retrieval_scorer(gallery="query", k=3, empty="zero")
    assert HierarchicalRetrieverCV(cv=folds, scoring=of_zero).fit(X, y).alpha_ == 0
    folds = [(np.flatnonzero(y == 0), np.flatnonzero(y != 0))]
    with pytest.raises(ValueError, match="Fold 0 has 1 classes to fit to"):
        HierarchicalRetrieverCV(cv=folds).fit(X, y)


def test_macro_scores(data):
    X, y = data
    keep = (y > 1) | (np.arange(len(y)) % 4 == 0)  # two rare classes
    X, y = X[keep] + np.random.default_rng(1).normal(size=X[keep].shape), y[keep]
    pair = [make_retrieval_scorer("map", k, "query", macro=True) for k in (1, 10)]
    one = HierarchicalRetrieverCV(alphas=ALPHAS, scoring=pair[1]).fit(X, y)
    grid = GridSearchCV(HierarchicalRetriever(), {"alpha": ALPHAS, "stem": ["auto"]}, scoring=pair[1], cv=3)
    expected = mean_scores(one.cv_results_, grid.fit(X, y))
    np.testing.assert_allclose(one.cv_results_["mean_test_score"], expected, atol=1e-12)
    both = HierarchicalRetrieverCV(alphas=ALPHAS, scoring=pair).fit(X, y)
    np.testing.assert_allclose(both.cv_results_["mean_test_second"], expected, atol=1e-12)
    micro = [make_retrieval_scorer("map", k, "query") for k in (1, 10)]
    other = HierarchicalRetrieverCV(alphas=ALPHAS, scoring=micro).fit(X, y).cv_results_
    assert not np.allclose(both.cv_results_["mean_test_first"], other["mean_test_first"])


def test_scorers_see_the_candidate(data):
    """Its hierarchy, its alpha: whether they ask the estimator or for ``hierarchy="fitted"``."""
    X, y = data
    parts = [LinkageHierarchyBuilder(), OTHER]
    params = {"alphas": [3], "stems": [0], "weights": [[1, 0], [0, 1]]}
    fitted = make_retrieval_scorer("ahp", 10, "query", hierarchy="fitted")
    found = HierarchicalRetrieverCV(parts, scoring=fitted, **params).fit(X, y).cv_results_["mean_test_score"]
    expected = []
    for weights in ([1, 0], [0, 1]):
        both = CombinedHierarchyBuilder([("a", parts[0]), ("b", OTHER)], weights)
        scores = []
        for train, test in StratifiedKFold(3).split(X, y):
            model = HierarchicalRetriever(both, alpha=3, stem=0).fit(X[train], y[train])
            scores.append(fitted(model, X[test], y[test]))
        expected.append(np.mean(scores))
    np.testing.assert_allclose(found, expected, atol=1e-12)
    seen = []

    def scoring(estimator, Q, t):
        seen.append((estimator.alpha_, *estimator.hierarchy_.weights))
        return 0.0

    HierarchicalRetrieverCV(parts, scoring=scoring, cv=2, **params).fit(X, y)
    assert seen == [(3, 1, 0), (3, 0, 1)] * 2


def test_what_is_best_is_within_one_error_of_itself(data):
    X, y = data
    X = X + np.random.default_rng(0).normal(scale=2, size=X.shape)
    pair = [make_retrieval_scorer("map", k, "fit") for k in (1, 10)]
    for seed in range(5):
        folds = PredefinedSplit(np.random.default_rng(seed).permutation(len(y)) > 15)  # of very uneven sizes
        results = HierarchicalRetrieverCV(cv=folds, alphas=[0, 0.2, 1, 4], scoring=pair).fit(X, y).cv_results_
        assert results["is_within_one_se"][results["rank_test_first"] == 1].all()
