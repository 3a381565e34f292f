"""Random tables in random forms come back as they were."""

import numpy as np
import pandas as pd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bdfm.data.sources import read_prices

DAY_FORMS = ["%Y-%m-%d", "%Y/%m/%d", "%Y%m%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%b-%Y", "%B %d, %Y"]
SYMBOLS = ["AAPL", "BRK.B", "NA", "LOW", "7203", "^GSPC", "BT/A LN Equity", "ÖMV", "ID"]


@st.composite
def tables(draw):
    """Table of prices of two decimals with gaps; a date that settles the order of day and month is there."""
    n_days, n_assets = draw(st.integers(2, 12)), draw(st.integers(2, len(SYMBOLS)))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    start = draw(st.sampled_from(["2021-12-28", "1999-12-25", "2019-02-20"]))
    days = pd.bdate_range(start, periods=n_days, name="date")
    values = np.round(rng.lognormal(6, 3, (n_days, n_assets)), 2) + 0.01
    values[rng.random(values.shape) < 0.2] = np.nan
    values[0], values[-1] = np.where(np.isnan(values[[0, -1]]), 12.34, values[[0, -1]])
    symbols = list(rng.permutation(SYMBOLS)[:n_assets])
    return pd.DataFrame(np.round(values, 2), days, symbols)


@settings(
    max_examples=50,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    table=tables(),
    sep=st.sampled_from([",", ";", "\t", "|"]),
    marks=st.sampled_from(
        [(".", ""), (".", ","), (",", "."), (",", ""), (".", "'"), (",", " "), (",", "\u202f")]
    ),
    day=st.sampled_from(DAY_FORMS),
    missing=st.sampled_from(["", "NA", "#N/A", "-", ".", "null", "n/a"]),
    long=st.booleans(),
    coding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]),
    shuffle=st.integers(0, 1000),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_round_trip(tmp_path, table, sep, marks, day, missing, long, coding, shuffle, end):
    decimal, thousands = marks

    def cell(x):
        if np.isnan(x):
            return missing
        given_ = f"{x:,.2f}".replace(",", "\0").replace(".", decimal).replace("\0", thousands)
        return f'"{given_}"' if sep in given_ else given_

    def date(d):
        given_ = d.strftime(day)
        return f'"{given_}"' if sep in given_ else given_

    rng = np.random.default_rng(shuffle)
    rows = rng.permutation(len(table))
    if long:
        pairs = [(i, j) for i in rows for j in rng.permutation(table.shape[1])]
        body = [[date(table.index[i]), table.columns[j], cell(table.iat[i, j])] for i, j in pairs]
        head = ["Date", "Ticker", "Adj Close"]
    else:
        body = [[date(table.index[i]), *(cell(x) for x in table.iloc[i])] for i in rows]
        head = ["Date", *table.columns]
    text = end.join(sep.join(row) for row in [head, *body]) + end
    path = tmp_path / "prices.csv"
    if coding == "cp1252" and thousands == "\u202f":
        coding = "utf-8"
    path.write_bytes(text.encode(coding))
    found = read_prices(path)
    assert set(found.columns) == set(table.columns)
    pd.testing.assert_frame_equal(
        found[table.columns],
        table,
        check_freq=False,
        check_index_type=False,
        check_column_type=False,
        rtol=1e-15,
        atol=0,
    )


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    content=st.one_of(
        st.binary(max_size=300), st.text("date,;\n\"'0123456789.-/%$ AN#x\t", max_size=200).map(str.encode)
    )
)
def test_no_bytes_give_a_traceback(tmp_path, content):
    from bdfm.data import sources
    from bdfm.errors import BdfmError

    path = tmp_path / "x.csv"
    path.write_bytes(content)
    for reader in (sources.read_prices, sources.read_universe, sources.read_earnings, sources.read_returns):
        told = ""
        try:
            reader(path)
        except BdfmError as error:
            told = str(error)
        assert len(told) < 800
