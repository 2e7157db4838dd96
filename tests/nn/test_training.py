"""What skorch's parameters, weights and frozen parts do to training."""

from functools import partial

import numpy as np
import pytest
import torch
from skorch.callbacks import EpochScoring, Freezer
from skorch.dataset import Dataset, ValidSplit
from skorch.helper import predefined_split
from torch import nn

from sklearn_hierret import ClassHierarchy
from sklearn_hierret.nn import CNNFeatureExtractor, CrossEntropy, LatentGaussianExtractor, TinyNet


def tiny(backbone="tiny", **params):
    params = {"max_epochs": 2, "random_state": 0, "batch_size": 50, "device": "cpu", **params}
    return CNNFeatureExtractor(backbone, **params)


def weights_of(net):
    return torch.cat([weight.detach().flatten() for weight in net.module_.parameters()])


# --------------------------------------------------------------------- criterion


def test_parameters_of_the_criterion_count(digits):
    X, y = digits
    X, y = X[:150], y[:150]
    plain, smooth = tiny().fit(X, y), tiny(criterion__label_smoothing=0.3).fit(X, y)
    assert not torch.allclose(weights_of(plain), weights_of(smooth))
    expected = tiny(loss=partial(CrossEntropy, label_smoothing=0.3)).fit(X, y)
    torch.testing.assert_close(weights_of(smooth), weights_of(expected))
    same = tiny(criterion=nn.CrossEntropyLoss).fit(X, y)
    torch.testing.assert_close(weights_of(same), weights_of(plain))
    weight = torch.ones(10)
    weight[3] = 0
    without = tiny(criterion__weight=weight, max_epochs=8, lr=3e-3).fit(X, y)
    assert not np.any(without.predict(X) == without.classes_[3])


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"loss": "center", "criterion": nn.CrossEntropyLoss}, "loss='center' has its own: criterion would"),
        ({"loss": "smooth_ap", "criterion__label_smoothing": 0.1}, "criterion__label_smoothing would not"),
        ({"criterion": nn.NLLLoss}, "NLLLoss takes logarithms"),
        ({"criterion": nn.CrossEntropyLoss()}, "criterion must be a class"),
        ({"freeze": ""}, "freeze='' is no module"),
    ],
)
def test_criteria_that_would_not_be_used(digits, params, message):
    with pytest.raises(ValueError, match=message):
        tiny(**params).fit(*digits)


# ----------------------------------------------------------------------- weights


@pytest.mark.parametrize("loss", ["cross_entropy", "center", "corr+cls", "hyperbolic"])
def test_weights_multiply_losses(digits, loss):
    """Images of weight 0 teach nothing; scaling all weights changes nothing."""
    X, y = digits
    X, y = X[:120], y[:120]
    tree = ClassHierarchy.flat(np.unique(y)) if loss in ("corr+cls", "hyperbolic") else None
    make = partial(tiny, loss=loss, hierarchy=tree, batch_size=-1)
    weight = np.ones(len(y))
    weight[y == "a"] = 0
    swapped = y.copy()
    swapped[y == "a"] = "b"  # labels without weight do not matter
    swapped[np.flatnonzero(y == "a")[0]] = "a"
    one, other = make().fit(X, y, sample_weight=weight), make().fit(X, swapped, sample_weight=weight)
    torch.testing.assert_close(weights_of(one), weights_of(other))
    plain, scaled = make().fit(X, y), make().fit(X, y, sample_weight=np.full(len(y), 7.0))
    torch.testing.assert_close(weights_of(plain), weights_of(scaled), rtol=1e-3, atol=1e-5)
    assert not torch.allclose(weights_of(plain), weights_of(one))


def test_class_weights_are_sample_weights(digits):
    X, y = digits
    rare = np.concatenate([np.flatnonzero(y != "c")[:120], np.flatnonzero(y == "c")[:3]])
    X, y = X[rare], y[rare]
    counts = {label: np.sum(y == label) for label in np.unique(y)}
    weight = np.array([len(y) / (10 * counts[label]) for label in y])
    balanced, weighted = tiny(class_weight="balanced").fit(X, y), tiny().fit(X, y, sample_weight=weight)
    torch.testing.assert_close(weights_of(balanced), weights_of(weighted))
    mapping = {label: len(y) / (10 * n) for label, n in counts.items()}
    torch.testing.assert_close(weights_of(tiny(class_weight=mapping).fit(X, y)), weights_of(weighted))
    assert np.mean(balanced.predict_proba(X)[:, 2]) > np.mean(tiny().fit(X, y).predict_proba(X)[:, 2])


def test_weights_with_everything_else(digits):
    X, y = digits
    net = tiny(
        class_weight="balanced", validation_fraction=0.3, early_stopping=3, criterion=nn.CrossEntropyLoss
    )
    net.fit(X[:150], y[:150], sample_weight=np.linspace(0, 1, 150))
    assert {"valid_acc", "valid_map", "valid_loss"} <= set(net.history[-1])
    net.partial_fit(X[150:200], y[150:200], sample_weight=np.ones(50))
    assert net.transform(X[:5]).shape == (5, 64)
    split = LatentGaussianExtractor(
        "tiny", max_epochs=1, random_state=0, class_weight="balanced", device="cpu"
    )
    assert split.fit(X[:100], y[:100]).transform(X[:3]).shape == (3, 64)


