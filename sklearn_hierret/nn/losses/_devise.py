"""Features in a space of words."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sklearn_hierret.nn.losses._objective import Objective


class DeViSE(Objective):
    """Ranking of word vectors: that of the own class before all others, by a margin [1]_.

    ``mean over samples of sum over j != y of max(0, margin - t_y . Mv + t_j . Mv)`` with unit word
    vectors t and a linear layer M.

    Parameters
    ----------
    n_features : int
    vectors : array-like of shape (n_classes, n_dimensions)
        Word vectors of the classes, in the order of ``classes_``.
    margin : float, default=0.1

    References
    ----------
    .. [1] A. Frome et al., "DeViSE: A Deep Visual-Semantic Embedding Model", NIPS 2013, eq. 1.

    Examples
    --------
    >>> from functools import partial
    >>> import numpy as np
    >>> from sklearn_hierret.nn import CNNFeatureExtractor, DeViSE
    >>> words = np.eye(10)  # of a language model, in real life
    >>> cnn = CNNFeatureExtractor("tiny", loss=lambda n_features, n_classes: DeViSE(n_features, words))
    """

    words: Tensor

    def __init__(self, n_features: int, vectors: Tensor, margin: float = 0.1) -> None:
        super().__init__()
        words = torch.as_tensor(vectors, dtype=torch.get_default_dtype())
        if words.ndim != 2 or not torch.isfinite(words).all() or (words == 0).all(dim=1).any():
            raise ValueError("vectors must be a matrix with a finite row that is not zero for each class.")
        self.projection = nn.Linear(n_features, words.shape[1], bias=False)
        self.register_buffer("words", F.normalize(words, dim=1))
        self.margin = margin

    def features(self, vectors: Tensor) -> Tensor:
        return self.projection(vectors)

    def forward(self, features: Tensor) -> Tensor:
        return features @ self.words.T

    def loss(self, outputs: Tensor, codes: Tensor) -> Tensor:
        own = outputs.gather(1, codes[:, None])
        hinges = F.relu(self.margin - own + outputs)
        # The own class adds exactly the margin.
        return (hinges.sum(dim=1) - self.margin).mean()

    def probabilities(self, outputs: Tensor) -> Tensor:
        return outputs.softmax(dim=1)
