"""Files of results: what is saved comes back, and nobody sees half of one."""

from __future__ import annotations

import errno
import gc
import os
import signal
import sys
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr

from bdfm import _files, _folders, _netcdf, _sealed
from bdfm.errors import FileError
from bdfm.forecast.changes import Changes
from bdfm.model.factor_model import FactorModel
from bdfm.report.run_file import read_run_file


@pytest.fixture
def dataset(rng):
    return xr.Dataset(
        {
            "x": (("draw", "asset"), rng.normal(size=(300, 4))),
            "x32": (("draw", "asset"), rng.normal(size=(300, 4)).astype(np.float32)),
            "flag": (("asset",), np.array([True, False, True, True])),
            "gap": (("asset",), [1.0, np.nan, np.inf, -0.0]),
            "empty": (("nothing",), np.zeros(0)),
            "text": ((), "ä" * 100_000),  # longer than HDF5 allows an attribute to be
        },
        coords={"asset": ["A", "Bä", "", "NA"], "day": ("draw", np.arange(300).astype("datetime64[D]"))},
        attrs={"a": "b", "n": 3},
    )


@pytest.fixture
def tree(dataset):
    return xr.DataTree.from_dict(
        {"/": xr.Dataset(attrs={"seed": 1}), "/posterior": dataset, "/constant_data": dataset[["flag"]]}
    )