def test_bad_weights(digits):
    X, y = digits
    for weight, message in [
        (-np.ones(50), "egative"),
        (np.ones(49), r"shape|inconsistent"),
        (np.full(50, np.nan), "NaN"),
    ]:
        with pytest.raises(ValueError, match=message):
            tiny().fit(X[:50], y[:50], sample_weight=weight)
    for class_weight in ({"a": -1}, dict.fromkeys("abcdefghij", 0)):
        with pytest.raises(ValueError, match="class_weight must be at least 0"):
            tiny(class_weight=class_weight).fit(X[:50], y[:50])
    with pytest.raises(ValueError, match="compares the samples of a batch, and takes no weights"):
        tiny(loss="multigrain", class_weight="balanced").fit(X[:50], y[:50])
    with pytest.raises(ValueError, match="compares the samples of a batch, and takes no weights"):
        tiny(loss="smooth_ap", class_weight="balanced").fit(X[:50], y[:50])


# ------------------------------------------------------------------------ scores


@pytest.mark.parametrize("kind", ["numbers", "later numbers", "text"])
def test_scores_of_skorch_compare_like_with_like(digits, kind):
    X, y = digits
    codes = np.unique(y, return_inverse=True)[1]
    labels = {"numbers": codes, "later numbers": 7 * codes + 3, "text": y}[kind]
    callbacks = [
        EpochScoring("accuracy", lower_is_better=False, name="mine"),
        EpochScoring("f1_macro", lower_is_better=False, name="f1"),
    ]
    net = tiny(train_split=ValidSplit(4, stratified=True), callbacks=callbacks, max_epochs=4, lr=3e-3)
    net.fit(X[:300], labels[:300])
    last = net.history[-1]
    assert last["mine"] == last["valid_acc"] > 0.3
    assert 0.3 < last["f1"] < 1
    assert set(net.predict(X[:50])) <= set(labels)


def test_scores_of_split_classes_say_what_to_look_at(digits):
    X, y = digits
    scoring = EpochScoring("accuracy", name="mine")
    net = LatentGaussianExtractor(
        "tiny",
        max_epochs=1,
        random_state=0,
        max_false_negative_rate=0,
        callbacks=[scoring],
        device="cpu",
        train_split=ValidSplit(4, stratified=False),
    )
    with pytest.raises(ValueError, match="compare clusters; 'valid_acc'"):
        net.fit(X[:200], y[:200])


# ------------------------------------------------------------------------ frozen


def trained_backbone(digits):
    X, y = digits
    return tiny(TinyNet(1, channels=(8, 12))).fit(X[:100], y[:100]).module_.backbone.network


def state_of(module):
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


@pytest.mark.parametrize("how", ["freeze", "requires_grad", "callback"])
def test_frozen_parts_do_not_move(digits, how):
    X, y = digits
    backbone = trained_backbone(digits)
    before = state_of(backbone)
    assert any("running_mean" in name for name in before)
    params = {}
    if how == "freeze":
        params = {"freeze": "backbone"}
    elif how == "requires_grad":
        backbone.requires_grad_(False)
    else:
        params = {"callbacks": [Freezer("backbone.*")]}
    net = tiny(backbone, **params, optimizer__weight_decay=0.1).fit(X[:150], y[:150])
    after = state_of(net.module_.backbone.network)
    for name, tensor in before.items():
        torch.testing.assert_close(after[name], tensor, rtol=0, atol=0)
    assert net.history[-1]["train_loss"] < net.history[0]["train_loss"]


def test_parts_of_a_frozen_network_can_learn(digits):
    X, y = digits
    backbone = trained_backbone(digits)
    names = [name for name, module in backbone.named_modules() if isinstance(module, nn.BatchNorm2d)]
    first = f"backbone.network.{names[0]}"
    net = tiny(backbone, freeze=[first]).fit(X[:150], y[:150])
    modules = dict(net.module_.named_modules())
    before = dict(backbone.named_modules())[names[0]]
    torch.testing.assert_close(modules[first].running_mean, before.running_mean)
    other = f"backbone.network.{names[1]}"
    assert not torch.allclose(
        modules[other].running_mean, dict(backbone.named_modules())[names[1]].running_mean
    )
    with pytest.raises(ValueError, match="freeze='head' is no module of the network; some that are"):
        tiny(freeze="head").fit(X[:50], y[:50])


# ---------------------------------------------------------------------- datasets


def test_validation_sets_of_their_own(digits):
    X, y = digits
    train, valid = slice(0, 200), slice(200, 300)
    net = tiny(train_split=predefined_split(Dataset(X[valid], y[valid])), max_epochs=3).fit(
        X[train], y[train]
    )
    assert net.history[-1]["valid_acc"] == pytest.approx(net.score(X[valid], y[valid]))
    with pytest.raises(ValueError, match=r"labels that y lacks: \['z'\]"):
        tiny(train_split=predefined_split(Dataset(X[valid], np.full(100, "z")))).fit(X[train], y[train])
    with pytest.raises(ValueError, match="validation set as skorch"):
        tiny(train_split=predefined_split(torch.utils.data.TensorDataset(torch.ones(3)))).fit(
            X[train], y[train]
        )


def test_datasets_of_images(digits):
    X, y = digits
    one, other = tiny().fit(Dataset(X[:100], y[:100])), tiny().fit(X[:100], y[:100])
    torch.testing.assert_close(weights_of(one), weights_of(other))
    with pytest.raises(TypeError, match=r"TensorDataset: pass images, or paths.*load_image_folder"):
        tiny().fit(torch.utils.data.TensorDataset(torch.ones(3)), y[:3])


def test_images_that_are_alone_in_their_class_are_learned_from(digits):
    X, y = digits
    y = y[:200].astype(object)
    y[0] = "alone"
    net = tiny(validation_fraction=0.2, early_stopping=2).fit(X[:200], y)
    assert "alone" in net.classes_
    assert "valid_map" in net.history[-1]
    with pytest.raises(ValueError, match=r"validation_fraction=0\.2 of 12 images is not enough for 6"):
        tiny(validation_fraction=0.2).fit(X[:12], np.repeat(list("abcdef"), 2))
