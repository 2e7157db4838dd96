"""The nearest class by bounds is the nearest class."""

import numpy as np
import pytest

from sklearn_hierret import MahalanobisClassifier
from sklearn_hierret.gaussian._nearest import N_LEADING

TYPES = ["full", "tied", "diag", "spherical"]


def clouds(rng, n_classes=30, d=3 * N_LEADING, n=4000, spread=1.0):
    """Classes of different shapes, in more dimensions than the bounds look at."""
    centres = spread * rng.normal(size=(n_classes, d))
    shapes = rng.normal(size=(n_classes, d, d)) / np.sqrt(d) + 0.3 * np.eye(d)
    y = rng.integers(0, n_classes, n)
    X = centres[y] + np.einsum("nd,nde->ne", rng.normal(size=(n, d)), shapes[y])
    return X, y


def slowly(model, X):
    return model.classes_[model.predict_log_proba(X).argmax(axis=1)]


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("decision", ["likelihood", "mahalanobis"])
@pytest.mark.parametrize("spread", [0.02, 1.0])
@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_bounds_lose_no_class(rng, covariance_type, decision, spread, offset):
    X, y = clouds(rng, spread=spread)
    X = (X + offset).astype(np.float32 if offset == 0 else np.float64)
    model = MahalanobisClassifier(covariance_type, decision=decision, n_components=None).fit(X[::2], y[::2])
    np.testing.assert_array_equal(model.predict(X[1::2]), slowly(model, X[1::2]))
    assert (model._model().nearest.leading is not None) == (covariance_type == "full")


def test_most_classes_are_never_computed(rng, monkeypatch):
    X, y = clouds(rng)
    model = MahalanobisClassifier(n_components=None).fit(X, y)
    pairs = 0
    squared = type(model._model().nearest)._squared

    def counted(self, X, c):
        nonlocal pairs
        pairs += len(X)
        return squared(self, X, c)

    monkeypatch.setattr(type(model._model().nearest), "_squared", counted)
    model.predict(X)
    assert len(X) <= pairs < 5 * len(X)  # of 30 classes


@pytest.mark.parametrize("covariance_type", TYPES)
def test_equal_classes_go_to_the_first_in_every_batch(rng, covariance_type):
    X, y = clouds(rng, n_classes=4, n=600)
    X, y = np.concatenate([X, X, X]), np.concatenate([y, y + 4, y + 8])  # three copies of each class
    model = MahalanobisClassifier(covariance_type, n_components=None).fit(X, y)
    whole = model.predict(X[:600])
    assert whole.max() < 4
    for size in (1, 7, 100):
        parts = [model.predict(X[i : min(i + size, 600)]) for i in range(0, 600, size)]
        np.testing.assert_array_equal(np.concatenate(parts), whole)


@pytest.mark.parametrize("covariance_type", TYPES)
def test_a_prior_of_zero_rules_a_class_out(rng, covariance_type):
    X, y = clouds(rng)
    priors = np.r_[0.0, np.full(29, 1 / 29)]
    model = MahalanobisClassifier(covariance_type, priors=priors, n_components=None).fit(X, y)
    assert 0 not in model.predict(X[y == 0])


@pytest.mark.parametrize("covariance_type", TYPES)
def test_far_samples(rng, covariance_type):
    X, y = clouds(rng)
    model = MahalanobisClassifier(covariance_type, n_components=None).fit(X, y)
    far = 1e30 * X[:20]  # beyond single precision when squared
    np.testing.assert_array_equal(model.predict(far), slowly(model, far))
    with pytest.raises(ValueError, match="so far from all classes"):
        model.predict(1e200 * X[:1])
