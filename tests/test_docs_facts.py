"""Numbers that pages write by hand are those of the code; equations that docstrings cite are there."""

from __future__ import annotations

import ast
import importlib
import math
import re
from collections import Counter
from pathlib import Path

import pytest

from bdfm import _blocks
from bdfm._statistics import MIN_ORIGINS
from bdfm.data import features, outside, settings, usable
from bdfm.data.doubts import calendar, pairs, prices
from bdfm.exposures import FactorVAE, RollingOLS, data, refits, simulation
from bdfm.exposures import risk as exposures_risk
from bdfm.forecast import pictures, weigh
from bdfm.gibbs import adapt, sampler, start
from bdfm.gibbs import data as gibbs_data
from bdfm.gibbs.updates import (
    asset_volatility,
    collapsed_path,
    degrees_of_freedom,
    factor_scales,
    factor_volatility,
    log_squares,
    log_volatility,
)
from bdfm.inference import choices as fit
from bdfm.inference import identified, moving, stopping, warm
from bdfm.model import redraw
from bdfm.model.factor_model import FactorModel, presets
from bdfm.model.part import Part
from bdfm.posterior import predictive
from bdfm.report import book_meaning, what_if
from bdfm.report import pictures as report_pictures
from bdfm.risk import fundamentals, statistical
from bdfm.scoring import alarm, m6, scores
from bdfm.validation import check, fit_checks, refit_checks

ROOT = Path(__file__).parents[1]
WORDS = {2: "two", 3: "three", 5: "five", 8: "eight", 12: "twelve"}


def page(name: str) -> str:
    """Text of a page, one space between words."""
    return " ".join((ROOT / "docs" / name).read_text(encoding="utf-8").split())


def percent(share: float) -> str:
    return f"{100 * share:.0f} %"


ROLLING = settings.RollingCovariance()
HOUSE = FactorModel.from_preset("house")
assert HOUSE.panel.rolling_covariance is not None
VAE = FactorVAE()

