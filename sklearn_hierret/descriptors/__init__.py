"""Local descriptors, one vector of many, and whether they lie alike (barz2020, section 2.1)."""

from sklearn_hierret._state import publish
from sklearn_hierret.descriptors._embeddings import RVD, TriangulationEmbedding
from sklearn_hierret.descriptors._fisher import FisherVector
from sklearn_hierret.descriptors._maps import RMAC, CroW, GramFeatures
from sklearn_hierret.descriptors._root_sift import LocalFeatures, RootSIFT
from sklearn_hierret.descriptors._verification import SpatialVerification, count_inliers
from sklearn_hierret.descriptors._vocabulary import VLAD, BagOfVisualWords

__all__ = [
    "RMAC",
    "RVD",
    "VLAD",
    "BagOfVisualWords",
    "CroW",
    "FisherVector",
    "GramFeatures",
    "LocalFeatures",
    "RootSIFT",
    "SpatialVerification",
    "TriangulationEmbedding",
    "count_inliers",
]

publish(__name__, globals())
