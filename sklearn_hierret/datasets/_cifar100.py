"""CIFAR-100: its images, and the taxonomy of its classes."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import Bunch

from sklearn_hierret.datasets._files import check_subset, fetched_folder, require
from sklearn_hierret.hierarchy import ClassHierarchy

_URL = "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz"
_MD5 = "03b5dce01913d631647c71ecec9e9cb8"
_RECORD = 2 + 3 * 32 * 32


def load_cifar100_taxonomy(labels: str = "name") -> ClassHierarchy:
    """Load the tree over CIFAR-100's 100 classes that barz2019 made, mainly from WordNet [1]_.

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


def fetch_cifar100(
    *,
    subset: str = "train",
    data_home: Any = None,
    download_if_missing: bool = True,
    return_X_y: bool = False,
    verbose: bool = True,
) -> Any:
    """CIFAR-100: 60,000 images of 32 x 32 pixels in 100 classes [1]_.

    The binary distribution is read; the one for Python is a pickle, which could run anything.

    Parameters
    ----------
    subset : {"train", "test", "all"}, default="train"
        50,000 images, 10,000, or both.
    data_home : path, optional
        Default: scikit-learn's data home. The folder ``cifar-100-binary`` is looked for there.
    download_if_missing : bool, default=True
        Otherwise an OSError is raised if the files are not there.
    return_X_y : bool, default=False
        Only images and labels.
    verbose : bool, default=True
        Print how far a download is.

    Returns
    -------
    data : Bunch
        images (n, 32, 32, 3), uint8; target (n,), 0 ... 99; target_names; coarse_target and
        coarse_target_names, 20 of them; hierarchy, the taxonomy over 0 ... 99; DESCR.

    Raises
    ------
    OSError
        If files are missing, damaged or can't be fetched.

    References
    ----------
    .. [1] A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.

    Examples
    --------
    >>> from sklearn_hierret.datasets import fetch_cifar100
    >>> data = fetch_cifar100(subset="test")  # doctest: +SKIP
    >>> data.images.shape  # doctest: +SKIP
    (10000, 32, 32, 3)
    """
    check_subset(subset)
    folder = fetched_folder(
        data_home,
        "cifar-100-binary",
        _URL,
        _MD5,
        download_if_missing=download_if_missing,
        verbose=verbose,
    )
    parts = [_read(folder / f"{name}.bin") for name in ("train", "test") if subset in (name, "all")]
    coarse, fine, images = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    if return_X_y:
        return images, fine
    return Bunch(
        images=images,
        target=fine,
        target_names=_names(folder / "fine_label_names.txt", 100),
        coarse_target=coarse,
        coarse_target_names=_names(folder / "coarse_label_names.txt", 20),
        hierarchy=load_cifar100_taxonomy("index"),
        DESCR="CIFAR-100 (A. Krizhevsky, 2009), binary distribution, with the taxonomy of barz2019.",
    )


def _read(path: Path) -> tuple[NDArray, NDArray, NDArray[np.uint8]]:
    """Coarse and fine labels and images: a byte, a byte, three planes of 1,024 bytes."""
    raw = np.fromfile(require(path, "CIFAR-100's binary distribution"), dtype=np.uint8)
    if not len(raw) or len(raw) % _RECORD:
        raise OSError(f"{path}: {len(raw)} bytes are no whole number of records: the file is damaged.")
    records = raw.reshape(-1, _RECORD)
    coarse, fine = records[:, 0].astype(np.intp), records[:, 1].astype(np.intp)
    if coarse.max() >= 20 or fine.max() >= 100:
        raise OSError(f"{path}: labels beyond 20 or 100: the file is damaged.")
    images = records[:, 2:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return coarse, fine, np.ascontiguousarray(images)


def _names(path: Path, n_classes: int) -> list[str]:
    names = require(path, "CIFAR-100's binary distribution").read_text(encoding="utf-8").split()
    if len(names) != n_classes:
        raise OSError(f"{path}: {len(names)} names instead of {n_classes}: the file is damaged.")
    return names
