"""A weight is how many times a sample counts: class models with weights are those of repeated samples."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from sklearn_hierret import DiscriminantClassifier

X, Y = load_digits(return_X_y=True)
QUERIES = X[1200:]
MODELS = [
    DiscriminantClassifier(),
    DiscriminantClassifier(linear="closed_form"),
    DiscriminantClassifier(shrinkage=0.3, n_components=4),
]


def outputs(model):
    return model.predict_proba(QUERIES)


def fresh(model):
    return type(model)(**model.get_params(deep=False))


# 50 samples are fewer than the features: statistics are rows then.
@pytest.mark.parametrize("n_samples", [50, 1200])
@pytest.mark.parametrize("model", MODELS, ids=str)
def test_weights_are_repetitions_in_one_fit_and_in_streams(model, n_samples):
    A, y = X[:n_samples], Y[:n_samples]
    weights = np.random.default_rng(0).integers(0, 3, n_samples)
    repeated = np.repeat(np.arange(n_samples), weights)
    expected = outputs(fresh(model).fit(A[repeated], y[repeated]))
    np.testing.assert_allclose(outputs(fresh(model).fit(A, y, sample_weight=weights)), expected, atol=1e-9)
    stream, half = fresh(model), n_samples // 2
    for rows in (slice(half), slice(half, None)):
        stream.partial_fit(A[rows], y[rows], sample_weight=weights[rows])
    np.testing.assert_allclose(outputs(stream), expected, atol=1e-9)


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_weights_of_one_change_nothing_but_rounding(model):
    expected = outputs(fresh(model).fit(X[:1200], Y[:1200]))
    result = outputs(fresh(model).fit(X[:1200], Y[:1200], sample_weight=np.ones(1200)))
    np.testing.assert_allclose(result, expected, atol=1e-9)


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("model", MODELS, ids=str)
def test_blocks_with_weights_join_blocks_without(model, is_first):
    blocks = [(X[:600], Y[:600], None), (X[600:1200], Y[600:1200], np.full(600, 2.0))]
    stream = fresh(model)
    for A, y, weights in blocks if is_first else reversed(blocks):
        stream.partial_fit(A, y, sample_weight=weights)
    twice = np.concatenate([np.arange(1200), np.arange(600, 1200)])
    np.testing.assert_allclose(outputs(stream), outputs(fresh(model).fit(X[twice], Y[twice])), atol=1e-9)


@settings(max_examples=15)
@given(st.lists(st.floats(0.01, 5), min_size=60, max_size=60))
def test_counts_are_sums_of_weights(weights):
    model = DiscriminantClassifier().fit(X[:60], Y[:60], sample_weight=weights)
    np.testing.assert_allclose(model.class_count_, np.bincount(Y[:60], weights))
    assert np.isfinite(model.predict_proba(QUERIES)).all()


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.zeros(100), "zero|0 for every"),
        (-np.ones(100), "[Nn]egative"),
        (np.ones(99), "shape"),
        (np.full(100, np.nan), "NaN"),
    ],
)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_weights_that_are_none(weights, message, method):
    with pytest.raises(ValueError, match=message):
        getattr(DiscriminantClassifier(), method)(X[:100], Y[:100], sample_weight=weights)


def test_one_class_that_counts_is_too_few():
    with pytest.raises(ValueError, match="class"):
        DiscriminantClassifier().fit(X[:100], Y[:100], sample_weight=(Y[:100] == 3).astype(float))
