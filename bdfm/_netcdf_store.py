"""Writing of NetCDF-4 by h5py alone: the bytes that xarray and h5netcdf write, in a fraction of the time.

h5netcdf opens some fifty datasets of a file for every variable that it adds, and here those of its dimensions
are opened once. What is called of HDF5 is the same, in the same order: ``tests/test_files.py`` compares the
bytes.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import xarray as xr
from xarray.backends import H5NetCDFStore

_WITHOUT_VALUES: Final = b"This is a netCDF dimension but not a netCDF variable."
_ID: Final = "_Netcdf4Dimid"


class Dimension(NamedTuple):
    """A dimension: its number in the file, its size, and the path of the dataset that stands for it."""

    number: int
    size: int
    path: str


class _Values:
    """Place for the values of a variable, which is closed after them: what is compressed is written then."""

    def __init__(self, group: Any, name: str) -> None:
        self.group, self.name = group, name

    def __setitem__(self, key: Any, values: Any) -> None:
        self.group[self.name][key] = values


class GroupStore(H5NetCDFStore):
    """One group of a new file, for ``Dataset.dump_to_store``.

    Parameters
    ----------
    group
        Of h5py.
    above
        Dimensions of the groups around it, which its variables may have.
    numbers
        Counts the dimensions of the file.
    """

    def __init__(self, group: Any, above: Mapping[str, Dimension], numbers: itertools.count[int]) -> None:
        self.format = "NETCDF4"
        self.group, self.above, self.numbers = group, above, numbers
        self.own: dict[str, Dimension] = {}

    @property
    def dimensions(self) -> dict[str, Dimension]:
        """Those of the group and of the groups around it."""
        return {**self.above, **self.own}

    def get_dimensions(self) -> dict[str, int]:
        """Sizes of the dimensions of this group."""
        return {name: d.size for name, d in self.own.items()}

    def get_parent_dimensions(self) -> dict[str, int]:
        """Sizes of the dimensions of the groups around it."""
        return {name: d.size for name, d in self.above.items()}

    def set_attribute(self, key: str, value: Any) -> None:
        """Give the group an attribute."""
        _set_attribute(self.group, key, value)

    def set_dimension(self, name: str, length: int, is_unlimited: bool = False) -> None:
        """Make a dimension, for which a dataset stands that has no values of its own."""
        _checked(name)
        more = {} if length else {"maxshape": (None,)}
        scale = self.group.create_dataset(name, (length,), dtype=">f4", track_order=True, **more)
        self.own[name] = Dimension(next(self.numbers), length, scale.name)
        scale.attrs[_ID] = np.array(self.own[name].number, dtype=np.int32)
        scale.make_scale(_WITHOUT_VALUES + b"%10d" % length)

    def prepare_variable(
        self, name: str, variable: xr.Variable, check_encoding: bool = False, unlimited_dims: Any = None
    ) -> tuple[Any, Any]:
        """Dataset of a variable, without its values, and the values."""
        import h5py

        _checked(name)
        attributes, known = dict(variable.attrs), self.dimensions
        fill = attributes.pop("_FillValue", None)
        dims = [known[str(d)] for d in variable.dims]
        scale = name in self.own and variable.dims[:1] == (name,)
        place = f"_nc4_non_coord_{name}" if name in self.own and not scale else name
        references: list[Any] = []
        if scale:  # in place of the one without values
            old = self.group[name]
            references = [(self.group.file[v], axis) for v, axis in old.attrs.get("REFERENCE_LIST", [])]
            for other, axis in references:
                other.dims[axis].detach_scale(old)
            del old, self.group[name]  # closed first, so that its place in the file is free
        text = variable.dtype.kind in "OU"
        most = tuple(d.size or None for d in dims)
        options: dict[str, Any] = _compression(variable.encoding) if variable.shape else {}
        if None in most:
            options |= {"maxshape": most, "chunks": True}
        dtype = h5py.string_dtype() if text else variable.dtype
        stored = self.group.create_dataset(
            place, variable.shape, dtype=dtype, fillvalue=fill, track_order=True, **options
        )
        numbers = np.array([d.number for d in dims], "int32")
        if scale:
            stored.attrs[_ID] = np.array(self.own[name].number, dtype=np.int32)
            if variable.ndim > 1:
                stored.attrs["_Netcdf4Coordinates"] = numbers
            stored.make_scale(name)
            for other, axis in references:
                other.dims[axis].attach_scale(stored)
        else:
            for axis, d in enumerate(dims):
                stored.dims[axis].attach_scale(self.group.file[d.path])
        if dims:
            stored.attrs["_Netcdf4Coordinates"] = numbers
            if most[0] is not None and not (scale and dims[0].number):
                stored.attrs[_ID] = np.array(dims[0].number, dtype=np.int32)
        if fill is not None:
            _set_attribute(stored, "_FillValue", fill if text else stored.dtype.type(fill))
        for key, value in attributes.items():
            _set_attribute(stored, key, value)
        return _Values(self.group, place), variable.data


def _compression(encoding: Mapping[str, Any]) -> dict[str, Any]:
    """Options of h5py for those of ``bdfm._netcdf``."""
    if not encoding.get("zlib"):
        return {}
    level = encoding["complevel"]
    more = {"compression_opts": level} if level else {}
    return {"compression": "gzip", "shuffle": encoding["shuffle"], **more}


def _set_attribute(place: Any, key: str, value: Any) -> None:
    """Single numbers are arrays of one, as in other files of NetCDF."""
    kind = np.asarray(value).dtype.kind
    if kind == "b":
        raise TypeError(f"attribute {key}: NetCDF has no truth values, got {value!r}. Use 0 and 1.")
    place.attrs[key] = np.array([value]) if np.isscalar(value) and kind not in "SU" else value


def _checked(name: str) -> str:
    if "/" in name:  # a group inside a group for HDF5
        raise ValueError(f"names in NetCDF have no slash, got {name!r}.")
    return name
