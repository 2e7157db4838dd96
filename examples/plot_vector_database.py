"""
Vector databases: one index for every alpha
===========================================

The combined distance is an inner product of longer vectors, so that any engine for inner
products returns the neighbours of `HierarchicalRetriever`: FAISS in memory, Milvus as a
service. Alpha is in the query vectors only, so one index serves every alpha.

Run it from anywhere, ``python examples/plot_vector_database.py``. Engines that are not installed
are left out: ``pip install "sklearn-hierret[faiss,milvus]"``.
"""

# %%
# A retriever, and the vectors that rank as it does: fitted to the same samples, both have the same
# hierarchy and class model. The gallery is labelled, and its labels are its leaves.
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from sklearn_hierret import HierarchicalEmbedding, HierarchicalRetriever

X, y = load_digits(return_X_y=True)
X = X.astype(np.float32)  # what the engines compute in
X_gallery, X_query, y_gallery, y_query = train_test_split(X, y, test_size=0.3, random_state=0, stratify=y)
retriever = HierarchicalRetriever().fit(X_gallery, y_gallery)
embedding = HierarchicalEmbedding(weighted="query").fit(X_gallery, y_gallery)
gallery = embedding.transform(X_gallery, y_gallery)
print(f"{X.shape[1]} features become vectors of {gallery.shape[1]} numbers")

# %%
# Each engine is a function from query vectors to inner products and positions.
engines = {}


def by_numpy(queries, k):
    products = queries @ gallery.T
    order = np.argsort(-products, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(products, order, axis=1), order


engines["NumPy, all products"] = by_numpy

if find_spec("faiss"):
    import faiss

    flat = faiss.IndexFlatIP(gallery.shape[1])
    flat.add(gallery)
    graph = faiss.IndexHNSWFlat(gallery.shape[1], 32, faiss.METRIC_INNER_PRODUCT)
    graph.hnsw.efConstruction, graph.hnsw.efSearch = 200, 200
    graph.add(gallery)
    engines["FAISS, flat"] = flat.search
    engines["FAISS, HNSW"] = graph.search

if find_spec("pymilvus") and find_spec("milvus_lite"):
    from pymilvus import DataType, MilvusClient

    folder = tempfile.TemporaryDirectory()
    # The one line that changes for a cluster: MilvusClient("http://its-address:19530").
    client = MilvusClient(str(Path(folder.name) / "gallery.db"))
    schema = client.create_schema()
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=gallery.shape[1])
    index = client.prepare_index_params()
    index.add_index("vector", index_type="FLAT", metric_type="IP")
    client.create_collection("gallery", schema=schema, index_params=index)
    client.insert("gallery", [{"id": i, "vector": v} for i, v in enumerate(gallery)])
    client.load_collection("gallery")

    def by_milvus(queries, k):
        found = client.search("gallery", data=list(queries), limit=k, anns_field="vector")
        pairs = [[(hit["distance"], hit["id"]) for hit in hits] for hits in found]
        products, ids = np.array(pairs).transpose(2, 0, 1)
        return products, ids.astype(int)

    engines["Milvus, flat"] = by_milvus

# %%
# The same neighbours for every alpha, and the same distances: ``1 + alpha - inner product``. What
# differs is the order of neighbours that single precision cannot tell apart, and what a graph misses.
rows = []
for alpha in (0.0, 1.0, 16.0):
    retriever.set_params(alpha=alpha)
    queries = embedding.transform_query(X_query, alpha)
    distances, indices = retriever.kneighbors(X_query, 10)
    for name, engine in engines.items():
        start = time.perf_counter()
        products, found = engine(queries, 10)
        seconds = time.perf_counter() - start
        same = [len(set(a) & set(b)) / 10 for a, b in zip(indices.tolist(), found.tolist(), strict=True)]
        error = np.abs(np.sort(1 + alpha - products, axis=1) - distances).max() / (1 + alpha)
        rows.append([alpha, name, np.mean(same), error, 1e3 * seconds])
columns = ["alpha", "engine", "same neighbours", "largest error / (1 + alpha)", "milliseconds"]
table = pd.DataFrame(rows, columns=columns)
print(table.to_string(index=False, float_format=lambda x: f"{x:.3g}"))

# %%
# One query at three alphas, from one index: cosine alone mistakes the digit.
wrong = y_gallery[by_numpy(embedding.transform_query(X_query, 0.0), 1)[1][:, 0]] != y_query
query = int(np.flatnonzero(wrong)[0])
name, engine = list(engines.items())[-1]
figure = Figure(figsize=(9, 3.6), layout="constrained")
axes = figure.subplots(3, 11)
for row, alpha in zip(axes, (0.0, 1.0, 16.0), strict=True):
    found = engine(embedding.transform_query(X_query[query : query + 1], alpha), 10)[1][0]
    images = [X_query[query], *X_gallery[found]]
    labels = [y_query[query], *y_gallery[found]]
    for ax, image, label in zip(row, images, labels, strict=True):
        ax.imshow(image.reshape(8, 8), cmap="gray_r")
        ax.set(xticks=[], yticks=[])
        is_right = label == y_query[query]
        ax.set_title(str(label), color="tab:blue" if is_right else "tab:orange", fontsize=10)
        for spine in ax.spines.values():
            spine.set(color="tab:blue" if is_right else "tab:orange", linewidth=1.5)
    for spine in row[0].spines.values():
        spine.set(color="black", linewidth=2)
    row[0].set_title(f"query: {y_query[query]}", color="black", fontsize=10)
    row[0].set_ylabel(f"alpha {alpha:g}", rotation=0, ha="right", va="center")
figure.suptitle(f"Ten neighbours from one index ({name})")

if find_spec("pymilvus") and find_spec("milvus_lite"):
    client.close()
    folder.cleanup()

# %%
# Save the picture where this file is.
if "__file__" in globals():
    path = Path(__file__).resolve().parent / "vector_database.png"
    figure.savefig(path, dpi=120)
    print(f"saved {path}")
