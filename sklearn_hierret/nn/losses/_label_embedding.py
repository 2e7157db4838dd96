"""Similarities of classes that are learnt while training."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sklearn_hierret.nn.losses._objective import Objective


class LabelEmbedding(Objective):
    """Label embedding network: soft targets, a distribution over classes for each, are learnt [1]_.

    A second classifier, on features through which no gradient flows back, teaches the labels what they
    resemble, on the samples that it gets right. The labels then teach the first classifier.

    Parameters
    ----------
    n_features, n_classes : int
    beta : float, default=0.5
        Share of hard labels among the targets of the first classifier.
    temperature : float, default=2.0
        Of the second classifier's probabilities as targets of the labels.
    max_confidence : float, default=0.9
        The second classifier is not to be surer than this.

    References
    ----------
    .. [1] X. Sun, B. Wei, X. Ren, S. Ma, "Label Embedding Network: Learning Label Representation
       for Soft Training of Deep Networks", 2017; a baseline of barz2019.

    Examples
    --------
    >>> from functools import partial
    >>> from sklearn_hierret.nn import CNNFeatureExtractor, LabelEmbedding
    >>> cnn = CNNFeatureExtractor(loss=partial(LabelEmbedding, beta=0.3))
    """

    def __init__(
        self,
        n_features: int,
        n_classes: int,
        beta: float = 0.5,
        temperature: float = 2.0,
        max_confidence: float = 0.9,
    ) -> None:
        super().__init__()
        self.classifier = nn.Linear(n_features, n_classes)
        self.second = nn.Linear(n_features, n_classes)
        self.labels = nn.Parameter(torch.eye(n_classes))
        self.beta, self.temperature, self.max_confidence = beta, temperature, max_confidence

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        return self.classifier(features), self.second(features.detach())

    def loss(self, outputs: tuple[Tensor, Tensor], codes: Tensor) -> Tensor:
        first, second = outputs
        labels = self.labels[codes]
        soft_label = labels.detach().softmax(dim=1)
        learns = self.beta * F.cross_entropy(first, codes)
        learns = learns + (1 - self.beta) * F.cross_entropy(first, soft_label)
        learns = learns + F.cross_entropy(second, codes)
        # Labels learn from the second classifier where it is right.
        is_right = second.argmax(dim=1) == codes
        target = (second.detach() / self.temperature).softmax(dim=1)
        each = F.cross_entropy(labels, target, reduction="none")
        taught = (each * is_right).sum() / is_right.sum().clamp(min=1)
        sure = second.softmax(dim=1).gather(1, codes[:, None])
        return learns + taught + F.relu(sure - self.max_confidence).mean()

    def probabilities(self, outputs: tuple[Tensor, Tensor]) -> Tensor:
        return outputs[0].softmax(dim=1)
