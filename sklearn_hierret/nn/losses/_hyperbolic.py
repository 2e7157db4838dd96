"""Features in a ball of hyperbolic geometry, where a tree has room."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from sklearn_hierret.hierarchy import ClassHierarchy
from sklearn_hierret.nn.losses._lengths import square_distances
from sklearn_hierret.nn.losses._objective import Objective

#: Farther out, points lie on the border of the ball in single precision.
MOST_RADIUS = 12


class HyperbolicEmbedding(Objective):
    """Features near their class in the Poincare ball; the class is the nearest by hyperbolic distance [1]_.

    A linear layer gives a tangent vector, the exponential map at the origin takes it into the ball, and
    the loss is the cross entropy of ``-d(z, class) / temperature``. Classes lie where `poincare_embedding`
    puts the leaves of the tree, without training; in [1]_ they are learned.

    Parameters
    ----------
    n_features : int
    embedding : array-like of shape (n_classes, n_dimensions)
        Points of the classes, inside the unit ball.
    temperature : float, default=0.5
        Hyperbolic distances are divided by it; smaller values make the softmax sharper.

    References
    ----------
    .. [1] T. Long, P. Mettes, H. Shen, C. Snoek, "Searching for Actions on the Hyperbole", CVPR 2020.

    Examples
    --------
    >>> import torch
    >>> from sklearn_hierret import ClassHierarchy
    >>> from sklearn_hierret.nn import HyperbolicEmbedding, poincare_embedding
    >>> tree = ClassHierarchy.from_newick("((cat,dog)mammal,trout)animal;")
    >>> objective = HyperbolicEmbedding(16, poincare_embedding(tree))
    >>> features = objective.features(torch.rand(5, 16))
    >>> bool((features.norm(dim=1) < 1).all())
    True
    """

    embedding: Tensor

    def __init__(self, n_features: int, embedding: ArrayLike, temperature: float = 0.5) -> None:
        super().__init__()
        points = np.asarray(embedding, dtype=np.float64)
        rounded = points.astype(np.float32)
        if points.ndim != 2 or not np.isfinite(points).all() or (np.linalg.norm(rounded, axis=1) >= 1).any():
            raise ValueError("embedding must be a matrix whose rows have lengths below 1.")
        self.projection = nn.Linear(n_features, points.shape[1])
        self.register_buffer("embedding", torch.from_numpy(points).to(torch.get_default_dtype()))
        self.temperature = temperature

    def features(self, vectors: Tensor) -> Tensor:
        with torch.autocast(vectors.device.type, enabled=False):  # a half precision ball has no border
            return exponential_map(self.projection(_whole(vectors)))

    def forward(self, features: Tensor) -> Tensor:
        with torch.autocast(features.device.type, enabled=False):
            return -poincare_distances(_whole(features), self.embedding) / self.temperature

    def losses(self, outputs: Tensor, codes: Tensor) -> Tensor:
        return nn.functional.cross_entropy(outputs, codes, reduction="none")

    def probabilities(self, outputs: Tensor) -> Tensor:
        return outputs.softmax(dim=1)


def poincare_embedding(hierarchy: ClassHierarchy, radius: float = 4.0) -> NDArray[np.float64]:
    """Put the leaves of a tree into the Poincare ball in closed form.

    The root is the origin. Each child lies at a hyperbolic distance from its parent that is proportional to
    their difference in height. The directions from a node to its children and its parent point to the corners
    of a regular simplex, so that the angle between any two of them is the same. This is the construction of
    [1]_ in as many dimensions as the largest number of children.

    Parameters
    ----------
    hierarchy : ClassHierarchy
    radius : float, default=4.0
        Hyperbolic length of the path from the root to a class of height 0; at most 12.

    Returns
    -------
    embedding : ndarray of shape (n_classes, n_dimensions)
        As many dimensions as the node with most children has, at least 2.

    References
    ----------
    .. [1] R. Sarkar, "Low Distortion Delaunay Embedding of Trees in Hyperbolic Plane", Graph Drawing 2011.

    Examples
    --------
    >>> from sklearn_hierret import ClassHierarchy
    >>> from sklearn_hierret.nn import poincare_embedding
    >>> tree = ClassHierarchy.from_newick("((cat,dog)mammal,trout)animal;")
    >>> poincare_embedding(tree, radius=2).shape
    (3, 2)
    """
    if not isinstance(hierarchy, ClassHierarchy):
        raise TypeError(f"A hyperbolic embedding needs one ClassHierarchy, got a {type(hierarchy).__name__}.")
    if not 0 < radius <= MOST_RADIUS:
        raise ValueError(f"radius must be above 0 and at most {MOST_RADIUS}, got {radius}.")
    parents, heights = hierarchy.parents, hierarchy.heights
    children: dict[int, list[int]] = {}
    for node in range(hierarchy.n_nodes):
        if node != hierarchy.root:
            children.setdefault(int(parents[node]), []).append(node)
    n_dimensions = max(2, *(len(nodes) for nodes in children.values()))
    corners = _simplex(n_dimensions)
    points = np.zeros((hierarchy.n_nodes, n_dimensions))
    scale = radius / hierarchy.height if hierarchy.height > 0 else 0.0
    waiting = [hierarchy.root]
    while waiting:
        node = waiting.pop()
        own = children.get(node, [])
        waiting += own
        here = points[node]
        if node == hierarchy.root:
            directions = corners[: len(own)]
        else:
            # Seen from the node, which a translation takes to the origin, the parent lies in this direction.
            back = mobius_sum(-here, points[parents[node]])
            length = np.linalg.norm(back)
            # A node on top of its parent has no direction to it.
            directions = _reflected(corners, corners[-1], back / length)[:-1] if length > 0 else corners
        for child, direction in zip(own, directions, strict=False):
            step = np.tanh(scale * (heights[node] - heights[child]) / 2)
            points[child] = mobius_sum(here, step * direction)
    return points[: hierarchy.n_classes]


def mobius_sum(x: NDArray, y: NDArray) -> NDArray:
    """Translate y by x in the Poincare ball."""
    xy, xx, yy = x @ y, x @ x, y @ y
    return ((1 + 2 * xy + yy) * x + (1 - xx) * y) / (1 + 2 * xy + xx * yy)


def poincare_distances(a: Tensor, b: Tensor) -> Tensor:
    """Hyperbolic distances, (n, m), of points (n, d) and (m, d) within the unit ball."""
    squares = square_distances(a, b)
    room = (1 - a.pow(2).sum(dim=1))[:, None] * (1 - b.pow(2).sum(dim=1))[None, :]
    # arcosh(1 + x) without its infinite slope at 0.
    x = (2 * squares / room.clamp(min=1e-12)).clamp(min=1e-12)
    return torch.log1p(x + torch.sqrt(x * (x + 2)))


def exponential_map(vectors: Tensor, longest: float = 1 - 1e-5) -> Tensor:
    """From tangent vectors at the origin into the ball: ``tanh(|v|) v / |v|``."""
    lengths = vectors.pow(2).sum(dim=1, keepdim=True).clamp(min=1e-12).sqrt()
    return torch.tanh(lengths).clamp(max=longest) * vectors / lengths


def _whole(tensor: Tensor) -> Tensor:
    """In single precision at least."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def _simplex(n_dimensions: int) -> NDArray[np.float64]:
    """Return unit vectors to the corners of a regular simplex, (n_dimensions + 1, n_dimensions)."""
    n = n_dimensions + 1
    centred = np.eye(n) - 1 / n
    # An orthonormal basis of what is orthogonal to (1, ..., 1), triangular: exact and the same everywhere.
    basis = np.linalg.qr(np.column_stack([np.ones(n), np.eye(n)[:, :n_dimensions]]))[0][:, 1:]
    corners = centred @ basis
    return corners / np.linalg.norm(corners, axis=1, keepdims=True)


def _reflected(vectors: NDArray, start: NDArray, end: NDArray) -> NDArray:
    """Vectors after the reflection that takes a unit vector to another."""
    normal = start - end
    square = normal @ normal
    return vectors if square < 1e-24 else vectors - 2 * np.outer(vectors @ normal, normal) / square
