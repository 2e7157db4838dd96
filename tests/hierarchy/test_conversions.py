import io

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import cophenet, linkage
from scipy.spatial.distance import squareform

from sklearn_hierret import ClassHierarchy
from sklearn_hierret.hierarchy import levels_from_linkage
from tests.strategies import examples, generators, trees


def unnamed(tree):
    """The same tree with distinct node names of text, as files need them."""
    names = [str(label) for label in tree.classes.tolist()]
    inner = [f"inner {i}" for i in range(tree.n_nodes - tree.n_classes)]
    return ClassHierarchy(names, tree.parents, tree.heights, names + inner)


def same_tree(one, other):
    """Equal up to the numbers of inner nodes."""
    order = np.argsort(one.classes)
    np.testing.assert_array_equal(one.classes[order], np.sort(other.classes))
    other = other.restrict(one.classes)
    np.testing.assert_allclose(one.distance_matrix(), other.distance_matrix(), rtol=1e-12, atol=1e-12)
    return True


@given(trees())
def test_newick_round_trip(tree):
    back = ClassHierarchy.from_newick(unnamed(tree).to_newick())
    assert same_tree(unnamed(tree), back)
    assert sorted(map(str, back.node_names)) == sorted(map(str, unnamed(tree).node_names))
    np.testing.assert_allclose(np.sort(back.heights), np.sort(tree.heights))


@given(trees())
def test_parent_child_round_trip(tree):
    tree = unnamed(tree)
    expected = ClassHierarchy(tree.classes, tree.parents, None, tree.node_names)
    for is_a in (False, True):
        back = ClassHierarchy.from_parent_child(tree.to_parent_child(is_a=is_a), is_a=is_a)
        assert same_tree(expected, back)
        assert back.n_nodes == tree.n_nodes


def test_parent_child_file_round_trip(tmp_path):
    tree = ClassHierarchy.from_newick("((dog,cat)mammal,'sea trout')animal;")
    path = tmp_path / "tree.txt"
    tree.to_parent_child(path)
    assert ClassHierarchy.from_parent_child(path) == tree
    with path.open() as file:
        assert ClassHierarchy.from_parent_child(file) == tree


@given(trees())
def test_levels_round_trip(tree):
    heights = np.concatenate([[0], np.unique(tree.heights[tree.n_classes :])])
    back = ClassHierarchy.from_levels(tree.levels(), tree.classes, heights)
    np.testing.assert_array_equal(back.distance_matrix(), tree.distance_matrix())


@given(trees())
def test_linkage_round_trip(tree):
    if tree.n_classes < 2:
        return
    Z = tree.to_linkage()
    np.testing.assert_allclose(
        squareform(cophenet(Z)), tree.distance_matrix() * (tree.height or 1), atol=1e-12
    )
    back = ClassHierarchy.from_linkage(Z, tree.classes)
    scale = back.height / tree.height  # the root may be above the last merge
    np.testing.assert_allclose(back.distance_matrix() * scale, tree.distance_matrix(), atol=1e-12)


@given(trees())
@settings(max_examples=examples(30))
def test_frame_round_trip(tree):
    tree = unnamed(tree)
    expected = ClassHierarchy(tree.classes, tree.parents)
    assert same_tree(expected, ClassHierarchy.from_frame(tree.to_frame()))


def test_from_levels_by_hand():
    tree = ClassHierarchy.from_levels([[0, 1, 2, 3], [0, 0, 1, 1], [0, 0, 0, 0]], list("abcd"))
    assert tree.parents.tolist() == [4, 4, 5, 5, 6, 6, -1]
    assert tree.heights.tolist() == [0, 0, 0, 0, 1, 1, 2]
    late = ClassHierarchy.from_levels([[0, 1, 2], [0, 1, 2], [0, 0, 1], [0, 0, 0]])
    assert late.distance(0, 1) == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        ([[0, 1, 2]], "n_levels >= 2"),
        ([[0, 0, 1], [0, 0, 0]], "first row"),
        ([[0, 1, 2], [0, 0, 1]], "last row"),
        ([[0, 1, 2, 3], [0, 0, 1, 1], [0, 1, 1, 1], [0, 0, 0, 0]], "Row 2 of levels splits"),
    ],
)
def test_bad_levels(levels, message):
    with pytest.raises(ValueError, match=message):
        ClassHierarchy.from_levels(levels)


