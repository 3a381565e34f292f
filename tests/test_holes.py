"""What must not get through any door: wrong types, sizes, bytes and labels, leftovers of killed runs."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import signal
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from bdfm import _checks, _files, _folders, _sealed
from bdfm._settings import MAX_SEED
from bdfm.backtest import MarketData, baselines, walk_forward
from bdfm.data.doubts.door import examine
from bdfm.data.doubts.tables import Tables
from bdfm.data.reading import raw
from bdfm.data.sources import (
    DEMO_ORIGIN,
    demo,
    read_earnings,
    read_prices,
    read_records,
    read_returns,
    read_volatility,
)
from bdfm.errors import BdfmError, DataError, FileError, ModelError
from bdfm.forecast.changes import Changes
from bdfm.forecast.contents import known_probabilities
from bdfm.forecast.edits import EDITS, parse_edits
from bdfm.forecast.forecast import Forecast
from bdfm.forecast.ranks import quantile_probabilities
from bdfm.inference.settings import SamplerSettings
from bdfm.model.factor_model import FactorModel
from bdfm.posterior.door import _of_assets
from bdfm.posterior.fit import fit
from bdfm.posterior.posterior import Posterior
from bdfm.report.month import read_month
from bdfm.report.run_file import RunFile, read_run_file
from bdfm.risk.inputs import portfolios

DATA = {"origin": "2020-12-18", "demo": True}

# Table, key, what does not belong there as TOML and as Python, and what is expected.
ROWS = [
    ("", "seed", '"1"', "1", "a whole number"),
    ("", "seed", "true", True, "a whole number"),
    ("", "seed", "1.0", 1.0, "a whole number"),
    ("", "seed", str(2**64), 2**64, f"less than or equal to {MAX_SEED}"),
    ("", "seed", str(2**63), 2**63, f"less than or equal to {MAX_SEED}"),
    ("", "n_draws", str(10**15), 10**15, "less than or equal to"),
    ("", "n_draws", '"5"', "5", "a whole number"),
    ("", "keep_draws", '"no"', "no", "true or false"),
    ("", "keep_draws", "1", 1, "true or false"),
    ("", "memory", "true", True, "a whole number"),
    ("", "out", '"a\\u0000b"', "a\0b", "a path without NUL"),
    ("", "out", "5", 5, "a path"),
    ("sampler", "tune", "true", True, "a whole number"),
    ("sampler", "tune", '"20"', "20", "a whole number"),
    ("sampler", "draws", '"20"', "20", "a whole number of"),
    ("sampler", "draws", str(10**12), 10**12, "a whole number of"),
    ("sampler", "draws", "true", True, "a whole number"),
    ("sampler", "cores", str(10**9), 10**9, "less than or equal to"),
    ("sampler", "chains", str(10**9), 10**9, "less than or equal to"),
    ("sampler", "max_rhat", '"1.1"', "1.1", "a number"),
    ("sampler", "min_ess", "1e300", 1e300, "less than or equal to"),
    ("decision", "exposure", "true", True, "a number"),
    ("decision", "short", '"no"', "no", "true or false"),
    ("decision", "seed", str(2**64), 2**64, "less than or equal to"),
    ("data", "demo", '"yes"', "yes", "true or false"),
    ("data", "period", "true", True, "a whole number"),
    ("data", "origin", "86400", 86400, "a date such as"),
    ("data", "zero", "[5]", [5], "a text"),
    ("aliases", "FB", '["META"]', ["META"], "a text"),
]


@pytest.mark.parametrize(("table", "key", "toml", "value", "expected"), ROWS)
def test_run_files_and_python_refuse_the_same(table, key, toml, value, expected, tmp_path):
    path = tmp_path / "month.toml"
    data = {k: x for k, x in DATA.items() if (table, key) != ("data", k)}
    lines = [f"{k} = {toml_of(x)}" for k, x in data.items()]
    line = f"{key} = {toml}"
    top, rest = ([line], []) if not table else ([], [f"[{table}]", line] if table != "data" else [line])
    path.write_text("\n".join([*top, "[data]", *lines, *rest]), encoding="utf-8")
    with pytest.raises(DataError, match=expected) as told:
        read_run_file(path)
    assert key in str(told.value)
    given = {"data": dict(data)}
    (given if not table else given.setdefault(table, {}))[key] = value
    with pytest.raises(DataError, match=expected):
        RunFile(**given)


def toml_of(value):
    return str(value).lower() if isinstance(value, bool) else f'"{value}"'


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("shift", {"asset": "A", "by": "0.1"}),
        ("shift", {"asset": "A", "by": True}),
        ("shift", {"asset": ["A"], "by": 0.1}),
        ("shift", {"asset": {"a": 1}, "by": 0.1}),
        ("like", {"asset": "A", "other": 5}),
        ("suspended", {"asset_class": 5}),
        ("zero", {"assets": "A"}),
        ("zero", {"assets": [5]}),
        ("halted", {"asset": "A", "probability": True}),
        ("halted", {"asset": "A", "seed": 2**64}),
        ("replace", {"asset": "A", "distribution": "norm()", "keep_ranks": "no"}),
        ("replace", {"asset": "A", "distribution": "norm()", "seed": "1"}),
    ],
)
def test_edits_refuse_other_types(kind, settings):
    with pytest.raises(DataError):
        EDITS[kind](**settings)
    with pytest.raises(DataError, match="edit 1"):
        Changes.from_dict({"edits": [{"kind": kind, **settings}]})


def test_texts_on_the_command_line_are_read_as_what_they_are():
    shift, replace = parse_edits(["shift A by=0.1", "replace B distribution=norm() keep_ranks=true seed=3"])
    assert (shift.by, replace.keep_ranks, replace.seed) == (0.1, True, 3)
    for text in ("shift A by=true", "replace B distribution=norm() keep_ranks=no", "halted A seed=1.5", ""):
        with pytest.raises(BdfmError):
            list(parse_edits([text]))


def test_whole_numbers_and_numpy_are_numbers():
    assert SamplerSettings(min_ess=400).min_ess == 400
    assert SamplerSettings(tune=np.int64(30), draws=np.int32(20)).draws == 20
    assert RunFile(data=DATA, keep_draws=np.bool_(True)).keep_draws is True


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("seed = 1  # \u00e9".encode("latin-1"), "not UTF-8 text .byte 13"),
        ("seed = 1".encode("utf-16"), "not UTF-8"),
        (b"a = " + b"[" * 100_000, "nested too deeply"),
        (b"a = 2022-02-31", "not valid TOML"),
        (b"a = ", "not valid TOML"),
    ],
)
def test_every_reader_of_toml_has_one_message(content, said, tmp_path):
    path = tmp_path / "x.toml"
    path.write_bytes(content)
    for read, error in (
        (read_run_file, DataError),
        (Changes.from_toml, DataError),
        (FactorModel.from_toml, ModelError),
    ):
        with pytest.raises(FileError if "UTF-8" in said else error, match=said) as told:
            read(path)
        assert len(str(told.value)) < 400


def test_a_mark_of_byte_order_is_no_fault(tmp_path):
    path = tmp_path / "x.toml"
    path.write_bytes(b"\xef\xbb\xbfviews = []\r\n")
    assert not Changes.from_toml(path).steps


def test_long_values_are_cut():
    with pytest.raises(DataError) as told:
        RunFile(data=DATA, seed="z" * 10**6)
    assert len(str(told.value)) < 300


@pytest.mark.parametrize("symbol", ["=CMD()", "+1", "-1", "@a", "a\nb", "a\0b", "a\ud800b", "$x_{$"])
def test_symbols_that_nothing_can_show(symbol):
    symbols = pd.Series([symbol, "B"], dtype=object)
    universe = pd.DataFrame({"symbol": symbols, "asset_class": "stock"})
    with pytest.raises(DataError, match="1 symbol"):
        _checks.universe_table(universe)


@pytest.mark.parametrize("symbol", ["BF-B", "^GSPC", "$CASH", "A B", "ES=F", "\u65e5"])
def test_symbols_that_are_right(symbol):
    _checks.universe_table(pd.DataFrame({"symbol": [symbol, "B"], "asset_class": "stock"}))


@pytest.mark.parametrize("noise", [0.0, 1e-12, 1e-9])
def test_a_column_twice_is_refused_with_noise_too(noise, rng):
    prices, universe = demo()
    first = prices.columns[0]
    twice = prices.assign(TWIN=prices[first] * (1 + noise * rng.normal(size=len(prices))))
    more = pd.concat([universe, universe.iloc[:1].assign(symbol="TWIN")], ignore_index=True)
    found = examine(Tables("forecast", prices=twice, universe=more, origin=DEMO_ORIGIN))
    assert any(f.rule == "twins" and set(f.labels) == {first, "TWIN"} for f in found.of("refuse"))


@pytest.mark.parametrize("level", [1, 100])
def test_returns_of_bad_days_plus_a_constant_are_no_prices(level, rng):
    days = pd.bdate_range("2015-01-01", periods=1500)
    returns = 0.01 * rng.standard_t(3, size=(1500, 4))
    prices = pd.DataFrame(level * (1 + np.clip(returns, -0.4, 0.4)), index=days, columns=list("ABCD"))
    found = examine(Tables("forecast", prices=prices, origin=days[-1]))
    assert any(f.rule == "not-prices" for f in found.of("refuse"))


# -- folders -----------------------------------------------------------------------------------------------

KEPT = """
import signal, sys, time
from bdfm import _folders
from bdfm.cli import app
signal.signal(signal.SIGTERM, app._stop)
with _folders.OutputFolder(sys.argv[1]) as folder:
    (folder / "x").write_text("half")
    print("ready", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def at_work(tmp_path):
    """A run that writes to a folder, in a process of its own."""
    out = tmp_path / "new" / "out"
    process = subprocess.Popen([sys.executable, "-c", KEPT, str(out)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    yield process, out
    process.kill()
    process.wait()
    process.stdout.close()


def hidden(folder):
    return [p for p in folder.iterdir() if p.name.startswith(".bdfm-")]


def test_what_a_killed_run_left_goes_with_the_next(at_work):
    process, out = at_work
    with pytest.raises(FileError, match="another run is writing"):
        _folders.OutputFolder(out).check()
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(hidden(out)) == 1
    with _folders.OutputFolder(out) as folder:
        (folder / "y").write_text("whole")
        assert len(hidden(out)) == 1
    assert sorted(p.name for p in out.iterdir()) == ["y"]


@pytest.mark.parametrize(("whole", "found"), [(True, "new"), (False, "old")])
def test_who_reads_a_folder_finds_what_a_killed_run_was_about_to_name(whole, found, tmp_path):
    (tmp_path / "a").write_text("old")
    left = tmp_path / ".bdfm-0123abcd"
    left.mkdir()
    (left / "a").write_text("new")
    if whole:
        (left / ".whole").touch()
    lock = _folders._locked(left)
    assert _folders.file_in(tmp_path, "a").read_text() == "old"  # a run that is at work
    os.close(lock)
    assert _folders.file_in(tmp_path, "a").read_text() == found
    assert not hidden(tmp_path)


def test_a_run_that_is_asked_to_end_leaves_nothing(at_work):
    process, out = at_work
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 128 + signal.SIGTERM
    assert not out.parent.exists()


def test_a_link_to_nowhere_is_told_so(tmp_path):
    (tmp_path / "out").symlink_to(tmp_path / "gone")
    with pytest.raises(FileError, match=r"a link to .*gone, which does not exist"):
        _folders.OutputFolder(tmp_path / "out").check()


def test_check_refuses_a_folder_that_a_run_could_not_write(tmp_path):
    (tmp_path / "taken").write_text("mine")
    path = tmp_path / "month.toml"
    text = "[sampler]\ndraws = 20\ntune = 20\n[data]\ndemo = true\norigin = 2020-12-18\n"
    path.write_text(f'out = "taken"\n{text}')
    with pytest.raises(FileError, match="a file stands where a folder was expected"):
        read_month(path)
    path.write_text(f'out = "a/b"\n{text}')
    read_month(path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["month.toml", "taken"]


def test_the_summary_of_another_command_is_not_replaced(tmp_path):
    def make(by, *names):
        with _folders.OutputFolder(tmp_path / "out", made_by=by) as folder:
            for name in names:
                (folder / name).write_text(by)

    make("month", "forecast.nc", "summary.json")
    for by, called in (("risk", "a forecast"), ("exposures", "a forecast")):
        with pytest.raises(
            FileError, match=rf"holds the results of {called}, whose summary\.json these would"
        ):
            make(by, "x.csv", "summary.json")
    make("check", "findings.html")
    make("stress", "stress.html")
    make("month", "forecast.nc", "summary.json")
    assert (tmp_path / "out" / "summary.json").read_text() == "month"
    (tmp_path / "out" / "summary.json").unlink()
    make("risk", "x.csv", "summary.json")  # nothing is lost


# -- files -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("schema", [0, -1, 1.5, "1"])
def test_schemas_that_no_release_wrote(schema, tmp_path, monkeypatch):
    monkeypatch.setattr(_sealed, "SCHEMA_VERSION", schema)
    _sealed.save_dataset(xr.Dataset({"x": 1}), tmp_path / "x.nc", kind="box")
    monkeypatch.undo()
    with pytest.raises(FileError, match="which no release writes"):
        _sealed.load_dataset(tmp_path / "x.nc", kind="box")


def made(rng, n_draws, names):
    """A forecast of some assets of one class."""
    draws = rng.normal(0, 0.05, size=(n_draws, len(names)))
    classes = ["stock"] * len(names)
    return Forecast.from_draws(
        draws, assets=list(names), asset_class=classes, origin="2022-01-07", end="2022-02-04"
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.assign(weights=0 * d["weights"]),
        lambda d: d.assign(weights=-d["weights"]),
        lambda d: d.assign(weights=2 * d["weights"]),
        lambda d: d.assign_attrs(origin=5),
        lambda d: d.rename(draw="sample"),
        lambda d: d.assign(weights=("asset", [0.3, 0.3, 0.4])),
    ],
)
def test_resealed_forecasts_are_refused(change, tmp_path, rng):
    path = made(rng, 50, "ABC").save(tmp_path / "forecast.nc")
    content = change(_sealed.load_dataset(path, kind="forecast"))
    _sealed.save_dataset(content, path, kind="forecast")
    with pytest.raises(FileError, match="incomplete"):
        Forecast.load(path)


def test_draws_are_read_by_the_names_of_their_dimensions(tmp_path, rng):
    """As many draws as assets, the other way round: the same forecast, not the one of the columns."""
    forecast = made(rng, 6, "ABCDEF")
    path = forecast.save(tmp_path / "forecast.nc")
    content = _sealed.load_dataset(path, kind="forecast")
    even = np.full((6, 3), 1 / 3)  # what no release writes beside whole draws is not believed
    other = content.transpose("asset", "draw").assign(probabilities=(("asset", "third"), even))
    _sealed.save_dataset(other, path, kind="forecast")
    found = Forecast.load(path)
    np.testing.assert_array_equal(found.draws, forecast.draws)
    np.testing.assert_array_equal(found.quantile_probabilities(), forecast.quantile_probabilities())


@pytest.mark.parametrize(
    "change",
    [
        lambda p: 2 * p,
        lambda p: np.nan * p,
        lambda p: p[:, :3],
        lambda p: p[:, [0, 0, 0, 3, 4]] * 0 + [0.6, 0.1, 0.1, 0.1, 0.1],
        lambda p: p - np.array([0.5, -0.5, 0, 0, 0]),
    ],
)
def test_probabilities_beside_draws_made_anew_are_looked_at(change):
    draws = np.random.default_rng(2).normal(0, 0.05, size=(500, 6))
    right = quantile_probabilities(draws, n_quantiles=5)
    table = xr.Dataset({"probabilities": (("asset", "quantile"), right)})
    np.testing.assert_array_equal(known_probabilities(table.transpose()), right)
    wrong = change(right)
    with pytest.raises(ValueError, match="probabilities do not sum to 1"):
        known_probabilities(xr.Dataset({"probabilities": (("asset", "quantile"), wrong)}))


@pytest.mark.parametrize("price", [1e-300, 1e-13, 1e16, 1e300])
def test_prices_that_no_currency_has(price):
    prices, _ = demo()
    bad = prices.copy()
    bad.iloc[-1, 2] = price
    with pytest.raises(DataError, match=f"prices: 1 below 1e-12 or above 1e\\+15.*{prices.columns[2]}"):
        _checks.price_table(bad)


def test_draws_that_are_not_finite_name_their_assets(tiny_model, tiny_panel):
    shape = (1, 4, len(tiny_panel.assets))
    draws = np.ones(shape)
    draws[0, 2, 3] = np.nan
    variable = xr.DataArray(draws, dims=("chain", "draw", "asset"), coords={"asset": list(tiny_panel.assets)})
    assert _of_assets(variable) == f" for {tiny_panel.assets[3]}"
    assert _of_assets(variable.isel(asset=0, drop=True)) == ""


def test_equal_posteriors_give_equal_bytes(tiny_model, tiny_panel, tmp_path):
    settings = SamplerSettings(draws=10, tune=10, chains=1, thin=1, engine="gibbs")
    one, two = (fit(tiny_model, tiny_panel, seed=1, settings=settings) for _ in range(2))
    assert one.seconds
    paths = one.save(tmp_path / "one.nc"), two.save(tmp_path / "two.nc")
    assert paths[0].read_bytes() == paths[1].read_bytes()


@pytest.fixture(scope="module")
def saved(tiny_model, tiny_panel, tmp_path_factory):
    settings = SamplerSettings(draws=10, tune=10, chains=1, thin=1, engine="gibbs")
    fitted = fit(tiny_model, tiny_panel, seed=1, settings=settings)
    return fitted.save(tmp_path_factory.mktemp("saved") / "posterior.nc")


def resealed(path, target, change):
    tree = _sealed.load_tree(path, kind="posterior")
    tree["posterior"] = xr.DataTree(change(tree["posterior"].to_dataset()))
    return _sealed.save_tree(tree, target, kind="posterior")


def first_draw(value):
    def change(d):
        values = d["loadings"].copy()
        values[0, 0] = value
        return d.assign(loadings=values)

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d.isel(draw=slice(0, 0)), "it holds 1 chains of 0 draws"),
        (lambda d: d.isel(chain=0, drop=True), "it holds 0 chains of 10 draws"),
        (first_draw(np.nan), "loadings has draws that are not finite"),
        (first_draw(np.inf), "loadings has draws that are not finite"),
        (lambda d: d.assign(loadings=d["loadings"].astype(complex)), "no real numbers"),
        (lambda d: d.drop_vars("asset"), "its draws have no asset labels"),
        (lambda d: d.assign(loadings=d["loadings"].expand_dims(other=2)), "loadings is along other, chain"),
        (lambda d: d.assign(loadings=d["loadings"].isel(factor=0, drop=True)), "loadings is along chain"),
    ],
)
def test_resealed_posteriors_are_refused(change, said, saved, tmp_path):
    path = resealed(saved, tmp_path / "x.nc", change)
    with pytest.raises(FileError, match=said):
        Posterior.load(path)


