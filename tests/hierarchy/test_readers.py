"""Taxonomies as other people's programs write them."""

import io
import json
import re
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sklearn_hierret import ClassHierarchy

MARK = "\ufeff"


# ------------------------------------------------------------------------ Newick


@pytest.mark.parametrize(
    ("text", "classes"),
    [
        ('("A":1,"B":1);', ["A", "B"]),
        ('("A b":1,"B;":1);', ["A b", "B;"]),
        ('("say ""a""":1,b:1);', ["b", 'say "a"']),
        (r"('Ma\'di':1,'o''cat':1);", ["Ma'di", "o'cat"]),
        (r"('a\'',b);", ["a'", "b"]),
        (r"('back\',b);", ["b", "back\\"]),
        ("(a[one [two] one],b[x]:1[&rate=0.1])[c];", ["a", "b"]),
        ("[first](a,b);[last]", ["a", "b"]),
        ("(a_b,'c_d');", ["a_b", "c_d"]),
        (MARK + "(a,b);", ["a", "b"]),
    ],
)
def test_newick_of_other_programs(text, classes):
    assert ClassHierarchy.from_newick(text).classes.tolist() == classes


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('("A,B);', "quote that is never closed at character 1"),
        ("(a[b,c);", "comment that is never closed at character 2"),
        ("(a,b);(c,d);", "text after ';' at character 6; one tree"),
        ("(a:-1,b:1);", "negative or infinite; ignore_lengths=True"),
        ("#NEXUS begin trees; end;", "one tree is expected in a NEXUS file, got 0"),
        ("#NEXUS tree a = (x,y); tree b = (x,y);", "got 2"),
    ],
)
def test_newick_errors(text, message):
    with pytest.raises(ValueError, match=f"^Newick: {re.escape(message)[:0]}.*{re.escape(message)}"):
        ClassHierarchy.from_newick(text)


def test_lengths_can_be_ignored():
    tree = ClassHierarchy.from_newick("((a:-1,b:2):1,c:nan);".replace("nan", "1"), ignore_lengths=True)
    assert tree.heights.tolist() == [0, 0, 0, 1, 2]
    assert ClassHierarchy.from_newick("(a:1e400,b:x);", ignore_lengths=True).n_classes == 2


def test_nexus():
    text = """#NEXUS
    [a file of some program; with 'quotes']
    BEGIN TAXA; DIMENSIONS NTAX=3; TAXLABELS dog 'sea trout' cat; END;
    BEGIN TREES;
      TRANSLATE 1 dog, 2 'sea trout', 3 cat;
      TREE best = [&R] ((1:1,3:1)mammal:1,2:2)animal;
    END;
    """
    tree = ClassHierarchy.from_newick(text)
    assert tree.classes.tolist() == ["cat", "dog", "sea trout"]
    assert tree.node_names[3:] == ("mammal", "animal")
    assert tree.heights.tolist() == [0, 0, 0, 1, 2]
    with pytest.raises(ValueError, match="a length is expected"):
        ClassHierarchy.from_newick("#NEXUS tree a = (x:,y);")


def test_newick_of_a_path_in_a_string(tmp_path):
    path = tmp_path / "tree (1).nwk"
    path.write_text("(a,b)root;", encoding="utf-8")
    assert ClassHierarchy.from_newick(path).n_classes == 2
    path = path.rename(tmp_path / "tree.nwk")
    assert ClassHierarchy.from_newick(str(path)).n_classes == 2
    with pytest.raises(FileNotFoundError, match="gone"):
        ClassHierarchy.from_newick("gone.nwk")
    path.write_text("(a,b", encoding="utf-8")
    with pytest.raises(ValueError, match=r"tree.nwk: the text ends"):
        ClassHierarchy.from_newick(str(path))


