"""Simulated prices and factors, the mistakes made in them, and what is right."""

import numpy as np
import pandas as pd

NAMES = list("ABCDEF")
BETAS = np.array([1.0, 0.5, 0.8, 1.2, 0.7, 0.9])
SIZES = np.array([0.5, -0.4, 0.3, 0.0, -0.2, 0.6])
DAYS = pd.bdate_range("2019-01-01", "2022-03-31", name="date")
ORIGIN = "2022-03-31"
N = len(DAYS)
MIDDLE = N // 2
LATE = N - 100  # within the window of every command


def market(seed=8):
    """Daily prices of six assets, and the decimal factors that they are made of."""
    rng = np.random.default_rng(seed)
    factors = pd.DataFrame(rng.standard_normal((N, 2)) * [0.010, 0.006], DAYS, ["Mkt-RF", "SMB"])
    own = 0.004 * rng.standard_normal((N, len(NAMES)))
    returns = np.outer(factors["Mkt-RF"], BETAS) + np.outer(factors["SMB"], SIZES) + own
    returns[0] = 0
    levels = np.array([100, 40, 12, 250, 75, 31.5]) * np.cumprod(1 + returns, axis=0)
    return pd.DataFrame(levels, DAYS, NAMES), factors


PRICES, FACTORS = market()
RATE = 0.0001 + 0.00001 * (np.arange(N) % 3)


def times(column, rows, factor):
    """Prices of one asset multiplied on some rows."""
    prices = PRICES.copy()
    at = prices.columns.get_loc(column)
    prices.iloc[rows, at] = factor * prices.iloc[rows, at]
    return prices


def put(table, column, rows, value):
    """A table with one value in some cells of a column."""
    table = table.copy()
    table.iloc[rows, table.columns.get_loc(column)] = value
    return table


def refused(found, rule, *words):
    """One message with the rule's name and the words, exit code 2, no traceback."""
    code, out, err = found
    said = err if rule in err else out
    assert code == 2, (code, out, err)
    assert "Traceback" not in err
    assert rule in said, said
    for word in words:
        assert word in said, (word, said)


def volatility(folder, model="statistical"):
    """28-day volatility of the one portfolio of a risk run."""
    table = pd.read_csv(folder / "out" / "risk.csv").set_index("model")
    return float(table.loc[model, "volatility"])


def by_hand(prices, weights=None):
    """28-day volatility of a portfolio from its weekly returns, the last 104 of them."""
    last = pd.Timestamp(prices.index[-1])
    edges = [last - pd.Timedelta(days=7 * k) for k in range(104, -1, -1)]
    closes = prices.ffill().iloc[prices.index.searchsorted(edges, side="right") - 1]
    returns = closes.pct_change(fill_method=None).iloc[1:]
    weights = np.full(returns.shape[1], 1 / returns.shape[1]) if weights is None else weights
    return 2 * float((returns @ weights).std())


UNITS = {
    "pence from the middle on": lambda: times("A", slice(LATE, None), 100),
    "pence for fifty days": lambda: times("C", slice(LATE, LATE + 50), 100),
    "pounds for two days": lambda: times("D", slice(LATE, LATE + 2), 0.01),
    "thousands": lambda: times("B", slice(LATE, None), 1000),
    "a thousandth for a month": lambda: times("F", slice(LATE, LATE + 21), 0.001),
}


CODES = {
    "-99.99": ("SMB", [300], -99.99),
    "-999": ("Mkt-RF", [N - 60], -999.0),
    "-99.99 on several days": ("Mkt-RF", [N - 200, N - 100, N - 90], -99.99),
    "-999 on many days": ("SMB", slice(N - 250, N - 190), -999.0),
    "-99.99 at the end": ("SMB", [-1], -99.99),
    "-99.99 at the start": ("Mkt-RF", [1], -99.99),
    "-99.99 of a rate": ("RF", [N - 80], -99.99),
}


def coded(case, scale=100):
    column, rows, value = CODES[case]
    return put((scale * FACTORS).assign(RF=scale * 0.00004), column, rows, value)


SCALES = {
    "all": lambda f: f,
    "one column": lambda f: f.assign(SMB=100 * f["SMB"]),
    "another column": lambda f: f.assign(**{"Mkt-RF": 100 * f["Mkt-RF"]}),
}


ALIKE = {
    "twice": lambda f: f.assign(SPY=f["Mkt-RF"]),
    "twice in another scale": lambda f: f.assign(SPY=1.5 * f["SMB"] + 0.0001),
    "the sum of others": lambda f: f.assign(SUM=f["SMB"] + f["Mkt-RF"]),
    "a constant": lambda f: f.assign(ONE=0.01),
    "zeros": lambda f: f.assign(NIL=0.0),
}


CLOSE = PRICES["A"]
FIELDS = pd.DataFrame({
    "Open": CLOSE.shift(1).fillna(100.0), "High": 1.01 * CLOSE, "Low": 0.99 * CLOSE, "Close": CLOSE,
    "Adj Close": 0.97 * CLOSE,
    "Volume": np.round(2e5 * np.exp(0.4 * np.random.default_rng(4).standard_normal(N))),
})  # fmt: skip
ONE = {
    "as published": lambda t: t,
    "capitals": lambda t: t.rename(columns=str.upper),
    "small letters": lambda t: t.rename(columns=lambda c: c.lower().replace(" ", "_")),
    "no adjusted close": lambda t: t.drop(columns="Adj Close"),
    "no volume": lambda t: t.drop(columns="Volume"),
    "another order": lambda t: t[["Volume", "Adj Close", "Close", "Low", "High", "Open"]],
    "a symbol in front": lambda t: t.rename(columns=lambda c: f"SPY {c}"),
    "a symbol and a point": lambda t: t.rename(columns=lambda c: f"SPY.{c.replace(' ', '')}"),
    "a symbol behind": lambda t: t.rename(columns=lambda c: f"{c} SPY"),
    "two symbols": lambda t: pd.concat(
        [t.add_prefix("SPY "), t.drop(columns="Volume").mul(PRICES["B"] / CLOSE, axis=0).add_prefix("QQQ ")],
        axis=1,
    ),
    "closes and volumes": lambda t: t[["Close", "Volume"]].set_axis(["SPY", "SPY Volume"], axis=1),
    "a volume without a name": lambda t: t[["Close", "Volume"]].set_axis(["SPY", "X"], axis=1),
}


def held_by(case):
    """Assets whose closes a table of fields holds."""
    return ["A", "B"] if case == "two symbols" else ["A"]


STILL = {
    "cash at 1": ("CASH", 1.0, slice(None)),
    "cash at 100": ("F", 100.0, slice(None)),
    "a peg": ("B", 7.8, slice(None)),
    "for the last year": ("D", 250.0, slice(N - 260, None)),
}


def still(case):
    name, value, rows = STILL[case]
    return name, put(PRICES.assign(**{name: PRICES.get(name, value)}), name, rows, value)


MONTHS = PRICES.groupby([DAYS.year, DAYS.month]).tail(1)
WEEKS = PRICES[DAYS.day_name() == "Thursday"]
UNIVERSE = pd.DataFrame({"symbol": NAMES, "asset_class": "x"})


def ended(*symbols):
    prices = PRICES.copy()
    for k, symbol in enumerate(symbols):
        prices.loc[DAYS[200 + 40 * k] :, symbol] = np.nan
    return prices
