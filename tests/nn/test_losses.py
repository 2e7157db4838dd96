import numpy as np
import pytest
import torch

from sklearn_hierret import class_embedding
from sklearn_hierret.datasets import load_cifar100_taxonomy
from sklearn_hierret.nn import (
    CenterLoss,
    Correlation,
    CrossEntropy,
    DeViSE,
    LabelEmbedding,
    MetricLearning,
    SmoothAP,
)
from sklearn_hierret.nn.losses import LOSSES


def in_double(objective, n=6, d=5, k=4, seed=0):
    """An objective, features and codes in double precision, for exact comparisons."""
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randn(n, d, generator=generator, dtype=torch.float64, requires_grad=True)
    codes = torch.randint(0, k, (n,), generator=generator)
    return objective.double(), vectors, codes


def loss_of(objective, vectors, codes):
    return objective.loss(objective(objective.features(vectors)), codes)


def softmax(logits):
    exp = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exp / exp.sum(axis=1, keepdims=True)


def arrays(*modules):
    return [(m.weight.detach().numpy(), m.bias.detach().numpy()) for m in modules]


@pytest.fixture(scope="module")
def phi():
    tree = load_cifar100_taxonomy().restrict(["dolphin", "whale", "rose", "tank"])
    return torch.from_numpy(class_embedding(tree))


def test_cross_entropy_in_numpy():
    objective, vectors, codes = in_double(CrossEntropy(5, 4))
    [(W, b)] = arrays(objective.classifier)
    proba = softmax(vectors.detach().numpy() @ W.T + b)
    expected = -np.log(proba[np.arange(6), codes]).mean()
    assert loss_of(objective, vectors, codes).item() == pytest.approx(expected)
    np.testing.assert_allclose(objective.probabilities(objective(vectors)).detach(), proba)


@pytest.mark.parametrize("weight", [0.0, 0.1])
def test_correlation_in_numpy(phi, weight):
    decision = "softmax" if weight else "nearest"
    objective, vectors, codes = in_double(Correlation(5, phi, weight, decision=decision))
    objective.embedding = phi
    [(W, b)] = arrays(objective.projection)
    psi = vectors.detach().numpy() @ W.T + b
    psi /= np.linalg.norm(psi, axis=1, keepdims=True)
    np.testing.assert_allclose(objective.features(vectors).detach(), psi)
    embedding = phi.numpy()
    expected = np.mean([1 - psi[i] @ embedding[c] for i, c in enumerate(codes)])  # eq. 8
    outputs = objective(objective.features(vectors))
    if weight:
        [(V, c)] = arrays(objective.classifier)
        rho = softmax(psi @ V.T + c)
        expected += weight * -np.mean(np.log(rho[np.arange(6), codes]))  # eqs. 9 and 10
        np.testing.assert_allclose(objective.probabilities(outputs).detach(), rho)
    else:
        nearest = [np.argmin(((p - embedding) ** 2).sum(axis=1)) for p in psi]
        assert objective.probabilities(outputs).argmax(dim=1).tolist() == nearest
    assert objective.loss(outputs, codes).item() == pytest.approx(expected)


def test_center_loss_in_numpy():
    objective, vectors, codes = in_double(CenterLoss(5, 4, weight=0.3))
    with torch.no_grad():
        objective.centers.normal_()
    [(W, b)] = arrays(objective.classifier)
    X, centers = vectors.detach().numpy(), objective.centers.detach().numpy()
    proba = softmax(X @ W.T + b)
    pulls = [((X[i] - centers[c]) ** 2).sum() for i, c in enumerate(codes)]
    expected = -np.log(proba[np.arange(6), codes]).mean() + 0.15 * np.mean(pulls)
    assert loss_of(objective, vectors, codes).item() == pytest.approx(expected)
    np.testing.assert_allclose(objective.probabilities(objective(vectors)).detach(), proba)


def test_label_embedding_in_numpy():
    objective, vectors, codes = in_double(LabelEmbedding(5, 4))
    with torch.no_grad():
        objective.labels.normal_()
        objective.second.weight.mul_(5)
    first, second = objective(vectors)
    codes[:3] = second.argmax(dim=1)[:3]  # some are right
    p1, p2 = softmax(first.detach().numpy()), softmax(second.detach().numpy())
    targets = softmax(second.detach().numpy() / 2)
    labels = softmax(objective.labels.detach().numpy())[codes]
    parts, taught = [], []
    for i, c in enumerate(codes.tolist()):
        hard, soft = -np.log(p1[i, c]), -(labels[i] * np.log(p1[i])).sum()
        parts.append(0.5 * hard + 0.5 * soft - np.log(p2[i, c]) + max(0, p2[i, c] - 0.9))
        if p2[i].argmax() == c:
            taught.append(-(targets[i] * np.log(labels[i])).sum())
    assert 0 < len(taught) < 6
    expected = np.mean(parts) + np.mean(taught)
    assert loss_of(objective, vectors, codes).item() == pytest.approx(expected)
    # Neither the second classifier nor the labels' targets move the features.
    objective.loss((first.detach(), objective.second(vectors.detach())), codes).backward()
    assert vectors.grad is None


