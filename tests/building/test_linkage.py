import numpy as np
import pytest
from scipy.cluster.hierarchy import cophenet, linkage
from scipy.spatial.distance import squareform

from sklearn_hierret import DiscriminantClassifier, LinkageHierarchyBuilder
from tests.strategies import blobs


@pytest.mark.parametrize("method", ["ward", "average", "complete", "single", "weighted"])
def test_is_scipys_over_the_class_means(rng, method):
    X, y = blobs(rng, n_classes=7)
    builder = LinkageHierarchyBuilder(method).fit(X, y)
    means = np.array([X[y == c].mean(axis=0) for c in range(7)])
    Z = linkage(means, method)
    np.testing.assert_allclose(builder.means_, means)
    np.testing.assert_allclose(builder.linkage_matrix_, Z)
    tree = builder.hierarchy_
    np.testing.assert_allclose(tree.distance_matrix() * tree.height, squareform(cophenet(Z)))


def test_cosine_and_its_limits(rng):
    X, y = blobs(rng, n_classes=5)
    tree = LinkageHierarchyBuilder("average", metric="cosine").fit(X, y).hierarchy_
    scaled = LinkageHierarchyBuilder("average", metric="cosine").fit(X * 7, y).hierarchy_
    np.testing.assert_allclose(tree.distance_matrix(), scaled.distance_matrix())
    with pytest.raises(ValueError, match="'ward' needs metric='euclidean'"):
        LinkageHierarchyBuilder("ward", metric="cosine").fit(X, y)
    with pytest.raises(ValueError, match="All class means are equal"):
        LinkageHierarchyBuilder("average", metric="cosine").fit(
            [[0.1, 0.2], [0.3, 0.6], [0.7, 1.4]], [0, 1, 2]
        )
    with pytest.raises(ValueError, match="mean of class 0 is zero"):
        LinkageHierarchyBuilder("average", metric="cosine").fit(
            [[1, 1], [-1, -1], [0, 1], [0, 2], [1, 1], [1, 2]], [0, 0, 1, 1, 2, 2]
        )
    with pytest.raises(ValueError, match="All class means are equal"):
        LinkageHierarchyBuilder().fit(np.ones((6, 2)), [0, 0, 1, 1, 2, 2])
    with pytest.raises(ValueError, match="At least two classes"):
        LinkageHierarchyBuilder().fit(X, np.zeros(len(X)))


def test_heights_by_rank(rng):
    X, y = blobs(rng, n_classes=8)
    by_distance = LinkageHierarchyBuilder("average").fit(X, y)
    by_rank = LinkageHierarchyBuilder("average", heights="rank").fit(X, y)
    np.testing.assert_array_equal(by_rank.hierarchy_.parents, by_distance.hierarchy_.parents)
    np.testing.assert_array_equal(by_rank.linkage_matrix_[:, 2], np.arange(1, 8))
    assert by_rank.hierarchy_.height == 7


def test_means_of_a_class_model(rng):
    X, y = blobs(rng, n_classes=6)
    model = DiscriminantClassifier()
    builder = LinkageHierarchyBuilder("average", metric="cosine", class_model=model).fit(X, y)
    means = model.fit(X, y).means_
    np.testing.assert_allclose(builder.means_, means)
    Z = linkage(means, "average", metric="cosine")
    np.testing.assert_allclose(builder.linkage_matrix_, Z, atol=1e-10)
    assert builder.class_model_.means_.shape == (6, 4)
    # Classes that cannot be told apart at all.
    flat = LinkageHierarchyBuilder("average", metric="cosine", class_model=model).fit(np.ones((6, 2)), y[:6])
    assert flat.hierarchy_.n_nodes == flat.hierarchy_.n_classes + 1
    with pytest.raises(ValueError, match="class_model__shrinkage"):
        LinkageHierarchyBuilder().set_params(class_model__shrinkage=0.1)