@given(
    st.lists(
        st.text("ab_'\"\\()[];:, é", min_size=1, max_size=5), min_size=2, max_size=4, unique=True
    ).filter(lambda names: all(name == name.strip() for name in names))
)
def test_newick_of_any_names_comes_back(names):
    if any("\\'" in name and '\\"' in name for name in names):
        with pytest.raises(ValueError, match="backslashes before quotes of both kinds"):
            ClassHierarchy.flat(names).to_newick()
        return
    text = ClassHierarchy.flat(names).to_newick()
    assert ClassHierarchy.from_newick(text).classes.tolist() == sorted(names)
    for name in names:
        quote = '"' if "\\'" in name else "'"
        assert ("_" in name) <= (f"{quote}{name.replace(quote, 2 * quote)}{quote}" in text)


# ---------------------------------------------------------------- marks and names


@pytest.mark.parametrize("as_file", [False, True])
def test_byte_order_marks_are_dropped(as_file, tmp_path):
    tree = ClassHierarchy.from_newick("((dog,cat)mammal,trout)animal;")
    texts = {
        ClassHierarchy.from_outline: tree.to_outline(),
        ClassHierarchy.from_newick: tree.to_newick(),
        ClassHierarchy.from_json: tree.to_json(),
        ClassHierarchy.from_nested: '{"animal": {"mammal": ["dog", "cat"], "trout": {}}}',
    }
    for read, text in texts.items():
        back = read(io.StringIO(MARK + text) if as_file else MARK + text)
        assert set(back.node_names) == set(tree.node_names)
    pairs = "animal trout\nanimal mammal\nmammal dog\nmammal cat\n"
    assert ClassHierarchy.from_parent_child(io.StringIO(MARK + pairs)) == tree
    names = ClassHierarchy.from_parent_child(io.StringIO(pairs), names=io.StringIO(MARK + "dog a dog\n"))
    assert "a dog" in names.node_names
    path = tmp_path / "t.csv"
    path.write_text(MARK + "top,class\nx,a\ny,b\n", encoding="utf-8")
    assert ClassHierarchy.from_csv(path).node_names == ("a", "b", "x", "y", "root")


def test_every_reader_takes_types_and_names():
    networkx = pytest.importorskip("networkx", reason="needs networkx")
    names = {2: "two", 10: "ten", 7: "seven", "top": "the top"}
    graph = networkx.DiGraph([("top", "7"), ("7", "2"), ("7", "10"), ("top", "3")])
    frame = pd.DataFrame({"top": ["top"] * 3, "middle": ["7", "7", None], "class": ["2", "10", "3"]})
    trees = [
        ClassHierarchy.from_newick("((2,10)7,3)top;", id_type=int, names=names),
        ClassHierarchy.from_outline("top\n 7\n  2\n  10\n 3\n", id_type=int, names=names),
        ClassHierarchy.from_parent_child([("top", 7), (7, 2), (7, 10), ("top", 3)], names=names),
        ClassHierarchy.from_networkx(graph, id_type=int, names=names),
        ClassHierarchy.from_frame(
            frame[["middle", "class"]], id_type=int, names={**names, "root": "the top"}
        ),
        ClassHierarchy.from_nested({"top": {"7": ["2", "10"], "3": {}}}, id_type=int, names=names),
        ClassHierarchy.from_csv(
            io.StringIO("middle,class\n7,2\n7,10\n,3\n"), names={**names, "root": "the top"}
        ),
    ]
    for tree in trees:
        assert tree.classes.tolist() == [2, 3, 10]
        assert [str(name) for name in tree.node_names] == ["two", "3", "ten", "seven", "the top"]
        assert tree.distance_matrix().tolist() == trees[0].distance_matrix().tolist()
    with pytest.raises(ValueError, match="'dog' is no int"):
        ClassHierarchy.from_newick("(dog,2);", id_type=int)
    with pytest.raises(ValueError, match="1 occurs twice"):
        ClassHierarchy.from_newick("(01,1);", id_type=int)


def test_names_that_look_alike_are_said_to():
    tree = ClassHierarchy.flat(["cat", "Dog", "caf\u00e9"])
    pairs = [("cat ", "blanks"), ("dog", "case"), ("cafe\u0301", "Unicode form"), ("c\u200bat", "characters")]
    for label, difference in pairs:
        with pytest.raises(ValueError, match=f"differ only by {difference}"):
            tree.index([label])
    with pytest.raises(ValueError, match="'c' and 'C' differ only by case"):
        ClassHierarchy.from_parent_child([("a", "b"), ("a", "C")], classes=["b", "c"])
    with pytest.raises(ValueError, match=r"hierarchy: 'x'\.$"):
        tree.index(["x"])


