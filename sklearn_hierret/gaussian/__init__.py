"""Gaussian models of classes: statistics, covariances, overlap, nearest class."""

from sklearn_hierret.gaussian._bhattacharyya import Gaussians
from sklearn_hierret.gaussian._classifier import MahalanobisClassifier
from sklearn_hierret.gaussian._links import linked_components
from sklearn_hierret.gaussian._statistics import ClassStatistics

__all__ = ["ClassStatistics", "Gaussians", "MahalanobisClassifier", "linked_components"]
