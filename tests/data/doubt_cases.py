"""Small simulated tables, and the mistakes that rules must find in them."""

import numpy as np
import pandas as pd

N_DAYS = 700
NAMES = [f"S{i}" for i in range(8)]
DAYS = pd.bdate_range("2018-01-01", periods=N_DAYS, name="date")
ORIGIN = DAYS[-1]


def clean_prices(seed=3):
    """Eight assets with a common factor and fat tails."""
    rng = np.random.default_rng(seed)
    common = 0.008 * rng.standard_t(4, (N_DAYS, 1)) / np.sqrt(2)
    own = 0.012 * rng.standard_t(5, (N_DAYS, len(NAMES)))
    levels = np.linspace(12, 240, len(NAMES)) * np.exp(np.cumsum(common + own, axis=0))
    return pd.DataFrame(levels, DAYS, NAMES)


def clean_factors(seed=4):
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((N_DAYS, 3)) * [0.010, 0.005, 0.007]
    return pd.DataFrame(values, DAYS, ["Mkt-RF", "SMB", "HML"])


def clean_universe():
    return pd.DataFrame({"symbol": NAMES, "asset_class": ["stock"] * 5 + ["fund"] * 3})


def clean_earnings():
    days = pd.date_range("2018-01-20", ORIGIN, freq="91D")
    rows = [(s, d + pd.Timedelta(days=3 * i)) for i, s in enumerate(NAMES[:5]) for d in days]
    return pd.DataFrame(rows, columns=["symbol", "date"])


def _changed(column, rows, change):
    def make(prices):
        prices = prices.copy()
        at = prices.columns.get_loc(column)
        prices.iloc[rows, at] = change(prices.iloc[rows, at])
        return prices

    return make


def _volume(prices):
    rng = np.random.default_rng(5)
    return prices.assign(S1=np.round(np.exp(13 + 0.5 * rng.standard_normal(len(prices)))))


def _sparse(column):
    def make(prices):
        prices = prices.copy()
        prices.loc[prices.index.day_name() != "Wednesday", column] = np.nan
        return prices

    return make


def _ended(days):
    def make(prices):
        prices = prices.copy()
        prices.loc[prices.index > prices.index[-1] - pd.Timedelta(days=days), "S2"] = np.nan
        return prices

    return make


def _copy(noise):
    def make(prices):
        error = noise * np.random.default_rng(1).standard_normal(len(prices))
        return prices.assign(S7=prices["S2"] * np.exp(error))

    return make


def _linked(prices, later):
    return pd.concat([prices.loc[: later.index[0]].iloc[:-1], later])


def _same(x):
    return 0 * x + x.iloc[0]


def _saturday(prices):
    days = list(prices.index)
    days[504] += pd.Timedelta(days=1)  # a Friday
    return prices.set_axis(pd.DatetimeIndex(days, name="date"))


def _noise(table, sd):
    return sd * np.random.default_rng(0).standard_normal(len(table))


def _cells(column, every, value):
    def make(factors):
        return factors.assign(**{column: factors[column].where(np.arange(len(factors)) % every != 99, value)})

    return make


MIDDLE, LATE = slice(300, None), slice(-8, None)

