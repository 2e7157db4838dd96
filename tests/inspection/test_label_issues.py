import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import RidgeClassifier
from sklearn.metrics import average_precision_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_hierret import (
    ClassHierarchy,
    HammingRetriever,
    HierarchicalRetriever,
    LinkageHierarchyBuilder,
    PCAHasher,
)
from sklearn_hierret.inspection import class_overview, label_issues, near_duplicates, novel_items
from sklearn_hierret.inspection._detector import near_classes, other_classes
from sklearn_hierret.inspection._evidence import LabelEvidence
from sklearn_hierret.inspection._label_issues import confident_issues

X, Y = load_digits(return_X_y=True)
X, Y = X[:900], Y[:900]


@pytest.fixture(scope="module")
def noisy():
    rng = np.random.default_rng(0)
    y, rows = Y.copy(), rng.permutation(len(Y))[:40]
    y[rows] = (y[rows] + rng.integers(1, 10, 40)) % 10
    return y, rows


@pytest.fixture(scope="module")
def retriever(noisy):
    return HierarchicalRetriever().fit(X, noisy[0])


def test_moved_labels_come_first(noisy, retriever):
    y, rows = noisy
    table = label_issues(retriever)
    assert np.isin(rows, table["id"][:80]).mean() >= 0.9
    found = table.set_index("id").loc[rows]
    assert (found["suggested"].to_numpy() == Y[rows]).mean() > 0.9
    assert average_precision_score(np.isin(table["id"], rows), -np.arange(len(table))) > 0.9
    assert sorted(table["id"]) == list(range(900))
    np.testing.assert_array_equal(table["given"], y[table["id"]])


def test_columns_say_what_the_parts_say(noisy, retriever):
    y, _ = noisy
    table, tree = label_issues(retriever, n_evidence=2), retriever.hierarchy_
    proba = retriever.class_model_.held_out_proba(X)
    first = table.iloc[:50]
    np.testing.assert_allclose(
        first["given_probability"], np.maximum(proba[first["id"], first["given"]], 1e-9), rtol=1e-5
    )
    np.testing.assert_allclose(
        first["suggested_probability"], proba[first["id"], first["suggested"]], rtol=1e-5
    )
    np.testing.assert_allclose(first["tree_distance"], tree.distance(first["given"], first["suggested"]))
    neighbours = HierarchicalRetriever(alpha=0, metric=retriever.metric_).fit(X, y).kneighbors(None, 30)[1]
    for row in first.itertuples():
        for ids, label in ((row.supporting, row.given), (row.contradicting, row.suggested)):
            nearest = [i for i in neighbours[row.id].tolist() if y[i] == label][:2]
            assert ids == nearest
    assert (np.diff(table["issue_probability"]) <= 1e-12).all()


def test_thresholds_against_a_loop(retriever):
    evidence = LabelEvidence.of(retriever.searcher())
    proba = retriever.class_model_.held_out_proba(X)
    thresholds = [proba[evidence.codes == c, c].mean() for c in range(10)]
    expected = []
    for row, given_code in zip(proba, evidence.codes, strict=True):
        above = [c for c in range(10) if row[c] >= thresholds[c]]
        expected.append(bool(above) and max(above, key=lambda c: row[c]) != given_code)
    np.testing.assert_array_equal(confident_issues(evidence), expected)


def test_it_is_repeatable_and_changes_nothing(retriever):
    before = retriever.kneighbors(X[:5])
    pd.testing.assert_frame_equal(label_issues(retriever), label_issues(retriever))
    np.testing.assert_array_equal(before, retriever.kneighbors(X[:5]))


@settings(max_examples=25)
@given(st.integers(2, 30), st.integers(0, 2**31 - 1))
def test_made_up_labels_are_other_ones(n_classes, seed):
    rng = np.random.RandomState(seed)
    codes = rng.randint(n_classes, size=50)
    tree = ClassHierarchy.from_linkage(
        np.column_stack(
            [
                [0, *range(n_classes, 2 * n_classes - 2)],
                range(1, n_classes),
                np.arange(1, n_classes),
                np.arange(2, n_classes + 1),
            ]
        ).astype(float),
        np.arange(n_classes),
    )
    near = near_classes(codes, tree, rng)
    assert (near != codes).all()
    assert (other_classes(codes, n_classes, rng) != codes).all()
    distances = tree.distance_matrix()
    for code, other in zip(codes, near, strict=True):
        nearest = np.sort(np.delete(distances[code], code))[: min(5, n_classes - 1)]
        assert distances[code, other] <= nearest[-1]


