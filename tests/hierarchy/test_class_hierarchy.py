import copy
import pickle
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sklearn_hierret import ClassHierarchy, CombinedHierarchy
from tests.reference import hierarchy as reference
from tests.strategies import generators, trees

# barz2019, Fig. 2a: animal (mammal (dog, cat), fish (trout)), plant (rose).
ZOO = [
    ("thing", "animal"),
    ("thing", "plant"),
    ("animal", "mammal"),
    ("animal", "trout"),
    ("mammal", "dog"),
    ("mammal", "cat"),
    ("plant", "rose"),
]


@pytest.fixture
def zoo():
    return ClassHierarchy.from_parent_child(ZOO)


def test_figure_2a_of_barz2019(zoo):
    assert zoo.classes.tolist() == ["cat", "dog", "rose", "trout"]
    assert zoo.height == 3
    assert zoo.distance("dog", "cat") == pytest.approx(1 / 3)
    assert zoo.distance("dog", "trout") == pytest.approx(2 / 3)
    assert zoo.distance("dog", "rose") == 1
    assert zoo.node_names[zoo.lca("cat", "trout")] == "animal"
    assert zoo.members(zoo.lca("cat", "trout")).tolist() == ["cat", "dog", "trout"]
    assert zoo.similarity_matrix("wup")[0, 1] == pytest.approx(2 * 3 / (4 + 4))


@given(trees())
def test_numbering(tree):
    assert np.all(tree.parents[:-1] > np.arange(tree.n_nodes - 1))
    assert tree.parents[-1] == -1
    assert tree.root == tree.n_nodes - 1
    assert np.all(tree.heights[:-1] <= tree.heights[tree.parents[:-1]])
    assert np.all(tree.heights[: tree.n_classes] == 0)
    assert tree.members(tree.root).tolist() == tree.classes.tolist()


@given(trees())
def test_distances_equal_climbing(tree):
    n = tree.n_classes
    naive = [[reference.distance(tree, i, j) for j in range(n)] for i in range(n)]
    np.testing.assert_array_equal(tree.distance_matrix(), naive)
    np.testing.assert_array_equal(tree.distance(tree.classes[:, None], tree.classes[None, :]), naive)
    np.testing.assert_allclose(tree.similarity_matrix(), 1 - np.array(naive))
    wup = [[reference.wu_palmer(tree, i, j) for j in range(n)] for i in range(n)]
    np.testing.assert_allclose(tree.similarity_matrix("wup"), wup)


@given(trees())
def test_distance_is_an_ultrametric(tree):
    D = tree.distance_matrix()
    np.testing.assert_array_equal(D, D.T)
    np.testing.assert_array_equal(np.diag(D), 0)
    assert D.min() >= 0
    assert D.max() <= 1
    # d(a, c) <= max(d(a, b), d(b, c))
    assert np.all(D[:, None, :] <= np.maximum(D[:, :, None], D[None, :, :]))
    # 1 - D_H is positive semidefinite: class embeddings exist (barz2019, section 3.2)
    assert np.linalg.eigvalsh(1 - D).min() > -1e-12


@given(trees(), st.data())
def test_restrict_keeps_distances(tree, data):
    kept = data.draw(st.lists(st.sampled_from(tree.classes.tolist()), min_size=1, unique=True))
    part = tree.restrict(kept)
    assert part.classes.tolist() == kept
    assert part.height == tree.height
    expected = tree.distance(np.array(kept)[:, None], np.array(kept)[None, :])
    np.testing.assert_array_equal(part.distance_matrix(), expected)


@given(trees(), st.floats(0, 3))
def test_cut_joins_what_is_close(tree, height):
    clusters = tree.cut(height)
    lca_height = tree.heights[tree.lca(tree.classes[:, None], tree.classes[None, :])]
    same = clusters[:, None] == clusters[None, :]
    np.testing.assert_array_equal(same, lca_height <= height)
    _, first = np.unique(clusters, return_index=True)
    assert np.all(np.diff(first) > 0)


