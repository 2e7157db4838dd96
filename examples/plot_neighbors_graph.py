"""
A map of a gallery
==================

t-SNE, UMAP and clusterings take a sparse graph of neighbours instead of features.
`HierarchicalNeighborsTransformer` gives one by the combined distance, so that a map shows what a
retriever takes to be near. On the left, the map by cosine alone.
"""

from pathlib import Path

from matplotlib.figure import Figure
from sklearn.cluster import HDBSCAN
from sklearn.datasets import load_digits
from sklearn.manifold import TSNE
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline

from sklearn_hierret import HierarchicalNeighborsTransformer, HierarchicalRetriever

# %%
# Digits as the pixels are. The leaves of training samples are cross-fitted: no sample's own label has
# a part in its place on the map. With a perplexity of 30, t-SNE wants 91 neighbours.
X, y = load_digits(return_X_y=True)
X, X_test, y, y_test = train_test_split(X, y, random_state=0, stratify=y)
retrievers = {
    "cosine": HierarchicalRetriever(metric="cosine", alpha=0),
    "combined distance": HierarchicalRetriever(),
}
figure = Figure(figsize=(10, 5), layout="constrained")
for ax, (name, retriever) in zip(figure.subplots(1, 2), retrievers.items(), strict=True):
    graph = HierarchicalNeighborsTransformer(retriever, n_neighbors=91).fit_transform(X, y)
    places = TSNE(metric="precomputed", init="random", random_state=0).fit_transform(graph)
    clusters = HDBSCAN(20, copy=True).fit_predict(places)
    ax.scatter(*places.T, c=y, cmap="tab10", s=6)
    ax.set(title=f"{name}: adjusted Rand index of its clusters {adjusted_rand_score(y, clusters):.2f}")
    ax.set(xticks=[], yticks=[])

# %%
# The same graph in front of a classifier: scikit-learn's neighbours by the combined distance.
for name, retriever in retrievers.items():
    pipe = make_pipeline(
        HierarchicalNeighborsTransformer(retriever, n_neighbors=10),
        KNeighborsClassifier(10, metric="precomputed"),
    )
    print(f"{name}: accuracy {pipe.fit(X, y).score(X_test, y_test):.3f}")

# %%
if "__file__" in globals():
    folder = Path(__file__).resolve().parent
    figure.savefig(folder / "neighbors_graph.png", dpi=110)
    print(f"saved {folder / 'neighbors_graph.png'}")
