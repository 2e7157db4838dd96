"""Images as arrays or files, and what may happen to them."""

from sklearn_hierret.images._corruption import ImageCorruption
from sklearn_hierret.images._source import ImageSource

__all__ = ["ImageCorruption", "ImageSource"]
