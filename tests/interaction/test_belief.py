import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sklearn_hierret.interaction._belief import NodeBelief
from sklearn_hierret.interaction._proposals import most_informative
from tests.strategies import generators, trees


def members(tree):
    """Whether each class is at or below each node, by walking up."""
    below = np.zeros((tree.n_nodes, tree.n_classes), dtype=bool)
    for c in range(tree.n_classes):
        node = c
        while node != -1:
            below[node, c] = True
            node = tree.parents[node]
    return below


def path_below_root(tree, c):
    path = [c]
    while tree.parents[path[-1]] != tree.root:
        path.append(tree.parents[path[-1]])
    return path


def naive(tree, queries, items, relevant, error_rate, known=1.0):
    """The posterior in loops: who drew these images and made these marks? The last is of no node."""
    below, weights = members(tree), np.zeros(tree.n_nodes + 1)
    for c in range(tree.n_classes):
        for node in path_below_root(tree, c):
            weights[node] += 1 / len(path_below_root(tree, c))
    for node in range(tree.n_nodes):
        n = below[node].sum()
        for p in queries:
            weights[node] *= (1 - error_rate) * p[below[node]].sum() / n + error_rate / tree.n_classes
    weights *= (1 - error_rate) * known / weights.sum()
    weights[-1] = 1 - (1 - error_rate) * known
    for node in range(tree.n_nodes):
        for p, is_relevant in zip(items, relevant, strict=True):
            yes = p[below[node]].sum()
            yes = (1 - error_rate) * yes + error_rate * (1 - yes)
            weights[node] *= yes if is_relevant else 1 - yes
    weights[-1] *= 0.5 ** len(items)
    return weights / weights.sum()


@given(trees(), generators(), st.sampled_from([0.01, 0.05, 0.3]))
def test_posterior_in_loops(tree, rng, error_rate):
    queries, items = rng.dirichlet(np.ones(tree.n_classes), 2), rng.dirichlet(np.ones(tree.n_classes), 4)
    relevant = rng.integers(0, 2, 4).astype(bool)
    belief = NodeBelief.of_queries(tree, queries, error_rate)
    np.testing.assert_allclose(belief.probabilities, naive(tree, queries, [], [], error_rate), atol=1e-9)
    marked = belief.marked(items, relevant)
    np.testing.assert_allclose(
        marked.probabilities, naive(tree, queries, items, relevant, error_rate), atol=1e-9
    )
    # One by one it is the same, and what was believed before does not change.
    one_by_one = belief
    for i in range(4):
        one_by_one = one_by_one.marked(items[i : i + 1], relevant[i : i + 1])
    np.testing.assert_allclose(one_by_one.probabilities, marked.probabilities, atol=1e-12)


@given(trees(), generators(), st.sampled_from([0.0, 0.4, 1.0]))
def test_class_distances_in_loops(tree, rng, stem):
    proba = rng.dirichlet(np.ones(tree.n_classes), 3)
    belief = NodeBelief.of_queries(tree, proba[:1], 0.05).marked(proba[1:], np.array([True, False]))
    below, expected = members(tree), np.zeros(tree.n_classes)
    for node, p in enumerate(belief.probabilities[:-1]):
        for c in range(tree.n_classes):
            above = node
            while not below[above, c]:
                above = tree.parents[above]
            if above != node:
                expected[c] += p * (stem + (1 - stem) * tree.heights[above] / tree.height)
    expected += belief.probabilities[-1]  # of no node
    np.testing.assert_allclose(belief.class_distances(stem), expected, atol=1e-9)


@given(trees(), generators())
def test_the_first_proposal_has_the_most_information(tree, rng):
    proba = rng.dirichlet(np.ones(tree.n_classes), 7)
    belief = NodeBelief.of_queries(tree, proba[:1], 0.1)
    p, items = belief.probabilities, proba[1:]
    information = []
    for item in items:
        total = 0.0
        for answer in (True, False):
            yes = belief.says_yes(item[None])[0]
            joint = p * (yes if answer else 1 - yes)
            kept = joint > 0
            total += np.sum(joint[kept] * np.log(joint[kept] / p[kept] / joint.sum()))
        information.append(total)
    chosen = most_informative(belief, items, 6)
    assert information[chosen[0]] >= max(information) - 1e-7
    assert sorted(chosen.tolist()) == list(range(6))