def test_posteriors_are_read_by_the_names_of_their_dimensions(saved, tmp_path):
    whole = Posterior.load(saved)
    for change in (
        lambda d: d.transpose(..., "draw", "chain"),
        lambda d: d.map(lambda v: v.transpose(*v.dims[:2], *v.dims[:1:-1])),
    ):
        found = Posterior.load(resealed(saved, tmp_path / "x.nc", change))
        one, two = (p.forecast(seed=1, n_draws=200).draws.to_numpy() for p in (whole, found))
        np.testing.assert_array_equal(one, two)


def test_a_group_that_lies_in_itself(saved, tmp_path):
    h5py = pytest.importorskip("h5py")
    content = BytesIO(saved.read_bytes().rpartition(_sealed._SEAL)[0])
    with h5py.File(content, "r+") as file:
        file["posterior"]["again"] = file["posterior"]
    path = _sealed._write_sealed(tmp_path / "x.nc", content.getvalue())
    with pytest.raises(FileError, match=r"the group .* is there twice"):
        Posterior.load(path)


# -- what the fuzzer and its like have found -----------------------------------------------------------------


@pytest.mark.parametrize("ledger", [5, True, ["a"], {"a": 1}])
def test_a_ledger_that_is_no_path(ledger):
    with pytest.raises(DataError, match="ledger"):
        RunFile(data=DATA, ledger=ledger)


