"""What would not fit into memory is refused before features are computed, which takes minutes."""

from __future__ import annotations

import contextlib
import shutil

import fuzz_world as world
import pytest

from bdfm.data import features

FORECAST = f"forecast --prices prices.csv --universe universe.csv --origin {world.ORIGIN} --out new"


def never(*_, **__):
    raise AssertionError("features are computed")


@pytest.mark.parametrize(
    ("words", "draws", "message"),
    [
        (f"{FORECAST} --draws 1000000", None, "fit: 4 chains of 6 assets and"),
        (f"{FORECAST} --n-draws 90000000 --keep-draws", None, "predictive draws of 6 assets"),
        ("run month.toml", 1_000_000, "fit: 2 chains of 6 assets and"),
        ("run month.toml --check", 1_000_000, "fit: 2 chains of 6 assets and"),
    ],
)
def test_it_is_refused_at_once(words, draws, message, base, tmp_path, monkeypatch):
    folder = tmp_path / "case"
    shutil.copytree(base, folder, symlinks=True)
    if draws is not None:
        text = (folder / "month.toml").read_text()
        (folder / "month.toml").write_text(text.replace("draws = 10\n", f"draws = {draws}\n", 1))
    else:
        words += " --memory 2GB"
    monkeypatch.setattr(features, "at_starts", never)
    with contextlib.chdir(folder):
        done = world.command(words.split())
    assert (done.code, done.crash) == (2, ""), done
    assert message in done.err
    assert "of memory, and" in done.err


def test_all_else_goes_on_to_features(base, monkeypatch):
    monkeypatch.setattr(features, "at_starts", never)
    with contextlib.chdir(base):
        done = world.command(FORECAST.split())
    assert "features are computed" in done.crash
