import numpy as np
import pytest
from sklearn.frozen import FrozenEstimator
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import LinearSVC

from sklearn_hierret import DiscriminantClassifier, HierarchicalRetriever, WithinClassWhitening
from sklearn_hierret._training import TrainingSet, hashed_groups
from sklearn_hierret.class_models import ClassModel, class_model_of
from sklearn_hierret.leaves import hard_leaves
from tests.strategies import blobs


def held_out(classifier, X, y, assignment, groups=None):
    classes, codes = np.unique(y, return_inverse=True)
    hashes = None if groups is None else hashed_groups(groups, len(X))
    return class_model_of(classifier).held_out(TrainingSet(X, classes, codes, hashes), assignment)


@pytest.mark.parametrize(
    "classifier",
    [
        DiscriminantClassifier(),
        FrozenEstimator(DiscriminantClassifier()),
        GaussianNB(),
        KNeighborsClassifier(3),
        LinearSVC(),
    ],
    ids=lambda classifier: type(getattr(classifier, "estimator", classifier)).__name__,
)
def test_every_class_model_keeps_the_contract(rng, classifier):
    X, y = blobs(rng, n_classes=4)
    getattr(classifier, "estimator", classifier).fit(X, y)
    model = class_model_of(classifier)
    names = [name for name in vars(ClassModel) if not name.startswith("_")]
    assert [name for name in names if not hasattr(model, name)] == []
    np.testing.assert_array_equal(model.classes, np.unique(y))
    np.testing.assert_allclose(model.proba(X).sum(axis=1), 1, atol=1e-6)
    hard = model.leaves(X, "hard")
    np.testing.assert_array_equal(model.classes[hard["leaf"][:, 0]], classifier.predict(X))
    if model.tells_proba:
        soft = model.leaves(X, "soft")
        np.testing.assert_allclose(
            np.take_along_axis(model.proba(X), soft["leaf"].astype(int), axis=1),
            soft["probability"],
            atol=1e-6,
        )
    kept = held_out(classifier, X, y, "soft" if model.tells_proba else "hard")
    assert len(kept.leaves) == len(kept.folds) == len(X)
    assert model.tells_known == hasattr(classifier, "known_proba")
    model.release()
    np.testing.assert_array_equal(model.leaves(X, "hard"), hard)


@pytest.mark.parametrize("classifier", [DiscriminantClassifier(), GaussianNB()])
def test_samples_of_one_group_share_a_fold(rng, classifier):
    X, y = blobs(rng, n_classes=4, n_per_class=(40, 60))
    groups = rng.integers(0, 25, len(X))
    if isinstance(classifier, DiscriminantClassifier):
        classifier.fit(X, y, groups)
    else:
        classifier.fit(X, y)
    folds = held_out(classifier, X, y, "soft", groups).folds
    assert all(len(set(folds[groups == group].tolist())) == 1 for group in range(25))
    assert len(set(folds.tolist())) == 3
    # Names of groups, or their order, do not matter for what hashes to the same text.
    texts = np.array([f"series {group}" for group in groups])
    one, other = (
        DiscriminantClassifier().fit(X[rows], y[rows], texts[rows])
        for rows in (np.arange(len(X)), rng.permutation(len(X)))
    )
    np.testing.assert_allclose(one.predict_proba(X), other.predict_proba(X), atol=1e-6)


def test_groups_make_held_out_samples_honest(rng):
    """Near copies in other folds flatter; grouped they do not."""
    y = np.repeat(np.arange(4), 12)
    X = rng.normal(size=(48, 30)) + 0.3 * y[:, None]
    X, y, groups = np.repeat(X, 6, axis=0), np.repeat(y, 6), np.repeat(np.arange(48), 6)
    X = X + 1e-3 * rng.normal(size=X.shape)
    loss = [DiscriminantClassifier().fit(X, y, g).cross_fitted_loss_["blend"] for g in (None, groups)]
    assert loss[1] > loss[0] + 0.1
    for estimator in (HierarchicalRetriever(), WithinClassWhitening()):
        with pytest.raises(ValueError, match="inconsistent"):
            estimator.fit(X, y, groups=groups[:-1])
        with pytest.raises(ValueError, match="groups are missing"):
            estimator.fit(X, y, groups=np.where(groups == 0, np.nan, groups))
        with pytest.raises(ValueError, match="one-dimensional"):
            estimator.fit(X, y, groups=groups[:, None])
        estimator.fit(X, y, groups=groups)
    right = [
        np.mean(
            HierarchicalRetriever(class_model=KNeighborsClassifier(1), alpha=1.0).fit(X, y, g).leaves() == y
        )
        for g in (None, groups)
    ]
    assert right[1] < right[0] - 0.3


def test_sixteen_classes_are_kept(rng):
    X, y = blobs(rng, n_classes=20, n_features=6)
    nb = GaussianNB().fit(X, y)
    leaves = class_model_of(nb).leaves(X, "soft")
    assert leaves.shape == (len(X), 16)
    proba = nb.predict_proba(X)
    np.testing.assert_allclose(leaves["probability"], -np.sort(-proba, axis=1)[:, :16])
    np.testing.assert_array_equal(leaves["leaf"][:, 0], proba.argmax(axis=1))


@pytest.mark.parametrize("assignment", ["soft", "hard"])
def test_class_models_without_folds_are_fitted_again(rng, assignment):
    X, y = rng.normal(size=(240, 12)), rng.integers(0, 4, 240)
    nb = GaussianNB().fit(X, y)
    found = held_out(nb, X, y, assignment)
    for fold in range(3):
        rest = GaussianNB().fit(X[found.folds != fold], y[found.folds != fold])
        mine = found.folds == fold
        expected = class_model_of(rest).leaves(X[mine], assignment)
        np.testing.assert_array_equal(found.leaves[mine], expected)
    # A frozen one was fitted elsewhere.
    frozen = held_out(FrozenEstimator(nb), X, y, assignment)
    np.testing.assert_array_equal(frozen.leaves, class_model_of(nb).leaves(X, assignment))
    assert set(frozen.folds.tolist()) == {0, 1, 2}


def test_a_class_model_that_cannot_do_without_a_fold(rng):
    class Needy(GaussianNB):
        def fit(self, X, y):
            if len(X) < 30:
                raise ValueError("too few samples")
            return super().fit(X, y)

    X, y = blobs(rng, n_classes=3, n_per_class=(10, 11))
    model = Needy().fit(X, y)
    found = held_out(model, X, y, "hard")
    np.testing.assert_array_equal(found.leaves, class_model_of(model).leaves(X, "hard"))


def test_the_default_class_model_keeps_its_folds(rng):
    X, y = blobs(rng, n_classes=4)
    model = DiscriminantClassifier().fit(X, y)
    codes, proba, _ = model.held_out_leaves(X)
    found = held_out(model, X, y, "soft")
    np.testing.assert_array_equal(found.leaves["leaf"], codes)
    np.testing.assert_allclose(found.leaves["probability"], proba, atol=1e-12)
    np.testing.assert_array_equal(found.of_kind("hard"), hard_leaves(codes[:, 0], X.dtype))
