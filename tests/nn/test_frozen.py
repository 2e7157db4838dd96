import copy
import pickle
import re
import sqlite3
import warnings
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import check_estimator
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import nn
from torch.nn.functional import interpolate

from sklearn_hierret import HierarchicalRetriever
from sklearn_hierret.nn import FrozenFeatureExtractor, TinyNet
from sklearn_hierret.nn.backbones._pooling import GeMPooling, PartialMeanPooling, RMACPooling
from sklearn_hierret.nn.frozen._resizing import resized
from sklearn_hierret.nn.frozen._settings import batch_size_of

pytestmark = pytest.mark.filterwarnings("ignore:The network is your own")
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return TinyNet(channels=(8, 12)).eval()


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (11, 20, 15, 3), dtype=np.uint8)


@pytest.fixture
def folder(images, tmp_path):
    for i, image in enumerate(images):
        path = tmp_path / "images" / "ab"[i % 2] / f"{i:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    return tmp_path / "images"


def naive(network, images, size, pool=lambda maps: maps.mean(axis=(2, 3))):
    """One image after another: resized by torch, normalised, through the network, pooled."""
    rows = []
    for image in images:
        pixels = torch.tensor(np.moveaxis(image, 2, 0)[None].astype(np.float32) / 255)
        if pixels.shape[2:] != size:
            shrinks = size[0] < pixels.shape[2] or size[1] < pixels.shape[3]
            pixels = interpolate(pixels, size, mode="bicubic", antialias=shrinks).clamp(0, 1)
        values = (pixels.numpy() - MEAN[:, None, None]) / STD[:, None, None]
        with torch.no_grad():
            rows.append(pool(network(torch.tensor(values).float()).numpy())[0])
    return np.array(rows)


def close(a, b):
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [(24, 32), (20, 15), (10, 8)])
@pytest.mark.parametrize("n_jobs", [None, 3])
def test_features_are_those_of_one_image_after_another(network, images, folder, size, n_jobs):
    frozen = FrozenFeatureExtractor(network, image_size=size, batch_size=4, n_jobs=n_jobs).fit()
    expected = naive(network, images, size)
    assert frozen.n_features_out_ == expected.shape[1]
    assert frozen.transform(images).dtype == np.float32
    paths = sorted(folder.rglob("*.png"), key=lambda path: path.name)
    given = {
        "array": images,
        "floats": images / 255,
        "list": list(images),
        "PIL": [Image.fromarray(image) for image in images],
        "paths": paths,
        "frame": pd.DataFrame({"path": [str(path) for path in paths]}),
        "series": pd.Series([str(path) for path in paths]),
    }
    for name, X in given.items():
        np.testing.assert_allclose(frozen.transform(X), expected, rtol=1e-4, atol=1e-5, err_msg=name)
    close(frozen.transform(folder), expected[[*range(0, 11, 2), *range(1, 11, 2)]])  # sorted by path


def test_images_of_several_sizes_and_channels(network, images):
    mixed = [images[0], images[1, :7], np.repeat(images[2, :, :, :1], 3, axis=2), images[3] / 255]
    expected = np.concatenate(
        [naive(network, [np.rint(im * 255) if im.max() <= 1 else im], (16, 16)) for im in mixed]
    )
    given = [images[0], images[1, :7], images[2, :, :, 0], images[3] / 255]
    close(FrozenFeatureExtractor(network, image_size=16).fit().transform(given), expected)
    grey = FrozenFeatureExtractor(TinyNet(1), image_size=16, mean=[0.5], std=[0.5]).fit()
    luminance = np.rint(images @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)
    close(grey.transform(images), grey.transform(luminance))


