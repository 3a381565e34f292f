"""The ledger and its track: nothing is changed, no kill and no race does harm, scores are right."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from bdfm import views as v
from bdfm._folders import OutputFolder
from bdfm.backtest.protocol import MarketData
from bdfm.backtest.walk import walk_forward
from bdfm.errors import DataError, DataWarning, FileError
from bdfm.forecast.forecast import Forecast
from bdfm.forecast.ranks import weighted_quantiles
from bdfm.ledger import judge as judge_module
from bdfm.ledger import ledger as ledger_module
from bdfm.ledger import track as track_module
from bdfm.ledger.ledger import _ENTRIES, Entry, Ledger
from bdfm.ledger.page import lines, ticks, track_html, verdict
from bdfm.ledger.track import track
from bdfm.portfolio.decisions import decide

SYMBOLS = [f"A{i}" for i in range(10)]
BETA = np.linspace(0.5, 1.5, 10)
VIEWS = (
    v.Ordering(above="A1", below="A2", probability=0.6, by="Ann", semantics="evidence"),
    v.Quantile(asset="A3", quantile=5, probability=0.3, by="Ben", semantics="constraint"),
    v.Volatility(asset="A4", times=1.1, by="Ben", semantics="constraint"),
)
N_MONTHS = 9


@pytest.fixture(scope="module")
def prices():
    rng = np.random.default_rng(0)
    days = pd.bdate_range("2019-01-01", "2021-12-31")
    moves = 0.008 * rng.standard_normal((len(days), 1)) * BETA + 0.012 * rng.standard_normal((len(days), 10))
    return pd.DataFrame(100 * np.exp(np.cumsum(moves, axis=0)), days, SYMBOLS)


def origins():
    return [pd.Timestamp("2021-01-01") + pd.Timedelta(days=28 * k) for k in range(N_MONTHS)]


def made(origin, *, scale=1.0, views=VIEWS):
    rng = np.random.default_rng(origin.toordinal())
    noise = 0.008 * rng.standard_normal((2000, 1)) * BETA + 0.012 * rng.standard_normal((2000, 10))
    f = Forecast.from_draws(
        np.expm1(scale * np.sqrt(20) * noise),
        assets=SYMBOLS,
        asset_class=["x"] * 10,
        origin=origin,
        end=origin + pd.Timedelta(days=28),
    )
    f = f.with_views(*views)
    return decide(f, method="equal", exposure=1.0).save_in(f)


def write_month(folder, origin, **how):
    month = folder / f"{origin:%Y-%m-%d}"
    month.mkdir()
    made(origin, **how).save(month / "forecast.nc")
    (month / "month.toml").write_text(f'ledger = "."\n[data]\norigin = {origin:%Y-%m-%d}\ndemo = true\n')
    (month / "summary.json").write_text(json.dumps({"model": "toy", "seed": 1, "files": {"prices": "ab"}}))
    return month


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    folder = tmp_path_factory.mktemp("book")
    for origin in origins():
        write_month(folder, origin)
    return folder


@pytest.fixture(scope="module")
def found(book, prices):
    return track(Ledger.open(book), prices)


# The index


def test_months_in_the_folder_are_entered_with_what_they_knew(book):
    entries = Ledger.open(book).entries()
    assert [e.origin for e in entries] == [f"{o:%Y-%m-%d}" for o in origins()]
    entry = entries[0]
    assert entry.number == 1
    assert entry.end == "2021-01-29"
    assert entry.model == "toy"
    assert "demo = true" in entry.run
    assert [r["kind"] for r in json.loads(entry.changes)] == ["view"] * 3
    assert json.loads(entry.decision)["settings"]["method"] == "equal"
    assert json.loads(entry.knew) == {"seed": 1, "files": {"prices": "ab"}}
    table = Ledger.open(book).table()
    assert table["views"].tolist() == [3] * N_MONTHS
    assert table["edits"].tolist() == [0] * N_MONTHS


def test_nothing_is_changed_or_removed(tmp_path):
    month = write_month(tmp_path, origins()[0])
    ledger = Ledger.open(tmp_path)
    before = ledger.entries()
    assert Ledger.open(tmp_path).entries() == before
    index = sqlite3.connect(tmp_path / "ledger.sqlite")
    for command in ("UPDATE months SET model = 'x'", "DELETE FROM months"):
        with pytest.raises(sqlite3.IntegrityError, match="an entry of a ledger is never"):
            index.execute(command)
    index.close()
    made(origins()[1]).save(month / "forecast.nc")
    with pytest.raises(DataError, match=r"was entered on .* with another forecast"):
        ledger.enter(month)
    with pytest.raises(DataError, match="is not the forecast that was entered"):
        ledger.forecast(before[0])
    assert ledger.entries() == before


def test_what_does_not_belong_in_is_told(tmp_path, book):
    month = write_month(tmp_path, origins()[0])
    with pytest.raises(DataError, match="does not lie in"):
        Ledger.open(book).enter(month)
    with pytest.raises(FileError, match="nowhere does not exist"):
        Ledger.open(tmp_path / "nowhere")
    (tmp_path / "ledger.sqlite").write_bytes(b"not a database at all" * 100)
    with pytest.raises(
        FileError, match=r"index .* cannot be used .*Without the file, the next look makes an index"
    ):
        Ledger.open(tmp_path)
    (tmp_path / "ledger.sqlite").unlink()
    assert len(Ledger.open(tmp_path).entries()) == 1


def test_a_copy_of_a_month_is_no_month(tmp_path, prices):
    """It had taken the place of the month it copies, and without it no month could be scored any more."""
    months = [write_month(tmp_path, origin) for origin in origins()[:2]]
    before = Ledger.open(tmp_path).entries()
    copy = shutil.copytree(months[0], tmp_path / "backup")
    with pytest.warns(
        DataWarning, match=rf"backup holds the forecast of the month {months[0].name}, .* its copy"
    ):
        ledger = Ledger.open(tmp_path)
    assert ledger.entries() == before
    assert ledger.enter(copy) == before[0]
    shutil.rmtree(copy)
    assert len(track(Ledger.open(tmp_path), prices).months) == 2
    shutil.move(months[0], tmp_path / "January")  # renamed: it is where its entry was made for no more
    assert [e.folder for e in Ledger.open(tmp_path).entries()] == [m.name for m in months] + ["January"]
    assert len(track(Ledger.open(tmp_path), prices).months) == 2


def test_a_copy_that_comes_first_is_not_taken_for_the_month(tmp_path):
    """Where no index is there yet, or no more."""
    month = write_month(tmp_path, origins()[0])
    for name in ("0_backup", "zzz"):
        shutil.copytree(month, tmp_path / name)
    with pytest.warns(DataWarning, match="its copy"):
        assert [e.folder for e in Ledger.open(tmp_path).entries()] == [month.name]
    (tmp_path / "ledger.sqlite").unlink()
    shutil.rmtree(month)
    named = tmp_path / "zzz" / "month.toml"
    named.write_text('out = "months/zzz"\n' + named.read_text())
    with pytest.warns(DataWarning, match="its copy"):
        assert [e.folder for e in Ledger.open(tmp_path).entries()] == ["zzz"]


def test_a_copy_beside_a_damaged_month_is_told_as_what_restores_it(tmp_path, prices):
    months = [write_month(tmp_path, origin) for origin in origins()[:2]]
    before = Ledger.open(tmp_path).entries()
    copy = shutil.copytree(months[0], tmp_path / "restored")
    (months[0] / "forecast.nc").write_bytes(b"damaged")
    with pytest.warns(
        DataWarning, match=rf"restored holds the forecast that was entered as {months[0].name}"
    ):
        assert Ledger.open(tmp_path).entries() == before
    shutil.copy(copy / "forecast.nc", months[0])
    shutil.rmtree(copy)
    assert len(track(Ledger.open(tmp_path), prices).months) == 2


def test_a_month_and_its_copy_entered_at_once_are_one(tmp_path, monkeypatch):
    """Both have looked for the other before either is entered."""
    month = write_month(tmp_path, origins()[0])
    copy = shutil.copytree(month, tmp_path / "copy")
    ledger, both = Ledger(tmp_path), threading.Barrier(2)
    ledger.entries()

    def slow(folder, row=ledger_module._row):
        both.wait(60)
        return row(folder)

    monkeypatch.setattr(ledger_module, "_row", slow)
    with ThreadPoolExecutor(2) as workers:
        found = list(workers.map(ledger.enter, (month, copy)))
    assert found[0] == found[1]
    assert len(ledger.entries()) == 1


def test_a_month_that_is_gone_is_told_with_two_ways_out(tmp_path, prices):
    months = [write_month(tmp_path, origin) for origin in origins()[:2]]
    Ledger.open(tmp_path)
    shutil.rmtree(months[0])
    with pytest.raises(
        FileError, match=r"is gone, of the month .* Restore it .* move .*ledger\.sqlite away, and keep it"
    ):
        track(Ledger.open(tmp_path), prices)
    (tmp_path / "ledger.sqlite").unlink()
    assert len(track(Ledger.open(tmp_path), prices).months) == 1


@pytest.mark.parametrize("gone", ["summary.json", "forecast.nc"])
def test_a_month_without_one_of_its_files_is_told(gone, tmp_path, prices):
    for origin in origins()[:3]:
        (write_month(tmp_path, origin) / "forecast.nc").unlink()
        with OutputFolder(tmp_path / f"{origin:%Y-%m-%d}", made_by="month") as month:
            made(origin).save(month / "forecast.nc")
    lacking = tmp_path / f"{origins()[1]:%Y-%m-%d}"
    (lacking / gone).unlink()
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "summary.json").write_text("{}")  # of another thing
    with pytest.warns(DataWarning) as warned:
        ledger = Ledger.open(tmp_path)
    assert [f"{lacking} is left out, since its {gone} is gone" in str(w.message) for w in warned] == [True]
    assert [e.folder for e in ledger.entries()] == [f"{o:%Y-%m-%d}" for o in (origins()[0], origins()[2])]
    with pytest.warns(DataWarning, match="is left out"):
        track(Ledger.open(tmp_path), prices)


def test_an_entered_month_needs_no_summary(tmp_path):
    month = write_month(tmp_path, origins()[0])
    Ledger.open(tmp_path)
    (month / "summary.json").unlink()
    assert len(Ledger.open(tmp_path).entries()) == 1


def test_a_folder_that_is_no_ledger_stays_as_it_is(tmp_path, prices, bdfm_command):
    (tmp_path / "out").mkdir()
    made(origins()[0]).save(tmp_path / "out" / "forecast.nc")
    prices.to_csv(tmp_path / "prices.csv")
    before = sorted(tmp_path.rglob("*"))
    for folder in (tmp_path / "out", tmp_path):
        code, _, err = bdfm_command("track", folder, "--prices", tmp_path / "prices.csv")
        assert code == 2
        assert f"track: {folder} is no ledger, or holds no month yet. Give the folder" in err
        assert Ledger(folder).entries() == []
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.long
def test_two_at_once_enter_each_month_once(tmp_path):
    for origin in origins()[:3]:
        write_month(tmp_path, origin)
    with ThreadPoolExecutor(8) as pool:
        for ledger in pool.map(Ledger.open, [tmp_path] * 8):
            assert len(ledger.entries()) == 3
    code = "import sys; from bdfm.ledger.ledger import Ledger; Ledger.open(sys.argv[1])"
    later = write_month(tmp_path, origins()[3])
    runs = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path)]) for _ in range(2)]
    assert [r.wait(120) for r in runs] == [0, 0]
    assert [e.folder for e in Ledger.open(tmp_path).entries()][-1] == later.name
    assert len(Ledger.open(tmp_path).entries()) == 4


def test_a_copy_waits_until_the_month_beside_it_is_entered(tmp_path):
    month = write_month(tmp_path, origins()[0])
    ledger = Ledger.open(tmp_path)
    later = write_month(tmp_path, origins()[1])
    copy = shutil.copytree(later, tmp_path / "copy")
    others = sqlite3.connect(tmp_path / "ledger.sqlite", isolation_level=None)
    with closing(others), ThreadPoolExecutor(1) as pool:
        others.execute("BEGIN IMMEDIATE")
        entry = pool.submit(ledger.enter, copy)
        time.sleep(0.5)  # it looks meanwhile, at what is not entered yet
        seal = ledger_module._sum_of(later / "forecast.nc")
        row = others.execute("SELECT * FROM months").fetchone()
        row = (2, row[1], later.name, *row[3:-1], seal)
        others.execute(f"INSERT INTO months VALUES ({', '.join('?' * len(row))})", row)
        others.execute("COMMIT")
        assert entry.result().folder == later.name
    assert [e.folder for e in ledger.entries()] == [month.name, later.name]


def test_who_is_killed_while_entering_leaves_a_whole_ledger(tmp_path):
    write_month(tmp_path, origins()[0])
    Ledger.open(tmp_path)
    write_month(tmp_path, origins()[1])
    code = (
        "import os, sqlite3, sys\n"
        "index = sqlite3.connect(sys.argv[1] + '/ledger.sqlite', isolation_level=None)\n"
        "index.execute('BEGIN IMMEDIATE')\n"
        "row = index.execute('SELECT * FROM months').fetchone()\n"
        "index.execute('INSERT INTO months VALUES (?' + ', ?' * 10 + ')', (9, row[1], 'half', *row[3:]))\n"
        "index.execute('PRAGMA cache_spill = 1')\n"
        "os.kill(os.getpid(), 9)\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert killed.returncode == -9
    assert [e.origin for e in Ledger.open(tmp_path).entries()] == [f"{o:%Y-%m-%d}" for o in origins()[:2]]


# The track


class Same:
    """The forecasts of the ledger as a forecaster of a backtest."""

    name = "same"
    settings = {"which": "those of the ledger"}

    def forecast(self, history, *, seed):
        return made(history.origin)


@pytest.mark.long
def test_scores_are_those_of_a_backtest(found, prices, tmp_path):
    universe = pd.DataFrame({"symbol": SYMBOLS, "asset_class": "x"})
    run = walk_forward(
        Same(),
        MarketData.of(prices, universe),
        origins(),
        folder=tmp_path,
        seed=0,
        decide=lambda f: decide(f, method="equal", exposure=1.0).weights,
    )
    for name in ("rps", "log_score", "crps", "energy_score", "information_ratio"):
        np.testing.assert_allclose(
            found.months[name].astype(float), run.scores[name], rtol=1e-12, err_msg=name
        )


def test_a_month_is_its_profit_and_risk(found, prices):
    f = made(origins()[2])
    row = found.months.iloc[2]
    start, end = origins()[2], origins()[3]
    realised = prices.asof(end) / prices.asof(start) - 1
    assert row["profit"] == pytest.approx(realised.mean())
    w = f.weights.to_numpy() @ f.draws.to_numpy().mean(axis=1)
    assert row["expected"] == pytest.approx(w, abs=1e-4)
    assert row["breach"] == (row["profit"] < -row["value_at_risk"])
    inside = [
        np.quantile(f.draws.to_numpy()[:, i], 0.05)
        < realised.iloc[i]
        < np.quantile(f.draws.to_numpy()[:, i], 0.95)
        for i in range(10)
    ]
    assert row["coverage_90"] == pytest.approx(np.mean(inside), abs=0.051)
    widths = {"coverage_50": (0.25, 0.75), "coverage_90": (0.05, 0.95)}
    for name, ends in widths.items():
        hits = []
        for k in range(N_MONTHS):
            came = prices.asof(origins()[k] + pd.Timedelta(days=28)) / prices.asof(origins()[k]) - 1
            edges = weighted_quantiles(
                made(origins()[k]).draws.to_numpy(), list(ends), made(origins()[k]).weights.to_numpy()
            )
            hits.append(((edges[0] < came) & (came < edges[1])).mean())
        np.testing.assert_allclose(found.months[name].astype(float), hits, atol=0.11)
        assert np.mean(hits) == pytest.approx(found.months[name].mean(), abs=0.012)


def test_views_are_judged_by_what_would_have_been_without_them(found, prices):
    rows = found.views[found.views["origin"] == "2021-01-01"]
    assert rows["by"].tolist() == ["Ann", "Ben", "Ben"]
    from bdfm.forecast.ranks import outcome_quantiles
    from bdfm.scoring.scores import ranked_probability_score

    f = made(origins()[0], views=())
    realised = (prices.asof(origins()[1]) / prices.asof(origins()[0]) - 1).to_numpy()
    outcome = outcome_quantiles(realised, 5)

    def rps(forecast):
        return ranked_probability_score(forecast.quantile_probabilities().to_numpy(), outcome).mean()

    with_all = f.with_views(*VIEWS)
    # Without her view Ann agrees with the model, and Ben's share stays a half.
    without = f.with_views(*VIEWS[1:], shares={"Ben": 0.5})
    assert rows["rps_gain"].iloc[0] == pytest.approx(rps(without) - rps(with_all), abs=1e-12)
    assert rows["rps_gain"].abs().max() > 1e-5


def test_people_are_judged_and_their_shares_learned_without_look_ahead(found):
    people = found.people
    assert people["by"].unique().tolist() == ["model", "Ann", "Ben"]
    first = people[people["origin"] == "2021-01-01"]
    np.testing.assert_allclose(first["share"], 1 / 3)
    # With its record before, a month's shares hang on its forecasts, which are known, and on nothing later:
    # their room lowers the rate, so that they are nearer to equal than the shares after the month before.
    after, later = people["share_after"].to_numpy()[:-3], people["share"].to_numpy()[3:]
    assert (np.ptp(later.reshape(-1, 3), axis=1) < np.ptp(after.reshape(-1, 3), axis=1)).all()
    assert np.abs(later - after).max() < 0.03
    for _, month in people.groupby("origin"):
        assert month["share"].sum() == pytest.approx(1)
    assert (people["share_after"] - people["share"]).abs().max() > 0.01


@pytest.mark.parametrize("text", ["", "seed = 3", None])
def test_results_that_were_made_for_no_ledger_are_none(text, tmp_path, prices):
    """Alone they are no ledger; beside months they are left out, until they are entered by name."""
    month = write_month(tmp_path, origins()[0])
    (month / "month.toml").unlink() if text is None else (month / "month.toml").write_text(text)
    ledger = Ledger.open(tmp_path)
    assert not (tmp_path / "ledger.sqlite").exists()
    with pytest.raises(DataError, match="is no ledger, or holds no month yet"):
        track(ledger, prices)
    later = write_month(tmp_path, origins()[1])
    with pytest.warns(DataWarning, match=f"results in {month} are left out, since their run file names no"):
        ledger = Ledger.open(tmp_path)
    assert [e.folder for e in ledger.entries()] == [later.name]
    ledger.enter(month)
    assert len(Ledger.open(tmp_path).entries()) == 2


@pytest.mark.long
def test_a_forecaster_with_half_the_volatility_raises_the_alarm(tmp_path, prices, found):
    assert found.alarm.raised is None
    for origin in origins():
        write_month(tmp_path, origin, scale=0.5, views=())
    bad = track(Ledger.open(tmp_path), prices)
    assert bad.alarm.raised is not None
    assert bad.alarm.reason in ("size", "spread")
    assert "Alarm: the forecasts are not calibrated" in verdict(bad)
    assert len(bad.views) == 0
    assert "Views" not in track_html(bad)


@pytest.mark.long
def test_a_month_is_judged_once(tmp_path, prices, found, monkeypatch):
    for origin in origins():
        write_month(tmp_path, origin)
    ledger = Ledger.open(tmp_path)
    judged = []
    real = judge_module.judge
    monkeypatch.setattr(track_module, "judge", lambda f, p: judged.append(f.origin) or real(f, p))
    first = track(ledger, prices)
    assert judged == list(origins())
    assert first.to_dict() == found.to_dict()
    assert track(ledger, prices).to_dict() == found.to_dict()
    assert len(judged) == N_MONTHS  # nothing once more
    track(ledger, prices.assign(B9=1.0).iloc[:, ::-1])  # other assets do not matter
    assert len(judged) == N_MONTHS
    longer = pd.concat([prices, prices.iloc[-1:].set_axis([prices.index[-1] + pd.Timedelta(days=3)])])
    track(ledger, longer)  # nor do later days
    assert len(judged) == N_MONTHS
    corrected = prices.copy()
    day = origins()[2] + pd.Timedelta(days=28)
    corrected.loc[day, SYMBOLS[0]] *= 1.01
    told = track(ledger, corrected)
    assert set(judged[N_MONTHS:]) >= {origins()[2]}  # the months whose closes changed
    assert told.months["rps"].iloc[:2].tolist() == found.months["rps"].iloc[:2].tolist()
    assert told.months["crps"].iloc[2] != found.months["crps"].iloc[2]
    before = len(judged)
    monkeypatch.setattr(judge_module, "__version__", "9.9")  # another release may judge otherwise
    track(ledger, corrected)
    assert len(judged) == before + N_MONTHS
    ledger.keep_judged(ledger.entries()[0], "{}")  # what no release wrote
    track(ledger, corrected)
    assert len(judged) == before + N_MONTHS + 1
    made(origins()[0], scale=2.0).save(tmp_path / f"{origins()[0]:%Y-%m-%d}" / "forecast.nc")
    with pytest.raises(DataError, match="is not the forecast that was entered"):
        track(ledger, corrected)  # also where it was judged before


@pytest.mark.parametrize(("low", "high", "expected"), [
    (-0.005, 0.0539, [0, 0.02, 0.04]),
    (0, 55, [0, 20, 40]),
    (-3.2, 1.1, [-3, -2, -1, 0, 1]),
])  # fmt: skip
def test_an_axis_has_round_numbers(low, high, expected):
    np.testing.assert_allclose(ticks(low, high), expected, atol=1e-12)
    assert not np.signbit(ticks(low, high)[np.array(expected) == 0]).any()


def test_months_that_are_not_over_wait(book, prices):
    early = track(Ledger.open(book), prices.loc[:"2021-03-26"])
    assert list(early.months.index) == ["2021-01-01", "2021-01-29", "2021-02-26"]
    assert len(early.open) == N_MONTHS - 3
    with pytest.raises(DataError, match=r"no month in .* is over by 2021-01-15"):
        track(Ledger.open(book), prices.loc[:"2021-01-15"])
    with pytest.raises(DataError, match="no prices of A9"):
        track(Ledger.open(book), prices.drop(columns="A9"))


def test_the_record_up_to_a_month_does_not_hang_on_later_ones(book, prices, found):
    early = track(Ledger.open(book), prices.loc[:"2021-03-26"])
    pd.testing.assert_frame_equal(early.months, found.months.iloc[:3], check_dtype=False)
    pd.testing.assert_frame_equal(early.alarm.e_values, found.alarm.e_values.iloc[:3])


def test_the_page_is_whole_and_hostile_names_do_nothing(found):
    class Reader(HTMLParser):
        def __init__(self):
            super().__init__()
            self.tags = []

        def handle_starttag(self, tag, attrs):
            self.tags.append(tag)
            assert not any(k.startswith("on") or "http" in (x or "") for k, x in attrs)

    page = track_html(found)
    reader = Reader()
    reader.feed(page)
    assert reader.tags.count("svg") == 3
    assert reader.tags.count("table") == 5
    assert "script" not in reader.tags
    odd = found.views.assign(by="<script>alert(1)</script>")
    page = track_html(type(found)(found.months, odd, found.people, found.alarm, found.open))
    assert "<script>" not in page
    json.dumps(found.to_dict(), allow_nan=False)


@pytest.mark.parametrize("gain", [0.012, 0.00003, -123456.0])
def test_labels_of_an_axis_have_room_on_a_phone(gain):
    picture = lines(["2021-01", "2021-02"], {"RPS": np.array([0.0, gain])}, label="gain")
    said = re.findall(r'<text x="(\d+)" y="[\d.]+" text-anchor="end">([^<]+)<', picture)
    assert len(said) > 2
    assert all(float(x) >= 0.6 * 22 * len(label) for x, label in said)


def test_means_have_errors_from_eight_months_on(found):
    means = found.means()
    rps = found.months["rps"].astype(float)
    assert means.loc["rps", "mean"] == pytest.approx(rps.mean())
    assert 0.2 * rps.std() < means.loc["rps", "se"] * 3 < 3 * rps.std()
    assert means.loc["rps", "n"] == N_MONTHS


def test_the_index_is_read_in_the_order_of_the_fields():
    named = _ENTRIES.removeprefix("SELECT ").partition(" FROM ")[0].split(", ")
    assert named == [f.name for f in dataclasses.fields(Entry)]
