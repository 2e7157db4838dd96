"""Every method of the paper, ours, and the controls, each with what is tuned."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import ParameterGrid
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer

from sklearn_hierret.building import HierarchyBuilder, LinkageHierarchyBuilder
from sklearn_hierret.discriminant import DiscriminantClassifier
from sklearn_hierret.embedding import OASIS, class_embedding
from sklearn_hierret.evaluation import make_retrieval_scorer
from sklearn_hierret.gaussian import MahalanobisClassifier
from sklearn_hierret.hierarchy import ClassHierarchy
from sklearn_hierret.retrieval import HierarchicalRetriever

THRESHOLDS = [0.001, 0.01, 0.05, 0.1, 0.2, 0.3]
ALPHAS = [0.2, 1.0, 4.0, 16.0]


@dataclass
class Method:
    """An estimator with its grid; `alpha` is tuned without fitting again."""

    name: str
    model: Any
    grid: dict[str, list] = field(default_factory=dict)
    alphas: list[float] = field(default_factory=list)
    #: "plain" features, or "semantic" ones.
    features: str = "plain"


class SemanticProjection(TransformerMixin, BaseEstimator):
    """Semantic embeddings of features that are given: ridge regression to the class embedding.

    The stand-in for a network trained with L_CORR (barz2019), where there are features only.

    Parameters
    ----------
    hierarchy : ClassHierarchy
    """

    def __init__(self, hierarchy: ClassHierarchy) -> None:
        self.hierarchy = hierarchy

    def fit(self, X: ArrayLike, y: ArrayLike) -> SemanticProjection:
        """Regress the embedding of its class on each sample."""
        phi = class_embedding(self.hierarchy)
        self.ridge_ = RidgeCV(np.logspace(-2, 4, 7)).fit(X, phi[self.hierarchy.index(np.asarray(y))])
        return self

    def transform(self, X: ArrayLike) -> NDArray:
        """Predicted embeddings."""
        return np.asarray(self.ridge_.predict(X))


def all_methods(taxonomy: ClassHierarchy | None, classes: NDArray, seed: int) -> list[Method]:
    """Make the methods of venkataramanan2023, 4.1, the defaults, other leaves, trees, similarities."""
    paper_model = MahalanobisClassifier("tied", n_components=0.95, decision="mahalanobis")
    paper = HierarchicalRetriever(
        HierarchyBuilder(class_model=paper_model),
        metric="cosine",
        assignment="hard",
        stem=0.0,
        gallery_leaves="predicted",
    )
    leaves = DiscriminantClassifier()
    logistic = make_pipeline(Normalizer(), LogisticRegression(C=10, max_iter=100))
    gaussian = MahalanobisClassifier("tied", n_components=0.95)
    oasis = Normalizer(), PCA(0.9, random_state=seed), OASIS(1.0, random_state=seed)
    ours = HierarchicalRetriever(HierarchyBuilder(), class_model=leaves)
    thresholds = {"hierarchy__threshold": THRESHOLDS}
    methods = [
        Method("Euclidean", NearestNeighbors(algorithm="brute")),
        Method("cosine", HierarchicalRetriever(metric="cosine", alpha=0.0)),
        Method("whitened cosine", HierarchicalRetriever(metric="whitened", alpha=0.0)),
        Method("hierarchical distance only", clone(paper).set_params(alpha=np.inf), thresholds),
        Method("paper: hard leaves", paper, thresholds, ALPHAS),
        Method(
            "discriminant space, then cosine",
            make_pipeline(DiscriminantClassifier(), HierarchicalRetriever(metric="cosine", alpha=0.0)),
        ),
        Method(
            "OASIS, then cosine", make_pipeline(*oasis, HierarchicalRetriever(metric="cosine", alpha=0.0))
        ),
        Method("Gaussian leaves, one covariance", HierarchicalRetriever(class_model=gaussian)),
        Method("logistic regression leaves", HierarchicalRetriever(class_model=logistic)),
        Method("defaults", HierarchicalRetriever()),
        Method("defaults, all classes known", HierarchicalRetriever(novelty=False)),
        Method("soft leaves", ours, thresholds, ALPHAS),
        Method(
            "soft leaves, average linkage",
            HierarchicalRetriever(HierarchyBuilder(0.001, linkage="average"), class_model=leaves),
            alphas=ALPHAS,
        ),
        Method("soft leaves, Ward", HierarchicalRetriever(LinkageHierarchyBuilder()), alphas=ALPHAS),
        Method("control: flat", HierarchicalRetriever(ClassHierarchy.flat(classes)), alphas=ALPHAS),
        Method(
            "control: Ward, classes permuted",
            HierarchicalRetriever(PermutedBuilder(LinkageHierarchyBuilder(), seed)),
            alphas=ALPHAS,
        ),
    ]
    return methods if taxonomy is None else methods + _methods_with(taxonomy, ours, seed)


def _methods_with(taxonomy: ClassHierarchy, ours: HierarchicalRetriever, seed: int) -> list[Method]:
    """Make the methods that need a taxonomy."""
    thresholds = {"hierarchy__threshold": THRESHOLDS}
    return [
        Method("soft leaves, taxonomy", HierarchicalRetriever(taxonomy), alphas=ALPHAS),
        Method("defaults, taxonomy", HierarchicalRetriever(taxonomy)),
        Method(
            "defaults, visual tree and taxonomy",
            HierarchicalRetriever([LinkageHierarchyBuilder("average", metric="cosine"), taxonomy]),
        ),
        Method(
            "control: taxonomy, classes permuted",
            HierarchicalRetriever(taxonomy.permute(seed)),
            alphas=ALPHAS,
        ),
        Method(
            "semantic embeddings, cosine",
            HierarchicalRetriever(metric="cosine", alpha=0.0),
            features="semantic",
        ),
        Method("soft leaves on semantic embeddings", clone(ours), thresholds, ALPHAS, features="semantic"),
    ]


class PermutedBuilder(BaseEstimator):
    """A builder's tree with its classes shuffled: only its shape is left.

    Parameters
    ----------
    builder : builder
    random_state : int
    """

    def __init__(self, builder: Any, random_state: int = 0) -> None:
        self.builder = builder
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike) -> PermutedBuilder:
        """Fit the builder and shuffle."""
        self.hierarchy_ = clone(self.builder).fit(X, y).hierarchy_.permute(self.random_state)
        return self


def tuned(method: Method, X_fit: Any, y_fit: NDArray, X_val: Any, y_val: NDArray, k: int) -> tuple[Any, dict]:
    """Fit, and return the estimator with the best mAP@k of the validation samples, and its parameters.

    It is fitted on the fit part alone: the validation part chooses, and the test part is not seen.
    """
    scorer = make_retrieval_scorer("map", min(k, len(y_val) - 1), "query")
    best: tuple[float, Any, dict] = (-np.inf, None, {})
    grid = ParameterGrid(method.grid)
    only_one = len(grid) == 1 and not method.alphas
    for params in grid:
        model = clone(method.model).set_params(**params).fit(X_fit, y_fit)
        for chosen in [{**params, "alpha": alpha} for alpha in method.alphas] or [params]:
            if "alpha" in chosen:
                model.set_params(alpha=chosen["alpha"])
            score = 0.0 if only_one else scorer(model, X_val, y_val)
            if score > best[0]:
                best = score, model, chosen
    _, model, chosen = best
    if "alpha" in chosen:
        model.set_params(alpha=chosen["alpha"])
    return model, chosen