def test_what_becomes_of_other_ratios(images):
    image = images[:1, :, :10].copy()  # 20 x 10
    image[:, :5], image[:, 15:] = 0, 255
    middle = resized(image, (10, 10), "crop")
    assert middle.shape == (1, 3, 10, 10)
    np.testing.assert_allclose(middle, np.moveaxis(image[:, 5:15], 3, 1) / np.float32(255))
    padded = resized(image, (20, 20), "pad")
    np.testing.assert_allclose(padded[:, :, :, 5:15], np.moveaxis(image, 3, 1) / np.float32(255))
    np.testing.assert_array_equal(padded[:, :, :, [0, 4, 15, 19]], 0.5)
    assert resized(image, (7, 9), "stretch").shape == resized(image, (7, 9), "pad").shape == (1, 3, 7, 9)
    for how in ("crop", "pad"):
        assert resized(image, (31, 17), how).shape == (1, 3, 31, 17)


def test_tiles_are_averaged(network, images):
    frozen = FrozenFeatureExtractor(network, image_size=(10, 5), tiles=(2, 3), batch_size=4).fit()
    tiles = [images[:, r : r + 10, c : c + 5] for r in (0, 10) for c in (0, 5, 10)]
    close(frozen.transform(images), np.mean([naive(network, tile, (10, 5)) for tile in tiles], axis=0))
    close(frozen.transform(list(images)), frozen.transform(images))


def test_layers_are_pooled_and_put_together(network, images):
    first, last = "convolutions.2", "convolutions.6"
    frozen = FrozenFeatureExtractor(network, layers=[first, last], pooling="max", image_size=(20, 15)).fit()
    parts = [
        naive(net, images, (20, 15), lambda maps: maps.max(axis=(2, 3)))
        for net in (network.convolutions[:3], network.convolutions[:7])
    ]
    expected = np.hstack([part / np.linalg.norm(part, axis=1, keepdims=True) for part in parts])
    close(frozen.transform(images), expected)
    one = FrozenFeatureExtractor(network, layers=last, pooling="max", image_size=(20, 15)).fit()
    close(one.transform(images), parts[1])


class Tokens(nn.Module):
    """A token for each of the four quarters of an image: its mean colour."""

    def forward(self, images):
        return torch.nn.functional.adaptive_avg_pool2d(images, 2).flatten(2).transpose(1, 2)


def test_tokens_are_pooled(images):
    X = images[:, :, :14]
    quarters = [X[:, r : r + 10, c : c + 7].mean(axis=(1, 2)) for r in (0, 10) for c in (0, 7)]
    tokens = (np.array(quarters) / 255 - MEAN) / STD
    for pooling, pool in ((None, np.mean), ("average", np.mean), ("max", np.max)):
        frozen = FrozenFeatureExtractor(Tokens(), pooling=pooling, image_size=(20, 14)).fit()
        close(frozen.transform(X), pool(tokens, axis=0))


def trace_to(path, module):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        script = torch.jit.trace(module.eval(), torch.zeros(2, 3, 20, 15))
        script.save(str(path))
    return script


def test_files_of_networks(network, images, tmp_path):
    script = trace_to(tmp_path / "net.pt", network.convolutions)
    expected = naive(network, images, (20, 15))
    for given in (tmp_path / "net.pt", str(tmp_path / "net.pt"), script):
        frozen = FrozenFeatureExtractor(given, image_size=(20, 15)).fit()
        close(frozen.transform(images), expected)
        close(pickle.loads(pickle.dumps(frozen.set_params(network=None))).transform(images), expected)
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    other = TinyNet(channels=(8, 12))
    for weights in (None, tmp_path / "weights.pth"):
        features = FrozenFeatureExtractor(other, weights=weights, image_size=(20, 15)).fit().transform(images)
        assert np.allclose(features, expected, rtol=1e-4, atol=1e-5) == (weights is not None)


