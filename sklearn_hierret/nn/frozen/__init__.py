"""Features of networks that are not trained."""

from sklearn_hierret.nn.frozen._extractor import FrozenFeatureExtractor

__all__ = ["FrozenFeatureExtractor"]
