"""A book of funds with monthly prices, as Excel exports them: what the doors take and what they tell."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import bdfm
from bdfm.errors import DataError
from bdfm.risk.replays import replay_held
from bdfm.scoring.m6 import information_ratio, score_submission

FUNDS = ["Aktien Welt", "Aktien Europa", "Anleihen", "High Yield", "Gold", "Geldmarkt EUR"]
MONTHS = pd.date_range("2015-12-31", "2021-12-31", freq="ME")


@pytest.fixture(scope="module")
def monthly():
    rng = np.random.default_rng(3)
    moves = rng.normal(0.003, [0.04, 0.045, 0.015, 0.02, 0.04, 0.0003], (len(MONTHS), len(FUNDS)))
    return pd.DataFrame(100 * np.exp(np.cumsum(moves, axis=0)), MONTHS, FUNDS)


@pytest.fixture
def files(monthly, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table = monthly.rename_axis("Datum")
    table.to_csv("Preise.csv", sep=";", decimal=",", date_format="%d.%m.%Y", encoding="cp1252")
    classes = ["Aktien", "Aktien", "Zins", "Zins", "Real", "Real"]
    rows = [f"{a};{b}" for a, b in zip(FUNDS, classes, strict=True)]
    (tmp_path / "Fonds.csv").write_text("\n".join(["Fonds;Anlageklasse", *rows]))
    (tmp_path / "Bestand.csv").write_text("Fonds;Gewicht %\nAktien Welt;60,0\nAnleihen;40,0\n")
    return tmp_path


def test_check_takes_monthly_prices_as_a_forecast_by_months_would(files, bdfm_command):
    given = ("--prices", "Preise.csv", "--universe", "Fonds.csv", "--portfolio", "Bestand.csv")
    code, out, err = bdfm_command("check", *given, "--origin", "2021-12-31")
    assert code == 0, out + err
    assert "refuses this" not in out
    assert "--calendar-months" in out  # whole, in a column of a narrow terminal


def test_an_origin_between_two_monthly_prices_is_warned_of(files, bdfm_command):
    given = ("check", "--prices", "Preise.csv", "--universe", "Fonds.csv", "--json", "--origin")
    code, out, _ = bdfm_command(*given, "2021-12-28")
    assert code == 1
    assert "28 days after the last price (2021-11-30), and prices are monthly" in out
    assert bdfm_command(*given, "2022-01-03")[0] == 0  # the turn of the month


def test_a_fund_of_high_yield_bonds_is_no_yield(monthly):
    from bdfm.data.doubts.door import examine
    from bdfm.data.doubts.tables import Tables

    def named(name):
        found = examine(Tables("risk", prices=monthly.rename(columns={"High Yield": name})))
        return any("named like a yield" in f.seen for f in found)

    assert [named(x) for x in ("High Yield", "US High-Yield Corp", "Dividend Yield", "HighYielders")] == [
        False
    ] * 4
    assert [named(x) for x in ("Bund 10J Yield", "YTM", "US10Y yield high")] == [True] * 3


def test_what_is_accepted_is_told_as_a_shell_takes_it(files, bdfm_command, monthly):
    table = monthly.assign(**{"Bund Yield": monthly["Anleihen"]}).drop(columns="Anleihen")
    table.to_csv("Preise.csv", sep=";", decimal=",")
    _, _, err = bdfm_command("risk", "--prices", "Preise.csv")
    assert '--accept "not-prices:Bund Yield"' in err


def test_a_missing_column_is_told_with_the_file_and_other_names(files, bdfm_command):
    (files / "Bestand.csv").write_text("Ding;Gewicht %\nAktien Welt;60,0\n")
    code, _, err = bdfm_command("risk", "--prices", "Preise.csv", "--portfolio", "Bestand.csv")
    assert code == 2
    assert "portfolio Bestand.csv: missing column symbol; found ding, weight" in err
    assert "symbol (or ticker, tickers, symbols, tic, ...), weight" in err


def test_what_a_backtest_of_risk_lacks_is_told_before_the_tables(files, bdfm_command):
    given = ("--prices", "Preise.csv", "--portfolio", "Bestand.csv", "--window", "60", "--backtest", "24")
    code, out, err = bdfm_command("risk", *given)
    assert (code, "Volatility" in out) == (2, False)
    assert "a window of 60 and 24 to test need 84" in err


def test_a_month_of_one_price_has_no_information_ratio_and_all_other_scores(monthly):
    span = ("2021-11-30", "2021-12-31")
    assert np.isnan(information_ratio(monthly, {"Gold": 1.0}, *span))
    fifths = {f"Rank{k}": 0.2 for k in range(1, 6)}
    given = pd.DataFrame({"ID": FUNDS, **fifths, "Decision": 1 / 6})
    score = score_submission(given, monthly, *span)
    assert np.isnan(score.ir)
    assert score.rps == pytest.approx(score.equal_rps)


def test_a_day_without_a_price_near_is_told_with_the_days_around_it(monthly):
    with pytest.raises(DataError, match="the last before it is of 2021-09-30, the next one is of 2021-10-31"):
        bdfm.period_returns(monthly, "2021-10-29", "2021-12-31")


def test_a_window_inside_months_is_refused_and_whole_months_are_not(monthly):
    returns = monthly.pct_change(fill_method=None).iloc[1:]
    book = {"Gold": 1.0}
    with pytest.raises(DataError, match=r"they speak of 2020-02-01 to 2020-02-29.*2020-02-01\.\.2020-03-31"):
        replay_held(returns, book, windows={"crash": ("2020-02-20", "2020-03-23")})
    for window in (("2020-02-20", "2020-02-29"), ("2020-02-01", "2020-03-20")):  # begins, ends inside
        with pytest.raises(DataError, match="they speak of 2020-02-01 to 2020-02-29"):
            replay_held(returns, book, windows={"crash": window})
    first = returns.loc["2020-03-31":]  # the table's first month is as long as others
    with pytest.raises(DataError, match="they speak of 2020-03-01 to 2020-04-30"):
        replay_held(first, book, windows={"crash": ("2020-03-25", "2020-04-30")})
    replay_held(first, book, windows={"spring": ("2020-03-01", "2020-04-30")})
    found = replay_held(returns, book, windows={"crash": ("2020-02-01", "2020-03-31")})
    gold = monthly["Gold"]
    assert found["return"].item() == pytest.approx(gold["2020-03-31"] / gold["2020-01-31"] - 1)


def test_a_list_of_factor_moves_leaves_names_whole_in_a_narrow_terminal(files, bdfm_command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    rng = np.random.default_rng(4)
    moves = pd.DataFrame(rng.normal(0, 0.03, (len(MONTHS), 5)), MONTHS, [f"factor no {k}" for k in range(5)])
    moves.rename_axis("date").to_csv("factors.csv")
    given = ("--prices", "Preise.csv", "--portfolio", "Bestand.csv", "--factors", "factors.csv")
    code, out, err = bdfm_command("stress", *given, "--window", "60")
    assert code == 0, err
    table = out.split("Losing 10%")[1]
    assert "time-series" in table
    assert "Bestand" in table