@given(trees(), st.integers(1, 14))
def test_cut_into_clusters_is_the_finest_allowed(tree, n_clusters):
    counts = [len(np.unique(tree.cut(h))) for h in [-1.0, *np.unique(tree.heights)]]
    allowed = max(c for c in counts if c <= n_clusters)
    assert len(np.unique(tree.cut(n_clusters=n_clusters))) == allowed


@given(trees(), st.integers(0, 1000))
def test_permute_keeps_the_shape_only(tree, seed):
    control = tree.permute(seed)
    assert control.classes.tolist() == tree.classes.tolist()
    assert np.sort(control.distance_matrix(), axis=None).tolist() == pytest.approx(
        np.sort(tree.distance_matrix(), axis=None).tolist()
    )
    assert control == tree.permute(seed)


def test_permute_moves_classes():
    tree = ClassHierarchy.from_newick("((a,b),(c,d),(e,f));")
    assert tree.permute(np.random.default_rng(0)).n_nodes == tree.n_nodes
    assert any(tree.permute(seed) != tree for seed in range(5))


@given(trees())
def test_is_a_value(tree):
    for other in (pickle.loads(pickle.dumps(tree)), copy.deepcopy(tree), copy.copy(tree)):
        assert other == tree
        assert hash(other) == hash(tree)
        assert other.node_names == tree.node_names
        assert not other.parents.flags.writeable
    flat = ClassHierarchy.flat(tree.classes)
    assert (flat == tree) == (tree.n_nodes == tree.n_classes + 1 and tree.height == 1)
    assert tree != "tree"


def test_is_immutable(zoo):
    with pytest.raises(ValueError, match="read-only"):
        zoo.parents[0] = 1
    with pytest.raises(AttributeError):
        zoo.classes = []
    given_classes = np.array(["a", "b"])
    tree = ClassHierarchy.flat(given_classes)
    given_classes[0] = "z"
    assert tree.classes.tolist() == ["a", "b"]


def test_negative_zero_is_zero():
    one = ClassHierarchy(["a", "b"], [2, 2, -1], [0.0, 0.0, 1.0])
    other = ClassHierarchy(["a", "b"], [2, 2, -1], [-0.0, 0.0, 1.0])
    assert one == other
    assert hash(one) == hash(other)


def test_flat():
    D = ClassHierarchy.flat(["b", "a", "c"]).distance_matrix()
    np.testing.assert_array_equal(D, 1 - np.eye(3))


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((["a", "b"], [2, 2]), "root above its classes|parent -1"),
        ((["a", "b"], [2, 2, 2]), "last node is the root"),
        ((["a", "b"], [1, 2, -1]), "Node 0 has parent 1"),
        ((["a", "b"], [3, 3, 3, -1]), "Inner node 2 has no child"),
        ((["a", "a"], [2, 2, -1]), "Class 'a' occurs twice"),
        ((["a", "b"], [2, 2, -1], [0, 0]), "heights of shape"),
        ((["a", "b"], [2, 2, -1], [0, 1, 1]), "Leaves have height 0"),
        ((["a", "b"], [2, 3, 3, -1], [0, 0, 2, 1]), "decrease from node 2"),
        ((["a", "b"], [2, 2, -1], [0, 0, np.inf]), "finite"),
        (([["a"], ["b"]], [2, 2, -1]), "one-dimensional|hashable|unhashable"),
        ((["a", "b"], [2, 2, -1], None, ["x"]), "3 nodes, but 1 node_names"),
    ],
)
def test_bad_trees(args, message):
    with pytest.raises((ValueError, TypeError), match=message):
        ClassHierarchy(*args)


def test_unknown_labels_are_named(zoo):
    with pytest.raises(ValueError, match="missing in the hierarchy: 'unicorn'"):
        zoo.distance("dog", ["cat", "unicorn"])
    with pytest.raises(ValueError, match=r"\(20 in all\)"):
        zoo.index(np.arange(20))
    with pytest.raises(ValueError, match="kind must be"):
        zoo.similarity_matrix("jaccard")
    with pytest.raises(ValueError, match="either height or n_clusters"):
        zoo.cut()
    for n_clusters in (0, 1.5):
        with pytest.raises(ValueError, match="at least 1"):
            zoo.cut(n_clusters=n_clusters)
    with pytest.raises(ValueError, match="NaN"):
        zoo.cut(height=np.nan)
    with pytest.raises(ValueError, match="node must be in"):
        zoo.members(99)


