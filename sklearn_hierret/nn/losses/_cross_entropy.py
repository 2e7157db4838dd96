"""Classification: cross entropy of a softmax."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from sklearn_hierret.nn.losses._objective import Objective


class CrossEntropy(Objective):
    """A linear layer, softmax and cross entropy.

    Parameters
    ----------
    n_features, n_classes : int
    label_smoothing : float, default=0.0

    Examples
    --------
    >>> from functools import partial
    >>> from sklearn_hierret.nn import CNNFeatureExtractor, CrossEntropy
    >>> cnn = CNNFeatureExtractor(loss=partial(CrossEntropy, label_smoothing=0.1))
    """

    def __init__(self, n_features: int, n_classes: int, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.classifier = nn.Linear(n_features, n_classes)
        self.label_smoothing = label_smoothing

    def forward(self, features: Tensor) -> Tensor:
        return self.classifier(features)

    def losses(self, outputs: Tensor, codes: Tensor) -> Tensor:
        return F.cross_entropy(outputs, codes, label_smoothing=self.label_smoothing, reduction="none")

    def probabilities(self, outputs: Tensor) -> Tensor:
        return outputs.softmax(dim=1)


class UnitCrossEntropy(CrossEntropy):
    """The same on features of length 1, which the loss of a subclass gets, too.

    Parameters
    ----------
    n_features, n_classes : int
    n_dimensions : int, optional
        Of a linear layer before the features; default: none.
    """

    def __init__(self, n_features: int, n_classes: int, n_dimensions: int | None = None) -> None:
        super().__init__(n_dimensions or n_features, n_classes)
        self.projection = nn.Identity() if n_dimensions is None else nn.Linear(n_features, n_dimensions)

    def losses(self, outputs: tuple[Tensor, Tensor], codes: Tensor) -> Tensor:
        raise NotImplementedError  # pairs of samples have no loss for each sample

    def features(self, vectors: Tensor) -> Tensor:
        return F.normalize(self.projection(vectors), dim=1)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        # Unit vectors are short for a softmax: with a factor it learns in time.
        return self.classifier(10.0 * features), features

    def probabilities(self, outputs: tuple[Tensor, Tensor]) -> Tensor:
        return outputs[0].softmax(dim=1)
