"""What is given to the fit of a step reaches the retriever inside."""

import numpy as np
import pytest
from sklearn import config_context
from sklearn.exceptions import UnsetMetadataPassedError

from sklearn_hierret import HierarchicalNeighborsTransformer, HierarchicalRetriever
from sklearn_hierret.reranking import Diffusion, QueryExpansion
from tests.strategies import blobs


@pytest.fixture(scope="module")
def data():
    X, y = blobs(np.random.default_rng(0))
    return X, y, np.arange(len(X)) // 4


def folds_of(retriever):
    return retriever.class_model_.__hierret_class_model__().statistics.counts


@pytest.mark.parametrize("make", [QueryExpansion, Diffusion, HierarchicalNeighborsTransformer])
def test_groups_reach_the_retriever(data, make):
    X, y, groups = data
    expected = folds_of(HierarchicalRetriever().fit(X, y, groups))
    assert not np.array_equal(expected, folds_of(HierarchicalRetriever().fit(X, y)))
    step = make().fit(X, y, groups=groups)
    np.testing.assert_array_equal(folds_of(step.retriever_), expected)
    outer = QueryExpansion(make()) if make is not HierarchicalNeighborsTransformer else None
    if outer is not None:
        np.testing.assert_array_equal(
            folds_of(outer.fit(X, y, groups=groups).retriever_.retriever_), expected
        )
    with pytest.raises(TypeError, match="weights"):
        make().fit(X, y, weights=groups)


def test_with_metadata_routing(data):
    X, y, groups = data
    expected = folds_of(HierarchicalRetriever().fit(X, y, groups))
    with config_context(enable_metadata_routing=True):
        asks = HierarchicalRetriever().set_fit_request(groups=True)
        step = QueryExpansion(asks).fit(X, y, groups=groups)
        np.testing.assert_array_equal(folds_of(step.retriever_), expected)
        graph = HierarchicalNeighborsTransformer(asks).fit_transform(X, y, groups=groups)
        assert graph.shape == (len(X), len(X))
        with pytest.raises(UnsetMetadataPassedError):
            QueryExpansion(HierarchicalRetriever()).fit(X, y, groups=groups)
        QueryExpansion(HierarchicalRetriever()).fit(X, y)
