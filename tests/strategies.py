"""Hypothesis strategies: numbers and arrays by NumPy's names, random trees; and random blobs."""

import os

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sklearn_hierret import ClassHierarchy

#: ``EXAMPLES=all`` draws all examples, as .ci/run does; without it a fifth of them.
DRAWS_ALL = os.environ.get("EXAMPLES") == "all"


def examples(n):
    """How many examples a property is tried with."""
    return n if DRAWS_ALL else max(4, n // 5)


class Draws:
    """Methods of `numpy.random.Generator` whose numbers hypothesis draws, and shrinks when a test fails.

    Floats are of a coarse grid, so that ties and equal rows come up.
    """

    def __init__(self, draw):
        self._draw, self._drawn = draw, []

    def __repr__(self):
        return f"Draws{self._drawn}"

    def integers(self, low, high=None, size=None, dtype=np.int64):
        low, high = (0, low) if high is None else (low, high)
        numbers = st.integers(int(low), int(high) - 1)
        drawn = self._draw(
            numbers if size is None else arrays(dtype, size, elements=numbers, fill=st.nothing())
        )
        self._drawn.append(drawn)
        return drawn

    def random(self, size=None):
        return self.integers(0, 128, size) / 128

    def uniform(self, low=0.0, high=1.0, size=None):
        return low + (high - low) * self.random(size)

    def normal(self, loc=0.0, scale=1.0, size=None):
        return loc + scale * self.integers(-96, 97, size) / 32

    def permutation(self, values):
        values = np.arange(values) if np.ndim(values) == 0 else np.asarray(values)
        order = self._draw(st.permutations(range(len(values))))
        self._drawn.append(order)
        return values[order]

    def choice(self, values, size=None, replace=True):
        values = np.arange(values) if np.ndim(values) == 0 else np.asarray(values)
        if not replace:
            return self.permutation(values)[:size]
        return values[self.integers(0, len(values), size)]

    def multinomial(self, n, proba, size):
        return np.eye(len(proba), dtype=int)[self.integers(0, len(proba), (size, n))].sum(axis=1)

    def dirichlet(self, alpha, size):
        weights = self.integers(0, 9, (size, len(alpha))).astype(float)
        weights[~weights.any(axis=1), 0] = 1
        return weights / weights.sum(axis=1, keepdims=True)


@st.composite
def generators(draw):
    """A `Draws`, which draws what it is asked for."""
    return Draws(draw)


@st.composite
def trees(draw, max_classes=12):
    """Random hierarchies with several children a node, unary nodes and uneven depths."""
    n_classes = draw(st.integers(1, max_classes))
    rng, parents = draw(generators()), {}
    open_nodes, next_node = list(range(n_classes)), n_classes
    while len(open_nodes) > 1 or next_node == n_classes:
        # One child at times, but not for ever.
        size = min(len(open_nodes), int(rng.integers(1 if next_node < 3 * n_classes else 2, 4)))
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
    """Gaussian classes of uneven sizes and shapes around random means.

    From a seed, for covariances need samples in general position.
    """
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