def test_galleries_pipelines_hard_leaves_and_other_classifiers(noisy):
    y, rows = noisy
    few = HierarchicalRetriever(assignment="hard").fit(X[:450], y[:450])
    table = label_issues(few)
    assert table["given_probability"].between(0, 1).all()
    assert len(np.unique(table["given_probability"])) > 100
    few.set_gallery(X[450:], y[450:], [f"image {i}" for i in range(450, 900)])
    assert set(label_issues(few)["id"][:10]) <= {f"image {i}" for i in range(450, 900)}
    pipeline = make_pipeline(StandardScaler(), HierarchicalRetriever()).fit(X, y)
    assert np.isin(rows, label_issues(pipeline)["id"][:80]).mean() > 0.85
    given_tree = HierarchicalRetriever(ClassHierarchy.flat(range(10))).fit(X, y)
    assert np.isin(rows, label_issues(given_tree)["id"][:80]).mean() > 0.85
    both = HierarchicalRetriever([ClassHierarchy.flat(range(10)), LinkageHierarchyBuilder()]).fit(X, y)
    assert np.isin(rows, label_issues(both)["id"][:80]).mean() > 0.85
    codes = HammingRetriever(hierarchy=LinkageHierarchyBuilder(), alpha=1.0)
    hashed = codes.fit(PCAHasher(56).fit_transform(X), y)
    assert np.isin(rows, label_issues(hashed)["id"][:80]).mean() > 0.6


def test_labels_that_are_new_are_left_out():
    known = Y < 8
    retriever = HierarchicalRetriever(new_classes="ignore").fit(X[known], Y[known]).set_gallery(X, Y)
    assert set(label_issues(retriever)["given"]) == set(range(8))
    retriever = HierarchicalRetriever().fit(X[known], Y[known]).set_gallery(X, Y)
    assert set(label_issues(retriever)["given"]) == set(range(10))


def test_bad_input(noisy):
    y, _ = noisy
    retriever = HierarchicalRetriever().fit(X, y)
    with pytest.raises(ValueError, match="n_evidence"):
        label_issues(retriever, n_evidence=0)
    with pytest.raises(ValueError, match="no labels"):
        label_issues(HierarchicalRetriever().fit(X, y).set_gallery(X))
    with pytest.raises(ValueError, match="fewer than two"):
        label_issues(HierarchicalRetriever().fit(X, y).set_gallery(X[:1], y[:1]))
    hard = HierarchicalRetriever(class_model=RidgeClassifier(), assignment="hard", alpha=1.0).fit(X, y)
    for function in (label_issues, class_overview):
        with pytest.raises(ValueError, match="RidgeClassifier has no predict_proba"):
            function(hard)
    with pytest.raises(ValueError, match="no leaves"):
        label_issues(
            HammingRetriever(alpha=0)
            .fit(np.zeros((10, 2), dtype=np.uint8))
            .set_gallery(np.zeros((10, 2), dtype=np.uint8), np.arange(10) % 2)
        )


def test_two_samples_and_two_classes():
    table = label_issues(HierarchicalRetriever().fit([[0.0, 1], [1, 0]], ["a", "b"]))
    assert sorted(table["id"]) == [0, 1]
    assert list(table["suggested"]) == ["b" if label == "a" else "a" for label in table["given"]]


def test_overview_counts(noisy, retriever):
    y, _ = noisy
    table = class_overview(retriever).set_index("class")
    proba = retriever.class_model_.held_out_proba(X)
    predicted = proba.argmax(axis=1)
    for c in range(10):
        row, mine = table.loc[c], y == c
        assert row["n_samples"] == mine.sum()
        assert row["accuracy"] == pytest.approx((predicted[mine] == c).mean())
        assert row["mean_probability"] == pytest.approx(proba[mine, c].mean(), rel=1e-4)
        wrong = np.bincount(predicted[mine & (predicted != c)], minlength=10)
        assert row["confusion"] == pytest.approx(wrong.max() / mine.sum())
        assert wrong[row["confused_with"]] == wrong.max()
    assert (np.diff(class_overview(retriever)["accuracy"]) >= 0).all()


def test_advice():
    rng = np.random.default_rng(0)
    means = 4 * rng.normal(size=(6, 20))
    # One class stands for two clusters, and two classes share one.
    of_cluster = np.array(["both", "both", "one", "other", "twin", "twin"])
    cluster = rng.integers(0, 6, 900)
    y = of_cluster[cluster]
    y[(y == "twin") & (rng.random(900) < 0.5)] = "same"
    table = class_overview(HierarchicalRetriever().fit(means[cluster] + rng.normal(size=(900, 20)), y))
    advice = dict(zip(table["class"], table["advice"], strict=True))
    assert advice["twin"] == advice["same"] == "merge"
    assert advice["both"] == "split"
    assert advice["one"] == advice["other"] == ""


def test_a_class_model_without_folds_is_cross_fitted(noisy):
    y, rows = noisy
    model = KNeighborsClassifier(1)  # in-sample it is always right
    table = label_issues(HierarchicalRetriever(class_model=model).fit(X, y))
    assert np.isin(rows, table["id"][:120]).mean() > 0.8


@pytest.mark.parametrize("function", [label_issues, class_overview, near_duplicates, novel_items])
def test_estimators_that_are_no_retrievers(function):
    with pytest.raises(TypeError, match="HierarchicalRetriever is expected, got RidgeClassifier"):
        function(RidgeClassifier().fit(X, Y))
    with pytest.raises(NotFittedError):
        function(HierarchicalRetriever())


def test_labels_of_which_none_is_known(noisy):
    retriever = HierarchicalRetriever(new_classes="ignore").fit(X, noisy[0]).set_gallery(X[:50], Y[:50] + 100)
    with pytest.raises(ValueError, match="knows none of these labels"):
        label_issues(retriever)
