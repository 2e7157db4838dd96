import copy
import pickle
import threading

import joblib
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import config_context
from sklearn.base import clone, is_classifier
from sklearn.decomposition import PCA
from sklearn.frozen import FrozenEstimator
from sklearn.metrics.pairwise import cosine_distances
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import LinearSVC

from sklearn_hierret import (
    ClassHierarchy,
    DiscriminantClassifier,
    HierarchicalRetriever,
    HierarchyBuilder,
    LinkageHierarchyBuilder,
    MahalanobisClassifier,
    average_precision_at_k,
    evaluate_retrieval,
    make_retrieval_scorer,
    map_at_k,
)
from tests.reference import retrieval as reference
from tests.strategies import blobs, examples


@pytest.fixture
def data(rng):
    X, y = blobs(rng, n_classes=6, n_features=5, spread=2.0, groups=[0, 0, 1, 1, 2, 2])
    return X[:120], y[:120], X[120:], y[120:]


def full_distances(retriever, queries, gallery):
    """D by the paper's formula, from public attributes only."""
    model, tree = retriever.class_model_, retriever.hierarchy_.with_stem(retriever.stem)
    U = tree.distance(model.classes_[:, None], model.classes_[None, :])
    if retriever.assignment == "hard":
        return reference.hard_distances(
            np.searchsorted(model.classes_, model.predict(queries)),
            np.searchsorted(model.classes_, model.predict(gallery)),
            U,
        )
    return reference.soft_distances(model.predict_proba(queries), model.predict_proba(gallery), U)


@pytest.mark.parametrize("assignment", ["hard", "soft"])
@pytest.mark.parametrize("alpha", [0, 0.3, 4.0, np.inf])
@pytest.mark.parametrize("builder", [None, HierarchyBuilder(0.3), LinkageHierarchyBuilder()])
def test_kneighbors_equals_sorting_all_distances(data, assignment, alpha, builder):
    X, y, Q, _ = data
    retriever = HierarchicalRetriever(builder, alpha=alpha, assignment=assignment, stem=0.25).fit(X, y)
    retriever.set_gallery(X, y, gallery_leaves="predicted")
    for queries in (Q, None):
        k = len(X) if queries is not None else len(X) - 1
        H = full_distances(retriever, X if queries is None else queries, X)
        expected = reference.neighbours(X if queries is None else queries, X, k, alpha, H, queries is None)
        distances, indices = retriever.kneighbors(queries, n_neighbors=k)
        np.testing.assert_allclose(distances, expected[0], atol=1e-10)
        np.testing.assert_array_equal(indices, expected[1])


