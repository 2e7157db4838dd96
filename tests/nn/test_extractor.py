import pickle
import tracemalloc

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

from sklearn_hierret import (
    ClassHierarchy,
    CombinedHierarchy,
    HierarchicalRetriever,
    HierarchyBuilder,
    make_retrieval_scorer,
    map_at_k,
)
from sklearn_hierret.nn import Augmentation, CNNFeatureExtractor, DeViSE, TinyNet, training_preset
from sklearn_hierret.nn._data import BalancedBatches


def tiny(backbone="tiny", **params):
    return CNNFeatureExtractor(backbone, **{"max_epochs": 3, "random_state": 0, "batch_size": 50, **params})


@pytest.fixture(scope="module")
def fitted(digits):
    X, y = digits
    return tiny(max_epochs=12, lr=3e-3).fit(X[:300], y[:300])


def test_it_learns(digits, fitted):
    X, y = digits
    assert fitted.score(X[300:], y[300:]) > 0.8
    assert fitted.classes_.tolist() == list("abcdefghij")
    proba = fitted.predict_proba(X[300:])
    np.testing.assert_allclose(proba.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(fitted.predict(X[300:]), fitted.classes_[proba.argmax(axis=1)])
    features = fitted.transform(X)
    assert (features.dtype, features.shape) == (np.float32, (400, 64))
    linear = LogisticRegression(max_iter=1000).fit(features[:300], y[:300])
    assert linear.score(features[300:], y[300:]) > 0.85


def test_features_are_what_the_classifier_sees(digits, fitted):
    X, _ = digits
    layer = fitted.module_.objective.classifier
    with torch.inference_mode():
        logits = layer(torch.from_numpy(fitted.transform(X[:20])))
    np.testing.assert_allclose(logits.softmax(dim=1), fitted.predict_proba(X[:20]), atol=1e-5)


def test_the_same_seed_gives_the_same_features(digits):
    X, y = digits
    augmentation = Augmentation(1, rotation=10, erasing=0.3)
    first = tiny(augmentation=augmentation, validation_fraction=0.2).fit(X, y)
    state = torch.random.get_rng_state()
    second = clone(first).fit(X, y)
    assert torch.equal(state, torch.random.get_rng_state())  # the caller's random numbers go on
    np.testing.assert_array_equal(first.transform(X), second.transform(X))
    other = clone(first).set_params(random_state=1).fit(X, y)
    assert np.abs(first.transform(X) - other.transform(X)).max() > 0.01


def test_features_do_not_depend_on_the_batch_size(digits, fitted):
    X, _ = digits
    expected = fitted.transform(X)
    for batch_size in (1, 7, 400, -1):
        other = pickle.loads(pickle.dumps(fitted)).set_params(batch_size=batch_size)
        np.testing.assert_allclose(other.transform(X), expected, atol=1e-5)


def test_uint8_and_floats_are_the_same_images(digits, fitted):
    X, _ = digits
    as_bytes = np.rint(X * 255).astype(np.uint8)
    np.testing.assert_allclose(fitted.transform(as_bytes), fitted.transform(as_bytes / 255), atol=1e-4)
    np.testing.assert_array_equal(fitted.transform(X), fitted.transform(X[..., None]))


def test_paths(digits, tmp_path):
    image = pytest.importorskip("PIL.Image", reason="pillow comes with the extra")
    X, y = digits
    X = np.rint(X[:60] * 255).astype(np.uint8)
    paths = [tmp_path / f"{i}.png" for i in range(60)]
    for path, array in zip(paths, X, strict=True):
        image.fromarray(array).save(path)
    from_files, from_array = tiny(max_epochs=1).fit(paths, y[:60]), tiny(max_epochs=1).fit(X, y[:60])
    np.testing.assert_array_equal(from_files.transform(paths), from_array.transform(X))
    paths[5].write_bytes(b"junk")
    with pytest.raises(ValueError, match=r"5\.png: this is no image"):
        from_files.transform(paths)


def test_another_layer(digits, fitted):
    X, _ = digits
    maps = pickle.loads(pickle.dumps(fitted)).set_params(feature_layer="backbone.network")
    np.testing.assert_allclose(maps.transform(X), fitted.transform(X), atol=1e-6)  # it averages maps
    logits = maps.set_params(feature_layer="objective.classifier").transform(X)
    assert logits.shape == (400, 10)
    with pytest.raises(ValueError, match=r"no module of the network; some that are: .*'backbone'"):
        maps.set_params(feature_layer="conv9").transform(X)


def test_pickle_clone_and_names(digits, fitted, tmp_path):
    X, _ = digits
    joblib.dump(fitted, tmp_path / "net.joblib")
    for copy in (pickle.loads(pickle.dumps(fitted)), joblib.load(tmp_path / "net.joblib")):
        np.testing.assert_array_equal(copy.transform(X), fitted.transform(X))
        assert copy.get_params()["device"] == "auto"
    assert not clone(fitted).initialized_
    assert fitted.get_feature_names_out()[:2].tolist() == ["cnnfeatureextractor0", "cnnfeatureextractor1"]
    frame = pickle.loads(pickle.dumps(fitted)).set_output(transform="pandas").transform(X[:3])
    assert frame.shape == (3, 64)
    assert repr(CNNFeatureExtractor("tiny", max_epochs=3)) == (
        "CNNFeatureExtractor(backbone='tiny', max_epochs=3)"
    )


def test_validation_and_early_stopping(digits, capsys):
    X, y = digits
    net = tiny(max_epochs=40, lr=1e-2, validation_fraction=0.25, early_stopping=2, retrieval_k=10).fit(X, y)
    scores = net.history[:, "valid_map"]
    assert len(scores) < 40
    assert np.argmax(scores) == len(scores) - 3
    assert {"train_loss", "valid_loss", "valid_acc"} <= set(net.history[-1])
    assert capsys.readouterr().out == ""
    # The weights are those of the best epoch: its score is found again.
    _, valid = net.get_split_datasets(net._training_data(X, y, None), net._training_data(X, y, None).codes)
    features, codes = net.features_of(valid), net._training_data(X, y, None).codes[valid.indices]
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    similarity = unit @ unit.T - 9 * np.eye(len(unit))
    ranked = codes[np.argsort(-similarity, axis=1, kind="stable")[:, :10]]
    R = np.bincount(codes)[codes] - 1
    assert map_at_k(codes, ranked, n_relevant=R, empty="zero") == pytest.approx(max(scores), abs=0.01)


def test_verbose_prints_a_line_an_epoch(digits, capsys):
    X, y = digits
    tiny(max_epochs=2, verbose=1, validation_fraction=0.3).fit(X, y)
    printed = capsys.readouterr().out
    assert "valid_map" in printed
    assert len(printed.strip().splitlines()) == 4


def test_going_on(digits):
    X, y = digits
    net = tiny(max_epochs=2).fit(X, y)
    before = net.history[-1, "train_loss"]
    net.partial_fit(X, y)
    assert len(net.history) == 4
    assert net.history[-1, "train_loss"] < before
    some = y < "f"
    late = tiny(max_epochs=1).partial_fit(X[some], y[some], classes=np.unique(y))
    late.partial_fit(X, y)
    assert late.predict_proba(X).shape == (400, 10)
    with pytest.raises(ValueError, match="not among the classes: \\['z'\\]"):
        late.partial_fit(X[:2], ["a", "z"])
    warm = tiny(max_epochs=1, warm_start=True).fit(X, y)
    assert len(warm.fit(X, y).history) == 2


def test_transform_is_cached(digits, fitted, tmp_path):
    X, y = digits
    net = pickle.loads(pickle.dumps(fitted)).set_params(memory=tmp_path)
    calls = []
    original = type(net).features_of

    class Counting(CNNFeatureExtractor):
        def features_of(self, dataset):
            calls.append(len(dataset))
            return original(self, dataset)

    net.__class__ = Counting
    first = net.transform(X)
    np.testing.assert_array_equal(net.transform(X.copy()), first)
    assert calls == [400]
    net.transform(X[:10])
    net.set_params(feature_layer="objective.classifier").transform(X)
    assert calls == [400, 10, 400]
    net.set_params(feature_layer=None).partial_fit(X[:50], y[:50])
    assert np.abs(net.transform(X) - first).max() > 0
    assert len(calls) == 4


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_the_whole_thing_in_one_object(digits, n_jobs, tmp_path):
    X, y = digits
    pipe = Pipeline(
        [
            ("cnn", tiny(memory=str(tmp_path / "features"))),
            ("retriever", HierarchicalRetriever(HierarchyBuilder())),
        ],
        memory=str(tmp_path / "fits"),
    )
    search = GridSearchCV(
        pipe,
        {"retriever__hierarchy__threshold": [0.01, 0.1], "retriever__alpha": [0.0, 4.0]},
        scoring=make_retrieval_scorer("map", k=10, gallery="query"),
        cv=2,
        n_jobs=n_jobs,
        error_score="raise",
    ).fit(X, y)
    assert search.best_params_["retriever__alpha"] == 4.0
    copy = pickle.loads(pickle.dumps(search.best_estimator_))
    np.testing.assert_array_equal(copy.predict(X[:20]), search.predict(X[:20]))
    distances, indices = copy[-1].kneighbors(copy[:-1].transform(X[:3]), 5)
    assert distances.shape == indices.shape == (3, 5)


def test_the_network_as_class_model(digits, fitted):
    X, y = digits

    features = fitted.transform(X)
    retriever = HierarchicalRetriever(class_model=fitted.as_class_model()).fit(features, y)
    np.testing.assert_array_equal(retriever.leaves(), fitted.predict(X))
    proba = clone(retriever).fit(features, y).class_model_.predict_proba(features)
    np.testing.assert_allclose(proba, fitted.predict_proba(X), atol=1e-5)
    pickle.loads(pickle.dumps(retriever)).kneighbors(features[:3])
    with pytest.raises(ValueError, match="X has 3 features"):
        fitted.as_class_model().predict(features[:, :3])
    other = pickle.loads(pickle.dumps(fitted)).set_params(feature_layer="backbone.network")
    with pytest.raises(ValueError, match="does not take features"):
        other.as_class_model()


@pytest.mark.parametrize("loss", ["center", "label_embedding", "smooth_ap", "triplet", "devise"])
def test_other_losses_learn(digits, loss):
    X, y = digits
    params = {"loss": loss, "max_epochs": 25, "lr": 5e-3}
    if loss == "devise":
        words = np.random.default_rng(0).normal(size=(10, 16))
        params["loss"] = lambda n_features, n_classes: DeViSE(n_features, words)
    if loss in ("smooth_ap", "triplet"):
        params["samples_per_class"] = 5
    if loss == "triplet":
        pytest.importorskip("pytorch_metric_learning", reason="the extra metric")
    net = tiny(**params).fit(X[:300], y[:300])
    assert net.score(X[300:], y[300:]) > 0.7
    scorer = make_retrieval_scorer("map", 10, "query")
    features, untrained = net.transform(X[300:]), tiny(max_epochs=0).fit(X[:300], y[:300]).transform(X[300:])
    cosine = HierarchicalRetriever(alpha=0)
    better = scorer(cosine.fit(features, y[300:]), features, y[300:])
    assert better > scorer(cosine.fit(untrained, y[300:]), untrained, y[300:]) + 0.1


def test_batches_with_as_many_of_each_class():
    codes = np.repeat([0, 1, 2, 3], [1, 5, 8, 30])
    batches = BalancedBatches(codes, batch_size=9, samples_per_class=3)
    found = list(batches)
    assert len(found) == len(batches)
    seen = np.concatenate(found)
    assert len(np.unique(seen)) >= len(seen) - 2  # only the class of one sample repeats
    for batch in found:
        groups = np.array(batch).reshape(-1, 3)
        assert (codes[groups] == codes[groups[:, :1]]).all()
    torch.manual_seed(0)
    first = list(batches)
    torch.manual_seed(0)
    assert first == list(batches) != list(batches)
    for params in ((9, 1), (5, 3)):
        with pytest.raises(ValueError, match="samples_per_class="):
            BalancedBatches(codes, *params)


@pytest.mark.parametrize("loss", ["corr", "corr+cls"])
@pytest.mark.parametrize("combined", [False, True])
def test_semantic_embeddings(digits, loss, combined):
    X, y = digits
    tree = ClassHierarchy.from_newick("(((a,g),(i,(d,j))),((b,h,e),(c,f)),other);")
    truth = tree.restrict(list("abcdefghij"))
    hierarchy = CombinedHierarchy([tree, tree.permute(0)], [3, 1]) if combined else tree
    net = tiny(loss=loss, hierarchy=hierarchy, max_epochs=25, lr=5e-3).fit(X[:300], y[:300])
    features = net.transform(X[300:])
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, atol=1e-5)
    embedding = net.module_.objective.embedding.numpy()
    np.testing.assert_allclose(
        embedding @ embedding.T, net.hierarchy.restrict(net.classes_).similarity_matrix(), atol=1e-6
    )
    nearest = net.classes_[(features @ embedding.T).argmax(axis=1)]
    assert accuracy_score(y[300:], nearest) > 0.7
    assert net.score(X[300:], y[300:]) > 0.7
    np.testing.assert_array_equal(net.predict(X[300:]), nearest)
    if not combined:
        scorer = make_retrieval_scorer("ahp", 20, "query", hierarchy=truth)
        plain = tiny(max_epochs=25, lr=5e-3).fit(X[:300], y[:300])
        cosine = HierarchicalRetriever(alpha=0)
        ours = scorer(cosine.fit(features, y[300:]), features, y[300:])
        theirs = plain.transform(X[300:])
        assert ours > scorer(cosine.fit(theirs, y[300:]), theirs, y[300:])


