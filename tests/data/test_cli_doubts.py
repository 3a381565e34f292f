"""Doubts on the command line: one message, the name of the rule, exit code 2, nothing written."""

import json
import shlex
from pathlib import Path

import doubt_cases as cases
import numpy as np
import pandas as pd
import pytest
from few import few

from bdfm.risk import simple_returns

pytestmark = pytest.mark.usefixtures("blank_pictures")

SHARED_CASES = Path(__file__).resolve().parents[3] / "shared" / "cases"


@pytest.fixture
def files(tmp_path):
    """Writer of tables as files; returns the folder."""

    def write(prices=None, factors=None, book=None):
        prices = cases.clean_prices() if prices is None else prices
        prices.rename_axis("date").to_csv(tmp_path / "prices.csv")
        factors = cases.clean_factors() if factors is None else factors
        factors.rename_axis("date").to_csv(tmp_path / "factors.csv")
        universe = pd.DataFrame({"symbol": prices.columns, "asset_class": "stock"})
        universe.to_csv(tmp_path / "universe.csv", index=False)
        end = prices.index[-1]
        rows = [[s, *[0.2] * 5, 0.1] for s in prices.columns]
        head = ["ID", *(f"Rank{k}" for k in range(1, 6)), "Decision"]
        pd.DataFrame(rows, columns=head).to_csv(tmp_path / "submission.csv", index=False)
        book = {s: 1 / len(prices.columns) for s in prices.columns} if book is None else book
        pd.Series(book, name="weight").rename_axis("symbol").to_csv(tmp_path / "book.csv")
        (tmp_path / "month.toml").write_text(
            f'[data]\norigin = {end:%Y-%m-%d}\nprices = "prices.csv"\nuniverse = "universe.csv"\n'
        )
        return tmp_path, end

    return write


def command(name, folder, end):
    """Arguments of a command on the files."""
    prices, universe = ("--prices", folder / "prices.csv"), ("--universe", folder / "universe.csv")
    out = ("--out", folder / "out")
    return {
        "forecast": ("forecast", *prices, *universe, "--origin", f"{end:%Y-%m-%d}", *out),
        "run": ("run", folder / "month.toml", "--check"),
        "risk": ("risk", *prices, "--portfolio", folder / "book.csv", "--model", "statistical", *out),
        "exposures": ("exposures", *prices, "--factors", folder / "factors.csv", "--unit", "decimal",
                      "--method", "constant", *out),
        "score": ("score", *prices, "--submission", folder / "submission.csv",
                  "--origin", f"{end - pd.Timedelta(days=28):%Y-%m-%d}", "--end", f"{end:%Y-%m-%d}"),
        "backtest": ("backtest", "equal", *prices, *universe, "--first", "2019-09-06", "--last", "2019-11-01",
                     *out),
        "check": ("check", *prices, *universe, "--factors", folder / "factors.csv", "--portfolio",
                  folder / "book.csv", "--origin", f"{end:%Y-%m-%d}"),
    }[name]  # fmt: skip


def late(change, column="S6", rows=slice(-15, None)):
    prices = cases.clean_prices()
    at = prices.columns.get_loc(column)
    prices.iloc[rows, at] = change(prices.iloc[rows, at])
    return {"prices": prices}


def changed(group, case):
    return {"prices": group[case][1](cases.clean_prices())}


def factors(case):
    return {"factors": cases.FACTORS[case][1](cases.clean_factors())}


