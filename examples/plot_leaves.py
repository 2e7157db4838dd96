"""
Hard and soft leaves
====================

The hierarchical distance of two samples is that of their leaves. A hard leaf is one class; near a
border it is often wrong. Soft leaves take the expected distance under class probabilities.
"""

# %%
# Four classes in the plane, in two pairs. Gaussians see where a point lies, not only in which direction.
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from sklearn_hierret import ClassHierarchy, HierarchicalRetriever, MahalanobisClassifier, evaluate_retrieval
from sklearn_hierret.datasets import make_hierarchical_blobs

rng = np.random.default_rng(3)
centers = np.array([[2.0, 2.0], [4.2, 2.6], [2.6, 5.6], [5.2, 5.4]])
y = rng.integers(0, 4, 600)
X = centers[y] + 0.75 * rng.normal(size=(600, 2))
tree = ClassHierarchy.from_levels([[0, 1, 2, 3], [0, 0, 1, 1], [0, 0, 0, 0]])
query = np.array([[3.15, 3.55]])  # between all of them

# %%
# The distance of the query to every place, by cosine alone, with hard and with soft leaves.
grid = np.stack(np.meshgrid(np.linspace(0.2, 7.5, 160), np.linspace(0.2, 7.8, 160)), axis=-1)
places = grid.reshape(-1, 2)
figure = Figure(figsize=(13, 4.2), layout="constrained")
axes = figure.subplots(1, 3)
for ax, (title, params) in zip(
    axes,
    {
        "cosine": {"alpha": 0.0},
        "hard leaves, alpha 1": {"alpha": 1.0, "assignment": "hard"},
        "soft leaves, alpha 1": {"alpha": 1.0, "assignment": "soft"},
    }.items(),
    strict=True,
):
    model = HierarchicalRetriever(tree, class_model=MahalanobisClassifier(), stem=0, **params)
    model.fit(X, y).set_gallery(places)
    distances, indices = model.kneighbors(query, n_neighbors=len(places))
    values = np.empty(len(places))
    values[indices[0]] = distances[0]
    image = ax.contourf(grid[..., 0], grid[..., 1], values.reshape(160, 160), 20, cmap="viridis")
    ax.scatter(X[:, 0], X[:, 1], c=y, s=5, cmap="tab10", vmin=0, vmax=9, alpha=0.6)
    ax.plot(*query[0], "*", color="white", markeredgecolor="black", markersize=16)
    ax.set(title=title, xticks=[], yticks=[], xlim=(0.2, 7.5), ylim=(0.2, 7.8))
    figure.colorbar(image, ax=ax, label="distance from the star")

# %%
# What that is worth, where classes overlap: ``mAP@20`` of held-out samples.
X, y, tree = make_hierarchical_blobs(3000, branching=(4, 4), level_std=(2, 1), n_features=10, random_state=0)
for assignment in ("hard", "soft"):
    model = HierarchicalRetriever(tree, assignment=assignment, class_model=MahalanobisClassifier())
    model.fit(X[:1500], y[:1500])
    scores = []
    for alpha in (0.0, 1.0, 16.0):
        model.set_params(alpha=alpha)
        scores.append(evaluate_retrieval(model, X[1500:], y[1500:], [20])["score"].item())
    print(f"{assignment} leaves: mAP@20 " + ", ".join(f"{s:.3f}" for s in scores) + " at alpha 0, 1, 16")

# %%
if "__file__" in globals():
    folder = Path(__file__).resolve().parent
    figure.savefig(folder / "leaves.png", dpi=120)
    print(f"saved {folder / 'leaves.png'}")
