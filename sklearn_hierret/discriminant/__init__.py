"""The class model of embeddings: probabilities on a discriminant sphere."""

from sklearn_hierret.discriminant._classifier import DiscriminantClassifier
from sklearn_hierret.discriminant._novelty import known_proba, known_share

__all__ = ["DiscriminantClassifier", "known_proba", "known_share"]
