"""Near duplicates and meaning: hand-made local descriptors, maps of a frozen network, and the retriever.

    python -m tests.benchmarks.descriptors --grocery PATH/grocery_store --picture docs/images/descriptors.png

Needs the extras ``pretrained`` and ``image``. Vocabularies, whitening and retrievers learn from the
training images. The gallery are 1,500 test images. For near duplicates, 300 of them are turned by 10
degrees, cropped to four fifths and darkened, and the one image that each was made of is to be found (mean
reciprocal rank); for meaning, all search one another (mAP@20, AHP@100).
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline

from sklearn_hierret import HierarchicalRetriever, evaluate_retrieval
from sklearn_hierret.descriptors import (
    RMAC,
    RVD,
    VLAD,
    BagOfVisualWords,
    CroW,
    FisherVector,
    GramFeatures,
    RootSIFT,
    SpatialVerification,
    TriangulationEmbedding,
)
from sklearn_hierret.nn import FrozenFeatureExtractor
from tests.benchmarks._data import grocery_frozen, markdown_table, write_between

N_GALLERY, N_DUPLICATES = 1500, 300


def near_duplicates(images: np.ndarray) -> np.ndarray:
    """Turned by 10 degrees, cropped to four fifths, darkened by a fifth."""
    found = []
    for image in images:
        side = image.shape[0]
        margin = side // 10
        turned = Image.fromarray(image).rotate(10, Image.Resampling.BILINEAR)
        cut = turned.crop((margin, margin, side - margin, side - margin)).resize(
            (side, side), Image.Resampling.BILINEAR
        )
        found.append(np.rint(0.8 * np.asarray(cut)).astype(np.uint8))
    return np.stack(found)


def maps_of(images: np.ndarray) -> np.ndarray:
    """Last maps of EfficientNet-Lite0, (n, 1280, 5, 5)."""
    frozen = FrozenFeatureExtractor(image_size=160, pooling=torch.nn.Flatten()).fit()
    return frozen.transform(images).reshape(len(images), 1280, 5, 5)


def early_maps_of(images: np.ndarray) -> np.ndarray:
    """Maps of an early block, 40 channels of 20 x 20, (n, 40, 20, 20)."""
    frozen = FrozenFeatureExtractor(image_size=160, layers="_blocks.4", pooling=torch.nn.Flatten()).fit()
    flat = frozen.transform(images)
    side = int(np.sqrt(flat.shape[1] / 40))
    return flat.reshape(len(images), 40, side, side)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--grocery", type=Path, required=True)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--out", type=Path, help="markdown file to write into, between its markers")
    options = parser.parse_args()
    tree = grocery_frozen(options.grocery).taxonomy
    assert tree is not None
    parts = {}
    for part in ("train", "test"):
        with np.load(options.grocery / f"{part}.npz") as file:
            order = np.random.RandomState(0).permutation(len(file["y"]))
            parts[part] = file["images"][order], file["y"].astype(int)[order]
    X_train, y_train = parts["train"]
    X, y = (values[:N_GALLERY] for values in parts["test"])
    copies = near_duplicates(X[:N_DUPLICATES])
    inputs: dict[str, Any] = {}
    local = {}
    for name, images in (("train", X_train), ("test", X), ("copies", copies)):
        start = time.perf_counter()
        local[name] = RootSIFT(n_jobs=2).local_features(images)
        inputs[f"sift {name}"] = [one.descriptors for one in local[name]]
        inputs[f"maps {name}"] = maps_of(images)
        inputs[f"early {name}"] = early_maps_of(images)
        print(f"{name}: {len(images)} images, {time.perf_counter() - start:.0f} s", flush=True)
    words: dict[str, Any] = {"on_empty": "zeros", "random_state": 0}
    methods: dict[str, tuple[str, Any]] = {
        "bag of 1,000 words": ("sift", BagOfVisualWords(1000, **words)),
        "VLAD, 64 words": ("sift", VLAD(64, **words)),
        "VLAD, 128 components": (
            "sift",
            make_pipeline(VLAD(64, **words), PCA(128, whiten=True, random_state=0)),
        ),
        "Fisher vector, 16": ("sift", FisherVector(16, **words)),
        "triangulation, 16 words": ("sift", TriangulationEmbedding(16, **words)),
        "RVD, 64 words": ("sift", RVD(64, **words)),
        "Gram matrices (early maps)": ("early", GramFeatures(32)),
        "CroW": ("maps", CroW()),
        "CroW, 128 whitened": ("maps", CroW(128, random_state=0)),
        "R-MAC": ("maps", RMAC()),
        "R-MAC, 128 whitened": ("maps", RMAC(128, random_state=0)),
        "average of maps": ("maps", None),
    }
    rows, points = [], {}

    def score(name: str, retriever: Any, gallery: np.ndarray, queries: np.ndarray, **more: Any) -> None:
        retriever.set_gallery(gallery, y, **({} if not more else {"local_features": local["test"]}))
        _, found = retriever.kneighbors(queries, 100, **more)
        ranks = np.argwhere(found == np.arange(N_DUPLICATES)[:, None])
        reciprocal = np.zeros(N_DUPLICATES)
        reciprocal[ranks[:, 0]] = 1 / (1 + ranks[:, 1])
        if more:  # what it does to meaning takes minutes; verified results are near duplicates
            rows.append([name, f"{reciprocal.mean():.3f}", "", ""])
        else:
            table = evaluate_retrieval(retriever, gallery, y, [20, 100], ["map", "ahp"], hierarchy=tree)
            table = table.set_index(["metric", "k"])["score"]
            points[name] = reciprocal.mean(), table["ahp", 100]
            rows.append(
                [name, f"{reciprocal.mean():.3f}", f"{table['map', 20]:.3f}", f"{table['ahp', 100]:.3f}"]
            )
        print(rows[-1], flush=True)

    for name, (kind, model) in methods.items():
        if model is None:
            train, gallery, queries = (
                inputs[f"maps {part}"].mean(axis=(2, 3)) for part in ("train", "test", "copies")
            )
        else:
            train = model.fit_transform(inputs[f"{kind} train"])
            gallery, queries = (model.transform(inputs[f"{kind} {part}"]) for part in ("test", "copies"))
        score(name, HierarchicalRetriever(metric="cosine", alpha=0).fit(train, y_train), gallery, queries)
        if name in ("bag of 1,000 words", "average of maps"):
            step = SpatialVerification(
                HierarchicalRetriever(metric="cosine", alpha=0), n_candidates=20, min_inliers=5
            )
            step.fit(train, y_train, local["train"])
            score(f"{name}, verified", step, gallery, queries, local_features=local["copies"])
        if name in ("VLAD, 64 words", "average of maps"):
            score(
                f"{name}, retriever's defaults", HierarchicalRetriever().fit(train, y_train), gallery, queries
            )
    text = markdown_table(["features", "near duplicates, MRR", "meaning, mAP@20", "AHP@100"], rows)
    print(text)
    if options.out:
        write_between(options.out, "descriptors", text)
    if options.picture:
        draw(points, options.picture)


def draw(points: dict[str, tuple[float, float]], path: Path) -> None:
    """Meaning against near duplicates."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.5, 4.6), layout="constrained")
    ax = figure.subplots()
    markers = {"local": iter("osD^vP"), "maps": iter("osD^vPX"), "retriever": iter("*X")}
    for i, (name, (duplicates, meaning)) in enumerate(points.items()):
        kind = "retriever" if "defaults" in name else "maps" if i >= 7 else "local"
        colour = {"local": "#777777", "maps": "#1f77b4", "retriever": "#d62728"}[kind]
        size = 14 if kind == "retriever" else 8
        ax.plot(duplicates, meaning, next(markers[kind]), color=colour, markersize=size, label=name)
    ax.set(
        xlabel="near duplicates: mean reciprocal rank of the image that a query was made of",
        ylabel="meaning: AHP@100 by the taxonomy",
    )
    ax.grid(alpha=0.3)
    figure.legend(loc="outside right center", fontsize=9, frameon=False)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
