"""
Choosing the threshold t and the weight alpha
=============================================

The threshold decides which classes merge, alpha how much that counts. This example draws what
thresholds do to a hierarchy, and searches both on held-out data.
"""

# %%
# Twenty-seven classes whose means come from walking down a tree; near ones overlap.
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from sklearn_hierret import (
    HierarchicalRetriever,
    HierarchyBuilder,
    ThresholdPathDisplay,
    evaluate_retrieval,
)
from sklearn_hierret.datasets import make_hierarchical_blobs

X, y, truth = make_hierarchical_blobs(
    2700, branching=(3, 3, 3), level_std=(3, 1.5, 0.8), n_features=12, anisotropy=0.1, random_state=0
)
X_train, y_train, X_val, y_val = X[:1800], y[:1800], X[1800:], y[1800:]

# %%
# The path: for each threshold, the classes that are left at each level, and the size of the largest
# cluster. Where that jumps, single linkage chains.
builder = HierarchyBuilder().fit(X_train, y_train)
figure = Figure(figsize=(13, 4.6), layout="constrained")
left, right = figure.subplots(1, 2)
ThresholdPathDisplay.from_estimator(builder, ax=left)

# %%
# mAP and AHP of the validation samples among themselves. The truth behind AHP is the tree that made
# the data, which no retriever has seen.
thresholds, alphas = [1e-4, 1e-3, 1e-2, 0.05, 0.2], [0.0, 1.0, 4.0, 16.0, 64.0]
table = np.empty((len(thresholds), len(alphas)))
for i, threshold in enumerate(thresholds):
    model = HierarchicalRetriever(HierarchyBuilder(threshold)).fit(X_train, y_train)
    for j, alpha in enumerate(alphas):
        model.set_params(alpha=alpha)  # no new fit
        scores = evaluate_retrieval(model, X_val, y_val, [20], ["ahp"], hierarchy=truth)
        table[i, j] = scores["score"].item()
best = np.unravel_index(table.argmax(), table.shape)
print(f"best AHP@20 {table.max():.3f} at t = {thresholds[best[0]]}, alpha = {alphas[best[1]]}")

image = right.imshow(table, cmap="viridis", aspect="auto")
right.set_xticks(range(len(alphas)), [f"{alpha:g}" for alpha in alphas])
right.set_yticks(range(len(thresholds)), [f"{t:g}" for t in thresholds])
right.set(xlabel="alpha", ylabel="threshold t", title="AHP@20 of held-out data")
for (i, j), value in np.ndenumerate(table):
    bright = value > (table.min() + table.max()) / 2
    right.text(j, i, f"{value:.3f}", ha="center", va="center", color="black" if bright else "white")
figure.colorbar(image, ax=right)

# %%
if "__file__" in globals():
    folder = Path(__file__).resolve().parent
    figure.savefig(folder / "threshold.png", dpi=120)
    print(f"saved {folder / 'threshold.png'}")