# ------------------------------------------------------------------------ tables


def test_blank_cells_are_missing_ones():
    rows = {"family": ["X", "X", "X", "Y"], "genus": ["", " ", "g", "\t"], "species": ["a", "b", "c", "d"]}
    frame = pd.DataFrame(rows)
    tree = ClassHierarchy.from_frame(frame)
    assert tree == ClassHierarchy.from_frame(frame.replace(r"^\s*$", None, regex=True))
    assert tree.node_names == ("a", "b", "c", "d", "g", "Y", "X", "root")
    with pytest.raises(ValueError, match="Row 0 has no class"):
        ClassHierarchy.from_frame(pd.DataFrame([["x", " "]]))


def test_conflicting_paths_are_all_named_with_their_rows():
    frame = pd.DataFrame(
        [
            ["x", "p", "a"],
            ["y", "p", "a"],
            ["x", "p", "b"],
            ["x", None, "b"],
            ["x", "p", "a"],
            ["z", "q", "c"],
        ]
    )
    with pytest.raises(
        ValueError,
        match=r"'a' below x / p in rows 0, 4, below y / p in row 1; "
        r"'b' below x / p in row 2, below x in row 3\.$",
    ):
        ClassHierarchy.from_frame(frame)
    fine_first = pd.DataFrame([["a", "x"], ["b", "x"], ["c", "y"]])
    with pytest.raises(ValueError, match="columns seem to be fine to coarse: reverse them"):
        ClassHierarchy.from_frame(fine_first)
    assert ClassHierarchy.from_frame(fine_first[[1, 0]]).n_classes == 3


def test_edges_in_a_frame():
    expected = ClassHierarchy.from_parent_child([("a", "b"), ("a", "c")])
    plain = pd.DataFrame([["a", "b"], ["a", "c"]])
    named = pd.DataFrame({"parent": ["a", "a"], "child": ["b", "c"]})
    assert ClassHierarchy.from_parent_child(plain) == expected
    assert ClassHierarchy.from_parent_child(named) == expected
    assert ClassHierarchy.from_parent_child(named[["child", "parent"]], is_a=True) == expected
    numbers = pd.DataFrame({"parent": [9, 9], "child": [1, 2]})
    assert ClassHierarchy.from_parent_child(numbers).classes.tolist() == [1, 2]
    with pytest.raises(ValueError, match="DataFrame of edges has two columns"):
        ClassHierarchy.from_parent_child(named.assign(more=1))


def test_polars_and_arrow_tables():
    frame = pd.DataFrame({"top": ["x", "x", "y"], "class": [1, 2, 3]})
    expected = ClassHierarchy.from_frame(frame)
    polars = pytest.importorskip("polars", reason="needs polars")
    for table in (polars.DataFrame(frame.to_dict("list")), polars.LazyFrame(frame.to_dict("list"))):
        assert ClassHierarchy.from_frame(table) == expected
    edges = polars.DataFrame({"parent": ["a", "a"], "child": ["b", "c"]})
    assert ClassHierarchy.from_parent_child(edges).n_classes == 2


def test_csv(tmp_path):
    path = tmp_path / "taxa.csv"
    text = "family;genus;species;note\nX;;a;1\nX; ;b;2\nX;g;NA;3\n"
    path.write_text(text, encoding="utf-8")
    tree = ClassHierarchy.from_csv(path, ["family", "genus", "species"], sep=";")
    assert tree.classes.tolist() == ["NA", "a", "b"]
    assert tree.node_names[3:] == ("g", "X", "root")
    numbers = ClassHierarchy.from_csv(io.StringIO("top,class\nx,10\ny,9\n"))
    assert numbers.classes.tolist() == [9, 10]
    for how, message in [
        ({"columns": ["order"], "sep": ";"}, "has no columns 'order'"),
        ({"columns": ["species", "family"], "sep": ";"}, r"taxa\.csv: .*fine to coarse"),
    ]:
        with pytest.raises(ValueError, match=message):
            ClassHierarchy.from_csv(path, **how)
    for bad in ("", 'a,b\n"x,y\n'):
        with pytest.raises(ValueError, match=r"no table|no row"):
            ClassHierarchy.from_csv(io.StringIO(bad))


