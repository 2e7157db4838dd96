import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.frozen import FrozenEstimator
from sklearn.naive_bayes import GaussianNB

from sklearn_hierret import ClassHierarchy, CombinedHierarchy, DiscriminantClassifier
from sklearn_hierret.building import expected_distances, fit_alpha, fit_leaf_model, hard_leaves, soft_leaves
from sklearn_hierret.building._alpha import ALPHAS, ENOUGH, choose_alpha
from sklearn_hierret.building._leaves import HeldOutLeaves, assign_leaves, held_out_leaves, unassigned
from tests.reference import metrics as reference
from tests.strategies import blobs, generators, trees


def loops(X, y, held_out, U, scale):
    """choose_alpha, one query and one weight at a time."""
    first, twenty = [], []
    for i in range(len(X)):
        others = [j for j in range(len(X)) if j != i and held_out.folds[j] == held_out.folds[i]]
        if not any(y[j] == y[i] for j in others):
            continue
        row, deep = [], []
        for alpha in ALPHAS:
            distances = []
            for j in others:
                cosine = 1 - X[i] @ X[j] / np.linalg.norm(X[i]) / np.linalg.norm(X[j])
                p, q = held_out.leaves[i], held_out.leaves[j]
                h = sum(a["probability"] * b["probability"] * U[a["leaf"], b["leaf"]] for a in p for b in q)
                distances.append(scale * cosine + alpha * h)
            ranked = [y[others[j]] for j in np.argsort(distances)]
            row.append(float(ranked[0] == y[i]))
            n_relevant = sum(y[j] == y[i] for j in others)
            deep.append(reference.average_precision(y[i], ranked, min(20, len(others)), n_relevant, "min"))
        first.append(row)
        twenty.append(deep)
    first, twenty = np.array(first), np.array(twenty).mean(axis=0)
    best = first.mean(axis=0).argmax()

    loss = first[:, [best]] - first
    good = loss.mean(axis=0) <= loss.std(axis=0, ddof=1) / np.sqrt(len(first)) + 1e-12
    gains = twenty - twenty[0]
    most = max(gain for gain, kept in zip(gains, good, strict=True) if kept)
    pairs = zip(ALPHAS, gains, good, strict=True)
    return min(alpha for alpha, gain, kept in pairs if kept and (gain >= ENOUGH * most or gain == most))


@given(generators(), st.sampled_from([0.5, 1.0]))
@settings(max_examples=6, deadline=None)
def test_alpha_against_loops(rng, scale):
    X, y = blobs(rng, n_classes=3, n_features=4, n_per_class=(8, 14), spread=1.0)
    proba = 0.5 * rng.dirichlet(np.ones(3), len(X)) + 0.5 * np.eye(3)[y]
    order = np.argsort(-proba, axis=1)
    leaves = soft_leaves(order, np.take_along_axis(proba, order, axis=1), np.dtype(float))
    held_out = HeldOutLeaves(leaves, rng.integers(0, 2, len(X)).astype(np.int8))
    tree = ClassHierarchy.from_levels([[0, 1, 2], [0, 0, 1], [0, 0, 0]])
    expected = loops(X, y, held_out, tree.distance_matrix(), scale)
    assert choose_alpha(X, y, held_out, tree, scale) == expected


def test_alpha_follows_the_leaves(rng):
    """Leaves that are right want weight; leaves that are noise want none."""
    X, y = blobs(rng, n_classes=5, n_features=6, n_per_class=(40, 60), spread=0.7)
    tree, folds = ClassHierarchy.flat(range(5)), (np.arange(len(X)) % 3).astype(np.int8)
    right = choose_alpha(X, y, HeldOutLeaves(hard_leaves(y, X.dtype), folds), tree)
    noise = choose_alpha(X, y, HeldOutLeaves(hard_leaves(rng.permutation(y), X.dtype), folds), tree)
    assert noise <= 0.3 < right


def test_alpha_where_nothing_can_be_held_out():
    X, y = np.eye(4), np.arange(4)
    model = fit_leaf_model(None, None, X, y)
    assert fit_alpha("auto", model, X, y, "soft")[0] == 1.0
    assert fit_alpha(2, model, X, y, "soft")[0] == 2.0