def test_ones_own_parts(digits):
    X, y = digits
    from sklearn_hierret.nn import CrossEntropy

    pooling = torch.nn.Sequential(torch.nn.AdaptiveMaxPool2d(1), torch.nn.Flatten())
    net = tiny(pooling=pooling, loss=lambda d, k: CrossEntropy(d, k, label_smoothing=0.1)).fit(X, y)
    net.set_params(backbone=TinyNet(1, channels=(4, 8)), max_epochs=1).fit(X, y)
    assert net.transform(X).shape == (400, 8)
    assert clone(net).fit(X, y).transform(X).shape == (400, 8)
    flat = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 12), torch.nn.ReLU())
    assert CNNFeatureExtractor(flat, max_epochs=1).fit(X, y).n_features_out_ == 12
    assert CNNFeatureExtractor(TinyNet, max_epochs=1).fit(X, y).n_features_out_ == 64


@pytest.mark.parametrize("name", ["sgdr", "cosine", "one_cycle"])
def test_presets_train(digits, name):
    X, y = digits
    net = CNNFeatureExtractor("tiny", random_state=0, **training_preset(name, epochs=4)).fit(X, y)
    rates = net.history[:, "event_lr"] if "event_lr" in net.history[0] else None
    assert rates is None or len(set(rates)) > 1
    assert net.history[-1, "train_loss"] < net.history[0, "train_loss"]
    assert clone(net).get_params()["max_epochs"] == 4


