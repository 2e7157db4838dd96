"""Data that come with the package."""

from sklearn_hierret.datasets._cifar100 import load_cifar100_taxonomy

__all__ = ["load_cifar100_taxonomy"]
