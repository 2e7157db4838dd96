import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_hierret import ClassHierarchy, HierarchicalRetriever
from sklearn_hierret.class_models import HeldOutLeaves
from sklearn_hierret.leaves import hard_leaves, soft_leaves
from sklearn_hierret.retrieval._alpha import ALPHAS, ENOUGH, choose_alpha
from tests.reference import metrics as reference
from tests.strategies import blobs, examples, generators


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
@settings(max_examples=examples(6), deadline=None)
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
    assert HierarchicalRetriever().fit(X, y).alpha_ == 1.0
    assert HierarchicalRetriever(alpha=2).fit(X, y).alpha_ == 2.0
