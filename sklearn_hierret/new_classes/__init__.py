"""Classes that a gallery brings: what tells them from known ones, and leaves for them."""

from sklearn_hierret.new_classes._discovery import LEAST_ROWS, MOST_ROWS, Sampled, discover
from sklearn_hierret.new_classes._evidence import Evidence, fit_evidence
from sklearn_hierret.new_classes._leaves import (
    TAUGHT_WEIGHT,
    DiscoveredClasses,
    TaughtClasses,
    trust_in_discovered,
    trust_in_known,
)
from sklearn_hierret.new_classes._model import OpenModel
from sklearn_hierret.new_classes._tree import extended_tree

__all__ = [
    "LEAST_ROWS",
    "MOST_ROWS",
    "TAUGHT_WEIGHT",
    "DiscoveredClasses",
    "Evidence",
    "OpenModel",
    "Sampled",
    "TaughtClasses",
    "discover",
    "extended_tree",
    "fit_evidence",
    "trust_in_discovered",
    "trust_in_known",
]
