"""Images as arrays or files, and what may happen to them."""

from sklearn_hierret.images._corruption import ImageCorruption
from sklearn_hierret.images._list import ImageList as ImageList
from sklearn_hierret.images._list import digest_of as digest_of
from sklearn_hierret.images._list import with_channels as with_channels
from sklearn_hierret.images._reading import EXTENSIONS as EXTENSIONS
from sklearn_hierret.images._reading import image_files as image_files
from sklearn_hierret.images._regions import regions as regions
from sklearn_hierret.images._source import ImageSource

__all__ = ["ImageCorruption", "ImageSource"]
