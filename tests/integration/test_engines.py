"""Engines that hold a retriever's vectors return its pages and its filtered results, in its order.

Needs the extra "integration". Rounding may exchange neighbours at nearly equal distances, and copies of a
query are no exception for engines, so queries are a little off.
"""

import warnings

import faiss
import numpy as np
import pandas as pd
import pytest
from pymilvus import DataType, MilvusClient

from sklearn_hierret import HierarchicalEmbedding, HierarchicalRetriever
from tests.strategies import blobs

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of the packages around the client
    from qdrant_client import QdrantClient, models

pytestmark = pytest.mark.filterwarnings("ignore")
K = 10


class Faiss:
    def __init__(self, vectors, prices, folder):
        self.index, self.prices = faiss.IndexFlatIP(vectors.shape[1]), prices
        self.index.add(np.ascontiguousarray(vectors))

    def search(self, queries, k, offset=0, below=None):
        params = None
        if below is not None:
            params = faiss.SearchParameters(sel=faiss.IDSelectorBatch(np.flatnonzero(self.prices < below)))
        products, found = self.index.search(np.ascontiguousarray(queries), k + offset, params=params)
        return products[:, offset:], found[:, offset:]


class Qdrant:
    def __init__(self, vectors, prices, folder):
        self.client = QdrantClient(":memory:")
        size = models.VectorParams(size=vectors.shape[1], distance=models.Distance.DOT)
        self.client.create_collection("gallery", vectors_config=size)
        points = [
            models.PointStruct(id=i, vector=vector.tolist(), payload={"price": int(price)})
            for i, (vector, price) in enumerate(zip(vectors, prices, strict=True))
        ]
        self.client.upsert("gallery", points)

    def search(self, queries, k, offset=0, below=None):
        chosen = None
        if below is not None:
            chosen = models.Filter(must=[models.FieldCondition(key="price", range=models.Range(lt=below))])
        found = [
            self.client.query_points(
                "gallery", query=query.tolist(), limit=k, offset=offset, query_filter=chosen
            ).points
            for query in queries
        ]
        return (
            np.array([[point.score for point in points] for points in found]),
            np.array([[point.id for point in points] for points in found]),
        )


class Milvus:
    def __init__(self, vectors, prices, folder):
        self.client = MilvusClient(str(folder / "gallery.db"))
        schema = self.client.create_schema()
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("price", DataType.INT64)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=vectors.shape[1])
        index = self.client.prepare_index_params()
        index.add_index("vector", index_type="FLAT", metric_type="IP")
        self.client.create_collection("gallery", schema=schema, index_params=index)
        rows = [
            {"id": i, "price": int(price), "vector": vector}
            for i, (vector, price) in enumerate(zip(vectors, prices, strict=True))
        ]
        self.client.insert("gallery", rows)
        self.client.load_collection("gallery")

    def search(self, queries, k, offset=0, below=None):
        found = self.client.search(
            "gallery",
            data=list(queries),
            limit=k,
            anns_field="vector",
            filter="" if below is None else f"price < {below}",
            search_params={"offset": offset},
        )
        return (
            np.array([[hit["distance"] for hit in hits] for hits in found]),
            np.array([[hit["id"] for hit in hits] for hits in found]),
        )


def retriever_of(kind, metric):
    X, y = blobs(np.random.default_rng(0), n_classes=8, n_features=10, n_per_class=(80, 100), spread=1.0)
    X = X.astype(np.float32)
    retriever = HierarchicalRetriever(
        metric=metric, assignment="hard" if kind == "hard" else "soft", alpha="auto"
    ).fit(X[::2], y[::2])
    table = pd.DataFrame({"price": np.random.default_rng(1).integers(0, 100, len(X) // 2)})
    labels = y[1::2] if kind == "labelled" else None
    return retriever.set_gallery(X[1::2], labels, metadata=table), X[:40] + np.float32(0.01)


def same_order(found, products, distances, indices, alpha):
    """Tell whether two rankings agree, but for neighbours at equal distances."""
    np.testing.assert_allclose(1 + alpha - products, distances, atol=5e-6 * (1 + alpha) ** 2)
    swapped = found != indices
    assert swapped.mean() < 0.02
    tolerance = 1e-5 * (1 + alpha) ** 2
    for row, column in zip(*np.nonzero(swapped), strict=True):
        gaps = np.abs(np.diff(distances[row]))
        assert gaps[max(0, column - 1) : column + 1].min(initial=0) < tolerance


@pytest.mark.parametrize("metric", ["cosine", "whitened"])
@pytest.mark.parametrize("kind", ["hard", "soft", "labelled"])
@pytest.mark.parametrize("engine", [Faiss, Qdrant, Milvus])
def test_pages_and_filters(engine, kind, metric, tmp_path):
    retriever, Q = retriever_of(kind, metric)
    embedding = HierarchicalEmbedding.from_retriever(retriever)
    vectors = np.asarray(embedding.transform_gallery(), dtype=np.float32)
    queries = np.asarray(embedding.transform_query(Q), dtype=np.float32)
    prices = retriever.searcher().gallery.columns(["price"])["price"]
    other = engine(vectors, prices, tmp_path)
    alpha = (
        vectors[0] @ queries[0]
        + retriever.kneighbors(Q[:1], len(vectors))[0][0][
            np.flatnonzero(retriever.kneighbors(Q[:1], len(vectors))[1][0] == 0)[0]
        ]
    ) - 1  # D = 1 + alpha - product, whatever weight the gallery chose
    for offset, below in ((0, None), (K, None), (0, 30), (K, 30)):
        where = None if below is None else f"price < {below}"
        distances, indices = retriever.kneighbors(Q, K, offset=offset, where=where)
        products, found = other.search(queries, K, offset, below)
        same_order(found, products, distances, indices, float(alpha))