@pytest.mark.parametrize("fixed", [False, True])
def test_onnx_files(images, tmp_path, fixed):
    onnx = pytest.importorskip(
        "onnx", reason="ONNX files are tested where the packages are, in CI's last step"
    )
    pytest.importorskip("onnxruntime", reason="as onnx")
    shapes = {name: [4 if fixed else "n", 3, *size] for name, size in (("x", (20, 15)), ("y", (1, 1)))}
    infos = {
        name: onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        for name, shape in shapes.items()
    }
    node = onnx.helper.make_node("GlobalMaxPool", ["x"], ["y"])
    graph = onnx.helper.make_graph([node], "maximum", [infos["x"]], [infos["y"]])
    opset = [onnx.helper.make_opsetid("", 17)]
    path = tmp_path / "net.onnx"
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    frozen = FrozenFeatureExtractor(path, image_size=(20, 15), batch_size=6).fit()
    expected = (images.max(axis=(1, 2)) / 255 - MEAN) / STD
    close(frozen.transform(images), expected)
    close(pickle.loads(pickle.dumps(frozen)).transform(images), expected)
    with pytest.raises(ValueError, match="ONNX files and functions have their own"):
        FrozenFeatureExtractor(path, weights="w.pt").fit()
    stored = pickle.dumps(frozen)
    path.write_bytes(b"junk")
    with pytest.raises(ValueError, match=r"net\.onnx: onnxruntime can't read"):
        frozen.fit()
    with pytest.raises(ValueError, match=r"net\.onnx is not there, or is not the file"):
        pickle.loads(stored)


def test_functions(images):
    frozen = FrozenFeatureExtractor(lambda x: x.mean(dim=(2, 3)).numpy(), image_size=(20, 15)).fit()
    close(frozen.transform(images), (images.mean(axis=(1, 2)) / 255 - MEAN) / STD)


def test_half_precision_is_close(network, images):
    exact = FrozenFeatureExtractor(network, image_size=32).fit().transform(images)
    half = FrozenFeatureExtractor(network, image_size=32, mixed_precision=True).fit().transform(images)
    assert not np.array_equal(half, exact)
    np.testing.assert_allclose(half, exact, atol=0.02 * exact.max())


def test_the_network_that_is_given_stays_as_it_is(images):
    network = TinyNet(channels=(8,)).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    frozen = FrozenFeatureExtractor(network, image_size=16).fit()
    first = frozen.transform(images)
    assert network.training
    assert all(p.requires_grad for p in network.parameters())
    for value in network.state_dict().values():
        value.add_(1)
    np.testing.assert_array_equal(frozen.transform(images), first)  # parameters are read once, by fit
    assert {name: value.shape for name, value in before.items()} == {
        name: value.shape for name, value in network.state_dict().items()
    }
    assert clone(frozen).network is network


# --------------------------------------------------------------------------- what was computed before


class Counting(nn.Module):
    """Mean colours; counts the images that it has seen, and fails after so many."""

    seen, most = 0, 1_000_000

    def forward(self, images):
        if type(self).seen + len(images) > type(self).most:
            raise RuntimeError("stopped")
        type(self).seen += len(images)
        return images.mean(dim=(2, 3))


@pytest.fixture
def counting():
    Counting.seen, Counting.most = 0, 1_000_000
    return Counting()


