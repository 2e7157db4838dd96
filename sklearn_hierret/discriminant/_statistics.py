"""Nothing: files of version 0.2 name classes that were here, and are told how to be converted."""

from sklearn_hierret._state import refuse_old_file

__getattr__ = refuse_old_file
