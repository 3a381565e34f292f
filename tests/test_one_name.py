"""One name for one thing at all doors: options of commands, keys of run files, arguments in Python."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import importlib
import inspect
import pickle
import re
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import typer
from pydantic import BaseModel

import bdfm
from bdfm import _renamed
from bdfm.cli.app import app
from bdfm.data.panel import Panel
from bdfm.data.sources import demo
from bdfm.errors import DataError, RenamedWarning
from bdfm.inference.settings import SamplerSettings
from bdfm.ledger.track import track
from bdfm.portfolio.mandate import Mandate
from bdfm.portfolio.methods import DecisionSettings
from bdfm.report.run_file import DataTable, EvidenceTable, RunFile
from bdfm.risk import StatisticalEstimator, hedge, simple_returns
from bdfm.scoring.alarm import Alarm
from bdfm.validation import select_factors, validate

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "docs" / "_ext"))
described = importlib.import_module("described")
sys.path.remove(str(ROOT / "docs" / "_ext"))
PAGE = (ROOT / "docs" / "names.md").read_text(encoding="utf-8")

COMMANDS = {
    name: {p.opts[0]: p for p in command.params if p.opts[0].startswith("--") and not p.hidden}
    for name, command in typer.main.get_command(app).commands.items()
}
TABLES: dict[str, type[BaseModel]] = {
    "": RunFile, "data": DataTable, "evidence": EvidenceTable, "sampler": SamplerSettings,
    "decision": DecisionSettings, "mandate": Mandate,
}  # fmt: skip

# What a thing is called, and what it is called nowhere: of options, keys and arguments, in their spelling
NAMES = {
    "assets whose return is zero": ("zero", r"inactive|delisted"),
    "periods after which one counts half": ("half_life_periods", r"half_life|half_?lives|decay"),
    "asset that is spoken of": ("asset", r"symbol|ticker|security|instrument"),
    "day of a forecast": ("origin", r"base|forecast_(day|date)|origin_(day|date)|as_of_date"),
    "chance that what is right is called wrong": ("false_alarm", r"significance|alpha_level|test_level"),
    "weights whose risk is measured": ("weights", r"book|book_weights|portfolio_weights"),
    "weights before trading": ("holdings", r"held|current_weights|previous_weights"),
    "predictive draws": ("n_draws", r"num_draws|n_predictive|predictive_draws|draws_n"),
    "kept draws of a chain": ("draws", r"num_samples|kept_draws|n_samples_kept"),
    "doubts that are right": ("accept", r"accepted|ignore_doubts|allow"),
    "randomness": ("seed", r"rng_seed|random_state|seed_number"),
    "earlier posterior": ("warm_from", r"warm_start|start_from|init_from"),
    "where results go": ("out", r"page|output|out_path|target_file|destination"),
    "budget of memory": ("memory", r"max_memory|memory_limit|ram"),
}
OTHER_SENSE = {"bdfm.sktime", "bdfm.skfolio"}  # arguments are named as those projects name them


def doors() -> dict[str, set[str]]:
    """Names by door, dashes as underscores."""
    found = {f"bdfm {name}": {o[2:].replace("-", "_") for o in options} for name, options in COMMANDS.items()}
    found |= {f"run file [{name}]": set(table.model_fields) for name, table in TABLES.items()}
    for room in described.ROOMS:
        if room in OTHER_SENSE:
            continue
        for name, thing in described.names_of(room).items():
            made = [(name, thing)]
            if isinstance(thing, type):
                made += [(f"{name}.{m}", getattr(thing, m)) for m in vars(thing) if not m.startswith("_")]
            for at, one in made:
                if callable(one) and not isinstance(one, property):
                    try:
                        found[f"{room}.{at}"] = set(inspect.signature(one).parameters)
                    except (TypeError, ValueError):
                        continue
    return found


DOORS = doors()


def test_all_kinds_of_doors_are_looked_at():
    assert len(DOORS) > 300
    assert {"bdfm track", "run file [data]", "bdfm.Panel.from_prices", "bdfm.fit"} <= set(DOORS)


@pytest.mark.parametrize("thing", NAMES)
def test_a_thing_is_called_alike_at_all_doors(thing):
    name, others = NAMES[thing]
    assert any(name in names for names in DOORS.values())
    wrong = {door: {n for n in names if re.fullmatch(others, n)} for door, names in DOORS.items()}
    wrong = {door: names for door, names in wrong.items() if names}
    assert not wrong, f"{thing} is called {name}"


@pytest.mark.parametrize(
    ("name", "where"),
    [
        ("zero", ("bdfm forecast", "bdfm check", "run file [data]", "bdfm.Panel.from_prices")),
        ("origin", ("bdfm forecast", "bdfm roll", "bdfm score", "bdfm risk", "run file [data]",
                    "bdfm.Panel.from_prices", "bdfm.score_submission", "bdfm.Forecast.from_draws")),
        ("horizon", ("bdfm forecast", "run file [data]", "run file [evidence]", "bdfm.Posterior.forecast",
                     "bdfm.Evidence")),
        ("draws", ("bdfm forecast", "bdfm backtest", "run file [sampler]", "bdfm.SamplerSettings")),
        ("n_draws", ("bdfm forecast", "bdfm backtest", "run file []", "bdfm.Posterior.forecast")),
        ("accept", ("bdfm forecast", "run file []", "bdfm.Panel.from_prices", "bdfm.score_submission")),
        ("level", ("bdfm risk", "run file [decision]", "run file [mandate]", "bdfm.portfolio_risk",
                   "bdfm.validation.backtest_tail")),
        ("holdings", ("bdfm decide", "run file []", "bdfm.decide")),
        ("false_alarm", ("bdfm track", "bdfm.validation.validate", "bdfm.validation.select_factors")),
        ("half_life_periods", ("bdfm risk", "bdfm stress", "bdfm.risk.StatisticalEstimator",
                               "bdfm.risk.TimeSeriesEstimator", "bdfm.risk.CrossSectionalEstimator")),
        ("warm_from", ("bdfm forecast", "run file []", "bdfm.fit")),
        ("evidence", ("bdfm forecast", "run file []", "bdfm.fit")),
        ("memory", ("bdfm forecast", "bdfm run", "run file []", "bdfm.fit", "bdfm.Forecast.load")),
        ("method", ("bdfm decide", "run file [decision]")),
        ("max_weight", ("bdfm decide", "run file [decision]")),
    ],
)  # fmt: skip
def test_these_doors_know_it(name, where):
    assert [door for door in where if name not in DOORS[door]] == []


def test_a_level_is_that_of_a_tail():
    """0.95 at one door and 0.05 at another was one name for two things."""
    defaults = {}
    for room in described.ROOMS:
        for name, thing in described.names_of(room).items():
            if callable(thing) and "level" in (found := _parameters(thing)):
                defaults[name] = found["level"].default
    assert len(defaults) > 5
    known = {x for x in defaults.values() if isinstance(x, float)}
    assert known == {0.95}
    assert {o["--level"].default for o in COMMANDS.values() if "--level" in o} == {0.95}


def _parameters(thing):
    try:
        return inspect.signature(thing).parameters
    except (TypeError, ValueError):
        return {}


def test_options_that_differ_between_commands_stand_on_the_page():
    """An option says the same wherever it is, or the page says what each makes of it."""
    said: dict[str, set[str]] = {}
    for options in COMMANDS.values():
        for name, option in options.items():
            said.setdefault(name, set()).add(option.help or "")
    part = PAGE.partition("## One name, several things")[2].partition("## Renamed")[0]
    rows = set(re.findall(r"^\| `(--[a-z-]+)` \|", part, re.M))
    differing = {name for name, texts in said.items() if len(texts) > 1}
    assert len(differing) > 10
    assert rows == differing


def test_options_and_arguments_of_the_page_exist():
    options = {o for command in COMMANDS.values() for o in command}
    now, _, before = PAGE.partition("## Renamed")
    assert set(re.findall(r"`(--[a-z-]+)`", now)) <= options
    old = {f"bdfm {c} {o}": n for c, names in _renamed.OPTIONS.items() for o, n in names.items()}
    for words, new in old.items():
        command, option = words.split()[1:]
        assert option not in COMMANDS[command]
        assert new in COMMANDS[command]
        assert f"`{words}`" in before
        assert f"`{new}`" in before


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["track", "b", "--level", "0.1", "--page=x.html"],
         ["track", "b", "--false-alarm", "0.1", "--out=x.html"]),
        (["decide", "f.nc", "--portfolio", "p.csv"], ["decide", "f.nc", "--holdings", "p.csv"]),
        (["score", "--start", "2021-12-31"], ["score", "--origin", "2021-12-31"]),
        (["stress", "--half-life", "9"], ["stress", "--half-life-periods", "9"]),
    ],
)  # fmt: skip
def test_an_old_option_is_taken_with_a_warning(given, expected):
    with pytest.warns(RenamedWarning, match="is called --"):
        assert _renamed.words(given) == expected


def test_other_words_stay():
    for given in (
        ["risk", "--level", "0.9", "--portfolio", "p.csv"],
        ["--version"],
        [],
        ["track", "--", "--level"],
    ):
        with warnings.catch_warnings(action="error"):
            assert _renamed.words(given) == given


def test_a_user_sees_the_new_name(bdfm_command, tmp_path):
    prices, _ = demo()
    prices.to_csv(tmp_path / "prices.csv")
    fifths = {f"Rank{k}": 0.2 for k in range(1, 6)}
    pd.DataFrame({"ID": prices.columns, **fifths, "Decision": 0.01}).to_csv(tmp_path / "s.csv", index=False)
    files = ("score", "--submission", tmp_path / "s.csv", "--prices", tmp_path / "prices.csv", "--json")
    new = bdfm_command(*files, "--origin", "2021-12-31", "--end", "2022-01-28")
    old = bdfm_command(*files, "--start", "2021-12-31", "--end", "2022-01-28")
    assert new[0] == old[0] == 0
    assert old[1] == new[1]
    assert "Warning: score: --start is called --origin now. Write --origin" in " ".join(old[2].split())
    assert "is called" not in new[2]


def test_old_arguments_are_taken_with_a_warning_and_not_beside_the_new():
    prices, universe = demo()
    with pytest.warns(RenamedWarning, match=r"Panel.from_prices: inactive is called zero now"):
        panel = Panel.from_prices(prices, universe, origin="2021-12-31", inactive=["RRC"])
    assert panel.zero == ("RRC",)
    with pytest.warns(FutureWarning, match="Panel: inactive is called zero now"):
        assert panel.inactive == ("RRC",)
    with pytest.raises(DataError, match="both inactive and zero are given"):
        Panel.from_prices(prices, universe, origin="2021-12-31", inactive=["RRC"], zero=["RRC"])
    with pytest.warns(
        RenamedWarning, match="StatisticalEstimator: half_life is called half_life_periods now"
    ):
        estimator = StatisticalEstimator(2, half_life=20.0)
    assert estimator.half_life_periods == 20.0
    assert "half_life" not in {f.name for f in dataclasses.fields(estimator)}
    with pytest.warns(RenamedWarning, match="half_life_periods"):
        assert estimator.half_life == 20.0
    pits = pd.DataFrame({"size": [0.5, 0.2]})
    with pytest.warns(RenamedWarning, match="level is called false_alarm now"):
        alarm = Alarm.of(pits, level=0.1)
    assert alarm.false_alarm == 0.1
    fifths = {f"Rank{k}": 0.2 for k in range(1, 6)}
    submission = pd.DataFrame({"ID": prices.columns, **fifths, "Decision": 0.01})
    with pytest.warns(RenamedWarning, match="start is called origin now"):
        old = bdfm.score_submission(submission, prices, start="2021-12-31", end="2022-01-28")
    assert old.rps == bdfm.score_submission(submission, prices, "2021-12-31", "2022-01-28").rps


@pytest.mark.parametrize("function", [track, validate, select_factors])
def test_a_false_alarm_was_called_level(function):
    with pytest.warns(RenamedWarning, match="level is called false_alarm now"), pytest.raises(TypeError):
        function(level=0.05)


def test_the_weights_to_hedge_were_called_book():
    model = StatisticalEstimator(1).fit(simple_returns(demo()[0], period_days=7).iloc[-60:])
    with pytest.warns(RenamedWarning, match="hedge: book is called weights now"):
        old = hedge(model, book={"PG": 1.0}, instruments=["KO"])
    assert old.ratios.equals(hedge(model, weights={"PG": 1.0}, instruments=["KO"]).ratios)


def test_a_warning_points_at_the_caller():
    with warnings.catch_warnings(record=True, action="always") as told:
        StatisticalEstimator(2, half_life=20.0)
    assert [Path(w.filename).name for w in told] == ["test_one_name.py"]


def test_a_view_without_its_option_is_told_which_there_are(bdfm_command):
    code, _, err = bdfm_command("view", "forecast.nc", "XOM = 5% +- 8%")
    assert code == 2
    assert "'XOM = 5% +- 8%' stands alone." in " ".join(err.split())
    assert "--evidence" in err
    assert "--constraint" in err


def test_replace_takes_an_old_field():
    for replaced in (dataclasses.replace, getattr(copy, "replace", dataclasses.replace)):
        with pytest.warns(RenamedWarning):
            other = replaced(StatisticalEstimator(3, half_life_periods=26), half_life=52)
        assert vars(other) == vars(StatisticalEstimator(3, half_life_periods=52))


def test_an_old_pickle_keeps_its_values():
    """Loaded as a pickle is: an object without ``__init__``, and what it had."""
    old = StatisticalEstimator.__new__(StatisticalEstimator)
    state = dict(vars(StatisticalEstimator(3, half_life_periods=26)))
    old.__setstate__({"half_life": state.pop("half_life_periods")} | state)
    assert vars(old) == vars(StatisticalEstimator(3, half_life_periods=26))
    assert vars(pickle.loads(pickle.dumps(old))) == vars(old)


def test_a_warning_of_a_function_with_two_shims_points_at_the_caller():
    returns = pd.DataFrame(np.random.default_rng(1).normal(0, 0.01, (80, 6)), columns=list("ABCDEF"))
    with pytest.warns(RenamedWarning) as told, contextlib.suppress(DataError):
        select_factors(returns, level=2.0, seed=1)
    assert told[0].filename == __file__