@pytest.mark.parametrize(
    "text",
    [
        "a\0b",
        "a\ud800b",
    ],
)
def test_every_reader_refuses_what_no_file_can_hold(text):
    days = pd.bdate_range("2021-01-01", periods=5, name="date")
    wide = pd.DataFrame(np.full((5, 2), 1.5), days, pd.Index(["A", text], dtype=object))
    for read in (read_prices, read_volatility, read_returns):
        with pytest.raises(DataError, match="broken characters"):
            read(wide)
    rows = pd.DataFrame(
        {"symbol": ["A", text], "date": ["2021-01-01"] * 2, "sector": ["x", "y"]}, dtype=object
    )
    with pytest.raises(DataError, match=r"cannot be shown|broken characters"):
        read_earnings(rows)
    with pytest.raises(DataError, match="broken characters"):
        read_records(rows, what="sectors", columns={"symbol": (), "sector": ()})
    odd = pd.DataFrame({"symbol": ["A", "B"], "sector": [text, "x"]}, dtype=object)
    with pytest.raises(DataError, match="broken characters"):
        read_records(odd, what="sectors", columns={"symbol": ()})
    with pytest.raises(DataError, match="broken characters"):
        _checks.price_table(wide)


@pytest.mark.parametrize("pack", [gzip, bz2, lzma])
def test_what_unpacks_to_too_much(pack, tmp_path, monkeypatch):
    monkeypatch.setattr(raw, "MAX_BYTES", 1000)
    (tmp_path / "p.csv").write_bytes(pack.compress(b"date,A\n" + b"0" * 2000))
    with pytest.raises(FileError, match="unpacks to more than"):
        read_prices(tmp_path / "p.csv")


