"""Sectors and countries in parts, and an estimation universe, from the command line."""

import dataclasses
import shutil
import warnings

import numpy as np
import pandas as pd
import pytest
from few import few

from bdfm.data.sources import CLASS_NAMES, demo
from bdfm.errors import BdfmError, DataError, DataWarning, UnknownLabelError
from bdfm.exposures import ExposureData
from bdfm.risk import (
    CrossSectionalEstimator,
    InstrumentedEstimator,
    RiskModel,
    price_styles,
    simple_returns,
)
from bdfm.risk.group_files import Groups, read_groups, read_shares
from bdfm.risk.styles import YEAR

pytestmark = pytest.mark.usefixtures("blank_pictures")


@pytest.fixture(scope="module")
def files_once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    prices, _ = demo()
    prices = prices.loc["2019":"2022-02-04"]
    prices.to_csv(folder / "prices.csv")
    names = list(prices.columns)
    sectors = [(a, "x" if i % 2 else "y", 1.0) for i, a in enumerate(names) if i]
    sectors += [(names[0], "x", 0.7), (names[0], "y", 0.3)]
    pd.DataFrame(sectors, columns=["symbol", "sector", "share"]).to_csv(folder / "sectors.csv", index=False)
    countries = [(a, "US" if i % 3 else "CH", "100%") for i, a in enumerate(names) if i != 4]
    countries += [(names[4], "US", "33%"), (names[4], "CH", "67%")]
    pd.DataFrame(countries, columns=["symbol", "country", "share"]).to_csv(
        folder / "countries.csv", index=False
    )
    pd.DataFrame({"symbol": names[:-5]}).to_csv(folder / "members.csv", index=False)
    return folder


@pytest.fixture
def files(files_once, tmp_path):
    return shutil.copytree(files_once, tmp_path, dirs_exist_ok=True)


def options(files, *names):
    every = {"--sectors": "sectors.csv", "--countries": "countries.csv", "--estimation": "members.csv"}
    return [x for name in names for x in (name, files / every[name])]


def test_the_model_is_that_of_python(files, bdfm_command):
    code, _, err = bdfm_command(
        "risk", "--prices", files / "prices.csv", "--model", "cross-sectional", "--out", files / "out",
        *options(files, "--sectors", "--countries", "--estimation"),
    )  # fmt: skip
    assert code == 0, err
    made = RiskModel.load(files / "out" / "cross-sectional.nc")
    prices, _ = demo()
    prices = prices.loc["2019":"2022-02-04"]
    returns = simple_returns(prices, period="1w").iloc[-104:]
    names = list(returns.columns)
    sector = pd.DataFrame({"x": 0.0, "y": 0.0}, names)
    country = pd.DataFrame({"CH": 0.0, "US": 0.0}, names)
    for i, a in enumerate(names):
        sector.loc[a, "x" if i % 2 else "y"] = 1.0
        country.loc[a, "US" if i % 3 else "CH"] = 1.0
    sector.loc[names[0]] = [0.7, 0.3]
    country.loc[names[4]] = [0.67, 0.33]
    days = returns.index[returns.index >= prices.index[YEAR]]
    other = CrossSectionalEstimator(
        price_styles(prices, days), {"sector": sector, "country": country}, universe=names[:-5]
    ).fit(returns)
    assert set(other.factors) == set(made.factors)
    mine = made.covariance().to_numpy() / made.periods
    np.testing.assert_allclose(mine, other.covariance().to_numpy(), rtol=1e-9)
    whole = CrossSectionalEstimator(
        price_styles(prices, days), {"sector": sector.round(), "country": country.round()}
    )
    assert not np.allclose(mine, whole.fit(returns).covariance().to_numpy(), rtol=1e-3)


def test_stress_takes_them_too(files, bdfm_command):
    code, out, err = bdfm_command(
        "stress", "--prices", files / "prices.csv", "--model", "cross-sectional",
        "--replay", "2021-09-01..2021-10-01",
        *options(files, "--sectors", "--countries", "--estimation"),
    )  # fmt: skip
    assert code == 0, err
    assert "cross-sectional" in out


