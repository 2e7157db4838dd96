"""
Metrics that know how wrong a result is
=======================================

Four rankings with the same relevant results at the same ranks: mAP can't tell them apart. Metrics
with a taxonomy can.
"""

# %%
# Queries of a class of mammals; wrong results are other mammals, other animals, or vehicles.
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from sklearn_hierret import (
    ClassHierarchy,
    average_hierarchical_precision_at_k,
    average_precision_at_k,
    average_set_intersection_at_k,
    hierarchical_average_precision,
    hierarchical_precision_at_k,
    mistake_severity_at_k,
    ndcg_at_k,
)

tree = ClassHierarchy.from_outline("""
thing
  animal
    mammal
      dog
      cat
      horse
    bird
      owl
      duck
  vehicle
    car
    bus
""")
gallery = np.repeat(tree.classes, 40)
rng = np.random.default_rng(0)
right = rng.random((200, 60)) < np.linspace(0.9, 0.1, 60)  # relevant results, rarer further down
right &= np.cumsum(right, axis=1) <= 40
wrong = {
    "mistakes stay close": ["cat", "horse"],
    "mistakes are animals": ["owl", "duck"],
    "mistakes are anything": ["cat", "duck", "car", "bus"],
    "mistakes are vehicles": ["car", "bus"],
}
rankings = {name: np.where(right, "dog", rng.choice(others, right.shape)) for name, others in wrong.items()}

# %%
# A table of metrics at 60, and HP@k against k. No class has more than 40 items, so that a ranking
# of 20 wrong ones of two classes is possible.
queries = np.full(200, "dog")
graded = {"hierarchy": tree, "y_gallery": gallery}
rows = {}
for name, ranked in rankings.items():
    rows[name] = {
        "AP": average_precision_at_k(queries, ranked, n_relevant=np.full(200, 40)).mean(),
        "AHP": average_hierarchical_precision_at_k(queries, ranked, **graded).mean(),
        "nDCG": ndcg_at_k(queries, ranked, **graded).mean(),
        "H-AP (min)": hierarchical_average_precision(queries, ranked, denominator="min", **graded).mean(),
        "ASI": average_set_intersection_at_k(queries, ranked, **graded).mean(),
        "severity": np.nanmean(mistake_severity_at_k(queries, ranked, tree)),
    }
print(pd.DataFrame(rows).T.round(3).to_string())

figure = Figure(figsize=(7.5, 4.4), layout="constrained")
ax = figure.subplots()
ks = np.arange(1, 61)
for name, ranked in rankings.items():
    curve = [hierarchical_precision_at_k(queries, ranked, k=int(k), **graded).mean() for k in ks]
    ax.plot(ks, curve, label=name)
ax.set(xlabel="k", ylabel="hierarchical precision@k", ylim=(0, 1))
ax.grid(alpha=0.3)
ax.legend(fontsize=9)

# %%
if "__file__" in globals():
    folder = Path(__file__).resolve().parent
    figure.savefig(folder / "metrics.png", dpi=120)
    print(f"saved {folder / 'metrics.png'}")
