"""The package's layers: which may import which, declared once; `python docs/layers.py` draws them.

``tests/test_layering.py`` compares the declaration with the imports, and the page with the declaration.
"""

import random
from pathlib import Path

import networkx as nx
import numpy as np

DOCS = Path(__file__).parent
BEGIN, END = "<!-- layers: made by docs/layers.py -->\n", "<!-- end of layers -->\n"

#: Layer -> what it holds, and all that it may import (besides the foundations of its own kind).
LAYERS: dict[str, tuple[str, str]] = {
    "_groups": ("groups of samples that are not to find each other", "_arrays"),
    "_sklearn": ("scikit-learn's private names that the package uses", ""),
    "_state": ("versioned states of estimators: arrays and plain values", ""),
    "_frames": ("tables of pandas, polars and Arrow: one way in, one way out", ""),
    "_arrays": ("checks of arrays and labels, chunks that fit into memory", "_frames _sklearn"),
    "_blocks": ("arrays block by block on Dask's workers", "_arrays"),
    "_files": ("files that are written whole or not at all", ""),
    "_threads": ("batches on several threads, with one thread of BLAS in each", ""),
    "_names": ("names that people would take for the same", ""),
    "_training": (
        "`TrainingSet`, and the bases of what is fitted to one",
        "_arrays _frames _names _sklearn _state",
    ),
    "_trusted": ("names of the types that skops may load", ""),
    "images": ("arrays and files of images, corruptions", "_arrays _frames _sklearn"),
    "hierarchy": (
        "`ClassHierarchy`, `CombinedHierarchy`, `ClassGraph`, and what reads and writes them",
        "_files _frames _names",
    ),
    "leaves": ("sparse leaves as arrays, expected distances of leaves", "hierarchy"),
    "datasets": (
        "loaders, generated features, taxonomies that come with the package",
        "_files _frames hierarchy images",
    ),
    "statistics": (
        "folds by hash of the row or the group, covariances without a fold or a group of classes; "
        "the one lifecycle of streams",
        "_arrays _blocks _frames _sklearn _state _training",
    ),
    "class_models": (
        "the contract of a class model, and the adapter for any classifier",
        "_arrays _state _training leaves statistics",
    ),
    "distance": (
        "the visual distance: cosine, `WithinClassWhitening`, and the choice between them",
        "_arrays _sklearn _state statistics",
    ),
    "gaussian": (
        "class statistics -> covariances -> links and overlaps; `MahalanobisClassifier`",
        "_arrays _sklearn _state _threads _training statistics",
    ),
    "discriminant": (
        "statistics -> discriminant space -> linear part, votes, P(known); `DiscriminantClassifier`",
        "_arrays _sklearn _state _training class_models leaves statistics",
    ),
    "building": (
        "features and labels -> tree: the hierarchy builders",
        "_frames _arrays _blocks _sklearn _state _training gaussian hierarchy",
    ),
    "new_classes": (
        "evidence of new classes, prototypes of labelled ones, clusters of others",
        "_arrays _state _training class_models discriminant distance hierarchy leaves statistics",
    ),
    "search": (
        "rows of features or codes -> `Index`; `LeafDistance`; `search`: arrays in, arrays out",
        "_arrays _sklearn _state _threads distance leaves",
    ),
    "hashing": ("`PCAHasher`, `ITQHasher`: features -> packed codes", "_arrays _sklearn"),
    "metrics": (
        "judged rankings -> a curve over k for each metric: arrays in, values out",
        "_arrays hierarchy",
    ),
    "retrieval": (
        "`LeafModel`, alpha and metric -> `Gallery` -> `Searcher`; the retrievers, which hold one",
        "_arrays _blocks _groups _sklearn _state _threads _training building class_models discriminant "
        "distance _frames hashing hierarchy leaves metrics new_classes search statistics",
    ),
    "embedding": (
        "`class_embedding`, `HierarchicalEmbedding`, `OASIS`",
        "_arrays _sklearn _training hierarchy leaves retrieval",
    ),
    "evaluation": (
        "estimator -> search -> ranked labels -> metrics by name",
        "_frames _arrays _groups _sklearn _state metrics",
    ),
    "model_selection": (
        "`HierarchicalRetrieverCV`: one class model a fold, every alpha, stem and weight scored",
        "_arrays _sklearn _state _training building distance evaluation hierarchy metrics retrieval",
    ),
    "interaction": (
        "`RetrievalSession` and methods of feedback, words, query sets, facets, simulated users",
        "_frames _arrays _sklearn _state building evaluation hierarchy leaves metrics retrieval statistics",
    ),
    "reranking": (
        "steps that rank again what a retriever found",
        "_arrays _sklearn _state _training retrieval",
    ),
    "descriptors": (
        "local descriptors, vocabularies, maps of networks -> vectors; spatial verification",
        "_arrays _sklearn _state images reranking",
    ),
    "explorer": (
        "`explore`: one self-contained page",
        "_arrays _files evaluation hierarchy images inspection interaction retrieval",
    ),
    "inspection": (
        "labels that are wrong, samples that are double or new, classes that are one or two",
        "_arrays _frames _sklearn _state discriminant evaluation hierarchy leaves retrieval",
    ),
    "display": ("what matplotlib draws", "_frames _arrays evaluation hierarchy interaction"),
    "nn": (
        "images -> network -> features or codes (torch, skorch)",
        "_arrays _sklearn embedding hashing hierarchy images metrics",
    ),
    "study": (
        "data -> features -> every method -> tables and figures: `python -m sklearn_hierret.study`",
        "_files building datasets discriminant embedding evaluation gaussian hierarchy images nn retrieval",
    ),
}


