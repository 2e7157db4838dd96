"""Binary codes in loops: Hamming search, HPDH's centres and loss."""

import numpy as np


def hamming(a, b):
    """Differing bits of two rows of bytes."""
    return sum(bin(int(x) ^ int(y)).count("1") for x, y in zip(a, b, strict=True))


def neighbours(queries, gallery, k, alpha=0.0, hierarchical=None, exclude_self=False):
    """(distances, indices) in the order of (distance, index), or (D_H, Hamming, index) for inf."""
    distances, indices = [], []
    for q, code in enumerate(queries):
        items = []
        for i, other in enumerate(gallery):
            if exclude_self and i == q:
                continue
            share = hamming(code, other) / (8 * len(code))
            dh = 0.0 if hierarchical is None else hierarchical[q, i]
            # 7 / 24 + 1 / 2 and 19 / 24 are equal.
            items.append((dh, share, i) if np.isinf(alpha) else (round(share + alpha * dh, 12), i, i))
        items.sort()
        distances.append([item[0] for item in items[:k]])
        indices.append([item[2] for item in items[:k]])
    return np.array(distances), np.array(indices)


def paths(tree):
    """Ancestors of each class below the root, from itself upwards, all of equal length.

    A class that is less deep is its own ancestor as long as it takes.
    """
    found = []
    for c in range(tree.n_classes):
        path, node = [c], tree.parents[c]
        while node != tree.root:
            path.append(node)
            node = tree.parents[node]
        found.append(path)
    length = max(map(len, found))
    return [[path[0]] * (length - len(path)) + path for path in found]


def centers(tree, class_means):
    """Centre of each level's nodes: dicts from node to centre, fine to coarse (zhang2021, eq. 4)."""
    ways = paths(tree)
    levels = [{way[0]: mean for way, mean in zip(ways, class_means, strict=True)}]
    for k in range(1, len(ways[0])):
        level = {}
        for node in sorted({way[k] for way in ways}):
            children = sorted({way[k - 1] for way in ways if way[k] == node})
            level[node] = sum(levels[-1][child] for child in children) / len(children)
        levels.append(level)
    return levels


def hpdh_loss(
    outputs, codes, tree, class_means, sigmas, bound=1.1, bound_weight=10.0, quantization_weight=0.1
):
    """Mean of zhang2021, eq. 5, over a batch; levels that equal the one below or have one node left out."""
    ways, levels = paths(tree), centers(tree, class_means)
    kept = [k for k in range(len(levels)) if k == 0 or 1 < len(levels[k]) < len(levels[k - 1])]
    total = 0.0
    for r, code in zip(outputs, codes, strict=True):
        for sigma, k in zip(sigmas, kept, strict=True):
            own = levels[k][ways[code][k]]
            logit = -((r - own) ** 2).sum() / (2 * sigma**2)
            others = [-((r - mu) ** 2).sum() / (2 * sigma**2) for mu in levels[k].values()]
            total -= logit - np.log(np.sum(np.exp(others)))
        for value in r:
            total += bound_weight * (max(0.0, -bound - value) + max(0.0, value - bound))
            total += quantization_weight * ((1.0 if value >= 0 else -1.0) - value) ** 2
    return total / len(outputs)
