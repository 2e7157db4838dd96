import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import linkage
from scipy.spatial.distance import squareform

from sklearn_hierret import ClassHierarchy, HierarchyBuilder, MahalanobisClassifier
from tests.reference import gaussians as reference
from tests.strategies import blobs, examples


def exact_model(covariance_type="full", shrinkage=None):
    return MahalanobisClassifier(covariance_type, shrinkage=shrinkage, n_components=None)


def test_ten_gaussians_against_the_closed_form_and_a_hand_run():
    rng = np.random.default_rng(7)
    X, y = blobs(
        rng,
        n_classes=10,
        n_features=3,
        n_per_class=(300, 400),
        groups=[0, 0, 0, 1, 1, 2, 3, 3, 3, 4],
        spread=2,
    )
    gaussians = reference.class_gaussians(X, y)
    seen = set()
    for t in (0.05, 0.2, 0.4, 0.6, 0.8, 0.95):
        builder = HierarchyBuilder(t, class_model=exact_model()).fit(X, y)
        np.testing.assert_allclose(builder.overlap_, reference.overlap(gaussians), atol=1e-8)
        expected = reference.levels_from_samples(X, y, t)
        np.testing.assert_array_equal(builder.levels_, expected)
        seen.add(len(builder.levels_))
    assert max(seen) >= 4  # thresholds at which several levels merge


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(["full", "tied", "diag", "spherical"]),
    st.sampled_from([None, "auto", 0.3]),
    st.floats(0.05, 0.9),
    st.sampled_from([0.0, 0.05, 0.3]),
)
@settings(max_examples=examples(60))
def test_levels_equal_the_procedure_on_pooled_samples(seed, covariance_type, shrinkage, threshold, decay):
    rng = np.random.default_rng(seed)
    X, y = blobs(rng, n_classes=7, n_features=3, spread=2.0, groups=[0, 0, 1, 1, 2, 3, 3])
    builder = HierarchyBuilder(
        threshold, threshold_decay=decay, class_model=exact_model(covariance_type, shrinkage)
    ).fit(X, y)
    expected = reference.levels_from_samples(X, y, threshold, covariance_type, shrinkage, decay)
    np.testing.assert_array_equal(builder.levels_, expected)


def test_three_classes_by_hand():
    # Means 0, 2 and 5 with covariance 1 (tied): BC = exp(-d^2 / 8).
    unit = np.array([-1.0, 0.0, 1.0])
    X = np.concatenate([unit, unit + 2, unit + 5])[:, None]
    y = ["a"] * 3 + ["b"] * 3 + ["c"] * 3
    builder = HierarchyBuilder(0.5, class_model=exact_model("tied")).fit(X, y)
    np.testing.assert_allclose(builder.overlap_[0], np.exp(-np.array([0, 4, 25]) / 8))
    # a and b merge (0.607); a+b has mean 1, pooled scatter 2+2+2+6 = 12 over n - K = 7,
    # so to c: exp(-(4^2 / (12/7)) / 8) = 0.31 < 0.5, and the root joins them.
    np.testing.assert_array_equal(builder.levels_, [[0, 1, 2], [0, 0, 1], [0, 0, 0]])
    assert builder.hierarchy_.distance("a", ["b", "c"]).tolist() == [0.5, 1.0]
    # b and c overlap by exp(-9/8) = 0.32: at t = 0.3 all three are one component.
    lower = HierarchyBuilder(0.3, class_model=exact_model("tied")).fit(X, y)
    np.testing.assert_array_equal(lower.levels_, [[0, 1, 2], [0, 0, 0]])
    assert HierarchyBuilder(0.7, class_model=exact_model("tied")).fit(X, y).hierarchy_ == ClassHierarchy.flat(
        ["a", "b", "c"]
    )


def test_single_linkage_chains():
    unit = np.array([-1.0, 0.0, 1.0])
    X = np.concatenate([unit + 1.5 * i for i in range(6)])[:, None]
    y = np.repeat(np.arange(6), 3)
    single = HierarchyBuilder(0.6, class_model=exact_model("tied")).fit(X, y)
    np.testing.assert_array_equal(single.levels_, [np.arange(6), np.zeros(6)])
    average = HierarchyBuilder(0.6, linkage="average", class_model=exact_model("tied")).fit(X, y)
    assert len(average.levels_) > 2


