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