TRIES = [
    ("forecast", "unit-step", lambda: late(lambda x: x / 100)),
    ("run", "unit-step", lambda: late(lambda x: 1000 * x, "S1")),
    ("risk", "unit-step", lambda: late(lambda x: 100 * x, "S4", slice(-200, -100))),
    ("exposures", "unit-step", lambda: late(lambda x: x / 100, "S2", slice(300, None))),
    ("score", "unit-step", lambda: late(lambda x: 100 * x)),
    ("backtest", "unit-step", lambda: late(lambda x: 100 * x, "S0", slice(200, 300))),
    ("check", "unit-step", lambda: late(lambda x: 100 * x, "S7")),
    ("forecast", "constant-price", lambda: changed(cases.OF_A_PANEL, "cash at par")),
    ("run", "constant-price", lambda: changed(cases.OF_A_PANEL, "cash")),
    ("check", "constant-price", lambda: changed(cases.OF_A_PANEL, "padded")),
    ("exposures", "constant-price", lambda: changed(cases.OF_A_PANEL, "cash")),
    ("forecast", "sampling", lambda: changed(cases.OF_A_PANEL, "one weekly asset")),
    ("run", "sampling", lambda: changed(cases.OF_A_PANEL, "one weekly asset")),
    ("backtest", "sampling", lambda: changed(cases.OF_A_PANEL, "one weekly asset")),
    ("risk", "ohlcv", lambda: changed(cases.PRICES, "fields of one symbol")),
    ("forecast", "ohlcv", lambda: changed(cases.PRICES, "fields by name")),
    ("risk", "ohlcv", lambda: changed(cases.PRICES, "a volume")),
    ("exposures", "collinear-factors", lambda: factors("a sum")),
    ("exposures", "factor-unit", lambda: factors("one column in percent")),
    ("check", "factor-unit", lambda: factors("decimals read as percent")),
    ("exposures", "missing-code", lambda: factors("odd twice")),
    ("forecast", "twins", lambda: changed(cases.PRICES, "a copy with rounding")),
    ("backtest", "twins", lambda: changed(cases.PRICES, "a copy")),
    ("forecast", "not-prices", lambda: changed(cases.PRICES, "gross returns")),
    ("risk", "not-prices", lambda: changed(cases.PRICES, "100 + percent")),
    ("forecast", "stale-end", lambda: changed(cases.OF_A_PANEL, "ended")),
    ("risk", "portfolio", lambda: {"book": {"S0": 60, "S3": 40}}),
]


@pytest.mark.parametrize(
    ("name", "rule", "make"), TRIES, ids=[f"{n}-{r}-{k}" for k, (n, r, _) in enumerate(TRIES)]
)
def test_a_mistake_is_one_message_and_exit_code_2(bdfm_command, files, name, rule, make):
    folder, end = files(**make())
    code, out, err = bdfm_command(*command(name, folder, end))
    assert code == 2, err
    text = " ".join((out if name == "check" else err).split())
    assert rule in text
    assert "Traceback" not in err
    assert not (folder / "out").exists()


@pytest.mark.parametrize("name", ["risk", "score"])
def test_what_is_accepted_goes_through(bdfm_command, files, name):
    folder, end = files(**late(lambda x: 100 * x))
    assert bdfm_command(*command(name, folder, end))[0] == 2
    code, _, err = bdfm_command(*command(name, folder, end), "--accept", "unit-step:S6")
    assert code == 0, err
    code, _, err = bdfm_command(*command(name, folder, end), "--accept", "unit-stop:S6")
    assert code == 2
    assert "unknown rule unit-stop" in err


@pytest.mark.parametrize("name", ["run", "risk", "exposures", "score", "backtest", "check"])
def test_a_price_that_stands_still_over_the_end_of_a_period_is_told(bdfm_command, files, name):
    folder, end = files(**late(lambda x: 0 * x + x.iloc[0], "S6", slice(-36, -12)))
    words = (*command(name, folder, end), *(["--json"] if name == "check" else []))
    code, out, err = bdfm_command(*words)
    told = " ".join((out if name == "check" else err).split())
    assert code == int(name == "check"), err
    first, last = (f"{cases.DAYS[k]:%Y-%m-%d}" for k in (-36, -12))
    assert f"S6 has no new price for 34 days, from {first} to {last}" in told
    if name in ("run", "check"):
        lost = f"2 of its returns are missing, that to {end - pd.Timedelta(days=28):%Y-%m-%d} first"
        assert lost in told
    accepted = (folder / "month.toml").read_text()
    (folder / "month.toml").write_text(f'accept = ["no-new-price:S6"]\n{accepted}')
    options = [] if name == "run" else ["--accept", "no-new-price:S6"]
    code, _, err = bdfm_command(*words, *options)
    assert code == 0, err
    assert "no-new-price" not in err


