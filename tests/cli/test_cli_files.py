"""Commands take every form of file, say how it was read, and settle what has two meanings by options."""

import json
import re

import numpy as np
import pandas as pd
import pytest

from bdfm.cli.show import show_history
from bdfm.data.sources import demo
from bdfm.forecast import views
from bdfm.forecast.forecast import Forecast

pytestmark = pytest.mark.usefixtures("blank_pictures")

SYMBOLS = ["AAPL", "BAC", "CVX"]


@pytest.fixture
def tables():
    prices, _ = demo()
    return prices.loc["2019":"2020-02", SYMBOLS].round(2)


@pytest.fixture
def submission(tmp_path):
    path = tmp_path / "submission.csv"
    rows = [f"{s},0.2,0.2,0.2,0.2,0.2,{w}" for s, w in zip(SYMBOLS, (0.2, -0.1, 0.1), strict=True)]
    path.write_text("\n".join(["ID,Rank1,Rank2,Rank3,Rank4,Rank5,Decision", *rows]))
    return path


FORMS = {
    "european.csv": (
        lambda t: t.to_csv(sep=";", decimal=",", date_format="%d.%m.%Y"),
        "semicolon, decimal comma, dates 31.01.2022, wide form",
    ),
    "tab.txt": (lambda t: t.to_csv(sep="\t", date_format="%Y%m%d"), "tab, dates 20220131, wide form"),
    "yahoo.csv": (
        lambda t: (
            pd.concat({"Close": 2 * t, "Adj Close": t}, axis=1, names=["Price", "Ticker"])
            .rename_axis(index="Date")
            .to_csv()
        ),
        "comma, dates 2022-01-31, two-level columns, Adj Close",
    ),
    "long.csv": (
        lambda t: t.stack().rename("Close").rename_axis(["Date", "RIC"]).reset_index().to_csv(index=False),
        "comma, dates 2022-01-31, long form, Close",
    ),
}


@pytest.mark.parametrize("name", FORMS)
def test_score_is_the_same_from_every_form(bdfm_command, tmp_path, tables, submission, name):
    period = ["--origin", "2019-12-06", "--end", "2020-01-03", "--json"]
    score = ["score", "--submission", submission, *period, "--prices"]
    tables.to_csv(tmp_path / "plain.csv")
    _, plain, _ = bdfm_command(*score, tmp_path / "plain.csv")
    write, says = FORMS[name]
    (tmp_path / name).write_text(write(tables))
    code, out, err = bdfm_command(*score, tmp_path / name)
    assert code == 0
    assert json.loads(out) == pytest.approx(json.loads(plain), rel=1e-12)
    assert f"read: {name}: {says}" in err
    assert "read: submission.csv: comma" in err


def test_a_european_submission(bdfm_command, tmp_path, tables, submission):
    tables.to_csv(tmp_path / "plain.csv")
    score = ["score", "--origin", "2019-12-06", "--end", "2020-01-03", "--json", "--prices"]
    score += [tmp_path / "plain.csv", "--submission"]
    _, plain, _ = bdfm_command(*score, submission)
    submission.write_bytes(submission.read_text().replace(",", ";").replace(".", ",").encode("utf-16"))
    code, out, _ = bdfm_command(*score, submission)
    assert code == 0
    assert json.loads(out) == json.loads(plain)


def test_dates_with_two_meanings(bdfm_command, tmp_path, tables, submission):
    days = tables.loc["2019-12-01":"2019-12-12"]  # never a day beyond the 12th
    days.to_csv(tmp_path / "p.csv", date_format="%d/%m/%Y")
    files = ["score", "--submission", submission, "--prices", tmp_path / "p.csv", "--json"]
    code, _, err = bdfm_command(*files, "--origin", "2019-12-03", "--end", "2019-12-12")
    assert code == 2
    assert "has two meanings, 2 December 2019 or 12 February 2019" in err
    assert "write 2019-12-02 or 2019-02-12." in " ".join(err.split())
    assert "--date-format" in err
    code, out, _ = bdfm_command(
        *files, "--origin", "03/12/2019", "--end", "12/12/2019", "--date-format", "dmy"
    )
    assert code == 0
    assert np.isfinite(json.loads(out)["ir"])
    code, _, err = bdfm_command(*files, "--origin", "03/12/2019", "--end", "2019-12-12")
    assert code == 2
    assert "--origin: '03/12/2019' has two meanings" in err


@pytest.mark.parametrize(
    ("day", "message"),
    [("02/01/2020", "--origin: '02/01/2020' has two meanings"), ("2020", "--origin: 2020 is incomplete")],
)
def test_every_command_asks_what_a_day_means(bdfm_command, tmp_path, tables, day, message):
    tables.to_csv(tmp_path / "p.csv")
    (tmp_path / "u.csv").write_text("\n".join(SYMBOLS))
    files = ["--prices", tmp_path / "p.csv"]
    both = [*files, "--universe", tmp_path / "u.csv"]
    out = ["--out", tmp_path / "out"]
    commands = {
        "--origin": [["risk", *files, "--origin", day], ["forecast", *both, *out, "--origin", day]],
        "--first": [["backtest", "m6", *both, *out, "--first", day, "--last", "2020-01-31"]],
        "--start": [
            ["exposures", *files, "--factors", tmp_path / "p.csv", "--unit", "decimal", *out, "--start", day]
        ],
    }
    if "incomplete" in message:
        commands.pop("--start")  # the file of factors, which holds prices, is refused before
    for option, given in commands.items():
        for command in given:
            code, _, err = bdfm_command(*command)
            assert code == 2, command
            if option != "--start":
                assert message.replace("--origin", option) in err
            assert not (tmp_path / "out").exists()