def leftovers(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_dataset_comes_back_identical(dataset, tmp_path):
    before = dataset.copy(deep=True)
    assert _sealed.save_dataset(dataset, tmp_path / "a.nc", kind="forecast") == tmp_path / "a.nc"
    loaded = _sealed.load_dataset(tmp_path / "a.nc", kind="forecast")
    assert loaded.identical(dataset)
    assert {str(k): v.dtype.kind for k, v in loaded.items()} == {
        str(k): v.dtype.kind for k, v in dataset.items()
    }
    assert loaded["x32"].dtype == np.float32
    assert dataset.identical(before)
    assert leftovers(tmp_path) == ["a.nc"]


def test_tree_comes_back_identical_and_can_be_saved_again_in_part(tree, tmp_path):
    _sealed.save_tree(tree, tmp_path / "a.nc", kind="posterior")
    loaded = _sealed.load_tree(tmp_path / "a.nc", kind="posterior")
    assert loaded.identical(tree)
    assert "bdfm_kind" not in tree.attrs
    part = loaded.isel(draw=slice(0, 3))  # chunk sizes of the first file must not stick
    _sealed.save_tree(part, tmp_path / "a.nc", kind="posterior")
    assert _sealed.load_tree(tmp_path / "a.nc", kind="posterior").identical(part)


def test_loaded_data_need_the_file_no_more(dataset, tmp_path):
    path = _sealed.save_dataset(dataset, tmp_path / "a.nc", kind="forecast")
    loaded = _sealed.load_dataset(path, kind="forecast")
    path.unlink()
    assert loaded["x"].sum().item() == dataset["x"].sum().item()


def test_numbers_are_compressed(tmp_path):
    path = _sealed.save_dataset(
        xr.Dataset({"x": ("draw", np.zeros(100_000))}), tmp_path / "a.nc", kind="forecast"
    )
    assert path.stat().st_size < 50_000


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(FileError, match=r"gone\.nc does not exist"):
        _sealed.load_dataset(tmp_path / "gone.nc", kind="forecast")
    with pytest.raises(FileError, match="is a folder"):
        _sealed.load_tree(tmp_path, kind="posterior")


def test_files_of_others_are_refused(dataset, tmp_path):
    _files.write_text(tmp_path / "a.csv", "a,b\n1,2\n")
    with pytest.raises(FileError, match=r"a\.csv: not a file saved by bdfm"):
        _sealed.load_dataset(tmp_path / "a.csv", kind="forecast")
    dataset.to_netcdf(tmp_path / "b.nc", engine="h5netcdf")
    with pytest.raises(FileError, match=r"b\.nc: cut off, or not saved by bdfm"):
        _sealed.load_dataset(tmp_path / "b.nc", kind="forecast")


def test_wrong_kind_is_named(dataset, tree, tmp_path):
    _sealed.save_tree(tree, tmp_path / "p.nc", kind="posterior")
    with pytest.raises(FileError, match=r"p\.nc: holds a posterior, a forecast was expected"):
        _sealed.load_dataset(tmp_path / "p.nc", kind="forecast")
    _sealed.save_dataset(dataset, tmp_path / "f.nc", kind="forecast")
    with pytest.raises(FileError, match=r"f\.nc: holds a forecast, a posterior was expected"):
        _sealed.load_tree(tmp_path / "f.nc", kind="posterior")


def stamped(file):
    """A group of a file as this package stamps it."""
    file.attrs["bdfm_kind"], file.attrs["bdfm_schema"] = "posterior", 1
    return file


def _outside(file, tmp_path):
    (tmp_path / "secret").write_bytes(b"x" * 64)
    file.create_dataset("v", (8,), "f8", external=[(str(tmp_path / "secret"), 0, 64)])


def _soft_cycle(file, tmp_path):
    file.create_group("a")["b"] = h5py.SoftLink("/a")


def _hard_cycle(file, tmp_path):
    group = file.create_group("a")
    group["b"] = group


def _external_link(file, tmp_path):
    file["a"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/")


def _huge(file, tmp_path):
    file.create_dataset("v", (10**12, 10**6), "f8", chunks=(1, 1000))


def _name_is_a_number(file, tmp_path):
    file.create_dataset("v", data=np.ones(3)).attrs["NAME"] = 3


def _dimensions_are_a_number(file, tmp_path):
    file.create_dataset("v", data=np.ones(3)).attrs["DIMENSION_LIST"] = 3


def _no_dimensions(file, tmp_path):
    file.create_dataset("v", data=np.ones((3, 2)))


def _empty(file, tmp_path):
    file["v"] = h5py.Empty("f8")


def _no_units_of_time(file, tmp_path):
    file.create_dataset("t", data=np.ones(3)).attrs["units"] = "days since never"


def _kind_is_a_list(file, tmp_path):
    file.attrs["bdfm_kind"] = ["posterior", "forecast"]


def _no_stamp(file, tmp_path):
    del file.attrs["bdfm_schema"]


@pytest.mark.parametrize(
    "spoil",
    [
        _outside, _soft_cycle, _hard_cycle, _external_link, _huge, _name_is_a_number,
        _dimensions_are_a_number, _no_dimensions, _empty, _no_units_of_time, _kind_is_a_list, _no_stamp,
    ],
)  # fmt: skip
@pytest.mark.parametrize("load", ["load_tree", "load_dataset"])
def test_sealed_files_of_another_hand_give_one_clear_error(spoil, load, tmp_path):
    """Nothing outside of a file is read, nothing goes on for ever, no error of a library comes through."""
    with h5py.File(tmp_path / "plain.h5", "w") as file:
        spoil(stamped(file), tmp_path)
    if load == "load_dataset" and spoil in (_soft_cycle, _hard_cycle):
        pytest.skip("a dataset has no groups")
    path = tmp_path / "p.nc"
    _sealed._write_sealed(path, (tmp_path / "plain.h5").read_bytes())
    with pytest.raises(FileError, match=r"p\.nc: ") as told:
        getattr(_sealed, load)(path, kind="posterior")
    assert len(str(told.value)) < 600


def test_newer_schema_asks_for_an_upgrade(dataset, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(_sealed, "SCHEMA_VERSION", _sealed.SCHEMA_VERSION + 1)
        _sealed.save_dataset(dataset, tmp_path / "a.nc", kind="forecast")
    with pytest.raises(FileError, match=r"newer bdfm \(file schema 2, this release reads up to 1\). Upgrade"):
        _sealed.load_dataset(tmp_path / "a.nc", kind="forecast")


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.9, 0.999])
def test_cut_off_file_gives_one_clear_error(dataset, tree, tmp_path, share):
    for save, load, kind in (
        (_sealed.save_dataset, _sealed.load_dataset, "forecast"),
        (_sealed.save_tree, _sealed.load_tree, "x"),
    ):
        path = save(dataset if kind == "forecast" else tree, tmp_path / kind, kind=kind)
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * share)])
        with pytest.raises(FileError, match=r"cut off, or not saved by bdfm|the file is damaged"):
            load(path, kind=kind)


