"""All public functions that take returns pass them through one rule, and tell each doubt once."""

import inspect
import re
import warnings

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from bdfm import exposures, risk, validation
from bdfm.errors import DataError, DataWarning
from bdfm.risk import replays
from bdfm.risk.returns import examined

N = 260
DAYS = pd.date_range("2017-01-06", periods=N, freq="W-FRI", name="date")
ASSETS = list("ABCDEF")
RNG = np.random.default_rng(0)
FACTORS = pd.DataFrame({"F": 0.02 * RNG.standard_normal(N), "H": 0.01 * RNG.standard_normal(N)}, DAYS)
RETURNS = pd.DataFrame(FACTORS[["F"]].to_numpy() + 0.02 * RNG.standard_normal((N, len(ASSETS))), DAYS, ASSETS)
WEIGHTS = pd.DataFrame(1 / 6, ["book"], ASSETS)
WINDOW = {"fall": ("2020-02-21", "2020-03-20")}
SIZE = pd.DataFrame(RNG.standard_normal((N, 6)), DAYS, ASSETS)
STYLE = xr.DataArray(
    SIZE.to_numpy()[..., None],
    dims=("period", "asset", "factor"),
    coords={"period": DAYS.to_numpy(), "asset": ASSETS, "factor": ["size"]},
)
TRAITS = risk.Characteristics(SIZE, SIZE[ASSETS[::-1]].set_axis(ASSETS, axis=1), pd.DataFrame())
MODEL = risk.StatisticalEstimator(2).fit(RETURNS)
OF_64 = risk.StatisticalEstimator(2).fit(RETURNS.iloc[-64:])  # the laws of tests on 260 take seconds
GROUPS = pd.DataFrame([["low"] * 3 + ["high"] * 3], DAYS[:1], ASSETS)
REGRESSION = risk.TimeSeriesEstimator(FACTORS)


def of_six_assets(sort):
    """What a sort makes of returns, of which six assets fill too few groups."""

    def door(returns):
        with pytest.raises(DataError) as error:
            sort(returns, TRAITS)
        if "larger universe" not in str(error.value):
            raise error.value

    return door


def of_arrays(returns):
    return exposures.ExposureData.from_arrays(
        returns.to_numpy(), FACTORS.to_numpy(), days=DAYS, assets=ASSETS, factor_names=["F", "H"]
    )


ROLLING = exposures.RollingOLS(52)
MOVING = ROLLING.fit(of_arrays(RETURNS))

DOORS = {
    "StatisticalEstimator": lambda r: risk.StatisticalEstimator(2).fit(r),
    "TimeSeriesEstimator": REGRESSION.fit,
    "CrossSectionalEstimator": lambda r: risk.CrossSectionalEstimator(STYLE).fit(r),
    "InstrumentedEstimator": lambda r: risk.InstrumentedEstimator(STYLE, 1).fit(r),
    "components": risk.components,
    "double_sort": of_six_assets(risk.double_sort),
    "implied_factor_returns": lambda r: risk.implied_factor_returns(MODEL, r),
    "market_return": risk.market_return,
    "portfolio_returns": lambda r: risk.portfolio_returns(r, GROUPS, ["low", "high"]),
    "price": lambda r: risk.price(r, FACTORS),
    "replay_held": lambda r: risk.replay_held(r, WEIGHTS, windows=WINDOW),
    "single_sorts": lambda r: risk.single_sorts(r, TRAITS),
    "sort_portfolios": lambda r: risk.sort_portfolios(r, risk.Sort("size", SIZE, [0.5])),
    "stress_test": lambda r: risk.stress_test(
        {"model": MODEL}, WEIGHTS, scenarios=risk.Scenarios(windows=WINDOW), returns=r
    ),
    "cross_validate": lambda r: validation.cross_validate(risk.StatisticalEstimator(1), r, n_folds=4),
    "forecast_alphas": lambda r: validation.forecast_alphas(r, FACTORS, window=200, step=20),
    "select_factors": lambda r: validation.select_factors(r, FACTORS, n_bootstrap=0, seed=1),
    "tail_of_model": lambda r: validation.tail_of_model(REGRESSION, r, WEIGHTS, start=200, every=20),
    "validate": lambda r: validation.validate(OF_64, r.iloc[-64:], n_simulations=0),
    "walk_forward": lambda r: validation.walk_forward(REGRESSION, r, window=200, step=20),
    "ExposureData": of_arrays,
    "ExposureEstimator": exposures.ExposureEstimator(ROLLING, FACTORS).fit,
    "exposures_risk": lambda r: exposures.exposures_risk(MOVING, r),
    "exposures_volatility": lambda r: exposures.exposures_volatility(MOVING, r, {"A": 1.0}),
}
REGRESSED, IMPLIED = REGRESSION.fit(RETURNS), risk.implied_factor_returns(MODEL, RETURNS)
LOUD = risk.StatisticalEstimator(2, standardise=True).fit(RETURNS)  # its factors have an sd of about 1
# What takes factor returns, those that are right, and one of what doubts are told of
FACTOR_DOORS = {
    "replay": (lambda f: risk.replay(REGRESSED, f, WEIGHTS, windows=WINDOW), FACTORS, "F"),
    "replay, implied": (
        lambda f: risk.replay(MODEL, f, WEIGHTS, windows=WINDOW),
        IMPLIED,
        "by the exposure of [A-F]",
    ),
    "replay, of another unit": (
        lambda f: risk.replay(LOUD, f, WEIGHTS, windows=WINDOW),
        risk.implied_factor_returns(LOUD, RETURNS),
        "by the exposure of [A-F]",
    ),
    "stress_test": (
        lambda f: risk.stress_test(
            {"model": MODEL, "regression": REGRESSED},
            WEIGHTS,
            scenarios=risk.Scenarios(windows=WINDOW),
            returns=RETURNS,
            factor_returns=f,
        ),
        FACTORS,
        "F",
    ),
}
ACCEPTING = {  # say how to accept
    *("TimeSeriesEstimator", "CrossSectionalEstimator", "InstrumentedEstimator"),
    *("ExposureData", "ExposureEstimator", "exposures_risk", "exposures_volatility"),
    *("replay_held", "stress_test"),
}
# of a posterior's own panel; of factors, which is another door; one filter, of any numbers
OTHERS = {"BayesianEstimator", "compounded", "kalman_betas"}


