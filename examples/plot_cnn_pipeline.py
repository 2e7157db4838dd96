"""
A network, its features and the retriever in one object
=======================================================

Train a small network on images, search by its features with the hierarchy of its classes, and tune
the threshold t and the weight alpha, all in one `Pipeline`. Then look at what blur and occlusion do.

``python examples/plot_cnn_pipeline.py`` takes scikit-learn's digits and a minute or two.
``--data FOLDER`` takes a folder with ``train.npz`` and ``test.npz`` (``images`` of shape (n, height,
width, channels), uint8, and ``y``). Needs the extra ``nn``; it saves two pictures beside itself.
"""

# %%
# Images and labels: half to learn from, half to search.
import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import Pipeline

from sklearn_hierret import (
    HierarchicalRetriever,
    HierarchyBuilder,
    RetrievalDisplay,
    evaluate_retrieval,
    make_retrieval_scorer,
)
from sklearn_hierret.images import ImageCorruption
from sklearn_hierret.nn import Augmentation, CNNFeatureExtractor, training_preset

parser = argparse.ArgumentParser()
parser.add_argument("--data", type=Path)
parser.add_argument("--epochs", type=int, default=15)
parser.add_argument("--backbone")
options = parser.parse_args() if "__file__" in globals() else parser.parse_args([])

if options.data is None:
    digits = load_digits()
    X = np.rint(digits.images * 255 / 16).astype(np.uint8)[..., None]
    parts = train_test_split(X, digits.target, test_size=0.5, random_state=0, stratify=digits.target)
    X_train, X_test, y_train, y_test = parts
    augmentation = Augmentation(1, flip=False)
else:
    arrays = []
    for part in ("train", "test"):
        with np.load(options.data / f"{part}.npz") as file:
            order = np.random.RandomState(0).permutation(len(file["y"]))
            arrays += [file["images"][order], file["y"][order].astype(int)]
    X_train, y_train, X_test, y_test = arrays
    X_test, y_test = X_test[:2000], y_test[:2000]
    augmentation = Augmentation(4, rotation=15)
print(f"{len(X_train)} images to learn from, {len(X_test)} to search, {X_train.shape[1:]}")

# %%
# The network and the retriever, one behind the other. The Pipeline's ``memory`` keeps the trained
# network of each fold, the extractor's own ``memory`` its features, so that a grid over t and
# alpha trains once per fold.
folder = TemporaryDirectory()
pipe = Pipeline(
    [
        (
            "cnn",
            CNNFeatureExtractor(
                options.backbone or "tiny",
                augmentation=augmentation,
                memory=f"{folder.name}/features",
                random_state=0,
                **training_preset("one_cycle", epochs=options.epochs),
            ),
        ),
        ("retriever", HierarchicalRetriever(HierarchyBuilder())),
    ],
    memory=f"{folder.name}/networks",
)
search = GridSearchCV(
    pipe,
    {
        "retriever__hierarchy__threshold": [1e-6, 1e-4, 1e-2],
        "retriever__alpha": [0.0, 1.0, 4.0, 16.0],
    },
    scoring=make_retrieval_scorer("map", k=20, gallery="query"),
    cv=3,
).fit(X_train, y_train)
print(f"best: {search.best_params_}")
grid = pd.DataFrame(search.cv_results_).pivot_table(
    index="param_retriever__hierarchy__threshold",
    columns="param_retriever__alpha",
    values="mean_test_score",
)
print(grid.round(4).to_string(), end="\n\n")

# %%
# The accuracy of the network on the test images, and the retrievers to compare.
ours = search.best_estimator_
cnn = ours["cnn"]
print(f"accuracy of the network {cnn.score(X_test, y_test):.3f}")
methods = {
    "cosine": HierarchicalRetriever(metric="cosine", alpha=0),
    "visual hierarchy": ours["retriever"],
    "the network's own softmax": HierarchicalRetriever(HierarchyBuilder(), class_model=cnn.as_class_model()),
}
features_train = cnn.transform(X_train)
for method in methods.values():
    method.fit(features_train, y_train)

# %%
# The same for images that are blurred or partly hidden: neither network nor retriever has seen such.
kinds = {"as they are": None, "blurred": "blur", "occluded": "occlusion"}
rows = {}
for name, kind in kinds.items():
    images = X_test
    if kind is not None:
        # The kernel of 11 pixels is meant for images of 224.
        kernel = 2 * max(1, round(5 * X_test.shape[1] / 224)) + 1
        images = ImageCorruption(kind, kernel_size=kernel, random_state=0).transform(X_test)
    features = cnn.transform(images)
    rows[name] = {
        method: evaluate_retrieval(model, features, y_test, [20])["score"].item()
        for method, model in methods.items()
    }
table = pd.DataFrame(rows).T
print("mAP@20")
print(table.round(3).to_string())

# %%
# Queries that cosine search gets wrong, and what it returns; then with the hierarchy.
features_test = cnn.transform(X_test)
wrong = np.flatnonzero(methods["cosine"].predict(features_test) != y_test)
queries = wrong[:4] if len(wrong) else np.arange(4)
neighbours = Figure(figsize=(13.5, 5.6), layout="constrained")
for ax, name in zip(neighbours.subplots(1, 2), ["cosine", "visual hierarchy"], strict=True):
    RetrievalDisplay.from_estimator(
        methods[name],
        features_test[queries],
        y_test[queries],
        query_images=np.squeeze(X_test[queries]),
        gallery_images=np.squeeze(X_train),
        ax=ax,
        title=name,
        cmap="gray_r",  # the numbers are ink
    )

bars = Figure(figsize=(7, 3.6), layout="constrained")
ax = bars.subplots()
table.plot.bar(ax=ax, rot=0, width=0.75)
ax.set(ylabel="mAP@20", ylim=(0, 1))
ax.legend(fontsize=8, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1))

# %%
# Save the pictures where this file is.
if "__file__" in globals():
    here = Path(__file__).resolve().parent
    for name, figure in {"cnn_neighbours": neighbours, "cnn_corruptions": bars}.items():
        figure.savefig(here / f"{name}.png", dpi=120)
        print(f"saved {here / name}.png")
folder.cleanup()
