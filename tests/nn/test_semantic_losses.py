"""Losses of pairs, of histograms, of trees: each beside NumPy, with its gradient."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_hierret import ClassHierarchy, CombinedHierarchy
from sklearn_hierret.datasets import load_cifar100_taxonomy
from sklearn_hierret.nn import (
    HUSE,
    SHREWD,
    AdaptiveMargin,
    AttentionPooling,
    CNNFeatureExtractor,
    HyperbolicEmbedding,
    MetricLearning,
    MultiGrain,
    poincare_embedding,
)
from sklearn_hierret.nn.losses import HIERARCHY_LOSSES, LOSSES
from sklearn_hierret.nn.losses._hyperbolic import exponential_map, mobius_sum, poincare_distances
from sklearn_hierret.nn.losses._multigrain import distance_weights
from tests.nn.test_losses import in_double, loss_of, softmax
from tests.strategies import examples

PACKAGE = ["contrastive", "fast_ap", "multi_similarity"]


@pytest.fixture(scope="module")
def tree():
    return load_cifar100_taxonomy().restrict(["dolphin", "whale", "rose", "tank"])


def unit(n=8, d=5, seed=0):
    features = torch.nn.functional.normalize(
        torch.randn(n, d, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)), dim=1
    )
    return features.requires_grad_(), torch.tensor([0, 0, 1, 1, 1, 2, 2, 3][:n])


def pairs(n):
    return [(i, j) for i in range(n) for j in range(i + 1, n)]


def cross_entropy(logits, codes):
    return -np.log(softmax(logits)[np.arange(len(codes)), codes]).mean()


def test_adaptive_margin_in_loops(tree):
    features, codes = unit()
    D, x = tree.distance_matrix(), features.detach().numpy()
    loss = AdaptiveMargin(D, margin=1.3).double()
    near, far = [], []
    for i, j in pairs(8):
        length = np.linalg.norm(x[i] - x[j])
        if codes[i] == codes[j]:
            near.append(length**2)
        else:
            far.append(max(0, 1.3 * D[codes[i], codes[j]] - length) ** 2)
    assert len(set(far)) > 2
    assert loss(features, codes).item() == pytest.approx(np.mean(near) + np.mean(far), rel=1e-6)
    assert torch.autograd.gradcheck(lambda z: loss(z, codes), (features,))
    alone = loss(features[:1], codes[:1])
    alone.backward()
    assert alone.item() == 0


def test_huse_in_loops(tree):
    objective, vectors, codes = in_double(HUSE(5, 4, tree.distance_matrix(), weight=0.5, n_dimensions=3), n=8)
    objective.distances = torch.from_numpy(tree.distance_matrix())
    x = objective.features(vectors).detach().numpy()
    np.testing.assert_allclose(np.linalg.norm(x, axis=1), 1)
    total, used = 0.0, 0
    for i in range(8):
        for j in range(8):
            found, wanted = 1 - x[i] @ x[j], tree.distance_matrix()[codes[i], codes[j]]
            if i != j and (found < 0.7 or wanted < 0.7):
                total, used = total + (found - wanted) ** 2, used + 1
    assert 0 < used < 56
    logits = objective.classifier(10 * torch.from_numpy(x)).detach().numpy()
    expected = cross_entropy(logits, codes.numpy()) + 0.5 * total / 56
    assert loss_of(objective, vectors, codes).item() == pytest.approx(expected)
    assert torch.autograd.gradcheck(lambda z: loss_of(objective, z, codes), (vectors,))


def test_shrewd_in_loops(tree):
    objective, vectors, codes = in_double(
        SHREWD(5, 4, tree.distance_matrix(), n_bits=6, decay=0.7, binary_weight=0.3), n=8
    )
    objective.distances = torch.from_numpy(tree.distance_matrix())
    z = objective.features(vectors).detach().numpy()
    assert ((z > 0) & (z < 1)).all()
    found = np.array([np.abs(z[i] - z[j]).sum() for i, j in pairs(8)])
    wanted = np.array([tree.distance_matrix()[codes[i], codes[j]] for i, j in pairs(8)])
    wanted /= wanted.mean()
    relations = np.mean(np.exp(-0.7 * wanted) * np.abs(found / found.mean() - wanted))
    assert objective.relations(torch.from_numpy(z), codes).item() == pytest.approx(relations)
    target = objective.binary_vectors(torch.from_numpy(z))
    terms = []
    for i in range(8):
        to_target = min(np.linalg.norm(z[i] - b) for b in target.numpy())
        to_others = min(np.linalg.norm(z[i] - z[j]) for j in range(8) if j != i)
        terms.append(np.log(to_target / to_others))
    assert objective.divergence(torch.from_numpy(z), target).item() == pytest.approx(np.mean(terms))
    torch.manual_seed(3)
    logits = objective.classifier(2 * torch.from_numpy(z) - 1).detach().numpy()
    total = loss_of(objective, vectors, codes).item()
    torch.manual_seed(3)
    again = objective.divergence(torch.from_numpy(z), objective.binary_vectors(torch.from_numpy(z))).item()
    assert total == pytest.approx(relations + 0.3 * again + cross_entropy(logits, codes.numpy()))

    def without_classifier(vectors):
        features = objective.features(vectors)
        return objective.relations(features, codes) + objective.divergence(features, target)

    assert torch.autograd.gradcheck(without_classifier, (vectors,))
    for small in (1, 2):
        assert torch.isfinite(loss_of(objective, vectors[:small], codes[:small]))


def test_the_binary_term_makes_bits():
    """Descent on the divergence alone takes numbers near 1/2 towards 0 and 1."""
    torch.manual_seed(0)
    raw = torch.randn(60, 8).mul_(0.1).requires_grad_()
    optimizer = torch.optim.Adam([raw], lr=0.05)
    objective = SHREWD(8, 2, 1 - np.eye(2))
    before = (torch.sigmoid(raw) - 0.5).abs().mean().item()
    for _ in range(150):
        features = torch.sigmoid(raw)
        loss = objective.divergence(features, objective.binary_vectors(features))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert before < 0.05
    assert (torch.sigmoid(raw) - 0.5).abs().mean().item() > 0.25


def test_multigrain_in_loops():
    objective, vectors, codes = in_double(MultiGrain(5, 4, weight=0.3), n=8)
    x = objective.features(vectors).detach().numpy()
    positive = [(i, j) for i, j in pairs(8) if codes[i] == codes[j]]
    i, j = torch.tensor(positive).T
    torch.manual_seed(0)
    a, b = objective.drawn_negatives(torch.from_numpy(x), codes, i)
    assert (codes[a] != codes[b]).all()
    near = [max(0, 0.2 + np.linalg.norm(x[p] - x[q]) - 1.2) for p, q in positive]
    far = [max(0, 0.2 - np.linalg.norm(x[p] - x[q]) + 1.2) for p, q in zip(a, b, strict=True)]
    logits = objective.classifier(10 * torch.from_numpy(x)).detach().numpy()
    expected = 0.3 * cross_entropy(logits, codes.numpy()) + 0.7 * np.mean(near + far)
    torch.manual_seed(0)
    assert loss_of(objective, vectors, codes).item() == pytest.approx(expected)

    def margins(vectors):
        return objective.margin_loss(objective.features(vectors), i, j, a, b)

    assert torch.autograd.gradcheck(margins, (vectors,))
    objective.zero_grad()
    margins(vectors).backward()
    assert objective.beta.grad.item() != 0
    alone = loss_of(objective, vectors[:1], codes[:1])
    alone.backward()
    assert torch.isfinite(alone)
    with pytest.raises(ValueError, match=r"weight must be in \[0, 1\]"):
        MultiGrain(5, 4, weight=2)


def test_negatives_are_drawn_by_the_inverse_density_of_distances():
    n, d = 40, 6
    features, _ = unit(n, d)
    codes = torch.arange(n) // 4
    x, weights = features.detach().numpy(), distance_weights(features.detach(), codes).numpy()
    for i in range(n):
        expected = np.zeros(n)
        for j in range(n):
            length = np.linalg.norm(x[i] - x[j])
            if codes[i] != codes[j] and length < 1.4:
                length = max(length, 0.5)
                expected[j] = 1 / (length ** (d - 2) * (1 - length**2 / 4) ** ((d - 3) / 2))
        if expected.any():
            np.testing.assert_allclose(weights[i] / weights[i].sum(), expected / expected.sum())


def test_losses_of_the_package_in_numpy():
    pytest.importorskip("pytorch_metric_learning", reason="the extra metric")
    features, codes = unit()
    x = features.detach().numpy()
    D, S = np.linalg.norm(x[:, None] - x[None], axis=2), x @ x.T
    same = codes.numpy()[:, None] == codes.numpy()[None]
    others = ~np.eye(8, dtype=bool)
    near, far = D[same & others], np.maximum(0, 0.7 - D[~same])
    contrastive = near[near > 0].mean() + far[far > 0].mean()
    assert metric("contrastive")(features, codes).item() == pytest.approx(contrastive, rel=1e-5)
    # FastAP: soft histograms of squared distances, 10 bins over [0, 4].
    width, values = 4 / 10, []
    for i in range(8):
        if (same[i] & others[i]).any():
            h = {}
            for name, mask in (("positive", same[i] & others[i]), ("all", others[i])):
                pulses = np.maximum(0, 1 - np.abs(D[i][mask][:, None] ** 2 - width * np.arange(11)) / width)
                h[name] = pulses.sum(axis=0)
            H = {name: np.cumsum(v) for name, v in h.items()}
            used = H["all"] > 0
            values.append((h["positive"] * H["positive"])[used] @ (1 / H["all"][used]) / h["positive"].sum())
    assert metric("fast_ap")(features, codes).item() == pytest.approx(1 - np.mean(values), rel=1e-4)
    # Multi-similarity after its mining: hard positives and negatives by a margin of 0.1.
    losses = []
    for i in range(8):
        positive, negative = S[i][same[i] & others[i]], S[i][~same[i]]
        if len(positive):
            kept = positive[positive < negative.max() + 0.1], negative[negative > positive.min() - 0.1]
            losses.append(np.log1p(np.exp(-2 * (kept[0] - 0.5)).sum()) / 2)
            losses[-1] += np.log1p(np.exp(50 * (kept[1] - 0.5)).sum()) / 50
        else:
            losses.append(0.0)
    objective = LOSSES["multi_similarity"](5, 4)
    mined = objective.miner(features, codes)
    found = objective.metric_loss(features, codes, mined).item()
    assert found == pytest.approx(np.mean(losses), rel=1e-4)


def metric(name):
    return LOSSES[name](5, 4).metric_loss


@pytest.mark.parametrize("name", PACKAGE)
def test_gradients_of_the_package(name):
    pytest.importorskip("pytorch_metric_learning", reason="the extra metric")
    features, codes = unit()
    loss = metric(name)
    assert torch.autograd.gradcheck(lambda z: loss(z, codes), (features,), atol=1e-3)


@pytest.mark.parametrize("name", PACKAGE)
def test_the_package_is_named_where_it_is_missing(name, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pytorch_metric_learning", None)
    with pytest.raises(ImportError, match=f"loss='{name}' needs pytorch-metric-learning"):
        LOSSES[name](5, 4)


# ------------------------------------------------------------------------------------------- hyperbolic


def hyperbolic(a, b):
    return np.arccosh(1 + 2 * ((a - b) ** 2).sum() / ((1 - a @ a) * (1 - b @ b)))


def test_hyperbolic_loss_in_loops(tree):
    points = poincare_embedding(tree, radius=3.0)
    objective, vectors, codes = in_double(HyperbolicEmbedding(5, points, temperature=0.7))
    objective.embedding = torch.from_numpy(points)
    v = (vectors @ objective.projection.weight.T + objective.projection.bias).detach().numpy()
    z = np.tanh(np.linalg.norm(v, axis=1, keepdims=True)) * v / np.linalg.norm(v, axis=1, keepdims=True)
    np.testing.assert_allclose(objective.features(vectors).detach(), z)
    D = np.array([[hyperbolic(a, b) for b in points] for a in z])
    np.testing.assert_allclose(
        poincare_distances(torch.from_numpy(z), torch.from_numpy(points)), D, rtol=1e-6
    )
    assert loss_of(objective, vectors, codes).item() == pytest.approx(cross_entropy(-D / 0.7, codes.numpy()))
    nearest = objective.probabilities(objective(objective.features(vectors))).argmax(dim=1)
    np.testing.assert_array_equal(nearest, D.argmin(axis=1))
    assert torch.autograd.gradcheck(lambda x: loss_of(objective, x, codes), (vectors,))
    for wrong in (np.ones((2, 2)), np.zeros(3), np.full((2, 2), np.nan)):
        with pytest.raises(ValueError, match="lengths below 1"):
            HyperbolicEmbedding(5, wrong)


def test_far_features_stay_in_the_ball():
    z = exponential_map(torch.full((2, 3), 1e6))
    assert (z.norm(dim=1) < 1).all()
    assert torch.isfinite(poincare_distances(z, z)).all()
    zero = torch.zeros(1, 3, requires_grad=True)
    exponential_map(zero).sum().backward()
    assert torch.isfinite(zero.grad).all()


@settings(max_examples=examples(40))
@given(st.lists(st.integers(0, 3), min_size=2, max_size=12), st.floats(0.5, 5.0))
def test_neighbours_in_the_tree_are_where_they_belong(choices, radius):
    """Edges have their lengths, in any tree; siblings are equally far; nearer classes are nearer."""
    nodes = {0: 0.0}
    edges = []
    for new, choice in enumerate(choices, start=1):  # each node below one of the nodes before it
        parent = choice % new
        edges.append((f"n{parent}", f"n{new}"))
        nodes[new] = nodes[parent] + 1
    tree = ClassHierarchy.from_parent_child(edges)
    points = poincare_embedding(tree, radius)
    assert points.shape[0] == tree.n_classes
    assert (np.linalg.norm(points, axis=1) < 1).all()
    D = poincare_distances(torch.from_numpy(points), torch.from_numpy(points)).numpy()
    if tree.height == 0:
        return
    way = radius * tree.distance_matrix()
    # The way over the tree is the longest there is.
    leaf_depth = radius * (1 - tree.heights[: tree.n_classes] / tree.height)
    np.testing.assert_allclose([hyperbolic(0 * p, p) for p in points] <= leaf_depth + 1e-6, True)
    assert (2 * way + 1e-4 >= D).all()
    children = np.bincount(tree.parents[np.arange(tree.n_nodes) != tree.root], minlength=tree.n_nodes)
    assert points.shape[1] == max(2, children.max())


def test_siblings_are_equally_far_from_one_another():
    tree = ClassHierarchy.from_newick("(((a,b,c)x,(d,e,f)y)u,((g,h,i)v,(j,k,l)w)z)r;")
    points = poincare_embedding(tree)
    D = np.array([[hyperbolic(a, b) for b in points] for a in points])
    levels = tree.distance_matrix()
    for level in np.unique(levels)[1:]:
        np.testing.assert_allclose(D[levels == level], D[levels == level].mean(), rtol=0.2)
    means = [D[levels == level].mean() for level in np.unique(levels)]
    assert (np.diff(means) > 1).all()
    siblings = D[:3, :3][~np.eye(3, dtype=bool)]
    np.testing.assert_allclose(siblings, siblings[0])


def test_the_ball_in_half_precision(tree):
    objective = HyperbolicEmbedding(5, poincare_embedding(tree))
    vectors = 50 * torch.randn(40, 5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        features = objective.features(vectors)
        outputs = objective(features)
    assert features.dtype == outputs.dtype == torch.float32
    assert (features.norm(dim=1) < 1).all()
    exact = objective(objective.features(vectors))
    np.testing.assert_allclose(outputs.detach(), exact.detach(), rtol=1e-5)


def test_bad_trees(tree):
    combined = CombinedHierarchy([tree, tree])
    with pytest.raises(TypeError, match="needs one ClassHierarchy, got a CombinedHierarchy"):
        poincare_embedding(combined)
    for radius in (0, -1, 13, np.inf):
        with pytest.raises(ValueError, match="radius must be above 0"):
            poincare_embedding(tree, radius)
    HyperbolicEmbedding(5, poincare_embedding(tree, 12))
    with pytest.raises(ValueError, match="lengths below 1"):
        HyperbolicEmbedding(5, np.full((2, 1), 1 - 1e-9))  # 1 in single precision


def test_translations():
    x, y = np.array([0.3, -0.2]), np.array([0.1, 0.5])
    np.testing.assert_allclose(mobius_sum(-x, mobius_sum(x, y)), y)
    np.testing.assert_allclose(hyperbolic(mobius_sum(x, y), mobius_sum(x, 0 * y)), hyperbolic(y, 0 * y))


# ------------------------------------------------------------------------------------------ in networks


@pytest.mark.parametrize("name", [*HIERARCHY_LOSSES, "multigrain", *PACKAGE])
def test_networks_learn_by_them(digits, name):
    if name in PACKAGE:
        pytest.importorskip("pytorch_metric_learning", reason="the extra metric")
    X, y = digits
    tree = ClassHierarchy.from_newick("(((a,g)round,(i,j)loop)closed,((b,h,e)lines,(c,d,f)bows)open)digit;")
    net = CNNFeatureExtractor(
        "tiny",
        loss=name,
        hierarchy=tree if name in HIERARCHY_LOSSES else None,
        samples_per_class=5,
        batch_size=50,
        max_epochs=6,
        lr=5e-3,
        random_state=0,
    ).fit(X[:300], y[:300])
    losses = net.history[:, "train_loss"]
    assert losses[-1] < losses[0]
    features = net.transform(X[300:])
    similar = (
        features @ features.T
        if name != "hyperbolic"
        else -poincare_distances(*[torch.from_numpy(features)] * 2).numpy()
    )
    if name == "shrewd":
        similar = -np.abs(features[:, None] - features[None]).sum(axis=2)
    np.fill_diagonal(similar, -np.inf)
    assert (y[300:][similar.argmax(axis=1)] == y[300:]).mean() > 0.5  # a tenth by chance
    assert net.predict_proba(X[300:]).shape == (100, 10)


@pytest.mark.parametrize("name", list(HIERARCHY_LOSSES))
def test_they_ask_for_a_hierarchy(digits, name):
    with pytest.raises(ValueError, match="needs hierarchy="):
        CNNFeatureExtractor("tiny", loss=name).fit(*digits)


@pytest.mark.parametrize(
    ("distances", "message"),
    [
        (np.ones(3), "square matrix"),
        (np.ones((2, 3)), "square matrix"),
        (np.ones((2, 2)), "0 from a class to itself"),
        (np.array([[0, np.nan], [np.nan, 0]]), "finite"),
        (np.array([[0, -1], [-1, 0]]), "at least 0"),
        (np.array([[0, 1], [2, 0]]), "symmetric"),
    ],
)
def test_bad_distances(distances, message):
    with pytest.raises(ValueError, match="of 3 classes, but there are 2"):
        HUSE(5, 2, 1 - np.eye(3))
    for make in (AdaptiveMargin, lambda d: HUSE(5, 2, d), lambda d: SHREWD(5, 2, d)):
        with pytest.raises(ValueError, match=message):
            make(distances)


def test_attention_in_numpy():
    pooling = AttentionPooling(3, n_hidden=4).double()
    maps = torch.randn(2, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    first, last = pooling.score[0], pooling.score[2]
    W, b, V, c = (p.detach().numpy().squeeze() for p in (first.weight, first.bias, last.weight, last.bias))
    expected = np.zeros((2, 3))
    for n in range(2):
        for y in range(4):
            for x in range(5):
                place = maps[n, :, y, x].detach().numpy()
                expected[n] += place * np.log1p(np.exp(V @ np.maximum(0, W @ place + b) + c))
    np.testing.assert_allclose(pooling(maps).detach(), expected)
    assert torch.autograd.gradcheck(pooling, (maps,))


def test_attention_is_learned(digits):
    X, y = digits
    net = CNNFeatureExtractor("tiny", pooling="attention", max_epochs=1, random_state=0).fit(X, y)
    assert net.transform(X[:3]).shape == (3, 64)
    with pytest.raises(ValueError, match="'rmac', 'attention'"):
        CNNFeatureExtractor("tiny", pooling="attentive").fit(X, y)


def test_metric_learning_takes_the_adaptive_margin(tree):
    objective = MetricLearning(5, 4, AdaptiveMargin(tree.distance_matrix()))
    assert {"metric_loss.distances"} <= set(objective.state_dict())
