import tracemalloc

import numpy as np
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from sklearn_hierret import MahalanobisClassifier
from tests.reference import gaussians as reference
from tests.strategies import blobs

TYPES = ["full", "tied", "diag", "spherical"]


@pytest.fixture
def data(rng):
    return blobs(rng, n_classes=5, n_features=4, spread=1.0)


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("shrinkage", [None, "auto", 0.5, 1.0, 0])
def test_mahalanobis_equals_loops(data, covariance_type, shrinkage):
    X, y = data
    model = MahalanobisClassifier(covariance_type, shrinkage=shrinkage, n_components=None).fit(X, y)
    expected = reference.mahalanobis(X, reference.class_gaussians(X, y, covariance_type, shrinkage))
    np.testing.assert_allclose(model.mahalanobis(X), expected, rtol=1e-9)
    nearest = MahalanobisClassifier(
        covariance_type, shrinkage=shrinkage, n_components=None, decision="mahalanobis"
    ).fit(X, y)
    np.testing.assert_array_equal(nearest.predict(X), expected.argmin(axis=1))


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("priors", [None, "uniform", [0.1, 0.2, 0.3, 0.4, 0.0]])
def test_likelihood_equals_loops(data, covariance_type, priors):
    X, y = data
    T = 2.5
    model = MahalanobisClassifier(
        covariance_type, n_components=None, decision="likelihood", temperature=T, priors=priors
    ).fit(X, y)
    log_p = reference.log_density(X, reference.class_gaussians(X, y, covariance_type, "auto"))
    weights = {"None": np.bincount(y) / len(y), "uniform": np.full(5, 0.2)}.get(str(priors), priors)
    with np.errstate(divide="ignore"):
        scores = (np.log(weights) + log_p) / T
    p = np.exp(scores - scores.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(model.predict_proba(X), p, rtol=1e-8, atol=1e-12)
    np.testing.assert_array_equal(model.predict(X), p.argmax(axis=1))


def test_mahalanobis_probabilities(data):
    X, y = data
    model = MahalanobisClassifier(n_components=None, decision="mahalanobis", temperature=3.0).fit(X, y)
    p = np.exp(-(model.mahalanobis(X) ** 2) / (2 * 3.0))
    np.testing.assert_allclose(model.predict_proba(X), p / p.sum(axis=1, keepdims=True), rtol=1e-9)
    np.testing.assert_allclose(np.exp(model.predict_log_proba(X)), model.predict_proba(X))


def test_tied_likelihood_is_linear_discriminant_analysis(data):
    X, y = data
    tied = MahalanobisClassifier("tied", n_components=None, temperature=1.0).fit(X, y)
    lda = LinearDiscriminantAnalysis().fit(X, y)
    # scikit-learn's pooled covariance divides by n, ours by n - K.
    np.testing.assert_array_equal(tied.predict(X), lda.predict(X))


@pytest.mark.parametrize("n_components", [0.5, 0.95, 0.999, 1, 3])
def test_components_are_those_of_pca(rng, n_components):
    X, y = blobs(rng, n_features=6)
    X = X * [5, 4, 3, 2, 1, 0.1]
    model = MahalanobisClassifier(n_components=n_components).fit(X, y)
    pca = PCA(n_components).fit(X)
    assert model.n_components_ == pca.n_components_
    np.testing.assert_allclose(
        np.abs(model.components_ @ pca.components_.T), np.eye(pca.n_components_), atol=1e-8
    )
    np.testing.assert_allclose(model.explained_variance_ratio_, pca.explained_variance_ratio_)
    after = MahalanobisClassifier(n_components=None).fit(pca.transform(X), y)
    np.testing.assert_allclose(model.mahalanobis(X), after.mahalanobis(pca.transform(X)), rtol=1e-7)


def test_tied_covariance_divides_by_n_minus_k(data):
    X, y = data
    model = MahalanobisClassifier("tied", n_components=None).fit(X, y)
    within = sum(np.cov(X[y == c].T) * (np.sum(y == c) - 1) for c in range(5))
    np.testing.assert_allclose(model.covariances_, within / (len(y) - 5))
    full = MahalanobisClassifier("full", shrinkage=None, n_components=None).fit(X, y)
    np.testing.assert_allclose(full.covariances_[2], np.cov(X[y == 2].T))


def test_chunks_change_no_decision(data):
    X, y = data
    model = MahalanobisClassifier().fit(X, y)
    whole = model.predict_proba(X)
    with config_context(working_memory=0.001):
        np.testing.assert_allclose(model.predict_proba(X), whole, rtol=1e-12)
        np.testing.assert_array_equal(model.predict(X), model.classes_[whole.argmax(axis=1)])


def test_single_precision_is_computed_in_double(data):
    X, y = data
    X32 = X.astype(np.float32)
    one = MahalanobisClassifier().fit(X32, y).mahalanobis(X32)
    two = MahalanobisClassifier().fit(X32.astype(float), y).mahalanobis(X32.astype(float))
    np.testing.assert_allclose(one, two, rtol=1e-9)
    assert MahalanobisClassifier().fit(X.astype(np.float16), y).score(X.astype(np.float16), y) > 0.5


def test_rotating_and_scaling_changes_nothing(rng, data):
    X, y = data
    model = MahalanobisClassifier("full", shrinkage=None, n_components=None)
    A = rng.normal(size=(4, 4))
    np.testing.assert_allclose(
        model.fit(X, y).mahalanobis(X), model.fit(X @ A + 7, y).mahalanobis(X @ A + 7), rtol=1e-6
    )


def test_a_small_class_needs_shrinkage_or_tying(rng):
    X = rng.normal(size=(43, 4))
    y = np.array(["many"] * 40 + ["few"] * 3)
    with pytest.raises(ValueError, match="'few' with 3 samples has a singular covariance in 4 dimensions"):
        MahalanobisClassifier("full", shrinkage=None, n_components=None).fit(X, y)
    for params in ({"shrinkage": "auto"}, {"shrinkage": 0.1}, {"covariance_type": "tied", "shrinkage": None}):
        MahalanobisClassifier(n_components=None, **params).fit(X, y)
    y[-2:] = "many"
    with pytest.raises(ValueError, match="'few' has 1 sample, too few for a covariance"):
        MahalanobisClassifier("diag", shrinkage=None, n_components=None).fit(X, y)
    model = MahalanobisClassifier("full", shrinkage=0.1, n_components=None).fit(X, y)
    tied = MahalanobisClassifier("tied", n_components=None).fit(X, y)
    np.testing.assert_allclose(model.covariances_[0], tied.covariances_)


def test_every_class_with_one_sample():
    X, y = np.eye(4), np.arange(4)
    for covariance_type in TYPES:
        with pytest.raises(ValueError, match="every class has one sample"):
            MahalanobisClassifier(covariance_type).fit(X, y)


def test_constant_features(rng):
    X, y = blobs(rng)
    X[:, 1] = 3.0
    assert MahalanobisClassifier().fit(X, y).n_components_ == 3
    with pytest.raises(ValueError, match="constant or linearly dependent"):
        MahalanobisClassifier("tied", n_components=None).fit(X, y)
    with pytest.raises(ValueError, match="singular"):
        MahalanobisClassifier("full", n_components=None).fit(X, y)
    for value in (0.0, 0.1, 1e6):
        with pytest.raises(ValueError, match="All features are constant"):
            MahalanobisClassifier().fit(np.full((10, 3), value), np.arange(10) % 2)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"priors": [0.5, 0.5]}, "priors must have shape"),
        ({"priors": [0.5, 0.6, 0.1, 0.1, 0.1]}, "sum to 1"),
        ({"n_components": 9}, "exceeds the 4 features"),
        ({"shrinkage": 1.5}, "shrinkage"),
        ({"temperature": 0.0}, "temperature"),
        ({"n_components": 1.0}, "n_components"),
        ({"covariance_type": "round"}, "covariance_type"),
    ],
)
def test_bad_parameters(data, params, message):
    with pytest.raises(ValueError, match=message):
        MahalanobisClassifier(**params).fit(*data)