def test_bad_presets():
    assert training_preset("sgdr")["max_epochs"] == 372
    for params in ({"name": "adam"}, {"name": "cosine", "epochs": 0}):
        with pytest.raises(ValueError, match=r"name must be|epochs must be"):
            training_preset(**params)


def test_mixed_precision_and_compile_are_parameters(digits):
    X, y = digits
    net = tiny(mixed_precision=True).fit(X, y)
    features = net.transform(X)
    assert features.dtype == np.float32
    exact = pickle.loads(pickle.dumps(net)).set_params(mixed_precision=False).transform(X)
    np.testing.assert_allclose(features, exact, atol=0.1)
    assert np.abs(features - exact).max() > 0
    assert tiny(compile=True).get_params()["compile"] is True


@pytest.mark.slow
def test_memory_of_transform():
    X = np.random.default_rng(0).integers(0, 256, (10_000, 64, 64, 3), dtype=np.uint8)
    y = np.arange(200) % 2
    net = CNNFeatureExtractor("tiny", max_epochs=1).fit(X[:200], y)
    tracemalloc.start()
    features = net.transform(X)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert features.shape == (10_000, 64)
    assert peak - features.nbytes < 100e6  # NumPy's; tests/benchmarks/networks_cost.py measures the process


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"backbone": "plain12"}, ValueError, "backbone must be one of"),
        ({"backbone": 3}, TypeError, "a name, a module or a callable"),
        ({"backbone": lambda c: "x"}, TypeError, "gave a str, not a module"),
        ({"backbone": "timm:resnet18:imagenet"}, ValueError, "'pretrained' or nothing"),
        ({"pooling": "median"}, ValueError, "pooling must be one of"),
        ({"loss": "hinge"}, ValueError, "loss must be"),
        ({"loss": "corr"}, ValueError, "needs hierarchy="),
        ({"loss": "corr", "hierarchy": HierarchyBuilder()}, TypeError, "pass its hierarchy_"),
        ({"loss": "corr", "hierarchy": ClassHierarchy.flat("ab")}, ValueError, "missing in the hierarchy"),
        ({"batch_size": 0}, ValueError, "batch_size must be"),
        ({"validation_fraction": 1}, ValueError, "validation_fraction must be"),
        ({"early_stopping": 3}, ValueError, "needs validation_fraction"),
        ({"device": "cuda"}, ValueError, "no CUDA device"),
        ({"optimiser": "sgd"}, ValueError, "optimiser"),
    ],
)
def test_bad_parameters(digits, params, error, message):
    if params.get("device") == "cuda" and torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    X, y = digits
    with pytest.raises(error, match=message):
        tiny(**params).fit(X[:20], y[:20])


