import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline

from sklearn_hierret import (
    ClassHierarchy,
    HammingRetriever,
    HierarchicalRetriever,
    HierarchyBuilder,
    LinkageHierarchyBuilder,
)
from sklearn_hierret.interaction import LinearFeedback, NodePosterior, RetrievalSession, Rocchio
from sklearn_hierret.interaction._belief import NodeBelief
from tests.strategies import blobs

TREE = ClassHierarchy.from_newick("((ant,bee)insect,(cow,dog)beast)animal;")


@pytest.fixture
def data(rng):
    X, y = blobs(rng, n_classes=4, n_features=5, spread=1.5)
    names = np.array(["ant", "bee", "cow", "dog"])[y]
    retriever = HierarchicalRetriever(TREE, alpha=2.0, novelty=False).fit(X[:60], names[:60])
    return retriever.set_gallery(X[60:], names[60:], gallery_leaves="predicted"), X[:5], names[60:]


def unit(X):
    return X / np.linalg.norm(X, axis=1, keepdims=True)


def by_hand(retriever, q, relevant, irrelevant, mark_weight):
    """D of every item of the gallery, in loops."""
    gallery = retriever.searcher().gallery
    items = unit(gallery.features)
    moved = unit(q)[0] + 0.75 * items[relevant].mean(axis=0) - 0.25 * items[irrelevant].mean(axis=0)
    moved /= np.linalg.norm(moved)
    proba = np.zeros((len(items), 4))
    for i, leaf in enumerate(retriever.searcher().leaves.view(of_gallery=False).leaves()):
        for c, p in leaf.tolist():
            proba[i, c] += p
    belief = NodeBelief.of_queries(TREE, retriever.class_model_.predict_proba(q), 0.05)
    belief = belief.marked(proba[relevant], np.ones(len(relevant), dtype=bool))
    belief = belief.marked(proba[irrelevant], np.zeros(len(irrelevant), dtype=bool))
    own = TREE.with_stem(0.5).expected_distance(retriever.class_model_.predict_proba(q))[0]
    distances, n = belief.class_distances(0.5, own), len(relevant) + len(irrelevant)
    near = np.concatenate([unit(q), items[relevant]])
    total = []
    for x, p in zip(items, proba, strict=True):
        d = 1 - x @ moved + 8 * (1 - p @ (1 - distances))
        a, b = 1 - max(near @ x), 1 - max(items[irrelevant] @ x)
        total.append(d + mark_weight * n / (n + 30) * a / (a + b))
    return np.array(total)


def test_without_marks_it_is_the_retriever(data):
    retriever, Q, _ = data
    for method in (NodePosterior(), Rocchio(), LinearFeedback()):
        session = RetrievalSession(retriever, Q[:1], method=method)
        for ours, theirs in zip(session.kneighbors(9), retriever.kneighbors(Q[:1], 9), strict=True):
            np.testing.assert_array_equal(ours, theirs)
        expected = retriever.retrieve(Q[:1], 9)
        pd.testing.assert_frame_equal(session.retrieve(9).drop(columns="position"), expected)


@pytest.mark.parametrize("mark_weight", [0.0, 16.0])
def test_node_posterior_by_hand(data, mark_weight):
    retriever, Q, _ = data
    session = RetrievalSession(retriever, Q[:1], method=NodePosterior(mark_weight=mark_weight))
    relevant, irrelevant = [3, 7, 11], [2, 20]
    session.mark(relevant, irrelevant)
    total = by_hand(retriever, Q[:1], relevant, irrelevant, mark_weight)
    total[[*relevant, *irrelevant]] = np.inf
    distances, indices = session.kneighbors(15)
    np.testing.assert_allclose(distances[0], np.sort(total)[:15], atol=1e-6)
    np.testing.assert_array_equal(indices[0], np.argsort(total, kind="stable")[:15])
    shown = session.kneighbors(15, False, show_marked=True)[0]
    assert set(shown) & set(relevant)


