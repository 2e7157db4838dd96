"""scikit-learn's own checks, on every estimator and without skips."""

import numpy as np
import pytest
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.naive_bayes import GaussianNB
from sklearn.utils.estimator_checks import check_estimator
from sklearn.utils.validation import validate_data

from sklearn_hierret import (
    CombinedHierarchyBuilder,
    DiscriminantClassifier,
    HammingRetriever,
    HierarchicalEmbedding,
    HierarchicalRetriever,
    HierarchyBuilder,
    ITQHasher,
    LinkageHierarchyBuilder,
    MahalanobisClassifier,
    PCAHasher,
    TextHierarchyBuilder,
)
from sklearn_hierret.hashing import pack_signs
from sklearn_hierret.model_selection import HierarchicalRetrieverCV


class OfFloats(HammingRetriever):
    """What scikit-learn's checks need around it: numbers, of which it makes codes."""

    def _validated(self, X, reset=True):
        X = validate_data(self, X, dtype=[np.float64, np.float32], reset=reset)
        # The checks have numbers around 0 and around 100.
        thresholds = np.concatenate([np.linspace(-3, 3, 16), np.linspace(97, 103, 16)])
        return pack_signs((X[:, :, None] - thresholds).reshape(len(X), -1))


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
    HierarchicalEmbedding(),
    HierarchicalEmbedding(HierarchyBuilder(0.5), alpha=1, assignment="hard", n_components=1),
    HierarchicalRetriever(),
    HierarchicalRetriever(alpha=0, n_neighbors=3),
    HierarchicalRetriever(HierarchyBuilder(0.5), alpha=np.inf, assignment="hard"),
    HierarchicalRetriever(LinkageHierarchyBuilder(), class_model=GaussianNB()),
    HierarchicalRetriever([HierarchyBuilder(), LinkageHierarchyBuilder()]),
    HierarchicalRetrieverCV(alphas=[0, 1], cv=2),
    PCAHasher(8),
    ITQHasher(8, random_state=0),
    OfFloats(),
    OfFloats(alpha=1.0),
    OfFloats(LinkageHierarchyBuilder(), alpha=1.0, assignment="soft"),
]


@pytest.mark.filterwarnings("default")  # the checks provoke warnings themselves
@pytest.mark.parametrize("estimator", ESTIMATORS, ids=repr)
def test_check_estimator(estimator):
    results = check_estimator(estimator, on_skip=None, on_fail="raise")
    not_passed = [(r["check_name"], r["status"]) for r in results if r["status"] != "passed"]
    assert len(results) > 30
    assert not_passed == []