def test_from_linkage_is_scipys(rng):
    Z = linkage(rng.normal(size=(12, 3)), "average")
    tree = ClassHierarchy.from_linkage(Z)
    np.testing.assert_allclose(tree.distance_matrix() * tree.height, squareform(cophenet(Z)))
    limit = Z[6, 2]
    cut = ClassHierarchy.from_linkage(Z, max_height=limit)
    assert cut.height == Z[-1, 2]
    joined = squareform(cophenet(Z))
    np.testing.assert_allclose(cut.distance_matrix() * cut.height, np.where(joined > limit, Z[-1, 2], joined))


def test_linkage_with_inversions_is_refused():
    Z = [[0, 1, 1.0, 2], [2, 3, 0.5, 3]]
    with pytest.raises(ValueError, match="inversions"):
        ClassHierarchy.from_linkage(Z)
    for wrong in (
        [[0, 0, 1, 2], [1, 2, 2, 3]],
        [[0, -1, 1, 2]],
        [[0, 3, 1, 2]],
        [[0, 3, 1, 2], [1, 2, 2, 3]],
    ):
        with pytest.raises(ValueError, match="merge every cluster once"):
            ClassHierarchy.from_linkage(wrong)
    with pytest.raises(ValueError, match="NaN"):
        ClassHierarchy.from_linkage([[0, 1, 0.5, 2]], max_height=np.nan)
    with pytest.raises(ValueError, match="3 leaves, but 2 classes"):
        ClassHierarchy.from_linkage([[0, 1, 0.5, 2], [2, 3, 1.0, 3]], ["a", "b"])


def test_from_frame_by_hand():
    frame = pd.DataFrame(
        [
            ["fruit", "apple", "gala"],
            ["fruit", "apple", "fuji"],
            ["fruit", None, "kiwi"],
            ["milk", "oat", "x"],
        ],
        columns=["top", "coarse", "fine"],
    )
    tree = ClassHierarchy.from_frame(frame)
    assert tree.classes.tolist() == ["fuji", "gala", "kiwi", "x"]
    assert tree.height == 3
    assert tree.distance("gala", ["fuji", "kiwi", "x"]).tolist() == pytest.approx([1 / 3, 2 / 3, 1])
    # Equal names below different parents are different nodes.
    other = ClassHierarchy.from_frame(pd.DataFrame([["a", "other", 1], ["b", "other", 2]]))
    assert other.distance(1, 2) == 1
    with pytest.raises(ValueError, match="two different paths"):
        ClassHierarchy.from_frame(pd.DataFrame([["a", 1], ["b", 1]]))
    with pytest.raises(ValueError, match="no class in the last column"):
        ClassHierarchy.from_frame(pd.DataFrame([["a", "x"], ["b", None]]))


def test_things_that_are_no_tree():
    with pytest.raises(TypeError, match="Newick is a path, a text file or a text, got NoneType"):
        ClassHierarchy.from_newick(None)
    with pytest.raises(TypeError, match="DataFrame"):
        ClassHierarchy.from_frame("tree.csv")
    with pytest.raises(ValueError, match="at least one class"):
        ClassHierarchy.flat("ab").restrict([])


def test_newick_by_hand():
    tree = ClassHierarchy.from_newick(" ( (dog:1, 'o''cat':1)mammal:1.5 [a comment], trout:2.5)animal; ")
    assert tree.classes.tolist() == ["dog", "o'cat", "trout"]
    assert tree.heights.tolist() == [0, 0, 0, 1, 2.5]
    assert tree.distance("dog", "o'cat") == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("(a,b)", "ends before the tree"),
        ("((a,b);", "ends before the tree"),
        ("(a,b)); ", "without"),
        ("a;", "root above"),
        ("(a,a);", "'a' occurs twice"),
        ("(a,);", "every leaf needs a name"),
        ("(a,b):x;", "no edge length"),
        ("(a:-1,b:1);", "negative"),
        ("(a,b); c", "after ';'"),
        ("(a b,c);", "two names"),
        ("a(b,c);", "'\\(' after a node"),
        ("(a,b:);", "length is expected"),
        ("", "ends before the tree"),
        ("(a,b]);", "unexpected"),
    ],
)
def test_bad_newick(text, message):
    with pytest.raises(ValueError, match=message):
        ClassHierarchy.from_newick(text)


