"""Statistics of samples: folds by hash, sums and scatter of classes, decompositions, streams."""

from sklearn_hierret.statistics._folds import FoldStatistics, check_size, hashed
from sklearn_hierret.statistics._parts import Parts
from sklearn_hierret.statistics._streaming import StreamingEstimator
from sklearn_hierret.statistics._within import ROUNDING, WithinClasses, oracle_shrinkage

__all__ = [
    "ROUNDING",
    "FoldStatistics",
    "Parts",
    "StreamingEstimator",
    "WithinClasses",
    "check_size",
    "hashed",
    "oracle_shrinkage",
]
