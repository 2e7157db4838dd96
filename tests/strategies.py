"""Hypothesis strategies: random trees, random blobs."""

import numpy as np
from hypothesis import strategies as st

from sklearn_hierret import ClassHierarchy


@st.composite
def trees(draw, max_classes=12):
    """Random hierarchies with several children a node, unary nodes and uneven depths."""
    n_classes = draw(st.integers(1, max_classes))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    parents = {}
    open_nodes, next_node = list(range(n_classes)), n_classes
    while len(open_nodes) > 1 or next_node == n_classes:
        size = min(len(open_nodes), int(rng.integers(1, 4)))
        if size == 1 and rng.random() < 0.5 and next_node > n_classes:
            continue
        children = rng.choice(len(open_nodes), size=size, replace=False)
        for c in children:
            parents[open_nodes[c]] = next_node
        open_nodes = [n for i, n in enumerate(open_nodes) if i not in set(children.tolist())] + [next_node]
        next_node += 1
    parents[next_node - 1] = -1
    array = np.array([parents[i] for i in range(next_node)])
    heights = None
    if draw(st.booleans()):
        heights = np.zeros(next_node)
        for node in range(next_node - 1):
            step = float(rng.integers(0, 3)) / 4
            heights[array[node]] = max(heights[array[node]], heights[node] + step)
        for node in range(next_node - 1):
            heights[array[node]] = max(heights[array[node]], heights[node])
        heights[-1] += 1.0
    kind = draw(st.sampled_from(["int", "str"]))
    labels = (
        np.arange(n_classes) * 3 if kind == "int" else np.array([f"class {i:02d}" for i in range(n_classes)])
    )
    return ClassHierarchy(labels, array, heights)


def blobs(rng, n_classes=5, n_features=4, n_per_class=(20, 40), spread=3.0, groups=None):
    """Gaussian classes of uneven sizes and shapes around random means."""
    X, y = [], []
    for c in range(n_classes):
        n = int(rng.integers(*n_per_class))
        mixing = np.eye(n_features) + 0.3 * rng.normal(size=(n_features, n_features))
        group = c if groups is None else groups[c]
        centre = spread * np.random.default_rng(100 + group).normal(size=n_features)
        X.append(centre + 0.5 * rng.normal(size=n_features) + rng.normal(size=(n, n_features)) @ mixing)
        y += [c] * n
    order = rng.permutation(len(y))
    return np.concatenate(X)[order], np.array(y)[order]