def test_an_image_is_computed_once(counting, images, folder, tmp_path):
    frozen = FrozenFeatureExtractor(
        counting, image_size=(20, 15), memory=tmp_path / "kept", batch_size=3
    ).fit()
    Counting.seen = 0
    expected = (images.mean(axis=(1, 2)) / 255 - MEAN) / STD
    close(frozen.transform(images), expected)
    assert Counting.seen == 11
    close(frozen.transform(images[::-1]), expected[::-1])
    assert Counting.seen == 11
    more = np.concatenate([images[3:], images[:1] // 2])
    close(frozen.transform(more)[:-1], expected[3:])
    assert Counting.seen == 12
    frozen.transform(folder)
    assert Counting.seen == 23  # files by their bytes
    (folder / "a" / "00.png").rename(folder / "b" / "moved.png")
    frozen.transform(folder)
    assert Counting.seen == 23
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(frozen.transform, [images] * 8):
            close(found, expected)
    assert Counting.seen == 23


def test_what_features_depend_on_is_told_apart(counting, network, images, tmp_path):
    settings = [
        {},
        {"image_size": 16},
        {"mean": (0.4, 0.4, 0.4)},
        {"tiles": 2},
        {"resize": "crop"},
        {"mixed_precision": True},
        {"pooling": "max"},
    ]
    for number, changed in enumerate(settings, start=1):
        params = {"image_size": (20, 15), "memory": joblib.Memory(tmp_path, verbose=0), **changed}
        kept = FrozenFeatureExtractor(network, **params).fit().transform(images)
        fresh = FrozenFeatureExtractor(network, **{**params, "memory": None}).fit().transform(images)
        close(kept, fresh)
        assert len(list(tmp_path.glob("*.sqlite"))) == number
    torch.manual_seed(1)
    FrozenFeatureExtractor(TinyNet(channels=(8, 12)), memory=tmp_path).fit().transform(images)
    assert len(list(tmp_path.glob("*.sqlite"))) == len(settings) + 1


def test_an_interrupted_run_goes_on(counting, images, tmp_path):
    frozen = FrozenFeatureExtractor(counting, image_size=(20, 15), memory=tmp_path, batch_size=3).fit()
    Counting.seen, Counting.most = 0, 7
    with pytest.raises(RuntimeError, match="stopped"):
        frozen.transform(images)
    Counting.most = 1_000_000
    frozen.transform(images)
    assert Counting.seen == 11


def test_functions_say_what_they_are(images, tmp_path):
    def mean_colour(batch):
        return batch.mean(dim=(2, 3))

    frozen = FrozenFeatureExtractor(mean_colour, memory=tmp_path)
    with pytest.raises(ValueError, match="cache_key"):
        frozen.fit()
    mean_colour.cache_key = "mean colour, 1"
    frozen.fit().transform(images)
    mean_colour.cache_key = "mean colour, 2"
    frozen.fit().transform(images)
    assert len(list(tmp_path.glob("*.sqlite"))) == 2


def test_damaged_stores(counting, images, tmp_path):
    frozen = FrozenFeatureExtractor(counting, image_size=(20, 15), memory=tmp_path).fit()
    expected = frozen.transform(images)
    [path] = tmp_path.glob("*.sqlite")
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE features SET numbers = x'00'")
    connection.close()
    np.testing.assert_array_equal(frozen.transform(images), expected)  # of a wrong length: computed again
    path.write_bytes(b"no database" * 100)
    with pytest.raises(ValueError, match=r"sqlite is damaged .* delete it"):
        frozen.transform(images)
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        FrozenFeatureExtractor(counting, image_size=8, memory=tmp_path / "file").fit().transform(images)


class Scaled(nn.Module):
    """A network with a plain attribute that no weight and no text shows."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, images):
        return images.mean(dim=(2, 3)) * self.factor


def test_networks_and_poolings_that_differ_by_an_attribute(network, images, tmp_path):
    def features(**params):
        return FrozenFeatureExtractor(image_size=(20, 15), memory=tmp_path, **params).fit().transform(images)

    pairs = [
        [{"network": Scaled(1.0)}, {"network": Scaled(5.0)}],
        [{"network": network, "pooling": RMACPooling(1)}, {"network": network, "pooling": RMACPooling(3)}],
        [{"network": network, "pooling": PartialMeanPooling(share)} for share in (0.1, 0.9)],
    ]
    for one, other in pairs:
        assert not np.allclose(features(**one), features(**other))


def test_weights_of_scripts_count(network, images, tmp_path):
    trace_to(tmp_path / "net.pt", network.convolutions)
    found = []
    for seed in range(2):
        torch.manual_seed(seed)
        torch.save(TinyNet(channels=(8, 12)).convolutions.state_dict(), tmp_path / f"{seed}.pth")
        params = {"weights": tmp_path / f"{seed}.pth", "memory": tmp_path, "image_size": (20, 15)}
        found.append(FrozenFeatureExtractor(tmp_path / "net.pt", **params).fit().transform(images))
    assert not np.allclose(*found)


def test_threads_take_turns_with_layers(network, images):
    frozen = FrozenFeatureExtractor(network, layers=["convolutions.2"], image_size=64, batch_size=2).fit()
    expected = frozen.transform(images)
    with ThreadPoolExecutor(3) as pool:
        for found in pool.map(frozen.transform, [images] * 12):
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_layers_are_taken_before_what_works_in_place(images):
    torch.manual_seed(0)
    first = nn.Conv2d(3, 4, 3)
    nets = [nn.Sequential(first, nn.ReLU(inplace=inplace)) for inplace in (True, False)]
    for pooling in ("average", nn.Flatten()):
        found = [
            FrozenFeatureExtractor(net, layers="0", pooling=pooling, image_size=8).fit().transform(images)
            for net in nets
        ]
        np.testing.assert_allclose(*found, atol=1e-6)
    twice = nn.Sequential(shared := nn.Conv2d(3, 3, 3), shared)
    with pytest.raises(ValueError, match="calls the module '0' several times"):
        FrozenFeatureExtractor(twice, layers=["0"], image_size=8).fit()


def test_poolings_stay_as_they_are(network, images):
    pooling = GeMPooling().train()
    frozen = FrozenFeatureExtractor(network, pooling=pooling, image_size=16).fit()
    before = frozen.transform(images)
    assert pooling.training
    assert pooling.p.requires_grad
    pooling.p.data.fill_(1.0)
    np.testing.assert_array_equal(frozen.transform(images), before)


def test_half_and_double_precision_networks(network, images):
    expected = FrozenFeatureExtractor(network, image_size=16).fit().transform(images)
    double = copy.deepcopy(network).double()
    close(FrozenFeatureExtractor(double, image_size=16).fit().transform(images), expected)
    assert next(double.parameters()).dtype == torch.float64


# ------------------------------------------------------------------------------------ scikit-learn


def test_pipelines_grids_and_pickles(images, tmp_path):
    y = np.repeat([0, 1], [6, 5])
    pipe = make_pipeline(
        FrozenFeatureExtractor(TinyNet(channels=(8,)), image_size=16, memory=str(tmp_path)),
        HierarchicalRetriever(n_neighbors=2),
    )
    search = GridSearchCV(pipe, {"hierarchicalretriever__alpha": [0, 1]}, cv=2).fit(images, y)
    best = search.best_estimator_.set_params(hierarchicalretriever__alpha=0)
    assert best[-1].kneighbors(best[0].transform(images[:2]), 1)[1].tolist() == [[0], [1]]
    frozen = search.best_estimator_[0]
    again = pickle.loads(pickle.dumps(frozen))
    np.testing.assert_array_equal(again.transform(images), frozen.transform(images))
    assert frozen.get_feature_names_out()[:2].tolist() == [
        "frozenfeatureextractor0",
        "frozenfeatureextractor1",
    ]
    with pytest.raises(NotFittedError):
        clone(frozen).transform(images)


class FlatImages(FrozenFeatureExtractor):
    """What scikit-learn's checks need around the extractor: rows instead of images."""

    def fit(self, X, y=None):
        validate_data(self, X)
        return super().fit(X)

    def transform(self, X):
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=[np.float32, np.float64])
        return super().transform(X.astype(np.float32)[:, None, :, None])

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = True
        return tags


def mean_colours(images):
    return images.mean(dim=(2, 3)).numpy()


@pytest.mark.filterwarnings("ignore")  # the checks' numbers are no images
def test_check_estimator():
    # Not a module: joblib's hash of one is not that of its copy.
    results = check_estimator(FlatImages(mean_colours, image_size=8), on_skip=None, on_fail=None)
    assert [(r["check_name"], str(r["exception"])) for r in results if r["status"] == "failed"] == []
    assert len(results) > 40


# --------------------------------------------------------------------------------------- bad input


def test_damaged_images(network, images, folder):
    damaged = folder / "a" / "04.png"
    damaged.write_bytes(damaged.read_bytes()[:200])
    paths = [*sorted(folder.rglob("*.png")), folder / "missing.png"]
    frozen = FrozenFeatureExtractor(network, image_size=16, batch_size=4).fit()
    with pytest.raises(ValueError, match=r"04\.png: this is no image that can be read"):
        frozen.transform(paths)
    with pytest.raises(FileNotFoundError, match=r"missing\.png"):
        frozen.transform(paths[-1:])
    frozen.set_params(on_error="warn").fit()
    with pytest.warns(UserWarning, match=r"2 of 12 images are damaged, .*04\.png.*missing\.png"):
        features = frozen.transform(paths)
    is_there = ~np.isnan(features).any(axis=1)
    assert np.flatnonzero(~is_there).tolist() == [paths.index(damaged), 11]
    close(
        features[is_there],
        frozen.transform([path for path, there in zip(paths, is_there, strict=True) if there]),
    )


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"network": "resnet18"}, ValueError, "'timm:NAME', 'torchvision:NAME'"),
        ({"network": 3}, TypeError, "a name, a path, a module or a callable, got a int"),
        ({"network": "missing.pt"}, FileNotFoundError, "missing.pt"),
        ({"network": "missing.onnx"}, FileNotFoundError, "missing.onnx"),
        ({"network": nn.Flatten(0)}, ValueError, r"an array of shape \(384,\)"),
        ({"network": nn.Conv3d(3, 2, 3)}, ValueError, "can't take images of 8 x 8 pixels with 3 channels"),
        ({"network": nn.Conv2d(1, 2, 3)}, ValueError, "can't take images of 8 x 8 pixels with 3 channels"),
        ({"network": lambda x: x.mean(dim=(2, 3))[:1]}, ValueError, r"a shape of \(1, 3\) for two images"),
        ({"network": lambda x: x.mean()}, ValueError, "vectors, maps or tokens"),
        ({"network": lambda x: "text"}, ValueError, "must give an array, got a str"),
        ({"network": lambda x: [x, None]}, ValueError, "must give an array, got a list"),
        ({"layers": ["convolution.0"]}, ValueError, "no module 'convolution.0'; some that it has"),
        ({"network": lambda x: x, "layers": ["a"]}, ValueError, "no layers to choose from"),
        ({"layers": []}, ValueError, "names of modules, at least one"),
        ({"layers": [0]}, ValueError, "names of modules, at least one"),
        ({"layers": 3}, ValueError, r"names of modules, at least one, got \[3\]"),
        ({"network": TinyNet}, TypeError, "got the class TinyNet"),
        ({"network": nn.Conv2d(3, 2, 3, device="meta")}, ValueError, "on the device 'meta'"),
        ({"network": lambda x: x, "weights": "w.pt"}, ValueError, "functions have their own"),
        ({"device": "gpu"}, ValueError, "device='gpu' is none of torch's"),
        ({"pooling": "mean"}, ValueError, "pooling must be one of"),
        ({"image_size": 0}, ValueError, "image_size must be a positive integer or two"),
        ({"image_size": (8, 8, 8)}, ValueError, "image_size must be"),
        ({"tiles": 1.5}, ValueError, "tiles must be"),
        ({"mean": (0.5, 0.5)}, ValueError, "one number each, or three"),
        ({"mean": (0.5,)}, ValueError, "one number each, or three"),
        ({"std": (0.5, 0.0, 0.5)}, ValueError, "std above 0"),
        ({"mean": (np.nan, 0, 0)}, ValueError, "mean must be finite"),
        ({"memory": 3}, TypeError, "memory must be a path"),
        ({"resize": "fill"}, ValueError, "'resize' parameter"),
        ({"on_error": "ignore"}, ValueError, "'on_error' parameter"),
        ({"batch_size": 0}, ValueError, "'batch_size' parameter"),
        ({"weights": "missing.safetensors"}, FileNotFoundError, "missing.safetensors"),
    ],
)
def test_bad_parameters(params, error, message):
    with pytest.raises(error, match=message):
        FrozenFeatureExtractor(**{"network": TinyNet(channels=(4,)), "image_size": 8, **params}).fit()


