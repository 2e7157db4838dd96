"""Metrics of fitted estimators: scorers, tables, and the search they are computed from."""

from sklearn_hierret._state import publish
from sklearn_hierret.evaluation._scorer import (
    RetrievalScorer,
    evaluate_retrieval,
    make_retrieval_scorer,
    scores_of_queries,
)
from sklearn_hierret.evaluation._search import retriever_of

__all__ = [
    "RetrievalScorer",
    "evaluate_retrieval",
    "make_retrieval_scorer",
    "retriever_of",
    "scores_of_queries",
]

publish(__name__, globals())
