"""The taxonomy of CIFAR-100's classes."""

from __future__ import annotations

from importlib.resources import as_file, files

from sklearn_hierret.hierarchy import ClassHierarchy


def load_cifar100_taxonomy(labels: str = "name") -> ClassHierarchy:
    """The tree over CIFAR-100's 100 classes that barz2019 made, mainly from WordNet [1]_.

    Its inner nodes have numbers for names. Data and licence (MIT) are in the package's folder
    ``datasets/data``.

    Parameters
    ----------
    labels : {"name", "index"}, default="name"
        What the classes are called: ``"aquarium_fish"``, or ``1`` as in CIFAR-100's files.

    Returns
    -------
    hierarchy : ClassHierarchy

    References
    ----------
    .. [1] B. Barz, J. Denzler, "Hierarchy-based Image Embeddings for Semantic Image
       Retrieval", WACV 2019, appendix E.

    Examples
    --------
    >>> from sklearn_hierret.datasets import load_cifar100_taxonomy
    >>> tree = load_cifar100_taxonomy()
    >>> tree
    <ClassHierarchy: 100 classes, 163 nodes, height 8>
    >>> tree.distance("apple", ["pear", "bicycle"])
    array([0.125, 1.   ])
    """
    if labels not in ("name", "index"):
        raise ValueError(f"labels must be 'name' or 'index', got {labels!r}.")
    folder = files("sklearn_hierret.datasets") / "data"
    with (
        as_file(folder / "cifar100.parent-child.txt") as edges,
        as_file(folder / "cifar100.class_names.txt") as names,
    ):
        tree = ClassHierarchy.from_parent_child(edges, names=names)
    if labels == "index":
        return tree
    return tree.relabel(dict(zip(tree.classes.tolist(), tree.node_names, strict=False)))
