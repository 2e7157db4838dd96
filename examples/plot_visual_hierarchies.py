"""
Which visual hierarchy is nearest to the truth?
===============================================

A tree generates the data, and four builders try to recover it from the features. Single linkage, the paper's
rule, chains where classes overlap; average linkage and Ward do not.
"""

# %%
# A hundred and twenty classes, and how well the distances of each hierarchy agree with the truth, by
# rank correlation over all pairs.
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import spearmanr

from sklearn_hierret import (
    ClassHierarchy,
    HierarchicalRetriever,
    HierarchyBuilder,
    HierarchyDisplay,
    LinkageHierarchyBuilder,
    evaluate_retrieval,
)
from sklearn_hierret.datasets import make_hierarchical_blobs

X, y, truth = make_hierarchical_blobs(
    6000, branching=(4, 5, 6), level_std=(3, 2, 1), n_features=12, random_state=0
)
X_train, y_train, X_test, y_test = X[:4500], y[:4500], X[4500:], y[4500:]
builders = {
    "single linkage, t 0.05 (the paper)": HierarchyBuilder(0.05),
    "single linkage, t 0.3": HierarchyBuilder(0.3),
    "average linkage": HierarchyBuilder(1e-6, linkage="average"),
    "Ward": LinkageHierarchyBuilder("ward"),
}
pairs = np.triu_indices(120, k=1)
trees = {}
for name, builder in builders.items():
    trees[name] = builder.fit(X_train, y_train).hierarchy_
    agreement = spearmanr(trees[name].distance_matrix()[pairs], truth.distance_matrix()[pairs]).statistic
    model = HierarchicalRetriever(trees[name]).fit(X_train, y_train)
    scores = evaluate_retrieval(model, X_test, y_test, [20, 100], ["map", "ahp"], hierarchy=truth)
    ahp = scores.set_index(["metric", "k"])["score"]
    print(f"{name:36s} agreement {agreement:5.2f}, {trees[name].n_nodes - 120:3d} inner nodes, ", end="")
    print(f"mAP@20 {ahp['map', 20]:.3f}, AHP@100 {ahp['ahp', 100]:.3f}")

# %%
# The truth and two of the hierarchies, coloured by their own clusters. All levels are drawn with
# equal steps, since the heights of average linkage, 1 - overlap, crowd near 1.
figure = Figure(figsize=(15, 5.6), layout="constrained")
for ax, name in zip(
    figure.subplots(1, 3), ["the truth", "single linkage, t 0.05 (the paper)", "average linkage"], strict=True
):
    tree = truth if name == "the truth" else trees[name]
    by_level = ClassHierarchy.from_levels(tree.levels(), tree.classes)
    HierarchyDisplay.from_hierarchy(by_level, ax=ax, layout="circle", n_clusters=40)
    ax.set_title(name)

# %%
if "__file__" in globals():
    folder = Path(__file__).resolve().parent
    figure.savefig(folder / "visual_hierarchies.png", dpi=120)
    print(f"saved {folder / 'visual_hierarchies.png'}")
