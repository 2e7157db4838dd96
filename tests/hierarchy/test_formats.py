"""Outlines, networkx graphs, JSON, names beside ids, other labels."""

import io
import json
import os

import networkx as nx
import numpy as np
import pytest
from hypothesis import given

from sklearn_hierret import ClassHierarchy
from tests.hierarchy.test_conversions import same_tree, unnamed
from tests.strategies import trees

ANIMALS = """\
animal
  mammal
    dog
    cat

  fish
    trout
"""


@given(trees())
def test_outline_round_trip(tree):
    tree = unnamed(tree)
    expected = ClassHierarchy(tree.classes, tree.parents, None, tree.node_names)
    for indent in ("  ", "\t", " "):
        text = tree.to_outline(indent=indent)
        back = ClassHierarchy.from_outline(text, id_type=str)
        assert same_tree(expected, back)
        assert sorted(back.node_names) == sorted(tree.node_names)
        assert back.to_outline(indent=indent).count("\n") == tree.n_nodes


@given(trees())
def test_networkx_round_trip(tree):
    names = [*tree.classes.tolist(), *(f"inner {i}" for i in range(tree.n_nodes - tree.n_classes))]
    tree = ClassHierarchy(tree.classes, tree.parents, tree.heights, names)
    graph = tree.to_networkx()
    assert nx.is_arborescence(graph)
    back = ClassHierarchy.from_networkx(graph)
    assert same_tree(tree, back)
    np.testing.assert_array_equal(np.sort(back.heights), np.sort(tree.heights))
    turned = ClassHierarchy.from_networkx(graph.reverse(), is_a=True, height=None)
    assert same_tree(ClassHierarchy(tree.classes, tree.parents), turned)


@given(trees())
def test_json_round_trip(tree):
    back = ClassHierarchy.from_json(tree.to_json())
    assert back == tree
    assert back.node_names == tree.node_names
    assert back.classes.dtype.kind == tree.classes.dtype.kind


@given(trees())
def test_relabel_keeps_distances(tree):
    new = {label: f"new {i}" for i, label in enumerate(reversed(tree.classes.tolist()))}
    other = tree.relabel(new)
    assert other.classes.tolist() == sorted(new.values())
    old, renamed = tree.classes.tolist(), [new[label] for label in tree.classes.tolist()]
    for a, b in zip(old, renamed, strict=True):
        np.testing.assert_array_equal(tree.distance(a, old), other.distance(b, renamed))
    assert tree.relabel(renamed) == other