@pytest.mark.parametrize(
    "name", few(["run", "risk", "exposures", "score", "backtest", "check"], ("run", "score", "backtest"))
)
def test_an_alias_that_matches_nothing_is_told(bdfm_command, files, name):
    folder, end = files()
    text = (folder / "month.toml").read_text()

    def call(aliases, *accept):
        options = [x for pair in aliases.items() for x in ("--alias", "=".join(pair))]
        options += [x for rule in accept for x in ("--accept", rule)]
        if name == "run":
            table = "".join(f'{old} = "{new}"\n' for old, new in aliases.items())
            (folder / "month.toml").write_text(f"accept = {list(accept)}\n{text}[aliases]\n{table}")
            options = []
        if name == "check":
            options.append("--json")
        return bdfm_command(*command(name, folder, end), *options)

    code, out, err = call({"S6": "T6"})
    assert code == 0, err
    assert "[alias]" not in err
    assert "no file has" not in out
    code, out, err = call({"S6": "T6", "FB": "META"})
    told = " ".join((out if name == "check" else err).split())
    assert code == int(name == "check")
    assert "no file has the symbol of FB = META" in told
    code, out, err = call({"S6": "T6", "FB": "META"}, "alias:FB")
    assert code == 0, err
    assert "[alias]" not in err


def test_a_run_file_accepts(bdfm_command, files):
    folder, _ = files(**late(lambda x: 100 * x))
    assert bdfm_command("run", folder / "month.toml", "--check")[0] == 2
    text = (folder / "month.toml").read_text()
    (folder / "month.toml").write_text('accept = ["unit-step:S6"]\n' + text)
    code, _, err = bdfm_command("run", folder / "month.toml", "--check")
    assert code == 0, err


@pytest.mark.parametrize(
    ("evidence", "code"), [("S0=2.0,10", 2), ("S0 = 5 +- 1", 2), ("S0=0.02,1e-300", 2), ("S0=0.02,1e-9", 2)]
)
def test_evidence_in_percent(bdfm_command, files, evidence, code):
    folder, end = files()
    found, _, err = bdfm_command(*command("forecast", folder, end), "--evidence", evidence)
    assert found == code
    assert "[statement-unit]" in err


@pytest.mark.drawn
def test_check_shows_all_and_writes_them(bdfm_command, files):
    prices = late(lambda x: 100 * x)["prices"].assign(S3=cases.clean_prices()["S0"])
    folder, end = files(prices=prices, **factors("twice"))
    code, out, err = bdfm_command(*command("check", folder, end), "--json", "--out", folder / "out")
    assert code == 2, err
    found = json.loads(out)
    assert {f["rule"] for f in found["findings"]} == {"unit-step", "twins", "collinear-factors"}
    assert json.loads((folder / "out" / "findings.json").read_text()) == found
    assert (folder / "out" / "coverage.png").stat().st_size > 5000
    assert "collinear-factors" in (folder / "out" / "findings.html").read_text()


@pytest.mark.parametrize(("change", "code"), [(lambda p: p, 0), (cases.WARNED["split"][1], 1)])
def test_exit_codes_of_check(bdfm_command, files, change, code):
    folder, end = files(prices=change(cases.clean_prices()))
    assert bdfm_command(*command("check", folder, end))[0] == code


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("case", "rule"),
    [
        ("collinear-factors", "collinear-factors"),
        ("constant-price", "constant-price"),
        ("decimals-read-as-percent", "factor-unit"),
        ("unit-change", "unit-step"),
    ],
)
def test_given_cases(bdfm_command, monkeypatch, tmp_path, case, rule):
    folder = SHARED_CASES / case
    if not folder.is_dir():
        pytest.skip(f"no case at {folder}")
    monkeypatch.chdir(folder)
    lines = [line for line in (folder / "run.sh").read_text().splitlines() if line.startswith("bdfm ")]
    if case == "unit-change":
        lines = lines[:1]
    assert lines
    for line in lines:
        words = shlex.split(line.partition(" #")[0])[1:]
        if "--out" in words:
            words[words.index("--out") + 1] = str(tmp_path / "out")
        code, _, err = bdfm_command(*words)
        assert code == 2, err
        assert f"[{rule}]" in err
        if case == "constant-price":
            assert "the price of CASH has not changed since 2019-01-01" in err
            assert "--zero" in err


def test_one_symbols_file_is_one_asset(bdfm_command, tmp_path):
    closes = cases.clean_prices()["S0"]
    table = closes.to_frame("Open").assign(High=1.01 * closes, Low=0.99 * closes, Close=closes)
    table = table.assign(**{"Adj Close": 0.97 * closes, "Volume": np.round(1e6 * closes)})
    table.rename_axis("Date").to_csv(tmp_path / "S0.csv")
    code, out, err = bdfm_command("risk", "--prices", str(tmp_path / "S0.csv"), "--model", "statistical")
    assert code == 0, err
    weekly = simple_returns(closes.to_frame(), period="1w", window=104, accept=None)["S0"]
    assert f"{100 * 2 * weekly.std():.2f}" in out
