"""Files of others: what is missing in them is said in words."""

from io import BytesIO

import h5py
import pytest
import xarray as xr

from bdfm import _sealed
from bdfm._netcdf import _read
from bdfm.errors import FileError


def content():
    data = BytesIO()
    with h5py.File(data, "w") as file:
        file["x"] = [1, 2]
    return BytesIO(data.getvalue())


@pytest.mark.parametrize(
    ("take", "said"),
    [
        (lambda f: {}["pieces"], "^pieces is missing$"),
        (lambda f: f["y"], "object 'y' doesn't exist"),
        (lambda f: f.attrs["kind"], "attribute"),
        (lambda f: (_ for _ in ()).throw(KeyError()), "^part is missing$"),
        (lambda f: f["x"].nothing, "nothing"),
        (lambda f: b"\xff".decode(), "utf-8"),
    ],
)
def test_what_is_missing(take, said):
    with pytest.raises(ValueError, match=said):
        _read(content(), take)


def test_a_lack_of_memory_says_nothing_of_the_file():
    def lacks(_):
        raise MemoryError

    with pytest.raises(MemoryError):
        _read(content(), lacks)


def test_a_tree_without_a_part_of_its_names(tmp_path, monkeypatch):
    path = _sealed.save_tree(xr.DataTree(), tmp_path / "p.nc", kind="posterior")

    def fails(_):
        raise KeyError("draw")

    monkeypatch.setattr(_sealed, "read_tree", fails)
    with pytest.raises(FileError, match=r"none that bdfm writes \(draw is missing\)"):
        _sealed.load_tree(path, kind="posterior")
