"""One clean table of prices written in the forms in which people have them."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

SYMBOLS = ["AAPL", "BRK-B", "NA", "7203"]


def clean(n_days: int = 40) -> pd.DataFrame:
    """Prices (day, symbol) of two decimals, from below 1 to above 10,000, with gaps and a late start."""
    rng = np.random.default_rng(20220131)
    start = np.array([170.0, 4200.0, 0.8, 9000.0])
    values = start * np.exp(np.cumsum(rng.normal(0, 0.02, (n_days, len(SYMBOLS))), axis=0))
    values = np.round(values, 2)
    values[:5, 2] = np.nan
    values[[7, 20], 1] = np.nan
    days = pd.bdate_range("2021-12-01", periods=n_days, name="date")
    return pd.DataFrame(values, days, SYMBOLS)


class Form(NamedTuple):
    """File of a form, what to call the columns of the table in it, and what its record must say."""

    name: str
    write: Callable[[pd.DataFrame], bytes]
    says: str = ""
    symbols: dict[str, str] = {}


def number(x: float, decimal: str = ".", thousands: str = "", missing: str = "") -> str:
    """A number of two decimals."""
    if np.isnan(x):
        return missing
    return f"{x:,.2f}".replace(",", "\0").replace(".", decimal).replace("\0", thousands)


def text(
    table: pd.DataFrame,
    *,
    sep: str = ",",
    day: str = "%Y-%m-%d",
    head: str = "date",
    before: str = "",
    after: str = "",
    quote: bool = False,
    **how: str,
) -> str:
    """Wide text."""
    rows = [[head, *table.columns]]
    rows += [
        [d.strftime(day), *(number(x, **how) for x in row)]
        for d, row in zip(table.index, table.to_numpy(), strict=True)
    ]
    line = (lambda r: sep.join(f'"{c}"' for c in r)) if quote else sep.join
    return before + "\n".join(map(line, rows)) + "\n" + after


def long(
    table: pd.DataFrame, names: tuple[str, str, str], *, day: str = "%Y-%m-%d", by: str = "symbol"
) -> str:
    """Long text, without the rows that have no price."""
    cells = table.stack().rename("price").rename_axis(["date", "symbol"]).reset_index()
    cells = cells.sort_values([by, "date"], kind="stable")
    rows = [f"{d:{day}},{s},{x:.2f},{x * 2:.2f},USD" for d, s, x in cells.itertuples(index=False)]
    return ",".join((*names, "raw_close", "currency")) + "\n" + "\n".join(rows) + "\n"


def yahoo(table: pd.DataFrame, by: str) -> pd.DataFrame:
    """Two-level table as yfinance gives it, with prices that must not be taken beside Adj Close."""
    parts = {
        "Adj Close": table,
        "Close": 1.1 * table,
        "High": 2 * table,
        "Open": 3 * table,
        "Volume": 1000 + 0 * table,
    }
    found = pd.concat(parts, axis=1, names=["Price", "Ticker"]).rename_axis(index="Date")
    return found if by == "Price" else found.swaplevel(axis=1).sort_index(axis=1)


def parquet(table: pd.DataFrame) -> bytes:
    to = io.BytesIO()
    table.to_parquet(to)
    return to.getvalue()


def zipped(content: bytes, name: str = "prices.csv") -> bytes:
    to = io.BytesIO()
    with zipfile.ZipFile(to, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("__MACOSX/._x", b"junk")
        archive.writestr(name, content)
    return to.getvalue()


def bloomberg(table: pd.DataFrame) -> bytes:
    names = [f"{s} US Equity" for s in table.columns]
    body = text(table, day="%m/%d/%Y", missing="#N/A N/A").split("\n", 1)[1]
    head = (
        f"Start Date,12/01/2021,,,\nEnd Date,12/31/2022,,,\n,,,,\n,{','.join(names)}\nDates{',PX_LAST' * 4}\n"
    )
    return (head + body + ",,,,\n").encode()


def investing(table: pd.DataFrame) -> str:
    rows = ['"Date","Price","Open","High","Low","Vol.","Change %"']
    for d, x in reversed(list(zip(table.index, table.iloc[:, 3], strict=True))):
        rows.append(
            f'"{d:%b %d, %Y}","{x:,.2f}","{x + 1:,.2f}","{x + 2:,.2f}","{x - 1:,.2f}","1.25M","-0.31%"'
        )
    return "\n".join(rows)


def french(table: pd.DataFrame) -> str:
    body = "\n".join(
        f"{d:%Y%m%d},{','.join(number(x, missing='-99.99').rjust(9) for x in row)}"
        for d, row in zip(table.index, table.to_numpy(), strict=True)
    )
    head = "," + ",".join(table.columns)
    return (
        "This file was created by CMPT_ME_BEME_RETS using the 202112 CRSP database.\n"
        "The 1-month TBill return is from Ibbotson and Associates, Inc.\n\n"
        f"{head}\n{body}\n\n Annual Factors: January-December\n{head}\n  2020,  1.00,  2.00,  3.00,  4.00\n"
        "  2021,  5.00,  6.00,  7.00,  8.00\n\nCopyright 2021 Kenneth R. French\n"
    )


def _one(table: pd.DataFrame) -> str:
    """OHLCV of the last symbol."""
    x = table["7203"]
    bars = pd.DataFrame(
        {"Open": x + 1, "High": x + 9, "Low": x - 9, "Close": 2 * x, "Adj Close": x, "Volume": 100}
    )
    return bars.rename_axis("Date").to_csv()


def _paired(table: pd.DataFrame, form: str) -> str:
    columns = {}
    for s in table:
        columns[form.format(s=s, f="Volume")] = 100 + 0 * table[s].fillna(0)
        columns[form.format(s=s, f="Close")] = table[s]
    return pd.DataFrame(columns).to_csv()


FORMS = (
    Form("plain", lambda t: text(t).encode(), "comma, dates 2022-01-31, wide form"),
    Form("crlf and BOM", lambda t: text(t).replace("\n", "\r\n").encode("utf-8-sig"), "comma"),
    Form("yfinance by price", lambda t: yahoo(t, "Price").to_csv().encode(), "two-level columns, Adj Close"),
    Form(
        "yfinance by ticker", lambda t: yahoo(t, "Ticker").to_csv().encode(), "two-level columns, Adj Close"
    ),
    Form(
        "yfinance, date a column",
        lambda t: yahoo(t, "Price").reset_index().to_csv(index=False).encode(),
        "Adj Close",
    ),
    Form(
        "flattened pairs",
        lambda t: yahoo(t, "Price").set_axis([str(c) for c in yahoo(t, "Price")], axis=1).to_csv().encode(),
        "Adj Close",
    ),
    Form("parquet", parquet, "Parquet, dates 2022-01-31, wide form"),
    Form(
        "parquet, two levels",
        lambda t: parquet(yahoo(t, "Ticker")),
        "Parquet, dates 2022-01-31, two-level columns, Adj Close",
    ),
    Form(
        "parquet, long",
        lambda t: parquet(t.stack().rename("close").rename_axis(["date", "ticker"]).reset_index()),
        "long form, close",
    ),
    Form("parquet, time zone", lambda t: parquet(t.tz_localize("America/New_York"))),
    Form(
        "European",
        lambda t: text(t, sep=";", day="%d.%m.%Y", head="Datum", decimal=",", thousands=".").encode("cp1252"),
        "semicolon, decimal comma, dates 31.01.2022",
    ),
    Form(
        "European, Latin-1",
        lambda t: text(
            t, sep=";", day="%d.%m.%Y", head="Datum", decimal=",", before="Geschäftsjahr\n"
        ).encode("cp1252"),
        "Windows-1252 (Latin-1), semicolon, decimal comma, dates 31.01.2022, wide form; 1 row above the"
        " header dropped",
    ),
    Form("Swiss", lambda t: text(t, sep=";", day="%d.%m.%Y", thousands="'").encode(), "semicolon"),
    Form(
        "French typography",
        lambda t: text(t, sep=";", day="%d/%m/%Y", decimal=",", thousands="\u202f").encode(),
        "decimal comma",
    ),
    Form(
        "US with thousands",
        lambda t: text(t, day="%m/%d/%Y", thousands=",", quote=True, missing="n/a").encode(),
        "dates 01/31/2022",
    ),
    Form("tab", lambda t: text(t, sep="\t", day="%d-%b-%Y", missing="--").encode(), "tab, dates 31 Jan 2022"),
    Form(
        "pipe", lambda t: text(t, sep="|", day="%Y/%m/%d", missing="NULL").encode(), "pipe, dates 2022/01/31"
    ),
    Form("UTF-16", lambda t: text(t, sep="\t").encode("utf-16"), "UTF-16, tab"),
    Form("UTF-16, no BOM", lambda t: text(t, sep="\t").encode("utf-16-le"), "UTF-16, tab"),
    Form("zip", lambda t: zipped(text(t).encode()), "zip (prices.csv), comma"),
    Form("zip of parquet", lambda t: zipped(parquet(t), "p.parquet"), "zip (p.parquet)"),
    Form("gzip", lambda t: gzip.compress(text(t).encode()), "gzip, comma"),
    Form("bzip2", lambda t: bz2.compress(text(t).encode()), "bzip2, comma"),
    Form("xz", lambda t: lzma.compress(text(t).encode()), "xz, comma"),
    Form(
        "Bloomberg",
        bloomberg,
        "two-level columns, PX_LAST; 2 rows above the header dropped; 1 blank row dropped",
        {f"{s} US Equity": s for s in SYMBOLS},
    ),
    Form(
        "long, RIC",
        lambda t: long(t, ("Timestamp", "RIC", "Close"), by="date").replace(",raw_close", ",Volume").encode(),
        "long form, Close",
    ),
    Form(
        "long, adjusted", lambda t: long(t, ("Date", "Ticker", "Adj Close")).encode(), "long form, Adj Close"
    ),
    Form(
        "long, times",
        lambda t: long(t, ("datetime", "id", "Adjusted"), day="%Y-%m-%dT00:00:00Z").encode(),
        "long form, Adjusted",
    ),
    Form(
        "long, PERMNO",
        lambda t: long(t, ("caldt", "SecID", "last price"), day="%Y%m%d").encode(),
        "dates 20220131, long form",
    ),
    Form(
        "Excel serials",
        lambda t: (
            text(t.set_axis((t.index - pd.Timestamp("1899-12-30")).days), day="%d").encode()
            if False
            else (
                "Date,"
                + ",".join(t)
                + "\n"
                + "\n".join(
                    f"{(d - pd.Timestamp('1899-12-30')).days},{','.join(number(x) for x in r)}"
                    for d, r in zip(t.index, t.to_numpy(), strict=True)
                )
            ).encode()
        ),
        "dates as Excel's serial numbers",
    ),
    Form(
        "epoch",
        lambda t: (
            "time,"
            + ",".join(t)
            + "\n"
            + "\n".join(
                f"{int(d.timestamp()) * 1000},{','.join(number(x) for x in r)}"
                for d, r in zip(t.index, t.to_numpy(), strict=True)
            )
        ).encode(),
        "milliseconds since 1970",
    ),
    Form(
        "dollars",
        lambda t: (
            text(t, thousands=",", quote=True).replace('"1', '"$1').replace('"$12', '"12').encode()
            if False
            else (
                "date,"
                + ",".join(t)
                + "\n"
                + "\n".join(
                    f"{d:%Y-%m-%d}," + ",".join("" if np.isnan(x) else f'"${x:,.2f}"' for x in r)
                    for d, r in zip(t.index, t.to_numpy(), strict=True)
                )
            ).encode()
        ),
        "currency $ left out",
    ),
    Form(
        "trailing USD",
        lambda t: (
            "date;"
            + ";".join(t)
            + "\n"
            + "\n".join(
                f"{d:%Y-%m-%d};" + ";".join("#VALUE!" if np.isnan(x) else f"{x:.2f} USD" for x in r)
                for d, r in zip(t.index, t.to_numpy(), strict=True)
            )
        ).encode(),
        "currency USD left out",
    ),
    Form(
        "percent",
        lambda t: (
            "date;"
            + ";".join(t)
            + "\n"
            + "\n".join(
                f"{d:%Y-%m-%d};" + ";".join("." if np.isnan(x) else f"{round(100 * x)}%" for x in r)
                for d, r in zip(t.index, t.to_numpy(), strict=True)
            )
        ).encode(),
        "percent signs read as hundredths",
    ),
    Form(
        "footers",
        lambda t: text(
            t, before="Prices of the fund\n\n", after="\nTotal,1,2,3,4\nSource: vendor,,,,\n"
        ).encode(),
        "2 footer rows dropped",
    ),
    Form("trailing separators", lambda t: text(t).replace("\n", ",,\n").encode(), "wide form"),
    Form("newest first", lambda t: text(t.iloc[::-1]).encode(), "wide form"),
    Form("row numbers", lambda t: t.reset_index().to_csv().encode(), "row numbers left out"),
    Form(
        "R",
        lambda t: (
            text(t, quote=True, missing="NA")
            .replace('"NA"\n', "NA\n")
            .replace('"NA",', "NA,")
            .replace('"date",', "")
            .replace("AAPL", "AAPL")
            .encode()
            if False
            else (
                "\n".join(
                    [" ".join(()) or ",".join(f'"{s}"' for s in t)]
                    + [
                        f'"{d:%Y-%m-%d}",' + ",".join(number(x, missing="NA") for x in r)
                        for d, r in zip(t.index, t.to_numpy(), strict=True)
                    ]
                )
            ).encode()
        ),
        "wide form",
    ),
    Form(
        "header again",
        lambda t: (text(t.iloc[:20]) + text(t.iloc[20:])).encode(),
        "1 repeated header row dropped",
    ),
    Form(
        "rows twice",
        lambda t: (text(t) + text(t.iloc[5:8]).split("\n", 1)[1]).encode(),
        "3 rows given twice dropped",
    ),
    Form(
        "in parts",
        lambda t: (
            text(t.assign(AAPL=np.nan)) + text(t.assign(**{s: np.nan for s in SYMBOLS[1:]})).split("\n", 1)[1]
        ).encode(),
        "days given in parts put together",
    ),
    Form("pairs _", lambda t: _paired(t, "{s}_{f}").encode(), "4 other columns of these symbols left out"),
    Form(
        "pairs space", lambda t: _paired(t, "{s} {f}").encode(), "a column for each symbol and price, Close"
    ),
    Form(
        "pairs before", lambda t: _paired(t, "{f}.{s}").encode(), "a column for each symbol and price, Close"
    ),
    Form("sep=", lambda t: ("sep=;\r\n" + text(t, sep=";")).encode(), "semicolon"),
    Form("single column", lambda t: text(t[["7203"]]).encode(), "wide form"),
    Form(
        "one symbol",
        lambda t: _one(t).encode(),
        "one symbol's file, Adj Close; taken as the asset 7203, after the file",
    ),
    Form("investing", lambda t: investing(t).encode(), "one symbol's file, Price"),
)
ONE = ("single column", "one symbol", "investing")


def path_of(form: Form, folder: Path, table: pd.DataFrame) -> Path:
    """File of a form in a folder; that of one symbol is named after it."""
    file = folder / ("7203.csv" if form.name in ONE else "prices.csv")
    file.write_bytes(form.write(table))
    return file


def expected_of(form: Form, table: pd.DataFrame) -> pd.DataFrame:
    """What must be read of it."""
    return table[["7203"]] if form.name in ONE else table
