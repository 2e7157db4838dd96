"""A page to look at: the tree, the images, and what searches find."""

from sklearn_hierret.explorer._explore import Explorer, explore

__all__ = ["Explorer", "explore"]
