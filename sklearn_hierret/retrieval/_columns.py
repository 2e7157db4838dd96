"""Arrays that grow."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sklearn_hierret._state import value


@value("column")
@dataclass(frozen=True)
class Column:
    """An array that grows: in parts of falling size, so that adding a little is cheap."""

    parts: tuple[NDArray, ...]

    def appended(self, values: NDArray) -> Column:
        """Add values at the end."""
        kept, new = list(self.parts), [values]
        if {values.dtype.kind, kept[0].dtype.kind} & {"i", "u"} and values.dtype.kind != kept[0].dtype.kind:
            kept, new = ([part.astype(object) for part in parts] for parts in (kept, new))  # not rounded
        while kept and len(kept[-1]) <= sum(map(len, new)):
            new.insert(0, kept.pop())
        return Column((*kept, np.concatenate(new)))

    @cached_property
    def array(self) -> NDArray:
        """All values."""
        return self.parts[0] if len(self.parts) == 1 else np.concatenate(self.parts)

    def find(self, values: NDArray) -> NDArray[np.intp]:
        """Return the place of each value, or -1."""
        places = np.full(len(values), -1, dtype=np.intp)
        start = 0
        for part, lookup in zip(self.parts, self._lookups, strict=True):
            place = lookup.get_indexer(values)
            places = np.where(place >= 0, place + start, places)
            start += len(part)
        return places

    @cached_property
    def _lookups(self) -> list[pd.Index]:
        lookups = [pd.Index(part) for part in self.parts]
        for lookup in lookups:  # pandas builds its tables when first asked, which threads may not do at once
            assert lookup.is_unique
        return lookups
