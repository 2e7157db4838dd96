"""Statistics of samples: folds by hash, sums and scatter of classes, decompositions, streams."""

from sklearn_hierret.statistics._folds import (
    FoldStatistics,
    check_size,
    folds_of,
    hashed,
    row_keys,
    smallest_of_classes,
    stands_for,
)
from sklearn_hierret.statistics._parts import Parts
from sklearn_hierret.statistics._streaming import (
    FOLD_CONSTRAINTS,
    FoldRule,
    Report,
    StreamingEstimator,
    WeightedStreamingEstimator,
    seed_of,
)
from sklearn_hierret.statistics._within import ROUNDING, WithinClasses, oracle_shrinkage

__all__ = [
    "FOLD_CONSTRAINTS",
    "ROUNDING",
    "FoldRule",
    "FoldStatistics",
    "Parts",
    "Report",
    "StreamingEstimator",
    "WeightedStreamingEstimator",
    "WithinClasses",
    "check_size",
    "folds_of",
    "hashed",
    "oracle_shrinkage",
    "row_keys",
    "seed_of",
    "smallest_of_classes",
    "stands_for",
]
