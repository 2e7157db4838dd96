import pickle

import numpy as np
import pytest
from sklearn.base import clone

from sklearn_hierret import ClassHierarchy, HierarchicalRetriever
from sklearn_hierret.nn import LatentGaussianExtractor, training_preset
from sklearn_hierret.nn._latent_gaussian import x_means


def make(**params):
    given = {"max_epochs": 8, "lr": 5e-3, "random_state": 0, "batch_size": 50, **params}
    return LatentGaussianExtractor("tiny", **given)


@pytest.fixture
def parity(digits):
    X, y = digits
    return X, np.where(np.isin(y, list("acegi")), "even", "odd"), y


def test_classes_that_are_missed_are_split(parity):
    X, y, digit = parity
    # After three epochs, some images of each class are missed, whatever the machine.
    net = make(max_epochs=3, max_false_negative_rate=0.0).fit(X[:300], y[:300])
    assert net.classes_.tolist() == ["even", "odd"]
    assert 4 <= len(net.cluster_classes_) <= 20
    assert set(net.cluster_classes_) == {0, 1}
    assert net.module_.objective.classifier.out_features == len(net.cluster_classes_)
    proba = net.predict_proba(X[300:])
    np.testing.assert_allclose(proba.sum(axis=1), 1, atol=1e-5)
    assert net.score(X[300:], y[300:]) > 0.85
    assert len(net.history) == 6
    # Clusters are kinds: more of each is one digit than if digits were shuffled within parities.
    clusters = super(LatentGaussianExtractor, net).predict_proba(X).argmax(axis=1)

    def purity(digits):
        return sum(np.unique(digits[clusters == c], return_counts=True)[1].max() for c in set(clusters))

    shuffled = digit.copy()
    for value in ("even", "odd"):
        shuffled[y == value] = np.random.default_rng(0).permutation(digit[y == value])
    assert purity(digit) > 1.15 * purity(shuffled)
    HierarchicalRetriever().fit(net.transform(X), y)


def test_what_is_learnt_is_kept(parity):
    X, y, _ = parity
    net = make(max_epochs=4, max_false_negative_rate=0.0)
    features = []

    class Watching(LatentGaussianExtractor):
        def _go_on(self, data, of_cluster):
            features.append(self.transform(X[:5]))
            self.set_params(max_epochs=0)
            super()._go_on(data, of_cluster)
            features.append(self.transform(X[:5]))

    net.__class__ = Watching
    net.fit(X, y)
    np.testing.assert_allclose(*features, atol=1e-6)


def test_classes_that_are_right_stay(digits):
    X, y = digits
    net = make(max_false_negative_rate=1.0).fit(X, y)
    assert net.cluster_classes_ is None
    assert len(net.history) == 8
    assert net.as_class_model().predict(net.transform(X[:3])).shape == (3,)


def test_copies_and_validation(parity, tmp_path):
    X, y, _ = parity
    net = make(max_epochs=2, max_false_negative_rate=0.0, validation_fraction=0.2, n_rounds=2).fit(X, y)
    assert len(net.history) == 6
    assert 0 <= net.history[-1, "valid_acc"] <= 1
    net.save(tmp_path)
    for copy in (
        pickle.loads(pickle.dumps(net)),
        LatentGaussianExtractor.load(tmp_path),
        clone(net).fit(X, y),
    ):
        np.testing.assert_array_equal(copy.predict_proba(X), net.predict_proba(X))
    with pytest.raises(ValueError, match="no clusters"):
        net.partial_fit(X, y)
    with pytest.raises(ValueError, match="clusters, not classes"):
        net.as_class_model()
    scheduled = make(max_false_negative_rate=0.0, **training_preset("one_cycle", epochs=2)).fit(X, y)
    assert len(scheduled.history) == 4
    assert make(max_epochs=1).partial_fit(X, y).partial_fit(X, y).history[-1, "epoch"] == 2


def test_x_means_finds_how_many(rng):
    centres = 10 * rng.normal(size=(4, 6))
    X = centres[np.arange(120) % 4] + rng.normal(size=(120, 6))
    labels = x_means(X, 10, np.random.RandomState(0))
    assert len(np.unique(labels)) == 4
    assert all(len(np.unique(labels[np.arange(120) % 4 == c])) == 1 for c in range(4))
    assert x_means(rng.normal(size=(100, 6)), 10, np.random.RandomState(0)).max() == 0
    assert x_means(X[:1], 10, np.random.RandomState(0)).tolist() == [0]
    assert x_means(X, 2, np.random.RandomState(0)).max() == 1
    assert x_means(np.ones((20, 3)), 5, np.random.RandomState(0)).shape == (20,)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"max_false_negative_rate": 2}, "max_false_negative_rate must be"),
        ({"max_clusters": 1}, "max_clusters must be"),
        ({"n_rounds": 0}, "n_rounds"),
        ({"loss": "corr", "hierarchy": ClassHierarchy.flat(["even", "odd"])}, "can't be split"),
    ],
)
def test_bad_parameters(parity, params, message):
    X, y, _ = parity
    with pytest.raises(ValueError, match=message):
        make(**params).fit(X, y)