def test_other_spellings_are_suggested_and_aliases_taken(bdfm_command, tmp_path, tables):
    tables.rename(columns={"AAPL": "BF-B"}).to_csv(tmp_path / "p.csv")
    (tmp_path / "w.csv").write_text("Ticker;Weight\nbf.b;50%\nBAC;50%\n")
    risk = [
        "risk",
        "--prices",
        tmp_path / "p.csv",
        "--portfolio",
        tmp_path / "w.csv",
        "--model",
        "statistical",
    ]
    risk += ["--window", 40]
    code, _, err = bdfm_command(*risk)
    assert code == 2
    assert "Did you mean BF-B? --alias bf.b=BF-B" in err
    code, out, _ = bdfm_command(*risk, "--alias", "bf.b=BF-B")
    assert code == 0
    assert "read: p.csv: comma" in out
    assert "read: w.csv: semicolon; percent signs read as hundredths" in out
    code, _, err = bdfm_command(*risk, "--alias", "bf.b")
    assert code == 2
    assert "'bf.b' is not of the form OLD=NEW" in err


def test_a_run_file_says_how_its_files_are_written(bdfm_command, tmp_path):
    prices, universe = demo()
    given = prices.loc["2016":"2020", list(universe["symbol"])[-8:]].rename(columns={"SIZE": "SZ"})
    given.to_csv(tmp_path / "p.csv", sep=";", decimal=",", date_format="%d.%m.%Y")
    (tmp_path / "u.csv").write_text("\n".join(universe["symbol"].iloc[-8:]))
    run = tmp_path / "m.toml"
    run.write_text(
        'model = "m6"\n[data]\nprices = "p.csv"\nuniverse = "u.csv"\norigin = "18/12/2020"\n'
        'date_format = "dmy"\n[aliases]\nSZ = "SIZE"\n'
    )
    code, out, err = bdfm_command("run", run, "--check")
    assert code == 0, err
    assert "read: p.csv: semicolon, decimal comma, dates 31.01.2022, wide form; SZ as SIZE" in out
    assert 'read: u.csv: a list of symbols; all of one class, "asset"' in out
    run.write_text(run.read_text().replace("18/12/2020", "11/12/2020").replace('"dmy"', '"x"'))
    code, _, err = bdfm_command("run", run, "--check")
    assert code == 2
    assert "'x' says nothing about dates" in err


def test_what_a_view_of_a_volatility_does_is_in_the_sd(capsys):
    """The median and the fifths hardly move; the line said that nothing had happened."""
    rng = np.random.default_rng(1)
    days = {"origin": "2022-02-04", "end": "2022-03-04"}
    draws = rng.normal(0, 0.05, (20_000, 3))
    made = Forecast.from_draws(draws, assets=SYMBOLS, asset_class=["s"] * 3, **days)
    show_history(made.with_views(views.parse("vol(AAPL) = 1.2x", semantics="constraint")))
    assert re.search(r"AAPL: median \S+ -> \S+ %, sd 5\.0 -> 6\.0 %, lowest", capsys.readouterr().out)
    show_history(made.scale("AAPL", 1.5).shift("BAC", 0.01))
    scaled, shifted = capsys.readouterr().out.split("2. ")
    assert "sd 5.0 -> 7.5 %" in scaled
    assert "sd" not in shifted


@pytest.mark.parametrize(
    ("words", "end"),
    [
        (["view", "x", "A > B", "--out", "new.csv"], ".nc"),
        (["edit", "x", "delisted A", "--out", "new.html"], ".nc"),
        (["decide", "x", "--out", "new.csv"], ".nc"),
        (["decide", "x", "--submission", "new.nc"], ".csv"),
        (["report", "x", "--out", "new.nc"], ".html"),
        (["track", "x", "--prices", "x", "--out", "new.toml"], ".html"),
        (["compare", "x", "--out", "new.csv"], ".html"),
        (["roll", "x", "--origin", "2021-01-01", "--out", "new.csv"], ".toml"),
        (["report", "x", "--out", "page.pdf"], ".html"),
        (["decide", "x", "--submission", "new.xlsx"], ".csv"),
    ],
)
def test_files_are_written_under_names_that_say_what_they_hold(
    words, end, bdfm_command, tmp_path, monkeypatch
):
    """Before anything is read: what is named x is no file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x").mkdir()
    code, _, err = bdfm_command(*words)
    assert code == 2
    assert f"Let the name end in {end}." in " ".join(err.split())
    assert [p.name for p in tmp_path.iterdir()] == ["x"]
