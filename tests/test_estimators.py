"""scikit-learn's own checks, on every estimator and without skips."""

import numpy as np
import pytest
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from sklearn_hierret import (
    OASIS,
    CombinedHierarchyBuilder,
    DiscriminantClassifier,
    HammingRetriever,
    HierarchicalEmbedding,
    HierarchicalNeighborsTransformer,
    HierarchicalRetriever,
    HierarchyBuilder,
    ITQHasher,
    LinkageHierarchyBuilder,
    MahalanobisClassifier,
    PCAHasher,
    TextHierarchyBuilder,
    WithinClassWhitening,
)
from sklearn_hierret.model_selection import HierarchicalRetrieverCV
from sklearn_hierret.reranking import DatabaseAugmentation, Diffusion, KReciprocal, QueryExpansion

LETTERS = HashingVectorizer(analyzer="char", ngram_range=(1, 2), n_features=64, norm=None)
ESTIMATORS = [
    MahalanobisClassifier(),
    MahalanobisClassifier("tied", decision="mahalanobis", n_components=0.95),
    MahalanobisClassifier("diag", priors="uniform"),
    MahalanobisClassifier("spherical"),
    HierarchyBuilder(),
    HierarchyBuilder(linkage="average", class_model=MahalanobisClassifier("tied")),
    CombinedHierarchyBuilder([("visual", HierarchyBuilder()), ("ward", LinkageHierarchyBuilder())]),
    CombinedHierarchyBuilder(
        [("text", TextHierarchyBuilder(LETTERS.transform)), ("ward", LinkageHierarchyBuilder())],
        linkage="average",
    ),
    TextHierarchyBuilder(LETTERS.transform, heights="distance"),
    LinkageHierarchyBuilder(),
    LinkageHierarchyBuilder("average", metric="cosine", heights="rank", class_model=DiscriminantClassifier()),
    DiscriminantClassifier(),
    DiscriminantClassifier(shrinkage=0.1, n_components=2, linear="closed_form"),
    WithinClassWhitening(),
    WithinClassWhitening(shrinkage=0.3, n_components=1, between_shrinkage="auto"),
    HierarchicalEmbedding(),
    HierarchicalRetriever(metric="whitened", alpha=1.0),
    OASIS(n_triplets=200, random_state=0),
    OASIS(n_triplets=200, semidefinite=False, random_state=0),
    HierarchicalEmbedding(HierarchyBuilder(0.5), alpha=1, assignment="hard", n_components=1),
    HierarchicalRetriever(),
    HierarchicalRetriever(alpha=0, n_neighbors=3),
    HierarchicalRetriever(HierarchyBuilder(0.5), alpha=np.inf, assignment="hard"),
    HierarchicalRetriever(LinkageHierarchyBuilder(), class_model=GaussianNB()),
    HierarchicalNeighborsTransformer(),
    PCAHasher(8),
    ITQHasher(8, random_state=0),
    make_pipeline(PCAHasher(8), HammingRetriever()),  # codes come from a hasher
]
SLOW = [
    HierarchicalRetriever([HierarchyBuilder(), LinkageHierarchyBuilder()]),
    HierarchicalNeighborsTransformer(HierarchicalRetriever(alpha=0), mode="connectivity", n_neighbors=1),
    DatabaseAugmentation(HierarchicalRetriever(alpha=0)),
    HierarchicalRetriever(metric=StandardScaler(), alpha=0),
    HierarchicalRetrieverCV(alphas=[0, 1], cv=2),
    QueryExpansion(),
    KReciprocal(k1=5),
    Diffusion(),
    make_pipeline(ITQHasher(8, random_state=0), HammingRetriever(alpha=1.0)),
    make_pipeline(PCAHasher(8), HammingRetriever(LinkageHierarchyBuilder(), alpha=1.0, assignment="soft")),
]


#: What no Pipeline passes, whatever its steps are.
OF_PIPELINES = {
    "check_estimators_overwrite_params": "its steps are fitted in place",
    "check_dont_overwrite_parameters": "its steps are fitted in place",
    "check_array_api_input": "needs the environment variable SCIPY_ARRAY_API",
}


@pytest.mark.filterwarnings("default")  # the checks provoke warnings themselves
@pytest.mark.parametrize(
    "estimator", [*ESTIMATORS, *(pytest.param(e, marks=pytest.mark.slow) for e in SLOW)], ids=repr
)
def test_check_estimator(estimator):
    expected = OF_PIPELINES if isinstance(estimator, Pipeline) else {}
    results = check_estimator(estimator, expected_failed_checks=expected, on_skip=None, on_fail="raise")
    not_passed = [
        (r["check_name"], r["status"])
        for r in results
        if r["status"] != "passed" and r["check_name"] not in expected
    ]
    assert len(results) > 30
    assert not_passed == []