@pytest.mark.parametrize(
    ("text", "params", "message"),
    [
        ("a b\na b\n", {}, "line 2: the edge from 'a' to 'b' occurs twice"),
        ("a b\n\nc\n", {}, "line 3: two node ids are expected"),
        ("a c\nb c\n", {}, "line 2: node 'c' has a second parent"),
        ("a a\n", {}, "line 1: node 'a' is its own parent"),
        ("r a\nx y\n", {}, "2 roots: 'r', 'x'"),
        ("a b\nb c\nc a\n", {}, "cycle"),
        ("r a\nb c\nc b\nc d\n", {}, "cycle"),
        ("a b\n", {"classes": ["z"]}, "classes that are no node: 'z'"),
        ("", {}, "no edge found"),
        ("1 2\n1 x\n", {"id_type": int}, "line 2: '1' or 'x' is no int"),
        ("a b\n", {"multiple_parents": "first"}, "multiple_parents must be"),
        ("a b\n", {"multiple_roots": "first"}, "multiple_roots must be"),
    ],
)
def test_bad_parent_child_names_file_and_line(tmp_path, text, params, message):
    path = tmp_path / "tree.txt"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        ClassHierarchy.from_parent_child(path, **params)
    with pytest.raises(ValueError, match=message):
        ClassHierarchy.from_parent_child(io.StringIO(text), **params)


def test_binary_junk_and_missing_files(tmp_path):
    path = tmp_path / "junk.bin"
    path.write_bytes(bytes(range(256)))
    with pytest.raises(ValueError, match=r"junk\.bin: this is no UTF-8 text file"):
        ClassHierarchy.from_parent_child(path)
    with pytest.raises(FileNotFoundError):
        ClassHierarchy.from_parent_child(tmp_path / "none.txt")


def test_parent_child_conventions():
    pairs = "9 1\n9 2\n10 9\n10 3\n"
    tree = ClassHierarchy.from_parent_child(io.StringIO(pairs))
    assert tree.classes.tolist() == [1, 2, 3]  # every id is an int
    assert ClassHierarchy.from_parent_child(io.StringIO(pairs), id_type=str).classes.tolist() == [
        "1",
        "2",
        "3",
    ]
    joined = ClassHierarchy.from_parent_child([("a", "b"), ("c", "d")], multiple_roots="join")
    assert joined.distance("b", "d") == 1
    assert joined.height == 2


def test_missing_ids_and_byte_order_marks(tmp_path):
    for missing in (None, np.nan):
        with pytest.raises(ValueError, match="pair 0: a node id is missing"):
            ClassHierarchy.from_parent_child([(missing, "r"), ("r", "a"), ("r", "b")])
    path = tmp_path / "windows.txt"
    path.write_bytes("\ufeffa root\r\nb root\r\n".encode())
    assert ClassHierarchy.from_parent_child(path, is_a=True).classes.tolist() == ["a", "b"]


def test_only_what_is_above_the_classes_matters():
    edges = [("r", "a"), ("r", "b"), ("x", "z"), ("w", "z")]
    assert ClassHierarchy.from_parent_child(edges, classes=["a", "b"]) == ClassHierarchy.flat(["a", "b"])
    with pytest.raises(ValueError, match="pair 3: node 'z' has a second parent"):
        ClassHierarchy.from_parent_child(edges)
    ids = ClassHierarchy.from_parent_child(io.StringIO("1 01\n1 1_0\n1 10\n"))
    assert ids.classes.tolist() == ["01", "10", "1_0"]


