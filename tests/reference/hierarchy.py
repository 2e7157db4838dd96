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
