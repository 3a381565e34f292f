"""A fit or a forecast that memory cannot hold is refused before it begins."""

from __future__ import annotations

import re
import tracemalloc
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from daily_draws import SYMBOLS, daily_posterior

from bdfm import _blocks, _memory
from bdfm.data.panel import Panel
from bdfm.data.settings import PanelSettings, RollingCovariance
from bdfm.data.usable import check_panel, panel_bytes
from bdfm.errors import DataError
from bdfm.inference.choices import CHAINS, FEWEST_DRAWS, INDEPENDENT, MOST_DRAWS, MOST_MOVED, RHAT_MAX
from bdfm.inference.engine import draws_worth, most_draws, moved_draws
from bdfm.inference.settings import SamplerSettings
from bdfm.inference.stopping import FIRST_DRAWS
from bdfm.model.factor_model import FactorModel
from bdfm.posterior import groups, memory, predictive
from bdfm.posterior.fit import fit
from bdfm.posterior.posterior import Posterior
from bdfm.report.month import read_month
from bdfm.risk.ahead import risk_ahead


def test_available_is_the_least_of_what_the_system_and_the_group_leave(tmp_path, monkeypatch):
    (tmp_path / "meminfo").write_text("MemTotal: 9000 kB\nMemAvailable:   5000 kB\n")
    limit, use = tmp_path / "max", tmp_path / "current"
    limit.write_text("max\n")
    use.write_text("100\n")
    monkeypatch.setattr(_memory, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(_memory, "_GROUPS", ((limit, use), (tmp_path / "no", tmp_path / "no")))
    assert _memory.available() == 5000 * 1024
    limit.write_text("4096000\n")
    assert _memory.available() == 4096000 - 100
    use.write_text("4000000\n")
    (tmp_path / "memory.stat").write_text("anon 700000\ninactive_file 3200000\nactive_file 100000\n")
    assert _memory.available() == 96_000 + 3_200_000  # files that were read, and are handed back
    (tmp_path / "memory.stat").write_text("inactive_file 7000\ntotal_inactive_file 3000000\n")  # version 1
    assert _memory.available() == 96_000 + 3_000_000
    (tmp_path / "memory.stat").write_text("inactive_file 5000000\n")  # read a moment later
    assert _memory.available() == 4_096_000
    monkeypatch.setattr(_memory, "_MEMINFO", tmp_path / "no")
    monkeypatch.setattr(_memory, "_GROUPS", ())
    assert _memory.available() is None
    assert [_memory.readable(x) for x in (2.34e9, 99_500_000, 30_000, 300)] == [
        "2.3 GB",
        "100 MB",
        "30 kB",
        "300 bytes",
    ]
    _memory.check(1e30, where="fit", what="draws", advice="")


def test_the_estimate_of_a_fit_counts_what_draws_hold(small_preset, random_draws):
    model, panel = small_preset("m6")
    values = sum(x[0, 0].size for x in random_draws(model, panel).data_vars.values())
    judged = 6 * 5 // 2 + 4 * 6
    settings = SamplerSettings(draws=500, chains=3)
    assert memory.fit_bytes(model, panel, settings) == 3 * 500 * 8 * (memory.COPIES * values + judged)
    auto = SamplerSettings(chains=3)
    assert memory.fit_bytes(model, panel, auto) == memory.fit_bytes(  # as many as it may keep
        model, panel, SamplerSettings(draws=MOST_DRAWS, chains=3)
    )


@pytest.mark.parametrize("room", [1, 10**6, 10**8])
@pytest.mark.parametrize("preset", ["house", "daily"])
def test_an_update_of_a_large_model_takes_the_memory_of_a_fit(preset, room, small_preset, monkeypatch):
    model, panel = small_preset(preset)
    coords = model.coords(panel)
    monkeypatch.setattr("bdfm.inference.engine.KEPT_BYTES", room)
    fit_keeps, moved = most_draws(model, coords, 4), moved_draws(model, coords, 4)
    assert fit_keeps >= FEWEST_DRAWS
    if fit_keeps < MOST_DRAWS:
        assert fit_keeps - 4 <= draws_worth(moved) <= fit_keeps
    else:
        assert moved == MOST_MOVED // 2
    checked = []
    monkeypatch.setattr(_memory, "check", lambda n, **_: checked.append(n))
    for update in (False, True):
        memory.check_fit(model, panel, SamplerSettings(chains=4), update=update)
    assert (checked[1] <= checked[0]) is (fit_keeps < MOST_DRAWS)


@pytest.mark.parametrize(("n_factors", "most"), [(7, 110), (20, 85)])
def test_draws_of_the_daily_model_are_moved_up_to_the_assets_that_pages_name(n_factors, most):
    """Enough draws for R-hat of 1.01: fewer, and an update begins with chains."""
    model = FactorModel.from_preset("daily").model_copy(update={"n_factors": n_factors})

    def enough(n_assets):
        panel = Panel.from_arrays(
            np.zeros((1000, n_assets)), asset_class=["stock"] * n_assets, settings=model.panel
        )
        kept = 2 * moved_draws(model, model.coords(panel), CHAINS)
        return kept >= MOST_MOVED or RHAT_MAX - 1 >= INDEPENDENT / (CHAINS * kept)

    assert enough(most)
    assert not enough(most + 15)


def test_what_does_not_fit_is_refused_before_it_begins(small_preset, random_draws, monkeypatch):
    model, panel = small_preset("m6")
    draws = random_draws(model, panel)
    posterior = Posterior.from_draws(draws, draws[[]], model, panel, {"seed": 1})
    monkeypatch.setattr(_memory, "available", lambda: 2_000_000)
    settings = SamplerSettings(draws=400, tune=10, chains=4)
    needed = _memory.readable(memory.fit_bytes(model, panel, settings))
    message = rf"fit: 4 chains.*{needed} of memory, and 2 MB are available.*fewer"
    with pytest.raises(DataError, match=message):
        fit(model, panel, seed=1, settings=settings)
    message = r"forecast: 600,000 predictive draws of 6 assets need.*Lower n_draws"
    with pytest.raises(DataError, match=message):
        posterior.forecast(seed=1)
    assert posterior.forecast(seed=1, n_draws=1000).n_draws >= 1000


def table_of(n_days, n_assets):
    """Prices of a random walk, and their universe."""
    rng = np.random.default_rng(1)
    walk = 50 * np.exp(np.cumsum(0.01 * rng.standard_normal((n_days, n_assets)), axis=0))
    names = [f"S{i}" for i in range(n_assets)]
    prices = pd.DataFrame(walk, index=pd.bdate_range("2010-06-03", periods=n_days), columns=names)
    return prices, pd.DataFrame({"symbol": names, "asset_class": "stock"})


@pytest.mark.parametrize(
    ("n_days", "n_assets", "preset"), [(1500, 200, "m6"), (1000, 500, "house"), (1500, 200, "daily")]
)
def test_a_panel_takes_no_more_memory_than_its_estimate(n_days, n_assets, preset):
    prices, universe = table_of(n_days, n_assets)
    settings = FactorModel.from_preset(preset).panel
    few = prices.iloc[:, :6], universe.head(6)
    Panel.from_prices(*few, origin=prices.index[-1], settings=settings)  # what is imported on the way
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        Panel.from_prices(prices, universe, origin=prices.index[-1], settings=settings)
        taken = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert 0.5 < taken / panel_bytes(n_days, n_assets, settings) < 1.0


def test_a_panel_that_does_not_fit_is_refused_before_it_is_made(monkeypatch):
    prices, universe = table_of(1000, 60)
    monkeypatch.setattr(_memory, "LEAST", 1)
    said = (
        r"panel: 1,000 days of prices of 60 assets .* 10 MB.*"
        r"\. 47 assets, or prices of the last 793 days would fit; or raise the budget"
    )
    with _memory.within("8MB"):
        with pytest.raises(DataError, match=said):
            Panel.from_prices(prices, universe, origin=prices.index[-1])
        Panel.from_prices(prices.iloc[:, :47], universe.head(47), origin=prices.index[-1])
        Panel.from_prices(prices.iloc[-793:], universe, origin=prices.index[-1])
        with pytest.raises(DataError, match="48 assets"):
            Panel.from_prices(prices.iloc[:, :48], universe.head(48), origin=prices.index[-1])
        with pytest.raises(DataError, match="794 days"):
            Panel.from_prices(prices.iloc[-794:], universe, origin=prices.index[-1])


@pytest.mark.parametrize("period", [28, "month", "day"])
@pytest.mark.parametrize("rolling", [None, RollingCovariance()])
def test_a_panel_of_what_would_fit_is_none_that_lacks_periods(period, rolling, monkeypatch):
    """So few days as make no panel are no advice, nor is one asset; what is named fits, and no more does."""
    settings = PanelSettings(period=period, rolling_covariance=rolling)
    named = {"assets": 0, "days": 0}
    for room in map(int, np.geomspace(1e3, 6e7, 60)):
        monkeypatch.setattr(_memory, "available", lambda room=room: room)
        try:
            check_panel(1000, 300, settings)
        except DataError as error:
            assets = re.search(r"\. (\d+) assets(,| would)", f"{error}")
            days = re.search(r"the last (\d+) days would", f"{error}")
            if assets:
                n = int(assets[1])
                assert n > 1
                assert panel_bytes(1000, n, settings) <= room < panel_bytes(1000, n + 1, settings)
            if days:
                n = int(days[1])
                assert n > (150 if period == "day" else 500)
                assert panel_bytes(n, 300, settings) <= room < panel_bytes(n + 1, 300, settings)
            named["assets"] += bool(assets)
            named["days"] += bool(days)
            assert bool(assets) is (panel_bytes(1000, 2, settings) <= room)
    assert named["assets"] > named["days"] > 0


def test_forecasts_over_several_horizons_are_kept_beside_each_other(small_preset, random_draws, monkeypatch):
    """They were counted one by one: the last was refused after the fit, or took more than the budget."""
    model, panel = small_preset("m6")
    draws = random_draws(model, panel)
    posterior = Posterior.from_draws(draws, draws[[]], model, panel, {"seed": 1})
    size = {"n_posterior": posterior.n_draws}
    one, three = (memory.forecast_bytes(50_000, 6, n_forecasts=n, **size) for n in (1, 3))
    assert three - one == 2 * 4 * 50_000 * 6
    with monkeypatch.context() as patch:
        patch.setattr(_memory, "available", lambda: (one + three) // 2)
        patch.setattr(predictive, "made_forecast", lambda *_, **__: pytest.fail("made"))
        with pytest.raises(DataError, match="50,000 predictive draws of 6 assets over 3 horizons need"):
            posterior.forecasts([1, 2, 3], seed=1, n_draws=50_000)
    monkeypatch.setattr(_blocks.shutil, "disk_usage", lambda _: SimpleNamespace(free=4 * 10**6))
    monkeypatch.setattr(_blocks, "SHARE", 0.0)
    memory.check_forecast(10**6, 1)
    with pytest.raises(DataError, match=r"3 times 1,000,000 draws of 1 assets.* \(333,333 would fit\)"):
        memory.check_forecast(10**6, 1, n_forecasts=3)


def test_a_month_of_several_horizons_is_refused_before_its_fit(tmp_path):
    n = 400_000
    one = memory.forecast_bytes(n, 25, n_posterior=CHAINS * FIRST_DRAWS)
    for horizons, fits in (("[1]", True), ("[1, 2, 3]", False)):
        file = tmp_path / "month.toml"
        data = f"[data]\ndemo = true\norigin = 2021-12-31\nhorizon = {horizons}\n"
        file.write_text(f'model = "m6"\nn_draws = {n}\nmemory = {one + 4 * n * 25}\n{data}')
        if fits:
            read_month(file)
        else:
            with pytest.raises(DataError, match="25 assets over 3 horizons need"):
                read_month(file)


def test_a_check_of_a_month_knows_that_it_is_an_update(tmp_path, monkeypatch):
    """It was let through as a fit, and refused once it ran."""
    files = {name: tmp_path / f"{name}.toml" for name in ("first", "second")}
    for (name, file), origin in zip(files.items(), ("2021-12-03", "2021-12-31"), strict=True):
        warm = 'warm_from = "first"\n' if name == "second" else ""
        data = f"[data]\ndemo = true\norigin = {origin}\n"
        file.write_text(f'model = "m6"\nout = "{name}"\n{warm}{data}')
    model = FactorModel.from_preset("m6")
    panel = read_month(files["first"]).panel
    fitted, updated = (memory.fit_bytes(model, panel, SamplerSettings(), n_draws=n) for n in (750, 1000))
    assert memory.fit_bytes(model, panel, SamplerSettings()) == fitted
    monkeypatch.setattr(memory, "check_forecast", lambda *_, **__: None)
    monkeypatch.setattr(_memory, "available", lambda: (fitted + updated) // 2)
    read_month(files["first"])
    with pytest.raises(DataError, match=r"fit: 4 chains of 25 assets"):
        read_month(files["second"], before=files["first"])


def test_every_door_of_large_work_takes_a_budget(small_preset, random_draws, monkeypatch):
    """Panels, updates and several horizons kept to half of the machine, and nobody could say otherwise."""
    monkeypatch.setattr(_memory, "LEAST", 1)
    model, panel = small_preset("m6")
    draws = random_draws(model, panel)
    posterior = Posterior.from_draws(draws, draws[[]], model, panel, {"seed": 1})
    prices, universe = table_of(1000, 60)
    settings = SamplerSettings(draws=400, tune=10, chains=4)
    doors = {
        "panel": lambda memory: Panel.from_prices(prices, universe, origin=prices.index[-1], memory=memory),
        "fit": lambda memory: fit(model, panel, seed=1, settings=settings, memory=memory),
        "update": lambda memory: posterior.update(panel, seed=1, settings=settings, memory=memory),
        "forecast": lambda memory: posterior.forecast(seed=1, memory=memory),
        "forecasts": lambda memory: posterior.forecasts([1], seed=1, memory=memory),
    }
    for name, door in doors.items():
        with pytest.raises(DataError, match=r"2 MB is the budget \(--memory, memory=\)"):
            door("2MB")
        with pytest.raises(DataError, match="is no size of memory"):
            door("lots")
        assert _memory._given.get() is None, name


def test_to_leave_out_keep_draws_is_advice_where_it_helps():
    needed, without = (memory.forecast_bytes(10**6, 25, whole=x) for x in (True, False))
    for room, told in (((needed + without) // 2, True), (without - 1, False)):
        with _memory.within(room), pytest.raises(DataError) as refused:
            memory.check_forecast(10**6, 25, whole=True)
        assert ("leave out keep_draws" in f"{refused.value}") is told


@pytest.mark.parametrize("preset", ["m6", pytest.param("daily", marks=pytest.mark.long)])
def test_draws_of_the_prior_take_no_more_memory_than_their_estimate(preset):
    model, rng = FactorModel.from_preset(preset), np.random.default_rng(1)
    returns = 0.02 * rng.standard_normal((100, 30))
    panel = Panel.from_arrays(returns, asset_class=["stock"] * 30, settings=model.panel)
    groups.prior_draws(model, panel, 2, rng)  # what is imported on the way
    tracemalloc.start()
    try:
        groups._prior(model, panel, 100, rng)
        taken = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert 0.5 < taken / groups.prior_bytes(model, panel, 100) < 1.0


def test_groups_of_the_prior_and_of_the_posterior_are_counted_together(
    small_preset, random_draws, monkeypatch
):
    model, panel = small_preset("m6")
    draws = random_draws(model, panel, draws=60)
    posterior = Posterior.from_draws(draws, draws[[]], model, panel, {"seed": 1})
    asked = ["prior", "log_likelihood"]
    of_prior = groups.prior_bytes(model, panel, 20)
    whole = of_prior + 24 * posterior.n_draws * int(np.isfinite(panel.history["log_returns"]).sum())
    monkeypatch.setattr(_memory, "available", lambda: whole)
    posterior.to_datatree(asked, n_prior_draws=20)
    monkeypatch.setattr(_memory, "available", lambda: whole - 1)
    with pytest.raises(DataError, match=r"Leave out log_likelihood, or fit with fewer draws: \d+ would fit"):
        posterior.to_datatree(asked, n_prior_draws=20)
    for name in asked:
        posterior.to_datatree([name], n_prior_draws=20)


def test_advice_never_says_that_nothing_would_fit(small_preset, random_draws, monkeypatch):
    """That 0 would fit is none."""
    model, panel = small_preset("m6")
    draws = random_draws(model, panel, draws=60)
    posterior = Posterior.from_draws(draws, draws[[]], model, panel, {"seed": 1})
    books = pd.DataFrame(np.ones((2, 4)), index=["a", "b"], columns=SYMBOLS)
    daily = daily_posterior()
    monkeypatch.setattr(_memory, "available", lambda: 10)
    monkeypatch.setattr(_blocks.shutil, "disk_usage", lambda _: SimpleNamespace(free=10))
    doors = {
        "panel": lambda: check_panel(1000, 300, PanelSettings()),
        "fit": lambda: memory.check_fit(model, panel, SamplerSettings(draws=400)),
        "forecast": lambda: memory.check_forecast(10**6, 6),
        "disk": lambda: _blocks.check_disk(10**6, 6),
        "prior": lambda: posterior.to_datatree(["prior"]),
        "posterior": lambda: posterior.to_datatree(["log_likelihood"]),
        "ahead": lambda: risk_ahead(daily, books, seed=1, days=3),
    }
    for name, door in doors.items():
        with pytest.raises(DataError) as refused:
            door()
        assert not re.search(r"\b0\b|would fit", f"{refused.value}".replace("fewer assets would fit", "")), (
            name
        )


def test_what_a_refusal_says_would_fit_does(small_preset, random_draws, monkeypatch, tmp_path):
    model, panel = small_preset("m6")
    draws = random_draws(model, panel, draws=60)
    posterior = Posterior.from_draws(draws, draws[[]], model, panel, {"seed": 1})
    daily = daily_posterior()

    def told(work, pattern):
        with pytest.raises(DataError) as refused:
            work()
        return int(re.search(pattern, f"{refused.value}")[1].replace(",", ""))

    monkeypatch.setattr(_memory, "available", lambda: 8_000_000)
    settings = SamplerSettings(draws=4000, tune=10, chains=4)
    n = told(lambda: memory.check_fit(model, panel, settings), r"Use fewer draws \(draws = (\d+) would fit\)")
    memory.check_fit(model, panel, settings.model_copy(update={"draws": n}))
    n = told(lambda: memory.check_forecast(10**6, 6, n_posterior=100), r"n_draws = ([\d,]+) would fit")
    memory.check_forecast(n, 6, n_posterior=100)
    monkeypatch.setattr(_memory, "available", lambda: 50_000)
    large = ["posterior_predictive", "log_likelihood"]
    said = r"Leave out posterior_predictive and log_likelihood, .* (\d+) would fit"
    n = told(lambda: posterior.to_datatree(large), said)
    assert 24 * n * np.isfinite(panel.history["log_returns"]).sum() <= 50_000
    posterior.to_datatree(["observed_data"])  # which takes nothing of that
    for name in ("prior", "prior_predictive"):
        said = rf"500 prior draws of .*Leave out {name}, or lower n_prior_draws: (\d+) would fit"
        n = told(lambda name=name: posterior.to_datatree([name]), said)
        assert n == told(posterior.to_datatree, r"Leave out prior and .* (\d+) would fit")
        assert groups.prior_bytes(model, panel, n) <= 50_000 < groups.prior_bytes(model, panel, n + 1)
        posterior.to_datatree([name], n_prior_draws=n)
    free = SimpleNamespace(free=1_000_000)
    monkeypatch.setattr(_blocks.shutil, "disk_usage", lambda _: free)
    n = told(lambda: _blocks.check_disk(10**6, 6), r"n_draws \(([\d,]+) would fit\)")
    _blocks.check_disk(n, 6)
    books = pd.DataFrame(np.ones((40, 4)), index=[f"b{k}" for k in range(40)], columns=SYMBOLS)
    n_paths = 100 * daily.n_draws
    monkeypatch.setattr(_memory, "available", lambda: 20 * 8 * 3 * n_paths + 1)
    n = told(
        lambda: risk_ahead(daily, books, seed=1, days=3, n_draws=n_paths),
        r"Ask for fewer portfolios at a time \((\d+) would fit\)",
    )
    assert n == 20
    assert len(risk_ahead(daily, books.head(n), seed=1, days=3, n_draws=n_paths).portfolios) == n