def test_rocchio_and_the_linear_classifier_by_hand(data):
    retriever, Q, _ = data
    items = unit(retriever.searcher().gallery.features)
    relevant, irrelevant = [3, 7], [2, 20, 21]
    left = np.setdiff1d(np.arange(len(items)), relevant + irrelevant)
    moved = unit(Q[:1]) + 0.75 * items[relevant].mean(axis=0) - 0.25 * items[irrelevant].mean(axis=0)
    session = RetrievalSession(retriever, Q[:1], method=Rocchio()).mark(relevant, irrelevant)
    expected = retriever.kneighbors(moved, len(items))[1][0]
    np.testing.assert_array_equal(session.kneighbors(len(left), False)[0], expected[np.isin(expected, left)])
    session = RetrievalSession(retriever, Q[:1], method=LinearFeedback()).mark(relevant, irrelevant)
    model = LogisticRegression(C=10, class_weight="balanced")
    model.fit(np.vstack([unit(Q[:1]), items[relevant + irrelevant]]), [1, 1, 1, 0, 0, 0])
    scores = model.decision_function(items[left])
    found = session.kneighbors(len(left), False)[0]
    np.testing.assert_allclose(model.decision_function(items[found]), np.sort(scores)[::-1], atol=1e-9)


def test_marks_tell_the_node(data):
    retriever, Q, y = data
    ants, bees, cows = (np.flatnonzero(y == name)[:4] for name in ("ant", "bee", "cow"))
    session = RetrievalSession(retriever, Q[:1]).mark(np.concatenate([ants, bees]), cows)
    assert session.nodes()["node"][0] == "insect"
    assert session.nodes()["probability"].sum() > 0.99
    session = RetrievalSession(retriever, Q[:1]).mark(ants, np.concatenate([bees, cows]))
    assert session.nodes()["node"][0] == "ant"
    assert (
        session.nodes().set_index("node")["n_items"]["insect"]
        == np.isin(retriever.leaves(), ["ant", "bee"]).sum()
    )


