"""
Covariances and class sizes
===========================

Overlaps of classes compare covariances, and those of small classes are badly known. Two classes
drawn from the *same* Gaussian should overlap by 1; how far they do depends on the choice of the
covariance and on its shrinkage.
"""

# %%
# Two classes from one Gaussian: one of 2,000 samples, and a smaller one of 10 to 1,280.
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from sklearn_hierret import HierarchyBuilder, MahalanobisClassifier

n_features, sizes = 32, [10, 20, 40, 80, 160, 320, 640, 1280]
models = {
    "full, not shrunk": MahalanobisClassifier("full", shrinkage=None, n_components=None),
    "full, shrunk by half": MahalanobisClassifier("full", shrinkage=0.5, n_components=None),
    "full, shrunk by size (default)": MahalanobisClassifier("full", n_components=None),
    "diagonal": MahalanobisClassifier("diag", n_components=None),
    "tied": MahalanobisClassifier("tied", n_components=None),
}
rng = np.random.default_rng(0)
mixing = rng.normal(size=(n_features, n_features)) / np.sqrt(n_features)
curves: dict[str, list[float]] = {name: [] for name in models}
for size in sizes:
    X = rng.normal(size=(2000 + size, n_features)) @ mixing
    y = np.repeat([0, 1], [2000, size])
    for name, model in models.items():
        if name == "full, not shrunk" and size <= n_features:
            curves[name].append(np.nan)  # a singular covariance: there is no overlap
            continue
        curves[name].append(HierarchyBuilder(class_model=model).fit(X, y).overlap_[0, 1])
for name, values in curves.items():
    print(f"{name:32s}" + " ".join("     -" if value != value else f"{value:6.3f}" for value in values))

# %%
# The tied covariance has no differences in shape, and so no bias by size; only the mean is still
# inexact. Shrinking by size comes near it for small classes, and keeps the shapes of large ones.
figure = Figure(figsize=(7.5, 4.6), layout="constrained")
ax = figure.subplots()
for (name, values), marker in zip(curves.items(), "osD^v", strict=True):
    ax.plot(sizes, values, marker=marker, label=name)
ax.axhline(1, color="grey", linewidth=0.8, linestyle=":")
ax.set(xscale="log", ylim=(0, 1.05), xlabel="samples of the small class")
ax.set(ylabel="overlap of two classes from one Gaussian", title=f"{n_features} dimensions")
ax.set_xticks(sizes, [str(size) for size in sizes])
ax.minorticks_off()
ax.grid(alpha=0.3)
ax.legend(fontsize=9)

# %%
if "__file__" in globals():
    folder = Path(__file__).resolve().parent
    figure.savefig(folder / "class_sizes.png", dpi=120)
    print(f"saved {folder / 'class_sizes.png'}")