def test_labels_of_any_kind():
    for labels in ([True, False], [1.5, 2.5], [10, -3], ["x", "y"], np.array(["x", "y"], dtype=object)):
        tree = ClassHierarchy.flat(labels)
        assert tree.distance(labels[0], labels[1]) == 1
        assert tree.distance(labels[0], labels[0]) == 0
        assert isinstance(tree.distance(labels[0], labels[1]), float)
    mixed = ClassHierarchy.flat([1, "one", (1, 2)])
    assert mixed.distance(1, "one") == 1
    confusable = ClassHierarchy.flat([1, "1"])
    assert confusable.distance([1, "1"], ["1", "1"]).tolist() == [1, 0]
    with pytest.raises(ValueError, match="Its labels are text, these are not text"):
        ClassHierarchy.flat(["0", "1"]).distance(0, 1)


@given(trees(), generators())
def test_expected_distance_is_the_product_with_all_distances(tree, rng):
    proba = rng.dirichlet(np.ones(tree.n_classes), size=5)
    expected = tree.expected_distance(proba)
    np.testing.assert_allclose(expected, proba @ tree.distance_matrix(), atol=1e-12)
    for i in range(5):
        np.testing.assert_array_equal(tree.expected_distance(proba[i : i + 1])[0], expected[i])
    with pytest.raises(ValueError, match="one a class"):
        tree.expected_distance(proba[:, 1:])


@given(trees(), generators(), st.sampled_from([0.51, 0.7, 0.9, 1.0]))
def test_backing_off_is_to_the_deepest_node_that_holds_enough(tree, rng, enough):
    proba = rng.dirichlet(np.full(tree.n_classes, 0.3), size=10) * rng.choice([1, 0.95, 0.3], (10, 1))
    proba[0] = np.eye(tree.n_classes)[0]
    nodes = tree.back_off(proba, enough)
    for p, found in zip(proba, nodes, strict=True):
        held = [p[np.isin(tree.classes, tree.members(node))].sum() for node in range(tree.n_nodes)]
        sure = [node for node in range(tree.n_nodes - 1) if held[node] >= enough - 1e-12]
        expected = min(sure, key=lambda node: len(tree.members(node)), default=tree.root)
        assert tree.members(found).tolist() == tree.members(expected).tolist()
        below = tree.is_below(tree.classes, np.full(tree.n_classes, found))
        assert tree.classes[below].tolist() == tree.members(found).tolist()
    assert nodes[0] == 0 or tree.n_classes == 1


def test_backing_off_takes_no_bad_input():
    tree = ClassHierarchy.flat(["a", "b"])
    for bad in (0.5, 1.1, np.nan, True, "0.9", None):
        with pytest.raises(ValueError, match=r"must be above 0\.5 and at most 1"):
            tree.back_off([[0.5, 0.5]], bad)
    with pytest.raises(ValueError, match="one a class"):
        tree.back_off([[0.5, 0.5, 0.0]], 0.9)


@given(trees(), generators(), st.booleans())
def test_expected_distance_is_the_same_in_every_batch(tree, rng, is_combined):
    """Bit for bit: few samples are computed with number by number, many in arrays."""
    if is_combined:
        tree = CombinedHierarchy([tree, tree.permute(int(rng.integers(0, 100)))], [0.3, 0.7])
    proba = rng.dirichlet(np.full(tree.n_classes, 0.3), size=40) * rng.random((40, 1))
    proba[::5] = np.eye(tree.n_classes)[rng.integers(0, tree.n_classes, 8)]
    proba[1::5] = 0
    whole = tree.expected_distance(proba)
    np.testing.assert_allclose(whole, proba @ tree.distance_matrix(), atol=1e-12)
    for size in (1, 2, 7, 8, 9):
        for start in range(0, 40, size):
            some = slice(start, start + size)
            np.testing.assert_array_equal(tree.expected_distance(proba[some]), whole[some])
    assert tree.expected_distance(proba[:0]).shape == (0, tree.n_classes)