@pytest.mark.parametrize("command", ["risk", "stress"])
def test_files_that_no_model_reads_are_refused(files, bdfm_command, command):
    code, _, err = bdfm_command(
        command, "--prices", files / "prices.csv", "--model", "statistical",
        *options(files, "--countries", "--estimation"),
    )  # fmt: skip
    assert code == 2
    assert "--countries, --estimation: for the cross-sectional model alone" in " ".join(err.split())
    code, _, err = bdfm_command(
        command, "--prices", files / "prices.csv", "--model", "statistical", "--factors", files / "prices.csv"
    )  # fmt: skip
    assert code == 2
    assert "--factors: for the time-series model and --exposures, which are left out" in " ".join(err.split())


SHARES = "symbol,country,share\nA,US,0.7\nA,CH,0.3\nB,US,1\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SHARES.replace("0.3", "0.5"), r"shares of 1 asset are negative or do not sum to 1 \(A 1.2\)"),
        (SHARES.replace("0.3", "-0.3").replace("0.7", "1.3"), "negative or do not sum to 1"),
        (SHARES.replace("0.7", "70").replace("0.3", "30"), r"do not sum to 1 \(A 100\)"),
        (SHARES.replace("0.3", ""), r"1 row has no share \(A\)"),
        (SHARES.replace("CH", "US"), "A twice in one country. Add the shares up"),
        (SHARES.replace(",CH", ","), "A have no country"),
        (SHARES.replace("0.7", "most"), "'most'"),
        (SHARES.replace("country", "place"), "missing column country"),
        ("symbol,country\nA,US\nA,CH\n", "For several countries of one asset add a column share"),
        ("symbol,country,share\n", "header but no rows"),
    ],
)
def test_shares_that_are_none(tmp_path, text, message):
    path = tmp_path / "countries.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_shares(path, "country")


def test_rounded_shares_and_percents(tmp_path):
    path = tmp_path / "sectors.csv"
    path.write_text("Ticker;GICS Sector;Share\nA;x;33%\nA;y;33%\nA;z;33%\nB; x ;100%\n")
    found = read_shares(path, "sector")
    np.testing.assert_allclose(found.loc["A"], 1 / 3)
    assert list(found.loc["B"]) == [1, 0, 0]


def test_an_estimation_universe_is_a_list_or_any_table_of_symbols(tmp_path):
    """Other columns mean nothing there; what is wrong with the file is told of the estimation universe."""
    path = tmp_path / "members.csv"
    lists = ("A\nB\n", "symbol\nA\nB\n", "ticker;weight\nA;0,5\nB;0,5\n", "symbol,asset_class\nA,x\nB,y\n")
    for text in lists:
        path.write_text(text)
        assert read_groups(None, None, path, symbols=["A", "B", "C"]).universe == ("A", "B")
    for content, told in (
        (b"", "is empty"),
        (b"symbol\n", "has a header but no rows"),
        (b"\x00\xff", "no text"),
    ):
        path.write_bytes(content)
        with pytest.raises(BdfmError, match=f"^estimation universe: .*members.csv.*{told}"):
            read_groups(None, None, path, symbols=["A", "B"])
    path.write_text("rank,weight\n1,0.5\n")
    with pytest.raises(DataError, match=r"^estimation universe members.csv: missing column symbol"):
        read_groups(None, None, path, symbols=["A", "B"])


def test_an_estimation_universe_of_others(tmp_path):
    path = tmp_path / "members.csv"
    path.write_text("symbol\nA\nZ\n")
    with pytest.raises(UnknownLabelError, match="estimation universe: unknown symbol Z"):
        read_groups(None, None, path, symbols=["A", "B"])
    found = read_groups(None, None, path, symbols=["A", "B", "Z"])
    assert found == Groups({}, ("A", "Z"))
    assert found.universe_of(["B", "Z"]) == ("Z",)
    assert Groups().universe_of(["B"]) is None
    with pytest.raises(DataError, match=r"none of its 2 assets \(A, Z\)"):
        found.universe_of(["B"])
    path.write_text("symbol\nA\nA\n")
    with pytest.raises(DataError, match="given more than once"):
        read_groups(None, None, path, symbols=["A"])