def test_batches_are_as_large_as_suits_the_device(images):
    assert [batch_size_of("auto", (side, side), "cpu") for side in (32, 112, 224, 1000)] == [64, 31, 7, 1]
    assert batch_size_of("auto", (224, 224), "cuda") == 64
    assert batch_size_of(5, (224, 224), "cpu") == 5
    sizes = []

    def mean_colour(batch):
        sizes.append(len(batch))
        return batch.mean(dim=(2, 3))

    FrozenFeatureExtractor(mean_colour, image_size=(400, 250)).fit().transform(images)
    assert sizes[1:] == [4, 4, 3]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_no_cuda_device():
    with pytest.raises(ValueError, match="finds no CUDA device"):
        FrozenFeatureExtractor(TinyNet(), device="cuda").fit()


class Code:
    def __reduce__(self):
        return print, ("run",)


def test_bad_weights(tmp_path, capsys):
    torch.save(TinyNet(channels=(5,)).state_dict(), tmp_path / "other.pth")
    torch.save({"a": Code()}, tmp_path / "code.pth")
    (tmp_path / "junk.pth").write_bytes(b"junk")
    (tmp_path / "junk.safetensors").write_bytes(b"junk")
    torch.save([1], tmp_path / "list.pth")
    torch.save({"convolutions.0.weight": torch.zeros(4, 3, 3, 3)}, tmp_path / "half.pth")
    cases = {
        "half.pth": "4 of its 6 arrays are missing, such as",
        "other.pth": "do not fit the network: .*size mismatch",
        "code.pth": "holds more than weights",
        "junk.pth": "junk.pth: th",
        "junk.safetensors": "no weights that can be read",
        "list.pth": "no weights that can be read",
    }
    for name, message in cases.items():
        with pytest.raises(ValueError, match=message):
            FrozenFeatureExtractor(TinyNet(channels=(4,)), weights=tmp_path / name).fit()
    assert capsys.readouterr().out == ""
    with pytest.raises(ValueError, match=r"other\.pth: this is no TorchScript file .* weights="):
        FrozenFeatureExtractor(tmp_path / "other.pth").fit()


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        ([], ValueError, "no image"),
        (np.zeros((0, 8, 8, 3)), ValueError, "no image"),
        (np.zeros((2, 64)), ValueError, "Reshape flat ones"),
        ([np.zeros((8, 8, 3)), np.zeros((8, 9, 2))], ValueError, "image 1: Images have 1, 3 or 4 channels"),
        ([np.zeros((8, 8, 3)), np.zeros((0, 9, 3))], ValueError, "image 1: There is no image"),
        (np.full((1, 8, 8), np.nan), ValueError, "not finite"),
        ("image.png", ValueError, "image.png is no folder"),
        (3, TypeError, "images or paths, got a int"),
        (["a.png", None], TypeError, "a path, but number 1 is a NoneType"),
        ([np.zeros((8, 8, 3)), "a.png"], TypeError, "paths and images"),
        (np.array([], dtype=str), ValueError, "no image"),
        (np.zeros((8, 9, 3)), ValueError, r"a single image is image\[None\]"),
        (pd.DataFrame({"a": ["x"], "b": ["y"]}), ValueError, "one column, got 2"),
    ],
)
def test_bad_images(network, X, error, message):
    with pytest.raises(error, match=message):
        FrozenFeatureExtractor(network, image_size=8).fit().transform(X)