def test_a_class_with_children_gets_a_leaf_of_its_own():
    edges = [("animal", "bird"), ("bird", "robin"), ("animal", "fish")]
    tree = ClassHierarchy.from_parent_child(edges, classes=["bird", "robin", "fish"])
    assert tree.classes.tolist() == ["bird", "fish", "robin"]
    assert tree.distance("bird", "robin") == pytest.approx(1 / 2)
    assert tree.distance("bird", "fish") == 1
    root = ClassHierarchy.from_parent_child(edges, classes=["animal", "robin"])
    assert root.distance("animal", "robin") == 1


def test_dag_takes_the_path_that_adds_least():
    # golf_cart is below vehicle and equipment; vehicle is there for car, equipment is not.
    edges = [
        ("thing", "vehicle"),
        ("thing", "tool"),
        ("tool", "equipment"),
        ("vehicle", "car"),
        ("vehicle", "golf_cart"),
        ("equipment", "golf_cart"),
    ]
    classes = ["car", "golf_cart"]
    with pytest.raises(ValueError, match="second parent"):
        ClassHierarchy.from_parent_child(edges, classes=classes)
    tree = ClassHierarchy.from_parent_child(edges, classes=classes, multiple_parents="tree")
    assert set(tree.node_names) == {"car", "golf_cart", "vehicle", "thing"}
    with pytest.raises(ValueError, match="cycle"):
        ClassHierarchy.from_parent_child([*edges, ("car", "thing")], classes=classes, multiple_parents="tree")


def test_a_very_deep_chain_needs_no_recursion():
    depth = 100_000
    edges = [(i, i + 1) for i in range(depth)] + [(0, -1)]
    tree = ClassHierarchy.from_parent_child(edges)
    assert tree.height == depth
    assert tree.distance(-1, depth) == 1
    assert ClassHierarchy.from_newick(tree.to_newick()).n_nodes == tree.n_nodes


def test_levels_by_depth():
    tree = ClassHierarchy.from_newick("((a,b)x,((c,d)y,(e)z)w,f);")
    assert tree.levels(by="depth").tolist() == [
        [0, 1, 2, 3, 4, 5],
        [0, 1, 2, 2, 3, 4],  # y, z; a and b are less deep
        [0, 0, 1, 1, 1, 2],
        [0, 0, 0, 0, 0, 0],
    ]
    # By height, x and y are cut at once.
    assert tree.levels()[1].tolist() == [0, 0, 1, 1, 2, 3]
    with pytest.raises(ValueError, match="by must be 'height' or 'depth'"):
        tree.levels(by="rank")


@given(trees())
def test_levels_by_depth_are_ancestors(tree):
    levels = tree.levels(by="depth")
    assert levels[-1].tolist() == [0] * tree.n_classes
    assert levels[0].tolist() == list(range(tree.n_classes))
    path_lengths = []
    for c in range(tree.n_classes):
        path, node = [], c
        while node != -1:
            path.append(node)
            node = tree.parents[node]
        path_lengths.append(path[::-1])  # from the root down
    n_depths = max(map(len, path_lengths))
    assert len(levels) == n_depths
    for row, depth in zip(levels, range(n_depths - 1, -1, -1), strict=True):
        ancestors = [path[min(depth, len(path) - 1)] for path in path_lengths]
        same = np.equal.outer(row, row)
        np.testing.assert_array_equal(same, np.equal.outer(ancestors, ancestors))


@given(st.integers(2, 12), generators(), st.one_of(st.none(), st.floats(0, 5)))
def test_a_linkage_is_what_its_levels_are(n, rng, max_height):
    distances = rng.integers(1, 5, n * (n - 1) // 2).astype(float)  # many merges at one height
    Z = linkage(distances, "single")
    levels, heights = levels_from_linkage(Z, max_height)
    assert ClassHierarchy.from_linkage(Z, max_height=max_height) == ClassHierarchy.from_levels(
        levels, heights=heights
    )


def test_spaces_and_tabs_around_names_are_no_part_of_them():
    text = "animal\tcat \t\n animal\tsmall dog\n"
    tree = ClassHierarchy.from_parent_child(io.StringIO(text))
    assert tree.classes.tolist() == ["cat", "small dog"]
    outline = ClassHierarchy.from_outline("animal \n  cat\t\n  small dog  \n\t\n")
    assert outline == tree
