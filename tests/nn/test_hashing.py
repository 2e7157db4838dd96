"""HPDH: loss, centres, and the network that gives codes."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from sklearn import config_context
from sklearn.pipeline import Pipeline
from skorch.callbacks import Callback

from sklearn_hierret import ClassHierarchy, CombinedHierarchy, HammingRetriever
from sklearn_hierret.hashing import unpack_signs
from sklearn_hierret.nn import CNNFeatureExtractor, CNNHashExtractor, HierarchyPreservingHashing
from sklearn_hierret.nn.losses._hashing import check_sigmas
from tests.reference import hashing as reference
from tests.strategies import examples, generators, trees

#: Unequal depths and a chain.
TREE = ClassHierarchy.from_newick("((a,b)x,((c,d)y,(e)z)w,f);")
#: Two groups of digits by their shape.
DIGITS = ClassHierarchy.from_newick("((a,g,i,j)round,(b,c,d,e,f,h)other);")


def objective_of(tree, n_bits=8, dtype=torch.float64, **params):
    torch.manual_seed(0)
    return HierarchyPreservingHashing(5, tree.levels(by="depth"), n_bits, **params).to(dtype)


def sample(tree, rng, n_bits=8, n=12):
    means = rng.normal(size=(tree.n_classes, n_bits))
    outputs = 1.5 * rng.normal(size=(n, n_bits))
    return outputs, rng.integers(0, tree.n_classes, n), means


@given(tree=trees(), rng=generators())
@settings(max_examples=examples(40))
@pytest.mark.filterwarnings("ignore:.*zero:UserWarning")
def test_loss_and_centres_in_loops(tree, rng):
    if tree.n_classes < 2:
        return
    outputs, codes, means = sample(tree, rng)
    for dtype, tolerance in ((torch.float64, 1e-10), (torch.float32, 1e-6)):
        objective = objective_of(tree, dtype=dtype)
        objective.update_centers(torch.from_numpy(means))
        levels = reference.centers(tree, means)
        kept = [k for k in range(len(levels)) if k == 0 or 1 < len(levels[k]) < len(levels[k - 1])]
        assert objective.n_clusters == tuple(len(levels[k]) for k in kept)
        # Clusters are numbered by their first members, nodes otherwise: compare by class.
        ways = reference.paths(tree)
        parts = objective.centers.split(objective.n_clusters)
        for part, own, k in zip(parts, objective.clusters, kept, strict=True):
            expected = [levels[k][way[k]] for way in ways]
            np.testing.assert_allclose(part[own], expected, atol=tolerance, rtol=tolerance)
        expected = reference.hpdh_loss(outputs, codes, tree, means, objective.sigmas)
        found = objective.loss(torch.tensor(outputs, dtype=dtype), torch.from_numpy(codes)).item()
        assert found == pytest.approx(expected, rel=tolerance)


def test_gradient():
    objective = objective_of(TREE)
    vectors = torch.randn(4, 5, dtype=torch.float64, requires_grad=True)
    codes = torch.tensor([0, 2, 5, 4])
    assert torch.autograd.gradcheck(
        lambda x: objective.loss(objective(objective.features(x)), codes), (vectors,)
    )


def test_parts_of_the_loss_by_hand():
    flat = ClassHierarchy.flat(["a", "b"])
    objective = objective_of(flat, n_bits=2, bound=1.0, bound_weight=3.0, quantization_weight=0.5)
    objective.update_centers(torch.tensor([[1.0, 1.0], [1.0, -1.0]]))
    # |r - mu|^2 is 1 and 9; sigma 1; r is 1 beyond the bound in one bit.
    loss = objective.loss(torch.tensor([[1.0, 2.0]], dtype=torch.float64), torch.tensor([0]))
    assert loss.item() == pytest.approx(np.log1p(np.exp(-4.0)) + 3.0 * 1.0 + 0.5 * 1.0)


def test_upper_centres_do_not_count_images_but_children():
    objective = objective_of(TREE, n_bits=1)
    objective.update_centers(torch.arange(6.0)[:, None])
    top = objective.centers.split(objective.n_clusters)[-1]
    # (a, b) = 0.5; ((c, d), e) = (2.5 + 4) / 2; f stays itself.
    assert top.ravel().tolist() == [0.5, 3.25, 5.0]


def test_first_centres_keep_the_hierarchy():
    torch.manual_seed(0)
    objective = HierarchyPreservingHashing(5, TREE.levels(by="depth"), 512)
    codes = objective.centers[:6]
    assert set(codes.unique().tolist()) == {-1.0, 1.0}
    agree = codes @ codes.T / 512
    assert agree[2, 3] > agree[2, 4] > agree[2, 0] + 0.1
    assert abs(agree[0, 5]) < 0.2


def test_sigmas():
    assert check_sigmas(None, 1) == (1.0,)
    assert check_sigmas(None, 2) == (1.0, 2.0)
    assert check_sigmas(None, 4) == (1.0, 1.5, 2.0, 4.0)
    assert check_sigmas(None, 3) == pytest.approx((1.0, 2**0.5, 2.0))
    assert objective_of(TREE, sigmas=[1, 1, 2]).sigmas == (1.0, 1.0, 2.0)
    for wrong, message in (
        ([1, 2], "2 sigmas, but 3 levels"),
        ([2, 1, 3], "do not decrease"),
        ([0, 1, 1], "positive"),
    ):
        with pytest.raises(ValueError, match=message):
            objective_of(TREE, sigmas=wrong)


def test_levels_go_upwards():
    with pytest.raises(ValueError, match="fine to coarse"):
        HierarchyPreservingHashing(5, [[0, 0, 1], [0, 1, 1]])
    with pytest.raises(ValueError, match=r"levels must be of shape"):
        HierarchyPreservingHashing(5, [0, 0, 1])


@pytest.fixture(scope="module")
def fitted(digits):
    X, y = digits
    net = CNNHashExtractor("tiny", n_bits=24, hierarchy=DIGITS, max_epochs=25, lr=3e-3, random_state=0)
    return net.fit(X, y)


def test_codes_are_signs_of_relaxed_codes(fitted, digits):
    X, _ = digits
    codes, relaxed = fitted.transform(X), fitted.relaxed_codes(X)
    assert codes.shape == (400, 3)
    assert codes.dtype == np.uint8
    assert relaxed.shape == (400, 24)
    np.testing.assert_array_equal(unpack_signs(codes), np.where(relaxed >= 0, 1, -1))
    assert fitted.n_features_out_ == 3
    assert fitted.get_feature_names_out().tolist() == [f"cnnhashextractor{i}" for i in range(3)]


def test_centres_are_the_means_of_what_was_learnt(fitted, digits):
    X, y = digits
    relaxed = fitted.relaxed_codes(X)
    means = np.stack([relaxed[y == c].mean(axis=0) for c in fitted.classes_])
    centers = fitted.module_.objective.centers
    np.testing.assert_allclose(centers[:10], means, atol=1e-5)
    coarse = [
        means[np.isin(fitted.classes_, DIGITS.members(DIGITS.lca(*pair)))].mean(axis=0)
        for pair in ("ag", "bc")
    ]
    np.testing.assert_allclose(centers[10:], coarse, atol=1e-5)


def test_it_learns(fitted, digits):
    X, y = digits
    assert fitted.score(X, y) > 0.9
    retriever = HammingRetriever(n_neighbors=10).fit(fitted.transform(X[:200]), y[:200])
    assert retriever.score(fitted.transform(X[200:]), y[200:]) > 0.9
    # Codes of one group are nearer than those of the other.
    distances, indices = retriever.kneighbors(None, 199)
    same = DIGITS.distance(y[:200, None], y[indices]) < 1
    assert distances[same].mean() < distances[~same].mean() - 0.1


def test_first_update(digits):
    X, y = digits

    def centers(**params):
        net = CNNHashExtractor("tiny", n_bits=8, max_epochs=2, random_state=0, **params).fit(X, y)
        return net.module_.objective.centers.numpy()

    assert set(np.unique(centers(first_update=None))) == {-1.0, 1.0}
    assert set(np.unique(centers(first_update=3))) == {-1.0, 1.0}
    for early in (0, 1, 2, 0.0, 0.5, np.int64(1)):
        assert len(np.unique(centers(first_update=early))) > 2


def test_centres_before_the_first_epoch(digits):
    X, y = digits
    net = CNNHashExtractor("tiny", n_bits=8, max_epochs=1, lr=0.0, random_state=0, first_update=0).fit(X, y)
    seen = []

    class Watch(Callback):
        def on_batch_begin(self, net, training=False, **kwargs):
            seen.append(net.module_.objective.centers.clone())

    net.set_params(callbacks=[Watch()]).fit(X, y)
    # The rate is 0: what the first batch saw are the means of the untrained network.
    assert len(seen[0].unique()) > 2
    relaxed = net.relaxed_codes(X)
    assert seen[0].shape == (10, 8)
    assert np.abs(seen[0].numpy() - np.stack([relaxed[y == c].mean(axis=0) for c in net.classes_])).max() < 1


def test_quantization_pulls_to_codes(digits):
    X, y = digits

    def gap(weight):
        net = CNNHashExtractor("tiny", n_bits=16, max_epochs=12, random_state=0, quantization_weight=weight)
        return np.abs(np.abs(net.fit(X, y).relaxed_codes(X)) - 1).mean()

    assert gap(0.5) < 0.7 * gap(0.0)


def test_a_class_without_images_keeps_its_centre(digits):
    X, y = digits
    net = CNNHashExtractor("tiny", n_bits=8, max_epochs=1, random_state=0)
    net.partial_fit(X[y != "a"], y[y != "a"], classes=np.unique(y))
    centers = net.module_.objective.centers
    assert set(centers[0].tolist()) <= {-1.0, 1.0}
    assert len(centers[1:].unique()) > 2


def test_validation_is_of_codes(digits):
    X, y = digits
    net = CNNHashExtractor("tiny", n_bits=8, max_epochs=2, random_state=0, validation_fraction=0.25)
    net.fit(X, y)
    assert 0 < net.history[-1, "valid_map"] <= 1
    assert net.searched(np.array([[0.0, -2.0, 0.1]])).tolist() == [[1.0, -1.0, 1.0]]


def test_same_seed_same_codes(digits):
    X, y = digits
    codes = [
        CNNHashExtractor("tiny", n_bits=16, hierarchy=DIGITS, max_epochs=2, random_state=0)
        .fit(X, y)
        .transform(X)
        for _ in range(2)
    ]
    np.testing.assert_array_equal(*codes)


def test_save_and_load(fitted, digits, tmp_path):
    X, _ = digits
    fitted.save(tmp_path)
    loaded = CNNHashExtractor.load(tmp_path)
    np.testing.assert_array_equal(loaded.transform(X), fitted.transform(X))
    np.testing.assert_allclose(loaded.predict_proba(X), fitted.predict_proba(X), atol=1e-6)
    assert loaded.hierarchy == DIGITS
    with pytest.raises(ValueError, match="holds a CNNHashExtractor, not a CNNFeatureExtractor"):
        CNNFeatureExtractor.load(tmp_path)


def test_a_hidden_layer(digits, tmp_path):
    X, y = digits
    net = CNNHashExtractor("tiny", n_bits=8, n_hidden=32, max_epochs=1, random_state=0).fit(X, y)
    assert net.module_.objective.projection[0].weight.shape == (32, 64)
    net.save(tmp_path)
    np.testing.assert_array_equal(CNNHashExtractor.load(tmp_path).transform(X), net.transform(X))
    with pytest.raises(ValueError, match="n_hidden must be a positive integer"):
        CNNHashExtractor("tiny", n_hidden=0).fit(X, y)


def test_distinct_first_codes():
    """As many as there are codes of 8 bits; and classes that share all but themselves."""
    torch.manual_seed(0)
    for levels in (np.arange(256)[None], np.stack([np.arange(64)] + [np.arange(64) // 32] * 5)):
        codes = HierarchyPreservingHashing(3, levels, 8).centers[: levels.shape[1]]
        assert len(codes.unique(dim=0)) == levels.shape[1]
    assert len(HierarchyPreservingHashing(3, np.arange(300)[None], 8).centers) == 300


def test_frames_of_codes(fitted, digits):
    X, _ = digits
    frame = copy.deepcopy(fitted).set_output(transform="pandas").transform(X)
    assert list(frame) == fitted.get_feature_names_out().tolist()
    np.testing.assert_array_equal(frame.to_numpy(), fitted.transform(X))
    with config_context(transform_output="pandas"):
        assert isinstance(fitted.relaxed_codes(X), np.ndarray)


def test_numpy_parameters_are_saved(digits, tmp_path):
    X, y = digits
    net = CNNHashExtractor(
        "tiny", n_bits=np.int64(8), sigmas=np.array([1.0]), quantization_weight=0.1, max_epochs=1
    )
    net.fit(X, y).save(tmp_path)
    loaded = CNNHashExtractor.load(tmp_path)
    assert loaded.n_bits == 8
    assert loaded.module_.objective.quantization_weight == 0.1


def test_in_a_pipeline(digits):
    X, y = digits
    net = CNNHashExtractor("tiny", n_bits=16, max_epochs=10, lr=3e-3, random_state=0)
    pipe = Pipeline([("codes", net), ("retriever", HammingRetriever(DIGITS, alpha=0.5))]).fit(
        X[:300], y[:300]
    )
    assert pipe.score(X[300:], y[300:]) > 0.3


def test_a_loss_of_ones_own(digits):
    X, y = digits

    def loss(n_features, n_classes):
        return HierarchyPreservingHashing(n_features, [np.arange(n_classes)], 16, quantization_weight=0.0)

    net = CNNHashExtractor("tiny", loss=loss, max_epochs=1, random_state=0).fit(X, y)
    assert net.transform(X).shape == (400, 2)


BAD = {
    "bits": ({"n_bits": 12}, ValueError, "n_bits must be a positive multiple of 8"),
    "no bits": ({"n_bits": 0}, ValueError, "n_bits"),
    "loss": ({"loss": "cross_entropy"}, ValueError, "loss must be 'hpdh' or a callable"),
    "layer": ({"feature_layer": "backbone"}, ValueError, "codes come from the last layer"),
    "a hierarchy that lacks a class": (
        {"hierarchy": DIGITS.restrict(list("abcdefghi"))},
        ValueError,
        "'j'",
    ),
    "no tree": ({"hierarchy": CombinedHierarchy([DIGITS, DIGITS])}, TypeError, "must be a ClassHierarchy"),
    "a name": ({"hierarchy": "taxonomy"}, TypeError, "must be a ClassHierarchy, got str"),
    "first update": ({"first_update": -1}, ValueError, "first_update must be an integer of at least 0"),
    "a share above 1": ({"first_update": 1.5}, ValueError, "first_update"),
    "weight": ({"quantization_weight": -1}, ValueError, "quantization_weight must be a number of at least 0"),
    "bound": ({"bound_weight": float("nan")}, ValueError, "bound_weight must be a number"),
    "NaN sigma": ({"sigmas": [float("nan")]}, ValueError, "sigmas must be positive numbers"),
    "sigmas": ({"hierarchy": DIGITS, "sigmas": [2, 1]}, ValueError, "do not decrease upwards"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(digits, case):
    params, error, message = BAD[case]
    with pytest.raises(error, match=message):
        CNNHashExtractor("tiny", max_epochs=1, **params).fit(*digits)


def test_the_last_layer_is_no_class_model(fitted):
    with pytest.raises(ValueError, match="a retriever's own class model"):
        fitted.as_class_model()