# name: rule, change of the prices, label that a message names
PRICES = {
    "pence from the middle on": ("unit-step", _changed("S3", MIDDLE, lambda x: 100 * x), "S3"),
    "pounds from the middle on": ("unit-step", _changed("S4", MIDDLE, lambda x: x / 100), "S4"),
    "pence for a year": ("unit-step", _changed("S0", slice(200, 450), lambda x: 100 * x), "S0"),
    "thousands": ("unit-step", _changed("S5", MIDDLE, lambda x: 1000 * x), "S5"),
    "one day of pence": ("unit-step", _changed("S6", slice(350, 351), lambda x: 100 * x), "S6"),
    "a spike": ("unit-step", _changed("S7", slice(400, 401), lambda x: 2.3 * x), "S7"),
    "the last day": ("unit-step", _changed("S1", slice(-1, None), lambda x: x / 100), "S1"),
    "almost nothing": ("unit-step", _changed("S2", slice(-1, None), lambda x: 1e-300 * x), "S2"),
    "999": ("missing-code", _changed("S0", slice(350, 351), lambda x: 0 * x + 999), "S0"),
    "99900": ("missing-code", _changed("S0", slice(350, 351), lambda x: 0 * x + 99900), "S0"),
    "the same odd price twice": ("missing-code", _changed("S2", [150, 400], lambda x: 0 * x + 1234.5), "S2"),
    "zero": ("missing-code", _changed("S4", slice(120, 121), lambda x: 0 * x), "S4"),
    "-99.99": ("missing-code", _changed("S4", slice(120, 122), lambda x: 0 * x - 99.99), "S4"),
    "returns": ("not-prices", lambda p: p.pct_change(fill_method=None).iloc[1:], "S0"),
    "gross returns": ("not-prices", lambda p: 1 + p.pct_change(fill_method=None).iloc[1:], "S0"),
    "100 + percent": ("not-prices", lambda p: 100 + 100 * p.pct_change(fill_method=None).iloc[1:], "S0"),
    "log returns of one": ("not-prices", lambda p: p.assign(S6=np.log(p["S6"]).diff()).iloc[1:], "S6"),
    "fields by name": ("ohlcv", lambda p: p.rename(columns={"S1": "Open", "S2": "Close"}), "Open"),
    "fields of one symbol": ("ohlcv", lambda p: p.rename(columns={"S1": "SPY High", "S2": "SPY Low"}), "SPY"),
    "a volume": ("ohlcv", _volume, "S1"),
    "indices begun anew": (
        "begun-anew",
        lambda p: _linked(p, 100 * p.iloc[300:] / p.iloc[300]),
        "8 of 8 assets come to 100",
    ),
    "another currency": ("begun-anew", lambda p: _linked(p, 7.8 * p.iloc[300:]), "8 assets"),
    "a copy": ("twins", lambda p: p.assign(S7=3 * p["S2"]), "S7"),
    "a copy with rounding": ("twins", _copy(noise=1e-9), "S7"),
}
# refused where a panel is made, and elsewhere told at most
OF_A_PANEL = {
    "one weekly asset": ("sampling", _sparse("S3"), "S3"),
    "cash": ("constant-price", lambda p: p.assign(S5=1.0), "S5"),
    "cash at par": ("constant-price", lambda p: p.assign(S1=100.0), "S1"),
    "padded": ("constant-price", _changed("S6", slice(-60, None), lambda x: 0 * x + x.iloc[0]), "S6"),
    "ended": ("stale-end", _ended(45), "S2"),
    "split just now": ("unit-step", _changed("S3", LATE, lambda x: x / 10), "S3"),
}
WARNED = {
    "split": ("unit-step", _changed("S3", MIDDLE, lambda x: x / 2), "2 for 1"),
    "reverse split": ("unit-step", _changed("S3", MIDDLE, lambda x: 10 * x), "1 for 10"),
    "split of 3 for 2": ("unit-step", _changed("S3", slice(315, None), lambda x: x / 1.5), "3 for 2"),
    "a day late": ("shifted-days", lambda p: p.assign(S2=p["S2"].shift(1)), "day before"),
    "a day early": ("shifted-days", lambda p: p.assign(S5=p["S5"].shift(-1)), "day after"),
    "rights issue": ("unit-step", _changed("S3", MIDDLE, lambda x: 0.6 * x), "S3"),
    "share classes": ("twins", _copy(noise=0.0012), "S7"),
    "a stop of three months": ("constant-price", _changed("S6", slice(300, 370), _same), "S6"),
    "a halt of three weeks": ("no-new-price", _changed("S6", slice(300, 316), _same), "S6"),
    "three weeks without a price": (
        "no-new-price",
        _changed("S6", slice(300, 316), lambda x: np.nan * x),
        "S6",
    ),
    "averages of five days": ("smoothed", lambda p: p.assign(S2=p["S2"].rolling(5).mean().bfill()), "S2"),
    "prices between those of weeks": (
        "smoothed",
        lambda p: p.assign(S3=p["S3"].where(np.arange(len(p)) % 5 == 0).interpolate()),
        "S3",
    ),
    "Sundays": ("time-zone", lambda p: p.set_axis(p.index - pd.Timedelta(days=1)), "Sundays"),
    "two days later": ("time-zone", lambda p: p.set_axis(p.index + pd.Timedelta(days=2)), "Mondays"),
    "one Saturday": ("time-zone", _saturday, "weekends"),
    "a yield": ("not-prices", lambda p: p.rename(columns={"S4": "DGS10"}), "DGS10"),
    "daily after weekly": ("sampling", lambda p: pd.concat([p.iloc[2:450:5], p.iloc[450:600]]), "at first"),
}
FACTORS = {
    "percent": ("factor-unit", lambda f: 100 * f, "SMB"),
    "decimals read as percent": ("factor-unit", lambda f: f / 100, "SMB"),
    "one column in percent": ("factor-unit", lambda f: f.assign(HML=100 * f["HML"]), "HML"),
    "gross returns": ("factor-unit", lambda f: 1 + f, "SMB has no loss"),
    "one gross column": ("factor-unit", lambda f: f.assign(HML=1 + f["HML"]), "HML has no loss"),
    "one column too small": ("factor-unit", lambda f: f.assign(HML=f["HML"] / 100), "HML"),
    "a rate in percent": ("factor-unit", lambda f: f.assign(RF=0.01 + 0.001 * (np.arange(len(f)) % 2)), "RF"),
    "twice": ("collinear-factors", lambda f: f.assign(SPY=f["Mkt-RF"]), "SPY"),
    "twice with noise": ("collinear-factors", lambda f: f.assign(SPY=f["Mkt-RF"] + _noise(f, 1e-9)), "SPY"),
    "a sum": ("collinear-factors", lambda f: f.assign(SUM=f["SMB"] - 2 * f["HML"]), "SUM"),
    "a constant": ("collinear-factors", lambda f: f.assign(ONE=0.01), "ONE"),
    "-99.99 of percent": ("missing-code", _cells("SMB", 1000, -0.9999), "SMB"),
    "-999": ("missing-code", _cells("HML", 1000, -999.0), "HML"),
    "odd twice": ("missing-code", _cells("HML", 300, 0.7), "HML"),
    "a misprint": ("far-return", _cells("HML", 10_000, 1.05), "HML"),
}
