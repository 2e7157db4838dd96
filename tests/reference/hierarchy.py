"""Trees by climbing parents, one pair at a time."""


def lca(parents, a, b):
    above_a = []
    while a != -1:
        above_a.append(a)
        a = parents[a]
    while b not in above_a:
        b = parents[b]
    return b


def distance(tree, i, j):
    node = lca(tree.parents.tolist(), i, j)
    return tree.heights[node] / tree.heights[-1] if tree.heights[-1] else 0.0


def wu_palmer(tree, i, j):
    parents = tree.parents.tolist()

    def depth(node):
        return 1 if parents[node] == -1 else 1 + depth(parents[node])

    return 2 * depth(lca(parents, i, j)) / (depth(i) + depth(j))


def shared_levels(tree, i, j):
    parents = tree.parents.tolist()
    node, shared = lca(parents, i, j), 0
    while parents[node] != -1:
        node, shared = parents[node], shared + 1
    return shared


def graph_similarity(parents_of, a, b, depth, kind):
    """1 - d_G or Wu-Palmer similarity of two leaves of a graph with one root, by all paths."""

    def paths(node):
        above = parents_of.get(node, ())
        return [[node, *path] for p in above for path in paths(p)] or [[node]]

    def depth_of(node):
        lengths = [len(path) for path in paths(node)]
        return max(lengths) if depth == "longest" else min(lengths)

    def height(node):
        children = [n for n, above in parents_of.items() if node in above]
        return max((1 + height(c) for c in children), default=0)

    def way(node, top):
        return min(path.index(top) for path in paths(node) if top in path)

    common = {n for path in paths(a) for n in path} & {n for path in paths(b) for n in path}
    d = max(map(depth_of, common))
    deepest = [n for n in common if depth_of(n) == d]
    if kind == "lca":
        return 1 - min(map(height, deepest)) / height(paths(a)[0][-1])
    return max(2 * d / (2 * d + way(a, n) + way(b, n)) for n in deepest)
