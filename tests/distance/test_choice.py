"""Whether to whiten, and how much, by what held-out samples retrieve."""

import numpy as np
import pytest

from sklearn_hierret import DiscriminantClassifier, WithinClassWhitening
from sklearn_hierret._arrays import unit_rows
from sklearn_hierret.distance import choose_whitening
from sklearn_hierret.distance._choice import SHRINKAGES, _of_known, _of_new, preferred
from sklearn_hierret.statistics import FoldStatistics, Parts


def nuisance(rng, n_classes=40, n=1600, d=24, strength=3.0):
    """Classes differ in all directions; a few directions vary within each class, too."""
    means, y = rng.normal(size=(n_classes, d)), rng.integers(0, n_classes, n)
    loud = np.where(np.arange(d) < 4, strength, 0.3)
    return means[y] + loud * rng.normal(size=(n, d)), y


def parts_of(X, y):
    return Parts(FoldStatistics.of_block(X, y, 3, 0))


def precision(rows, labels, i):
    """(AP@1 + AP@20) / 2 of one sample among the others, by loops."""
    order = [j for j in np.argsort(-(rows @ rows[i]), kind="stable") if j != i]
    n_relevant = np.sum(labels == labels[i]) - 1
    depth, hits, total = min(20, len(rows) - 1), 0, 0.0
    for rank, j in enumerate(order[:depth], start=1):
        if labels[j] == labels[i]:
            hits += 1
            total += hits / rank
    return (float(labels[order[0]] == labels[i]) + total / min(n_relevant, depth)) / 2


def test_scores_against_loops(rng):
    X, y = nuisance(rng, n_classes=14, n=200, d=7)
    parts = parts_of(X, y)
    rows, codes = parts.statistics.rows, parts.statistics.codes
    candidates = (None, 1.0, 0.3)
    expected = []
    for group in parts.groups():
        model_rows = np.setdiff1d(np.arange(len(rows)), group.held)
        held, labels = rows[group.held], codes[group.held]
        counts = np.bincount(labels, minlength=14)
        whitened = [held] + [
            WithinClassWhitening(shrinkage=s).fit(rows[model_rows], codes[model_rows]).transform(held)
            for s in candidates[1:]
        ]
        expected += [
            [precision(Z, labels, i) for Z in whitened] for i in range(len(held)) if counts[labels[i]] > 1
        ]
    np.testing.assert_allclose(_of_new(parts, candidates), expected, atol=1e-9)
    expected = []
    for fold in range(3):
        held = parts.held(fold)
        others = np.setdiff1d(np.arange(len(rows)), held)
        model = WithinClassWhitening(shrinkage=0.3).fit(rows[others], codes[others])
        Z, labels = model.transform(rows[held]), codes[held]
        counts = np.bincount(labels, minlength=14)
        expected += [precision(Z, labels, i) for i in range(len(held)) if counts[labels[i]] > 1]
    np.testing.assert_allclose(_of_known(parts, (0.3,))[:, 0], expected, atol=1e-9)


def test_what_varies_within_classes_is_whitened_away(rng):
    X, y = nuisance(rng)
    choice = choose_whitening(parts_of(X, y), may_be_cosine=True)
    assert choice.shrinkage is not None
    assert choice.shrinkage < 0.9
    Q, t = nuisance(np.random.default_rng(5))  # other classes
    precise = [
        np.mean([precision(Z, t, i) for i in range(200)])
        for Z in (unit_rows(Q)[0], choice.whitening().rows(Q)[0])
    ]
    assert precise[1] > precise[0] + 0.1


def test_isotropic_classes_stay_with_cosine(rng):
    means, y = rng.normal(size=(40, 20)), rng.integers(0, 40, 1200)
    X = means[y] + 0.8 * rng.normal(size=(1200, 20))
    assert choose_whitening(parts_of(X, y), may_be_cosine=True).shrinkage in (None, 1.0)


def test_few_classes_stay_with_cosine(rng):
    X, y = nuisance(rng, n_classes=10)
    assert choose_whitening(parts_of(X, y), may_be_cosine=True).shrinkage is None
    assert choose_whitening(parts_of(X, y)).shrinkage in SHRINKAGES[1:]


def test_the_first_within_one_error_is_preferred():
    rng = np.random.default_rng(0)
    base = rng.random(400)
    noise = 0.2 * rng.normal(size=(400, 3))
    kinds = [base[:, None] + np.column_stack([0 * base, noise[:, 0], noise[:, 1] + 0.01])] * 2
    assert preferred(kinds, guard=True) == 0  # gains that may be chance
    better = [base[:, None] + np.column_stack([0 * base, 0.3 + 0 * base, 0.301 + noise[:, 0]])] * 2
    assert preferred(better, guard=True) == 1
    # What is better on average may not ruin one kind of query.
    ruin = [base[:, None] + [0, 0.5, 0.2], base[:, None] + [0, -0.1, 0.0]]
    assert preferred(ruin, guard=True) == 2
    assert preferred(ruin, guard=False) == 1


def test_the_choice_follows_the_data_alone(rng):
    X, y = nuisance(rng)
    expected = choose_whitening(parts_of(X, y), may_be_cosine=True).shrinkage
    order, names = rng.permutation(len(X)), rng.permutation(40)
    scaled = X * 2.0 ** rng.integers(-5, 5, (len(X), 1))
    for features, labels in (
        (X[order], y[order]),
        (X, names[y]),
        (scaled, y),
        (X.astype(np.float32), y),
        (X, np.array([f"class {9 * name}" for name in names])[y]),
    ):
        found = choose_whitening(parts_of(features, labels), may_be_cosine=True)
        assert found.shrinkage == expected
    groups, renamed = parts_of(X, y).group_of_class, parts_of(X, names[y]).group_of_class
    np.testing.assert_array_equal(renamed[names], groups)


def test_the_class_model_chooses_by_the_same_statistics(rng):
    X, y = nuisance(rng)
    model = DiscriminantClassifier().fit(X, y)
    parts = model.__hierret_class_model__().parts
    choice, alone = choose_whitening(parts), WithinClassWhitening().fit(X, y)
    assert choice.shrinkage == alone.shrinkage_
    np.testing.assert_array_equal(choice.whitening().rows(X[:9])[0], alone.transform(X[:9]))
    model.__hierret_class_model__().release()
    again = model.__hierret_class_model__().parts
    assert again is not parts
    assert choose_whitening(again).shrinkage == choice.shrinkage


def test_held_out_rows_have_the_cosines_of_the_whitening(rng):
    X, y = nuisance(rng, n=300)
    choice = choose_whitening(parts_of(X, y), 0.4)
    for fold in range(3):
        Z = choice.rows_without(fold, X[:20])
        expected = choice.whitening(fold).rows(X[:20])[0]
        np.testing.assert_allclose(Z @ Z.T, expected @ expected.T, atol=1e-6)


@pytest.mark.parametrize("n_each", [1, 2])
def test_tiny_classes(rng, n_each):
    X, y = rng.normal(size=(30 * n_each, 5)), np.arange(30 * n_each) % 30
    found = choose_whitening(parts_of(X, y), may_be_cosine=True)
    assert found.shrinkage is None or found.whitening() is not None
