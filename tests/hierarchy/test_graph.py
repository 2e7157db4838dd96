import io

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sklearn_hierret import ClassGraph, ClassHierarchy, average_hierarchical_precision_at_k
from tests.reference.hierarchy import graph_similarity
from tests.strategies import generators, trees

GOLF = [
    ("thing", "vehicle"),
    ("thing", "equipment"),
    ("equipment", "golf equipment"),
    ("vehicle", "car"),
    ("vehicle", "golf cart"),
    ("golf equipment", "golf cart"),
    ("golf equipment", "golf ball"),
]


@st.composite
def graphs(draw):
    """Random graphs with one root, all of whose childless nodes are classes."""
    rng = draw(generators())
    n = draw(st.integers(3, 12))
    return {
        node: rng.choice(node, size=min(node, int(rng.integers(1, 4))), replace=False).tolist()
        for node in range(1, n)
    }


@given(graphs(), st.sampled_from(["longest", "shortest"]))
def test_similarities_equal_those_of_all_paths(parents_of, depth):
    graph = ClassGraph(parents_of, depth=depth)
    for kind in ("lca", "wup"):
        table = graph.similarity_matrix(kind)
        for i, a in enumerate(graph.classes.tolist()):
            for j, b in enumerate(graph.classes.tolist()):
                assert table[i, j] == pytest.approx(graph_similarity(parents_of, a, b, depth, kind))


@given(trees())
def test_a_tree_is_a_graph(tree):
    tree = ClassHierarchy(tree.classes, tree.parents)
    names = [*tree.classes.tolist(), *(f"inner {i}" for i in range(tree.n_nodes))]
    parents_of = {names[n]: [names[p]] for n, p in enumerate(tree.parents[:-1].tolist())}
    graph = ClassGraph(parents_of, tree.classes)
    for kind in ("lca", "wup", "levels"):
        np.testing.assert_allclose(graph.similarity_matrix(kind), tree.similarity_matrix(kind), atol=1e-15)
    np.testing.assert_array_equal(graph.to_tree().distance_matrix(), tree.distance_matrix())


def test_golf_carts_are_cars_and_golf_equipment():
    graph = ClassGraph.from_parent_child(GOLF)
    assert graph.classes.tolist() == ["car", "golf ball", "golf cart"]
    assert graph.height == 3
    assert graph.distance("golf cart", ["car", "golf ball"]) == pytest.approx([1 / 3, 1 / 3])
    assert graph.distance("car", "golf ball") == 1.0
    tree = graph.to_tree()
    assert set(tree.classes) == set(graph.classes)
    scores = average_hierarchical_precision_at_k(
        ["golf cart"], [["golf ball", "car"]], graph, y_gallery=["car", "golf ball"]
    )
    assert scores.tolist() == [1.0]
    from_networkx = ClassGraph.from_networkx(nx.DiGraph([(c, p) for p, c in GOLF]), is_a=True)
    np.testing.assert_array_equal(from_networkx.distance_matrix(), graph.distance_matrix())


def test_heights_of_classes_or_of_the_whole_graph():
    edges = [*GOLF, ("car", "racing car"), ("racing car", "old racing car")]
    classes = ["car", "golf ball", "golf cart"]
    own = ClassGraph.from_parent_child(edges, classes=classes)
    assert own.distance("golf cart", "car") == pytest.approx(2 / 3)  # car has a leaf of its own below it
    whole = ClassGraph.from_parent_child(edges, classes=classes, heights="graph")
    assert whole.height == 4
    assert whole.distance("golf cart", "car") == pytest.approx(3 / 4)
    assert whole.similarity_matrix().diagonal().tolist() == [1, 1, 1]


