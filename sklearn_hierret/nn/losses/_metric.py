"""Deep metric learning: losses on the distances within a batch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sklearn_hierret.nn.losses._objective import Objective


class MetricLearning(Objective):
    """A loss on unit features of a batch, and a classifier that does not disturb it.

    The classifier learns from features through which no gradient flows back. So there are class
    probabilities, while the metric loss alone shapes the features.

    Parameters
    ----------
    n_features, n_classes : int
    loss : callable
        From features (n, d) and codes (n,) to a scalar: `SmoothAP`, or any loss of
        pytorch-metric-learning.
    miner : callable, optional
        From features and codes to the tuples that count, as pytorch-metric-learning's miners; they
        are the loss's third argument.
    n_dimensions : int, optional
        Of a linear layer before the features; default: none.

    Examples
    --------
    >>> from functools import partial
    >>> from sklearn_hierret.nn import CNNFeatureExtractor, MetricLearning, SmoothAP
    >>> loss = partial(MetricLearning, loss=SmoothAP(0.05), n_dimensions=64)
    >>> cnn = CNNFeatureExtractor(loss=loss, samples_per_class=4)
    """

    def __init__(
        self, n_features: int, n_classes: int, loss: Any, miner: Any = None, n_dimensions: int | None = None
    ) -> None:
        super().__init__()
        self.projection = nn.Identity() if n_dimensions is None else nn.Linear(n_features, n_dimensions)
        self.classifier = nn.Linear(n_dimensions or n_features, n_classes)
        self.metric_loss, self.miner = loss, miner

    def features(self, vectors: Tensor) -> Tensor:
        return F.normalize(self.projection(vectors), dim=1)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        # Unit vectors are short for a softmax: with a factor it learns in time.
        return self.classifier(10.0 * features.detach()), features

    def loss(self, outputs: tuple[Tensor, Tensor], codes: Tensor) -> Tensor:
        logits, features = outputs
        mined = () if self.miner is None else (self.miner(features, codes),)
        return self.metric_loss(features, codes, *mined) + F.cross_entropy(logits, codes)

    def probabilities(self, outputs: tuple[Tensor, Tensor]) -> Tensor:
        return outputs[0].softmax(dim=1)


class SmoothAP(nn.Module):
    """1 - the mean average precision of a batch, ranks made smooth by sigmoids [1]_.

    Unlike in pytorch-metric-learning, a query is not among its own results, and batches may have any
    number of samples of a class; queries that are alone in theirs do not count.

    Parameters
    ----------
    temperature : float, default=0.01

    References
    ----------
    .. [1] A. Brown, W. Xie, V. Kalogeiton, A. Zisserman, "Smooth-AP: Smoothing the Path Towards
       Large-Scale Image Retrieval", ECCV 2020, eq. 7.

    Examples
    --------
    >>> import torch
    >>> from sklearn_hierret.nn import SmoothAP
    >>> features = torch.tensor([[1.0, 0.0], [0.8, 0.6], [-1.0, 0.0], [-0.8, 0.6]])
    >>> round(SmoothAP()(features, torch.tensor([0, 0, 1, 1])).item(), 3)
    0.0
    """

    def __init__(self, temperature: float = 0.01) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, features: Tensor, codes: Tensor) -> Tensor:
        n = len(features)
        others = ~torch.eye(n, dtype=torch.bool, device=features.device)
        positive = (codes[:, None] == codes[None, :]) & others
        has_some = positive.any(dim=1)
        if not has_some.any():
            return features.sum() * 0.0
        similarity = features @ features.T
        # How far j is before i, for each query: (query, i, j).
        before = torch.sigmoid((similarity[:, None, :] - similarity[:, :, None]) / self.temperature)
        before = before * (others[:, None, :] & others[None, :, :])
        rank = 1 + before.sum(dim=2)
        rank_in_class = 1 + (before * positive[:, None, :]).sum(dim=2)
        precisions = torch.where(positive, rank_in_class / rank, 0.0)
        average = precisions.sum(dim=1) / positive.sum(dim=1).clamp(min=1)
        return 1 - average[has_some].mean()


def triplet(n_features: int, n_classes: int, margin: float = 0.2) -> MetricLearning:
    """Triplets of the hardest positive and negative of each sample of a batch.

    After F. Schroff et al., "FaceNet", CVPR 2015, and A. Hermans et al., "In Defense of the
    Triplet Loss for Person Re-Identification", 2017.
    """
    losses, miners = _of_package("triplet")
    loss, miner = losses.TripletMarginLoss(margin=margin), miners.BatchHardMiner()
    return MetricLearning(n_features, n_classes, loss, miner)


def contrastive(n_features: int, n_classes: int, margin: float = 0.7) -> MetricLearning:
    """Distances within a class, and what others lack to a margin.

    R. Hadsell, S. Chopra, Y. LeCun, "Dimensionality Reduction by Learning an Invariant Mapping", CVPR 2006.
    """
    losses, _ = _of_package("contrastive")
    return MetricLearning(n_features, n_classes, losses.ContrastiveLoss(pos_margin=0.0, neg_margin=margin))


def fast_ap(n_features: int, n_classes: int, n_bins: int = 10) -> MetricLearning:
    """Average precision by soft histograms of distances.

    K. He, Y. Lu, S. Sclaroff, "Local Descriptors Optimized for Average Precision", CVPR 2018; F. Cakir et
    al., "Deep Metric Learning to Rank", CVPR 2019; J. Revaud et al., "Learning with Average Precision",
    ICCV 2019.
    """
    losses, _ = _of_package("fast_ap")
    return MetricLearning(n_features, n_classes, losses.FastAPLoss(num_bins=n_bins))


def multi_similarity(n_features: int, n_classes: int) -> MetricLearning:
    """Pairs weighted by their own and by relative similarities, after mining.

    X. Wang et al., "Multi-Similarity Loss with General Pair Weighting for Deep Metric Learning", CVPR 2019.
    """
    losses, miners = _of_package("multi_similarity")
    loss = losses.MultiSimilarityLoss(alpha=2, beta=50, base=0.5)
    return MetricLearning(n_features, n_classes, loss, miners.MultiSimilarityMiner(epsilon=0.1))


def smooth_ap(n_features: int, n_classes: int) -> MetricLearning:
    """`SmoothAP` with a classifier."""
    return MetricLearning(n_features, n_classes, SmoothAP())


def _of_package(name: str) -> tuple[Any, Any]:
    """Losses and miners of pytorch-metric-learning."""
    try:
        from pytorch_metric_learning import losses, miners
    except ImportError:
        raise ImportError(
            f"loss={name!r} needs pytorch-metric-learning: python -m pip install pytorch-metric-learning"
        ) from None
    return losses, miners
