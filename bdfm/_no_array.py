"""Results handed whole to ArviZ, NumPy or pandas: a message with the part of them that these take."""

from __future__ import annotations

from typing import ClassVar, NoReturn

import numpy as np
from numpy.typing import DTypeLike, NDArray

from bdfm.errors import DataError


class NoArray:
    """A result that is no array and no tree, and says what to give in its place.

    ArviZ, NumPy and pandas take what has ``__array__``, ArviZ's pictures what has groups by name. Without
    these methods NumPy would make an array of one object, and ArviZ name its own classes alone.
    """

    _in_its_place: ClassVar[str]

    def __array__(self, dtype: DTypeLike | None = None, copy: object = None) -> NDArray[np.object_]:
        """An array that holds this object, where one of objects is asked for, as by a list of results.

        Else refuse with what to give instead: ``DataError``.
        """
        if dtype is None or np.dtype(dtype) != object:
            self._refuse()
        held = np.empty(1, dtype=object)
        held[0] = self
        return held.reshape(())

    def __getitem__(self, key: object) -> NoReturn:
        """Refuse with what to give instead: ``DataError``."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise DataError(f"a {type(self).__name__} is no array, tree or table. {self._in_its_place}")
