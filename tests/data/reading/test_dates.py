"""Dates: what has one meaning is read, in files and as options; what has two is refused."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from bdfm import _checks, _dates
from bdfm.backtest.protocol import MarketData
from bdfm.data.panel import Panel
from bdfm.data.sources import demo, read_earnings, read_prices, told
from bdfm.errors import DataError
from bdfm.risk import FundamentalsPanel

DAYS = pd.DatetimeIndex(["2022-01-03", "2022-01-31", "2022-02-01", "1999-12-31"])
FORMS = [
    "%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%Y%m%d", "%d-%b-%Y", "%d %B %Y", "%B %d, %Y", "%b %d, %Y", "%d%b%Y",
    "%Y-%m-%dT00:00:00", "%Y-%m-%dT00:00:00Z", "%Y-%m-%d 00:00:00+00:00", "%Y-%m-%d 16:00:00", "%d.%m.%Y",
    "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m/%d/%Y 4:00 PM", "%d/%m/%Y 16:00", "%a %d %b %Y", "%A, %B %d, %Y",
    "%Y-%b-%d", "%Y%m%dT160000Z", "%m/%d/%y", "%d-%b-%y", "%d. %B %Y",
]  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_forms_with_one_meaning(form):
    texts = DAYS.strftime(form)
    found = _dates.parse(texts, where="x")
    assert found.days.tolist() == DAYS.tolist()
    assert _dates.parse(list(texts)[::-1], where="x").days.tolist() == DAYS[::-1].tolist()
    one = _checks.as_date(texts[1], where="--origin")  # the 31st: settled by itself
    assert one == DAYS[1]


@pytest.mark.parametrize(
    "texts",
    [
        ["31. Januar 2022", "1. März 2022"],
        ["31 janv. 2022", "1er mars 2022"],
        ["31 de enero de 2022", "1 de marzo de 2022"],
        ["31 gennaio 2022", "1 marzo 2022"],
    ],
)
def test_months_in_other_languages(texts):
    assert _dates.parse(texts, where="x").days.tolist() == list(pd.to_datetime(["2022-01-31", "2022-03-01"]))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([20220131, 20220201], ["2022-01-31", "2022-02-01"]),
        ([20220131.0, 20220201.0], ["2022-01-31", "2022-02-01"]),
        ([44592, 44593.75], ["2022-01-31", "2022-02-01"]),
        ([1643587200, 1643673600], ["2022-01-31", "2022-02-01"]),
        ([1643587200000, 1643673600123], ["2022-01-31", "2022-02-01"]),
        (["2022-01", "2022-02"], ["2022-01-31", "2022-02-28"]),
        ([202201, 202402], ["2022-01-31", "2024-02-29"]),
        (["Jan 2022", "February 2022"], ["2022-01-31", "2022-02-28"]),
        (["2022M01", "2022M02"], ["2022-01-31", "2022-02-28"]),
        (["2022Q1", "2022-Q2"], ["2022-03-31", "2022-06-30"]),
        (pd.period_range("2022-01", periods=2, freq="M"), ["2022-01-31", "2022-02-28"]),
        ([dt.date(2022, 1, 31), dt.datetime(2022, 2, 1, 16)], ["2022-01-31", "2022-02-01"]),
        (["2022-01-31 23:00:00-05:00", "2022-02-01"], ["2022-01-31", "2022-02-01"]),
        (pd.date_range("2022-01-31 20:00", periods=2, tz="America/New_York"), ["2022-01-31", "2022-02-01"]),
        (["05/05/2022", "06/06/2022"], ["2022-05-05", "2022-06-06"]),  # day and month are the same
        (["02/01/2022", "13/01/2022"], ["2022-01-02", "2022-01-13"]),
        (["02/01/2022", "01/13/2022"], ["2022-02-01", "2022-01-13"]),
    ],
)
def test_columns(values, expected):
    assert _dates.parse(values, where="x").days.tolist() == list(pd.to_datetime(expected))


@pytest.mark.parametrize("text", ["02/01/2022", "2.1.2022", "7-1-2022", "02-01-2022 10:00"])
def test_two_meanings(text):
    with pytest.raises(
        DataError, match=r"--origin: .* has two meanings, \d+ .* 2022 or .* 2022\. Say which: --date-format"
    ):
        _checks.as_date(text, where="--origin")
    with pytest.raises(DataError, match=r"in row 1 has two meanings, .*no other date settles it"):
        _dates.parse([text, text], where="prices")
    day, month = (int(x) for x in pd.Series([text]).str.extract(r"^(\d+)\D(\d+)").iloc[0])
    assert _checks.as_date(text, where="x", date_format="dmy") == pd.Timestamp(2022, month, day)
    assert _checks.as_date(text, where="x", date_format="mdy") == pd.Timestamp(2022, day, month)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("2022", "2022 is incomplete, it names no day"),
        (2022, "2022 is incomplete"),
        ("2022-01", "2022-01 is incomplete"),
        ("Jan 2022", "is incomplete"),
        ("2022Q1", "is incomplete"),
        (pd.Period("2022-01", "M"), "2022-01 names no day"),
        ("", "the date is empty"),
        (None, "the date is empty"),
        (pd.NaT, "the date is empty"),
        (float("nan"), "the date is empty"),
        ("today", "'today' is not a date"),
        ("44592", "'44592' is not a date"),
        (5, "5' is not a date"),
        (True, "True' is not a date"),
        ("2022-03-04T99:00", "'2022-03-04T99:00' is not a date"),
        ("2022-03-04 12:75", "'2022-03-04 12:75' is not a date"),
        ("2022-02-30", "there is no such day"),
        ("31/02/2022", "is no date"),
        ("2022-13-01", "there is no such day"),
        ("0022-01-01", "there is no such day"),
        ("x" * 1_000_000, r"\(1000000 characters\) is not a date"),
        ("01/02/03", "has two meanings"),
    ],
)
def test_options_that_are_no_day(value, message):
    with pytest.raises(DataError, match=message) as error:
        _checks.as_date(value, where="--origin")
    assert len(str(error.value)) < 400


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            ["31/01/2022", "01/31/2022"],
            "'01/31/2022' in row 2 is no date if '31/01/2022' in row 1 is day first",
        ),
        (
            ["2022-01-31", "2022-02-01", "01.02.2022"],
            r"'01\.02\.2022' in row 3, where others are like '2022-01-31'",
        ),
        (
            ["2022-01-31", "2022/02/01", "2022/02/02"],
            "'2022-01-31' in row 1, where others are like '2022/02/01'",
        ),
        (["31.01.2022", "31.01.22"], "of more than one form"),
        (["2022-01-31", "soon"], "1 of 2 dates cannot be read, first 'soon' in row 2"),
        (["2022-01-31", ""], "first '' in row 2"),
        (["2020", "2021"], "dates are years"),
        (["01312022", "02012022"], "first '01312022' in row 1"),
    ],
)
def test_columns_that_are_refused(values, message):
    with pytest.raises(DataError, match=message):
        _dates.parse(values, where="prices")


@pytest.mark.parametrize(
    ("pattern", "texts", "expected"),
    [
        ("%d/%m/%Y", ["02/01/2022", "03/01/2022"], ["2022-01-02", "2022-01-03"]),
        ("%m%d%Y", ["01312022", "02012022"], ["2022-01-31", "2022-02-01"]),
        ("%d%m%y", ["310122", "010222"], ["2022-01-31", "2022-02-01"]),
        ("%b-%y", ["Jan-22", "Feb-22"], ["2022-01-31", "2022-02-28"]),
        ("%G-W%V-%u", ["2022-W05-1", "2022-W06-5"], ["2022-01-31", "2022-02-11"]),
        ("%Y-%U-%w", ["2022-05-1"], ["2022-01-31"]),
        ("%Y%j", ["2022031"], ["2022-01-31"]),
        ("%d%% %m %Y", ["31% 01 2022"], ["2022-01-31"]),
        ("dmy", ["02/01/2022", "03/01/2022"], ["2022-01-02", "2022-01-03"]),
        ("MDY", ["02/01/2022", "03/01/2022"], ["2022-02-01", "2022-03-01"]),
        ("ymd", ["22.01.03", "22.01.04"], ["2022-01-03", "2022-01-04"]),
        ("dmy", ["2022-01-31"], ["2022-01-31"]),  # one meaning: read as it is
        ("%d/%m/%Y", ["2022-01-31"], ["2022-01-31"]),
    ],
)
def test_date_formats(pattern, texts, expected):
    found = _dates.parse(texts, where="x", date_format=pattern)
    assert found.days.tolist() == list(pd.to_datetime(expected))


# By none of these can a day or a month be found again.
NO_DATES = ["%%%%", "%%", "%d", "%m/%d", "%Y", "%H:%M", "%Y %H", "%y-%d", "%d %H:%M:%S", "%W", "%A", "%p%p",
            "%Y%Y%m%d", "%", "%d/%m/%", "\0%d", "%m" * 5000]  # fmt: skip


@pytest.mark.parametrize(
    ("pattern", "texts", "message"),
    [
        ("%d/%m/%Y", ["01/31/2022"], "the date format %d/%m/%Y does not fit '01/31/2022' in row 1"),
        ("dmy", ["01/31/2022"], "cannot be read as day first, first '01/31/2022'"),
        ("ydm", ["01/31/2022"], "'ydm' says nothing about dates. Give dmy, mdy or ymd, or a pattern"),
        ("%Q", ["01/31/2022"], "'%Q' says nothing"),
        ("", ["01/31/2022"], "'' says nothing"),
        *((p, ["01/31/2022"], "says nothing") for p in NO_DATES),
    ],
)
def test_date_formats_that_do_not_fit(pattern, texts, message):
    with pytest.raises(DataError, match=message):
        _dates.parse(texts, where="x", date_format=pattern)


def test_a_file_says_how_its_dates_were_read(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text("date,A\n02/01/2022,1\n03/01/2022,2\n")
    with pytest.raises(DataError, match="prices: '02/01/2022' in row 1 has two meanings"):
        read_prices(path)
    found = read_prices(path, date_format="dmy")
    assert found.index.tolist() == list(pd.to_datetime(["2022-01-02", "2022-01-03"]))
    assert told(found) == ["p.csv: comma, dates 31/01/2022, wide form"]
    path.write_text("date,A\n202201,1\n202202,2\n")
    (line,) = told(read_prices(path))
    assert "dates of months (202201), taken as their last days" in line


def test_families_are_those_of_the_parser():
    assert list(_dates.families(["2022-01-31", "", "x", "202201", "2022", "Total"])) == [
        "iso",
        "",
        "",
        "compact month",
        "year",
        "",
    ]
    assert len(_dates.families([])) == 0
    assert np.all(_dates.families(["Mon 31 Jan 2022"] * 3) == "day-name")


def test_usual_dates_are_read_together_as_they_are_one_by_one():
    texts = ["2021-12-31", "2022-01-03", "2020-02-29", "2021-12-31", "1800-01-01", "2199-12-31"]
    for values in (texts, pd.Index(texts), pd.Index(texts, dtype=object), pd.Series(texts)):
        one_by_one = _dates._of_texts(pd.Index(values), "prices", None, False, False)
        together = _dates._of_usual_texts(list(values))
        assert together.form == one_by_one.form
        assert together.notes == one_by_one.notes
        pd.testing.assert_index_equal(together.days, one_by_one.days, exact=True)
        pd.testing.assert_index_equal(_dates.parse(values, where="prices").days, one_by_one.days)
    assert list(_dates.families(texts)) == ["iso"] * 6


@pytest.mark.parametrize("odd", ["2022-02-30", "1799-12-31", "2200-01-01", "2022-1-3", " 2022-01-03", "", 7])
def test_one_date_that_is_not_usual_leaves_all_to_be_read_one_by_one(odd):
    assert _dates._of_usual_texts(["2021-12-31", odd]) is None
    assert _dates._of_usual_texts([]) is None


@pytest.mark.parametrize("odd", ["2022-02-30", "1799-12-31", "2200-01-01"])
def test_a_day_that_is_none_is_named_among_usual_ones(odd):
    with pytest.raises(DataError, match=rf"prices: 1 of 2 dates .*{odd}"):
        _dates.parse(["2021-12-31", odd], where="prices")


def test_a_pattern_comes_before_the_usual_form():
    """2022-03-04 is the third of April where the pattern says so."""
    assert _dates.parse(["2022-03-04"], where="x", date_format="%Y-%d-%m").days[0] == pd.Timestamp(
        "2022-04-03"
    )


MONTHS = {
    "quarters": ["2021Q4", "2022Q1"],
    "months": ["2021-12", "2022-01"],
    "names of months": ["Dec 2021", "Jan 2022"],
    "compact months": ["202112", "202201"],
}
DOORS = {
    "a file of earnings": lambda days, folder: read_earnings(saved(days, folder)),
    "earnings of a panel": lambda days, _: Panel.from_prices(
        *demo(), origin="2022-02-04", earnings=of_two(days)
    ),
    "earnings of a backtest": lambda days, _: MarketData.of(*demo(), of_two(days)),
    "days of publication": lambda days, _: FundamentalsPanel.from_table(
        of_two(days).assign(period_ending="2021Q3", equity=1.0), known_on="date"
    ),
}


def of_two(days):
    return pd.DataFrame({"symbol": ["XOM", "KO"], "date": days})


def saved(days, folder):
    of_two(days).to_csv(folder / "earnings.csv", index=False)
    return folder / "earnings.csv"


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("written", MONTHS)
def test_what_happens_on_a_day_is_not_dated_by_a_quarter_or_a_month(door, written, tmp_path):
    with pytest.raises(DataError, match=r"incomplete, it names no day. Write the days themselves"):
        DOORS[door](MONTHS[written], tmp_path)


@pytest.mark.parametrize("door", [d for d in DOORS if "file" not in d])
def test_nor_by_a_period(door, tmp_path):
    with pytest.raises(DataError, match=r"2021Q4 in row 1 is incomplete, it names no day"):
        DOORS[door](pd.PeriodIndex(["2021Q4", "2022Q1"], freq="Q"), tmp_path)


def test_a_format_of_months_names_no_day_either(tmp_path):
    file = saved(["12|2021", "01|2022"], tmp_path)
    with pytest.raises(DataError, match="names no day"):
        read_earnings(file, date_format="%m|%Y")


def test_the_end_of_a_fiscal_year_may_be_a_quarter():
    table = of_two(["2022-01-31", "2022-02-01"]).assign(period_ending=["2021Q3", "2021Q4"], equity=1.0)
    assert FundamentalsPanel.from_table(table, known_on="date") is not None


def test_typed_days_are_not_quarters(bdfm_command, tmp_path):
    demo()[0].to_csv(tmp_path / "p.csv")
    code, _, err = bdfm_command("check", "--prices", tmp_path / "p.csv", "--origin", "2021Q4")
    assert (code, "2021Q4 is incomplete, it names no day" in " ".join(err.split())) == (2, True)


def zoned(clocks):
    """A text of a day each, of one day after another."""
    return [
        f"{d:%Y-%m-%d}{c}" for d, c in zip(pd.bdate_range("2022-03-07", periods=99), clocks, strict=False)
    ]


ZONES = {  # clocks and zones: what is said of them, None where nothing, False where they are refused
    "summer time": ([" 16:00:00-05:00", " 16:00:00-04:00"], None),
    "summer time by name": ([" 16:00 EST", " 16:00 EDT", " 16:00 EST"], None),
    "one place by two names": (["T00:00:00Z", "T00:00:00+00:00"], None),
    "midnight each in its own": ([" 00:00:00-05:00", " 00:00:00+00:00"], "-05:00"),
    "days beside midnight": (["", "T00:00:00Z"], None),
    "midnight by a name": ([" 12:00 AM EST", " 12:00 am GMT", " 00:00:00.000 JST"], "GMT"),
    "noon by a name": ([" 12:00 PM EST", " 12:00 AM GMT"], False),
    "half of it moved": ([" 16:00:00-05:00", " 21:00:00+00:00"], False),
    "an afternoon by a name": ([" 4:00 PM EST", " 9:00 PM GMT"], False),
    "some without a zone": ([" 16:00", " 16:00-05:00"], False),
    "a name that is not known": ([" 16:00 EST", " 16:00 XST"], False),
    "morning and afternoon": ([" 9:00 AM", " 4:00 PM"], None),
}


@pytest.mark.parametrize(
    ("name", "as_objects"),
    [(n, False) for n in ZONES]
    + [(n, True) for n in ("summer time", "midnight each in its own", "half of it moved")],
)
def test_time_zones_that_differ(name, as_objects):
    """Said where the days are certain all the same; refused where some rows may have been moved by a day."""
    clocks, expected = ZONES[name]
    values = zoned(clocks)
    if as_objects:
        values = [pd.Timestamp(x) for x in values]
    if expected is False:
        with pytest.raises(
            DataError, match=r"x: times of day of different time zones \(.*\), such as '2022-03-0"
        ):
            _dates.parse(values, where="x")
        _dates.parse([*values, values[0]], where="x")  # some rows a day: of assets in different places
        _dates.parse(values, where="x", exact=True)  # and so are events
        return
    found = _dates.parse(values, where="x")
    assert list(found.days.strftime("%Y-%m-%d")) == [str(v)[:10] for v in values]
    told_of = [n for n in found.notes if "time zones differ" in n]
    assert bool(told_of) is (expected is not None)
    assert all(expected in n for n in told_of)


@pytest.mark.parametrize(
    "pair", ["MEZ MESZ", "NZST NZDT", "IST IDT", "BRT BRST", "MSK MSD", "CLT CLST", "AST ADT"]
)
def test_summer_time_of_any_place_is_one_zone(pair):
    values = zoned([f" 16:00 {zone}" for zone in pair.split() * 20])
    assert not [n for n in _dates.parse(values, where="x").notes if "time zones differ" in n]


def test_zones_through_the_doors(tmp_path, bdfm_command):
    """A file of prices, half of whose rows are in UTC."""
    rows = [f"{x},{100 + k}" for k, x in enumerate(zoned([" 20:00:00-05:00", " 01:00:00+00:00"] * 20))]
    (tmp_path / "p.csv").write_text("\n".join(["date,AA", *rows]))
    with pytest.raises(DataError, match="times of day of different time zones"):
        read_prices(tmp_path / "p.csv")
    table = pd.DataFrame(
        {"AA": range(2)}, index=[pd.Timestamp(x) for x in zoned([" 20:00-05:00", " 01:00Z"])]
    )
    with pytest.raises(DataError, match="times of day of different time zones"):
        read_prices(table)
    code, _, err = bdfm_command("check", "--prices", tmp_path / "p.csv")
    assert code
    assert "different time zones" in err
    long = [
        f"{x},{s},100"
        for x, s in zip(zoned([" 00:00:00-05:00", " 00:00:00+09:00"] * 5), "AB" * 5, strict=True)
    ]
    (tmp_path / "long.csv").write_text("\n".join(["date,symbol,close", *long]))
    (line,) = told(read_prices(tmp_path / "long.csv"))
    assert "time zones differ (+09:00, -05:00): days are those written" in line