# ------------------------------------------------------------------------ nested

ANIMALS = {
    "name": "animal",
    "children": [
        {"name": "mammal", "size": 3, "children": [{"name": "dog"}, {"name": "cat", "children": []}]},
        {"name": "trout", "children": None},
    ],
}


def test_nested_in_many_ways(tmp_path):
    expected = ClassHierarchy.from_newick("((dog,cat)mammal,trout)animal;")
    open_images = json.loads(
        json.dumps(ANIMALS).replace('"name"', '"LabelName"').replace('"children"', '"Subcategory"')
    )
    path = tmp_path / "tree.json"
    path.write_text(json.dumps(ANIMALS), encoding="utf-8")
    sources = [
        ANIMALS,
        open_images,
        json.dumps(ANIMALS),
        path,
        str(path),
        {"animal": {"mammal": ["dog", "cat"], "trout": {}}},
        {"animal": {"mammal": {"dog": None, "cat": {}}, "trout": []}},
        {"id": "animal", "children": ["trout", {"label": "mammal", "children": ["cat", "dog"]}]},
    ]
    for source in sources:
        tree = ClassHierarchy.from_nested(source)
        assert tree == expected
        assert tree.node_names == expected.node_names
    joined = ClassHierarchy.from_nested([{"name": "a"}, {"name": "b", "children": ["c", "d"]}])
    assert joined.node_names == ("a", "c", "d", "b", "root")
    assert ClassHierarchy.from_nested({"x": ["a"], "y": ["b"]}).node_names == ("a", "b", "x", "y", "root")


def test_nested_graphs():
    graph = {"top": {"pet": ["cat", "dog"], "mammal": ["dog", "whale"]}}
    with pytest.raises(ValueError, match="class 'dog' occurs twice; multiple_parents='tree'"):
        ClassHierarchy.from_nested(graph)
    tree = ClassHierarchy.from_nested(graph, multiple_parents="tree")
    edges = [
        ("top", "pet"),
        ("top", "mammal"),
        ("pet", "cat"),
        ("pet", "dog"),
        ("mammal", "dog"),
        ("mammal", "whale"),
    ]
    assert tree == ClassHierarchy.from_parent_child(edges, multiple_parents="tree")


def test_nested_of_any_depth():
    tree: dict = {"name": "leaf"}
    for i in range(5000):
        tree = {"name": f"node {i}", "children": [tree, {"name": f"leaf {i}"}]}
    assert ClassHierarchy.from_nested(tree).height == 5000


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({}, "a node is a mapping or a name|needs a root"),
        ([], "needs a root"),
        ({"name": "a"}, "needs a root"),
        ({"name": "a", "children": "bc"}, "children of 'a' must be a list"),
        ({"name": "a", "children": [3.5, None]}, "a node is a mapping or a name, got None"),
        ({"name": "", "children": ["b"]}, "node without a name"),
        ('{"name": ', "nested tree: this is no JSON"),
    ],
)
def test_nested_errors(source, message):
    with pytest.raises(ValueError, match=message):
        ClassHierarchy.from_nested(source)


# -------------------------------------------------------------------------- NCBI

NODES = "1\t|\t1\t|\tno rank\t|\n2\t|\t1\t|\tx\t|\n9\t|\t1\t|\tx\t|\n4\t|\t2\t|\tx\t|\n5\t|\t2\t|\tx\t|\n"
NAMES = (
    "1\t|\troot\t|\t\t|\tscientific name\t|\n2\t|\tMammalia\t|\t\t|\tscientific name\t|\n"
    "2\t|\tmammals\t|\t\t|\tcommon name\t|\n4\t|\tFelis catus\t|\t\t|\tscientific name\t|\n"
)


