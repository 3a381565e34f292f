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
from bdfm.model.evidence import Evidence
from bdfm.model.factor_model import FactorModel
from bdfm.posterior import groups, memory, predictive
from bdfm.posterior.fit import fit
from bdfm.posterior.posterior import Posterior
from bdfm.report.month import read_month, run_month
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


def small_disk(monkeypatch, free):
    monkeypatch.setattr(_blocks.shutil, "disk_usage", lambda _: SimpleNamespace(free=free))


def test_forecasts_over_several_horizons_are_kept_beside_each_other(monkeypatch):
    """They were counted one by one: the last was refused after the fit, or took more than the budget."""
    posterior, size = daily_posterior(), 4 * 50_000 * len(SYMBOLS)

    one, three = (
        memory.forecast_bytes(50_000, len(SYMBOLS), n_forecasts=n, n_posterior=posterior.n_draws)
        for n in (1, 3)
    )
    assert three - one == 2 * size

    def in_files(n, **budget):
        found = posterior.forecasts(range(1, n + 1), seed=1, n_draws=50_000, **budget)
        return [_blocks._file_of(f._state.returns) is not None for f in found.values()], found["1d"]

    some, in_memory = in_files(3)
    assert some == [False] * 3
    monkeypatch.setattr(_memory, "LEAST", 1)
    budget = {"memory": (one + three) // 2}
    assert in_files(1, **budget)[0] == [False]
    some, on_disk = in_files(3, **budget)
    assert some == [True] * 3
    np.testing.assert_array_equal(on_disk.draws, in_memory.draws)
    assert _blocks._file_of(on_disk.zero(SYMBOLS[0])._state.returns) is not None
    assert _blocks.n_beside() == 1
    taken = []  # on the disk, by what was made before
    fallocate = _blocks.os.posix_fallocate
    monkeypatch.setattr(_blocks.os, "posix_fallocate", lambda f, o, n: (taken.append(n), fallocate(f, o, n)))
    usage = lambda _: SimpleNamespace(free=3 * size + 100_000 - sum(taken))  # noqa: E731
    monkeypatch.setattr(_blocks.shutil, "disk_usage", usage)
    assert in_files(3, **budget)[0] == [True] * 3
    assert len(taken) == 3
    small_disk(monkeypatch, 3 * size - 1)
    monkeypatch.setattr(predictive, "made_forecast", lambda *_, **__: pytest.fail("made"))
    said = r"3 times 50,000 draws of 4 assets take 2 MB.*n_draws \(4\d,000 would fit\)"
    with pytest.raises(DataError, match=said):
        posterior.forecasts([1, 2, 3], seed=1, n_draws=50_000, **budget)


def test_arrays_beside_each_other_have_one_share_of_the_budget(monkeypatch):
    monkeypatch.setattr(_memory, "available", lambda: None)
    with _memory.within("1GB"):
        for n in (1, 2, 3):
            with _blocks.beside(n):
                assert _blocks.kept_on_disk(10**6 // n + 1, 100)
                assert not _blocks.kept_on_disk(10**6 // n, 100)


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("free", [10**8, 10**10, 10**13])
@pytest.mark.parametrize("n_cores", [2, 16])
def test_more_is_never_taken_where_less_is_refused(n_cores, free, whole, monkeypatch):
    """1,100 assets over three horizons were refused, and 1,340 taken: each array then lay on disk."""
    monkeypatch.setattr(memory, "cores", lambda: n_cores)
    small_disk(monkeypatch, free)
    draws = np.unique(np.geomspace(1000, 3e6, 12).astype(int))
    assets = np.unique(np.r_[np.geomspace(2, 2e4, 25).astype(int), 1100, 1330, 1340, 3000])
    horizons = np.arange(1, 6)
    places = set()
    for allowed, room in ((8e9, 12e9), (8e9, 2e9), (1e9, 4e9)):
        monkeypatch.setattr(_memory, "available", lambda room=room: int(room))
        found = np.zeros((len(draws), len(assets), len(horizons)), dtype=int)
        for i, j, k in np.ndindex(found.shape):
            with _memory.within(int(allowed)), _blocks.beside(int(horizons[k])):
                try:
                    size = (int(draws[i]), int(assets[j]))
                    found[i, j, k] = memory.check_forecast(*size, n_posterior=3000, whole=whole)
                except DataError:
                    found[i, j, k] = 2
        for axis in range(3):  # in memory, then on disk, then refused
            assert (np.diff(found, axis=axis) >= 0).all()
        places |= set(np.unique(found))
    assert places >= ({0, 2} if free == 10**8 else {0, 1, 2})


def test_memory_of_the_work_never_falls(monkeypatch):
    """Rows of a block are whole multiples, so that its bytes go up and down with the assets."""
    monkeypatch.setattr(memory, "cores", lambda: 16)
    needed = [memory.forecast_bytes(20_000, n, n_forecasts=0) for n in range(2, 5000)]
    assert (np.diff(needed) >= 0).all()
    for n in range(2, 5000, 7):
        rows = min(20_000, _blocks.rows_at_once(n))
        assert 0.8 * _blocks.block_bytes(20_000, n) < 8 * rows * n <= _blocks.block_bytes(20_000, n)


def test_what_was_refused_between_memory_and_disk_goes_to_the_disk(monkeypatch):
    monkeypatch.setattr(_memory, "available", lambda: None)
    monkeypatch.setattr(memory, "cores", lambda: 2)
    small_disk(monkeypatch, 10**12)
    with _memory.within("8GB"), _blocks.beside(3):
        assert [memory.check_forecast(600_000, n) for n in (400, 1100, 1330, 1340, 3000)] == [
            False,
            *[True] * 4,
        ]


def test_a_month_of_several_horizons_is_refused_before_its_fit(tmp_path, monkeypatch):
    n = 400_000
    one = memory.forecast_bytes(n, 25, n_posterior=CHAINS * FIRST_DRAWS)
    small_disk(monkeypatch, 3 * 4 * n * 25 - 1)
    for horizons, fits in (("[1]", True), ("[1, 2, 3]", False)):
        file = tmp_path / "month.toml"
        data = f"[data]\ndemo = true\norigin = 2021-12-31\nhorizon = {horizons}\n"
        size = f"n_draws = {n}\nmemory = {one + 4 * n * 25}\n"
        file.write_text(f'model = "m6"\n{size}outputs = ["posterior", "submission"]\n{data}')
        if fits:
            read_month(file)
        else:
            with pytest.raises(DataError, match="3 times 400,000 draws of 25 assets take 120 MB"):
                read_month(file)
    small_disk(monkeypatch, 3 * 4 * n * 25)
    month, beside = read_month(file), []

    def fitted(*_, **__):
        beside.append(_blocks.n_beside())
        raise KeyboardInterrupt

    monkeypatch.setattr("bdfm.report.month.sampled", fitted)
    with pytest.raises(KeyboardInterrupt):
        run_month(month)
    assert beside == [3]


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
        read_month(files["second"], befores=[files["first"]])
    with files["second"].open("a") as file:  # inside the fit, of which chains are run
        file.write('[[evidence]]\nasset = "XOM"\nmean = 0.02\nsd = 0.1\n')
    read_month(files["second"], befores=[files["first"]])


@pytest.mark.parametrize(("preset", "moved"), [("m6", False), ("daily", True)])
def test_an_update_with_evidence_inside_the_fit_takes_the_memory_of_a_fit(
    preset, moved, small_preset, random_draws, monkeypatch
):
    """Nothing is moved then; of the daily model evidence is on the paths, and draws are."""
    model, panel = small_preset(preset)
    draws = random_draws(model, panel)
    earlier = Posterior.from_draws(draws, draws[[]], model, panel, {"seed": 1})
    checked = []

    def check(needed, **_):
        checked.append(needed)
        raise DataError("enough")

    monkeypatch.setattr(_memory, "check", check)
    evidence = [Evidence(panel.assets[0], 0.02, 0.1)]
    for given in ({}, {"warm_from": earlier}, {"warm_from": earlier, "evidence": evidence}):
        with pytest.raises(DataError, match="enough"):
            fit(model, panel, seed=1, **given)
    fitted, updated, known = checked
    assert updated != fitted
    assert known == (updated if moved else fitted)


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
    needed, without = (memory.forecast_bytes(10**6, 25, whole=x, n_forecasts=0) for x in (True, False))
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
    doors = {
        "panel": lambda: check_panel(1000, 300, PanelSettings()),
        "fit": lambda: memory.check_fit(model, panel, SamplerSettings(draws=400)),
        "forecast": lambda: memory.check_forecast(10**6, 6),
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
    with monkeypatch.context() as patch:
        small_disk(patch, 1_000_000)
        patch.setattr(_blocks, "SHARE", 0.0)
        patch.setattr(_memory, "available", lambda: None)
        n = told(lambda: memory.check_forecast(10**6, 6), r"n_draws \(([\d,]+) would fit\)")
        assert n == 41_000
        assert memory.check_forecast(n, 6)
    books = pd.DataFrame(np.ones((40, 4)), index=[f"b{k}" for k in range(40)], columns=SYMBOLS)
    n_paths = 100 * daily.n_draws
    monkeypatch.setattr(_memory, "available", lambda: 20 * 8 * 3 * n_paths + 1)
    n = told(
        lambda: risk_ahead(daily, books, seed=1, days=3, n_draws=n_paths),
        r"Ask for fewer portfolios at a time \((\d+) would fit\)",
    )
    assert n == 20
    assert len(risk_ahead(daily, books.head(n), seed=1, days=3, n_draws=n_paths).portfolios) == n