@pytest.mark.parametrize("weights", [{"p": {"A0": 1.0}}, {"A0": "x"}, {"A0": [1, 2]}])
def test_weights_that_are_no_numbers(weights):
    with pytest.raises(DataError, match="asset to number was expected"):
        portfolios(weights, ["A0", "A1"])


def test_what_a_killed_write_left_goes_with_the_next(tmp_path):
    target = tmp_path / "a.txt"
    stale, other = tmp_path / ".a.txt.0123abcd.tmp", tmp_path / ".b.txt.0123abcd.tmp"
    busy, mine = tmp_path / ".a.txt.89abcdef.tmp", tmp_path / ".a.txt.notes.tmp"
    young = tmp_path / ".a.txt.fedcba98.tmp"
    for path in (stale, other, busy, mine, young):
        path.write_text("half")
        if path != young:
            os.utime(path, (1e9, 1e9))
    with busy.open("rb") as held:
        _files.fcntl.flock(held, _files.fcntl.LOCK_EX)
        _files.write_text(target, "whole")
    assert sorted(tmp_path.iterdir()) == sorted([target, other, busy, mine, young])


def test_a_name_that_a_terminal_cannot_show_ends_no_command(tmp_path):
    words = [sys.executable, "-m", "bdfm", "report", "caf\udce9"]
    done = subprocess.run(words, capture_output=True, cwd=tmp_path, check=False)
    assert done.returncode == 2
    assert b"does not exist" in done.stderr


