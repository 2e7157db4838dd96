"""The class model of embeddings: probabilities on a discriminant sphere."""

from sklearn_hierret.discriminant._classifier import DiscriminantClassifier

__all__ = ["DiscriminantClassifier"]