def test_sessions_are_on_their_own(data):
    retriever, Q, _ = data
    before = retriever.kneighbors(Q, 5)
    one, other = RetrievalSession(retriever, Q[:1]), RetrievalSession(retriever, Q[:1])
    one.mark([1, 2], [3])
    assert other.relevant_.size == 0
    np.testing.assert_array_equal(other.kneighbors(5)[1], before[1][:1])
    for ours, theirs in zip(retriever.kneighbors(Q, 5), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    again = pickle.loads(pickle.dumps(one))
    np.testing.assert_array_equal(again.kneighbors(7)[1], one.kneighbors(7)[1])
    again.mark(irrelevant=[9])
    assert one.irrelevant_.tolist() == [3]
    # Marks that are taken back leave nothing.
    taken_back = RetrievalSession(retriever, Q[:1]).mark([1, 2, 5], [3, 8]).unmark([5, 8])
    np.testing.assert_allclose(taken_back.kneighbors(7)[0], one.kneighbors(7)[0])
    assert taken_back.unmark([1, 2, 3]).kneighbors(5)[1].tolist() == before[1][:1].tolist()


def test_within_and_ids(data):
    retriever, Q, _ = data
    names = np.array([f"image {i}" for i in range(retriever.n_samples_fit_)])
    retriever.set_gallery(
        retriever.searcher().gallery.features, retriever.gallery_labels_, names, gallery_leaves="predicted"
    )
    session = RetrievalSession(retriever, Q[:1]).mark(["image 4"], ["image 8"], by="id")
    assert (session.relevant_.tolist(), session.irrelevant_.tolist()) == ([4], [8])
    leaves = retriever.leaves()
    for within in (["insect"], ["ant", "bee"], np.isin(leaves, ["ant", "bee"])):
        found = session.kneighbors(6, False, within=within)[0]
        assert set(leaves[found]) <= {"ant", "bee"}
        assert session.retrieve(6, within=within)["id"].tolist() == names[found].tolist()
    few = np.zeros(len(names), dtype=bool)
    few[[1, 4, 8, 12]] = True
    distances, indices = session.kneighbors(3, within=few)
    assert sorted(indices[0].tolist()) == [-1, 1, 12]
    assert np.isinf(distances[0, -1])
    np.testing.assert_array_equal(
        retriever.kneighbors(Q, 4, within=["beast"])[1], retriever.kneighbors(Q, 4, within=["cow", "dog"])[1]
    )


def test_proposals_settle_the_question(data):
    retriever, Q, y = data
    session = RetrievalSession(retriever, Q[:1])
    proposed = session.propose(4)
    assert len(set(proposed.tolist())) == 4
    first = session.nodes()["probability"].to_numpy()
    told = y[proposed] == y[proposed[0]]
    session.mark(proposed[told], proposed[~told])
    assert not set(proposed.tolist()) & set(session.propose(3).tolist())
    second = session.nodes()["probability"].to_numpy()
    assert -np.sum(second * np.log(second + 1e-300)) < -np.sum(first * np.log(first + 1e-300))
    with pytest.raises(ValueError, match="items to propose"):
        session.propose(len(y))


def test_several_queries_and_frames(data):
    retriever, _, _ = data
    X = pd.DataFrame(retriever.searcher().gallery.features).add_prefix("f")
    named = HierarchicalRetriever(TREE).fit(X, retriever.gallery_labels_)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        session = RetrievalSession(named, X.iloc[:3]).mark([5], [9])
        session.kneighbors(3)
        session.moved_to(named).kneighbors(3)
    mean = unit(unit(retriever.searcher().gallery.features[:3]).mean(axis=0)[None])
    moved = RetrievalSession(named, X.iloc[:3], method=Rocchio(uses_leaves=False)).kneighbors(4)
    np.testing.assert_array_equal(
        moved[1], named.set_params(alpha=0).kneighbors(pd.DataFrame(mean, columns=X.columns), 4)[1]
    )


def test_bad_marks_mark_nothing(data):
    retriever, Q, _ = data
    session = RetrievalSession(retriever, Q[:1]).mark([1], [2])
    before = session.kneighbors(5)
    n = retriever.n_samples_fit_
    for arguments, message in [
        (([n], []), "No item is at position"),
        (([-1], []), "No item is at position"),
        (([3, 4], [4]), "marked twice"),
        (([3, 3], []), "marked twice"),
        (([1], []), "marked twice"),
        (([1.5], []), "Positions are integers"),
        ((["a"], []), "Positions are integers"),
        (([[3, 4]], []), "one-dimensional"),
        (([True, False], []), "Positions are integers"),
    ]:
        with pytest.raises(ValueError, match=message):
            session.mark(*arguments)
    with pytest.raises(ValueError, match="has the id"):
        session.mark([10**6], by="id")
    with pytest.raises(ValueError, match="by must be"):
        session.mark([3], by="name")
    with pytest.raises(ValueError, match="is not marked"):
        session.unmark([3])
    assert (session.relevant_.tolist(), session.irrelevant_.tolist()) == ([1], [2])
    np.testing.assert_array_equal(session.kneighbors(5)[0], before[0])
    with pytest.raises(ValueError, match=f"the gallery holds {n - 2} samples that may be shown"):
        session.kneighbors(n)
    for k in (0, 1.5, "3"):
        with pytest.raises(ValueError, match="n_neighbors must be"):
            session.kneighbors(k)


def test_a_gallery_that_changes(data):
    retriever, Q, _ = data
    session = RetrievalSession(retriever, Q[:1]).mark([1, 4], [6])
    retriever.set_params(assignment="hard").kneighbors(Q)  # sorts the same samples anew
    session.kneighbors(3)
    retriever.remove_from_gallery([0])
    for call in (session.kneighbors, session.retrieve, lambda: session.mark([8]), session.propose):
        with pytest.raises(RuntimeError, match="The gallery changed"):
            call()
    moved = session.moved_to(retriever)
    assert (moved.relevant_.tolist(), moved.irrelevant_.tolist()) == ([0, 3], [5])
    assert 0 not in moved.kneighbors(9, False)
    retriever.remove_from_gallery([4])
    with pytest.raises(ValueError, match="id 4"):
        moved.moved_to(retriever)
    other = HierarchicalRetriever(TREE).fit(
        np.eye(4, 3).repeat(2, axis=0), ["ant", "ant", "bee", "bee", "cow", "cow", "dog", "dog"]
    )
    with pytest.raises(ValueError, match="features"):
        session.moved_to(other)


def test_bad_sessions(data):
    retriever, Q, y = data
    for arguments, error, message in [
        ((retriever, Q[:, 1:]), ValueError, "features"),
        ((retriever, Q[:0]), ValueError, "0 sample"),
        ((retriever, Q * np.nan), ValueError, "NaN"),
        ((HierarchicalRetriever(), Q), NotFittedError, "not fitted"),
        (
            (HammingRetriever().fit((Q > 0).astype(np.uint8)[[0, 1, 2, 3]], list("aabb")), Q),
            TypeError,
            "has codes",
        ),
    ]:
        with pytest.raises(error, match=message):
            RetrievalSession(*arguments)
    with pytest.raises(ValueError, match="error_rate"):
        RetrievalSession(retriever, Q[:1], error_rate=0.5)
    with pytest.raises(TypeError, match="method must be"):
        RetrievalSession(retriever, Q[:1], method="rocchio")
    X = retriever.searcher().gallery.features
    several = HierarchicalRetriever([HierarchyBuilder(), LinkageHierarchyBuilder()]).fit(X, y)
    session = RetrievalSession(several, Q[:1]).mark([1], [2])
    assert isinstance(session.method, Rocchio)
    with pytest.raises(ValueError, match="needs one tree"):
        RetrievalSession(several, Q[:1], method=NodePosterior())
    with pytest.raises(TypeError, match="method must be"):
        RetrievalSession(retriever, Q[:1], method=NodePosterior)
    with pytest.raises(TypeError, match="HierarchicalRetriever is needed"):
        RetrievalSession(NearestNeighbors().fit(X), Q[:1])
    with pytest.raises(TypeError, match="HierarchicalRetriever is needed"):
        RetrievalSession(make_pipeline(NearestNeighbors()).fit(X), Q[:1])
    for params in ({"beta": np.nan}, {"gamma": -1}, {"least_alpha": np.inf}, {"mark_weight": "all"}):
        with pytest.raises(ValueError, match="must be a finite number"):
            NodePosterior(**params)
    with pytest.raises(ValueError, match="no tree"):
        session.nodes()
    rocchio = RetrievalSession(several, Q[:1], method=Rocchio()).mark([1], [2])
    assert rocchio.kneighbors(3)[1].shape == (1, 3)


@pytest.mark.parametrize("assignment", ["soft", "hard"])
def test_infinite_and_zero_weights(data, assignment):
    retriever, Q, _ = data
    retriever.set_params(alpha=np.inf, assignment=assignment)
    distances, indices = RetrievalSession(retriever, Q[:1]).mark([5, 6], [7]).kneighbors(9)
    assert np.isfinite(distances).all()
    assert indices[0].tolist() != list(range(9))
    retriever.set_params(alpha=0)
    session = RetrievalSession(retriever, Q[:1], method=NodePosterior(mark_weight=0)).mark([5, 6], [7])
    cosine = RetrievalSession(retriever, Q[:1], method=Rocchio(uses_leaves=False)).mark([5, 6], [7])
    np.testing.assert_array_equal(session.kneighbors(9)[1], cosine.kneighbors(9)[1])


def test_classes_that_were_not_there_at_fit(rng):
    """Correct marks must not make rankings of unknown classes worse."""
    means = 3 * rng.normal(size=(12, 24))
    y = np.arange(600) % 12
    X = means[y] + 2.5 * rng.normal(size=(600, 24))
    seen = np.arange(600) < 300
    known = y % 2 == 0
    retriever = HierarchicalRetriever().fit(X[seen & known], y[seen & known]).set_gallery(X[~seen])
    target, scores = y[~seen], []
    for q in np.flatnonzero(target % 2 == 1)[:20]:
        session, found = RetrievalSession(retriever, X[~seen][[q]]), []
        for _ in range(5):
            shown = session.kneighbors(5, False)[0]
            session.mark(shown[target[shown] == target[q]], shown[target[shown] != target[q]])
            ranked = session.kneighbors(20, False, show_marked=True)[0]
            found.append(np.mean(target[ranked] == target[q]))
        scores.append(found)
    first, last = np.mean(scores, axis=0)[[0, -1]]
    assert last > first
    assert last > 0.8


def test_conditions_in_sessions(data):
    retriever, Q, names = data
    n = len(names)
    retriever.set_metadata({"price": np.arange(n)})
    mask = np.arange(n) < n // 2
    session = RetrievalSession(retriever, Q[:1])
    for marks in ((), ([1], [n - 1])):
        session.mark(*marks)
        text = f"price < {n // 2}"
        found = session.kneighbors(5, where=text)
        expected = session.kneighbors(5, within=mask)
        np.testing.assert_array_equal(found[1], expected[1])
        np.testing.assert_array_equal(found[0], expected[0])
        assert session.retrieve(5, where=text)["position"].tolist() == found[1][0].tolist()
        both = session.kneighbors(3, False, where=text, within=["insect"])
        np.testing.assert_array_equal(both, session.kneighbors(3, False, where=text, within=["ant", "bee"]))
        assert (session.propose(3, where=text) < n // 2).all()
    assert (
        retriever.searcher().gallery.condition(f"price < {n // 2}").mask.sum() == n // 2
    )  # marks changed nothing
