"""What was taken without a word once, and is refused or told now."""

import warnings

import numpy as np
import pandas as pd
import pytest

from bdfm import _sealed
from bdfm.backtest.filtered import FilteredHistorical
from bdfm.backtest.protocol import MarketData
from bdfm.backtest.simple import EWMA, HAR, HistoricalFifths
from bdfm.backtest.walk import walk_forward
from bdfm.data.panel import Panel
from bdfm.data.settings import PanelSettings, RollingCovariance
from bdfm.data.sources import read_earnings, read_prices, read_returns, read_universe
from bdfm.data.weighting import half_life_of
from bdfm.errors import DataError, DataWarning, FileError, ModelError
from bdfm.exposures.data import ExposureData
from bdfm.forecast.changes import Changes, Step
from bdfm.forecast.edits import parse_edits
from bdfm.forecast.forecast import Forecast
from bdfm.inference.settings import SamplerSettings
from bdfm.model.factor_model import FactorModel
from bdfm.model.parts.weights import HalfLifeWeights, StepWeights
from bdfm.posterior.fit import fit
from bdfm.risk.base import RiskModel
from bdfm.risk.returns import period_weights
from bdfm.risk.statistical import StatisticalEstimator

ASSETS = [f"A{i}" for i in range(6)]


def closes(*, all_week=False):
    rng = np.random.default_rng(3)
    make = pd.date_range if all_week else pd.bdate_range
    days = make("2019-01-01", "2021-06-30", name="date")
    return pd.DataFrame(np.exp(0.01 * rng.standard_normal((len(days), 6)).cumsum(axis=0)), days, ASSETS)


def universe():
    return pd.DataFrame({"symbol": ASSETS, "asset_class": ["a"] * 3 + ["b"] * 3})


@pytest.mark.parametrize("period", [1, 2])
def test_periods_of_calendar_days_in_which_the_market_is_closed(period):
    settings = PanelSettings(period=period, n_periods=60)
    with pytest.raises(DataError, match=r"of 60 periods, of . calendar days, have no price.*\[sampling\]"):
        Panel.from_prices(closes(), universe(), origin="2021-05-14", settings=settings)
    assert Panel.from_prices(
        closes(), universe(), origin="2021-05-14", settings=settings, accept=["sampling"]
    )
    assert Panel.from_prices(closes(all_week=True), universe(), origin="2021-05-14", settings=settings)


@pytest.mark.parametrize("period", [3, 5, 7, 28, "month", "day"])
def test_periods_that_hold_a_market_day_are_in_order(period):
    settings = PanelSettings(period=period, n_periods=24)
    assert Panel.from_prices(closes(), universe(), origin="2021-05-14", settings=settings)


def test_backtests_tell_of_periods_without_a_price(tmp_path):
    data = MarketData.of(closes(), universe())
    origins = ["2021-05-14", "2021-05-15", "2021-05-17"]  # a Friday, a Saturday, a Monday
    with pytest.warns(DataWarning, match=r"2 of 3 begin a period without a price \(2021-05-14, 2021-05-15\)"):
        walk_forward(HistoricalFifths(), data, origins, tmp_path / "x", period=1)


def test_edits_that_leave_nothing_to_forecast():
    rng = np.random.default_rng(1)
    forecast = Forecast.from_draws(
        0.05 * rng.standard_normal((200, 3)), assets=["A", "B", "C"], asset_class=["x"] * 3,
        origin="2021-05-14", end="2021-06-11",
    )  # fmt: skip
    with pytest.warns(DataWarning, match="Nothing is left to forecast"):
        assert forecast.zero("A", "B", "C").is_fixed
    some = forecast.zero("A", "B")
    assert not some.is_fixed
    for edits in (["zero A B C"], ["zero A B", "set_return C value=0.1"]):
        changes = Changes((Step(tuple(parse_edits(edits))),))
        with pytest.raises(DataError, match="Nothing is left to forecast"):
            changes.apply(forecast)
        with pytest.raises(DataError, match="Nothing is left to forecast"):
            changes.check(forecast.assets, ["x"] * 3)
    again = Changes((Step(tuple(parse_edits(["zero A B C", "replace C distribution=norm(0,0.1)"]))),))
    assert not again.apply(forecast).is_fixed
    again.check(forecast.assets, ["x"] * 3)
    assert Changes().apply(forecast.edit(*parse_edits(["zero A B C"]), accept=None)).is_fixed  # not by these


