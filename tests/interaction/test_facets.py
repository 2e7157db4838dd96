import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sklearn_hierret import FacetDisplay, HierarchicalRetriever, HierarchyBuilder, LinkageHierarchyBuilder
from sklearn_hierret.interaction import facets
from sklearn_hierret.interaction._facets import splitting_nodes
from tests.strategies import blobs, generators, trees


@given(trees(), generators(), st.integers(1, 6))
def test_nodes_divide_the_results(tree, rng, n_facets):
    counts = rng.integers(0, 4, tree.n_classes).astype(float)
    counts[0] += 1
    nodes = splitting_nodes(tree, counts, n_facets)
    below = tree.is_below(tree.classes[:, None], nodes[None])
    assert np.all(below[counts > 0].sum(axis=1) == 1)  # each result is in one
    assert np.all(counts @ below > 0)
    n_children = np.array([np.sum(tree.parents == node) for node in range(tree.n_nodes)])
    assert len(nodes) <= max(n_facets, 1)
    # Nothing that could be divided is left.
    held = tree.node_probabilities(counts[None])[0]
    for node in nodes[n_children[nodes] > 0]:
        n_held = np.sum((tree.parents == node) & (held > 0))
        assert len(nodes) - 1 + n_held > n_facets


@pytest.fixture
def data(rng):
    X, y = blobs(rng, n_classes=6, spread=1.2)
    return HierarchicalRetriever(HierarchyBuilder(0.3)).fit(X[:-8], y[:-8]), X[-8:]


def test_the_table_is_that_of_the_results(data):
    retriever, Q = data
    table = facets(retriever, Q, 40, n_facets=3, n_examples=4)
    distances, indices = retriever.kneighbors(Q, 40)
    assert (table.groupby("query")["n_results"].sum() == 40).all()
    np.testing.assert_allclose(table.groupby("query")["share"].sum(), 1)
    for query, part in table.groupby("query"):
        assert part["first_rank"].is_monotonic_increasing
        assert part["distance"].iloc[0] == pytest.approx(distances[query, 0])
        for row in part.itertuples():
            inside = retriever.kneighbors(Q[[query]], row.n_results, within=[row.node])[1][0]
            kept = [i for i in indices[query] if i in set(inside)]
            assert kept[: len(row.positions)] == list(row.positions)
            assert len(kept) == row.n_results


def test_display_and_bad_input(data, rng):
    retriever, Q = data
    images = rng.random((retriever.n_samples_fit_, 5, 5))
    display = FacetDisplay.from_estimator(
        retriever, Q[:1], gallery_images=images, query_image=images[0], n_facets=3
    )
    texts = [text.get_text() for text in display.ax_.texts]
    assert set(display.table["title"]) <= set(texts)
    assert len(display.ax_.images) == 1 + sum(map(len, display.table["positions"]))
    with pytest.raises(ValueError, match="one row"):
        FacetDisplay.from_estimator(retriever, Q, gallery_images=images)
    with pytest.raises(ValueError, match="larger gallery"):
        FacetDisplay.from_estimator(retriever, Q[:1], gallery_images=images[:3])
    for params, message in [
        ({"n_facets": 0}, "n_facets must be"),
        ({"n_examples": 1.5}, "n_examples must be"),
        ({"n_neighbors": 10**6}, "the gallery holds"),
    ]:
        with pytest.raises(ValueError, match=message):
            facets(retriever, Q, **params)
    with pytest.raises(ValueError, match="nowhere"):
        retriever.kneighbors(Q, 2, within=["nowhere"])
    named = [retriever.hierarchy_.node_names[-1], 2]  # a number beside a name stays one
    np.testing.assert_array_equal(retriever.kneighbors(Q, 2, within=named)[1], retriever.kneighbors(Q, 2)[1])
    np.testing.assert_array_equal(
        retriever.kneighbors(Q, 2, within={1, 2})[1], retriever.kneighbors(Q, 2, within=[1, 2])[1]
    )
    several = HierarchicalRetriever([HierarchyBuilder(), LinkageHierarchyBuilder()])
    several.fit(retriever.searcher().gallery.features, retriever.gallery_labels_)
    with pytest.raises(TypeError, match="One tree"):
        facets(several, Q, 5)
