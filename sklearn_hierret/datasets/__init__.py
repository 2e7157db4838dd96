"""Data sets: included in the package, downloaded, your own, or generated."""

from sklearn_hierret.datasets._birds import fetch_cub200, load_nabirds
from sklearn_hierret.datasets._cifar100 import fetch_cifar100, load_cifar100_taxonomy
from sklearn_hierret.datasets._generated import make_hierarchical_blobs
from sklearn_hierret.datasets._own import load_image_folder, load_image_table

__all__ = [
    "fetch_cifar100",
    "fetch_cub200",
    "load_cifar100_taxonomy",
    "load_image_folder",
    "load_image_table",
    "load_nabirds",
    "make_hierarchical_blobs",
]