def test_bad_data(digits, fitted):
    X, y = digits
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        tiny().fit(X, y[:-1])
    with pytest.raises(ValueError, match="one class"):
        tiny().fit(X[:3], ["a"] * 3)
    with pytest.raises(ValueError, match="requires y"):
        tiny().fit(X, None)
    with pytest.raises(ValueError, match="Unknown label type"):
        tiny().fit(X, np.linspace(0, 1, 400))
    for images, message in [
        (np.repeat(X[..., None], 3, axis=3), "3 channels, but the network was trained on .* 1 channels"),
        (X[:, :7], "7 x 8 pixels"),
        (X.reshape(400, -1), "Reshape flat ones"),
    ]:
        for method in (fitted.transform, fitted.predict):
            with pytest.raises(ValueError, match=message):
                method(images)
    with pytest.warns(UserWarning, match="expected 0 ... 1"):
        fitted.transform(X * 255)
    for method in ("transform", "predict", "predict_proba"):
        with pytest.raises(NotFittedError):
            getattr(tiny(), method)(X)
    with pytest.raises(NotFittedError, match="call fit"):
        tiny().initialize()


def test_out_of_memory_suggests_a_smaller_batch(digits):
    X, y = digits

    class Hungry(torch.nn.Module):
        def forward(self, x):
            if len(x) > 2:
                raise RuntimeError("CUDA out of memory. Tried to allocate 3.00 TiB")
            return x

    with pytest.raises(RuntimeError, match="batch_size=50: try a smaller"):
        tiny(backbone=Hungry()).fit(X, y)


def test_diverged_training_is_an_error(digits):
    X, y = digits
    with pytest.raises(ValueError, match=r"Training diverged: the loss of epoch 1 is .*lr than 1e"):
        tiny(lr=1e30, optimizer=torch.optim.SGD).fit(X, y)
