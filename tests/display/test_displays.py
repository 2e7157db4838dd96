import sys
from itertools import pairwise

import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import to_hex
from sklearn.datasets import load_digits
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_hierret import (
    ClassHierarchy,
    HierarchicalRetriever,
    HierarchyBuilder,
    HierarchyDisplay,
    InspectionDisplay,
    PrecisionCurveDisplay,
    RetrievalDisplay,
    ThresholdPathDisplay,
    evaluate_retrieval,
)
from sklearn_hierret.display._hierarchy import cluster_colors, tree_positions
from sklearn_hierret.display._retrieval import RIGHT, WRONG
from sklearn_hierret.inspection import class_overview, label_issues, near_duplicates, novel_items
from tests.strategies import blobs


def balanced(n_classes, size=5):
    levels = [np.arange(n_classes), np.arange(n_classes) // size, np.zeros(n_classes, dtype=int)]
    return ClassHierarchy.from_levels(levels, [f"Genus{i // size} species{i}" for i in range(n_classes)])


def overlaps(texts, figure):
    """Pairs of neighbouring texts whose boxes, turned back upright, intersect."""
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    size = texts[0].get_fontsize() / 72 * figure.dpi * 0.7
    centres = []
    for text in texts:
        box = text.get_window_extent(renderer)
        angle = np.radians(text.get_rotation())
        along = np.array([np.cos(angle), np.sin(angle)])
        length = np.abs(np.array([box.width, box.height]) @ np.abs(along)) / 2
        middle = np.array([box.x0 + box.width / 2, box.y0 + box.height / 2])
        centres.append((middle, along, length))
    count = 0
    for (a, along, length), (b, _, _) in pairwise(centres):
        difference = b - a
        across = abs(difference @ np.array([-along[1], along[0]]))
        count += across < size * 0.8 and abs(difference @ along) < length
    return count


@pytest.mark.parametrize("n_classes", [10, 60, 200])
@pytest.mark.parametrize("layout", ["auto", "rows", "circle"])
def test_names_are_readable(n_classes, layout):
    tree = balanced(n_classes)
    display = HierarchyDisplay.from_hierarchy(tree, layout=layout)
    texts = [display.text_[leaf] for leaf in tree.leaf_order]
    assert [t.get_text() for t in texts] == tree.classes[tree.leaf_order].tolist()
    assert min(t.get_fontsize() for t in texts) >= 4
    assert overlaps(texts, display.figure_) == 0
    inside = display.figure_.bbox
    for text in texts:
        box = text.get_window_extent(display.figure_.canvas.get_renderer())
        assert inside.x0 <= box.x0
        assert box.x1 <= inside.x1
        assert inside.y0 <= box.y0
        assert box.y1 <= inside.y1


def test_positions_put_parents_amid_their_children():
    tree = ClassHierarchy.from_newick("((a,c),(b,d,e));")
    position = tree_positions(tree)
    assert [tree.classes[i] for i in tree.leaf_order] == ["a", "c", "b", "d", "e"]
    for node in range(tree.n_classes, tree.n_nodes):
        children = position[np.flatnonzero(tree.parents == node)]
        assert position[node] == (children.min() + children.max()) / 2


def test_colors_tell_clusters_apart():
    tree = balanced(20)
    colors = cluster_colors(tree, 10)
    by_leaf = [colors[i] for i in range(20)]
    assert len(set(by_leaf)) == 4
    for start in range(0, 20, 5):
        assert len(set(by_leaf[start : start + 5])) == 1
    assert len(set(cluster_colors(tree, 3))) == 1  # four clusters are too many: all grey
    assert len(set(cluster_colors(ClassHierarchy.flat("abc"), 10))) == 1


def test_hierarchy_display_takes_estimators_names_and_axes(rng):
    X, y = blobs(rng)
    retriever = HierarchicalRetriever(HierarchyBuilder(0.3))
    pipe = make_pipeline(StandardScaler(), retriever).fit(X, y)
    names = {i: f"class number {i}" for i in range(5)}
    _, ax = plt.subplots()
    display = HierarchyDisplay.from_estimator(pipe, class_names=names, ax=ax)
    assert display.ax_ is ax
    assert {t.get_text() for t in display.text_} == set(names.values())
    some = HierarchyDisplay.from_estimator(pipe, class_names=["zero", "one"])
    assert {t.get_text() for t in some.text_} == {"zero", "one", "2", "3", "4"}
    long = HierarchyDisplay.from_hierarchy(ClassHierarchy.flat(["x" * 50, "y"]))
    assert long.text_[0].get_text() == "x" * 27 + "…"
    with pytest.raises(TypeError, match="has no hierarchy_"):
        HierarchyDisplay.from_estimator(HierarchicalRetriever())
    with pytest.raises(ValueError, match="layout must be"):
        HierarchyDisplay.from_hierarchy(ClassHierarchy.flat("ab"), layout="square")


def frames_of(display):
    """Edge colours of the neighbours' frames, row by row."""
    patches = [p for p in display.ax_.patches if p.get_linewidth() == 3]
    return np.array([to_hex(p.get_edgecolor()) for p in patches]).reshape(display.labels.shape)


@pytest.mark.parametrize("shape", [(6, 6), (6, 6, 1), (6, 4, 3)])
def test_retrieval_display_frames_right_and_wrong(rng, shape):
    X, y = blobs(rng, spread=1.0)
    images = rng.random((len(X), *shape))
    retriever = HierarchicalRetriever(alpha=0).fit(X[20:], y[20:])
    display = RetrievalDisplay.from_estimator(
        retriever,
        X[:4],
        y[:4],
        query_images=images[:4],
        gallery_images=images[20:],
        n_neighbors=6,
        title="cosine",
    )
    found = retriever.kneighbors(X[:4], n_neighbors=6)[1]
    np.testing.assert_array_equal(display.images, images[20:][found])
    is_right = y[20:][found] == y[:4, None]
    assert is_right.any()
    assert not is_right.all()
    np.testing.assert_array_equal(frames_of(display), np.where(is_right, RIGHT, WRONG))
    assert len(display.ax_.images) == 4 * 7


def test_retrieval_display_by_similarity(rng):
    X, y = blobs(rng, n_classes=4, spread=1.0)
    tree = ClassHierarchy.from_levels([range(4), [0, 0, 1, 1], [0] * 4])
    images = rng.random((len(X), 5, 5))
    pipe = make_pipeline(StandardScaler(), HierarchicalRetriever(alpha=0)).fit(X, y)
    display = RetrievalDisplay.from_estimator(
        pipe, X[:3], y[:3], query_images=images[:3], gallery_images=images, n_neighbors=100, hierarchy=tree
    )
    similarity = 1 - tree.distance(y[:3, None], display.labels)
    colors = frames_of(display)
    assert len(set(colors.ravel())) == len(np.unique(similarity)) == 3
    for value in np.unique(similarity):
        assert len(set(colors[similarity == value])) == 1


def test_bad_images(rng):
    X, y = blobs(rng)
    retriever = HierarchicalRetriever().fit(X, y)
    images = rng.random((len(X), 5, 5))
    params = {"query_images": images[:2], "gallery_images": images}
    with pytest.raises(ValueError, match="gallery_images for"):
        RetrievalDisplay.from_estimator(retriever, X[:2], y[:2], **{**params, "gallery_images": images[:3]})
    with pytest.raises(ValueError, match="query_images"):
        RetrievalDisplay.from_estimator(retriever, X[:3], y[:3], **params)
    flat = {"query_images": images[:2].reshape(2, 25), "gallery_images": images.reshape(-1, 25)}
    with pytest.raises(ValueError, match="Images have shape"):
        RetrievalDisplay.from_estimator(retriever, X[:2], y[:2], **flat)
    with pytest.raises(ValueError, match="no gallery labels"):
        RetrievalDisplay.from_estimator(retriever.set_gallery(X), X[:2], y[:2], **params)


def test_labels_that_can_never_match_and_odd_names(rng):
    X, y = blobs(rng)
    images = rng.random((len(X), 5, 5))
    retriever = HierarchicalRetriever().fit(X, y)
    with pytest.raises(ValueError, match="text and numbers never match"):
        RetrievalDisplay.from_estimator(
            retriever, X[:2], y[:2].astype(str), query_images=images[:2], gallery_images=images
        )
    display = HierarchyDisplay.from_hierarchy(ClassHierarchy.flat(["a$_$", "b^"]))
    display.figure_.draw_without_rendering()
    per_query = PrecisionCurveDisplay.from_estimator(retriever, X, y, ks=[1, 5], per_query=True)
    means = PrecisionCurveDisplay.from_estimator(retriever, X, y, ks=[1, 5])
    (one,), (other,) = per_query.lines_.values(), means.lines_.values()
    np.testing.assert_allclose(one.get_ydata(), other.get_ydata())


def test_precision_curves_are_the_evaluations(rng):
    X, y = blobs(rng, spread=1.5)
    methods = {"cosine": HierarchicalRetriever(alpha=0).fit(X, y), "ours": HierarchicalRetriever().fit(X, y)}
    display = PrecisionCurveDisplay.from_estimators(methods, X, y, ks=[1, 10, 50], metric="precision")
    for name, line in display.lines_.items():
        table = evaluate_retrieval(methods[name], X, y, [1, 10, 50], ["precision"])
        assert line.get_xdata().tolist() == [1, 10, 50]
        assert line.get_ydata().tolist() == table["score"].tolist()
    assert display.ax_.get_ylabel() == "precision@k"
    _, ax = plt.subplots()
    one = PrecisionCurveDisplay.from_estimator(methods["ours"], X, y, ks=[1, 5], name="ours", ax=ax)
    assert one.ax_ is ax
    assert list(one.lines_) == ["ours"]
    with pytest.raises(ValueError, match="no 'map' at any k"):
        PrecisionCurveDisplay.from_tables(display.tables)


def test_without_matplotlib_the_error_says_what_to_install(monkeypatch, rng):
    X, y = blobs(rng)
    images = rng.random((len(X), 5, 5))
    retriever = HierarchicalRetriever().fit(X, y)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for draw in (
        lambda: HierarchyDisplay.from_hierarchy(ClassHierarchy.flat("ab")),
        lambda: PrecisionCurveDisplay.from_estimator(retriever, X, y, ks=[1, 5]),
        lambda: RetrievalDisplay.from_estimator(
            retriever, X[:2], y[:2], query_images=images[:2], gallery_images=images
        ),
    ):
        with pytest.raises(ImportError, match=r"sklearn-hierret\[plot\]"):
            draw()


def test_threshold_path(rng):
    groups = np.arange(12) // 3
    X, y = blobs(rng, n_classes=12, n_per_class=(30, 60), spread=4.0, groups=groups)
    builder = HierarchyBuilder(0.05).fit(X, y)
    display = ThresholdPathDisplay.from_estimator(builder)
    t = display.lines_[1].get_xdata()
    path = builder.threshold_path(t)
    first = path[path["level"] == 1].sort_values("threshold")
    np.testing.assert_array_equal(display.lines_[1].get_ydata(), first["n_clusters"])
    # Each threshold is one at which two clusters more are joined.
    assert first["n_clusters"].tolist() == list(range(1, 12))
    ax = plt.subplots()[1]
    few = ThresholdPathDisplay.from_estimator(builder, [0.02, 0.05], ax=ax)
    assert few.ax_ is ax


@pytest.mark.parametrize("layout", ["rows", "circle"])
def test_two_classes_and_their_lca_stand_out(layout):
    tree = ClassHierarchy.from_newick("((dog,cat)mammal,(trout,eel)fish)animal;")
    display = HierarchyDisplay.from_hierarchy(tree, layout=layout, highlight=["dog", "cat"])
    assert "cat, dog: height 1 of 2" in display.ax_.get_title()
    bold = [text.get_text() for text in display.text_ if text.get_fontweight() == "bold"]
    assert bold == ["cat", "dog"]
    lines = [len(collection.get_segments()) for collection in display.ax_.collections]
    assert lines == [tree.n_nodes - 1, 2]
    all_of_them = HierarchyDisplay.from_hierarchy(tree, layout=layout, highlight=tree.classes)
    assert "height 2 of 2" in all_of_them.ax_.get_title()
    with pytest.raises(ValueError, match="at least two classes"):
        HierarchyDisplay.from_hierarchy(tree, highlight=["dog"])
    with pytest.raises(ValueError, match="missing in the hierarchy: 'bat'"):
        HierarchyDisplay.from_hierarchy(tree, highlight=["dog", "bat"])


def test_one_curve_after_another_has_a_legend(rng):
    """Five estimators, each by its own call, on the same axes."""
    X, y = blobs(rng, spread=1.0)
    ax = None
    for i, alpha in enumerate([0, 0.1, 0.5, 1, 8]):
        retriever = HierarchicalRetriever(alpha=alpha).fit(X, y)
        display = PrecisionCurveDisplay.from_estimator(
            retriever, X, y, ks=[1, 5, 10], name=f"alpha {i}", ax=ax
        )
        ax = display.ax_
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert sorted(texts) == [f"alpha {i}" for i in range(5)]
    ends = {line.get_label(): line.get_ydata()[-1] for line in ax.get_lines()}
    assert [ends[text] for text in texts] == sorted(ends.values(), reverse=True)
    assert len({(line.get_color(), line.get_marker()) for line in ax.get_lines()}) == 5
    alone = PrecisionCurveDisplay.from_estimator(retriever, X, y, ks=[1, 5], name="one")
    assert alone.ax_.get_legend() is None


@pytest.mark.parametrize(("kind", "white"), [(np.uint8, 255), (np.float64, 1.0)])
def test_grey_photographs_are_bright_where_their_numbers_are_large(rng, kind, white):
    X, y = blobs(rng, spread=1.0)
    images = np.zeros((len(X), 4, 4), dtype=kind)
    images[:, :2] = white
    images[:, 2] = white // 2 if kind is np.uint8 else 0.5
    retriever = HierarchicalRetriever(alpha=0).fit(X, y)
    params = {"query_images": images[:2], "gallery_images": images, "n_neighbors": 2}
    display = RetrievalDisplay.from_estimator(retriever, X[:2], y[:2], **params)
    drawn = display.ax_.images[0]
    red = drawn.cmap(drawn.norm(drawn.get_array()))[..., 0]
    assert red[0, 0] == 1
    assert red[3, 0] == 0
    assert red[2, 0] == pytest.approx(0.5, abs=0.01)
    other = RetrievalDisplay.from_estimator(retriever, X[:2], y[:2], **params, cmap="gray_r")
    drawn = other.ax_.images[0]
    assert drawn.cmap(drawn.norm(drawn.get_array()))[0, 0, 0] == 0


def test_inspection_display_shows_what_the_table_says():
    digits = load_digits()
    X, y = digits.data[:600], digits.target[:600].copy()
    y[[3, 14, 159]] = (y[[3, 14, 159]] + 1) % 10
    retriever = HierarchicalRetriever().fit(X, y)
    table = label_issues(retriever)
    display = InspectionDisplay.from_table(table, digits.images[:600], n_rows=3)
    assert [row[0].id for row in display.rows] == table["id"][:3].tolist()
    assert [cell.id for cell in display.rows[0][1:]] == table["supporting"][0] + table["contradicting"][0]
    assert len(display.ax_.images) == sum(map(len, display.rows))
    names = [f"scan {i}" for i in range(600)]
    named = retriever.set_gallery(X, y, names)
    display = InspectionDisplay.from_table(label_issues(named), digits.images[:600], ids=names, n_rows=2)
    assert display.rows[0][0].id.startswith("scan ")
    groups = near_duplicates(named, threshold=0.6)
    display = InspectionDisplay.from_table(groups, digits.images[:600], ids=names)
    assert [cell.id for cell in display.rows[0]] == groups["id"][groups["group"] == 0].tolist()[:8]
    novel = novel_items(HierarchicalRetriever().fit(X[y < 8], y[y < 8]), X)
    display = InspectionDisplay.from_table(novel, digits.images[:600], n_rows=4)
    assert len(display.rows) == 4
    with pytest.raises(ValueError, match="none of label_issues"):
        InspectionDisplay.from_table(class_overview(named), digits.images[:600])
    with pytest.raises(ValueError, match="no image for the id 'scan"):
        InspectionDisplay.from_table(label_issues(named), digits.images[:600])
    with pytest.raises(ValueError, match="two sets"):
        InspectionDisplay.from_table(near_duplicates(named, X[:3], threshold=0), digits.images[:600])
