"""The history of benchmarks: rows of the file, and the script that adds one."""

from __future__ import annotations

import json
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_file_has_a_row_for_each_commit_in_their_order(benchmark_script):
    history = benchmark_script("history")
    lines = history.FILE.read_text(encoding="utf-8").splitlines()
    table = history.rows()
    assert [json.loads(line) for line in lines] == table
    assert len({row["commit"] for row in table}) == len(table) >= 3
    keys = {"commit", "day", "number", "yardstick", *history.MEASURED}
    assert all(set(row) == keys and row["yardstick"] > 0 for row in table)
    assert all(table[-1][name] > 0 for name in history.MEASURED)  # the newest can do all
    assert history.PICTURE.is_file()


def test_rows_are_drawn_and_what_a_commit_cannot_do_is_a_gap(benchmark_script, tmp_path, monkeypatch):
    history = benchmark_script("history")
    monkeypatch.setattr(history, "PICTURE", tmp_path / "picture.png")
    rows = [
        {"commit": name, "day": "2026-11-28", "yardstick": 0.1, **dict.fromkeys(history.MEASURED, 1.0)}
        for name in ("a", "b")
    ]
    history.draw([rows[0] | {"verdict": None}, rows[1]])
    assert (tmp_path / "picture.png").stat().st_size > 5000


def test_the_work_of_a_row_measures_what_the_table_has(benchmark_script):
    history = benchmark_script("history")
    compile(history.WORK, "work", "exec")
    assert all(f'row["{name}"]' in history.WORK or f'"{name}":' in history.WORK for name in history.MEASURED)
