"""How well samples are known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import expit, logsumexp
from sklearn.metrics import roc_auc_score

from sklearn_hierret import DiscriminantClassifier
from sklearn_hierret.discriminant import known_share
from sklearn_hierret.statistics import FoldStatistics
from tests.strategies import blobs


@pytest.fixture
def data(rng):
    X, y = blobs(rng, n_classes=12, n_features=10, spread=1.0, n_per_class=(30, 61))
    return X[y < 8], y[y < 8], X, y


def test_statistics_of_some_classes_are_those_of_their_samples(data):
    X, y, _, _ = data
    chosen = np.arange(8) % 3 != 0
    mine = chosen[y]
    found = FoldStatistics.of_block(X, y, 3, 0).of_classes(chosen)
    expected = FoldStatistics.of_block(X[mine], y[mine], 3, 0)
    np.testing.assert_array_equal(found.classes, expected.classes)
    np.testing.assert_array_equal(found.class_counts, expected.class_counts)
    np.testing.assert_array_equal(found.codes, expected.codes)
    np.testing.assert_array_equal(found.rows, expected.rows)
    for mine, theirs in zip(found.without(None), expected.without(None), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-12)


def test_it_is_the_density_of_the_classes_on_the_sphere(data):
    X, y, others, _ = data
    model = DiscriminantClassifier().fit(X, y)
    cosine = model.transform(others) @ model.means_.T
    density = logsumexp(model.choices_.concentration * cosine + np.log(model.class_prior_), axis=1)
    odds = np.log(model.known_proba(others) / (1 - model.known_proba(others)))
    slope, intercept = np.polyfit(density, odds, 1)
    assert slope > 0
    np.testing.assert_allclose(odds, slope * density + intercept, atol=1e-6)


def test_known_samples_are_told_from_others():
    rng = np.random.default_rng(1)
    X, y = blobs(rng, n_classes=30, n_features=32, spread=0.8, n_per_class=(30, 61))
    is_train = rng.random(len(y)) < 0.6
    known = np.unique(y)[::2]
    mine = is_train & np.isin(y, known)
    model = DiscriminantClassifier().fit(X[mine], y[mine])
    proba, truth = model.known_proba(X[~is_train]), np.isin(y[~is_train], known)
    assert roc_auc_score(truth, proba) > 0.8
    assert model.known_share(X[~is_train][truth]) > 0.9
    assert model.known_share(X[~is_train][~truth]) < 0.1
    assert model.known_share(X[~is_train]) < truth.mean() + 0.25  # rather too small than too large


def test_the_share_moves_the_odds(data):
    X, y, others, _ = data
    model = DiscriminantClassifier().fit(X, y)
    half = model.known_proba(others)
    some = model.known_proba(others, share=0.2)
    np.testing.assert_allclose(some, 0.2 * half / (0.2 * half + 0.8 * (1 - half)))
    assert (model.known_proba(others, share=0) == 0).all()
    assert (model.known_proba(others, share=1) == 1).all()
    for share in (-0.1, 1.1, np.nan, "half", True, None):
        with pytest.raises(ValueError, match="share"):
            model.known_proba(others, share=share)


@given(st.lists(st.floats(-20, 20), min_size=1, max_size=40))
def test_known_share_is_the_likeliest(log_odds):
    p = expit(np.array(log_odds))
    found = known_share(np.array(log_odds))

    def loss(share):  # p and 1 - p are the likelihoods, up to a factor of each sample
        return -np.log(share * p + (1 - share) * (1 - p)).sum()

    best = minimize_scalar(loss, bounds=(0, 1), method="bounded", options={"xatol": 1e-9})
    assert loss(found) <= min(best.fun, loss(0.0), loss(1.0)) + 1e-6


def test_streams_and_few_classes(data):
    X, y, others, _ = data
    whole = DiscriminantClassifier().fit(X, y)
    stream = DiscriminantClassifier().partial_fit(X[::2], y[::2])
    stream.known_proba(others)  # is not what it says later
    stream.partial_fit(X[1::2], y[1::2])
    np.testing.assert_allclose(stream.known_proba(others), whole.known_proba(others), atol=1e-5)
    two = DiscriminantClassifier().fit(X[y < 2], y[y < 2])  # none can be held out
    assert (two.known_proba(others) == 1).all()
    assert two.known_share(others) == 1
    lonely = DiscriminantClassifier().fit(np.eye(6), np.arange(6))  # no sample can
    assert (lonely.known_proba(np.eye(6)) == 1).all()
    same = DiscriminantClassifier().fit(np.ones((30, 3)), np.arange(30) % 5)  # nothing differs
    assert np.isfinite(same.known_proba(np.ones((2, 3)))).all()
