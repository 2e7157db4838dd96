"""
Taxonomies: what classes mean, as distances, vectors and rankings
=================================================================

A taxonomy says how far two classes are apart: by the height of their lowest common ancestor.
This example draws that of CIFAR-100's classes, embeds it in a space where dot products are
similarities, and searches with it by the semantic similarity of class probabilities.

Run it from anywhere, ``python examples/plot_taxonomy.py``; it prints tables and saves two
pictures beside itself.
"""

# %%
# The taxonomy comes with the package. Others are read from files of parents and children,
# outlines, Newick, data frames, networkx graphs.
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd

from sklearn_hierret import (
    CombinedHierarchyBuilder,
    HierarchicalRetriever,
    HierarchyBuilder,
    HierarchyDisplay,
    class_embedding,
    evaluate_retrieval,
)
from sklearn_hierret.datasets import load_cifar100_taxonomy

tree = load_cifar100_taxonomy()
print(tree)

# %%
# Two classes, and where they meet.
wolf, whale = "wolf", "whale"
lca = tree.lca(wolf, whale)
print(f"{wolf} and {whale} meet above {len(tree.members(lca))} classes, at height {tree.heights[lca]:g}:")
print(f"d_G = {tree.heights[lca]:g} / {tree.height:g} = {tree.distance(wolf, whale)}")
picture = HierarchyDisplay.from_hierarchy(tree, highlight=[wolf, whale])

# %%
# The class embedding: 100 vectors of unit length whose dot products are 1 - d_G. With 16
# dimensions this holds approximately.
order = tree.leaf_order
d_g = tree.distance_matrix()[np.ix_(order, order)]
phi, short = class_embedding(tree)[order], class_embedding(tree, n_components=16)[order]
print(f"largest error in 100 dimensions {np.abs(1 - phi @ phi.T - d_g).max():.0e}, ", end="")
print(f"root mean square in 16 {np.sqrt(np.mean((1 - short @ short.T - d_g) ** 2)):.3f}")
matrices = mpl.figure.Figure(figsize=(13, 4.4), layout="constrained")
for ax, values, title in zip(
    matrices.subplots(1, 3),
    [1 - d_g, phi @ phi.T, short @ short.T],
    ["1 - d_G", "dot products, 100 dimensions", "dot products, 16 dimensions"],
    strict=True,
):
    image = ax.imshow(values, vmin=0, vmax=1, cmap="viridis")
    ax.set(title=title, xticks=[], yticks=[], xlabel="class", ylabel="class")
matrices.colorbar(image, ax=matrices.axes, label="similarity", shrink=0.85)

# %%
# Searching with it. Instead of images, this uses generated features: one part of the class means
# is shared by classes that are close in the taxonomy, the other part is unrelated to it.
rng = np.random.default_rng(0)
semantic = class_embedding(tree) @ rng.normal(size=(100, 24))
means = semantic + rng.normal(size=(100, 24))
codes = rng.integers(0, 100, 6000)
X = means[codes] + 1.4 * rng.normal(size=(6000, 24))
y = tree.classes[codes]
X_train, X_test, y_train, y_test = X[:4000], X[4000:], y[:4000], y[4000:]

# %%
# ``assignment="soft"``, a taxonomy, no stem and an infinite alpha give the semantic similarity of class
# probabilities, ``p' S q`` with ``S = 1 - d_G`` (Deng, Berg & Fei-Fei, "Hierarchical Semantic
# Indexing for Large Scale Image Retrieval", CVPR 2011). A finite alpha adds the cosine distance;
# a combination adds a visual hierarchy. All are judged by the taxonomy, which
# three of them were given.
visual = HierarchyBuilder(0.01)
both = CombinedHierarchyBuilder([("visual", visual), ("taxonomy", tree)])
methods = {
    "cosine": HierarchicalRetriever(metric="cosine", alpha=0),
    "visual hierarchy": HierarchicalRetriever(visual),
    "taxonomy": HierarchicalRetriever(tree),
    "visual hierarchy and taxonomy": HierarchicalRetriever(both),
    "similarity of probabilities": HierarchicalRetriever(tree, alpha=np.inf, stem=0),
}
rows = {}
for name, method in methods.items():
    table = evaluate_retrieval(
        method.fit(X_train, y_train),
        X_test,
        y_test,
        ks=100,
        metrics=["map", "ahp", "ndcg", "hap", "mistake_severity"],
        hierarchy=tree,
        average=True,
    )
    rows[name] = table.set_index("metric")["score"]
print(pd.DataFrame(rows).T.round(3).to_string())

# %%
# Save the pictures where this file is.
if "__file__" in globals():
    folder = Path(__file__).resolve().parent
    for name, figure in {"taxonomy_tree": picture.figure_, "taxonomy_embedding": matrices}.items():
        figure.savefig(folder / f"{name}.png", dpi=120)
        print(f"saved {folder / name}.png")
