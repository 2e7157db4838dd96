"""Semantic embeddings: features that lie where their class is embedded (barz2019, section 4)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from sklearn_hierret.nn.losses._objective import Objective


class Correlation(Objective):
    """L_CORR and L_CORR+CLS: dot products with class embeddings (barz2019, eqs. 8-10).

    ``L = mean(1 - psi . phi_y) + weight * cross entropy``, where psi, the features, are a linear
    layer's outputs on the unit sphere, and the cross entropy is that of another linear layer
    on top of them.

    Parameters
    ----------
    n_features : int
        Of the backbone.
    embedding : Tensor of shape (n_classes, n_dimensions)
        phi, from `class_embedding`; divided by their lengths.
    weight : float, default=0.1
        lambda, the weight of the cross entropy; 0 leaves the layer out: L_CORR.
    decision : {"nearest", "softmax"}, default="nearest"
        Where probabilities come from: the nearest embedding, a softmax of
        ``psi . phi / temperature``; or the layer on top, which learns slowly, since its weight is
        small and its input short.
    temperature : float, default=0.1

    Examples
    --------
    >>> import torch
    >>> from sklearn_hierret import ClassHierarchy, class_embedding
    >>> from sklearn_hierret.nn import Correlation
    >>> tree = ClassHierarchy.from_newick("((cat,dog)mammal,trout)animal;")
    >>> objective = Correlation(16, torch.from_numpy(class_embedding(tree)))
    >>> features = objective.features(torch.rand(5, 16))
    >>> objective.probabilities(objective(features)).shape
    torch.Size([5, 3])
    """

    embedding: Tensor

    def __init__(
        self,
        n_features: int,
        embedding: Tensor,
        weight: float = 0.1,
        decision: str = "nearest",
        temperature: float = 0.1,
    ) -> None:
        super().__init__()
        if decision not in ("softmax", "nearest") or (decision == "softmax" and not weight > 0):
            raise ValueError(
                f"decision must be 'nearest', or 'softmax' where weight is above 0, got {decision!r}."
            )
        n_classes, n_dimensions = embedding.shape
        self.projection = nn.Linear(n_features, n_dimensions)
        self.classifier = nn.Linear(n_dimensions, n_classes) if weight > 0 else None
        self.register_buffer("embedding", F.normalize(embedding.float(), dim=1))
        self.weight, self.decision, self.temperature = weight, decision, temperature

    def features(self, vectors: Tensor) -> Tensor:
        return F.normalize(self.projection(vectors), dim=1)

    def forward(self, features: Tensor) -> tuple[Tensor, ...]:
        similarities = features @ self.embedding.T
        return (similarities,) if self.classifier is None else (similarities, self.classifier(features))

    def losses(self, outputs: tuple[Tensor, ...], codes: Tensor) -> Tensor:
        losses = 1.0 - outputs[0].gather(1, codes[:, None])[:, 0]
        if self.classifier is not None:
            losses = losses + self.weight * F.cross_entropy(outputs[1], codes, reduction="none")
        return losses

    def probabilities(self, outputs: tuple[Tensor, ...]) -> Tensor:
        if self.decision == "softmax":
            return outputs[1].softmax(dim=1)
        return (outputs[0] / self.temperature).softmax(dim=1)