def test_folders_without_images(network, tmp_path):
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(ValueError, match=f"{re.escape(str(tmp_path))}: no image found"):
        FrozenFeatureExtractor(network, image_size=8).fit().transform(tmp_path)


def test_networks_that_change_their_minds(images):
    class Unsteady(nn.Module):
        calls = 0

        def forward(self, x):
            Unsteady.calls += 1
            return x.mean(dim=(2, 3))[:, : 3 if Unsteady.calls == 1 else 2]

    frozen = FrozenFeatureExtractor(Unsteady(), image_size=8).fit()
    with pytest.raises(ValueError, match=r"shape \(11, 2\) for 11 images, expected \(11, 3\)"):
        frozen.transform(images)


def test_missing_packages_are_named(monkeypatch):
    for name, missing in (
        ("timm:resnet18", "timm"),
        ("torchvision:resnet18", "torchvision"),
        ("efficientnet-lite0", "efficientnet_lite_pytorch"),
    ):
        monkeypatch.setitem(__import__("sys").modules, missing, None)
        with pytest.raises(ImportError, match=f"python -m pip install {missing.replace('_', '-')}"):
            FrozenFeatureExtractor(name).fit()


@pytest.mark.parametrize("shape", [(1, 3000), (3000, 1), (2, 40), (40, 2), (16, 16), (5, 700)])
def test_thin_images_are_cut_before_they_are_enlarged(shape, monkeypatch):
    """The middle is that of the enlarged image, to within a pixel of it."""
    pixels = np.random.default_rng(0).integers(0, 256, (1, *shape, 3), dtype=np.uint8)
    pixels = np.sort(pixels, axis=1 if shape[0] > shape[1] else 2)  # so that a shift by a pixel is little
    cut = resized(pixels, (64, 64), "crop")
    monkeypatch.setattr("sklearn_hierret.nn.frozen._resizing.MOST_PIXELS", 10**12)
    whole = resized(pixels, (64, 64), "crop")
    assert cut.shape == whole.shape == (1, 3, 64, 64)
    torch.testing.assert_close(cut, whole, atol=0.02, rtol=0)