def test_an_edit_that_is_said_twice():
    """Two shifts by one per cent are two per cent: told, in one command and in the next."""
    forecast = Forecast.from_draws(
        0.05 * np.random.default_rng(0).standard_normal((400, 3)),
        assets=["A", "B", "C"], asset_class=["x"] * 3, origin="2020-01-03", end="2020-01-31",
    )  # fmt: skip
    shift, zero = parse_edits(["shift A by=0.01", "zero B"])
    once = forecast.edit(shift, zero)
    with pytest.warns(DataWarning, match=r"edits: A: .*, was said before, and counts once more"):
        once.edit(shift)
    with pytest.warns(DataWarning, match=", was said before"):
        forecast.edit(shift, shift)
    with pytest.warns(DataWarning, match=", was said before"):
        Changes((Step((shift, shift)),)).apply(forecast)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        once.edit(zero)  # which changes nothing
        once.edit(*parse_edits(["shift A by=0.02", "shift C by=0.01"]))


def test_half_lives_that_leave_nothing():
    ends = pd.date_range("2020-01-31", periods=104, freq="ME").to_numpy()
    doors = (
        lambda x: HalfLifeWeights(half_life_periods=x),
        lambda x: FactorModel.from_toml(f'[weights]\nkind = "half_life"\nhalf_life_periods = {x!r}'),
        lambda x: FactorModel.from_toml(f"[panel.rolling_covariance]\nvolatility_half_life_days = {x!r}"),
        lambda x: RollingCovariance(correlation_half_life_days=x),
        lambda x: EWMA(volatility_half_life_days=x),
        lambda x: EWMA(correlation_half_life_days=x),
        lambda x: HAR(volatility_half_life_days=x),
        lambda x: FilteredHistorical(volatility_half_life_days=x),
        lambda x: period_weights(104, x, where="risk"),
        lambda x: StatisticalEstimator(1, half_life_periods=x).fit(
            closes().pct_change(fill_method=None).iloc[1:201]
        ),
        lambda x: half_life_of(x, what="half_life_days", where="exposures in use"),
    )
    for door in doors:
        for life in (1e-300, 0.5, 1.0, 1.99):
            with pytest.raises((ModelError, DataError), match=r"greater than or equal to 2|Give 2 or more"):
                door(life)
        door(2.0)
        for none in (float("inf"), float("nan")):
            with pytest.raises((ModelError, DataError)):
                door(none)
    with pytest.raises(ModelError, match="leaves no weight to the oldest of 3000"):
        HalfLifeWeights(half_life_periods=2.0).weights(np.arange(3000))
    for few in (3, 8, 104):
        assert HalfLifeWeights(half_life_periods=2.0).checked(ends[:few])[0] > 0
    assert period_weights(104, 2.0, where="risk").mean() == pytest.approx(1)
    assert period_weights(3, 1e6, where="risk").sum() == pytest.approx(3)


def test_steps_that_leave_nothing():
    """The same of weights that step: before a day that all periods, or all but two, end before."""
    ends = pd.date_range("2020-01-31", periods=104, freq="ME").to_numpy()
    for before, since in ((1e-300, 104), (1e-3, 104), (1e-300, 2), (1e-3, 1)):
        day = "2030-01-01" if since == 104 else str(ends[-since])[:10]
        weights = StepWeights(cutoff=day, before=before)
        with pytest.raises(ModelError, match=r"weights \(step\): of 104 periods they leave as much as"):
            weights.checked(ends)
    assert StepWeights(cutoff="2030-01-01", before=0.5).checked(ends).sum() == 52
    assert StepWeights(cutoff=str(ends[-5])[:10], before=1e-3).checked(ends).sum() > 5
    refused = []  # one period more that counts in full is never too much
    for since in range(1, 9):
        try:
            StepWeights(cutoff=str(ends[-since])[:10], before=0.01).checked(ends)
        except ModelError:
            refused.append(since)
    assert refused == [1]


