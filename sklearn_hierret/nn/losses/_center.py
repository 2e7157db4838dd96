"""Cross entropy with centres that features are pulled to."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sklearn_hierret.nn.losses._cross_entropy import CrossEntropy


class CenterLoss(CrossEntropy):
    """``cross entropy + weight / 2 * mean |x - c_y|^2`` [1]_.

    The centres are parameters; they follow the gradient of the second term, as the features do.

    Parameters
    ----------
    n_features, n_classes : int
    weight : float, default=0.003
        lambda.

    References
    ----------
    .. [1] Y. Wen, K. Zhang, Z. Li, Y. Qiao, "A Discriminative Feature Learning Approach for Deep
       Face Recognition", ECCV 2016, eq. 5.

    Examples
    --------
    >>> from sklearn_hierret.nn import CenterLoss, CNNFeatureExtractor
    >>> cnn = CNNFeatureExtractor(loss="center")
    >>> cnn = CNNFeatureExtractor(loss=lambda n_features, n_classes: CenterLoss(n_features, n_classes, 0.01))
    """

    def __init__(self, n_features: int, n_classes: int, weight: float = 0.003) -> None:
        super().__init__(n_features, n_classes)
        self.centers = nn.Parameter(torch.zeros(n_classes, n_features))
        self.weight = weight

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        return self.classifier(features), features

    def losses(self, outputs: tuple[Tensor, Tensor], codes: Tensor) -> Tensor:
        logits, features = outputs
        distances = (features - self.centers[codes]).pow(2).sum(dim=1)
        return F.cross_entropy(logits, codes, reduction="none") + self.weight / 2 * distances

    def probabilities(self, outputs: tuple[Tensor, Tensor]) -> Tensor:
        return outputs[0].softmax(dim=1)
