"""Networks on images, with the scikit-learn API: features for a retriever.

Needs the extra ``nn``: ``python -m pip install "sklearn-hierret[nn]"``.
"""

try:
    import skorch  # noqa: F401
    import torch  # noqa: F401
except ImportError as error:  # pragma: no cover
    raise ImportError(
        f'sklearn_hierret.nn needs torch and skorch ({error}): python -m pip install "sklearn-hierret[nn]"'
    ) from None

from sklearn_hierret.nn._augmentation import Augmentation
from sklearn_hierret.nn._extractor import CNNFeatureExtractor
from sklearn_hierret.nn._hash import CNNHashExtractor
from sklearn_hierret.nn._latent_gaussian import LatentGaussianExtractor
from sklearn_hierret.nn._presets import training_preset
from sklearn_hierret.nn.backbones import (
    AttentionPooling,
    Plain11,
    PyramidNet,
    ResNetCifar,
    TinyNet,
    make_backbone,
)
from sklearn_hierret.nn.frozen import FrozenFeatureExtractor
from sklearn_hierret.nn.losses import (
    HUSE,
    SHREWD,
    AdaptiveMargin,
    CenterLoss,
    Correlation,
    CrossEntropy,
    DeViSE,
    HierarchyPreservingHashing,
    HyperbolicEmbedding,
    LabelEmbedding,
    MetricLearning,
    MultiGrain,
    SmoothAP,
    poincare_embedding,
)

__all__ = [
    "HUSE",
    "SHREWD",
    "AdaptiveMargin",
    "AttentionPooling",
    "Augmentation",
    "CNNFeatureExtractor",
    "CNNHashExtractor",
    "CenterLoss",
    "Correlation",
    "CrossEntropy",
    "DeViSE",
    "FrozenFeatureExtractor",
    "HierarchyPreservingHashing",
    "HyperbolicEmbedding",
    "LabelEmbedding",
    "LatentGaussianExtractor",
    "MetricLearning",
    "MultiGrain",
    "Plain11",
    "PyramidNet",
    "ResNetCifar",
    "SmoothAP",
    "TinyNet",
    "make_backbone",
    "poincare_embedding",
    "training_preset",
]
