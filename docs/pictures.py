"""Draw the pictures of the README and of "The idea in five minutes": python docs/pictures.py."""

from pathlib import Path

import matplotlib as mpl

mpl.use("agg")
import numpy as np
from matplotlib import pyplot as plt
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from sklearn_hierret import HierarchicalRetriever, HierarchyDisplay

BLUE, ORANGE, GREY = "#0072b2", "#e69f00", "0.6"


IMAGES = Path(__file__).parent / "images"


def show(axes: plt.Axes, image: np.ndarray, title: str, colour: str = "0.7") -> None:
    axes.imshow(image.reshape(8, 8), cmap="gray_r")
    axes.set(xticks=[], yticks=[])
    axes.set_title(title, fontsize=10, color="black" if colour == "0.7" else colour)
    for side in axes.spines.values():
        side.set(color=colour, linewidth=1 if colour == "0.7" else 3)


def mistakes() -> None:
    """Draw the test digits whose first results by cosine are worst, and the first results here."""
    X, y = load_digits(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    models = [HierarchicalRetriever(metric="cosine", alpha=0), HierarchicalRetriever()]
    found = [model.fit(X_train, y_train).kneighbors(X_test, 10, return_distance=False) for model in models]
    wrong = [(y_train[indices] != y_test[:, None]).sum(axis=1) for indices in found]
    print("wrong results among the first ten:", [int(count.sum()) for count in wrong], "of", found[0].size)
    queries = np.argsort(-wrong[0], kind="stable")[:4]
    figure, axes = plt.subplots(4, 13, figsize=(10, 4), width_ratios=[1, 0.3, *[1] * 5, 0.3, *[1] * 5])
    figure.subplots_adjust(0.01, 0.01, 0.99, 0.86, 0.08, 0.35)
    for row, query in zip(axes, queries, strict=True):
        row[1].axis("off")
        row[7].axis("off")
        show(row[0], X_test[query], f"{y_test[query]}")
        for places, indices in zip((row[2:7], row[8:]), found, strict=True):
            for place, near in zip(places, indices[query], strict=False):
                is_right = y_train[near] == y_test[query]
                show(place, X_train[near], f"{y_train[near]}", BLUE if is_right else ORANGE)
    for place, title in zip(axes[0, [0, 4, 10]], ("query", "cosine", "sklearn_hierret"), strict=True):
        place.annotate(title, (0.5, 1.45), xycoords="axes fraction", ha="center", fontsize=12)
    figure.savefig(IMAGES / "digits_neighbours.png", dpi=110)


def idea() -> None:
    """Draw the tree, two candidates, and the parts of their distances."""
    X, y = load_digits(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    retriever = HierarchicalRetriever().fit(X_train, y_train)
    cosine = HierarchicalRetriever(metric="cosine", alpha=0).fit(X_train, y_train)
    wrong = y_train[cosine.kneighbors(X_test, 1)[1][:, 0]] != y_test
    query = int(np.flatnonzero(wrong & (y_train[retriever.kneighbors(X_test, 1)[1][:, 0]] == y_test))[0])
    nearest = cosine.kneighbors(X_test[[query]], 1)[1][0, 0]
    whole = retriever.retrieve(X_test[[query]], len(X_train))
    chosen = [int(whole["id"].iloc[0]), int(nearest)]
    rows = whole.set_index("id").loc[chosen]

    figure, axes = plt.subplot_mosaic(
        [["tree", "query", "bars"], ["tree", "one", "bars"], ["tree", "two", "bars"]],
        figsize=(10, 3.9),
        width_ratios=[1.6, 0.55, 1.6],
        layout="constrained",
    )
    HierarchyDisplay.from_estimator(retriever, ax=axes["tree"])
    axes["tree"].set_title("The tree that fit learned", fontsize=11)
    titles = ["the query", "first here", "first by cosine"]
    for name, title, image in zip(
        ("query", "one", "two"), titles, [X_test[query], *X_train[chosen]], strict=True
    ):
        show(axes[name], image, title)
    alpha = rows["distance"].sub(rows["visual_distance"]).div(rows["hierarchical_distance"]).median()
    visual, hierarchical = (
        rows["visual_distance"].to_numpy(),
        alpha * rows["hierarchical_distance"].to_numpy(),
    )
    axes["bars"].barh([1, 0], visual, color=GREY, label="visual distance")
    axes["bars"].barh([1, 0], hierarchical, left=visual, color=BLUE, label="alpha x hierarchical distance")
    names = [f"{title}: a {label}" for title, label in zip(titles[1:], rows["label"], strict=True)]
    axes["bars"].set_yticks([1, 0], names)
    axes["bars"].set_xlabel("D")
    axes["bars"].set_title(f"Two candidates for a query of class {y_test[query]}", fontsize=11)
    axes["bars"].set_ylim(-0.6, 2.1)
    axes["bars"].legend(loc="upper right", frameon=False, fontsize=9)
    axes["bars"].spines[["top", "right"]].set_visible(False)
    figure.savefig(IMAGES / "idea.png", dpi=150)


if __name__ == "__main__":
    mistakes()
    idea()