def takes(what, name):
    doors = (
        [getattr(what, k) for k in ("fit", "from_arrays") if hasattr(what, k)]
        if inspect.isclass(what)
        else []
    )
    try:
        return any(name in inspect.signature(door).parameters for door in doors or [what])
    except (TypeError, ValueError):
        return False


def test_every_door_is_here():
    public = [(n, getattr(part, n)) for part in (risk, validation, exposures) for n in dir(part)]
    assert {n for n, what in public if takes(what, "returns")} == {*DOORS, *OTHERS}
    assert {n for n, what in public if takes(what, "factor_returns")} == {
        *(n.split(",")[0] for n in FACTOR_DOORS),
        "RiskModel",  # of which they are kept as they are
    }


@pytest.mark.parametrize("door", DOORS)
def test_returns_that_are_none(door):
    look = DOORS[door]
    with warnings.catch_warnings():
        warnings.simplefilter("error", DataWarning)
        look(RETURNS)
    for wrong, told in ((1 + RETURNS, "gross returns"), (100 * RETURNS, "percent, read as decimals")):
        with pytest.raises(DataError, match=rf"(?s){told}.*\[factor-unit\]") as error:
            look(wrong)
        assert ("--accept" in str(error.value)) == (door in ACCEPTING)


@pytest.mark.parametrize("door", DOORS)
def test_a_doubt_is_told_once(door):
    added = RETURNS.assign(C=0.5 * RETURNS["C"].cumsum())
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        DOORS[door](added)
    texts = [str(w.message) for w in told if "factor-unit" in str(w.message)]
    assert len(texts) == 1, texts
    assert "C has a correlation of" in texts[0]
    assert ("--accept" in texts[0]) == (door in ACCEPTING)


@pytest.mark.parametrize("door", FACTOR_DOORS)
def test_factor_returns_that_are_none(door):
    look, factors, name = FACTOR_DOORS[door]
    with warnings.catch_warnings():
        warnings.simplefilter("error", DataWarning)
        look(factors)
        look(factors.assign(RF=4.5))  # not used
    one = factors.columns[0]
    for wrong, told in (
        (100 * factors, "percent, read as decimals"),
        (factors.replace(factors.loc["2020-03-06", one], -99.99), "(missing-code|far-return)"),
        *[(1 + factors, "gross returns")] * (name in factors),  # of a unit of its own, one is no gross return
    ):
        with pytest.raises(DataError, match=rf"(?s){name}.*{told}") as error:
            look(wrong)
        assert "--accept" in str(error.value)
    with pytest.warns(DataWarning, match="correlation of .* with its own row before") as told:
        look(0.5 * factors.cumsum())
    assert len([w for w in told if "factor-unit" in str(w.message)]) == 1