@given(st.integers(0, 2**32 - 1), st.sampled_from(["hard", "soft"]), st.sampled_from([0.0, 1.0, np.inf]))
@settings(max_examples=examples(25))
def test_permuting_the_gallery_permutes_the_neighbours(seed, assignment, alpha):
    rng = np.random.default_rng(seed)
    X, y = blobs(rng, n_classes=4)
    retriever = HierarchicalRetriever(alpha=alpha, assignment=assignment).fit(X, y)
    queries = rng.normal(size=(5, X.shape[1])) * 3
    distances, indices = retriever.kneighbors(queries, n_neighbors=len(X))
    order = rng.permutation(len(X))
    moved_distances, moved = retriever.set_gallery(X[order], y[order]).kneighbors(queries, n_neighbors=len(X))
    np.testing.assert_allclose(moved_distances, distances, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(order[moved], indices)  # random features: no ties


def test_labels_names_do_not_matter(data):
    X, y, Q, t = data
    names = np.array(["zebra", "ant", "cow", "bee", "yak", "dog"])
    by_number = HierarchicalRetriever().fit(X, y)
    by_name = HierarchicalRetriever().fit(X, names[y])
    np.testing.assert_array_equal(by_name.kneighbors(Q)[1], by_number.kneighbors(Q)[1])
    np.testing.assert_array_equal(by_name.leaves(Q), names[by_number.leaves(Q)])
    assert by_name.score(Q, names[t]) == by_number.score(Q, t)


def test_true_labels_are_no_part_of_a_distance(data, rng):
    X, y, Q, _ = data
    retriever = HierarchicalRetriever(alpha=2.0, gallery_leaves="predicted", new_classes="labels").fit(X, y)
    distances, indices = retriever.set_gallery(X, y).kneighbors(Q)
    nonsense = rng.permutation(y)
    for labels in (nonsense, None):
        d, i = retriever.set_gallery(X, labels).kneighbors(Q)
        np.testing.assert_array_equal(d, distances)
        np.testing.assert_array_equal(i, indices)


@pytest.mark.parametrize("gallery_leaves", ["auto", "labels", "predicted"])
def test_labels_of_the_gallery_change_no_leave_one_out_ranking(data, rng, gallery_leaves):
    X, y, Q, t = data
    retriever = HierarchicalRetriever(alpha=4.0, gallery_leaves=gallery_leaves).fit(X, y)
    expected = retriever.set_gallery(Q, t).kneighbors(None, 9)
    for labels in (rng.permutation(t), np.zeros_like(t)):
        found = retriever.set_gallery(Q, labels).kneighbors(None, 9)
        np.testing.assert_array_equal(found[0], expected[0])
        np.testing.assert_array_equal(found[1], expected[1])
    # The scorer, also where it hands rows over as queries because memory is short.
    truth = evaluate_retrieval(retriever, Q, t, [5], per_query=True)["score"]
    with config_context(working_memory=0.01):
        in_parts = evaluate_retrieval(retriever, Q, t, [5], per_query=True)["score"]
    np.testing.assert_allclose(in_parts, truth)
    ranked = t[expected[1][:, :5]]
    counts = np.bincount(t)[t] - 1
    by_hand = average_precision_at_k(t, ranked, 5, n_relevant=counts)
    np.testing.assert_allclose(truth, by_hand)


def test_alpha_zero_is_cosine_search(data):
    X, y, Q, _ = data
    retriever = HierarchicalRetriever(alpha=0).fit(X, y)
    distances, indices = retriever.kneighbors(Q, n_neighbors=10)
    expected = cosine_distances(Q, X)
    np.testing.assert_array_equal(indices, np.argsort(expected, axis=1, kind="stable")[:, :10])
    np.testing.assert_allclose(distances, np.sort(expected, axis=1)[:, :10], atol=1e-12)


def test_alpha_may_change_after_fit(data):
    X, y, Q, _ = data
    retriever = HierarchicalRetriever(alpha=0).fit(X, y)
    for alpha in (0.5, 0, np.inf, 2):
        fresh = HierarchicalRetriever(alpha=alpha).fit(X, y)
        retriever.set_params(alpha=alpha)
        np.testing.assert_array_equal(retriever.kneighbors(Q)[1], fresh.kneighbors(Q)[1])
    for assignment in ("hard", "soft"):
        fresh = HierarchicalRetriever(alpha=2, assignment=assignment).fit(X, y)
        retriever.set_params(assignment=assignment)
        np.testing.assert_array_equal(retriever.kneighbors(Q)[1], fresh.kneighbors(Q)[1])
    for alpha in (-1, np.nan, "much"):
        with pytest.raises(ValueError, match="alpha"):
            retriever.set_params(alpha=alpha).kneighbors(Q)


def test_dtypes(data):
    X, y, Q, _ = data
    double = HierarchicalRetriever().fit(X, y)
    assert double.kneighbors(Q.astype(np.float32))[0].dtype == np.float64
    for dtype in (np.float32, np.float16):
        single = HierarchicalRetriever().fit(X.astype(dtype), y)
        distances, indices = single.kneighbors(Q)
        assert distances.dtype == np.float32
        assert np.mean(indices == double.kneighbors(Q)[1]) > (0.95 if dtype == np.float32 else 0.5)
    whole_numbers = HierarchicalRetriever().fit((X * 100).astype(int), y)
    assert whole_numbers.kneighbors((Q * 100).astype(int))[0].dtype == np.float64


def test_leaf_ties_and_duplicates(data):
    X, y, _, _ = data
    twice = np.concatenate([X, X])
    retriever = HierarchicalRetriever().fit(X, y).set_gallery(twice, np.concatenate([y, y]))
    distances, indices = retriever.kneighbors(X[:20], n_neighbors=2)
    np.testing.assert_allclose(distances[:, 0], distances[:, 1])
    np.testing.assert_array_equal(indices[:, 1] - indices[:, 0], 120)
    # With hard leaves a copy is nearest; with soft ones a surer item can be nearer.
    _, own = retriever.set_params(assignment="hard").kneighbors(n_neighbors=1)
    np.testing.assert_array_equal(own[:, 0], (np.arange(240) + 120) % 240)


def test_given_hierarchies_and_class_models(data):
    X, y, Q, _ = data
    taxonomy = ClassHierarchy.from_levels([range(6), [0, 0, 0, 1, 1, 1], [0] * 6])
    for model in (None, GaussianNB(), FrozenEstimator(GaussianNB().fit(X, y)), KNeighborsClassifier(3)):
        retriever = HierarchicalRetriever(taxonomy, class_model=model).fit(X, y)
        assert retriever.hierarchy_ is taxonomy
        assert retriever.hierarchy_builder_ is None
        assert retriever.kneighbors(Q)[1].shape == (len(Q), 5)
        if model is not None:
            assert type(retriever.class_model_) is type(model)
            np.testing.assert_array_equal(retriever.leaves(Q), clone(model).fit(X, y).predict(Q))
    default = HierarchicalRetriever().fit(X, y)
    assert default.class_model_ is default.hierarchy_builder_.class_model_
    ward = HierarchicalRetriever(LinkageHierarchyBuilder()).fit(X, y)
    assert isinstance(ward.class_model_, DiscriminantClassifier)


def test_a_hierarchy_of_more_classes_than_there_are(data):
    X, y, Q, _ = data
    wide = HierarchicalRetriever(ClassHierarchy.flat(range(20))).fit(X, y)
    np.testing.assert_array_equal(
        wide.kneighbors(Q)[1], HierarchicalRetriever(ClassHierarchy.flat(range(6))).fit(X, y).kneighbors(Q)[1]
    )


def test_hard_needs_no_probabilities(data):
    X, y, Q, _ = data
    HierarchicalRetriever(class_model=LinearSVC(), assignment="hard").fit(X, y).kneighbors(Q)
    with pytest.raises(ValueError, match="LinearSVC has no predict_proba"):
        HierarchicalRetriever(class_model=LinearSVC()).fit(X, y)


def test_retrieve(data):
    X, y, Q, _ = data
    names = np.array(list("abcdef"))
    ids = [f"image {i}" for i in range(len(X))]
    for assignment in ("soft", "hard"):
        retriever = HierarchicalRetriever(alpha=2.0, assignment=assignment).fit(X, names[y])
        retriever.set_gallery(X, names[y], ids=ids, gallery_leaves="predicted")
        distances, indices = retriever.kneighbors(Q, n_neighbors=4)
        table = retriever.retrieve(Q, 4)
        assert table.columns.tolist() == [
            "query",
            "rank",
            "id",
            "label",
            "distance",
            "visual_distance",
            "hierarchical_distance",
            "query_known",
            "query_leaf",
            "leaf",
        ]
        assert table["query"].tolist() == np.repeat(np.arange(len(Q)), 4).tolist()
        assert table["rank"].tolist() == [1, 2, 3, 4] * len(Q)
        assert table["id"].tolist() == [ids[i] for i in indices.ravel()]
        assert table["label"].tolist() == names[y][indices.ravel()].tolist()
        np.testing.assert_array_equal(table["distance"], distances.ravel())
        np.testing.assert_allclose(
            table["visual_distance"] + 2 * table["hierarchical_distance"], table["distance"]
        )
        leaves = retriever.leaves(Q)
        assert table["query_leaf"].tolist() == np.repeat(leaves, 4).tolist()
        assert table["leaf"].tolist() == retriever.leaves(X)[indices.ravel()].tolist()
    own = retriever.set_params(alpha=0).retrieve(n_neighbors=2)
    assert len(own) == 2 * len(X)
    assert retriever.set_gallery(X).retrieve(Q[:1], 2)["label"].isna().all()


def test_predict_is_a_vote(data):
    X, y, Q, _ = data
    retriever = HierarchicalRetriever(n_neighbors=7).fit(X, y)
    votes = y[retriever.kneighbors(Q)[1]]
    counts = np.array([[np.sum(row == c) for c in range(6)] for row in votes])
    np.testing.assert_array_equal(retriever.predict(Q), counts.argmax(axis=1))
    np.testing.assert_allclose(retriever.predict_proba(Q), counts / 7)
    assert is_classifier(retriever)


def test_score_is_map(data):
    X, y, Q, t = data
    retriever = HierarchicalRetriever(n_neighbors=10).fit(X, y)
    ranked = y[retriever.kneighbors(Q)[1]]
    counts = np.bincount(y)[t]
    score = retriever.score(Q, t)
    assert score == pytest.approx(map_at_k(t, ranked, 10, n_relevant=counts))
    assert score == make_retrieval_scorer("map", 10, "fit")(retriever, Q, t)
    with config_context(working_memory=0.02):  # queries in parts
        assert retriever.score(Q, t) == score
        assert retriever.score(pd.DataFrame(Q), pd.Series(t)) == score


def test_labels_that_cannot_be_scored(data):
    X, y, Q, t = data
    retriever = HierarchicalRetriever().fit(X, y)
    for labels, message in [
        (np.where(t == 0, np.nan, t), "missing"),
        ([None, *t[1:].tolist()], "missing"),
        (t[:-1], "inconsistent numbers of samples"),
        (t[:, None], "one-dimensional"),
        (t.astype(str), "text and numbers never match"),
    ]:
        with pytest.raises(ValueError, match=message):
            retriever.score(Q, labels)


def test_a_gallery_of_new_labels(data):
    X, y, Q, t = data
    retriever = HierarchicalRetriever().fit(X, y)
    assert retriever.set_gallery(Q, t + 100) is retriever
    assert retriever.classes_.tolist() == [0, 1, 2, 3, 4, 5, 100, 101, 102, 103, 104, 105]
    assert set(retriever.predict(X)) <= set(range(100, 106))
    np.testing.assert_allclose(retriever.predict_proba(X).sum(axis=1), 1)
    assert retriever.score(X, y + 100) > 0.5
    assert retriever.n_samples_fit_ == len(Q)
    assert retriever.fit(X, y).classes_.tolist() == list(range(6))
    with pytest.raises(ValueError, match="Gallery labels are"):
        retriever.set_gallery(Q, [f"label {i}" for i in t])
    assert retriever.n_samples_fit_ == len(X)  # the failed call changed nothing


def test_pickle_joblib_and_clone(data, tmp_path):
    X, y, Q, _ = data
    names = np.array(list("abcdef"))
    retriever = HierarchicalRetriever(HierarchyBuilder(0.3), alpha=2.0).fit(X, names[y])
    distances, indices = retriever.kneighbors(Q)
    joblib.dump(retriever, tmp_path / "retriever.joblib")
    for other in (
        pickle.loads(pickle.dumps(retriever)),
        joblib.load(tmp_path / "retriever.joblib"),
        copy.deepcopy(retriever),
        clone(retriever).fit(X, names[y]),
    ):
        d, i = other.kneighbors(Q)
        np.testing.assert_array_equal(d, distances)
        np.testing.assert_array_equal(i, indices)
        assert other.hierarchy_ == retriever.hierarchy_


def test_nested_parameters():
    retriever = HierarchicalRetriever(HierarchyBuilder(class_model=MahalanobisClassifier()))
    retriever.set_params(hierarchy__threshold=0.4, hierarchy__class_model__temperature=2.0)
    assert retriever.hierarchy.threshold == 0.4
    assert retriever.hierarchy.class_model.temperature == 2.0
    for hierarchy in (None, ClassHierarchy.flat("ab")):
        with pytest.raises(ValueError, match=r"hierarchy__threshold.*HierarchyBuilder\(\)"):
            HierarchicalRetriever(hierarchy).set_params(hierarchy__threshold=0.4)
    both = HierarchicalRetriever().set_params(hierarchy=HierarchyBuilder(), hierarchy__threshold=0.4)
    assert both.hierarchy.threshold == 0.4


def test_the_gallery_is_not_touched_by_searching(data):
    X, y, Q, _ = data
    before = X.copy(), Q.copy()
    retriever = HierarchicalRetriever().fit(X, y)
    first = retriever.kneighbors(Q)
    again = retriever.kneighbors(Q)
    np.testing.assert_array_equal(first[1], again[1])
    np.testing.assert_array_equal(X, before[0])
    np.testing.assert_array_equal(Q, before[1])


def test_pca_and_frames(data):
    X, y, Q, _ = data
    columns = [f"f{i}" for i in range(5)]
    frame, queries = pd.DataFrame(X, columns=columns), pd.DataFrame(Q, columns=columns)
    retriever = HierarchicalRetriever().fit(frame, pd.Series(y))
    assert retriever.feature_names_in_.tolist() == columns
    np.testing.assert_array_equal(
        retriever.kneighbors(queries)[1], HierarchicalRetriever().fit(X, y).kneighbors(Q)[1]
    )
    with pytest.raises(ValueError, match="feature names should match"):
        retriever.kneighbors(queries[columns[::-1]])
    pca = PCA().set_output(transform="pandas").fit(frame)
    rotated = HierarchicalRetriever(alpha=0).fit(pca.transform(frame), y)
    assert rotated.feature_names_in_.tolist() == [f"pca{i}" for i in range(5)]
    single = HierarchicalRetriever().fit(frame.astype(np.float32), y)
    assert single.kneighbors(queries)[0].dtype == np.float32


def test_retrieve_takes_what_kneighbors_takes(data):
    X, y, Q, _ = data
    whole = (X * 10).astype(int)
    for assignment in ("soft", "hard"):
        for dtype in (np.float64, np.float32):
            retriever = HierarchicalRetriever(alpha=2.0, assignment=assignment).fit(whole.astype(dtype), y)
            queries = (Q * 10).astype(int)
            expected = retriever.retrieve(queries.astype(dtype), 3)
            assert (expected["hierarchical_distance"] > 0).any() == (assignment == "soft")
            for same in (queries, queries.tolist(), pd.DataFrame(queries), queries.astype(float)):
                pd.testing.assert_frame_equal(retriever.retrieve(same, 3), expected)
                np.testing.assert_array_equal(retriever.kneighbors(same, 3)[0].ravel(), expected["distance"])


def test_threads_change_nothing(data):
    X, y, Q, _ = data
    for assignment in ("soft", "hard"):
        for alpha in (0, 0.3, 16.0):
            params = {"alpha": alpha, "assignment": assignment}
            one = HierarchicalRetriever(**params).fit(X, y).kneighbors(Q)
            two = HierarchicalRetriever(n_jobs=2, **params).fit(X, y).kneighbors(Q)
            np.testing.assert_array_equal(one[0], two[0])
            np.testing.assert_array_equal(one[1], two[1])


def test_one_query_at_a_time(data):
    X, y, Q, _ = data
    for assignment in ("soft", "hard"):
        retriever = HierarchicalRetriever(assignment=assignment).fit(X, y)
        distances, indices = retriever.kneighbors(Q)
        for i, query in enumerate(Q):
            d, j = retriever.kneighbors([query])
            np.testing.assert_allclose(d[0], distances[i], rtol=1e-9)
            np.testing.assert_array_equal(j[0], indices[i])


def test_galleries_may_be_replaced_while_others_search(data):
    X, y, Q, _ = data
    retriever = HierarchicalRetriever().fit(X, y)
    small, large = np.concatenate([X, X]), X[:60]
    failures = []

    def search():
        try:
            for _ in range(60):
                retriever.kneighbors(Q)
        except Exception as error:
            failures.append(error)

    thread = threading.Thread(target=search)
    thread.start()
    while thread.is_alive():
        retriever.set_gallery(small)
        retriever.set_gallery(large)
    thread.join()
    assert failures == []


def test_the_gallery_keeps_its_own_labels(data):
    X, y, Q, _ = data
    labels = y.copy()
    retriever = HierarchicalRetriever().fit(X, y).set_gallery(X, labels)
    expected = retriever.predict(Q)
    labels[:] = 99
    np.testing.assert_array_equal(retriever.predict(Q), expected)


def test_the_gallery_keeps_its_own_features(data):
    X, y, Q, _ = data
    for alpha in (0, 2.0):
        features = X.copy()
        retriever = HierarchicalRetriever(alpha=alpha).fit(features, y)
        features[:] = 0
        expected = HierarchicalRetriever(alpha=2.0).fit(X, y).kneighbors(Q)
        found = retriever.set_params(alpha=2.0).kneighbors(Q)
        np.testing.assert_array_equal(found[1], expected[1])
        np.testing.assert_array_equal(found[0], expected[0])


class Odd(GaussianNB):
    """Predicts labels and probabilities that make no sense."""

    def __init__(self, label=-1, fill=np.nan):
        super().__init__()
        self.label = label
        self.fill = fill

    def predict(self, X):
        return np.full(len(X), self.label)

    def predict_proba(self, X):
        return np.full((len(X), 6 if np.isnan(self.fill) else 3), self.fill)


def test_class_models_that_make_no_sense(data):
    X, y, _, _ = data
    for label in (-1, 2.5, 99):
        with pytest.raises(ValueError, match=r"Odd predicted .* not in its classes_"):
            HierarchicalRetriever(class_model=Odd(label), assignment="hard").fit(X, y)
    for fill in (np.nan, 0.2):
        with pytest.raises(ValueError, match="Odd gave probabilities"):
            HierarchicalRetriever(class_model=Odd(0, fill)).fit(X, y)
    retriever = HierarchicalRetriever(HierarchyBuilder(), alpha=1.0).fit(X, y)
    with pytest.raises(ValueError, match="so far from all classes"):
        retriever.kneighbors(np.full((1, 5), 1e200))
    with pytest.raises(ValueError, match="assignment"):
        retriever.set_params(assignment="sfot").leaves(X)
    with pytest.raises(ValueError, match="class_model__temperature"):
        HierarchicalRetriever().set_params(class_model__temperature=2.0)


def test_class_models_with_classes_in_any_order(data):
    X, y, Q, _ = data

    class Backwards(GaussianNB):
        def fit(self, X, y):
            super().fit(X, y)
            self.classes_ = self.classes_[::-1].copy()
            self.theta_, self.var_ = self.theta_[::-1], self.var_[::-1]
            self.class_prior_ = self.class_prior_[::-1]
            return self

    for assignment in ("hard", "soft"):
        taxonomy = ClassHierarchy.from_levels([range(6), [0, 0, 0, 1, 1, 1], [0] * 6])
        plain, backwards = (
            HierarchicalRetriever(taxonomy, class_model=model, assignment=assignment).fit(X, y)
            for model in (GaussianNB(), Backwards())
        )
        np.testing.assert_array_equal(plain.leaves(Q), backwards.leaves(Q))
        np.testing.assert_array_equal(plain.kneighbors(Q)[1], backwards.kneighbors(Q)[1])


@pytest.mark.parametrize("own", [True, False])
def test_the_graph_holds_the_neighbours(data, own):
    X, y, Q, _ = data
    retriever = HierarchicalRetriever(alpha=2.0).fit(X.astype(np.float32), y)
    queries = None if own else Q
    distances, indices = retriever.kneighbors(queries, 4)
    graph = retriever.kneighbors_graph(queries, 4, mode="distance")
    assert graph.shape == (len(indices), len(X))
    assert graph.dtype == np.float32
    np.testing.assert_array_equal(graph.indices.reshape(-1, 4), indices)
    np.testing.assert_array_equal(graph.data.reshape(-1, 4), distances)
    connected = retriever.kneighbors_graph(queries, 4)
    np.testing.assert_array_equal(connected.toarray() == 1, graph.toarray() > 0)
    if own:
        assert graph.diagonal().sum() == 0
    with pytest.raises(ValueError, match="mode must be"):
        retriever.kneighbors_graph(queries, 4, mode="weights")