FACTS = {
    "sampler.md": [
        f"with a gain of $(n+1)^{{-{adapt.DECAY}}}$",
        f"towards an acceptance rate of {adapt.NU_TARGET}",
        f"the move is made where it is above {adapt.MIN_LEVERAGE}",
        f"The first {adapt.PLAIN} sweeps of tuning",
        f"$r = {adapt.RELAX}$ (S4, S8, S9)",
        f"by more than {WORDS[int(start.LAGGING)]} times the sum of their standard deviations",
        f"{WORDS[sampler.WATCHED]} sweeps for each",
        rf"$\hat R_{{\max}} = {fit.RHAT_MAX}$",
        rf"$\mathrm{{ESS}}_{{\min}} = {fit.ESS_MIN:.0f}$",
        rf"{stopping.ESS_MARGIN}\,\mathrm{{ESS}}_{{\min}}",
        f"After tuning and {stopping.FIRST_DRAWS} draws of each chain",
        f"{100 * stopping.LACKING_MARGIN - 100:.0f} % are added, between {stopping.LEAST_GROWTH} and"
        f" {stopping.MOST_GROWTH:g} times",
        rf"Where $\hat R$ is above {stopping.APART} the first half",
        rf"\le {moving.DRIFT_MAX}$ for all quantities",
        f"looked at again, up to {WORDS[moving.MOST_MOVES]}",
        f"each is moved on by {WORDS[sampler.MOVES]} sweeps of $p_2$, and its states after the last"
        f" {WORDS[sampler.KEPT_MOVES]} are kept",
        f"has values of a run of {sampler.PILOT} sweeps",
        f"For classes of up to {gibbs_data.MOST_TOGETHER} assets, of up to"
        f" {gibbs_data.MOST_TOGETHER_NORMAL} where noise is normal",
        f"in blocks of {factor_volatility._BLOCK} days",
        f"in blocks of {collapsed_path._BLOCK} days",
        f"{asset_volatility.LANES} paths stand beside each other",
        f"With probability {log_volatility._RANDOM_WALK} the proposal is the random walk",
        rf"$\log q_t$ is not below ${log_squares.LOWEST:g}$",
        f"The search ends {factor_scales._FLOOR:g} below",
        f"Slice of width {degrees_of_freedom._WIDTH}. Every second asset",
    ],
    "engines.md": [
        f"until R-hat is at most {fit.RHAT_MAX} and the effective draws are {stopping.ESS_MARGIN} times the"
        f" {fit.ESS_MIN:.0f} that",
        f"NUTS makes {fit.FIXED_DRAWS:,} draws of each chain",
        f"up to {fit.MOST_MOVED // sampler.KEPT_MOVES} draws of each earlier chain are moved on, each by"
        f" {WORDS[sampler.MOVES]} sweeps",
        f"more than {moving.DRIFT_MAX} posterior standard deviations",
        f"up to {WORDS[moving.MOST_MOVES]} each",
        f"tune for a {'fifth' if warm.TUNING == 5 else '?'} of the sweeps",
    ],
    "model.md": [
        f"(half-life {ROLLING.volatility_half_life_days:.0f} market days unless given,"
        f" {HOUSE.panel.rolling_covariance.volatility_half_life_days:.0f} in `house`)",
        f"(half-life {ROLLING.correlation_half_life_days:.0f}), both of the last"
        f" {ROLLING.window_days:,} market days",
        f"fewer than {settings.PanelSettings().min_past_weeks} weeks",
        f"One older than {settings.PanelSettings().max_stale_days} calendar days is no price",
        f"With $r^m$ the mean daily return of all assets, over the {features.TRAILING_DAYS} market days",
        f"silent for more than {features.SILENCE} days",
        f"repeated every {features.SEASON} days",
        f"the realised daily volatility of {outside.WINDOW} market days",
        f"below {weigh.MIN_EFFECTIVE_DRAWS:,.0f} a view is refused",
        f"The sum is cut at ±{predictive.MAX_LOG_RETURN:g} (a loss of"
        f" {-100 * math.expm1(-predictive.MAX_LOG_RETURN):.1f} %,"
        f" a gain by a factor of {math.exp(predictive.MAX_LOG_RETURN):.0f}), and $R_i$ rounded to"
        f" {1e4 * predictive.RETURN_RESOLUTION:.2f} basis points",
        f"R-hat below {fit.RHAT_MAX}, bulk and tail effective sample size above {fit.ESS_MIN:.0f}",
    ],
    "daily.md": [f"no more are kept than {fit.KEPT_BYTES / 1e9:g} GB hold"],
    "scale.md": [
        f"{8 * usable.CELLS} bytes × days of prices × assets; with a rolling covariance"
        f" {8 * usable.PAIRS} × assets²",
        f"more than {percent(_blocks.SHARE)} of the budget",
        f"for the 4 × {fit.MOST_DRAWS} draws that automatic length may keep",
        f"at most {identified.MAX_PAIRS:,} pairs are judged",
        f"at most {pictures.N_SHOWN} assets ({report_pictures.N_SHOWN} on the page)",
        f"the default of {fit.N_PREDICTIVE_DRAWS:,} predictive draws",
        f"So {fit.TUNE} sweeps of each chain are tuning",
    ],
    "risk.md": [
        f"variance inflation above {fit_checks.MAX_INFLATION:g}",
        f"`false_alarm`, {percent(check.LEVEL)} unless",
        f"walk-forward; margin {percent(refit_checks.BIAS_TOLERANCE)}",
        f"margin {percent(refit_checks.DISTANCE_TOLERANCE)} | some combinations",
        f"margin {percent(refit_checks.MINIMUM_TOLERANCE)} | an optimiser",
        f"margin {percent(refit_checks.REGIME_TOLERANCE)} | right on average only",
        f"margin {percent(2 * refit_checks.BIAS_TOLERANCE)} of the variance",
        f"(at most {statistical.MAX_FACTORS}, and at most a third of the smaller dimension)",
        f"variances halve every {exposures_risk.HALF_LIFE_DAYS:g} days",
        f"({fundamentals.LAG_DAYS} days unless given)",
        f"{redraw._APART} updates part the halves",
        f"cut where forecasts cut log returns, at ±{predictive.MAX_LOG_RETURN:g}",
        f"differ by {percent(book_meaning.APART - 1)} or more",
    ],
    "exposures.md": [
        f"by default {100 * data.TRAINING_SHARE:.0f} / {100 * data.VALIDATION_SHARE:.0f} /"
        f" {100 * (1 - data.TRAINING_SHARE - data.VALIDATION_SHARE):.0f} %",
        rf"n \in \{{{refits.FIRST_DAYS}, {2 * refits.FIRST_DAYS}, {4 * refits.FIRST_DAYS},",
        f"{RollingOLS().window_days} days, refreshed every {RollingOLS().refresh_days}",
        rf"Weights $\omega$ halve every {exposures_risk.HALF_LIFE_DAYS:g} days",
        f"those with fewer than {exposures_risk.MIN_ERRORS} errors, or without a return in the last"
        f" {exposures_risk.MAX_SILENT_DAYS} days",
        f"({VAE.hidden_units[0]} and {VAE.hidden_units[1]} units",
        f"$E = {VAE.warm_up_epochs}$ epochs",
        f"$f = {VAE.free_bits}$ nats",
        f"Batches of {VAE.batch_size}, Adam with step {VAE.learning_rate}",
        f"at most {VAE.max_epochs} epochs; training stops when the validation loss has not improved for"
        f" {VAE.patience_epochs}",
        f"stays there for {simulation._HOLD_DAYS} days",
    ],
    "doubts.md": [
        f"steps by {prices.JUMP} times or more ({prices.CALM_JUMP} among calm days",
        f"back within {prices.SPIKE_ROWS} rows, more than {prices.IMPOSSIBLE:,.0f} times",
        f"in the {prices.NEW_DAYS} days before a forecast's origin",
        f"more than {prices.FAR_SDS['factors']:g} robust sds from 0 (an asset's"
        f" {prices.FAR_SDS['returns']:g}) and {percent(prices.FAR)}",
        f"correlation above {1 - pairs.TWIN:g}",
        f"above {1 - pairs.COPY:g} where a model is fitted",
        f"more than {percent(calendar.MAX_CLOSED)} of them hold no price",
        f"more than {calendar.WARN_TABLE_AGE} days after the last one",
        f"`score` and `track`: from {m6._AROUND_DAYS} days before the period",
        f"{calendar.MAX_TABLE_AGE} days for a table, {calendar.SILENT_DAYS} days for an asset",
    ],
    "m6.md": [
        f"sums of a row within {scores.SUM_TOLERANCE:.4f} of 1, and an exposure within"
        f" {m6.EXPOSURE_TOLERANCE:.4f} of the bounds",
    ],
    "howto/my_files.md": [f"older than {settings.PanelSettings().max_stale_days} days"],
    "routine.md": [
        "{" + ", ".join(f"{x:g}" for x in alarm._SHAPES) + "}",
        f"$a$ = {alarm.LEVEL} unless",
        f"from {WORDS[MIN_ORIGINS]} months on",
        f"ever* reaches {1 / alarm.LEVEL:.0f} is at most {percent(alarm.LEVEL)}",
    ],
    "howto/views.md": [
        f"fewer than {weigh.MIN_EFFECTIVE_DRAWS:,.0f} effective draws (a"
        f" {'tenth' if weigh.MIN_EFFECTIVE_SHARE == 0.1 else '?'}, if there are fewer than"
        f" {weigh.MIN_EFFECTIVE_DRAWS / weigh.MIN_EFFECTIVE_SHARE:,.0f})",
    ],
    "howto/decide.md": [
        f"up to {what_if.MOST_DRAWS:,} of the forecast's draws (fewer beyond"
        f" {what_if.MOST_NUMBERS // what_if.MOST_DRAWS:,} assets)",
        f"rounded to {what_if._STEPS + 1:,} steps",
    ],
    "howto/backtest.md": [
        f"volatilities (half-life {ROLLING.volatility_half_life_days:.0f} days) and correlations"
        f" ({ROLLING.correlation_half_life_days:.0f} days)",
    ],
}