@pytest.mark.parametrize("method", ["average", "complete"])
@pytest.mark.parametrize("threshold", [0.01, 0.3, 0.7, 1.0])
def test_dendrograms(rng, method, threshold):
    X, y = blobs(rng, n_classes=8, spread=1.2)
    builder = HierarchyBuilder(threshold, linkage=method, class_model=exact_model()).fit(X, y)
    Z = linkage(squareform(1 - builder.overlap_, checks=False), method)
    kept = np.unique(Z[Z[:, 2] <= 1 - threshold, 2])
    tree = builder.hierarchy_
    heights = np.unique(tree.heights[tree.n_classes :])
    expected = kept if len(kept) and Z[-1, 2] <= 1 - threshold else np.append(kept, 1.0)
    np.testing.assert_allclose(heights, expected)
    assert len(builder.levels_) == len(heights) + 1
    np.testing.assert_array_equal(builder.levels_, tree.levels())
    np.testing.assert_array_equal(builder.levels_[0], np.arange(8))
    assert not builder.levels_[-1].any()


def test_levels_and_heights_agree(rng):
    X, y = blobs(rng, n_classes=9, spread=1.0, groups=[0, 0, 0, 1, 1, 2, 2, 3, 4])
    for t in (0.1, 0.3, 0.5, 0.8):
        builder = HierarchyBuilder(t, class_model=exact_model()).fit(X, y)
        tree, levels = builder.hierarchy_, builder.levels_
        assert tree.height == len(levels) - 1
        meet = np.argmax(levels[:, :, None] == levels[:, None, :], axis=0)
        np.testing.assert_allclose(tree.distance_matrix(), meet / tree.height)


def test_labels_names_do_not_matter(rng):
    X, y = blobs(rng, n_classes=6, spread=1.0)
    names = np.array(["zebra", "ant", "cow", "bee", "yak", "dog"])
    by_number = HierarchyBuilder(0.3).fit(X, y)
    by_name = HierarchyBuilder(0.3).fit(X, names[y])
    a = by_number.hierarchy_.distance(np.arange(6)[:, None], np.arange(6))
    np.testing.assert_array_equal(by_name.hierarchy_.distance(names[:, None], names), a)
    position = np.argsort(np.argsort(names))
    np.testing.assert_allclose(by_name.overlap_[np.ix_(position, position)], by_number.overlap_)


def test_the_class_model_is_fitted_on_a_copy(rng):
    X, y = blobs(rng)
    model = MahalanobisClassifier("tied")
    builder = HierarchyBuilder(class_model=model).fit(X, y)
    assert not hasattr(model, "classes_")
    assert builder.class_model_.covariance_type == "tied"
    assert builder.set_params(class_model__covariance_type="diag").class_model.covariance_type == "diag"


@pytest.mark.parametrize(
    "params",
    [
        {"threshold": 0.0},
        {"threshold": 1.5},
        {"threshold": -1},
        {"linkage": "ward"},
        {"threshold_decay": 1.0},
        {"class_model": "tied"},
    ],
)
def test_bad_parameters(rng, params):
    X, y = blobs(rng)
    builder = HierarchyBuilder(**params)
    with pytest.raises(ValueError, match=next(iter(params))):
        builder.fit(X, y)
    assert not [name for name in vars(builder) if name.endswith("_")]


def test_an_overlap_equal_to_the_threshold_merges(rng):
    one = rng.normal(size=(30, 3))
    X, y = np.concatenate([one, one, one + 50]), np.repeat([0, 1, 2], 30)
    builder = HierarchyBuilder(1.0, class_model=exact_model("tied")).fit(X, y)
    assert builder.overlap_[0, 1] == 1.0
    np.testing.assert_array_equal(builder.levels_, [[0, 1, 2], [0, 0, 1], [0, 0, 0]])


def test_nested_parameters_without_a_class_model():
    with pytest.raises(ValueError, match=r"class_model__temperature.*MahalanobisClassifier\(\)"):
        HierarchyBuilder().set_params(class_model__temperature=2.0)