def allowed() -> nx.DiGraph:
    """Edges from each layer to those that it may import."""
    edges = [(name, other) for name, (_, others) in LAYERS.items() for other in others.split()]
    graph = nx.DiGraph(edges)
    graph.add_nodes_from(LAYERS)
    return graph


def table() -> str:
    """The declaration as a Markdown table, from the top down."""
    rows = [
        f"| `{name}` | {what} | {', '.join(f'`{other}`' for other in others.split())} |"
        for name, (what, others) in reversed(LAYERS.items())
    ]
    return "\n".join(["| layer | holds | imports |", "| --- | --- | --- |", *rows, ""])


def page() -> str:
    """The design page with this table in it."""
    before, _, rest = (DOCS / "design.md").read_text(encoding="utf-8").partition(BEGIN)
    return f"{before}{BEGIN}\n{table()}\n{END}{rest.partition(END)[2]}"


def draw(path: Path) -> None:
    """Draw the packages, each above all that it imports, without the edges that follow from others."""
    from matplotlib.figure import Figure

    graph = allowed()
    graph.remove_nodes_from([name for name in LAYERS if name.startswith("_")])
    rank = {}
    for name in reversed(list(nx.topological_sort(graph))):
        rank[name] = max((rank[other] + 1 for other in graph[name]), default=0)
    rows = [sorted(name for name in rank if rank[name] == r) for r in range(max(rank.values()) + 1)]
    edges = list(nx.transitive_reduction(graph).edges)
    draws, best = random.Random(0), np.inf
    for _ in range(60_000):
        drawn = [(draws.sample(row, len(row)), draws.choice((-0.7, -0.35, 0.0, 0.35, 0.7))) for row in rows]
        if (clutter := _clutter(drawn, edges)) < best:
            best, place = clutter, _places(drawn)
    figure = Figure(figsize=(8, 6.5))
    ax = figure.add_axes((0, 0, 1, 1))
    for name, other in edges:
        ax.annotate(
            "",
            place[other],
            place[name],
            arrowprops={"arrowstyle": "->", "color": "0.6", "shrinkA": 14, "shrinkB": 14},
        )
    for name, (x, height) in place.items():
        box = {"boxstyle": "round,pad=0.5", "facecolor": "#e8eef6", "edgecolor": "#456"}
        ax.text(x, height, name, ha="center", va="center", fontsize=10, bbox=box)
    xs = [x for x, _ in place.values()]
    ax.set(xlim=(min(xs) - 0.6, max(xs) + 0.6), ylim=(-0.5, len(rows) - 0.5))
    ax.axis("off")
    figure.savefig(path, metadata={"Date": None})


def _places(rows: list[tuple[list[str], float]]) -> dict[str, tuple[float, float]]:
    """Rows, centred and then moved aside."""
    return {
        name: (i - (len(row) - 1) / 2 + aside, float(r))
        for r, (row, aside) in enumerate(rows)
        for i, name in enumerate(row)
    }


def _clutter(rows: list[tuple[list[str], float]], edges: list) -> float:
    """Length of all arrows, and much more for each that passes through a box."""
    place = _places(rows)
    total = 0.0
    for name, other in edges:
        (x, top), (end, bottom) = place[name], place[other]
        total += abs(x - end)
        for at, height in place.values():
            if bottom < height < top:
                crossing = end + (x - end) * (height - bottom) / (top - bottom)
                total += 20 * (abs(crossing - at) < 0.45)
    return total


if __name__ == "__main__":
    (DOCS / "design.md").write_text(page(), encoding="utf-8")
    draw(DOCS / "images" / "layers.svg")