@pytest.mark.parametrize(("name", "fact"), [(name, x) for name, facts in FACTS.items() for x in facts])
def test_a_number_of_a_page_is_that_of_the_code(name, fact):
    assert fact in page(name)


# -- equations ---------------------------------------------------------------------------------------------

# "(eq. E21)", "eq. R13", "eqs. D2 and D3", "eq. D1 to D5"; tests/test_structure.py has the others
CITED = re.compile(r"\b[Ee]qs?\.\s+([BDER]\d+[a-z]?(?:(?:\s*,\s*|\s+and\s+|\s+to\s+)[BDER]\d+[a-z]?)*)")


def defined(letter: str) -> Counter[str]:
    """Equations of exposures E, risk R, days D or books B, with the number of places that define them."""
    if letter == "E":
        text = (ROOT / "docs" / "exposures.md").read_text(encoding="utf-8")
        named = re.findall(r"^### Eq\. (E\d+[a-z]?(?: and E\d+[a-z]?)?):", text, re.MULTILINE)
        return Counter(number for heading in named for number in heading.split(" and "))
    if letter == "R":
        text = (ROOT / "docs" / "risk.md").read_text(encoding="utf-8")
        return Counter(f"R{n}" for n in re.findall(r"\\qquad \(R(\d+)\)", text))
    if letter == "B":
        text = (ROOT / "docs" / "howto" / "mandate.md").read_text(encoding="utf-8")
        named = re.findall(r"^\| (B\d) \||\((B[89])\)", text, re.MULTILINE)
        return Counter(next(filter(None, found)) for found in named)
    model = (ROOT / "docs" / "model.md").read_text(encoding="utf-8").partition("### Eq. D1 to D9")[2]
    days = re.findall(r"\\text\{\((D\d)\)\}|Eq\. (D5), priors|\b(D[6-9]): ", model.partition("### Eq. 9")[0])
    return Counter(next(filter(None, found)) for found in days)


