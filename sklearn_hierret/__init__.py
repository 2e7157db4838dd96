"""Image retrieval that is visually and semantically right, the scikit-learn way.

Learn a visual hierarchy of the classes from features and labels, rank by cosine plus
hierarchical distance, score the rankings, tune the lot in a `GridSearchCV`.
"""

from sklearn_hierret._state import publish
from sklearn_hierret._trusted import TRUSTED_TYPES
from sklearn_hierret.building import (
    CombinedHierarchyBuilder,
    HierarchyBuilder,
    LinkageHierarchyBuilder,
    TextHierarchyBuilder,
)
from sklearn_hierret.discriminant import DiscriminantClassifier
from sklearn_hierret.display import (
    FacetDisplay,
    HierarchyDisplay,
    InspectionDisplay,
    InteractionDisplay,
    PrecisionCurveDisplay,
    RetrievalDisplay,
    ThresholdPathDisplay,
)
from sklearn_hierret.distance import WithinClassWhitening
from sklearn_hierret.embedding import OASIS, HierarchicalEmbedding, class_embedding
from sklearn_hierret.evaluation import evaluate_retrieval, make_retrieval_scorer
from sklearn_hierret.gaussian import MahalanobisClassifier
from sklearn_hierret.hashing import ITQHasher, PCAHasher
from sklearn_hierret.hierarchy import ClassGraph, ClassHierarchy, CombinedHierarchy
from sklearn_hierret.metrics import (
    average_hierarchical_precision_at_k,
    average_precision_at_k,
    average_precision_at_r,
    average_set_intersection_at_k,
    hierarchical_average_precision,
    hierarchical_precision_at_k,
    map_at_k,
    map_at_r,
    mistake_severity_at_k,
    ndcg_at_k,
    precision_at_k,
    r_precision,
    recall_at_k,
    reciprocal_rank_at_k,
)
from sklearn_hierret.retrieval import (
    HammingRetriever,
    HierarchicalNeighborsTransformer,
    HierarchicalRetriever,
    RetrievalPipeline,
)

__version__ = "0.3.0"

__all__ = [
    "OASIS",
    "TRUSTED_TYPES",
    "ClassGraph",
    "ClassHierarchy",
    "CombinedHierarchy",
    "CombinedHierarchyBuilder",
    "DiscriminantClassifier",
    "FacetDisplay",
    "HammingRetriever",
    "HierarchicalEmbedding",
    "HierarchicalNeighborsTransformer",
    "HierarchicalRetriever",
    "HierarchyBuilder",
    "HierarchyDisplay",
    "ITQHasher",
    "InspectionDisplay",
    "InteractionDisplay",
    "LinkageHierarchyBuilder",
    "MahalanobisClassifier",
    "PCAHasher",
    "PrecisionCurveDisplay",
    "RetrievalDisplay",
    "RetrievalPipeline",
    "TextHierarchyBuilder",
    "ThresholdPathDisplay",
    "WithinClassWhitening",
    "average_hierarchical_precision_at_k",
    "average_precision_at_k",
    "average_precision_at_r",
    "average_set_intersection_at_k",
    "class_embedding",
    "evaluate_retrieval",
    "hierarchical_average_precision",
    "hierarchical_precision_at_k",
    "make_retrieval_scorer",
    "map_at_k",
    "map_at_r",
    "mistake_severity_at_k",
    "ndcg_at_k",
    "precision_at_k",
    "r_precision",
    "recall_at_k",
    "reciprocal_rank_at_k",
]

publish(__name__, globals())
