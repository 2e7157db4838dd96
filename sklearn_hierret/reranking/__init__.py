"""Steps that rank again what a retriever found."""

from sklearn_hierret._state import publish
from sklearn_hierret.reranking._augmentation import DatabaseAugmentation
from sklearn_hierret.reranking._diffusion import Diffusion
from sklearn_hierret.reranking._diversify import Diversify
from sklearn_hierret.reranking._expansion import QueryExpansion
from sklearn_hierret.reranking._reciprocal import KReciprocal
from sklearn_hierret.reranking._step import RerankingStep as RerankingStep

__all__ = ["DatabaseAugmentation", "Diffusion", "Diversify", "KReciprocal", "QueryExpansion"]

publish(__name__, globals())
