"""One table in twenty forms through `bdfm check` and `bdfm forecast`: the same to the last digit."""

import io
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "data"))

from few import few
from reading.forms import FORMS, SYMBOLS, clean, path_of, text, yahoo
from reading.test_blocks import side_by_side, text_of
from reading.test_excel import rows, workbook

from bdfm.data.panel import Panel
from bdfm.data.sources import read_prices
from bdfm.forecast.forecast import Forecast
from bdfm.ledger.ledger import Ledger
from bdfm.model.factor_model import FactorModel
from bdfm.report.run_file import read_run_file

pytestmark = pytest.mark.usefixtures("blank_pictures")

ORIGIN = "2021-10-29"


def prices():
    """Prices of four symbols over three years, of two decimals."""
    table = clean(820) * [1, 1, 100, 1]
    return table.set_axis(pd.bdate_range(end="2021-11-05", periods=len(table), name="date")).round(2)


TABLE = prices()


def saved(book):
    to = io.BytesIO()
    book.save(to)
    return to.getvalue()


def excel(table, by):
    to = io.BytesIO()
    yahoo(table, by).to_excel(to)
    return to.getvalue()


def comma(x):
    return f"{x:.2f}".replace(".", ",")


BLOCKS = {f"{s} US Equity": s for s in SYMBOLS}
MINE = {
    "Excel": ("p.xlsx", lambda t: saved(workbook(rows(t))), {}),
    "Excel, two header rows": ("p.xlsx", lambda t: excel(t, "Ticker"), {}),
    "Excel, text": (
        "p.xlsx", lambda t: saved(workbook(rows(t, "{:%d.%m.%Y}".format, comma))), {},
    ),
    "Bloomberg's BDH": ("p.csv", lambda t: text_of(side_by_side(t, "BDH")).encode(), BLOCKS),
}  # fmt: skip
THEIRS = {f.name: f for f in FORMS}
NAMES = (
    "yfinance by price", "yfinance by ticker", "flattened pairs", "parquet", "parquet, two levels",
    "parquet, long", "European", "European, Latin-1", "US with thousands", "UTF-16", "zip", "gzip",
    "Bloomberg",
    "long, RIC", "long, PERMNO", "Excel serials", "dollars", "R", "newest first", "pairs before",
)  # fmt: skip
FAST = ("Excel, two header rows", "European", "long, RIC")


def write(name, folder):
    """File of a form, and the aliases that its symbols need."""
    if name in MINE:
        file, make, symbols = MINE[name]
        (folder / file).write_bytes(make(TABLE))
        return folder / file, symbols
    return path_of(THEIRS[name], folder, TABLE), THEIRS[name].symbols


def forecast(command, folder, path, symbols=None, universe=SYMBOLS, options=()):
    """Probabilities (asset, fifth) of a short fit, as the file has them."""
    (folder / "u.csv").write_text("\n".join(["symbol,class", *(f"{s},stock" for s in universe)]))
    options = [*options, *(x for pair in (symbols or {}).items() for x in ("--alias", "=".join(pair)))]
    files = ["--prices", path, "--universe", folder / "u.csv", "--origin", ORIGIN, *options]
    short = ["--model", "m6", "--draws", 20, "--tune", 20, "--chains", 1, "--n-draws", 10_000]
    code, out, err = command("forecast", *files, *short, "--out", folder / "out")
    assert code == 0, err
    return (folder / "out" / "submission.csv").read_text(), files, out


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """File of the clean table, and its forecast once it is made."""
    folder = tmp_path_factory.mktemp("plain")
    (folder / "prices.csv").write_text(text(TABLE))
    return folder, {}


@pytest.mark.parametrize(
    "name",
    few((*MINE, *NAMES), FAST),
)
def test_every_form_gives_the_same_forecast(bdfm_command, tmp_path, plain, name):
    pytest.importorskip("openpyxl")
    folder, made = plain
    if not made:
        made["submission"], files, _ = forecast(bdfm_command, folder, folder / "prices.csv")
        made["check"] = json.loads(bdfm_command("check", *files, "--json")[1])
    path, symbols = write(name, tmp_path)
    found, files, out = forecast(bdfm_command, tmp_path, path, symbols)
    assert found == made["submission"]
    assert f"read: {path.name}: " in out
    code, out, err = bdfm_command("check", *files, "--json")
    assert json.loads(out) == made["check"]
    assert code == made["check"]["exit_code"]
    assert f"read: {path.name}: " in err