def test_what_is_assumed_of_an_own_network_is_said(network, images, tmp_path):
    """ImageNet's mean, 224 pixels, and that the last layer gives features."""
    classifier = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 4))
    known = {"image_size": 16, "mean": [0.5] * 3, "std": [0.5] * 3}
    trace_to(tmp_path / "net.pt", network.convolutions)
    for own in (network, lambda batch: batch.mean(dim=(2, 3)), tmp_path / "net.pt"):
        with pytest.warns(UserWarning, match=r"ImageNet \(mean=, std=\), images of 224 x 224 pixels"):
            FrozenFeatureExtractor(own).fit()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            FrozenFeatureExtractor(own, **known).fit()
    with pytest.warns(UserWarning, match=r"last layer '2' gives, which may be scores of classes \(layers=\)"):
        FrozenFeatureExtractor(classifier, **known).fit()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        FrozenFeatureExtractor(classifier, **known, layers=["1"]).fit()
    network = copy.deepcopy(network)  # as those of timm
    network.pretrained_cfg = {"input_size": (3, 20, 24), "mean": (0.1, 0.2, 0.3), "std": (0.4, 0.5, 0.6)}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        frozen = FrozenFeatureExtractor(network).fit()
    assert frozen.image_size_ == (20, 24)
    assert frozen.network_.mean.flatten().tolist() == pytest.approx([0.1, 0.2, 0.3])


def test_networks_of_skorch_say_what_to_pass():
    class Net:  # neither a module nor callable, as skorch's are
        module_ = nn.Identity()

    with pytest.raises(TypeError, match=r"got a Net\. Pass its module_ after fit, and layers="):
        FrozenFeatureExtractor(Net()).fit()
