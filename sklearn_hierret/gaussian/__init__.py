"""Gaussian models of classes: statistics, covariances, overlap, nearest class."""

from sklearn_hierret.gaussian._classifier import MahalanobisClassifier
from sklearn_hierret.gaussian._statistics import ClassStatistics

__all__ = ["ClassStatistics", "MahalanobisClassifier"]
