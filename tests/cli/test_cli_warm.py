"""A forecast whose chains go on from those of an earlier one, as a user runs it."""

from __future__ import annotations

import pytest

from bdfm import _memory
from bdfm.data.sources import demo
from bdfm.posterior.posterior import Posterior

pytestmark = pytest.mark.usefixtures("blank_pictures")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("warm")
    prices, universe = demo()
    members = ["AAPL", "AMD", "BAC", "BBY", "CVX", "PEP", "USMV", "VLUE"]
    prices.loc["2016":"2020", members].to_csv(folder / "prices.csv")
    universe[universe["symbol"].isin(members)].to_csv(folder / "universe.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def arguments(files):
    data = ("--prices", files / "prices.csv", "--universe", files / "universe.csv")
    return ["forecast", *data, "--draws", 50, "--tune", 50, "--chains", 2, "--n-draws", 6000]


@pytest.fixture
def first(bdfm_command, arguments, files):
    """Folder of the first month."""
    if not (files / "first").exists():
        month = ("--origin", "2020-11-20", "--model", "m6", "--out", files / "first")
        code, _, err = bdfm_command(*arguments, *month)
        assert code == 0, err
    return files / "first"


@pytest.mark.long
def test_a_forecast_goes_on_from_an_earlier_one_and_is_repeated(bdfm_command, arguments, files, first):
    month = ("--origin", "2020-12-18", "--model", "m6", "--out", files / "second", "--warm-from", first)
    code, _, err = bdfm_command(*arguments, *month)
    assert code == 0, err
    posterior = Posterior.load(files / "second" / "posterior.nc")
    assert posterior.attrs["warm_from"] == "2020-11-20"
    assert 'warm_from = "../first"' in (files / "second" / "run.toml").read_text()
    made = (files / "second" / "forecast.nc").read_bytes()
    code, _, err = bdfm_command("run", files / "second" / "run.toml")
    assert code == 0, err
    assert (files / "second" / "forecast.nc").read_bytes() == made


def test_the_next_evening_goes_on_from_the_folder_too(bdfm_command, arguments, files, first):
    """The file beside the results names the folder, not the month of it that was the nearest that time.

    2020-12-18 lies four weeks after the first month, and a day after the evening that is run here.
    """
    month = ("--origin", "2020-12-17", "--model", "m6", "--out", files / "evening")
    code, told, err = bdfm_command(*arguments, *month, "--warm-from", files)
    assert code == 0, err
    assert "Draws go on from those of 2020-11-20, where none of these periods ends" in told
    assert Posterior.load(files / "evening").attrs["warm_from"] == "2020-11-20"
    made = files / "evening" / "run.toml"
    text = made.read_text()
    assert 'warm_from = ".."' in text
    assert "# Draws went on from those of 2020-11-20." in text
    edited = made.with_name("edited.toml")
    edited.write_text(text.replace("2020-12-17", "2020-12-18").replace('out = "."', 'out = "../edited"'))
    code, _, err = bdfm_command("roll", made, "--origin", "2020-12-18")
    assert code == 0, err
    for file in (edited, made.with_name("2020-12-18.toml")):
        code, told, err = bdfm_command("run", file, "--check")
        assert code == 0, err
        assert "Draws go on from those of 2020-11-20." in told, file


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--origin", "2020-12-18", "--model", "house"), "model 'm6' with other settings"),
        (("--origin", "2020-10-23", "--model", "m6"), "2020-11-20, after the origin 2020-10-23"),
        (("--origin", "2020-12-18", "--model", "m6", "--engine", "nuts"), "only the Gibbs sampler"),
    ],
)
def test_what_cannot_go_on_is_refused_before_the_fit(bdfm_command, arguments, files, first, options, message):
    code, _, err = bdfm_command(*arguments, *options, "--out", files / "refused", "--warm-from", first)
    assert code == 2
    assert message in " ".join(err.split())
    assert not (files / "refused").exists()


def test_a_start_that_is_not_there_is_named_by_its_option(bdfm_command, arguments, files):
    month = ("--origin", "2020-12-18", "--model", "m6", "--out", files / "refused")
    code, _, err = bdfm_command(*arguments, *month, "--warm-from", files / "nowhere")
    assert code == 2
    text = " ".join(err.split())
    assert "--warm-from: " in text
    assert "nowhere does not exist" in text


def test_the_folder_of_the_results_is_no_start(bdfm_command, arguments, first):
    month = ("--origin", "2020-12-18", "--model", "m6", "--out", first, "--warm-from", first)
    code, _, err = bdfm_command(*arguments, *month)
    assert code == 2
    assert "--warm-from" in err
    assert "Give another one" in " ".join(err.split())
    assert (first / "posterior.nc").exists()


def test_too_little_memory_is_one_message(bdfm_command, arguments, files, monkeypatch):
    monkeypatch.setattr(_memory, "available", lambda: 30_000_000)
    month = ("--origin", "2020-12-18", "--model", "m6", "--out", files / "large")
    arguments = [*arguments[:-1], 600_000]
    code, _, err = bdfm_command(*arguments, *month)
    assert code == 2
    text = " ".join(err.split())
    assert "600,000 predictive draws of 8 assets need about" in text
    assert "of memory, and 30 MB are available. Lower n_draws" in text
    assert not (files / "large").exists()
    code, _, err = bdfm_command(*arguments, *month, "--memory", "200MB")
    assert "and 30 MB are available" in " ".join(err.split())
    monkeypatch.setattr(_memory, "available", lambda: 10**12)
    code, _, err = bdfm_command(*arguments, *month, "--memory", "200MB")
    assert code == 2
    assert "200 MB is the budget (--memory, memory=)" in " ".join(err.split())
    assert "would fit" in " ".join(err.split())