@pytest.mark.parametrize("name", [*MINE, *NAMES])
def test_every_form_gives_the_same_panel(tmp_path, name):
    pytest.importorskip("openpyxl")
    path, symbols = write(name, tmp_path)
    universe = pd.DataFrame({"symbol": SYMBOLS, "asset_class": "stock"})
    settings = FactorModel.from_preset("m6").panel
    panels = [
        Panel.from_prices(table, universe, origin=ORIGIN, settings=settings, accept=None).to_dataset()
        for table in (read_prices(path, aliases=symbols), TABLE)
    ]
    assert panels[0].identical(panels[1])


def test_twenty_forms_and_more():
    assert len({*MINE, *NAMES}) >= 20
    assert set(FAST) <= {*MINE, *NAMES}
    assert np.isfinite(TABLE.to_numpy()).mean() > 0.99


@pytest.fixture
def beside_a_ledger(tmp_path):
    """Run file whose results lie in a folder of a ledger; they are there already."""
    text = 'out = "book/a"\nn_draws = 100\n[sampler]\ndraws = 20\ntune = 20\n'
    text += "[data]\ndemo = true\norigin = 2020-12-18\n"
    (tmp_path / "month.toml").write_text(text)
    there = tmp_path / "book" / "a"
    there.mkdir(parents=True)
    (tmp_path / "book" / "ledger.sqlite").touch()
    draws = np.random.default_rng(1).normal(0, 0.05, (50, 5))
    forecast = Forecast.from_draws(
        draws, assets=list("ABCDE"), asset_class=["x"] * 5, origin="2020-12-18", end="2021-01-15"
    )
    forecast.save(there / "forecast.nc")
    (there / "summary.json").write_text("{}")
    return tmp_path


def ways(place, bdfm_command):
    """Codes and messages of all commands that would write over the forecast that is there."""
    file = place / "book" / "a" / "forecast.nc"
    yield bdfm_command("run", place / "month.toml", "--check")
    yield bdfm_command("decide", file, "--out", file)
    yield bdfm_command("edit", file, "drop E", "--out", file)
    yield bdfm_command("view", file, "--constraint", "A > B : 0.6", "--out", file)
    link = place / "a link.nc"  # what is written through it lands in the month
    if not link.is_symlink():
        link.symlink_to(file)
    yield bdfm_command("decide", link)
    yield bdfm_command("decide", file, "--out", link)


@pytest.mark.parametrize("how", ["named", "entered"])
def test_a_month_of_a_ledger_is_not_written_over(how, beside_a_ledger, bdfm_command):
    """Whatever the command: what a run made for the ledger, or Python has entered."""
    book = beside_a_ledger / "book"
    if how == "named":
        (book / "a" / "month.toml").write_text('ledger = ".."\n')
    else:
        Ledger(book).enter(book / "a")
    before = (book / "a" / "forecast.nc").read_bytes()
    for code, _, err in ways(beside_a_ledger, bdfm_command):
        assert code == 2
        said = " ".join(err.split())
        assert "holds a month already, of the ledger book, in which nothing is written over" in said
    assert (book / "a" / "forecast.nc").read_bytes() == before
    (book / "ledger.sqlite").unlink()
    assert bdfm_command("run", beside_a_ledger / "month.toml", "--check")[0] == 0


def test_results_of_no_ledger_beside_one_may_be_made_again(beside_a_ledger, bdfm_command):
    for code, _, err in ways(beside_a_ledger, bdfm_command):
        assert code == 0, err


def test_an_asset_that_is_zero_twice_counts_once(tmp_path, bdfm_command):
    """In a run file as on the command line and in Python."""
    text = "n_draws = 100\n[sampler]\ndraws = 20\ntune = 20\n[data]\ndemo = true\norigin = 2020-12-18\n"
    (tmp_path / "month.toml").write_text(text + 'zero = ["PEP", "AMD", "PEP"]\n')
    code, out, err = bdfm_command("run", tmp_path / "month.toml", "--check")
    assert code == 0, err
    assert "2 assets set to zero" in out
    assert read_run_file(tmp_path / "month.toml")[0].data.zero == ("PEP", "AMD")