def test_a_failed_fit_leaves_the_old_one(data):
    X, y = data
    model = MahalanobisClassifier().fit(X, y)
    before = model.predict_proba(X)
    with pytest.raises(ValueError, match="At least two classes"):
        model.fit(X[:, :2], np.zeros(len(X)))
    np.testing.assert_array_equal(model.predict_proba(X), before)


@pytest.mark.parametrize(("n_classes", "n_each", "d"), [(20, 3, 200), (5, 20, 512), (2, 2, 10), (30, 2, 8)])
@pytest.mark.parametrize("covariance_type", TYPES)
def test_few_samples_in_many_dimensions(rng, n_classes, n_each, d, covariance_type):
    y = np.repeat(np.arange(n_classes), n_each)
    X = rng.normal(size=(len(y), d)) + 3 * rng.normal(size=(n_classes, d))[y]
    model = MahalanobisClassifier(covariance_type).fit(X, y)
    assert model.n_components_ <= max(1, (len(y) - n_classes) // 2)
    assert np.isfinite(model.predict_proba(X)).all()


def test_fit_makes_no_copy_of_all_features(rng):
    X, y = rng.normal(size=(20000, 50)).astype(np.float32), np.arange(20000) % 4
    tracemalloc.start()
    with config_context(working_memory=1):
        MahalanobisClassifier().fit(X, y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.5 * X.nbytes


def test_too_much_memory_is_refused_before_it_starts():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20_000, 2_000)).astype(np.float32)
    with pytest.raises(MemoryError, match=r"10000 classes .*would take about .*use DiscriminantClassifier"):
        MahalanobisClassifier().fit(X, np.arange(20_000) % 10_000)


def test_parameters_are_read_at_fit(data):
    X, y = data[:2]
    others = {
        "covariance_type": "spherical",
        "n_components": 1,
        "decision": "mahalanobis",
        "temperature": 50.0,
        "priors": "uniform",
        "shrinkage": 0.9,
    }
    for streamed in (False, True):
        model = MahalanobisClassifier("tied", n_components=None)
        fitted = model.partial_fit(X, y) if streamed else model.fit(X, y)
        expected, labels = clone(model).fit(X, y).predict_proba(X), model.predict(X)
        fitted.set_params(**others)
        np.testing.assert_allclose(fitted.predict_proba(X), expected)
        np.testing.assert_array_equal(fitted.predict(X), labels)
    twice = MahalanobisClassifier("tied", n_components=None).partial_fit(X[::2], y[::2])
    twice.set_params(**others).partial_fit(X[1::2], y[1::2])
    np.testing.assert_allclose(twice.predict_proba(X), expected)


@pytest.mark.parametrize("temperature", [1e-320, 1e-300, 1e300])
def test_any_temperature_gives_probabilities(data, temperature):
    X, y = data[:2]
    model = MahalanobisClassifier(temperature=temperature).fit(X, y)
    proba = model.predict_proba(X)
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    if temperature < 1:
        np.testing.assert_array_equal(model.classes_[proba.argmax(axis=1)], model.predict(X))
        assert np.isin(proba, [0, 1]).all()


def test_a_temperature_needs_samples_to_hold_out():
    X, y = np.random.default_rng(0).normal(size=(8, 3)), np.repeat([0, 1], 4)
    with pytest.raises(ValueError, match="no class has this many samples: give a number"):
        MahalanobisClassifier("tied", temperature="auto").fit(X, y)
