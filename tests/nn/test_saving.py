import json

import numpy as np
import pytest
import torch

from sklearn_hierret import ClassHierarchy, CombinedHierarchy
from sklearn_hierret.nn import CNNFeatureExtractor, CrossEntropy, TinyNet

TREE = ClassHierarchy.from_newick("(((a,g),(i,(d,j))),((b,h,e),(c,f)));")


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"loss": "corr+cls", "hierarchy": TREE, "pooling": "gem", "feature_layer": "backbone"},
        {"loss": "corr", "hierarchy": CombinedHierarchy([TREE, TREE.permute(0)])},
    ],
)
def test_round_trip(digits, tmp_path, params):
    X, y = digits
    net = CNNFeatureExtractor("tiny", max_epochs=1, random_state=0, **params).fit(X, y)
    net.save(tmp_path / "net")
    assert sorted(p.name for p in (tmp_path / "net").iterdir()) == ["extractor.json", "weights.safetensors"]
    back = CNNFeatureExtractor.load(tmp_path / "net", device="cpu")
    np.testing.assert_array_equal(back.transform(X), net.transform(X))
    np.testing.assert_array_equal(back.predict(X), net.predict(X))
    assert back.classes_.dtype == net.classes_.dtype
    assert back.hierarchy == net.hierarchy
    back.set_params(max_epochs=1).partial_fit(X, y)  # it can learn on


def test_parts_that_are_no_names_are_asked_for(digits, tmp_path):
    X, y = digits
    params = {"backbone": TinyNet(1, channels=(4, 8)), "loss": CrossEntropy}
    net = CNNFeatureExtractor(**params, max_epochs=1).fit(X, y.astype(object))
    net.save(tmp_path)
    with pytest.raises(ValueError, match="pass backbone="):
        CNNFeatureExtractor.load(tmp_path)
    with pytest.raises(TypeError, match="pooling is saved"):
        CNNFeatureExtractor.load(tmp_path, pooling="gem", **params)
    back = CNNFeatureExtractor.load(tmp_path, **params)
    np.testing.assert_array_equal(back.transform(X), net.transform(X))
    with pytest.raises(ValueError, match="no weights of this network"):
        CNNFeatureExtractor.load(tmp_path, **{**params, "backbone": TinyNet(1, channels=(4, 9))})


