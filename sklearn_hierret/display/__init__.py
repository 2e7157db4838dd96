"""Pictures; matplotlib is imported when one is drawn."""

from sklearn_hierret.display._curves import PrecisionCurveDisplay
from sklearn_hierret.display._hierarchy import HierarchyDisplay
from sklearn_hierret.display._inspection import InspectionDisplay
from sklearn_hierret.display._interaction import FacetDisplay, InteractionDisplay
from sklearn_hierret.display._retrieval import RetrievalDisplay
from sklearn_hierret.display._threshold import ThresholdPathDisplay

__all__ = [
    "FacetDisplay",
    "HierarchyDisplay",
    "InspectionDisplay",
    "InteractionDisplay",
    "PrecisionCurveDisplay",
    "RetrievalDisplay",
    "ThresholdPathDisplay",
]
