"""Dask arrays on a cluster of two worker processes. Needs the extra "integration"."""

import dask.array as da
import numpy as np
import pytest
from dask.distributed import Client, LocalCluster

from sklearn_hierret import (
    DiscriminantClassifier,
    HammingRetriever,
    HierarchicalRetriever,
    HierarchyBuilder,
    MahalanobisClassifier,
)
from tests.strategies import blobs

pytestmark = pytest.mark.filterwarnings("ignore")  # those of a cluster that starts and stops


@pytest.fixture(scope="module")
def cluster():
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as local,
        Client(local) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def data():
    groups = np.arange(12) // 3
    return blobs(
        np.random.default_rng(0), n_classes=12, n_features=5, n_per_class=(40, 80), spread=4.0, groups=groups
    )


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_fit(cluster, data, covariance_type, dtype):
    X, y = data[0].astype(dtype), data[1]
    model = MahalanobisClassifier(covariance_type)
    whole = HierarchyBuilder(0.1, class_model=model).fit(X, y)
    lazy_X, lazy_y = da.from_array(X, chunks=(37, 3)), da.from_array(y, chunks=50)
    for labels in (lazy_y, y, lazy_y.rechunk(37)):
        builder = HierarchyBuilder(0.1, class_model=model).fit(lazy_X, labels)
        np.testing.assert_array_equal(builder.levels_, whole.levels_)
        np.testing.assert_allclose(builder.overlap_, whole.overlap_, atol=1e-8)
        np.testing.assert_allclose(
            builder.class_model_.covariances_, whole.class_model_.covariances_, rtol=1e-8, atol=1e-9
        )
        assert builder.n_features_in_ == 5
    np.testing.assert_array_equal(builder.class_model_.predict(X), whole.class_model_.predict(X))


def test_discriminant_classifier(cluster, data):
    X, y = data
    whole = DiscriminantClassifier().fit(X, y)
    blocks = DiscriminantClassifier().fit(da.from_array(X, chunks=(41, 3)), da.from_array(y, chunks=50))
    np.testing.assert_allclose(blocks.predict_proba(X), whole.predict_proba(X), atol=1e-6)
    np.testing.assert_array_equal(blocks.held_out_leaves(X)[2], whole.held_out_leaves(X)[2])
    with pytest.raises(ValueError, match="NaN or infinity"):
        DiscriminantClassifier().fit(da.from_array(np.where(X > 2, np.nan, X)), y)
    with pytest.raises(ValueError, match="one class"):
        DiscriminantClassifier().fit(da.from_array(X), np.zeros(len(X)))


def test_kneighbors(cluster, data):
    X, y = data
    retriever = HierarchicalRetriever().fit(X, y)
    distances, indices = retriever.kneighbors(da.from_array(X, chunks=(100, 5)), 7)
    assert isinstance(distances, da.Array)
    assert distances.chunks[0] == indices.chunks[0] == da.from_array(X, chunks=(100, 5)).chunks[0]
    expected = retriever.kneighbors(X, 7)
    np.testing.assert_allclose(distances.compute(), expected[0], atol=1e-9)
    np.testing.assert_array_equal(indices.compute(), expected[1])
    mask = np.arange(len(X)) % 2 == 0
    only = retriever.kneighbors(da.from_array(X[:10], chunks=4), 3, return_distance=False, within=mask)
    np.testing.assert_array_equal(only.compute(), retriever.kneighbors(X[:10], 3, within=mask)[1])


def test_chunks_of_unknown_length(cluster, data):
    X, y = data
    lazy_X, lazy_y = da.from_array(X, chunks=(90, 5)), da.from_array(y, chunks=90)
    keep = lazy_X[:, 0] > np.median(X[:, 0])
    model = MahalanobisClassifier("tied").fit(lazy_X[keep], lazy_y[keep])
    half = X[:, 0] > np.median(X[:, 0])
    expected = MahalanobisClassifier("tied").fit(X[half], y[half])
    np.testing.assert_allclose(model.means_, expected.means_, atol=1e-9)
    retriever = HierarchicalRetriever().fit(X, y)
    indices = retriever.kneighbors(lazy_X[keep], 3)[1]
    np.testing.assert_array_equal(indices.compute(), retriever.kneighbors(X[half], 3)[1])


def test_bad_input(cluster, data):
    X, y = data
    lazy = da.from_array(X, chunks=(90, 5))
    with pytest.raises(ValueError, match="samples, but"):
        MahalanobisClassifier().fit(lazy, da.from_array(y[:-1], chunks=90))
    with pytest.raises(ValueError, match="NaN or infinity"):
        MahalanobisClassifier().fit(da.where(lazy > 5, np.nan, lazy), y)
    with pytest.raises(ValueError, match="one class"):
        MahalanobisClassifier().fit(lazy, np.zeros(len(X), dtype=int))
    with pytest.raises(ValueError, match="needs all of them in memory"):
        MahalanobisClassifier(temperature="auto").fit(lazy, y)
    with pytest.raises(ValueError, match="expecting 5 features"):
        HierarchicalRetriever().fit(X, y).kneighbors(lazy[:, :3])


def test_queries_that_are_codes(cluster, rng):
    gallery, queries = (rng.integers(0, 256, (n, 4), dtype=np.uint8) for n in (500, 60))
    retriever = HammingRetriever().fit(gallery)
    lazy = retriever.kneighbors(da.from_array(queries, chunks=(25, 4)), 7)
    expected = retriever.kneighbors(queries, 7)
    for found, wanted in zip(lazy, expected, strict=True):
        assert found.dtype == wanted.dtype
        np.testing.assert_array_equal(found.compute(), wanted)


def test_lazy_neighbours_are_those_of_the_gallery_when_asked(rng):
    """Whatever becomes of gallery, parameters and `within` before they are computed."""
    X, y = rng.normal(size=(300, 6)), np.arange(300) % 5
    Q = rng.normal(size=(40, 6))
    retriever = HierarchicalRetriever(alpha=0.5).fit(X, y)
    mask = np.arange(300) < 250
    expected = retriever.kneighbors(Q, 5, within=mask)
    lazy = retriever.kneighbors(da.from_array(Q, chunks=(10, 6)), 5, within=mask)
    retriever.set_params(alpha=8.0, n_neighbors=2, stem=0.1)
    retriever.remove_from_gallery(np.arange(100))
    mask[:] = False
    retriever.fit(X[::-1], y)
    for one, other in zip(lazy, expected, strict=True):
        np.testing.assert_allclose(one.compute(scheduler="sync"), other)
