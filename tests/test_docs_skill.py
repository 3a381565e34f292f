"""Figures of docs/skill.md and of the card of the recommended model are those of docs/skill.json."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from bdfm.model.factor_model import FactorModel
from bdfm.model.parts.predictive import CovariancePool

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def figures():
    return json.loads((ROOT / "docs" / "skill.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def tables(benchmark_script):
    return benchmark_script("skill_table")


@pytest.fixture(scope="module")
def modes(benchmark_script):
    return benchmark_script("skill_modes")


def test_tables_of_the_page_are_those_of_the_figures(figures, tables):
    page = (ROOT / "docs" / "skill.md").read_text(encoding="utf-8")
    assert tables.markdown(figures) in page
    assert tables.lean_markdown(figures) in page
    assert tables.rival_markdown(figures) in page


def test_ranks_of_the_daily_model_are_those_of_the_figures(tables):
    """Of fits that had converged, with what they took; and of the short runs that came before."""
    page = (ROOT / "docs" / "daily.md").read_text(encoding="utf-8")
    figures = json.loads((ROOT / "docs" / "skill_daily.json").read_text(encoding="utf-8"))
    short, words = figures["short"], " ".join(page.split())
    for each in (figures, short):
        assert tables.daily_markdown(each) in page
        assert f"{len(each['max_rhat'])} from {each['origins'][0]} to {each['origins'][-1]}" in words
    rhat, ess, sweeps = (np.array(figures[k]) for k in ("max_rhat", "min_ess", "sweeps"))
    converged = (rhat <= tables.MAX_RHAT) & (ess >= tables.MIN_ESS)
    assert f"{converged.sum()} of {len(rhat)} fits had converged" in words
    assert f"R-hat {np.median(rhat):.3f} at the median, {rhat.max():.3f} at most" in words
    assert f"{ess[converged].min():.0f} effective draws at least" in words
    assert f"The other, {figures['origins'][rhat.argmax()]}" in words
    assert f"{np.median(sweeps):,.0f} sweeps" in words
    # What the page says in words: told apart from nothing, and what leverage makes of ranks
    own = figures["forecasters"][tables.DAILY]
    for other in ("ewma-t-5d", "pool-120"):
        assert tables.plus_minus(own["less"][other], 1e5) in words
        assert abs(own["less"][other]["mean"]) < own["less"][other]["se"]
    assert max(own["bonds"]) < 3
    assert f"{min(own['bonds']):.2f} to {max(own['bonds']):.2f}" in words
    leans = 1e5 * np.array(figures["leans"])
    assert f"{leans.min():+.0f} to {leans.max():+.0f}" in words
    assert tables.plus_minus(figures["lean"], 1e5) in words
    assert tables.plus_minus(figures["settled"], 1e5) in words
    rhat = short["max_rhat"]
    assert min(rhat) > tables.MAX_RHAT  # "none of the fits had converged"
    assert f"R-hat {np.median(rhat):.2f} at the median, {max(rhat):.2f}" in words
    daily = short["forecasters"]["daily"]["less"]["pool-120"]
    assert daily["mean"] > 2 * daily["se"]


def test_the_daily_model_is_run_where_it_is_asked_for(benchmark_script):
    """Of seven factors until its fits have converged; both take minutes an origin."""
    skill, tables = benchmark_script("skill"), benchmark_script("skill_table")
    known = skill.forecasters()
    assert set(skill.SLOW) <= set(known)
    seven = known[tables.DAILY]
    assert tables.DAILY in skill.SLOW
    assert seven.model.n_factors == 7
    assert seven.model.panel.period == "day"
    assert (seven.sampler.draws, seven.sampler.max_rhat, seven.sampler.min_ess) == (
        "auto",
        tables.MAX_RHAT,
        tables.MIN_ESS,
    )
    assert known["daily"].model == FactorModel.from_preset("daily")


def test_the_modes_of_one_origin_are_those_of_the_figures(modes):
    page = (ROOT / "docs" / "skill.md").read_text(encoding="utf-8")
    figures = json.loads((ROOT / "docs" / "skill_modes.json").read_text(encoding="utf-8"))
    assert modes.markdown(figures) in page
    # What the page says of them: a swap changes what agrees, and leaves alone what does not.
    assert figures["rhat"]["difference"][0] < 1.05 < figures["rhat"]["level"][0]
    assert figures["noise_on"] < 0.8 * figures["noise_off"]
    # Warm starts that agree have hardly seen the factor on, which longer chains mostly have.
    assert all(share < 0.1 for rhat, share in figures["starts"]["warm"] if rhat <= modes.MAX_RHAT)
    assert figures["on"] > 0.4


def test_origins_that_did_not_converge_are_counted(figures):
    page = (ROOT / "docs" / "skill.md").read_text(encoding="utf-8")
    above = figures["above_rhat"]
    for name in ("core", "core-t", "core-lean", "m6"):
        counts = [n for key, n in above.items() if key.split()[1] == name]
        told = re.search(rf"(\d+) of (\d+)(?: origins)? of `{name}`", page)
        assert told is not None, name
        assert [int(x) for x in told.groups()] == [sum(c) for c in zip(*counts, strict=True)], name
        worst = max(x for key, x in figures["worst_rhat"].items() if key.split()[1] == name)
        if name != "core-t":
            assert f"the worst is {worst:.2f}" in page[told.start() : told.end() + 120], name


def test_what_the_market_premium_did(figures):
    """Its lean gained in each era since 2010, lost in 2008-09, and is within chance over all."""
    lean = figures["leans"]["core-lean"]["lean"]
    assert all(lean[f"m6 {era}"]["mean"] < 0 for era in ("2010-15", "2016-19", "2020-22"))
    assert lean["m6 2008-09"]["mean"] > 0
    assert lean["m6 all"]["p_value"] > 0.1


def test_the_card_of_house_has_the_figures(figures, tables):
    card = (ROOT / "models" / "house.toml").read_text(encoding="utf-8")
    own = figures["forecasters"][figures["chosen"]]["cells"]
    for universe in dict.fromkeys(key.split()[0] for key in own):
        cells = [
            tables.plus_minus(own.get(f"{universe} {era}"), 1e5, digits=0) for era in (*tables.ERAS, "all")
        ]
        line = next(x for x in card.splitlines() if re.match(rf"#\s+{universe}\s", x))
        found = re.findall(r"[+-]\d+(?: \+- \d+)?", line)
        assert found == [c.replace("±", "+-") for c in cells if c], universe


def test_the_readme_has_the_figures(figures, tables):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in ("oracle", "pool-120", "ewma-t-5d-120", "core", "fhs", "har-5d", "historical"):
        own = figures["forecasters"][name]
        total = own["cells"]["all all"]
        p = "< 0.0001" if total["p_value"] < 1e-4 else f"{total['p_value']:.4f}"
        assert f"| {own['rps']:.5f} | {tables.plus_minus(total, 1e5)} | {p} |" in text, name


def test_the_readme_has_the_calibration(figures, tables):
    """Shares in the central 90 % of the chosen model, by universe, as the page has them."""
    page = tables.markdown(figures)
    table = page.partition("| universe | best simple rival")[2].partition("\n\n")[0]
    rows = [[c.strip() for c in row.strip("|").split("|")] for row in table.splitlines()[2:]]
    assert len(rows) == 4
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for k in (0, -1):
        assert f"| {' | '.join(row[k] for row in rows)} |" in readme


def test_house_is_what_the_rule_chose(figures):
    house = FactorModel.from_preset("house")
    assert figures["chosen"] == "pool-120"
    assert isinstance(house.predictive, CovariancePool)
    assert house.predictive.share == 0.5
    assert house.panel.rolling_covariance is not None
    assert house.panel.rolling_covariance.volatility_half_life_days == 120
    # The model's half is the core of the runs.
    core = FactorModel.from_toml((ROOT / "scripts/benchmarks/skill_core.toml").read_text(encoding="utf-8"))
    other = {"name", "predictive", "panel"}
    assert house.model_dump(exclude=other) == core.model_dump(exclude=other)
    panel = house.panel.model_copy(update={"rolling_covariance": None})
    assert panel == core.panel


def test_the_rule_is_applied_as_written(tables):
    """Better on average and worse in one cell is not safe; not better is not either."""
    import pandas as pd

    dates = pd.date_range("2004-01-02", "2021-12-31", freq="28D")
    index = pd.MultiIndex.from_product([["a", "b"], dates], names=["universe", "origin"])
    wave = pd.Series([0.0001 * (-1) ** i for i in range(len(index))], index)
    better = wave - 0.0005
    assert tables.safe(tables.cells(better))[0]
    worse = better.copy()
    era = (worse.index.get_level_values("origin").year == 2008) & (worse.index.get_level_values(0) == "b")
    worse[era] += 0.002
    fine, where = tables.safe(tables.cells(worse))
    assert not fine
    assert "b 2008-09" in where
    assert not tables.safe(tables.cells(wave))[0]
    scores = {name: better + 0.157 for name in ("pool", "pool-120")} | {"ewma-t-5d": 0.157 + 0 * wave}
    assert tables.choose(scores) == "pool"  # the simplest of equals
    scores["pool-120"] = scores["pool-120"] - 0.0003
    assert tables.choose(scores) == "pool-120"
    assert tables.choose({"ewma-t-5d": wave, "pool": wave}) == "core"