def test_no_flipped_bit_goes_unnoticed(dataset, tmp_path, rng):
    path = _sealed.save_dataset(dataset, tmp_path / "a.nc", kind="forecast")
    data = path.read_bytes()
    for position in [*rng.integers(len(data), size=200), 0, len(data) - 1]:
        damaged = bytearray(data)
        damaged[position] ^= 0x10
        path.write_bytes(damaged)
        with pytest.raises(FileError, match=r"a\.nc: (the file is damaged|cut off|not a file saved by bdfm)"):
            _sealed.load_dataset(path, kind="forecast")


def test_other_programs_read_the_files(dataset, tree, tmp_path):
    _sealed.save_dataset(dataset, tmp_path / "a.nc", kind="forecast")
    with xr.open_dataset(tmp_path / "a.nc", engine="h5netcdf") as opened:
        assert opened.drop_attrs(deep=False).identical(dataset.drop_attrs(deep=False))
    _sealed.save_tree(tree, tmp_path / "b.nc", kind="posterior")
    with xr.open_datatree(tmp_path / "b.nc", engine="h5netcdf") as opened:
        assert opened["posterior"].to_dataset().identical(dataset)


def test_a_file_is_written_as_other_programs_write_it(dataset, tree, tmp_path):
    stamp = {_sealed.KIND: "x", _sealed.SCHEMA: _sealed.SCHEMA_VERSION}
    each = {
        str(name): {"zlib": True, "complevel": 1, "shuffle": True}
        for name in ("x", "x32", "flag", "gap", "day")
    }
    path = _sealed.save_dataset(dataset, tmp_path / "a.nc", kind="x")
    theirs = dataset.assign_attrs(stamp).to_netcdf(engine="h5netcdf", encoding=each)
    assert path.read_bytes().rpartition(b"\nbdfm sha256 ")[0] == bytes(theirs)
    path = _sealed.save_tree(tree, tmp_path / "b.nc", kind="x")
    tree.attrs |= stamp
    encoding = {"/posterior": each, "/constant_data": {k: each[k] for k in ("flag",)}}
    theirs = tree.to_netcdf(engine="h5netcdf", encoding=encoding)
    assert path.read_bytes().rpartition(b"\nbdfm sha256 ")[0] == bytes(theirs)


@pytest.mark.filterwarnings("default")  # of Dask and its event loop
def test_a_cluster_in_this_process_has_no_say_in_a_file(dataset, tree, tmp_path):
    distributed = pytest.importorskip("distributed")
    with distributed.Client(n_workers=0, processes=True, dashboard_address=None):  # spoken to by TCP
        _sealed.save_dataset(dataset, tmp_path / "a.nc", kind="x")
        _sealed.save_tree(tree, tmp_path / "b.nc", kind="x")
    assert _sealed.load_dataset(tmp_path / "a.nc", kind="x").identical(dataset)
    assert _sealed.load_tree(tmp_path / "b.nc", kind="x").identical(tree)


