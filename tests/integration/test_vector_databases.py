"""Vector databases return the retriever's neighbours. Needs the extra "integration"."""

import runpy
import sys
from pathlib import Path

import faiss
import numpy as np
import pytest
from pymilvus import DataType, MilvusClient

from sklearn_hierret import HierarchicalEmbedding, HierarchicalRetriever, HierarchyBuilder
from tests.strategies import blobs

EXAMPLE = Path(__file__).parents[2] / "examples" / "plot_vector_database.py"


@pytest.fixture(scope="module", params=["hard", "soft"])
def problem(request):
    X, y = blobs(np.random.default_rng(0), n_classes=8, n_features=10, n_per_class=(100, 200), spread=1.0)
    X = X.astype(np.float32)
    params = {"hierarchy": HierarchyBuilder(0.1), "assignment": request.param}
    embedding = HierarchicalEmbedding(weighted="query", **params).fit(X, y)
    # Copies of gallery rows have no place in vectors: queries are a little off.
    return HierarchicalRetriever(**params).fit(X, y), embedding, X, y, X + np.float32(0.01)


def faiss_index(vectors, kind):
    n = vectors.shape[1]
    if kind == "HNSW":
        index = faiss.IndexHNSWFlat(n, 32, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = index.hnsw.efSearch = 400
    else:
        index = faiss.IndexFlatIP(n) if kind == "inner product" else faiss.IndexFlatL2(n)
    index.add(vectors)
    return index


@pytest.mark.parametrize("alpha", [0.0, 1.0, 16.0])
@pytest.mark.parametrize("kind", ["inner product", "L2", "HNSW"])
def test_faiss(problem, alpha, kind):
    retriever, embedding, X, y, Q = problem
    if kind == "L2" and retriever.assignment == "soft":
        kind = "inner product"  # lengths differ: Euclidean distances rank otherwise
    distances, indices = retriever.set_params(alpha=alpha).kneighbors(Q[:200], 10)
    queries = embedding.transform_query(Q[:200], alpha)
    values, found = faiss_index(embedding.transform(X, y), kind).search(queries, 10)
    if kind == "L2":
        ours = 1 + alpha - ((queries**2).sum(axis=1)[:, None] + 2 - values) / 2
    else:
        ours = 1 + alpha - values
    same = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(indices, found, strict=True)])
    assert same > (0.99 if kind == "HNSW" else 0.995)  # rounding exchanges some of the last
    if kind != "HNSW":
        np.testing.assert_allclose(ours, distances, atol=2e-6 * (1 + alpha) ** 2)


@pytest.mark.parametrize("alpha", [0.0, 1.0, 16.0])
def test_milvus(problem, alpha, tmp_path):
    retriever, embedding, X, y, Q = problem
    distances, indices = retriever.set_params(alpha=alpha).kneighbors(Q[:50], 10)
    client = MilvusClient(str(tmp_path / "gallery.db"))
    try:
        schema = client.create_schema()
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=embedding.transform(X[:1]).shape[1])
        index = client.prepare_index_params()
        index.add_index("vector", index_type="FLAT", metric_type="IP")
        client.create_collection("gallery", schema=schema, index_params=index)
        client.insert("gallery", [{"id": i, "vector": v} for i, v in enumerate(embedding.transform(X, y))])
        client.load_collection("gallery")
        queries = embedding.transform_query(Q[:50], alpha)
        found = client.search("gallery", data=list(queries), limit=10, anns_field="vector")
    finally:
        client.close()
    same = [len(set(a) & {h["id"] for h in hits}) / 10 for a, hits in zip(indices, found, strict=True)]
    assert np.mean(same) > 0.99
    products = np.array([[h["distance"] for h in hits] for hits in found])
    np.testing.assert_allclose(1 + alpha - products, distances, atol=2e-6 * (1 + alpha) ** 2)


def test_the_example_finds_all_engines(capsys, tmp_path, monkeypatch):
    copy = tmp_path / EXAMPLE.name
    copy.write_text(EXAMPLE.read_text())
    monkeypatch.setattr(sys, "argv", [str(copy)])
    runpy.run_path(str(copy), run_name="__main__")
    printed = capsys.readouterr().out
    for engine in ("FAISS, flat", "FAISS, HNSW", "Milvus, flat"):
        assert engine in printed
    assert (tmp_path / "vector_database.png").exists()
