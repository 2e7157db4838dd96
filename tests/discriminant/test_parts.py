from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.covariance import oas
from sklearn.linear_model import LogisticRegression

from sklearn_hierret._arrays import unit_rows
from sklearn_hierret.discriminant._fit import Part, Settings, fit_models
from sklearn_hierret.discriminant._linear import logistic_regression
from sklearn_hierret.discriminant._model import Voters, discriminant_space
from sklearn_hierret.statistics import FoldStatistics, Parts, WithinClasses, hashed
from sklearn_hierret.statistics._folds import most_per_class
from tests.reference import discriminant as reference
from tests.strategies import blobs, examples, generators

RULE = Settings(3, 0, "auto", None, "auto")


def whole(X, y):
    statistics = FoldStatistics.of_block(X, y, 3, 0)
    return WithinClasses.of(*statistics.without(None))


@pytest.mark.parametrize("shape", [(4, 6), (7, 3)])
def test_space_against_dense_inverses(rng, shape):
    X, y = blobs(rng, n_classes=shape[0], n_features=shape[1])
    U = unit_rows(X)[0]
    for shrinkage in (0.1, 0.7):
        space, directions = discriminant_space(whole(X, y), shrinkage, None, X.dtype)
        assert len(space.components) == min(shape[0] - 1, shape[1])
        Z = space.transform(X)
        np.testing.assert_allclose(
            Z @ Z.T, reference.cosines_in_discriminant_space(U, y, shrinkage), atol=1e-8
        )
        means = reference.whitened(U, y, shrinkage)[1]
        means /= np.linalg.norm(means, axis=1, keepdims=True)
        np.testing.assert_allclose(directions @ directions.T, means @ means.T, atol=1e-8)


def test_shrinkage_is_oracle_approximating(rng):
    X, y = blobs(rng, n_classes=4, n_features=5)
    scatter = reference.within_covariance(unit_rows(X)[0], y) * (len(X) - 4)
    rows = np.zeros((len(X) - 4, 5))  # as many rows as degrees of freedom, of the same scatter
    rows[:5] = np.linalg.cholesky(scatter).T
    assert whole(X, y).shrinkage == pytest.approx(oas(rows, assume_centered=True)[1], rel=1e-9)


@given(st.lists(st.integers(1, 5000), min_size=1, max_size=300))
def test_most_per_class_fills_the_room(counts):
    from sklearn_hierret.statistics._folds import LEAST_ROWS, MOST_ROWS

    counts = np.array(counts)
    limit = most_per_class(counts)
    kept = np.minimum(counts, limit).sum()
    if limit > LEAST_ROWS:
        assert kept <= MOST_ROWS
    if limit < counts.max():  # one row more of each class would be too many
        assert np.minimum(counts, limit + 1).sum() > MOST_ROWS
    # Samples that are added never let a limit grow.
    assert most_per_class(counts + 1) <= max(limit, counts.max() + 1)
    assert most_per_class(np.append(counts, 1)) <= max(limit, counts.max())


def test_folds_are_balanced_and_of_the_row_alone(rng):
    unit = unit_rows(rng.normal(size=(6000, 20)))[0]
    keys, folds = hashed(unit, 3, 0)
    assert np.all(np.abs(np.bincount(folds) - 2000) < 200)
    assert len(np.unique(keys)) == 6000
    order = rng.permutation(6000)
    again = hashed(unit[order], 3, 0)
    np.testing.assert_array_equal(again[0], keys[order])
    np.testing.assert_array_equal(again[1], folds[order])
    assert np.any(hashed(unit, 3, 1)[1] != folds)
    # Rounding to single precision, of rows that were scaled, moves few.
    single = unit.astype(np.float32)
    scaled = unit_rows((single * np.float32(3.7)).astype(float))[0]
    first = hashed(unit_rows(single.astype(float))[0], 3, 0)[1]
    assert np.mean(hashed(scaled, 3, 0)[1] != first) < 0.001


def test_votes_against_loops(rng):
    codes = np.sort(rng.integers(0, 5, 60))
    kept = unit_rows(rng.normal(size=(60, 4)))[0]
    counts = np.array([100, 20, 60, 7, 40])
    Z = unit_rows(rng.normal(size=(9, 4)))[0]
    candidates = np.array([rng.permutation(5)[:3] for _ in range(9)])
    found = Voters.of(kept, codes, counts, 8).votes(Z, candidates, [0.05, 0.5])
    for i, width in enumerate((0.05, 0.5)):
        expected = reference.votes(Z, candidates, kept, codes, counts, 8, width)
        np.testing.assert_allclose(found[i], expected, atol=1e-10)


def test_votes_that_all_vanish_are_shared(rng):
    voters = Voters.of(np.array([[1.0, 0], [1, 0]]), np.array([0, 1]), np.array([1, 1]))
    np.testing.assert_allclose(voters.votes(-np.eye(2)[:1], np.array([[0, 1]]), [1e-3]), 0.5)