def test_a_file_is_read_as_other_programs_read_it(tmp_path):
    """Our reader asks a file for less; values, types and order are the same."""
    days = np.array(["2020-01-03", "NaT", "2020-03-06"], dtype="datetime64[ns]")
    one = xr.Dataset(
        {
            "x": (("day", "asset"), [[1, np.nan], [3, 4], [5, 6]], {"units": "%", "parts": ["a", "b"]}),
            "small": ("asset", np.array([1, 2], dtype=np.int8), {"number": 3, "several": [1.5, 2.5]}),
            "single": ("other", np.array([1, 2, 3], dtype=np.float32)),  # a dimension without values
            "true": ("asset", [True, False]),
            "text": ("asset", np.array(["ä", ""], dtype=object)),
            "number": ((), 7.5),
            "other": ("asset", [7, 8]),  # named as a dimension that it is not along
            "none": (("nothing", "asset"), np.zeros((0, 2))),
            "when": ("asset", days[:2]),
            "took": ("asset", np.array([1, 2], dtype="timedelta64[D]").astype("timedelta64[ns]")),
        },
        coords={
            "asset": ["B", "A"],
            "day": days[[0, 2, 2]] + np.array([0, 0, 1], dtype="timedelta64[D]"),
            "kind": ("asset", ["bond", "stock"]),
            "scalar": 2,
        },
        attrs={"title": "all kinds", "count": 2, "list": [1, 2], "texts": ["one", "two"], "empty": ""},
    )
    two = xr.Dataset({"y": ("z", [1, 2])}, coords={"z": [5, 6]}, attrs={"own": "of the group"})
    tree = xr.DataTree.from_dict({"/": one.drop_vars("day"), "/a": one, "/a/below": two, "/without": None})
    _sealed.save_dataset(one, tmp_path / "one.nc", kind="x")
    _sealed.save_tree(tree, tmp_path / "tree.nc", kind="x")
    stamps = (_sealed.KIND, _sealed.SCHEMA)
    with xr.open_dataset(tmp_path / "one.nc", engine="h5netcdf") as opened:
        pairs = [(opened.load(), _sealed.load_dataset(tmp_path / "one.nc", kind="x"))]
    with xr.open_datatree(tmp_path / "tree.nc", engine="h5netcdf") as opened:
        ours = _sealed.load_tree(tmp_path / "tree.nc", kind="x")
        assert ours.groups == opened.groups
        pairs += [(opened[g].to_dataset().load(), ours[g].to_dataset()) for g in opened.groups]
    for theirs, found in pairs:
        theirs.attrs = {k: v for k, v in theirs.attrs.items() if k not in stamps}
        assert theirs.identical(found)
        assert [*theirs.variables] == [*found.variables]
        assert [*theirs.sizes.items()] == [*found.sizes.items()]
        assert {*theirs.coords} == {*found.coords}
        for name, variable in theirs.variables.items():
            assert (variable.dtype, variable.dims) == (found[name].dtype, found[name].dims), name
            assert not found[name].encoding
            for key, value in variable.attrs.items():
                assert type(value) is type(found[name].attrs[key]), (name, key)


def test_write_replaces_and_follows_links(tmp_path):
    _files.write_text(tmp_path / "a.txt", "one")
    (tmp_path / "link").symlink_to(tmp_path / "a.txt")
    _files.write_text(tmp_path / "link", "zwei ä")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == "zwei ä"
    assert leftovers(tmp_path) == ["a.txt", "link"]


