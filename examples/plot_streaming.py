"""
Hierarchies from streams
========================

Counts, means and scatter of the classes are all that a hierarchy needs, and they add up: samples may
come batch by batch, may bring new classes, and need not be kept.
"""

# %%
# Batches of a stream; the last third of the classes turns up later.
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import spearmanr

from sklearn_hierret import HierarchyBuilder
from sklearn_hierret.datasets import make_hierarchical_blobs

X, y, truth = make_hierarchical_blobs(
    9000, branching=(3, 4), level_std=(2, 1), n_features=8, anisotropy=0.15, random_state=0
)
late = y >= 8
order = np.concatenate([np.flatnonzero(~late)[:600], np.random.RandomState(0).permutation(9000)[:1400]])
builder = HierarchyBuilder(1e-6, linkage="average")
seen, agreement, n_classes = [], [], []
for rows in np.array_split(order, 50):
    builder.partial_fit(X[rows], y[rows])  # cheap: nothing is built yet
    tree = builder.hierarchy_  # now it is
    pairs = np.triu_indices(tree.n_classes, k=1)
    known = truth.restrict(tree.classes)
    statistic = spearmanr(tree.distance_matrix()[pairs], known.distance_matrix()[pairs]).statistic
    seen.append(len(rows) + (seen[-1] if seen else 0))
    agreement.append(statistic)
    n_classes.append(tree.n_classes)
at_once = HierarchyBuilder(1e-6, linkage="average").fit(X[order], y[order])
print(f"{n_classes[0]} classes after {seen[0]} samples, {n_classes[-1]} after {seen[-1]}")
difference = np.abs(builder.hierarchy_.distance_matrix() - at_once.hierarchy_.distance_matrix()).max()
print(f"largest difference to one fit of everything: {difference:.1e}")

# %%
# How the hierarchy of what has been seen agrees with the truth, by rank correlation of distances.
figure = Figure(figsize=(7.5, 4.2), layout="constrained")
ax = figure.subplots()
ax.plot(seen, agreement, color="tab:blue")
ax.set(xlabel="samples so far", ylim=(0, 1.02))
ax.set_ylabel("agreement with the true tree", color="tab:blue")
ax.grid(alpha=0.3)
other = ax.twinx()
other.step(seen, n_classes, color="tab:orange", where="post")
other.set_ylabel("classes so far", color="tab:orange")
other.set_ylim(0, 13)

# %%
if "__file__" in globals():
    folder = Path(__file__).resolve().parent
    figure.savefig(folder / "streaming.png", dpi=120)
    print(f"saved {folder / 'streaming.png'}")
