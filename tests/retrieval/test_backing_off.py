"""Queries that no class is sure of: the node that is, and how often it is right."""

import numpy as np
import pytest
from sklearn.naive_bayes import GaussianNB
from sklearn.svm import LinearSVC

from sklearn_hierret import (
    ClassHierarchy,
    HammingRetriever,
    HierarchicalRetriever,
    LinkageHierarchyBuilder,
    RetrievalDisplay,
)
from tests.strategies import blobs

TREE = ClassHierarchy.from_newick("((f,(a,b)ab)abf,(c,(d,e)de)cde)all;")


@pytest.fixture
def data(rng):
    X, y = blobs(rng, n_classes=6, spread=0.8, n_per_class=(60, 61))
    names = np.array(list("abcdef"))[y]
    return X[::2], names[::2], X[1::2], names[1::2]


def naive_node(tree, classes, proba, enough):
    """Number of the deepest node, by a walk from the root."""
    mass = dict(zip(classes, proba, strict=True))
    node = tree.root
    while True:
        children = np.flatnonzero(tree.parents == node)
        sure = [c for c in children if sum(mass[m] for m in tree.members(c)) >= enough - 1e-9]
        if not sure:
            return node
        node = sure[0]


@pytest.mark.parametrize("assignment", ["soft", "hard"])
@pytest.mark.parametrize("hierarchy", [TREE, LinkageHierarchyBuilder()])
def test_nodes_are_the_deepest_that_hold_enough(data, hierarchy, assignment):
    X, y, Q, _ = data
    retriever = HierarchicalRetriever(hierarchy, assignment=assignment).fit(X, y)
    tree, model = retriever.hierarchy_, retriever.class_model_
    for enough in (0.6, 0.9):
        nodes = retriever.leaves(Q, min_probability=enough)
        expected = [naive_node(tree, model.classes_, p, enough) for p in model.predict_proba(Q)]
        assert nodes.tolist() == expected
        assert 0 < np.mean(nodes >= tree.n_classes) < 1