def test_columns_of_sectors_are_called_as_classes_of_a_universe(tmp_path):
    """One file serves as --universe and as --sectors."""
    for name in ("sector", *CLASS_NAMES, "asset_class", "group"):
        (tmp_path / "s.csv").write_text(f"Symbol;{name.title()}\nSAP;Technologie\nBMW;Konsum\n")
        assert list(read_shares(tmp_path / "s.csv", "sector").columns) == ["Konsum", "Technologie"], name


GROUPS = [("--sectors", "sector", "Health_Care"), ("--countries", "country", "health care")]
MORE = [("--sectors", "sector", "Health  Care"), ("--countries", "country", "Health_Care")]


@pytest.mark.parametrize("case", few([*GROUPS, *MORE], GROUPS))
def test_groups_that_differ_by_chance_are_told(case, files, bdfm_command):
    option, column, other = case
    name = options(files, option)[1]
    table = pd.read_csv(name)
    table[column] = [(other, "Health-Care", "Tech")[i % 3] for i in range(len(table))]
    table = table.drop_duplicates("symbol").drop(columns="share")
    table.to_csv(name, index=False)
    words = ("risk", "--prices", files / "prices.csv", "--model", "cross-sectional", "--out", files / "out")
    code, _, err = bdfm_command(*words, option, name, "--backtest", "20")
    told = " ".join(err.split())
    assert code == 0, err
    assert told.count("differ in nothing but capitals, width, spaces, hyphens, ") == 1
    assert "Health-Care" in told and f"{column}: " in told  # noqa: PT018
    code, _, err = bdfm_command(*words, option, name, "--accept", "universe")
    assert (code, "differ in nothing" in err) == (0, False)


@pytest.mark.parametrize("made", ["series", "shares"])
def test_groups_of_python_that_differ_by_chance_are_told(made):
    prices = demo()[0].loc["2020":"2021"]
    returns = simple_returns(prices, period="1w")
    labels = pd.Series(["Health-Care", "Health care", "Tech"] * len(prices.columns), dtype=str)
    labels = labels.iloc[: len(prices.columns)].set_axis(prices.columns)
    given = labels if made == "series" else pd.get_dummies(labels, dtype=float)
    told = "sector: Health-Care, Health care differ" if made == "series" else "Health care"
    styles = price_styles(prices, returns.loc["2021"].index)
    for estimator in (
        CrossSectionalEstimator(None, {"sector": given}),
        InstrumentedEstimator(styles, 2, {"sector": given}),
    ):
        other = dataclasses.replace(estimator, accept=("universe",))  # nothing is told before a fit
        with pytest.warns(DataWarning, match=told) as caught:
            estimator.fit(returns)
        mine = [w for w in caught if "differ in nothing" in str(w.message)]
        assert [w.filename for w in mine] == [__file__]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            other.fit(returns)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"sector": {"A": "x"}}, "categories sector must be Series or DataFrame, got dict"),
        ({"sector": ["x", "y"]}, "categories sector must be Series or DataFrame, got list"),
        (pd.Series(["x", "y"], ["A", "B"]), "categories must be Mapping, got Series"),
    ],
)
def test_groups_of_another_kind_are_refused_by_name(given, told):
    with pytest.raises(DataError, match=f"cross-sectional model: {told}. Give each family labels"):
        CrossSectionalEstimator(None, given)
    with pytest.raises(DataError, match=f"instrumented model: {told}. Give each family labels"):
        InstrumentedEstimator(None, 2, given)


def test_sectors_of_exposures_that_differ_by_chance_are_told():
    prices = demo()[0].loc["2021"].iloc[:, :3]
    rng = np.random.default_rng(1)
    factors = pd.DataFrame({"f": rng.normal(0, 0.01, len(prices))}, prices.index)
    sectors = dict(zip(prices.columns, ["a b", "A-B", "c"], strict=True))
    with pytest.warns(DataWarning, match="sector: a b, A-B differ") as told:
        data = ExposureData.from_prices(prices, factors, sectors=sectors)
    assert len(told) == 1
    with pytest.warns(DataWarning, match="sector: a b, A-B differ"):
        ExposureData.from_arrays(
            data.returns, data.factors, assets=list(prices.columns), sectors=list(sectors.values())
        )