def test_replays_accept_what_they_refuse():
    """Nothing did, and a loss of 120 % by a factor of a unit of its own was to be corrected."""
    held = pd.DataFrame(1.0, ["book"], ["A"])
    for model, factors in ((REGRESSED, FACTORS), (MODEL, IMPLIED)):
        wrong = 100 * factors
        with pytest.raises(DataError) as error:
            risk.replay(model, wrong, held, windows=WINDOW)
        assert '--accept "factor-unit' in str(error.value)
        assert len(risk.replay(model, wrong, held, windows=WINDOW, accept=["factor-unit"])) == 1
    name = IMPLIED.columns[0]
    b = MODEL.exposures.to_pandas()[name]
    far = IMPLIED.copy()
    far.loc["2020-03-06", name] = -1.2 / b[b.abs().idxmax()]
    label = f"{name} by the exposure of {b.abs().idxmax()}"
    with pytest.raises(DataError, match=rf"{label}.*-1.2") as error:
        risk.replay(MODEL, far, held, windows=WINDOW)
    rule = re.search(r"\[([a-z-]+)\]", str(error.value)).group(1)
    assert risk.replay(MODEL, far, held, windows=WINDOW, accept=[f"{rule}:{label}"]).size
    once = {"models": {"m": REGRESSED}, "weights": held, "scenarios": risk.Scenarios(windows=WINDOW)}
    assert risk.stress_test(
        **once, returns=100 * RETURNS, factor_returns=100 * FACTORS, accept=["factor-unit"]
    ).replay.size
    assert risk.replay_held(100 * RETURNS, held, windows=WINDOW, accept=["factor-unit"]).size


def test_factors_of_many_assets_are_looked_at_alone(monkeypatch):
    """The returns of 2,000 assets that twenty factors make took seconds, within examined blocks too."""
    seen = []
    monkeypatch.setattr(replays, "doubt_returns", lambda table, **_: seen.append(table))
    risk.replay(MODEL, IMPLIED, WEIGHTS, windows=WINDOW)
    b = MODEL.exposures.to_pandas()
    assert len(seen) == 1
    assert seen[0].shape == IMPLIED.shape
    for k, column in enumerate(seen[0]):
        asset = b.iloc[:, k].abs().idxmax()
        assert column == f"{IMPLIED.columns[k]} by the exposure of {asset}"
        np.testing.assert_allclose(seen[0][column], IMPLIED.iloc[:, k] * b.loc[asset].iloc[k])
    short = risk.RiskModel.from_arrays(
        [[0.5], [-1.0]], [[1e-4]], [1e-4, 1e-4], assets=["A", "B"], factors=IMPLIED.columns[:1],
        kind="short", origin=DAYS[-1], observed_factors=False,
    )  # fmt: skip
    replays.doubt_factor_returns({"": short}, IMPLIED, accept=())
    assert seen.pop().columns[0].endswith("exposure of B")
    with examined():
        risk.replay(MODEL, 100 * IMPLIED, WEIGHTS, windows=WINDOW)
    assert len(seen) == 1


@pytest.mark.parametrize("periods", ["W-FRI", "ME", "YE"])
def test_cash_has_levels_and_no_doubt(periods):
    """Bills at rates that move slowly, of weeks, months or years; what is added up is told of beside them."""
    per_year = {"W-FRI": 52, "ME": 12, "YE": 1}[periods]
    days = pd.date_range("1950-01-01", periods=75 if per_year == 1 else N, freq=periods)
    rng = np.random.default_rng(3)
    table = pd.DataFrame(0.16 * per_year**-0.5 * rng.standard_normal((len(days), 4)), days, list("ABCD"))
    rate = np.interp(
        np.arange(len(days)), np.linspace(0, len(days), 6), [0.0, 0.045, 0.14, 0.053, 0.001, 0.05]
    )
    table["BIL"] = rate / per_year
    with warnings.catch_warnings():
        warnings.simplefilter("error", DataWarning)
        risk.components(table)
        risk.components(table[["A", "BIL"]])
        if per_year > 1:  # nothing but bills
            risk.components(table[["BIL"]].assign(SHV=1.02 * rate / per_year + 1e-6 * table["A"]))
    with pytest.warns(DataWarning, match="D has a correlation of"):
        risk.components(table.assign(D=0.5 * table["D"].cumsum()))


def test_what_an_estimator_accepts_is_not_told():
    added = RETURNS.assign(C=0.5 * RETURNS["C"].cumsum())
    accept = ("factor-unit:C",)
    with warnings.catch_warnings():
        warnings.simplefilter("error", DataWarning)
        risk.TimeSeriesEstimator(FACTORS, accept=accept).fit(added)
        risk.CrossSectionalEstimator(STYLE, accept=accept).fit(added)
        risk.InstrumentedEstimator(STYLE, 1, accept=accept).fit(added)


def test_a_log_return_may_be_below_minus_one():
    """Of an asset that lost three quarters in a period; a code for a missing return is told all the same."""
    crash = 0.2 * RETURNS
    crash.loc["2019-03-01", "C"] = -1.4
    with pytest.warns(DataWarning, match=r"C on 2019-03-01: -0.7534, .*\[far-return\]"):
        of_arrays(crash)
    with pytest.raises(DataError, match=r"C on 2019-03-01: -99\.99"):
        of_arrays(RETURNS.assign(C=RETURNS["C"].where(RETURNS.index != "2019-03-01", -99.99)))