def test_all_probabilities_count(rng):
    """Not only the 16 largest, of which leaves are made: many classes may share what is sure."""
    centres = np.repeat(4 * rng.normal(size=(3, 30)), 30, axis=0) + 0.3 * rng.normal(size=(90, 30))
    y = np.tile(np.arange(90), 14)
    X = centres[y] + rng.normal(size=(len(y), 30))
    tree = ClassHierarchy.from_levels([np.arange(90), np.arange(90) // 30, np.zeros(90, dtype=int)])
    retriever = HierarchicalRetriever(tree, novelty=False).fit(X[:630], y[:630])
    nodes = retriever.leaves(X[630:700], min_probability=0.95)
    proba = retriever.class_model_.predict_proba(X[630:700])
    assert nodes.tolist() == [naive_node(tree, np.arange(90), p, 0.95) for p in proba]
    assert np.mean(nodes == tree.root) < 0.05
    assert np.mean(np.sort(proba)[:, -16:].sum(axis=1) < 0.95) > 0.3
    table = retriever.level_accuracy(0.95)
    assert table.loc["root", "share"] < 0.05


def test_accuracy_is_that_of_held_out_samples(data):
    X, y, Q, t = data
    retriever = HierarchicalRetriever(TREE).fit(X, y)
    proba = retriever.class_model_.held_out_proba(X)
    nodes = np.array([naive_node(TREE, list("abcdef"), p, 0.8) for p in proba])
    height = TREE.heights[nodes] / TREE.height
    is_right = np.array([label in TREE.members(node) for node, label in zip(nodes, y, strict=True)])
    levels = {
        "class": height == 0,
        "up to 0.25": (height > 0) & (height <= 0.25),
        "up to 0.5": (height > 0.25) & (height <= 0.5),
        "up to 0.75": (height > 0.5) & (height <= 0.75),
        "below the root": (height > 0.75) & (nodes != TREE.root),
        "root": nodes == TREE.root,
    }
    retriever.set_gallery(Q, t)  # accuracies stay those of the fit
    table = retriever.level_accuracy(0.8)
    assert table.index.tolist() == list(levels)
    for level, mine in levels.items():
        assert table.loc[level, "n_samples"] == mine.sum()
        assert table.loc[level, "share"] == mine.mean()
        if mine.any():
            assert table.loc[level, "accuracy"] == is_right[mine].mean()
        else:
            assert np.isnan(table.loc[level, "accuracy"])
    assert table.loc["class", "accuracy"] > 0.75
    assert table.loc["root", "n_samples"] == 0 or table.loc["root", "accuracy"] == 1
    found = retriever.retrieve(Q, 2, min_probability=0.8)
    nodes = retriever.leaves(Q, min_probability=0.8)
    assert found["query_node"].tolist() == [TREE.node_names[node] for node in np.repeat(nodes, 2)]
    of_class = found["query_node"].isin(list("abcdef"))
    assert (found["query_node_accuracy"][of_class] == table.loc["class", "accuracy"]).all()
    # Where the class may be unknown, that is as likely right as it is known.
    opened = retriever.set_gallery(np.concatenate([Q, -Q])).retrieve(Q, 2, min_probability=0.8)
    known = opened["query_known"]
    assert known.max() < 1
    of_class = opened["query_node"].isin(list("abcdef"))
    expected = known[of_class] * table.loc["class", "accuracy"]
    np.testing.assert_allclose(opened["query_node_accuracy"][of_class], expected)
    at_root = opened["query_node"] == "all"
    assert (opened["query_node_accuracy"][at_root].isin([1.0]) | (table.loc["root", "n_samples"] == 0)).all()
    assert "query_node" not in retriever.retrieve(Q, 2)


def test_what_is_not_known_backs_off_to_the_root(data):
    X, y, Q, t = data
    known = np.isin(y, list("abcf"))
    retriever = HierarchicalRetriever(TREE).fit(X[known], y[known])
    for gallery in ((Q, t), (Q,)):
        retriever.set_gallery(*gallery)
        k = retriever.retrieve(Q, 1)["query_known"].to_numpy()
        nodes = retriever.leaves(Q, min_probability=0.7)
        assert (nodes[k < 0.7] == TREE.root).all()
        assert np.mean(nodes[np.isin(t, ["d", "e"])] == TREE.root) > np.mean(nodes == TREE.root)
    # Where all classes are known to be known, as without novelty.
    closed = retriever.set_gallery(X[known], y[known]).leaves(Q, min_probability=0.7)
    np.testing.assert_array_equal(retriever.set_params(novelty=False).leaves(Q, min_probability=0.7), closed)


def test_any_class_model_and_codes(data):
    X, y, Q, _ = data
    retriever = HierarchicalRetriever(TREE, alpha=1.0, class_model=GaussianNB()).fit(X, y)
    expected = [naive_node(TREE, list("abcdef"), p, 0.9) for p in retriever.class_model_.predict_proba(Q)]
    assert retriever.leaves(Q, min_probability=0.9).tolist() == expected
    with pytest.raises(ValueError, match="level_accuracy needs held-out samples"):
        retriever.level_accuracy(0.9)
    assert retriever.retrieve(Q, 1, min_probability=0.9)["query_node_accuracy"].isna().all()
    chosen = HierarchicalRetriever(TREE, class_model=GaussianNB()).fit(X, y)
    assert chosen.level_accuracy(0.9)["n_samples"].sum() == len(X)
    codes = np.packbits(np.median(X, axis=0) < X, axis=1, bitorder="little")
    hamming = HammingRetriever(TREE, alpha=1.0).fit(codes, y)
    assert hamming.leaves(codes, min_probability=0.9).max() <= TREE.root
    with pytest.raises(ValueError, match="There are no leaves"):
        HammingRetriever().fit(codes).leaves(codes, min_probability=0.9)


def test_bad_input(data):
    X, y, Q, _ = data
    retriever = HierarchicalRetriever(TREE).fit(X, y)
    with pytest.raises(ValueError, match="min_probability needs X"):
        retriever.leaves(min_probability=0.9)
    with pytest.raises(ValueError, match="LinearSVC has no predict_proba"):
        HierarchicalRetriever(TREE, alpha=1.0, assignment="hard", class_model=LinearSVC()).fit(X, y).leaves(
            Q, min_probability=0.9
        )
    emptied = HierarchicalRetriever(TREE).fit(X, y)
    nodes = emptied.leaves(Q, min_probability=0.9)
    emptied.remove_from_gallery(emptied.gallery_ids_)
    np.testing.assert_array_equal(emptied.leaves(Q, min_probability=0.9), nodes)
    for call in (
        lambda: retriever.leaves(Q, min_probability=0.5),
        lambda: retriever.retrieve(Q, 1, min_probability=2),
        lambda: retriever.level_accuracy(np.nan),
    ):
        with pytest.raises(ValueError, match="min_probability must be above"):
            call()
    combined = HierarchicalRetriever([TREE, LinkageHierarchyBuilder()]).fit(X, y)
    with pytest.raises(TypeError, match=r"CombinedHierarchyBuilder\(linkage="):
        combined.leaves(Q, min_probability=0.9)


def test_is_drawn(data):
    X, y, Q, t = data
    images = np.zeros((len(X), 4, 4))
    for hierarchy in (TREE, LinkageHierarchyBuilder()):
        retriever = HierarchicalRetriever(hierarchy).fit(X, y)
        tree, nodes = retriever.hierarchy_, retriever.leaves(Q, min_probability=0.9)
        some = [*np.flatnonzero(nodes < 6)[:3], *np.flatnonzero((nodes >= 6) & (nodes < tree.root))[:3]]
        some += [*np.flatnonzero(nodes == tree.root)[:1]]
        display = RetrievalDisplay.from_estimator(
            retriever, Q[some], t[some], query_images=images[some], gallery_images=images, min_probability=0.9
        )
        assert {text.get_text() for text in display.ax_.texts} >= set(display.notes)
        for note, node in zip(display.notes, nodes[some], strict=True):
            members = tree.members(node).tolist()
            text = " or ".join(members) if len(members) < 4 else f"one of {len(members)} classes"
            if hierarchy is TREE:
                text = TREE.node_names[node]
            assert note == "unsure" if node == tree.root else note.startswith(f"{text} (")
            assert note == "unsure" or note.endswith(" right)")
