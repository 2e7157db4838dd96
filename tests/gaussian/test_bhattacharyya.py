import numpy as np
import pytest
from sklearn import config_context

from sklearn_hierret import MahalanobisClassifier
from tests.reference import gaussians as reference
from tests.strategies import blobs

TYPES = ["full", "tied", "diag", "spherical"]


def model_of(X, y, covariance_type, shrinkage=None):
    return MahalanobisClassifier(covariance_type, shrinkage=shrinkage, n_components=None).fit(X, y)


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("shrinkage", [None, "auto", 0.3])
def test_overlap_equals_the_formula(rng, covariance_type, shrinkage):
    X, y = blobs(rng, n_classes=6, n_features=4, spread=1.5)
    model = model_of(X, y, covariance_type, shrinkage)
    overlap = model.overlap_of(model.statistics_)
    expected = reference.overlap(reference.class_gaussians(X, y, covariance_type, shrinkage))
    np.testing.assert_allclose(overlap, expected, atol=1e-10)
    assert 0.05 < np.median(overlap) < 0.95  # a case that says something


@pytest.mark.parametrize("covariance_type", TYPES)
def test_overlap_is_a_coefficient(rng, covariance_type):
    X, y = blobs(rng, n_classes=6, spread=1.0)
    model = model_of(X, y, covariance_type)
    overlap = model.overlap_of(model.statistics_)
    np.testing.assert_array_equal(overlap, overlap.T)
    np.testing.assert_array_equal(np.diag(overlap), 1)
    assert overlap.min() >= 0
    assert overlap.max() <= 1


def test_equal_gaussians_overlap_wholly(rng):
    one = rng.normal(size=(30, 3))
    X, y = np.concatenate([one, one, one + 50]), np.repeat([0, 1, 2], 30)
    model = model_of(X, y, "full")
    overlap = model.overlap_of(model.statistics_)
    assert overlap[0, 1] == pytest.approx(1, abs=1e-12)
    assert overlap[0, 2] < 1e-12


def test_by_hand_in_one_dimension():
    # N(0, 1) and N(2, 4): D_B = 1/8 * 4 / 2.5 + 1/2 ln(2.5 / 2)
    X = np.array([-1.0, 0.0, 1.0, 0.0, 2.0, 4.0])[:, None]
    model = model_of(X, [0, 0, 0, 1, 1, 1], "full")
    np.testing.assert_allclose(model.covariances_.ravel(), [1, 4])
    expected = np.exp(-(4 / 2.5 / 8 + 0.5 * np.log(1.25)))
    assert model.overlap_of(model.statistics_)[0, 1] == pytest.approx(expected, abs=1e-14)


def test_chunks_change_nothing(rng):
    X, y = blobs(rng, n_classes=30, n_features=12, n_per_class=(30, 40))
    model = model_of(X, y, "full")
    whole = model.overlap_of(model.statistics_)
    with config_context(working_memory=0.01):
        np.testing.assert_array_equal(model.overlap_of(model.statistics_), whole)


@pytest.mark.parametrize("small", [30, 100, 300])
def test_class_size_alone_does_not_separate_tied_classes(rng, small):
    # Two samples of one Gaussian: per-class covariances see the sizes, the tied one does not.
    d, large = 128, 3000
    X, y = rng.normal(size=(small + large, d)), np.repeat([0, 1], [small, large])
    overlap = {}
    for covariance_type, shrinkage in [("tied", None), ("full", "auto"), ("full", 0.0)]:
        model = model_of(X, y, covariance_type, shrinkage) if small > d or shrinkage != 0.0 else None
        overlap[covariance_type, shrinkage] = (
            0.0 if model is None else model.overlap_of(model.statistics_)[0, 1]
        )
    # The mean of the small class alone costs exp(-d / small / 8).
    assert overlap["tied", None] > 0.8 * np.exp(-d / small / 8)
    assert overlap["tied", None] > overlap["full", "auto"] > overlap["full", 0.0]
