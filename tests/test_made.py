"""What a command made in a folder goes with its next run there; what others made, or changed, stays."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys

import pytest
from few import few

from bdfm import _made
from bdfm._folders import OutputFolder, file_in
from bdfm.errors import FileError

pytestmark = pytest.mark.usefixtures("blank_pictures")


def made(folder, by, **files):
    """A run of a command that makes files of these names (_ for a point) and contents."""
    with OutputFolder(folder, made_by=by) as out:
        (out / "sub").mkdir()
        for name, text in files.items():
            (out / name.replace("__", "/").replace("_", ".")).write_text(text)


def there(folder):
    return {
        p.relative_to(folder).as_posix(): p.read_text()
        for p in folder.rglob("*")
        if p.is_file() and p.name != _made.RECORD
    }


def test_what_a_run_does_not_make_again_goes(tmp_path):
    made(tmp_path, "month", a_nc="1", b_nc="1", sub__c_nc="1")
    made(tmp_path, "month", a_nc="2", d_nc="2")
    assert there(tmp_path) == {"a.nc": "2", "d.nc": "2"}
    made(tmp_path, "month", b_nc="3")
    assert there(tmp_path) == {"b.nc": "3"}


def test_what_another_command_or_a_user_made_or_changed_stays(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "a.nc").write_text("mine")
    made(tmp_path, "month", a_nc="1", b_nc="1", c_nc="1")
    made(tmp_path, "risk", r_csv="1")
    (tmp_path / "b.nc").write_text("changed")
    made(tmp_path, "month", d_nc="2")
    assert there(tmp_path) == {
        "notes.txt": "mine",
        "b.nc": "changed",
        "d.nc": "2",
        "r.csv": "1",
    }
    made(tmp_path, "risk", s_csv="2")
    assert there(tmp_path) == {"notes.txt": "mine", "b.nc": "changed", "d.nc": "2", "s.csv": "2"}


@pytest.mark.parametrize("first", ["month", "risk", "check", "a-later-command"])
@pytest.mark.parametrize("second", ["month", "stress", "check", "exposures"])
def test_no_command_replaces_what_another_made(tmp_path, first, second):
    """Files of any form, in subfolders too; once they are gone nothing is in the way."""
    files = {"a_nc": "1", "sub__b_csv": "1", "findings_json": "1"}
    made(tmp_path, first, **files)
    before = there(tmp_path)
    for name in files if first != second else ():
        file = name.replace("__", "/").replace("_", ".")
        called = "a forecast" if first == "month" else f"bdfm {first}"
        with pytest.raises(FileError, match=rf"holds the results of {called}, whose {file} these would rep"):
            made(tmp_path, second, **{"new_nc": "2", name: "2"})
        assert there(tmp_path) == before
        (tmp_path / file).rename(tmp_path / "away")
        made(tmp_path, second, **{name: "2"})
        made(tmp_path, second)
        (tmp_path / "away").replace(tmp_path / file)
        before = there(tmp_path)
        made(tmp_path, first, **files)
    made(tmp_path, first, **(files | {"a_nc": "3"}))
    assert there(tmp_path)["a.nc"] == "3"


def test_a_command_is_not_refused_its_own_files_by_a_record_of_files_that_are_gone(tmp_path):
    """``rm out/*`` leaves the record, which is hidden."""
    made(tmp_path, "risk", risk_csv="1", summary_json="1")
    (tmp_path / "risk.csv").unlink()
    (tmp_path / "summary.json").unlink()
    for text in "23":
        OutputFolder(tmp_path, made_by="stress").check()
        made(tmp_path, "stress", risk_csv=text)
    assert there(tmp_path) == {"risk.csv": "3"}


def test_what_commands_share_is_known_before_they_work(tmp_path):
    """Of a folder, too, whose record does not name its summary."""
    for k, (first, name, second) in enumerate(
        [("month", "summary.json", "risk"), ("risk", "risk.csv", "stress"), ("stress", "risk.csv", "risk")]
    ):
        folder = tmp_path / str(k)
        folder.mkdir()
        (folder / name).write_text("1")
        (folder / _made.RECORD).write_text(json.dumps({first: {"x.nc": "0"}}))
        with pytest.raises(FileError, match=f"whose {name} these would replace"):
            OutputFolder(folder, made_by=second).check()
        OutputFolder(folder, made_by=first).check()
        OutputFolder(folder, made_by="check").check()


def test_a_file_that_was_there_with_the_same_bytes_is_not_the_runs(tmp_path):
    """The run file itself, where results are written beside it."""
    (tmp_path / "month.toml").write_text("seed = 1")
    made(tmp_path, "month", month_toml="seed = 1", a_nc="1")
    made(tmp_path, "month", month_toml="seed = 1", a_nc="1")
    made(tmp_path, "month", other_toml="seed = 2")
    assert there(tmp_path) == {"month.toml": "seed = 1", "other.toml": "seed = 2"}


def test_a_run_file_that_was_edited_and_run_in_place_stays(tmp_path):
    """The record says that a run made it, but of the bytes that it had then."""
    made(tmp_path, "month", run_toml="seed = 1", a_nc="1")
    (tmp_path / "run.toml").write_text("seed = 2")
    made(tmp_path, "month", run_toml="seed = 2", a_nc="2")
    made(tmp_path, "month", run_toml="seed = 2", a_nc="2")
    made(tmp_path, "month", other_toml="seed = 3", a_nc="3")
    assert there(tmp_path) == {"run.toml": "seed = 2", "other.toml": "seed = 3", "a.nc": "3"}


def test_what_a_run_makes_again_with_the_same_bytes_is_still_its_own(tmp_path):
    for text in ("1", "1", "2", "2"):
        made(tmp_path, "month", a_nc=text)
    made(tmp_path, "month", b_nc="1")
    assert there(tmp_path) == {"b.nc": "1"}


def test_a_run_that_fails_removes_nothing(tmp_path):
    made(tmp_path, "month", a_nc="1", b_nc="1")
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()}
    (tmp_path / "z.nc").mkdir()
    with pytest.raises(FileError):
        made(tmp_path, "month", c_nc="2", z_nc="2")
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()} == before


@pytest.mark.parametrize("at", [1, 2])
@pytest.mark.parametrize("fault", [OSError(errno.EIO, "Input/output error"), KeyboardInterrupt()])
def test_a_removal_that_fails_midway_brings_all_back(tmp_path, monkeypatch, at, fault):
    made(tmp_path, "month", a_nc="1", b_nc="1", c_nc="1")
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()}
    unlink, seen = type(tmp_path).unlink, []

    def failing(path, missing_ok=False):
        if path.suffix == ".nc":
            seen.append(path)
            if len(seen) == at:
                raise fault
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(type(tmp_path), "unlink", failing)
    with pytest.raises((FileError, KeyboardInterrupt)):
        made(tmp_path, "month", a_nc="2")
    assert len(seen) >= at
    monkeypatch.undo()
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()} == before


def killed(folder, at):
    """A run over a, b, c that makes a alone, killed at its at-th file or removal, not counting the first."""
    made(folder, "month", a_nc="1", b_nc="1", c_nc="1")
    code = (
        "import os, pathlib, signal, sys\n"
        "from bdfm._folders import OutputFolder\n"
        "seen = []\n"
        "def hook(event, args):\n"
        "    if event == 'os.remove' and str(args[0]).endswith('.nc') or event == 'os.rename':\n"
        "        seen.append(args)\n"
        f"        if len(seen) == {at} + 1:\n"
        "            os.kill(os.getpid(), signal.SIGKILL)\n"
        "sys.addaudithook(hook)\n"
        "with OutputFolder(sys.argv[1], made_by='month') as out:\n"
        "    (out / 'a.nc').write_text('2')\n"
    )
    process = subprocess.run([sys.executable, "-c", code, str(folder)], check=False)
    assert process.returncode == -signal.SIGKILL
    assert len(there(folder)) > 1


@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_run_killed_while_it_removes_is_carried_to_its_end(tmp_path, at):
    killed(tmp_path, at)
    with OutputFolder(tmp_path, made_by="risk"):
        pass
    assert there(tmp_path) == {"a.nc": "2"}


@pytest.mark.parametrize("settled", ["run", "read"])
def test_what_was_changed_since_a_run_was_killed_stays(tmp_path, settled):
    killed(tmp_path, 1)
    (tmp_path / "b.nc").write_text("mine")
    if settled == "run":
        made(tmp_path, "risk", r_csv="1")
    else:
        file_in(tmp_path, "a.nc")
    (tmp_path / "r.csv").unlink(missing_ok=True)
    assert there(tmp_path) == {"a.nc": "2", "b.nc": "mine"}


@pytest.mark.parametrize("listing", [["mine.nc"], {"mine.nc": None}, {"mine.nc": "0"}, {"mine.nc": ["0"]}])
def test_a_hidden_folder_of_others_removes_nothing(tmp_path, listing):
    (tmp_path / "mine.nc").write_text("mine")
    left = tmp_path / ".bdfm-01234567"
    left.mkdir()
    (left / ".whole").touch()
    (left / ".stale").write_text(json.dumps(listing))
    made(tmp_path, "month", a_nc="1")
    assert there(tmp_path) == {"mine.nc": "mine", "a.nc": "1"}


@pytest.mark.parametrize(
    "name",
    [
        "../mine.nc",
        "/etc/hosts",
        "link.nc",
        "away/mine.nc",
        "sub",
        "",
        "a\0b",
        "..\\mine.nc",
        "\ud800",
        "\ud800/mine.nc",
        "sub/\ud800/../mine.nc",
    ],
)
def test_a_record_that_leads_out_of_its_folder_removes_nothing(tmp_path, name):
    folder = tmp_path / "out"
    made(folder, "month", a_nc="1")
    mine = tmp_path / "mine.nc"
    mine.write_text("mine")
    (folder / "link.nc").symlink_to(mine)
    (folder / "away").symlink_to(tmp_path)
    known = {name: _made.digest(mine)}
    (folder / _made.RECORD).write_text(json.dumps({"month": known}))
    made(folder, "month", b_nc="2")
    assert mine.read_text() == "mine"
    assert os.path.islink(folder / "link.nc")
    (folder / "listing").write_text(json.dumps(known))
    _made.remove(folder, folder / "listing")
    assert mine.read_text() == "mine"
    assert os.path.islink(folder / "link.nc")


@pytest.mark.parametrize(
    "text", ["", "[1]", "{", '{"month": 5}', '{"month": {"a.nc": 5}}', "[" * 10**5, "\xff"]
)
def test_a_record_that_cannot_be_understood_is_none(tmp_path, text):
    made(tmp_path, "month", a_nc="1", b_nc="1")
    (tmp_path / _made.RECORD).write_text(text, "latin-1")
    made(tmp_path, "month", a_nc="2")
    assert there(tmp_path) == {"a.nc": "2", "b.nc": "1"}
    assert set(_made.listed(tmp_path)) == {"month"}


@pytest.mark.parametrize("name", [_made.RECORD, ".stale"])
@pytest.mark.parametrize("form", few(["device", "pipe", "long"], ("pipe",)))
def test_a_record_without_end_is_none(tmp_path, name, form):
    """In a process with little memory and little time: it would be read until either is at its end."""
    folder = tmp_path / ".bdfm-01234567" if name == ".stale" else tmp_path
    folder.mkdir(exist_ok=True)
    (folder / ".whole").touch()
    if form == "device":
        (folder / name).symlink_to("/dev/zero")
    elif form == "pipe":
        os.mkfifo(folder / name)
    else:
        with open(folder / name, "wb") as file:
            file.truncate(2**33)  # holes, no blocks
    code = (
        "import resource, sys\n"
        "from bdfm._folders import OutputFolder\n"
        "with open('/proc/self/statm') as file:\n"
        "    mine = int(file.read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (mine + 2**28,) * 2)\n"
        "with OutputFolder(sys.argv[1], made_by='month') as out:\n"
        "    (out / 'a.nc').write_text('1')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], check=False, timeout=60, capture_output=True, text=True
    )
    if form != "long" and name == _made.RECORD:  # the new record cannot take its place
        assert f"{name}: this is a {form}. Give the name of a file" in done.stderr
        assert "__enter__" in done.stderr  # before the work
        return
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "a.nc").read_text() == "1"
    assert _made.listed(tmp_path) == {"month": {"a.nc": _made.digest(tmp_path / "a.nc")}}


def test_a_record_of_many_files_is_read(tmp_path):
    files = {f"file_of_a_rather_long_name_{i}.nc": "0" * 64 for i in range(10_000)}
    (tmp_path / _made.RECORD).write_text(json.dumps({"month": files}, indent=1))
    assert _made.listed(tmp_path) == {"month": files}