@pytest.mark.parametrize("command", ["risk", "forecast", "backtest"])
def test_a_period_longer_than_a_century(command, bdfm_command, tmp_path):
    words = ["--prices", "p.csv", "--period-days", 2**64, "--out", tmp_path / "x"]
    more = {
        "forecast": ["--universe", "u.csv", "--origin", "2021-01-01"],
        "backtest": ["--universe", "u.csv", "--first", "2021-01-01", "--last", "2021-02-01"],
    }
    names = ["equal"] if command == "backtest" else []
    code, _, err = bdfm_command(command, *names, *words, *more.get(command, []))
    assert code == 2
    assert "--period-days" in err


def test_a_name_that_is_too_long_is_a_file_that_is_not_there():
    name = Path("x" * 300)
    assert not _checks.there(name)
    with pytest.raises(FileError, match="does not exist"):
        _checks.existing_file(name, what="run file")
    with pytest.raises(FileError, match="does not exist"):
        _checks.existing_text(name, what="run file")


@pytest.mark.parametrize(
    "name", ["new\nline", "tab\t", "bell\a", "\u202eright to left", "zero\u200bwidth", "mark\u200e"]
)
@pytest.mark.parametrize("door", ["folder", "file", "check", "backtest"])
def test_a_name_with_a_character_that_nothing_shows_is_refused(name, door, tmp_path):
    doors = {
        "folder": lambda path: _folders.OutputFolder(path).check(),
        "file": lambda path: _files.write_text(path, "x"),
        "check": _files.check_target,
        "backtest": lambda path: _prepared(path),
    }
    with pytest.raises(FileError, match="is no part of a name") as told:
        doors[door](tmp_path / name)
    assert str(told.value).isprintable()
    assert not list(tmp_path.iterdir())


def _prepared(folder):
    data = MarketData.of(*demo())
    walk_forward(baselines()["equal"], data, ["2021-01-08"], folder)


def test_a_folder_that_is_there_may_have_any_name(tmp_path):
    there = tmp_path / "right\u200emark"
    there.mkdir()
    _files.write_text(there / "new.txt", "x")
    _folders.OutputFolder(there).check()
    with pytest.raises(FileError, match="no name that a file can have"):
        _files.write_text(tmp_path / "\ud800", "x")


def test_links_in_a_circle_are_told_so(tmp_path):
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    for use in (
        lambda path: _folders.OutputFolder(path).check(),
        lambda path: _folders.OutputFolder(path / "within").check(),
        lambda path: _files.write_text(path, "x"),
        lambda path: _files.check_target(path / "x.csv"),
    ):
        with pytest.raises(FileError, match="links that lead to each other in a circle"):
            use(tmp_path / "a")
    assert len(list(tmp_path.iterdir())) == 2