@given(trees(max_classes=9), generators())
@settings(max_examples=40)
def test_what_is_left_lies_on_the_root(tree, rng):
    k = tree.n_classes
    proba = rng.dirichlet(np.full(k, 0.5), 4) * rng.uniform(0.3, 1, (4, 1))
    n_kept = int(rng.integers(1, k + 1))
    order = np.argsort(-proba, axis=1)[:, :n_kept]
    leaves = soft_leaves(order, np.take_along_axis(proba, order, axis=1), np.dtype(float))
    left = 1 - leaves["probability"].sum(axis=1)
    np.testing.assert_allclose(unassigned(leaves), left, atol=1e-6)
    U = tree.distance_matrix()
    for row, found, rest in zip(leaves, expected_distances(leaves, tree), left, strict=True):
        expected = [sum(p["probability"] * U[p["leaf"], c] for p in row) + rest for c in range(k)]
        np.testing.assert_allclose(found, expected, atol=1e-6)


@given(trees(max_classes=9), generators(), st.booleans())
@settings(max_examples=40)
def test_hard_leaves_are_as_far_as_the_hierarchy_says(tree, rng, is_combined):
    """Bit for bit, so that ties are ties; scaled, the rest of a leaf lies on the root."""
    if is_combined:
        tree = CombinedHierarchy([tree, tree.permute(int(rng.integers(0, 100)))], [0.3, 0.7])
    classes = rng.integers(0, tree.n_classes, 20)
    leaves = hard_leaves(classes, np.dtype(np.float32))
    found = expected_distances(leaves, tree)
    np.testing.assert_array_equal(found, tree.distance(tree.classes[classes][:, None], tree.classes[None]))
    assert np.isin(found, tree.distinct_distances()).all()
    for i in range(20):
        np.testing.assert_array_equal(expected_distances(leaves[[i]], tree)[0], found[i])
    leaves["probability"] *= 0.25
    np.testing.assert_allclose(expected_distances(leaves, tree), 1 - 0.25 * (1 - found), atol=1e-15)


def test_sixteen_classes_are_kept(rng):
    X, y = blobs(rng, n_classes=20, n_features=6)
    nb = GaussianNB().fit(X, y)
    leaves = assign_leaves(nb, X, "soft")
    assert leaves.shape == (len(X), 16)
    proba = nb.predict_proba(X)
    np.testing.assert_allclose(leaves["probability"], -np.sort(-proba, axis=1)[:, :16])
    np.testing.assert_array_equal(leaves["leaf"][:, 0], proba.argmax(axis=1))


@pytest.mark.parametrize("assignment", ["soft", "hard"])
def test_class_models_without_folds_are_fitted_again(rng, assignment):
    X, y = rng.normal(size=(240, 12)), rng.integers(0, 4, 240)
    nb = GaussianNB().fit(X, y)
    found = held_out_leaves(nb, X, y, assignment)
    for fold in range(3):
        rest = GaussianNB().fit(X[found.folds != fold], y[found.folds != fold])
        mine = found.folds == fold
        expected = assign_leaves(rest, X[mine], assignment)
        np.testing.assert_array_equal(found.leaves[mine], expected)
    # A frozen one was fitted elsewhere.
    frozen = held_out_leaves(FrozenEstimator(nb), X, y, assignment)
    np.testing.assert_array_equal(frozen.leaves, assign_leaves(nb, X, assignment))
    assert set(frozen.folds.tolist()) == {0, 1, 2}


def test_a_class_model_that_cannot_do_without_a_fold(rng):
    class Needy(GaussianNB):
        def fit(self, X, y):
            if len(X) < 30:
                raise ValueError("too few samples")
            return super().fit(X, y)

    X, y = blobs(rng, n_classes=3, n_per_class=(10, 11))
    model = Needy().fit(X, y)
    found = held_out_leaves(model, X, y, "hard")
    np.testing.assert_array_equal(found.leaves, assign_leaves(model, X, "hard"))


def test_the_default_class_model_keeps_its_folds(rng):
    X, y = blobs(rng, n_classes=4)
    model = DiscriminantClassifier().fit(X, y)
    codes, proba, _ = model.held_out_leaves(X)
    found = held_out_leaves(model, X, y, "soft")
    np.testing.assert_array_equal(found.leaves["leaf"], codes)
    np.testing.assert_allclose(found.leaves["probability"], proba, atol=1e-12)
    np.testing.assert_array_equal(found.of_kind("hard"), hard_leaves(codes[:, 0], X.dtype))
