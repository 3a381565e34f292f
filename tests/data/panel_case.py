"""A small market of five assets, and its panel."""

import numpy as np
import pandas as pd
import xarray as xr

from bdfm.data.panel import Panel

ORIGIN = "2022-01-07"
CLASSES = {"AA": "stock", "BB": "stock", "CC": "stock", "XX": "bond_etf", "YY": "bond_etf"}
SYMBOLS = list(CLASSES)


def prices_of_days():
    """Four years of business days up to two weeks after the origin; every close is fresh."""
    days = pd.bdate_range("2018-01-01", "2022-01-21")
    steps = np.random.default_rng(5).normal(0, 0.01, (len(days), len(SYMBOLS)))
    return pd.DataFrame(40 * np.exp(np.cumsum(steps, axis=0)), index=days, columns=SYMBOLS)


def universe_of_classes():
    return pd.DataFrame({"symbol": SYMBOLS, "asset_class": CLASSES.values()})


def make(prices, universe, **kwargs):
    return Panel.from_prices(prices, universe, **({"origin": ORIGIN} | kwargs))


def same(one, two):
    xr.testing.assert_identical(one.to_dataset(), two.to_dataset())