def test_logistic_regression_is_scikit_learns(rng):
    X, y = blobs(rng, n_classes=3, n_features=4, spread=1.0)
    W, b = logistic_regression(X, y, np.ones(len(X)), (np.zeros((3, 4)), np.zeros(3)), 2.0)
    theirs = LogisticRegression(C=0.5, tol=1e-8, max_iter=1000).fit(X, y)

    def loss(W, b):
        scores = X @ W.T + b
        log_proba = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
        return -log_proba[np.arange(len(X)), y].sum() + (W**2).sum()

    assert loss(W, b) == pytest.approx(loss(theirs.coef_, theirs.intercept_), rel=1e-4)
    # Weights stand for samples.
    twice = logistic_regression(X, y, np.full(len(X), 2.0), (np.zeros((3, 4)), np.zeros(3)), 4.0)
    np.testing.assert_allclose(twice[0], W, atol=1e-2)
    # A huge penalty keeps what it is drawn to.
    drawn = rng.normal(size=(3, 4))
    kept, _ = logistic_regression(X, y, np.ones(len(X)), (drawn, np.zeros(3)), 1e9)
    np.testing.assert_allclose(kept, drawn, atol=1e-4)


@given(generators(), st.integers(1, 6))
@settings(max_examples=examples(30), deadline=None)
def test_merging_is_pooling(rng, n_parts):
    X, y = blobs(rng, n_classes=5, n_features=3, n_per_class=(2, 30))
    expected = FoldStatistics.of_block(X, y, 3, 0)
    parts = [
        FoldStatistics.of_block(X[rows], y[rows], 3, 0)
        for rows in np.array_split(rng.permutation(len(X)), n_parts)
    ]
    before = [part.sums.copy() for part in parts]
    total = parts[0]
    for part in parts[1:]:
        total = total.merge(part)
    for name in ("classes", "counts", "codes", "keys", "folds"):
        np.testing.assert_array_equal(getattr(total, name), getattr(expected, name))
    for name in ("sums", "moments", "rows"):
        np.testing.assert_allclose(getattr(total, name), getattr(expected, name), atol=1e-12)
    for part, sums in zip(parts, before, strict=True):  # nothing changed in place
        np.testing.assert_array_equal(part.sums, sums)


@pytest.mark.parametrize("n_equal", [0, 6])
def test_few_rows_say_what_moments_say(rng, n_equal):
    """With fewer samples than features the rows take the moments' place; models are the same."""
    X, y = blobs(rng, n_classes=6, n_features=150, spread=2.0, n_per_class=(8, 25))
    X[:n_equal] = X[0]
    assert len(X) < 150
    rows = FoldStatistics.of_block(X, y, 3, 0)
    assert rows.moments is None
    moments = replace(rows, moments=rows._all_moments())
    units = unit_rows(X)[0]
    np.testing.assert_allclose(moments.moments.sum(axis=0), units.T @ units, atol=1e-12)
    few, dense = (Part(statistics, Parts(statistics).within(), RULE) for statistics in (rows, moments))
    assert few.within.shrinkage == pytest.approx(dense.within.shrinkage, rel=1e-8)
    assert few.within.directions.shape == (150, len(X))
    for part in (few, dense):
        part.set_shrinkage(1.0)
    Q = np.concatenate([units, unit_rows(rng.normal(size=(20, 150)))[0]])
    cosines = [part.space.transform(Q) @ part.space.transform(Q).T for part in (few, dense)]
    np.testing.assert_allclose(*cosines, atol=1e-7)
    fitted = [
        fit_models(Parts(statistics), RULE, lambda message, share: None)[0] for statistics in (rows, moments)
    ]
    np.testing.assert_allclose(*[one.model.proba(Q) for one in fitted], atol=1e-4)
    # Some classes alone, and samples that come in parts: few at first, then more than features.
    chosen = np.arange(6) < 4
    parts = [Parts(statistics.of_classes(chosen)).within() for statistics in (rows, moments)]
    np.testing.assert_allclose(parts[0].mean, parts[1].mean, atol=1e-12)
    np.testing.assert_allclose(parts[0].shrinkage, parts[1].shrinkage, rtol=1e-8)
    more, more_y = blobs(rng, n_classes=6, n_features=150, spread=2.0, n_per_class=(20, 30))
    total = rows.merge(FoldStatistics.of_block(more, more_y, 3, 0))
    expected = FoldStatistics.of_block(np.concatenate([X, more]), np.concatenate([y, more_y]), 3, 0)
    np.testing.assert_allclose(total.moments, expected.moments, atol=1e-10)
    assert rows.merge(FoldStatistics.of_block(X[:3], y[:3], 3, 0)).moments is None


def test_many_small_parts_are_refused_where_they_would_not_fit(rng, monkeypatch):
    """Parts of fewer samples than features need little; together they need moments."""
    from sklearn_hierret import _arrays

    X, y = rng.normal(size=(60, 40)), np.arange(60) % 3
    parts = [FoldStatistics.of_block(X[rows], y[rows], 3, 0) for rows in (slice(30), slice(30, 60))]
    monkeypatch.setattr(_arrays, "MEMORY_SHARE", 1e-12)
    with pytest.raises(MemoryError, match="The statistics of 40 features"):
        parts[0].merge(parts[1])


def test_dropped_rows_are_those_of_one_fit(rng, monkeypatch):
    from sklearn_hierret.statistics import _folds

    monkeypatch.setattr(_folds, "MOST_ROWS", 60)
    X, y = blobs(rng, n_classes=5, n_features=3, n_per_class=(5, 60))
    expected = FoldStatistics.of_block(X, y, 3, 0)
    assert 40 <= len(expected.rows) <= 60
    total = FoldStatistics.of_block(X[:7], y[:7], 3, 0)
    for start in range(7, len(X), 11):
        total = total.merge(FoldStatistics.of_block(X[start : start + 11], y[start : start + 11], 3, 0))
    np.testing.assert_array_equal(total.keys, expected.keys)
    np.testing.assert_allclose(total.rows, expected.rows)