def test_what_is_wrong_is_named(digits, tmp_path):
    X, y = digits
    net = CNNFeatureExtractor("tiny", max_epochs=1).fit(X, y)
    net.save(tmp_path)
    description = tmp_path / "extractor.json"
    saved = json.loads(description.read_text())
    description.write_text(json.dumps({**saved, "versions": {**saved["versions"], "torch": "1.0.0"}}))
    with pytest.warns(UserWarning, match="saved with torch 1.0.0 \\(here"):
        CNNFeatureExtractor.load(tmp_path)
    for text, message in [("{", "no JSON"), ("{}", "format is not"), ("[]", "format is not")]:
        description.write_text(text)
        with pytest.raises(ValueError, match=message):
            CNNFeatureExtractor.load(tmp_path)
    description.write_text(json.dumps(saved))
    (tmp_path / "weights.safetensors").write_bytes(b"junk")
    with pytest.raises(ValueError, match="no weights of this network"):
        CNNFeatureExtractor.load(tmp_path)
    (tmp_path / "weights.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"is .* what save wrote"):
        CNNFeatureExtractor.load(tmp_path)


def test_nothing_runs_when_it_is_read(digits, tmp_path):
    X, y = digits
    CNNFeatureExtractor("tiny", max_epochs=1).fit(X, y).save(tmp_path)
    assert b"pickle" not in (tmp_path / "weights.safetensors").read_bytes()[:2000]
    assert json.loads((tmp_path / "extractor.json").read_text())["classes"] == list("abcdefghij")
    assert torch.get_default_dtype() == torch.float32


def test_only_what_was_saved_is_read(digits, tmp_path):
    """A description sets no other parameter, and asks for no more than the weights hold."""
    X, y = digits
    CNNFeatureExtractor("tiny", max_epochs=1).fit(X, y).save(tmp_path)
    file = tmp_path / "extractor.json"
    saved = json.loads(file.read_text())

    def changed(key, value, *inner):
        description = json.loads(json.dumps(saved))
        place = description
        for name in (key, *inner)[:-1]:
            place = place[name]
        place[(key, *inner)[-1]] = value
        return description

    for description, message in (
        (changed("parameters", str(tmp_path / "cache"), "memory"), "'parameters': 'memory' is not saved"),
        (changed("parameters", ["print"], "callbacks"), "'callbacks' is not saved"),
        (changed("parameters", 3, "backbone"), "backbone must be a name"),
        (changed("parameters", "os.system", "backbone"), "no network is made of it"),
        (changed("parameters", "x", "image_size"), "image_size must be None, or height and width, got 'x'"),
        (changed("parameters", [0, 8], "image_size"), "image_size must be None"),
        (changed("parameters", -1, "retrieval_k"), "retrieval_k must be a positive integer, got -1"),
        (changed("parameters", "x", "mixed_precision"), "mixed_precision must be true or false"),
        (changed("parameters", 0, "batch_size"), "batch_size must be a positive integer, or -1"),
        (changed("parameters", 3, "feature_layer"), "feature_layer must be None or a name"),
        (changed("image_statistics", [[0.0], [0.0]]), "deviations must be above 0"),
        (changed("cluster_classes", [99, -5, 7]), "the class of each cluster is expected"),
        (changed("cluster_classes", [0, 1]), "each class must have some"),
        (changed("parameters", 10**9, "batch_size"), "batch_size is 1000000000: too large"),
        (changed("parameters", {"a": 1}, "batch_size"), "batch_size must be text or numbers"),
        (changed("image_shape", [8, 8, 10**7]), r"'image_shape': \[8, 8, 10000000\] is out of range"),
        (changed("image_shape", [16384, 16384, 1]), "too large"),
        (changed("image_shape", [8, 8]), "height, width and channels"),
        (changed("image_statistics", [[0.0], [float("nan")]]), "one finite number a channel"),
        (changed("dtype_of_classes", "U99999999"), "labels can't be of dtype"),
        (changed("classes", []), "labels must be text or numbers"),
        (changed("classes", ["a"] * 10), "labels must be distinct"),
        (changed("not_saved", {"memory": "x"}), "no part of a network"),
        (changed("hierarchy", {"hierarchies": []}), "'hierarchy'"),
        (changed("hierarchy", {"hierarchies": [3]}), "hierarchies as to_json writes them"),
        (changed("versions", None), "'versions' is a NoneType"),
        ({key: value for key, value in saved.items() if key != "image_shape"}, "'image_shape' is missing"),
    ):
        file.write_text(json.dumps(description))
        with pytest.raises(ValueError, match=message) as caught:
            CNNFeatureExtractor.load(tmp_path)
        assert str(file) in str(caught.value)
    assert not (tmp_path / "cache").exists()


@pytest.mark.filterwarnings("ignore:.*was saved with")
def test_mutated_descriptions_are_read_or_refused(digits, tmp_path):
    X, y = digits
    CNNFeatureExtractor("tiny", max_epochs=1).fit(X, y).save(tmp_path)
    file, rng = tmp_path / "extractor.json", np.random.default_rng(0)
    saved = json.loads(file.read_text())
    odd = [None, True, 0, -1, 10**7, 10**18, 1.5, float("inf"), "x", "", [], {}, [1] * 99, {"a": 1}, [[1]]]
    messages = []
    for _ in range(300):
        description = json.loads(json.dumps(saved))
        for _ in range(rng.integers(1, 4)):
            place = description
            while place:
                keys = list(place) if isinstance(place, dict) else list(range(len(place)))
                key = keys[rng.integers(len(keys))]
                if isinstance(place[key], (dict, list)) and place[key] and rng.random() < 0.7:
                    place = place[key]
                    continue
                place[key] = json.loads(json.dumps(odd[rng.integers(len(odd))]))
                break
        file.write_text(json.dumps(description))
        try:
            CNNFeatureExtractor.load(tmp_path)
        except ValueError as error:
            messages.append(str(error))
    assert 100 < len(messages) < 300
    assert all(str(tmp_path) in message for message in messages)
