"""Whatever a command refuses about files, ``bdfm check`` of the same files says."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from case_tables import (
    ALIKE,
    FACTORS,
    LATE,
    MONTHS,
    NAMES,
    ORIGIN,
    PRICES,
    UNITS,
    WEEKS,
    coded,
    ended,
    put,
    still,
    times,
)

from bdfm.data.doubts.rule import RULES

BOOK = pd.DataFrame({"symbol": NAMES, "weight": 1 / 6})
UNIVERSE = pd.DataFrame({"symbol": NAMES, "asset_class": "x"})
CLEAN = {"prices": PRICES, "factors": FACTORS, "universe": UNIVERSE, "book": BOOK}
FAULTS = {
    "nothing": {},
    "a code in factors": {"factors": coded("-99.99 of a rate", 1)},
    "a factor with a blank": {"factors": put(FACTORS, "SMB", [-5], np.nan)},
    "factors of half of the days": {"factors": FACTORS.iloc[::2]},
    "factors of other years": {"factors": FACTORS.set_axis(FACTORS.index + pd.Timedelta(days=3000))},
    "factors in percent": {"factors": 100 * FACTORS},
    "a factor twice": {"factors": ALIKE["twice"](FACTORS)},
    "cash": {"prices": still("cash at 100")[1]},
    "an asset that ended": {"prices": ended("F")},
    "few prices": {"prices": PRICES.iloc[-60:]},
    "very few prices": {"prices": PRICES.iloc[-5:]},
    "weekly prices": {"prices": WEEKS},
    "monthly prices": {"prices": MONTHS},
    "one weekly asset": {"prices": PRICES.assign(C=PRICES["C"][PRICES.index.isin(WEEKS.index)])},
    "a unit": {"prices": UNITS["pence from the middle on"]()},
    "a split before the origin": {"prices": times("E", slice(-8, None), 0.5)},
    "a price of zero": {"prices": put(PRICES, "B", [LATE], 0.0)},
    "a copy": {"prices": PRICES.assign(B=2 * PRICES["A"])},
    "an asset without a price": {"prices": PRICES.assign(D=np.nan)},
    "a symbol without prices": {"universe": UNIVERSE.replace({"A": "Z"})},
    "one asset": {"universe": UNIVERSE.iloc[:1]},
    "weights in percent": {"book": BOOK.assign(weight=100 / 6)},
}  # fmt: skip


@pytest.fixture
def call(bdfm_command, tmp_path):
    def run(name, given, origin):
        tables = CLEAN | given
        for key, table in tables.items():
            own = key in ("prices", "factors")
            (table.rename_axis("date") if own else table).to_csv(tmp_path / f"{key}.csv", index=own)
        files = {k: ("--book" if k == "book" else f"--{k}", tmp_path / f"{k}.csv") for k in tables}
        files["book"] = ("--portfolio", tmp_path / "book.csv")
        (tmp_path / "m.toml").write_text(
            f'[data]\norigin = "{ORIGIN}"\nprices = "prices.csv"\nuniverse = "universe.csv"\n'
        )
        out = ("--out", tmp_path / "out")
        words, needs = {
            "run": (("run", tmp_path / "m.toml", "--check"), ("universe",)),
            "risk": (("risk", *files["prices"], *files["book"], "--model", "statistical"), ("book",)),
            "factor risk": (
                ("risk", *files["prices"], *files["factors"], "--model", "time-series"), ("factors",)
            ),
            "exposures": (
                ("exposures", *files["prices"], *files["factors"], "--unit", "decimal",
                 "--method", "constant", *out),
                ("factors",),
            ),
            "backtest": (
                ("backtest", "equal", *files["prices"], *files["universe"], "--first", "2021-09-03", "--last",
                 "2021-10-01", *out),
                ("universe",),
            ),
        }[name]  # fmt: skip
        code, _, err = bdfm_command(*words)
        check = ["check", *files["prices"], "--json", *(x for n in needs for x in files[n])]
        found, out, error = bdfm_command(*check, *(("--origin", ORIGIN) if origin else ()))
        return code, err, found, out or error

    return run


COMMANDS = ("run", "risk", "factor risk", "exposures", "backtest")
# what the fast tests try of the table; the rest is long
FAST = {
    "run": ("cash", "few prices", "one weekly asset", "a symbol without prices", "a split before the origin"),
    "risk": ("nothing", "an asset that ended", "very few prices", "weights in percent"),
    "factor risk": ("factors of half of the days", "a factor with a blank"),
    "exposures": ("a code in factors", "cash", "factors of other years", "an asset without a price"),
    "backtest": ("one weekly asset", "one asset"),
}
CELLS = [
    pytest.param(fault, name, marks=() if fault in FAST[name] else pytest.mark.long)
    for name in COMMANDS
    for fault in FAULTS
]


@pytest.mark.parametrize(("fault", "name"), CELLS)
def test_check_says_what_a_command_refuses(call, fault, name):
    code, err, found, said = call(name, FAULTS[fault], origin=name == "run")
    if code == 0:
        assert found < 2 or name != "run", said
        if fault == "nothing":
            assert found == 0, said
        return
    assert code == 2, err
    if "Error: origins:" in err:  # of the days that were typed, not of the files
        return
    if fault == "monthly prices" and name == "run":  # fit for months: what a run file has to say is noted
        assert "--calendar-months" in err
        assert "--calendar-months" in said
        return
    assert found > 0, err
    if name == "run":
        assert found == 2
    rules = {r for r in RULES if f"[{r}]" in err}
    if rules and said.startswith("{"):
        assert rules <= {f["rule"] for f in json.loads(said)["findings"]}


def test_what_a_command_refuses_is_told_with_its_name(call):
    code, _, found, said = call("exposures", {"factors": put(FACTORS, "SMB", [50], np.nan)}, origin=False)
    assert (code, found) == (2, 1)  # risk, whose window begins later, takes them
    (finding,) = (f for f in json.loads(said)["findings"] if f["rule"] == "command")
    assert finding["seen"].startswith("bdfm exposures refuses this: ")
    assert "SMB" in finding["seen"]
    assert finding["severity"] == "warn"


def test_a_symbol_without_prices_is_told_beside_what_rules_refuse(call):
    fault = {"prices": put(PRICES.drop(columns=["F"]), "B", [LATE], 100 * PRICES["B"].iloc[LATE])}
    code, _, found, said = call("run", fault, origin=True)
    assert (code, found) == (2, 2)
    told = {f["rule"]: f for f in json.loads(said)["findings"] if f["severity"] == "refuse"}
    assert set(told) == {"unit-step", "command"}
    assert "(F)" in told["command"]["seen"]


def test_weights_in_percent_are_a_finding_among_others(bdfm_command, tmp_path):
    prices = put(PRICES, "B", [LATE], 100 * PRICES["B"].iloc[LATE])
    prices.rename_axis("date").to_csv(tmp_path / "prices.csv")
    BOOK.assign(weight=100 / 6).to_csv(tmp_path / "book.csv", index=False)
    words = ("check", "--prices", tmp_path / "prices.csv", "--portfolio", tmp_path / "book.csv")
    code, said, err = bdfm_command(*words, "--json", "--out", tmp_path / "out")
    assert code == 2, err
    told = {f["rule"]: f for f in json.loads(said)["findings"] if f["severity"] == "refuse"}
    assert {"unit-step", "portfolio"} <= set(told)
    assert "sum to 100" in told["portfolio"]["seen"]
    assert {p.name for p in (tmp_path / "out").iterdir()} >= {
        "findings.json",
        "findings.html",
        "coverage.png",
    }


@pytest.mark.parametrize("universe", [True, False])
def test_an_origin_before_the_first_price_is_refused(bdfm_command, tmp_path, universe):
    days = pd.bdate_range("2020-01-01", periods=30)
    prices = pd.DataFrame(100.0 + np.arange(30)[:, None] % [3, 4, 5], days, list("ABC")).rename_axis("date")
    prices.to_csv(tmp_path / "prices.csv")
    (tmp_path / "universe.csv").write_text("symbol,asset_class\nA,s\nB,s\nC,s\n")
    words = ["check", "--prices", str(tmp_path / "prices.csv"), "--origin", "1900-01-01"]
    code, out, _ = bdfm_command(*words, *(["--universe", str(tmp_path / "universe.csv")] if universe else []))
    assert code == 2
    assert "1 refuse" in out
    assert re.search(r"refuse +stale-end +prices +the origin 1900-01-01", out)