def test_files(tmp_path):
    tree = ClassHierarchy.from_outline(ANIMALS)
    assert tree.classes.tolist() == ["cat", "dog", "trout"]
    assert tree.distance("dog", ["cat", "trout"]).tolist() == [0.5, 1.0]
    outline, newick, as_json = (tmp_path / f"tree.{name}" for name in ("txt", "nwk", "json"))
    tree.to_outline(outline)
    tree.to_newick(newick)
    tree.to_json(as_json)
    for path in (outline, str(outline)):
        assert ClassHierarchy.from_outline(path) == tree
    assert ClassHierarchy.from_newick(newick) == tree
    for path in (as_json, str(as_json)):
        assert ClassHierarchy.from_json(path) == tree
    for reader, path in (
        (ClassHierarchy.from_outline, outline),
        (ClassHierarchy.from_newick, newick),
        (ClassHierarchy.from_json, as_json),
    ):
        with path.open() as file:
            assert reader(file) == tree


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\n", "no line"),
        ("a\n", "root above"),
        ("  a\n    b\n", "line 1: the first line must not be indented"),
        ("a\n    b\n  c\n", "line 3: the indentation is that of no line above"),
        ("a\n  b\n\tc\n", "line 3: tabs and spaces"),
        ("a\n  b\nc\n  d\n", "2 roots: 'a', 'c'"),
        ("a\n  b\n  b\n", "line 3: class 'b' occurs a second time"),
    ],
)
def test_bad_outlines(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        ClassHierarchy.from_outline(text)
    path = tmp_path / "tree.txt"
    path.write_text(text)
    with pytest.raises(ValueError, match=f"(?s)tree.txt.*{message}"):
        ClassHierarchy.from_outline(path)


def test_outline_conventions():
    assert ClassHierarchy.from_outline("r\n 2\n 10\n").classes.tolist() == [2, 10]
    assert ClassHierarchy.from_outline("r\n 2\n 10\n", id_type=str).classes.tolist() == ["10", "2"]
    with pytest.raises(ValueError, match="line 2: 'x' is no int"):
        ClassHierarchy.from_outline("r\n x\n", id_type=int)
    joined = ClassHierarchy.from_outline("a\n b\nc\n d\n", multiple_roots="join")
    assert joined.distance("b", "d") == 1
    assert joined.height == 2
    # Inner nodes may share a name.
    same = ClassHierarchy.from_outline("r\n a\n  other\n   x\n b\n  other\n   y\n")
    assert same.distance("x", "y") == 1
    with pytest.raises(ValueError, match="can't be written as a line"):
        ClassHierarchy.flat(["a\nb", "c"]).to_outline()
    with pytest.raises(ValueError, match="spaces or tabs"):
        joined.to_outline(indent="- ")
    with pytest.raises(TypeError, match="outline is a path"):
        ClassHierarchy.from_outline(3)


def test_bad_graphs():
    with pytest.raises(ValueError, match="undirected"):
        ClassHierarchy.from_networkx(nx.Graph([("r", "a")]))
    with pytest.raises(TypeError, match="networkx graph is expected, got list"):
        ClassHierarchy.from_networkx([("r", "a")])
    with pytest.raises(ValueError, match="second parent"):
        ClassHierarchy.from_networkx(nx.DiGraph([("r", "a"), ("r", "b"), ("a", "c"), ("b", "c")]))
    with pytest.raises(ValueError, match="cycle"):
        ClassHierarchy.from_networkx(nx.DiGraph([("a", "b"), ("b", "a"), ("b", "c")]))
    with pytest.raises(ValueError, match="occurs twice"):
        ClassHierarchy.from_networkx(nx.MultiDiGraph([("r", "a"), ("r", "a")]))
    graph = nx.DiGraph([("r", "a"), ("r", "b")])
    graph.add_node("alone")
    with pytest.raises(ValueError, match=r"2 roots: 'alone', 'r'|2 roots: 'r', 'alone'"):
        ClassHierarchy.from_networkx(graph)
    assert ClassHierarchy.from_networkx(graph, classes=["a", "b"]).n_classes == 2
    with pytest.raises(ValueError, match="no node"):
        ClassHierarchy.from_networkx(nx.DiGraph())
    with pytest.raises(ValueError, match="distinct node names"):
        ClassHierarchy(["a", "b"], [2, 3, 3, -1], node_names=["a", "b", "x", "x"]).to_networkx()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no JSON"),
        ("{", "line 1: this is no JSON"),
        ("[1]", "no hierarchy as to_json writes it"),
        ('{"name": "r"}', "no hierarchy as to_json writes it"),
        ("[" * 100_000, "no JSON"),
    ],
)
def test_bad_json(tmp_path, text, message):
    path = tmp_path / "tree.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=f"tree.json.*{message}"):
        ClassHierarchy.from_json(path)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("parents", None, "'parents' is missing"),
        ("parents", [1, 2, "x"], "JSON: "),
        ("parents", [3, 3, -1], "parent"),
        ("heights", [0, 0, float("nan")], "finite"),
        ("heights", [0, 0], "heights of shape"),
        ("node_names", ["a", "b", []], "unhashable"),
        ("classes", [["a"], "b"], "unhashable"),
    ],
)
def test_json_that_is_no_tree(key, value, message):
    tree = json.loads(ClassHierarchy.flat(["a", "b"]).to_json())
    with pytest.raises(ValueError, match=message):
        ClassHierarchy.from_json(json.dumps({**tree, key: value}))


def test_labels_that_json_does_not_hold():
    with pytest.raises(ValueError, match="JSON holds text and numbers"):
        ClassHierarchy.flat([("a", 1), ("b", 2)]).to_json()


