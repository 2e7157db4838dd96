"""Steps that rank again what a retriever found."""

from sklearn_hierret.reranking._augmentation import DatabaseAugmentation
from sklearn_hierret.reranking._diffusion import Diffusion
from sklearn_hierret.reranking._expansion import QueryExpansion
from sklearn_hierret.reranking._reciprocal import KReciprocal

__all__ = ["DatabaseAugmentation", "Diffusion", "KReciprocal", "QueryExpansion"]