def test_devise_in_numpy():
    words = torch.randn(4, 3, dtype=torch.float64)
    objective, vectors, codes = in_double(DeViSE(5, words, margin=0.4))
    M = objective.projection.weight.detach().numpy()
    T = objective.words.numpy()
    np.testing.assert_allclose(np.linalg.norm(T, axis=1), 1, atol=1e-6)
    total = 0.0
    for x, c in zip(vectors.detach().numpy(), codes.tolist(), strict=True):
        scores = T @ M @ x
        total += sum(max(0, 0.4 - scores[c] + scores[j]) for j in range(4) if j != c)
    assert loss_of(objective, vectors, codes).item() == pytest.approx(total / 6)
    for wrong in (torch.zeros(4, 3), torch.full((4, 3), torch.nan), torch.ones(4)):
        with pytest.raises(ValueError, match="vectors must be a matrix"):
            DeViSE(5, wrong)


def smooth_ap_in_loops(features, codes, temperature):
    def g(x):
        return 1 / (1 + np.exp(-x / temperature))

    values = []
    for q, x in enumerate(features):
        s = features @ x
        others = [i for i in range(len(codes)) if i != q]
        positive = [i for i in others if codes[i] == codes[q]]
        if not positive:
            continue
        precisions = []
        for i in positive:
            in_class = 1 + sum(g(s[j] - s[i]) for j in positive if j != i)
            rank = 1 + sum(g(s[j] - s[i]) for j in others if j != i)
            precisions.append(in_class / rank)
        values.append(np.mean(precisions))
    return 1 - np.mean(values)


@pytest.mark.parametrize("temperature", [0.01, 0.3])
def test_smooth_ap_in_numpy(temperature):
    features = torch.nn.functional.normalize(torch.randn(9, 4, dtype=torch.float64), dim=1)
    codes = torch.tensor([0, 0, 1, 1, 1, 2, 2, 0, 3])
    loss = SmoothAP(temperature)(features, codes)
    assert loss.item() == pytest.approx(smooth_ap_in_loops(features.numpy(), codes.numpy(), temperature))
    alone = SmoothAP()(features[[0, 2, 5]].requires_grad_(), codes[[0, 2, 5]])
    assert alone.item() == 0
    alone.backward()


def test_metric_learning_leaves_features_to_the_metric():
    objective, vectors, codes = in_double(MetricLearning(5, 4, SmoothAP(0.1), n_dimensions=3))
    features = objective.features(vectors)
    np.testing.assert_allclose(features.detach().norm(dim=1), 1)
    logits, _ = objective(features)
    (gradient,) = torch.autograd.grad(
        torch.nn.functional.cross_entropy(logits, codes), vectors, allow_unused=True
    )
    assert gradient is None
    expected = SmoothAP(0.1)(features, codes) + torch.nn.functional.cross_entropy(logits, codes)
    assert loss_of(objective, vectors, codes).item() == pytest.approx(expected.item())


def test_triplets_in_numpy():
    pytest.importorskip("pytorch_metric_learning", reason="the extra metric")
    objective, vectors, _ = in_double(LOSSES["triplet"](5, 2))
    codes = torch.tensor([0, 0, 0, 1, 1, 1])
    features = objective.features(vectors)
    D = np.linalg.norm(features.detach().numpy()[:, None] - features.detach().numpy()[None], axis=2)
    same = codes.numpy()[:, None] == codes.numpy()[None]
    hardest = [D[i][same[i] & (np.arange(6) != i)].max() - D[i][~same[i]].min() + 0.2 for i in range(6)]
    active = [h for h in hardest if h > 0]
    logits, _ = objective(features)
    expected = np.mean(active) + torch.nn.functional.cross_entropy(logits, codes).item()
    assert loss_of(objective, vectors, codes).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    "kind", ["cross entropy", "smoothed", "corr", "corr+cls", "center", "devise", "smooth AP"]
)
def test_gradients(phi, kind):
    made = {
        "cross entropy": lambda: CrossEntropy(5, 4),
        "smoothed": lambda: CrossEntropy(5, 4, label_smoothing=0.1),
        "corr": lambda: Correlation(5, phi, 0.0),
        "corr+cls": lambda: Correlation(5, phi),
        "center": lambda: CenterLoss(5, 4),
        "devise": lambda: DeViSE(5, phi),
        "smooth AP": lambda: _OnlyMetric(5, 4, SmoothAP(0.5)),
    }
    objective, vectors, codes = in_double(made[kind]())
    assert torch.autograd.gradcheck(lambda x: loss_of(objective, x, codes), (vectors,))


class _OnlyMetric(MetricLearning):
    """Without the classifier, whose gradient stops."""

    def loss(self, outputs, codes):
        return self.metric_loss(outputs[1], codes)


def test_a_perfect_network_has_no_correlation_loss(phi):
    objective = Correlation(4, phi.float(), 0.0)
    with torch.no_grad():
        objective.projection.weight.copy_(torch.eye(4))
        objective.projection.bias.zero_()
    codes = torch.tensor([0, 1, 2, 3])
    assert loss_of(objective, phi.float(), codes).item() == pytest.approx(0, abs=1e-6)
    opposite = loss_of(objective, -phi.float(), codes).item()
    assert opposite == pytest.approx(2, abs=1e-6)


def test_where_probabilities_come_from(phi):
    nearest = Correlation(5, phi, 0.1, decision="nearest")
    psi = nearest.features(torch.randn(3, 5))
    expected = softmax((psi @ nearest.embedding.T / 0.1).detach().numpy())
    np.testing.assert_allclose(nearest.probabilities(nearest(psi)).detach(), expected, rtol=1e-5)
    for weight, decision in ((0.0, "softmax"), (0.1, "closest")):
        with pytest.raises(ValueError, match="decision must be"):
            Correlation(5, phi, weight, decision=decision)