def test_depth_decides_the_lowest_common_subsumer():
    # a and b meet in x (2 or 4 steps from the root) and in y (3 steps).
    edges = "r x\nr p\np q\nq x\nr s\ns t\nt y\nx a\nx b\ny a\ny b\na a1\n"
    graphs = {
        depth: ClassGraph.from_parent_child(io.StringIO(edges), classes=["a1", "b"], depth=depth)
        for depth in ("longest", "shortest")
    }
    wup = {depth: graph.similarity_matrix("wup")[0, 1] for depth, graph in graphs.items()}
    assert wup["longest"] == pytest.approx(2 * 4 / (2 * 4 + 3))
    assert wup["shortest"] == pytest.approx(2 * 4 / (2 * 4 + 3))
    assert graphs["longest"].similarity_matrix("levels")[0, 1] == 3


@pytest.mark.parametrize(
    ("edges", "params", "message"),
    [
        ([("a", "b"), ("b", "a"), ("b", "c")], {}, "cycle"),
        ([("r", "a"), ("s", "b")], {}, "2 roots"),
        (GOLF, {"classes": ["boat"]}, "no node: 'boat'"),
        (GOLF, {"depth": "mean"}, "depth must be"),
        (GOLF, {"heights": "mean"}, "heights must be"),
        ([], {}, "no edge found"),
    ],
)
def test_bad_graphs(edges, params, message):
    with pytest.raises(ValueError, match=message):
        ClassGraph.from_parent_child(edges, **params)


def test_things_that_are_no_graph():
    for wrong in ({"a": "root"}, [("r", "a")], None):
        with pytest.raises(TypeError, match="parents_of must map"):
            ClassGraph(wrong)
    with pytest.raises(ValueError, match="no edge"):
        ClassGraph({})
    with pytest.raises(TypeError, match="got NoneType"):
        ClassGraph.from_parent_child(None)


def test_bad_similarity_and_unknown_class():
    graph = ClassGraph.from_parent_child(GOLF)
    with pytest.raises(ValueError, match="kind must be"):
        graph.similarity_matrix("cosine")
    with pytest.raises(ValueError, match="missing in the hierarchy: 'boat'"):
        graph.distance("boat", "car")
    joined = ClassGraph.from_parent_child([("r", "a"), ("s", "b")], multiple_roots="join")
    assert joined.distance("a", "b") == 1
    assert joined.height == 2


@st.composite
def dags(draw):
    """Edges (parent, child) of a connected graph without cycles and with one root, 0."""
    n = draw(st.integers(2, 12))
    edges = []
    for child in range(1, n):
        above = draw(st.sets(st.integers(0, child - 1), min_size=1, max_size=3))
        edges += [(parent, child) for parent in sorted(above)]
    return draw(st.permutations(edges))


@given(dags(), st.booleans())
def test_a_tree_of_any_graph_is_made_of_its_paths(edges, from_networkx):
    graph = nx.DiGraph(edges)
    if from_networkx:
        tree = ClassHierarchy.from_networkx(graph, multiple_parents="tree")
    else:
        tree = ClassHierarchy.from_parent_child(edges, multiple_parents="tree")
    assert tree.classes.tolist() == sorted(node for node in graph if graph.out_degree(node) == 0)
    names = tree.node_names
    for node, above in enumerate(tree.parents[:-1]):
        assert graph.has_edge(names[above], names[node])
    assert names[-1] == 0
    # Classes with one path from the root have it.
    for label in tree.classes.tolist():
        paths = list(nx.all_simple_paths(graph, 0, label))
        if len(paths) == 1:
            way, node = [label], int(tree.index([label])[0])
            while node != tree.root:
                node = int(tree.parents[node])
                way.append(names[node])
            assert way[::-1] == paths[0]


@given(dags(), st.data())
def test_a_cycle_is_found_wherever_it_is(edges, data):
    graph = nx.DiGraph(edges)
    below = [(a, b) for a in graph for b in nx.descendants(graph, a)]
    a, b = data.draw(st.sampled_from(below))
    graph.add_edge(b, a)
    for multiple_parents in ("tree", "error"):
        with pytest.raises(ValueError, match=r"cycle|second parent|occurs twice"):
            ClassHierarchy.from_parent_child(list(graph.edges), multiple_parents=multiple_parents)
    with pytest.raises(ValueError, match="cycle"):
        ClassHierarchy.from_parent_child(list(graph.edges), multiple_parents="tree")