def test_ncbi(tmp_path):
    tree = ClassHierarchy.from_ncbi(io.StringIO(NODES), io.StringIO(NAMES))
    assert tree.classes.tolist() == [4, 5, 9]
    assert tree.node_names == ("Felis catus", 5, 9, "Mammalia", "root")
    path = tmp_path / "nodes.dmp"
    path.write_text(NODES, encoding="utf-8")
    some = ClassHierarchy.from_ncbi(path, classes=np.array([5, 4]))
    assert some.classes.tolist() == [4, 5]
    with_inner = ClassHierarchy.from_ncbi(path, classes=[2, 4])
    assert with_inner.classes.tolist() == [2, 4]
    for text, message in [
        ("1 2 3\n", "line 1: fields that are divided"),
        ("1|x|\n", "'x' is no number"),
        ("1|1|\n1|1|\n", "line 2: taxon 1 occurs a second time"),
        ("1|1|\n2|7|\n", "parent of taxon 2 is no taxon"),
        ("", "no taxon found"),
    ]:
        with pytest.raises(ValueError, match=message):
            ClassHierarchy.from_ncbi(io.StringIO(text))
    with pytest.raises(ValueError, match="classes that are no node: 77"):
        ClassHierarchy.from_ncbi(path, classes=[4, 77])
    latin = tmp_path / "latin.dmp"
    latin.write_bytes("1|1|\n2|1|\u00e9|\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"latin\.dmp: this is no UTF-8 text file"):
        ClassHierarchy.from_ncbi(latin)


def test_no_reader_warns():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ClassHierarchy.from_csv(io.StringIO("a,b\nx,1\ny,2\n"))


def test_names_that_utf_8_cannot_hold(tmp_path):
    """Of files whose names are not UTF-8."""
    tree = ClassHierarchy.flat(["caf\udce9", "the"])
    tree.to_json(tmp_path / "tree.json")
    assert ClassHierarchy.from_json(tmp_path / "tree.json") == tree
    for write in (tree.to_newick, tree.to_outline, tree.to_parent_child):
        with pytest.raises(ValueError, match="no text that UTF-8 can hold"):
            write(tmp_path / "tree.txt")
    assert not (tmp_path / "tree.txt").exists()


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (
            lambda: ClassHierarchy.from_csv(io.StringIO("f,c\nx,a,1\ny,b,2\n")),
            "row 1: 3 cells below 2 columns",
        ),
        (lambda: ClassHierarchy.from_csv(io.StringIO("f,c\nx,a\n"), []), "columns must name one column"),
        (
            lambda: ClassHierarchy.from_newick("#NEXUS translate 1 Homo sapiens, 2 cat; tree t = (1,2);"),
            r"two words are expected, got \['1', 'Homo', 'sapiens'\]",
        ),
        (lambda: ClassHierarchy.from_newick("(a:1:2,b:1);"), "a second length"),
        (lambda: ClassHierarchy.from_newick("(a:1_0,b:1);"), "no edge length"),
        (lambda: ClassHierarchy.from_nested('{"a": {"x": ["p"], "x": ["q"]}}'), "key 'x' occurs twice"),
        (
            lambda: ClassHierarchy.from_frame(pd.DataFrame([["x", 1.5], ["y", 2.0]]), id_type=int),
            "1.5 is no int",
        ),
        (lambda: ClassHierarchy.from_ncbi(io.StringIO("1|1|\n2|1|\n7|8|\n8|7|\n")), "cycle beside the tree"),
        (lambda: ClassHierarchy.from_frame(pd.DataFrame(index=[0, 1])), "no row, or no column"),
    ],
)
def test_what_readers_refuse(read, message):
    with pytest.raises(ValueError, match=message):
        read()


def test_small_mercies_of_readers():
    names = io.StringIO("big cat\tTiger\n")
    assert "Tiger" in ClassHierarchy.from_parent_child([("a", "big cat"), ("a", "b")], names=names).node_names
    assert ClassHierarchy.from_ncbi(io.StringIO(NODES), classes=[4.0, 9.0]).classes.tolist() == [4, 9]
    polars = pytest.importorskip("polars", reason="needs polars")
    table = polars.DataFrame({"level": [1, None, 2], "class": ["a", "b", "c"]})
    assert ClassHierarchy.from_frame(table).node_names == ("a", "b", "c", 1, 2, "root")
