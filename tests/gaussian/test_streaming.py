"""Samples in blocks give what one fit to all of them gives."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_hierret import MahalanobisClassifier, _arrays
from sklearn_hierret.gaussian import ClassStatistics
from sklearn_hierret.gaussian._model import GaussianRule
from tests.strategies import blobs, examples, generators

TYPES = ["full", "tied", "diag", "spherical"]


def chunks(n, n_chunks, rng):
    return np.array_split(rng.permutation(n), n_chunks)


@given(generators(), st.sampled_from(["full", "diag", "pooled"]), st.integers(1, 6))
@settings(max_examples=examples(60))
def test_adding_statistics_equals_all_samples_at_once(rng, kind, n_chunks):
    codes = rng.integers(0, 5, 60)
    X = (rng.normal(size=(60, 3)) + 1e4).astype(np.float32)
    total = ClassStatistics.empty(5, 3, kind)
    for rows in chunks(60, n_chunks, rng):
        total.add(ClassStatistics.from_samples(X[rows], codes[rows], 5, kind))
    whole = ClassStatistics.from_samples(X, codes, 5, kind)
    np.testing.assert_array_equal(total.counts, whole.counts)
    np.testing.assert_allclose(total.means, whole.means, rtol=1e-13)
    np.testing.assert_allclose(total.scatter, whole.scatter, rtol=1e-9, atol=1e-6)


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("n_components", [None, 0.9, 3])
def test_partial_fit_is_fit(rng, covariance_type, n_components):
    X, y = blobs(rng, n_classes=6, n_features=5, n_per_class=(40, 80))
    X = (X * [5, 4, 3, 2, 1] + 1e4).astype(np.float32)
    whole = MahalanobisClassifier(covariance_type, n_components=n_components).fit(X, y)
    parts = MahalanobisClassifier(covariance_type, n_components=n_components)
    for rows in chunks(len(X), 50, rng):
        assert parts.partial_fit(X[rows], y[rows]) is parts
    np.testing.assert_array_equal(parts.classes_, whole.classes_)
    for name in ("mean_", "means_", "covariances_", "log_determinants_", "class_prior_"):
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(parts.overlap_of(), whole.overlap_of(), atol=1e-8)
    np.testing.assert_allclose(parts.predict_proba(X), whole.predict_proba(X), atol=1e-8)
    np.testing.assert_array_equal(parts.predict(X), whole.predict(X))


def test_labels_may_come_later(rng):
    X, y = blobs(rng, n_classes=4, n_features=3)
    names = np.array(["d", "b", "a", "c"])[y]
    order = np.argsort(names)[::-1]  # d first, a last
    model = MahalanobisClassifier(n_components=None)
    for rows in np.array_split(order, 7):
        model.partial_fit(X[rows], names[rows], classes=["a", "b", "c", "d", "never seen"])
    whole = MahalanobisClassifier(n_components=None).fit(X, names)
    assert model.classes_.tolist() == ["a", "b", "c", "d"]
    np.testing.assert_allclose(model.means_, whole.means_, atol=1e-12)
    np.testing.assert_array_equal(model.predict(X), whole.predict(X))


def test_gaussians_are_made_when_needed_and_again_after_more(rng, monkeypatch):
    X, y = blobs(rng)
    made = []
    original = GaussianRule.model

    def counted(self, *args):
        made.append(True)
        return original(self, *args)

    monkeypatch.setattr(GaussianRule, "model", counted)
    model = MahalanobisClassifier()
    for rows in chunks(len(X), 5, rng):
        model.partial_fit(X[rows], y[rows])
    assert made == []
    before = model.predict_proba(X)
    model.partial_fit(X[:20], y[:20])
    assert np.abs(model.predict_proba(X) - before).max() > 0
    assert sum(made) == 2


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("n_components", [None, 0.9])
def test_partial_fit_after_fit(rng, covariance_type, n_components):
    X, y = blobs(rng, n_classes=4)
    half = len(X) // 2
    params = {"covariance_type": covariance_type, "n_components": n_components}
    model = MahalanobisClassifier(**params).fit(X[:half], y[:half]).partial_fit(X[half:], y[half:])
    whole = MahalanobisClassifier(**params).fit(X, y)
    np.testing.assert_allclose(model.means_, whole.means_, atol=1e-12)
    np.testing.assert_allclose(model.covariances_, whole.covariances_, atol=1e-10)


def test_a_large_fit_keeps_the_components_only(rng, monkeypatch):
    X, y = blobs(rng, n_classes=4)
    small = MahalanobisClassifier(n_components=3).fit(X, y)
    monkeypatch.setattr("sklearn_hierret.gaussian._streaming.MOST_NUMBERS", 10)
    large = MahalanobisClassifier(n_components=3).fit(X, y)
    for name in ("mean_", "components_", "means_", "covariances_", "log_determinants_"):
        np.testing.assert_allclose(getattr(large, name), getattr(small, name), atol=1e-10)
    with pytest.raises(ValueError, match="start with partial_fit"):
        large.partial_fit(X, y)


def test_bad_blocks_change_nothing(rng):
    X, y = blobs(rng, n_classes=3)
    model = MahalanobisClassifier(n_components=None).partial_fit(X, y)
    before = model.means_.copy()
    for call, message in [
        (lambda: model.partial_fit(X[:, :2], y), "features"),
        (lambda: model.partial_fit(X * np.nan, y), "NaN"),
        (lambda: model.partial_fit(X, y[:3]), "inconsistent"),
        (lambda: model.partial_fit(X, y.astype(str)), "text and numbers"),
        (lambda: model.partial_fit(X, np.linspace(0, 1, len(X))), "Unknown label type"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()
        np.testing.assert_array_equal(model.means_, before)
    one = MahalanobisClassifier().partial_fit(X[y == 0], y[y == 0])
    with pytest.raises(ValueError, match="one class so far: 0"):
        one.predict(X)


def test_temperature_of_held_out_samples(rng):
    X, y = blobs(rng, n_classes=4, n_features=3, n_per_class=(150, 200), spread=1.0)
    rows = rng.permutation(len(X))
    # Ten copies of each feature: the likelihood counts the same evidence ten times.
    copies = np.repeat(X[rows], 10, axis=1) + 1e-3 * rng.normal(size=(len(X), 30))
    params = {"temperature": "auto", "n_components": None}
    once = MahalanobisClassifier("tied", **params).fit(X[rows], y[rows])
    assert 0.5 < once.temperature_ < 2
    naive = MahalanobisClassifier("diag", shrinkage=None, **params).fit(copies, y[rows])
    assert 4 < naive.temperature_ < 40
    proba = naive.predict_proba(copies)
    fixed = MahalanobisClassifier(
        "diag", shrinkage=None, n_components=None, temperature=naive.temperature_
    ).fit(copies, y[rows])
    np.testing.assert_array_equal(fixed.predict_proba(copies), proba)
    assert not hasattr(MahalanobisClassifier(temperature="auto"), "partial_fit")


def test_temperature_with_classes_smaller_than_the_folds(rng):
    X, y = blobs(rng, n_classes=4, n_per_class=(30, 40))
    y[np.flatnonzero(y == 3)[2:]] = 2
    model = MahalanobisClassifier(temperature="auto").fit(X, y)
    assert np.isfinite(model.predict_proba(X)).all()


@pytest.mark.parametrize("n_chunks", [1, 2, 7, 40])
def test_samples_are_kept_while_they_are_few(rng, n_chunks):
    X, y = rng.normal(size=(40, 30)), np.arange(40) % 4
    parts = MahalanobisClassifier(n_components=5)
    for rows in chunks(40, n_chunks, rng):
        parts.partial_fit(X[rows], y[rows])
    raw = parts._statistics
    assert sum(len(block) for block, _ in raw.samples) == 40  # 40 x 30 numbers, not 4 x 30 x 30
    assert len(raw.samples) <= 6
    whole = MahalanobisClassifier(n_components=5).fit(X, y)
    np.testing.assert_allclose(parts.predict_proba(X), whole.predict_proba(X), atol=1e-9)
    parts.partial_fit(np.concatenate([X, X]), np.concatenate([y, y]))
    assert parts._statistics.samples == ()
    assert raw.statistics is None  # what others hold does not change
    whole.fit(np.concatenate([X, X, X]), np.concatenate([y, y, y]))
    np.testing.assert_allclose(parts.predict_proba(X), whole.predict_proba(X), atol=1e-9)


def test_memory_of_few_samples_in_many_dimensions(rng):
    X, y = rng.normal(size=(100, 2000)).astype(np.float32), np.arange(100) % 15
    tracemalloc.start()
    try:
        model = MahalanobisClassifier().partial_fit(X[:60], y[:60]).partial_fit(X[60:], y[60:])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 20 * X.nbytes  # covariances would be 480 MB
    model.predict(X[:5])


def test_covariances_beyond_memory_fail_before_they_are_made(rng, monkeypatch):
    X, y = rng.normal(size=(20, 10)), np.arange(20) % 4
    model = MahalanobisClassifier(n_components=3).partial_fit(X, y)
    before = model.predict_proba(X)
    monkeypatch.setattr(_arrays, "MEMORY_SHARE", 1e-9)
    with pytest.raises(MemoryError, match="Covariances of 4 classes in 10 dimensions would take"):
        model.partial_fit(X, y)
    np.testing.assert_array_equal(model.predict_proba(X), before)
