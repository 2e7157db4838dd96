"""scikit-learn's own checks, on every estimator and without skips."""

import os
import subprocess
import sys

import numpy as np
import pytest
from sklearn import clone, config_context
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
from sklearn_hierret.reranking import DatabaseAugmentation, Diffusion, Diversify, KReciprocal, QueryExpansion

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
    Diversify(),
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


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("output", ["pandas", "polars"])
@pytest.mark.parametrize("estimator", [*ESTIMATORS, *SLOW], ids=repr)
def test_every_output_that_is_set_for_all(estimator, output):
    """Fit, and what comes after, are what they are under the default; sparse graphs are refused as ever."""
    pytest.importorskip(output, reason="needs polars")
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 16)), np.arange(60) % 3
    expected = clone(estimator).fit(X, y)
    with config_context(transform_output=output):
        fitted = clone(estimator).fit(X, y)
        for method in ("transform", "predict", "predict_proba", "kneighbors", "leaves"):
            if not hasattr(expected, method):
                continue
            if isinstance(estimator, HierarchicalNeighborsTransformer) and method == "transform":
                with pytest.raises(ValueError, match="sparse"):
                    fitted.transform(X)
                continue
            found = getattr(fitted, method)(X)
            with config_context(transform_output="default"):
                wanted = getattr(expected, method)(X)
            np.testing.assert_array_equal(np.asarray(found), np.asarray(wanted))
            if method == "transform":
                assert type(found).__module__.startswith(output)


DISPATCH = """
import warnings
import numpy as np
from sklearn import clone, config_context
from tests.test_estimators import ESTIMATORS, SLOW
warnings.simplefilter("ignore")
X, y = np.random.default_rng(0).normal(size=(60, 16)), np.arange(60) % 3
for estimator in [*ESTIMATORS, *SLOW]:
    expected = clone(estimator).fit(X, y)
    with config_context(array_api_dispatch=True):
        fitted = clone(estimator).fit(X, y)
        for method in ("predict", "kneighbors", "transform"):
            if hasattr(expected, method):
                found, wanted = (getattr(model, method)(X) for model in (fitted, expected))
                if hasattr(wanted, "toarray"):
                    found, wanted = found.toarray(), wanted.toarray()
                np.testing.assert_allclose(np.asarray(found), np.asarray(wanted), atol=1e-7)
print("all the same")
"""


@pytest.mark.slow
def test_array_api_dispatch_changes_nothing_for_arrays_of_numpy():
    """In a process of its own, for SciPy reads its switch when it is imported."""
    run = subprocess.run(
        [sys.executable, "-c", DISPATCH],
        env={**os.environ, "SCIPY_ARRAY_API": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stdout.endswith("all the same\n"), run.stderr[-2000:]
