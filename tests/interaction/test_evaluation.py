import numpy as np
import pytest
from hypothesis import given
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_hierret import (
    ClassHierarchy,
    HierarchicalRetriever,
    InteractionDisplay,
    average_hierarchical_precision_at_k,
)
from sklearn_hierret.datasets import make_hierarchical_blobs
from sklearn_hierret.interaction import (
    NodePosterior,
    RetrievalSession,
    Rocchio,
    evaluate_interaction,
    kneighbors_of_set,
)
from sklearn_hierret.interaction._evaluation import relevance_to_node
from tests.strategies import trees


@pytest.fixture(scope="module")
def data():
    X, y, tree = make_hierarchical_blobs(700, level_std=(1.2, 0.6), n_features=10, random_state=0)
    return HierarchicalRetriever(tree).fit(X[:350], y[:350]), X[350:], y[350:], tree


@given(trees())
def test_relevance_to_a_class_is_its_similarity(tree):
    for c in range(tree.n_classes):
        expected = 1 - tree.distance(tree.classes[c], tree.classes)
        if np.all(tree.distance(tree.classes[c], np.delete(tree.classes, c)) > 0):
            np.testing.assert_allclose(relevance_to_node(tree, c), expected)


def test_the_protocol_by_hand(data):
    retriever, X, y, tree = data
    params = {"methods": {"m": Rocchio()}, "rounds": 2, "marks": 5, "objective": "leaf", "n_queries": 4}
    table = evaluate_interaction(retriever, X, y, tree, per_query=True, **params)
    random = np.random.RandomState(0)
    shown_half = random.random_sample(len(y)) < 0.5
    queries = random.permutation(len(y))[:4]
    assert table["query"].unique().tolist() == queries.tolist()
    q = queries[0]
    searched = HierarchicalRetriever(tree).fit(*_training())
    searched.set_gallery(X, gallery_leaves="predicted", new_classes="ignore")
    session = RetrievalSession(searched, X[[q]], method=Rocchio())
    others = np.arange(len(y)) != q
    for number in range(3):
        if number:
            shown = session.kneighbors(5, False, within=shown_half & others)[0]
            session.mark(shown[y[shown] == y[q]], shown[y[shown] != y[q]])
        scored = ~shown_half & others
        ranked = session.kneighbors(100, False, within=scored)[0]
        row = table[(table["query"] == q) & (table["round"] == number)].iloc[0]
        assert row["precision"] == pytest.approx(np.mean(y[ranked[:10]] == y[q]))
        ahp = average_hierarchical_precision_at_k([y[q]], y[ranked][None], tree, 100, y_gallery=y[scored])
        assert row["ahp"] == pytest.approx(ahp[0])
        assert row["level"] == 0


def _training():
    X, y, _ = make_hierarchical_blobs(700, level_std=(1.2, 0.6), n_features=10, random_state=0)
    return X[:350], y[:350]


@pytest.mark.slow
def test_marks_help_and_noise_does_not(data):
    retriever, X, y, tree = data
    before = retriever.gallery_ids_.tolist()
    params = {"rounds": 3, "n_queries": 60}
    tables = {e: evaluate_interaction(retriever, X, y, tree, error_rate=e, **params) for e in (0, 0.5)}
    assert retriever.gallery_ids_.tolist() == before

    def means(table, method="node posterior"):
        part = table[table["method"] == method]
        totals = (part["ahp"] * part["n_queries"]).groupby(part["round"]).sum()
        return totals / part["n_queries"].groupby(part["round"]).sum()

    for method in tables[0]["method"].unique():
        assert means(tables[0], method)[0] == pytest.approx(means(tables[0])[0])  # round 0 is one ranking
    assert means(tables[0])[3] > means(tables[0])[0] + 0.02
    assert means(tables[0])[3] > means(tables[0], "Rocchio")[3]
    assert means(tables[0])[3] > means(tables[0], "linear")[3]
    assert means(tables[0.5])[3] < means(tables[0])[3] - 0.02
    again = evaluate_interaction(retriever, X, y, tree, rounds=3, n_queries=60)
    assert again.equals(tables[0])
    display = InteractionDisplay(tables[0]).plot()
    np.testing.assert_allclose(display.lines_["node posterior"].get_ydata(), means(tables[0]).to_numpy())
    with pytest.raises(ValueError, match="edges above"):
        InteractionDisplay(tables[0]).plot(level=99)
    with pytest.raises(ValueError, match="metric is"):
        InteractionDisplay(tables[0], metric="auc").plot()