def test_names_beside_ids(tmp_path):
    edges, names = tmp_path / "tree.txt", tmp_path / "names.txt"
    edges.write_text("9 1\n9 2\n")
    names.write_text("1 Ducks, Geese, and Swans\n2 Loons\n9 Birds\n")
    for given_names in (names, io.StringIO(names.read_text()), {1: "Ducks, Geese, and Swans", 9: "Birds"}):
        tree = ClassHierarchy.from_parent_child(edges, names=given_names)
        assert tree.classes.tolist() == [1, 2]
        assert tree.node_names[0] == "Ducks, Geese, and Swans"
        assert tree.node_names[2] == "Birds"
    assert tree.node_names[1] == 2  # the mapping lacks it
    assert tree.relabel({1: "duck", 2: "loon"}).classes.tolist() == ["duck", "loon"]
    for text, message in [
        ("1\n", "line 1: an id and a name"),
        ("1 a\n1 b\n", "line 2: 1 has a second name"),
        ("x a\n", "line 1: 'x' is no int"),
    ]:
        names.write_text(text)
        with pytest.raises(ValueError, match=f"names.txt, {message}"):
            ClassHierarchy.from_parent_child(edges, names=names)
    with pytest.raises(TypeError, match="mapping or a text file"):
        ClassHierarchy.from_parent_child(edges, names=3)


def test_bad_labels():
    tree = ClassHierarchy.flat("ab")
    with pytest.raises(ValueError, match="without a new label: 'b'"):
        tree.relabel({"a": "x"})
    with pytest.raises(ValueError, match="2 classes, but 1 new labels"):
        tree.relabel(["x"])
    with pytest.raises(ValueError, match="'x' occurs twice"):
        tree.relabel(["x", "x"])


def test_binary_files(tmp_path):
    path = tmp_path / "junk"
    for junk in (bytes(range(256)), b"PK\x03\x04\x00\x00 a\nb c\n"):
        path.write_bytes(junk)
        for reader in (
            ClassHierarchy.from_parent_child,
            ClassHierarchy.from_outline,
            ClassHierarchy.from_newick,
            ClassHierarchy.from_json,
        ):
            with pytest.raises(ValueError, match="junk: this is no"):
                reader(path)
        with (
            path.open("rb") as file,
            pytest.raises(ValueError, match=r"no UTF-8|as a text file|no text file"),
        ):
            ClassHierarchy.from_parent_child(file)


def test_deep_chains_in_every_format():
    depth = 100_000
    chain = ClassHierarchy.from_parent_child([(i, i + 1) for i in range(depth)] + [(0, -1)])
    assert ClassHierarchy.from_json(chain.to_json()) == chain
    assert ClassHierarchy.from_networkx(chain.to_networkx()).height == depth
    text = "".join(f"{' ' * min(i, 2000)}n{i}\n" for i in range(2001))
    assert ClassHierarchy.from_outline(text).height == 2000


@pytest.mark.parametrize("method", ["to_json", "to_newick", "to_outline", "to_parent_child"])
def test_a_failed_write_keeps_the_old_file(tmp_path, method):
    resource = pytest.importorskip("resource", reason="limits of a process are POSIX's")
    path, small = tmp_path / "tree.txt", ClassHierarchy.flat(["a", "b"])
    getattr(small, method)(path)
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))  # as a disk with that much left
    try:
        with pytest.raises(OSError, match="File too large"):
            getattr(ClassHierarchy.flat([f"class {i}" for i in range(2000)]), method)(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["tree.txt"]


def test_writing_follows_links_and_keeps_modes(tmp_path):
    path, link = tmp_path / "tree.json", tmp_path / "link.json"
    path.write_text("old")
    path.chmod(0o640)
    link.symlink_to(path)
    tree = ClassHierarchy.flat(["a", "b"])
    tree.to_json(link)
    assert link.is_symlink()
    assert ClassHierarchy.from_json(path) == tree
    assert path.stat().st_mode & 0o777 == 0o640
    tree.to_json(os.devnull)
    assert not os.path.isfile(os.devnull)


def test_a_very_deep_chain_in_every_format():
    n = 20_000
    chain = ClassHierarchy.from_newick("(" * n + "x0" + "".join(f",x{i})" for i in range(1, n + 1)) + ";")
    assert chain.n_nodes == 2 * n + 1
    assert ClassHierarchy.from_newick(chain.to_newick()) == chain
    assert ClassHierarchy.from_json(chain.to_json()) == chain
    with pytest.raises(ValueError, match="mostly indentation"):
        chain.to_outline()


def test_a_folder_is_not_replaced_by_a_file(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "kept.txt").write_text("kept")
    with pytest.raises(IsADirectoryError, match="is a folder"):
        ClassHierarchy.flat(["a", "b"]).to_json(tmp_path / "folder")
    assert [path.name for path in tmp_path.rglob("*")] == ["folder", "kept.txt"]
