"""Search as a conversation: marks, several query images, facets, and how well that works."""

from sklearn_hierret._state import publish
from sklearn_hierret.interaction._evaluation import evaluate_interaction
from sklearn_hierret.interaction._facets import facets
from sklearn_hierret.interaction._linear import LinearFeedback
from sklearn_hierret.interaction._node_posterior import NodePosterior
from sklearn_hierret.interaction._query_sets import kneighbors_of_set
from sklearn_hierret.interaction._rocchio import Rocchio
from sklearn_hierret.interaction._session import RetrievalSession
from sklearn_hierret.interaction._session import session_numbers as session_numbers
from sklearn_hierret.interaction._text_search import TextSearch

__all__ = [
    "LinearFeedback",
    "NodePosterior",
    "RetrievalSession",
    "Rocchio",
    "TextSearch",
    "evaluate_interaction",
    "facets",
    "kneighbors_of_set",
]

publish(__name__, globals())
