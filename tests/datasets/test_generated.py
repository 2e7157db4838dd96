import numpy as np
import pytest
from scipy.stats import spearmanr

from sklearn_hierret import HierarchyBuilder, LinkageHierarchyBuilder
from sklearn_hierret.datasets import make_hierarchical_blobs


def test_sizes_labels_and_tree():
    X, y, tree = make_hierarchical_blobs(100, branching=(2, 3), n_features=5, random_state=0)
    assert X.shape == (100, 5)
    assert np.bincount(y).tolist() == [17, 17, 17, 17, 16, 16]
    assert tree.classes.tolist() == list(range(6))
    assert tree.distance(0, [1, 2, 3, 5]).tolist() == [0.5, 0.5, 1.0, 1.0]
    again = make_hierarchical_blobs(100, branching=(2, 3), n_features=5, random_state=0)
    np.testing.assert_array_equal(again[0], X)
    assert not np.all(np.diff(y) >= 0)  # shuffled
    sizes = [3, 1, 4, 1]
    _, y, deep = make_hierarchical_blobs(sizes, branching=(2, 1, 2))
    assert np.bincount(y).tolist() == sizes
    assert deep.distance(0, [1, 2]).tolist() == pytest.approx([1 / 3, 1])  # their parent has no sibling


def test_means_follow_the_tree():
    X, y, tree = make_hierarchical_blobs(3000, branching=(4, 4), n_features=64, random_state=0)
    means = np.stack([X[y == c].mean(axis=0) for c in range(16)])
    upper = np.triu_indices(16, k=1)
    apart = np.linalg.norm(means[:, None] - means[None], axis=2)[upper]
    near = tree.distance_matrix()[upper] < 1
    assert apart[near].max() < apart[~near].min()
    found = LinkageHierarchyBuilder().fit(X, y).hierarchy_
    assert np.array_equal(found.cut(n_clusters=4), tree.cut(n_clusters=4))


def test_overlap_grows_as_steps_shrink():
    overlaps = []
    for last in (4.0, 1.0, 0.25):
        X, y, tree = make_hierarchical_blobs(
            2000, branching=(3, 3), n_features=4, level_std=(8, last), anisotropy=0.2, random_state=1
        )
        overlaps.append(HierarchyBuilder().fit(X, y).overlap_[np.triu_indices(9, k=1)])
    assert overlaps[0].mean() < overlaps[1].mean() < overlaps[2].mean()
    assert spearmanr(overlaps[2], tree.distance_matrix()[np.triu_indices(9, k=1)]).statistic < -0.7


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"branching": ()}, "branching must be"),
        ({"branching": (2, 0)}, "branching must be"),
        ({"level_std": (1,)}, "level_std must be 2 numbers"),
        ({"level_std": (1, -1)}, "level_std must be"),
        ({"cluster_std": -1}, "cluster_std and anisotropy"),
        ({"n_samples": 5}, "at least one sample"),
        ({"n_samples": [1, 2]}, "9 classes"),
    ],
)
def test_bad_parameters(params, message):
    with pytest.raises(ValueError, match=message):
        make_hierarchical_blobs(**params)