def cited() -> dict[str, set[str]]:
    """Equation to the rooms whose docstrings cite it."""
    found: dict[str, set[str]] = {}
    for file in sorted((ROOT / "bdfm").rglob("*.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                for numbers in CITED.findall(ast.get_docstring(node) or ""):
                    for number in re.findall(r"[BDER]\d+[a-z]?", numbers):
                        found.setdefault(number, set()).add(file.parent.name)
    return found


@pytest.mark.parametrize(("letter", "number"), [("E", 23), ("R", 27), ("D", 9), ("B", 9)])
def test_equations_have_one_place_each(letter, number):
    there = defined(letter)
    assert {int(re.sub(r"\D", "", x)) for x in there} == set(range(1, number + 1))
    assert not [x for x, n in there.items() if n > 1]


def test_equations_that_docstrings_cite_are_there():
    found = cited()
    assert {"E21", "E23", "R13", "D4", "B8", "E15a"} <= set(found)
    assert not set(found) - {x for letter in "ERDB" for x in defined(letter)}


# -- names -------------------------------------------------------------------------------------------------

NAME = re.compile(r"\bbdfm(?:\.\w+)+")
FILES = (".py", ".toml", ".nc", ".json", ".csv")


def texts() -> dict[str, str]:
    """Pages, and the docstrings of each module, by the file."""
    made = {"_build", "generated"}
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
    found = {str(p): p.read_text(encoding="utf-8") for p in pages if not made & set(p.parts)}
    for file in sorted((ROOT / "bdfm").rglob("*.py")):
        nodes = ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        kinds_of = ast.Module | ast.ClassDef | ast.FunctionDef
        found[str(file)] = "\n".join(ast.get_docstring(n) or "" for n in nodes if isinstance(n, kinds_of))
    return found


def is_there(name: str) -> bool:
    """Whether a dotted name is a module of the package, or a name inside one."""
    module, rest = importlib.import_module("bdfm"), name.split(".")[1:]
    while rest:
        try:
            module = importlib.import_module(f"{module.__name__}.{rest[0]}")
        except ModuleNotFoundError:
            break
        rest = rest[1:]
    thing = module
    for part in rest:
        if not hasattr(thing, part) and part not in getattr(thing, "model_fields", {}):
            return False
        thing = getattr(thing, part, None)
    return True


def test_names_of_the_package_that_texts_write_are_there():
    assert is_there("bdfm.risk.base.Estimator")
    assert not is_there("bdfm.risk.Estimator")
    found = {(name, file) for file, text in texts().items() for name in NAME.findall(text)}
    assert len(found) > 200
    assert not [x for x in found if not x[0].endswith(FILES) and not is_there(x[0])]


# -- symbols -----------------------------------------------------------------------------------------------


def symbols() -> dict[str, str]:
    """Dims that the table of symbols gives each name in code."""
    table = (ROOT / "docs" / "model.md").read_text(encoding="utf-8").partition("## Symbols")[2]
    found = {}
    for line in table.partition("## Equations")[0].splitlines():
        cells = [c.strip() for c in line.strip("|").split("|")]
        if line.startswith("|") and len(cells) >= 4:
            found |= dict.fromkeys(re.findall(r"`(\w+)`", cells[1]), cells[2])
    return found


def test_the_table_of_symbols_has_the_stored_variables_with_their_dims():
    told = symbols()
    stored = {
        v.name: v.dims
        for p in Part.kinds.values()
        for v in p.variables
        if v.stored and p.__module__.startswith("bdfm.")
    }
    assert len(stored) > 30
    assert {n: told.get(n) for n in stored} == {
        n: f"({', '.join(d)})" if d else "" for n, d in stored.items()
    }


# -- parts and presets -------------------------------------------------------------------------------------

PARTS = (ROOT / "docs" / "parts.md").read_text(encoding="utf-8").partition("## The parts")[2]
MODELS = {name: FactorModel.from_preset(name) for name in presets()}
SLOTS = ("dynamics", "factor_scale", "factor_noise", "loadings", "mean", "log_volatility", "noise", "weights")
SLOTS += ("predictive",)
OWN = {"m6", "house", "daily"}  # the others are variants of m6


def kinds(model: FactorModel, slot: str) -> set[str]:
    """Kinds of a slot of a model; ``none`` where it is empty."""
    held = getattr(model, slot)
    return {p.kind for p in held} or {"none"} if isinstance(held, tuple) else {held.kind}


def rows() -> dict[tuple[str, str], set[str]]:
    """Slot and kind to the presets that the table names; with m6 the variants that are as it there."""
    found: dict[tuple[str, str], set[str]] = {}
    slot = ""
    for line in PARTS.partition("## The model in short")[0].splitlines():
        cells = [c.strip() for c in line.strip("|").split("|")]
        if line.startswith("|") and len(cells) == 4 and cells[0] not in ("slot", "---"):
            slot = cells[0].strip("`") or slot
            told = set(re.findall(r"`(\w+)`", cells[3]))
            if "m6" in told:
                told |= {
                    n
                    for n, m in MODELS.items()
                    if n not in OWN and kinds(m, slot) == kinds(MODELS["m6"], slot)
                }
            for kind in re.findall(r"`(\w+)`", cells[1]) or [cells[1]]:
                assert (slot, kind) not in found
                found[slot, kind] = told
    return found


def test_the_table_of_parts_has_all_kinds_and_the_presets_that_have_them():
    told = rows()
    known = {key for key, p in Part.kinds.items() if p.__module__.startswith("bdfm.")}
    empty = {("dynamics", "none"), ("mean", "none")}
    assert set(told) == known | empty
    for (slot, kind), names in told.items():
        assert names == {n for n, m in MODELS.items() if kind in kinds(m, slot)}, (slot, kind)


def test_no_page_holds_a_place_for_what_is_to_come():
    placeholder = re.compile(r"^(?:[A-Z]{3,}|.*\b(?:TO[D]O|FIX[M]E|TB[D])\b.*)$", re.MULTILINE)
    assert placeholder.search("text\n\nDAILY\n\ntext")
    pages = (ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md")))
    found = {p.name: m.group() for p in pages if (m := placeholder.search(p.read_text(encoding="utf-8")))}
    assert not found
