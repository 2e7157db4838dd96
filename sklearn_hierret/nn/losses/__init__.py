"""What networks are trained for: heads with their losses, one a file."""

from sklearn_hierret.nn.losses._correlation import Correlation
from sklearn_hierret.nn.losses._cross_entropy import CrossEntropy
from sklearn_hierret.nn.losses._objective import Objective

__all__ = ["Correlation", "CrossEntropy", "Objective"]
