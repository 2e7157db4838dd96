"""
A gallery that grows, and searches in part of it
================================================

Samples are added and removed without a new fit; a search may be confined to a subtree or a mask. The
search is exact, but skips most of the gallery where leaves carry much weight.
"""

# %%
# A retriever over twenty classes, its gallery filled batch by batch.
import time
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from sklearn_hierret import HierarchicalRetriever, HierarchyBuilder
from sklearn_hierret.datasets import make_hierarchical_blobs

X, y, _ = make_hierarchical_blobs(44_000, branching=(4, 5), level_std=(2, 0.8), n_features=24, random_state=0)
X = X.astype(np.float32)
queries = X[-1000:]
builder = HierarchyBuilder(1e-4, linkage="average")
retriever = HierarchicalRetriever(builder, assignment="hard").fit(X[:2000], y[:2000])
retriever.set_gallery(X[:3000], y[:3000], ids=np.arange(3000))
sizes, times = [], {alpha: [] for alpha in (0.0, 0.2, 1.0, 16.0)}
for start in range(3000, 43_000, 8000):
    rows = slice(start, start + 8000)
    retriever.add_to_gallery(X[rows], y[rows], ids=np.arange(start, start + 8000))
    sizes.append(retriever.n_samples_fit_)
    for alpha, seconds in times.items():
        retriever.set_params(alpha=alpha)
        retriever.kneighbors(queries[:10], 20)
        begin = time.perf_counter()
        retriever.kneighbors(queries, 20)
        seconds.append(1000 * (time.perf_counter() - begin))
print(f"1,000 queries against {sizes[-1]} samples, leaf assignment included:")
for alpha, seconds in times.items():
    print(f"  alpha {alpha:4g}: {seconds[-1]:6.0f} ms")

# %%
# Removing, and searching below a node of the hierarchy only.
retriever.set_params(alpha=1.0).remove_from_gallery(np.arange(0, 43_000, 7))
tree = retriever.hierarchy_
alike = tree.members(tree.parents[0])
_, indices = retriever.kneighbors(queries[:5], 3, within=alike)
print(f"left: {retriever.n_samples_fit_}; found among classes {alike.tolist()}:")
print(retriever.gallery_labels_[indices])

# %%
figure = Figure(figsize=(7.5, 4.2), layout="constrained")
ax = figure.subplots()
for (alpha, seconds), marker in zip(times.items(), "osD^", strict=True):
    ax.plot(sizes, seconds, marker=marker, label="cosine" if alpha == 0 else f"alpha = {alpha:g}")
ax.set(xlabel="samples in the gallery", ylabel="milliseconds for 1,000 queries, k = 20", ylim=(0, None))
ax.grid(alpha=0.3)
ax.legend(ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1))

# %%
if "__file__" in globals():
    folder = Path(__file__).resolve().parent
    figure.savefig(folder / "gallery.png", dpi=120)
    print(f"saved {folder / 'gallery.png'}")
