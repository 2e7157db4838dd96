"""The visual distance: cosine, cosine of rows whitened within classes, and the choice between them."""

from sklearn_hierret.distance._choice import WhiteningChoice, choose_whitening
from sklearn_hierret.distance._metric import CosineMetric, TransformedMetric, VisualMetric
from sklearn_hierret.distance._precision import DEPTH, average_precision, within_one_error
from sklearn_hierret.distance._transformer import WithinClassWhitening
from sklearn_hierret.distance._whitening import Whitening

__all__ = [
    "DEPTH",
    "CosineMetric",
    "TransformedMetric",
    "VisualMetric",
    "Whitening",
    "WhiteningChoice",
    "WithinClassWhitening",
    "average_precision",
    "choose_whitening",
    "within_one_error",
]