def test_weights_that_leave_nothing_are_told_before_a_fit():
    cut = StepWeights(cutoff="2030-01-01", before=1e-300)
    panel = Panel.from_prices(
        closes(), universe(), origin="2021-05-14", settings=PanelSettings(period=7, n_periods=24)
    )
    with pytest.raises(ModelError, match=r"weights \(step\): of 24 periods"):
        fit(
            FactorModel(n_factors=1, weights=cut, panel=panel.settings),
            panel,
            seed=1,
            settings=SamplerSettings(draws=10, tune=10),
        )


def test_a_statistical_model_keeps_a_degree_of_freedom():
    """With a half-life of 2 periods, 5.8 effective ones: 4 factors left 0.8 of a period for the rest."""
    returns = closes().pct_change(fill_method=None).iloc[1:201]
    with pytest.raises(DataError, match=r"4 factors for 6 assets in 6 periods\. Give 1 to 3"):
        StatisticalEstimator(4, half_life_periods=2.0).fit(returns)
    assert StatisticalEstimator(3, half_life_periods=2.0).fit(returns)


@pytest.mark.parametrize("name", ["$x_{$", "a\u202eb", "a\nb", "e\u0301"])
def test_names_that_nothing_can_show_at_doors_without_a_universe(name):
    assets = [name, "\u00e9"]
    with pytest.raises(DataError, match=r"cannot be shown|written in two ways"):
        RiskModel.from_arrays(np.ones((2, 1)), np.eye(1), np.ones(2), assets=assets, factors=["F"])
    with pytest.raises(DataError, match=r"cannot be shown|written in two ways"):
        RiskModel.from_arrays(np.ones((1, 2)), np.eye(2), np.ones(1), assets=["A"], factors=assets)
    returns = 0.01 * np.random.default_rng(0).standard_normal((50, 2))
    with pytest.raises(DataError, match=r"cannot be shown|written in two ways"):
        ExposureData.from_arrays(returns, returns[:, :1], assets=assets)


@pytest.mark.parametrize("error", ["#REF!", "#N/A", "#NAME?", " #div/0! "])
def test_errors_of_a_spreadsheet_name_nothing(error, tmp_path):
    """In cells they are blank; a header that is one had become a symbol."""
    table = closes().rename(columns={"A1": error})
    long = table.iloc[:40].rename_axis(columns="symbol").stack().rename("close").reset_index()
    members = universe().replace({"A1": error})
    calendar = pd.DataFrame({"symbol": ["A0", error], "date": "2020-01-03"})
    readers = {
        "prices": (read_prices, table.reset_index()),
        "long": (read_prices, long),
        "returns": (read_returns, table.pct_change(fill_method=None).iloc[1:].reset_index()),
        "universe": (read_universe, members),
        "earnings": (read_earnings, calendar),
    }
    for name, (read, given) in readers.items():
        given.to_csv(tmp_path / f"{name}.csv", index=False)
        with pytest.raises(DataError, match=r"names? (?:is an error|are errors) of a spreadsheet"):
            read(tmp_path / f"{name}.csv")
    with pytest.raises(DataError, match=r"names? (?:is an error|are errors) of a spreadsheet"):
        Panel.from_prices(table, members, origin="2021-05-14")
    assert list(read_universe(universe().replace({"A1": "NA"}))["symbol"][:2]) == ["A0", "NA"]


@pytest.mark.parametrize("text", ["13014", "[1]", '"x"', "null", "x", '{"a": [1]}'])
def test_facts_of_a_forecast_that_are_no_table(text, tmp_path):
    """Found by the fuzzer: a resealed file whose facts were a number ended in AttributeError."""
    forecast = Forecast.from_draws(
        0.05 * np.random.default_rng(1).standard_normal((200, 2)), assets=["A", "B"],
        asset_class=["x"] * 2, origin="2021-05-14", end="2021-06-11",
    )  # fmt: skip
    dataset = _sealed.load_dataset(forecast.save(tmp_path / "f.nc"), kind="forecast")
    path = _sealed.save_dataset(dataset.assign(attrs=text), tmp_path / "f.nc", kind="forecast")
    with pytest.raises((FileError, DataError)):
        Forecast.load(path)
