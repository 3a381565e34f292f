"""Of a folder of months the one is taken from which an update is the shortest."""

from __future__ import annotations

import json
import shutil
from types import SimpleNamespace

import pandas as pd
import pytest
import xarray as xr
from months import small_market

from bdfm.data.periods import period_edges
from bdfm.errors import DataError, FileError
from bdfm.inference.settings import SamplerSettings
from bdfm.names import POSTERIOR_FILE, SUMMARY_FILE
from bdfm.posterior.fit import fit
from bdfm.posterior.posterior import Posterior
from bdfm.report.earlier import _periods_back, earlier_month, months_in, start_in_words

SETTINGS = SamplerSettings(engine="gibbs", draws=10, tune=10, chains=1)
DAY = pd.Timedelta(days=1)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Model, panel of the new month, and a file with a posterior of an early one."""
    model, panel = small_market(41)
    file = tmp_path_factory.mktemp("posterior") / POSTERIOR_FILE
    fit(model, panel(slice(0, 40), list(range(7)), "2020-01-01"), seed=1, settings=SETTINGS).save(file)
    return model, panel(slice(1, 41), list(range(7)), "2021-01-29"), file


@pytest.fixture
def month(world, tmp_path):
    """Maker of a month that lies so many days before the new one."""

    def make(days_before, name="", **said):
        origin = world[1].origin - days_before * DAY
        folder = tmp_path / (name or f"{origin:%Y-%m-%d}")
        folder.mkdir()
        shutil.copy(world[2], folder / POSTERIOR_FILE)
        (folder / SUMMARY_FILE).write_text(json.dumps({"origin": f"{origin:%Y-%m-%d}", **said}))
        return folder

    return make


def test_whole_periods_come_before_the_shortest_way(world, month, tmp_path):
    model, panel, _ = world
    day, four, eight, _, _ = (month(d) for d in (1, 28, 56, 31, -1))
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes.txt").write_text("not a month")
    assert earlier_month(tmp_path, model, panel) == four
    assert earlier_month(tmp_path, model, panel, leave_out=tmp_path / "x" / ".." / four.name) == eight
    shutil.rmtree(four)
    shutil.rmtree(eight)
    assert earlier_month(tmp_path, model, panel) == day


def test_a_month_that_had_not_converged_is_the_last_choice(world, month, tmp_path):
    model, panel, _ = world
    known = {"diagnostics": {"converged": True}}
    settled = month(1, **known)
    poor = month(28, diagnostics={"converged": False})
    assert earlier_month(tmp_path, model, panel) == settled
    shutil.rmtree(settled)
    assert earlier_month(tmp_path, model, panel) == poor


def test_a_month_long_ago_is_no_short_way(world, month, tmp_path):
    model, panel, _ = world
    near, far = month(13 * 28), month(14 * 28)
    day = month(1)
    assert earlier_month(tmp_path, model, panel) == near
    shutil.rmtree(near)
    assert earlier_month(tmp_path, model, panel) == day
    shutil.rmtree(day)
    assert earlier_month(tmp_path, model, panel) == far


@pytest.mark.parametrize(
    ("period", "origin", "before", "back"),
    [
        ("month", "2022-05-31", "2022-04-29", 1),  # the month ends on a Saturday
        ("month", "2022-05-31", "2022-04-28", None),
        ("month", "2022-05-31", "2022-03-31", 2),
        (28, "2022-05-13", "2022-04-14", 1),  # Good Friday after it
        (28, "2022-05-13", "2022-04-13", None),
        (28, "2022-05-12", "2022-04-13", None),
        ("day", "2022-05-09", "2022-05-08", 1),  # a Sunday
        ("day", "2022-05-09", "2022-05-06", 1),
        ("day", "2022-05-09", "2022-05-05", 2),
    ],
)
def test_periods_back_count_days_with_prices(period, origin, before, back):
    n_past = 60
    ends = period_edges(pd.Timestamp(origin), period=period, n_past=n_past, n_future=1)[1 : n_past + 1]
    history = xr.Dataset(coords={"period": ends})
    assert _periods_back(pd.Timestamp(before), SimpleNamespace(history=history)) == back


def test_a_month_of_the_same_day_is_none_to_go_on_from(world, month, tmp_path):
    model, panel, _ = world
    month(0)
    with pytest.raises(DataError, match=r"holds 1 month, and none before the origin 2021-01-29\. Fit"):
        earlier_month(tmp_path, model, panel)


def test_without_a_summary_the_posterior_tells_its_day(world, month, tmp_path):
    model, panel, _ = world
    found = month(28, "a")
    (found / SUMMARY_FILE).unlink()
    assert earlier_month(tmp_path, model, panel) == found
    later = month(56, "b")
    assert earlier_month(tmp_path, model, panel) == later  # the posterior is of 2020


def test_another_model_is_passed_over_and_told(world, month, tmp_path):
    model, panel, _ = world
    month(28)
    other = model.model_copy(update={"name": "other"})
    with pytest.raises(DataError, match=r"nearest, 2021-01-01: the earlier posterior is of model 'tiny'"):
        earlier_month(tmp_path, other, panel)
    (month(14, model="tiny") / POSTERIOR_FILE).write_bytes(b"not looked at")
    with pytest.raises(DataError, match=r"2021-01-01: the earlier posterior is of model 'tiny'"):
        earlier_month(tmp_path, other, panel)


def test_folders_and_files_that_are_no_choice(world, month, tmp_path):
    model, panel, _ = world
    found = month(28)
    month(28, ".bdfm-12345678")  # what a killed run has left
    assert months_in(tmp_path) == [found]
    assert months_in(found) == months_in(found / POSTERIOR_FILE) == months_in(tmp_path / "gone") == []
    with pytest.raises(FileError, match="gone"):
        earlier_month(tmp_path / "gone", model, panel)
    (found / SUMMARY_FILE).write_text("{")
    with pytest.raises(FileError, match=r"summary\.json: not valid JSON"):
        earlier_month(tmp_path, model, panel)
    (found / SUMMARY_FILE).write_text('{"origin": "yesterday"}')
    with pytest.raises(DataError, match=r"summary\.json: origin"):
        earlier_month(tmp_path, model, panel)


@pytest.mark.parametrize("where", ["a folder", "a folder of months"])
def test_a_run_that_was_killed_while_its_files_took_their_names_is_a_start(where, world, month, tmp_path):
    found = month(28)
    left = found / ".bdfm-01234567"
    left.mkdir()
    (found / POSTERIOR_FILE).rename(left / POSTERIOR_FILE)
    (left / ".whole").touch()
    assert months_in(found if where == "a folder" else tmp_path) == ([] if where == "a folder" else [found])
    assert (found / POSTERIOR_FILE).exists()


def test_a_far_start_is_told(world):
    panel, start = world[1], Posterior.load(world[2]).as_earlier()
    for days, far in ((0, False), (28, False), (28 * 30, False), (1, True), (25, True), (28 * 60, True)):
        told = start_in_words(start._replace(origin=panel.origin - days * DAY), panel)
        assert ("chains may have to take over" in told) == far
        assert "in a row" not in told


def test_many_updates_in_a_row_are_told(world):
    start = Posterior.load(world[2]).as_earlier()
    assert start.updates == 0
    assert "fit cold" not in start_in_words(start._replace(updates=9), world[1])
    assert "of 10 updates in a row" in start_in_words(start._replace(updates=10), world[1])