def test_objectives(data):
    retriever, X, y, tree = data
    few = {"methods": {"m": NodePosterior()}, "rounds": 1, "n_queries": 30, "per_query": True}
    for objective, levels in [("leaf", {0}), ("node", {1}), ("random", {0, 1}), (1, {1}), (0, {0})]:
        table = evaluate_interaction(retriever, X, y, tree, objective=objective, **few)
        assert set(table["level"]) == levels
        assert tree.is_below(y[table["query"]], table["objective"]).all()
    pipe = make_pipeline(StandardScaler(), HierarchicalRetriever(tree)).fit(*_training())
    assert len(evaluate_interaction(pipe, X, y, tree, **few)) == 60
    for params, error, message in [
        ({"objective": 2}, ValueError, "at or above the root"),
        ({"objective": -1}, ValueError, "at or above the root"),
        ({"objective": "root"}, ValueError, "objective must be"),
        ({"rounds": 0}, ValueError, "rounds must be a positive integer"),
        ({"marks": 1.5}, ValueError, "marks must be a positive integer"),
        ({"error_rate": 0.6}, ValueError, "error_rate"),
        ({"rounds": 100}, ValueError, "need more samples"),
        ({"n_queries": -2}, ValueError, "n_queries must be"),
        ({"random_state": "x"}, ValueError, "cannot be used to seed"),
        ({"methods": {}}, TypeError, "methods must be"),
        ({"methods": [Rocchio()]}, TypeError, "methods must be"),
    ]:
        with pytest.raises(error, match=message):
            evaluate_interaction(retriever, X, y, tree, **{**few, **params})
    with pytest.raises(TypeError, match="must be a ClassHierarchy"):
        evaluate_interaction(retriever, X, y, "fitted")
    with pytest.raises(ValueError, match="missing in the hierarchy"):
        evaluate_interaction(retriever, X, y, ClassHierarchy.flat(range(3)))
    with pytest.raises(ValueError, match="inconsistent"):
        evaluate_interaction(retriever, X, y[:-1], tree)


def test_sets_of_queries(data):
    retriever, X, y, tree = data
    retriever = HierarchicalRetriever(tree).fit(*_training())
    one = kneighbors_of_set(retriever, X[:1], 6)
    for ours, theirs in zip(one, retriever.kneighbors(X[:1], 6), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    groups = np.array(["b", "a", "b", "b", "a", "a"])
    distances, indices = kneighbors_of_set(retriever, X[:6], 7, groups=groups)
    for row, name in enumerate(("a", "b")):
        alone = kneighbors_of_set(retriever, X[:6][groups == name], 7)
        np.testing.assert_array_equal(indices[row], alone[1][0])
        np.testing.assert_array_equal(distances[row], alone[0][0])
    # Images of two classes under one parent mean the parent, of one class that class.
    siblings = np.flatnonzero(tree.parents[: tree.n_classes] == tree.parents[0])[:2]
    images = np.concatenate([X[y == c][:2] for c in siblings])
    session = RetrievalSession(retriever, images)
    assert session.nodes()["node"][0] == tree.node_names[tree.parents[0]]
    session = RetrievalSession(retriever, X[(y == siblings[0]) & (retriever.leaves(X) == siblings[0])][:3])
    assert session.nodes()["node"][0] == siblings[0]
    for params, message in [
        ({"groups": [0, 1]}, "inconsistent"),
        ({"groups": np.zeros((6, 1))}, "one-dimensional"),
        ({"n_neighbors": 0}, "n_neighbors must be"),
        ({"n_neighbors": 10**6}, "may be shown"),
    ]:
        with pytest.raises(ValueError, match=message):
            kneighbors_of_set(retriever, X[:6], **{"n_neighbors": 3, **params})