def test_new_files_have_the_usual_permissions(tmp_path):
    _files.write_text(tmp_path / "a", "x")
    (tmp_path / "b").write_text("x")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (errno.ENOSPC, "the disk is full. Free some space"),
        (errno.EDQUOT, "the disk is full"),
        (errno.EACCES, "no permission to write there. Choose a folder"),
        (errno.EROFS, "no permission"),
        (errno.EIO, "could not be written"),
    ],
)
@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_failed_write_keeps_the_old_file_and_leaves_nothing(tmp_path, monkeypatch, code, message, step):
    _files.write_text(tmp_path / "a.txt", "old")

    def fail(*args, **kwargs):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(FileError, match=f"a.txt: .*{message}.*older files were left as they were"):
        _files.write_text(tmp_path / "a.txt", "new")
    assert (tmp_path / "a.txt").read_text() == "old"
    assert leftovers(tmp_path) == ["a.txt"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_really_full_device_is_reported(tmp_path, monkeypatch):
    real_open = open
    monkeypatch.setattr("builtins.open", lambda name, mode: real_open("/dev/full", "wb"))
    with pytest.raises(FileError, match=r"a\.txt: the disk is full"):
        _files.write_text(tmp_path / "a.txt", "new")
    assert leftovers(tmp_path) == []


def test_interrupted_write_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        _files.write_text(tmp_path / "a.txt", "new")
    assert leftovers(tmp_path) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .*fork:DeprecationWarning")
def test_killed_process_keeps_the_old_file(dataset, tmp_path):
    path = _sealed.save_dataset(dataset, tmp_path / "a.nc", kind="forecast")
    child = os.fork()
    if child == 0:
        os.replace = lambda *args: os.kill(os.getpid(), signal.SIGKILL)
        try:
            _files.write_bytes(path, b"\x89HDF half")
        finally:
            os._exit(0)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    assert len(leftovers(tmp_path)) == 2  # nobody could remove the temporary file
    assert _sealed.load_dataset(path, kind="forecast").identical(dataset)


def test_missing_folder_and_folder_as_file_are_explained(tmp_path):
    with pytest.raises(FileError, match=r"the folder .*no does not exist. Create it first"):
        _files.write_text(tmp_path / "no" / "a.txt", "x")
    with pytest.raises(FileError, match=r"this is a folder\. Give the name of a file"):
        _files.write_text(tmp_path, "x")
    _files.write_text(tmp_path / "file", "x")
    with pytest.raises(FileError, match="a file stands where a folder was expected"):
        _files.write_text(tmp_path / "file" / "a.txt", "x")


def test_the_next_name_is_free(tmp_path):
    for name in ("a.nc", "a_1.nc", "a_3.nc", "2022-02-04.nc"):
        (tmp_path / name).write_bytes(b"")
    for name, expected in (("a.nc", "a_2.nc"), ("a_3.nc", "a_4.nc"), ("2022-02-04.nc", "2022-02-04_1.nc")):
        assert _files.next_to(tmp_path / name) == tmp_path / expected


@pytest.mark.parametrize("content", [b"\xff\xfe\x00bad", b"name = 'caf\xe9'\n"])
def test_every_file_of_settings_says_that_it_is_no_utf_8(tmp_path, content):
    """One door for files of text: models, run files, changes."""
    path = tmp_path / "settings.toml"
    path.write_bytes(content)
    doors = (FactorModel.from_toml, read_run_file, Changes.from_toml)
    for door in doors:
        with pytest.raises(FileError, match="not UTF-8 text"):
            door(path)


def test_a_byte_order_mark_is_no_part_of_a_file_of_settings(tmp_path):
    path = tmp_path / "model.toml"
    path.write_text("\ufeff" + FactorModel(name="marked").to_toml(), encoding="utf-8")
    assert FactorModel.from_toml(path).name == "marked"


def test_a_new_name_is_never_written_over(tmp_path):
    _files.write_text(tmp_path / "a.txt", "mine", anew=True)
    with pytest.raises(FileError, match="is there already, and is not written over"):
        _files.write_text(tmp_path / "a.txt", "yours", anew=True)
    assert (tmp_path / "a.txt").read_text() == "mine"
    found = _files.write_beside(tmp_path / "a.txt", lambda path: (_files.write_text(path, "x"), path)[1])
    assert found.name == "a_1.txt"
    assert leftovers(tmp_path) == ["a.txt", "a_1.txt"]


def test_names_taken_at_the_same_moment_are_two(tmp_path):
    def write(path):
        if path.name == "a_1.txt" and not path.exists():
            path.write_text("another's")  # it was faster
        _files.write_text(path, "mine")
        return path

    assert _files.write_beside(tmp_path / "a.txt", write).name == "a_2.txt"
    assert (tmp_path / "a_1.txt").read_text() == "another's"


def test_a_place_that_cannot_be_written_is_told_before(tmp_path):
    _files.check_target(tmp_path / "new.txt")
    assert leftovers(tmp_path) == []
    with pytest.raises(FileError, match="does not exist"):
        _files.check_target(tmp_path / "gone" / "new.txt")
    with pytest.raises(FileError, match="Give the name of a file"):
        _files.check_target(tmp_path)


def test_a_failed_netcdf_leaves_no_buffer_that_complains(tmp_path, monkeypatch, dataset):
    told = []
    monkeypatch.setattr(sys, "unraisablehook", told.append)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(FileError, match="the disk is full"):
        _sealed.save_dataset(dataset, tmp_path / "x.nc", kind="box")
    gc.collect()
    assert not told


STEPS = ("open", "os.link", "os.remove", "os.rename", "os.rmdir", "os.mkdir", "shutil.rmtree")


def written(form, folder):
    """Write over a file of a folder, beside it, or into a folder in it; or try whether that can be done."""
    if form == "check":
        _files.check_target(folder / "b.txt")
    elif form == "together":
        with _files.together():
            _files.write_text(folder / "a.txt", "new")
            _files.write_text(folder / "b.txt", "new")
    elif form == "folder":
        with _folders.OutputFolder(folder / "new" / "out", made_by="month") as out:
            (out / "c.txt").write_text("new")
    else:
        _folders.OutputFolder(folder / "new" / "out").check()


@pytest.mark.parametrize(
    ("form", "least"), [("check", 2), ("together", 8), ("folder", 8), ("folder_check", 4)]
)
def test_a_signal_at_any_step_leaves_nothing_hidden(tmp_path, form, least):
    """The handler raises where a file is about to be made, named or removed: at each step in turn."""
    seen, at, watched = [], 0, False

    def step(event, args):
        if watched and event in STEPS:  # in this order: as Python ends, globals are gone
            named = [os.fsdecode(x) for x in args if isinstance(x, str | bytes | os.PathLike)]
            if any(str(tmp_path) in x for x in named):
                seen.append(event)
                if len(seen) == at:
                    raise KeyboardInterrupt

    sys.addaudithook(step)  # stays, and does nothing once this test is over
    while len(seen) >= at:  # the last time, all is done without a signal
        seen.clear()
        at += 1
        folder = tmp_path / f"{at}"
        folder.mkdir()
        (folder / "a.txt").write_text("old")
        opened = open_files()
        watched = True
        try:
            with suppress(KeyboardInterrupt):
                written(form, folder)
        finally:
            watched = False
        found = {p.name: p.read_text() for p in folder.iterdir() if p.is_file()}
        assert found in ({"a.txt": "old"}, {"a.txt": "new", "b.txt": "new"}), at
        if (folder / "new").exists():
            assert form == "folder", at
            assert sorted(p.name for p in (folder / "new" / "out").iterdir()) == [".bdfm.json", "c.txt"], at
        assert open_files() == opened, at
    assert at > least


def open_files():
    """Number of descriptors of this process that are open; None where the system does not tell."""
    place = "/proc/self/fd"
    return len(os.listdir(place)) if os.path.isdir(place) else None


def test_values_that_are_still_to_be_computed_are_written():
    """A trace that was opened in chunks; its values had been written as missing."""
    pytest.importorskip("dask.array")
    held = xr.Dataset({"a": (("x", "y"), np.arange(12.0).reshape(4, 3))})
    lazy = held.chunk({"x": 1})
    xr.testing.assert_identical(_netcdf.read_dataset(BytesIO(_netcdf.written({"/": lazy}, 1))), held)


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        (
            "new.nc",
            b"ID,Rank1\n",
            r"a CSV table is to be written, and the name says a NetCDF file.*end in \.csv",
        ),
        ("new.NC", b"seed = 1\n", "a text is to be written, and the name says a NetCDF file"),
        ("new.csv", b"\x89HDF\r\n\x1a\n", r"a NetCDF file .* says a CSV table\. Let the name end in \.nc"),
        ("new.txt", b"\x89HDF\r\n\x1a\n", "a NetCDF file .* says a text"),
        ("new.parquet", b"\x89HDF\r\n\x1a\n", "a NetCDF file .* says another kind of table"),
        ("new.xlsx", b"<!doctype html>", "an HTML page .* says a workbook"),
        ("new.pdf", b"<!doctype html>", "an HTML page .* says a PDF file"),
        ("new.html", b"PK\x03\x04", r"a workbook .* says an HTML page\. Let the name end in \.xlsx"),
        ("new.xls", b"PK\x03\x04", "a workbook .* says a workbook of another form"),
        ("new.csv.gz", b"ID,Rank1\n", "a CSV table .* says a compressed file"),
        ("new.png", b"{}", "a text .* says a picture"),
        ("new.jpg", b"\x89PNG", r"a picture .* says another kind of picture.* \.png"),
    ],
)
def test_a_name_that_says_something_else_is_refused(name, data, said, tmp_path):
    with pytest.raises(FileError, match=said):
        _files.write_bytes(tmp_path / name, data)
    assert not list(tmp_path.iterdir())
    for other in ("new", "new.dat", "new.2021", ".nc"):
        _files.write_bytes(tmp_path / other, data)
        assert (tmp_path / other).read_bytes() == data


@pytest.mark.parametrize("name", ["there", "there.dat"])
@pytest.mark.parametrize("there", [b"a user's own", b"\x89PNG", b"PK\x03\x04", b"<!doctype html>"])
def test_a_file_of_another_form_is_left_as_it_is(name, there, tmp_path):
    """Under a name that says nothing of what it holds."""
    (tmp_path / name).write_bytes(there)
    with pytest.raises(FileError, match="holds something else than what is to be written"):
        _files.write_bytes(tmp_path / name, b"\x89HDF\r\n\x1a\n")
    assert (tmp_path / name).read_bytes() == there
    page = tmp_path / "page.html"
    page.write_text("<p>mine</p>")
    with pytest.raises(FileError, match="holds something else"):
        _files.write_text(page, "<!doctype html>")