@given(trees(), st.data())
def test_distances_from_some_classes_are_rows_of_all_distances(tree, data):
    """Bit for bit, so that ties are ties."""
    trees_of_it = [tree, tree.with_stem(0.25), tree.permute(1), ClassHierarchy.flat(tree.classes)]
    positions = np.array(data.draw(st.lists(st.integers(0, tree.n_classes - 1), max_size=20)), dtype=np.intp)
    for hierarchy in (*trees_of_it, CombinedHierarchy(trees_of_it[::2], [0.3, 0.7])):
        found = hierarchy.distances_from(positions)
        assert found.shape == (len(positions), tree.n_classes)
        np.testing.assert_array_equal(found, hierarchy.distance_matrix()[positions])
        assert np.isin(found, hierarchy.distinct_distances()).all()


@given(trees(), st.floats(0, 1))
def test_stem(tree, stem):
    U = tree.distance_matrix()
    expected = np.where(np.eye(tree.n_classes), 0, stem + (1 - stem) * U)
    np.testing.assert_allclose(tree.with_stem(stem).distance_matrix(), expected, atol=1e-12)
    combined = CombinedHierarchy([tree, ClassHierarchy.flat(tree.classes)])
    expected = np.where(np.eye(tree.n_classes), 0, stem + (1 - stem) * combined.distance_matrix())
    np.testing.assert_allclose(combined.with_stem(stem).distance_matrix(), expected, atol=1e-12)
    assert set(np.unique(U)) <= set(tree.distinct_distances())
    np.testing.assert_allclose(combined.distinct_distances(), np.unique(combined.distance_matrix()))


def test_notebooks_show_the_tree():
    tree = ClassHierarchy.from_outline(
        "all\n  <b>beasts</b>\n    cat & dog\n    <script>\n  plants\n    moss\n"
    )
    text = tree._repr_html_()
    root = ElementTree.fromstring(text)  # well-formed, so nothing is left unescaped
    names = ["".join(item.itertext()).strip() for item in root.iter("li") if item.find("details") is None]
    assert sorted(names) == ["<script>", "cat & dog", "moss"]
    inner = [summary.text.rpartition(" (")[0] for summary in root.iter("summary")]
    assert sorted(inner) == ["<b>beasts</b>", "all", "plants"]
    assert "3 classes, 6 nodes" in root.find("b").text


@given(trees())
def test_html_has_every_node(tree):
    root = ElementTree.fromstring(tree._repr_html_())
    assert len(list(root.iter("li"))) == tree.n_nodes
    assert len(list(root.iter("details"))) == tree.n_nodes - tree.n_classes


def test_html_of_a_large_tree_is_small():
    flat = ClassHierarchy.flat([f"class {i}" for i in range(10_000)])._repr_html_()
    assert "… and 9975 more" in flat
    chain = ClassHierarchy.from_newick("(" * 5000 + "x" + "".join(f",y{i})" for i in range(5000)) + ";")
    for text in (flat, chain._repr_html_()):
        assert len(text) < 100_000
        assert text.count("<details") <= 500


def test_titles_say_what_is_below():
    levels = [[0, 1, 2, 3, 4], [0, 0, 0, 1, 1], [0, 0, 0, 0, 0]]
    tree = ClassHierarchy.from_levels(levels, [10, 20, 30, 40, 50])
    assert tree.node_titles() == ("10", "20", "30", "40", "50", "10, 20 + 1", "40, 50", "all classes")
    names = {20: "bee", "level 1, cluster of 40": "fish"}
    titles = tree.node_titles(names, class_weights=[1, 5, 9, 0, 0])
    assert titles[5:] == ("30, bee + 1", "fish", "all classes")
    given = ClassHierarchy.from_outline("animals\n  ant\n  bee\n")
    assert given.node_titles() == ("ant", "bee", "animals")
    with pytest.raises(ValueError, match="class_weights"):
        tree.node_titles(class_weights=[1, 2])
