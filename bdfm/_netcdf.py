"""NetCDF of the files of ``bdfm._sealed``: made in memory, read in a quarter of the time of general readers.

A posterior has fifty small variables, and general readers ask for chunks, filters and fill values of each,
which nobody needs of a file that is read at once and closed. Tests compare what both read. In NetCDF-4 on
HDF5 a dimension is a dataset that is a dimension scale, and the dimensions of a variable are those that its
``DIMENSION_LIST`` refers to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from io import BytesIO
from typing import Any, Final

import numpy as np
import xarray as xr
from xarray.backends import H5NetCDFStore

_HIDDEN: Final = frozenset(
    {
        "CLASS",
        "NAME",
        "REFERENCE_LIST",
        "DIMENSION_LIST",
        "_Netcdf4Dimid",
        "_Netcdf4Coordinates",
        "_nc3_strict",
        "_NCProperties",
    }
)
_MOST_GROUPS: Final = 1_000  # a posterior has ten
_MOST_PACKED: Final = 2000  # bytes in one of the file: its filter makes a thousand at most
_WITHOUT_VALUES: Final = b"This is a netCDF dimension but not a netCDF variable"
_AS_A_DIMENSION: Final = "_nc4_non_coord_"  # before the name of a variable that is not along its namesake


def written(groups: Mapping[str, xr.Dataset], level: int) -> memoryview:
    """NetCDF of datasets by the paths of their groups, compressed by zlib at ``level``, as xarray writes it.

    Without the lock that ``Dataset.to_netcdf`` asks Dask for, which is one of the cluster where a client or a
    worker of one is in this process, and which nobody needs for memory of one's own.
    """
    import h5netcdf

    content = BytesIO()
    with h5netcdf.File(content, "w") as file:
        for path, dataset in groups.items():
            store = H5NetCDFStore(file, group=path, mode="a", lock=False)
            # What is still to be read or computed, as of a trace opened in chunks, comes into memory first.
            dataset.compute().dump_to_store(store, encoding=_encoding(dataset, level))
    return content.getbuffer()


def _encoding(dataset: xr.Dataset, level: int) -> dict[str, dict[str, Any]]:
    # Strings and scalars cannot be compressed.
    options = {"zlib": True, "complevel": level, "shuffle": True}
    return {
        str(name): dict(options)
        for name, variable in dataset.variables.items()
        if variable.ndim and variable.size and variable.dtype.kind in "biufmM"
    }


def kind_of(content: BytesIO, key: str) -> str | None:
    """Text of one attribute of the root group; None where it has none."""
    import h5py

    with h5py.File(content, "r") as file:
        found = file.attrs.get(key)
    return found if isinstance(found, str) else None


def read_dataset(content: BytesIO) -> xr.Dataset:
    """Dataset of the root group, in memory, as ``xarray.open_dataset`` gives it but for encodings.

    Raises ``ValueError`` for a file that is none of ``bdfm._sealed``, as ``read_tree`` does.
    """
    return _read(content, _dataset)


def read_tree(content: BytesIO) -> xr.DataTree:
    """All groups, in memory, as ``xarray.open_datatree`` gives them but for encodings."""
    import h5py

    def groups(file: Any) -> dict[str, xr.Dataset]:
        found: dict[str, xr.Dataset] = {}
        left, seen = [file], set()
        while left:
            group = left.pop(0)
            place = h5py.h5o.get_info(group.id).addr
            if place in seen:
                raise ValueError(f"the group {group.name} is there twice")
            seen.add(place)
            found[group.name] = _dataset(group)
            left = [m for _, m in _members(group) if isinstance(m, h5py.Group)] + left
            if len(found) > _MOST_GROUPS:
                raise ValueError(f"more than {_MOST_GROUPS} groups")
        return found

    return xr.DataTree.from_dict(_read(content, groups))


def _read[T](content: BytesIO, take: Callable[[Any], T]) -> T:
    """What ``take`` makes of the file; whatever goes wrong in one that others wrote is a ``ValueError``."""
    import h5py

    try:
        with h5py.File(content, "r") as file:
            return take(file)
    except (ValueError, MemoryError):  # a lack of memory says nothing of the file
        raise
    except KeyError as error:
        raise ValueError(lacking(error)) from error
    except Exception as error:  # of two libraries, about what a file of ours never holds
        raise ValueError(str(error) or type(error).__name__) from error


def lacking(error: KeyError) -> str:
    """What a file lacks, of an error that says no more than a name."""
    name = str(error.args[0]) if error.args else "part"
    return name if " " in name else f"{name} is missing"


def _members(group: Any) -> Iterator[tuple[str, Any]]:
    """Names and members of a group, which all lie in this file."""
    import h5py

    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise ValueError(f"{name} is a link")
        yield name, group[name]


def _dataset(group: Any) -> xr.Dataset:
    """Variables of one group, decoded."""
    variables = {}
    for name, stored in _members(group):
        if not hasattr(stored, "shape"):
            continue  # a group
        hidden = stored.attrs
        if hidden.get("NAME", b"").startswith(_WITHOUT_VALUES):
            continue
        if stored.external or stored.is_virtual or stored.shape is None:
            raise ValueError(f"the values of {name} are not in the file")
        if stored.size * stored.dtype.itemsize > _MOST_PACKED * stored.file.id.get_filesize():
            raise ValueError(f"{name} has more values than a file of this size can hold")
        dims = _dimensions(group, name, stored)
        text = stored.dtype.kind == "O"
        values = np.asarray((stored.asstr() if text else stored)[...])
        encoding = {"dtype": str} if text else None  # decoded to texts of a fixed length
        own = name.removeprefix(_AS_A_DIMENSION)
        variables[own] = xr.Variable(dims, values, _attributes(hidden), encoding)
    decoded, attrs, coords = xr.conventions.decode_cf_variables(variables, _attributes(group.attrs))
    return xr.Dataset(decoded, attrs=attrs).set_coords(set(coords) & set(decoded)).load().drop_encoding()


def _dimensions(group: Any, name: str, stored: Any) -> tuple[str, ...]:
    """Names of a variable's dimensions."""
    listed = stored.attrs.get("DIMENSION_LIST")
    if listed is None:
        return (name,) if stored.shape else ()
    return tuple(group.file[refs[-1]].name.rpartition("/")[2] for refs in listed)


def _attributes(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes that are a user's own: arrays of one value are that value, arrays of texts are lists."""
    return {name: _attribute(stored[name]) for name in stored if name not in _HIDDEN}


def _attribute(value: Any) -> Any:
    if type(value).__name__ == "Empty":  # an array without values
        return np.array([], dtype=value.dtype)
    if isinstance(value, np.ndarray) and value.dtype.kind == "O":
        value = value.tolist()
    if isinstance(value, np.ndarray | list) and len(value) == 1:
        return value[0]
    return value
