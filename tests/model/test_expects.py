"""The panel that a model expects and the panel given."""

from __future__ import annotations

import numpy as np
import pytest

from bdfm.data.panel import Panel
from bdfm.data.settings import PanelSettings, RollingCovariance
from bdfm.data.sources import DEMO_ORIGIN, demo
from bdfm.errors import ModelError
from bdfm.model.expects import check_panel, other_settings
from bdfm.model.factor_model import FactorModel
from bdfm.model.parts.log_volatility import LogVolIntercept
from bdfm.model.parts.mean import Intercept
from bdfm.model.parts.predictive import CovariancePool


def panel(**settings) -> Panel:
    prices, universe = demo()
    given = PanelSettings(**settings) if settings else None
    return Panel.from_prices(prices, universe, origin=DEMO_ORIGIN, settings=given)


@pytest.fixture(scope="module")
def usual() -> Panel:
    return panel()


def test_a_panel_made_with_the_models_settings_is_as_expected(usual):
    given = panel(period=21, volatility_windows=(5, 20))
    model = FactorModel(panel=PanelSettings(period=21, volatility_windows=(5, 20)))
    check_panel(model, given)
    check_panel(model, given.select(given.assets[:5]))
    check_panel(FactorModel(), usual)


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"period": 21}, "period 28, expected 21"),
        ({"period": "month"}, "period 28, expected 'month'"),
        ({"recent_return_days": 14}, "recent_return_days 7, expected 14"),
        ({"volatility_windows": (5, 20)}, r"volatility_windows \(5,\), expected \(5, 20\)"),
        ({"volatility_form": "level"}, "volatility_form 'relative', expected 'level'"),
        ({"earnings_gaps": "seasonal"}, "earnings_gaps 'none', expected 'seasonal'"),
        ({"min_past_weeks": 13}, "min_past_weeks 26, expected 13"),
    ],
)
def test_each_setting_is_compared(settings, line, usual):
    model = FactorModel(name="mine", panel=PanelSettings(**settings))
    message = rf"model 'mine': .* \({line}\)\. Make it with .*settings=model\.panel"
    with pytest.raises(ModelError, match=message):
        check_panel(model, usual)


def pooling(**settings):
    panel = PanelSettings(rolling_covariance=RollingCovariance(**settings))
    return FactorModel(name="mine", panel=panel, predictive=CovariancePool())


def test_the_rolling_covariance_is_compared_where_forecasts_pool_with_it():
    given = panel(rolling_covariance=RollingCovariance())
    check_panel(pooling(), given)
    with pytest.raises(ModelError, match=r"rolling_covariance .*life_days=60.* expected .*life_days=20"):
        check_panel(pooling(volatility_half_life_days=20), given)
    with pytest.raises(ModelError, match=r"rolling_covariance None, expected RollingCovariance"):
        check_panel(pooling(), panel())


def test_a_panel_of_arrays_without_a_rolling_covariance_is_refused():
    returns = np.zeros((30, 2))
    with pytest.raises(ModelError, match=r"pooled with the rolling covariance .* the panel has none"):
        check_panel(pooling(), Panel.from_arrays(returns, asset_class=["x", "x"]))
    given = Panel.from_arrays(returns, asset_class=["x", "x"], rolling_covariance=np.eye(2))
    check_panel(pooling(), given)


def test_characteristics_that_move_are_asked_for_where_loadings_follow_them(usual):
    """By the model file first, and then of the panel, which has them or not whatever it says."""
    loadings = {"kind": "instrumented_walk"}
    with pytest.raises(ModelError, match=r"follows characteristics that move.*moving_characteristics = true"):
        FactorModel(name="mine", loadings=loadings)
    model = FactorModel(name="mine", loadings=loadings, panel={"moving_characteristics": True})
    check_panel(model, panel(moving_characteristics=True))
    with pytest.raises(ModelError, match=r"the panel lacks characteristics_path, .*to from_arrays"):
        model.build(usual)


def test_all_settings_are_looked_at():
    assert len(PanelSettings.model_fields) == 11  # a new one belongs into expects.py and into the test above


def test_all_that_differs_is_named(usual):
    model = FactorModel(panel=PanelSettings(period=21, min_past_weeks=13))
    assert other_settings(model, usual) == {"period": (28, 21), "min_past_weeks": (26, 13)}


def test_settings_of_features_that_no_part_reads_do_not_matter(usual):
    settings = PanelSettings(volatility_windows=(5, 20), recent_return_days=14, earnings_gaps="seasonal")
    model = FactorModel(panel=settings, mean=(Intercept(),), log_volatility=(LogVolIntercept(),))
    check_panel(model, usual)


def test_a_panel_of_arrays_is_asked_for_what_its_maker_stated():
    model = FactorModel(panel=PanelSettings(period="month", volatility_windows=(5, 20)))
    returns, classes = np.zeros((30, 2)), ["x", "x"]
    check_panel(model, Panel.from_arrays(returns, asset_class=classes))
    stated = Panel.from_arrays(returns, asset_class=classes, settings=PanelSettings(period=28))
    assert other_settings(model, stated) == {"period": (28, "month")}
    again = Panel.from_dataset(stated.to_dataset())
    assert other_settings(model, again) == {"period": (28, "month")}
    assert again.settings == stated.settings
