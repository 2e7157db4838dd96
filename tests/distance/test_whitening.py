"""The whitening as a value and as a transformer."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline

from sklearn_hierret import WithinClassWhitening
from sklearn_hierret._arrays import unit_rows
from sklearn_hierret.distance import Whitening
from sklearn_hierret.distance._whitening import GRID
from sklearn_hierret.statistics import FoldStatistics, Parts
from tests.reference import whitening as reference
from tests.strategies import blobs, examples


@pytest.fixture
def data(rng):
    X, y = blobs(rng, n_classes=14, n_features=6, spread=1.5, n_per_class=(8, 20))
    return X + 1.0, y, rng.normal(size=(30, 6)) + 1.0


@pytest.mark.parametrize("shrinkage", [0.0, 0.1, 0.6, 1.0])
def test_against_the_formula(data, shrinkage):
    X, y, Q = data
    model = WithinClassWhitening(shrinkage=shrinkage).fit(X, y)
    np.testing.assert_allclose(model.transform(Q), reference.whitened(X, y, Q, shrinkage), atol=1e-6)
    assert model.shrinkage_ == shrinkage
    if shrinkage == 1:  # centred cosine
        centred = unit_rows(unit_rows(Q)[0] - unit_rows(X)[0].mean(axis=0))[0]
        np.testing.assert_allclose(model.transform(Q), centred, atol=1e-6)


@pytest.mark.parametrize("n", [9, 40])
def test_fewer_samples_than_features(rng, n):
    X, Q, y = rng.normal(size=(n, 60)) + 0.5, rng.normal(size=(20, 60)) + 0.5, np.arange(n) % 3
    model = WithinClassWhitening(shrinkage=0.3).fit(X, y)
    np.testing.assert_allclose(model.transform(Q), reference.whitened(X, y, Q, 0.3), atol=1e-6)


@pytest.mark.parametrize("between", [0.0, 0.4, 1.0])
def test_weights_between_classes_against_the_formula(data, between):
    X, y, Q = data
    Z = WithinClassWhitening(shrinkage=0.3, between_shrinkage=between).fit(X, y).transform(Q)
    expected = reference.two_covariance_cosines(X, y, Q, 0.3, between)
    np.testing.assert_allclose(Z @ Z.T, expected, atol=1e-5)
    if between == 1:  # all directions count alike
        plain = WithinClassWhitening(shrinkage=0.3).fit(X, y).transform(Q)
        np.testing.assert_allclose(Z @ Z.T, plain @ plain.T, atol=1e-5)


def test_components_are_those_in_which_samples_differ_most(data):
    X, y, Q = data
    whole = WithinClassWhitening(shrinkage=0.3).fit(X, y)
    some = WithinClassWhitening(shrinkage=0.3, n_components=2).fit(X, y)
    U = unit_rows(X)[0] - whole.mean_
    axes = PCA(2).fit(U @ whole.components_.T).components_
    expected = unit_rows((unit_rows(Q)[0] - whole.mean_) @ whole.components_.T @ axes.T)[0]
    Z = some.transform(Q)
    assert Z.shape == (30, 2)
    # The pooled covariance is divided by n - K, and PCA's by n - 1: axes may differ a little.
    np.testing.assert_allclose(np.abs(Z @ Z.T), np.abs(expected @ expected.T), atol=0.02)
    kept = WithinClassWhitening(shrinkage=0.3, n_components=6).fit(X, y).transform(Q)
    np.testing.assert_allclose(kept @ kept.T, whole.transform(Q) @ whole.transform(Q).T, atol=1e-6)


def values_of(dtype):
    width = 32 if dtype == np.float32 else 64
    return st.floats(-1e3, 1e3, width=width, allow_subnormal=False)


@given(st.data(), st.sampled_from([np.float32, np.float64]))
@settings(max_examples=examples(40), deadline=None)
def test_a_row_does_not_depend_on_the_rows_beside_it(draw, dtype):
    """Bit for bit, whatever the batch; equal rows stay equal."""
    n, d = draw.draw(st.integers(2, 40)), draw.draw(st.integers(1, 33))
    X = draw.draw(hnp.arrays(dtype, (n, d), elements=values_of(dtype)))
    matrix = draw.draw(hnp.arrays(np.float64, (d, d), elements=st.floats(-1, 1, width=32)))
    matrix *= 0.99 / max(np.sqrt((matrix**2).sum(axis=0)).max(), 1e-300)
    whitening = Whitening(X[0].astype(float) / 2e3, np.asfortranarray(np.rint(matrix / GRID) * GRID))
    twice = np.concatenate([X, X[::-1]])
    together, _ = whitening.rows(twice)
    np.testing.assert_array_equal(together[:n], together[n:][::-1])
    alone = np.concatenate([whitening.rows(row[None])[0] for row in X])
    np.testing.assert_array_equal(together[:n], alone)
    lengths = np.linalg.norm(alone.astype(float), axis=1)
    assert np.all((np.abs(lengths - 1) < 1e-6) | (lengths == 0))


@pytest.mark.parametrize("d", [128, 768])
def test_products_are_exact(rng, d):
    """Large matrices, in batches of all sizes and in any order of the features."""
    X, y = rng.normal(size=(600, d)).astype(np.float32), np.arange(600) % 12
    whitening = WithinClassWhitening(shrinkage=0.3).fit(X, y).whitening_
    together = whitening.rows(X)[0]
    for size in (1, 2, 3, 7, 64, 599):
        np.testing.assert_array_equal(whitening.rows(X[5 : 5 + size])[0], together[5 : 5 + size])
    order = rng.permutation(d)
    away = unit_rows(X[:9].astype(float))[0] - whitening.mean
    away = np.rint(unit_rows(away)[0] / GRID)
    products = [away @ whitening.matrix, away[:, order] @ whitening.matrix[order]]
    np.testing.assert_array_equal(*products)


def test_rows_tell_what_they_were_made_of(data, rng):
    X, y, _ = data
    for features, labels, tolerance in (
        (X, y, 1e-5),
        (rng.normal(size=(20, 50)) + 1, np.arange(20) % 4, 1e-4),
    ):
        whitening = WithinClassWhitening(shrinkage=0.3).fit(features, labels).whitening_
        rows = np.concatenate([features, np.zeros((1, features.shape[1]))])
        found = whitening.originals(*whitening.rows(rows))
        np.testing.assert_allclose(found, rows, atol=tolerance * np.abs(rows).max())


@pytest.mark.parametrize("shrinkage", ["auto", 0.3])
def test_one_fit_and_any_stream_are_the_same(data, shrinkage):
    X, y, Q = data
    whole = WithinClassWhitening(shrinkage=shrinkage).fit(X, y)
    stream = WithinClassWhitening(shrinkage=shrinkage)
    for rows in np.array_split(np.random.RandomState(0).permutation(len(X)), 4):
        stream.partial_fit(X[rows], y[rows])
    single = WithinClassWhitening(shrinkage=shrinkage).fit(X.astype(np.float32), y)
    for other in (stream, single):
        assert other.shrinkage_ == whole.shrinkage_
        np.testing.assert_allclose(other.transform(Q), whole.transform(Q), atol=1e-5)
    assert single.transform(Q.astype(np.float32)).dtype == np.float32
    again = pickle.loads(pickle.dumps(whole))
    np.testing.assert_array_equal(again.transform(Q), whole.transform(Q))


def test_scale_order_and_names_do_not_matter(data, rng):
    X, y, Q = data
    expected = WithinClassWhitening().fit(X, y)
    order = rng.permutation(len(X))
    names = rng.permutation(14)
    for features, labels in (
        (X * 2.0 ** rng.integers(-9, 9, (len(X), 1)), y),
        (X[order], y[order]),
        (X, names[y]),
    ):
        found = WithinClassWhitening().fit(features, labels)
        assert found.shrinkage_ == expected.shrinkage_
        np.testing.assert_allclose(found.transform(3 * Q), expected.transform(Q), atol=1e-5)


def test_before_scikit_learns_neighbours(data):
    X, y, Q = data
    pipe = make_pipeline(WithinClassWhitening(), NearestNeighbors(n_neighbors=3)).fit(X, y)
    Z = pipe[0].transform(X)
    found = pipe[-1].kneighbors(pipe[0].transform(Q))[1]
    np.testing.assert_array_equal(found, np.argsort(-pipe[0].transform(Q) @ Z.T, axis=1)[:, :3])
    assert pipe[0].get_feature_names_out().shape == (6,)


def test_bad_input(data, rng):
    X, y, _ = data
    with pytest.raises(ValueError, match="n_components = 7, and there are 6 features"):
        WithinClassWhitening(n_components=7).fit(X, y)
    for features in (np.column_stack([X, X[:, 0] * 0]), rng.normal(size=(8, 30))):
        with pytest.raises(ValueError, match="shrinkage=0, and the covariance within classes is singular"):
            WithinClassWhitening(shrinkage=0).fit(features, y[: len(features)] % 3)
    for bad in (-0.1, 1.5, "much", None, np.nan):
        with pytest.raises(ValueError, match="shrinkage"):
            WithinClassWhitening(shrinkage=bad).fit(X, y)
    with pytest.raises(ValueError, match="At least two classes"):
        WithinClassWhitening().fit(X, y * 0)


@pytest.mark.parametrize("kind", ["classes of one sample", "equal rows"])
def test_nothing_to_whiten_by_is_cosine(rng, kind):
    X = (
        rng.normal(size=(6, 4))
        if kind == "classes of one sample"
        else np.repeat(rng.normal(size=(3, 4)), 4, axis=0)
    )
    y = np.arange(6) if kind == "classes of one sample" else np.repeat([0, 1, 2], 4)
    with pytest.warns(UserWarning, match="nothing to whiten by"):
        model = WithinClassWhitening().fit(X, y)
    np.testing.assert_array_equal(model.transform(X), unit_rows(X)[0])
    assert model.shrinkage_ == 1


def test_zero_rows_and_the_mean_are_at_distance_one(data):
    X, y, Q = data
    model = WithinClassWhitening(shrinkage=0.5).fit(X, y)
    np.testing.assert_array_equal(model.transform(np.zeros((2, 6))), 0)
    # No unit row is the mean of several: its own direction is the nearest to it.
    assert np.linalg.norm(model.transform(model.mean_[None])) == pytest.approx(1)
    same = np.concatenate([np.tile(Q[:1], (5, 1)), np.tile(2 * Q[:1], (5, 1))])
    parts = Parts(FoldStatistics.of_block(same, np.arange(10) % 2, 3, 0))
    value = Whitening.of(parts.within(), 0.5)
    np.testing.assert_array_equal(value.rows(same)[0], 0)
