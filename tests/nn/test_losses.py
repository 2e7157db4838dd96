import numpy as np
import pytest
import torch

from sklearn_hierret import class_embedding
from sklearn_hierret.datasets import load_cifar100_taxonomy
from sklearn_hierret.nn import Correlation, CrossEntropy


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
    objective, vectors, codes = in_double(Correlation(5, phi, weight))
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


@pytest.mark.parametrize("kind", ["cross entropy", "smoothed", "corr", "corr+cls"])
def test_gradients(phi, kind):
    made = {
        "cross entropy": lambda: CrossEntropy(5, 4),
        "smoothed": lambda: CrossEntropy(5, 4, label_smoothing=0.1),
        "corr": lambda: Correlation(5, phi, 0.0),
        "corr+cls": lambda: Correlation(5, phi),
    }
    objective, vectors, codes = in_double(made[kind]())
    assert torch.autograd.gradcheck(lambda x: loss_of(objective, x, codes), (vectors,))


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
