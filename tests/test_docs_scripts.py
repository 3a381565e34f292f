"""Commands `python scripts/...` of the pages: each is one that the script takes as it is written."""

from __future__ import annotations

import argparse
import re
import runpy
import shlex
import sys
from pathlib import Path

import pytest

typer = pytest.importorskip("typer")

ROOT = Path(__file__).parents[1]
NEEDS = {"optimisers.py": "skfolio", "breaks.py": "statsmodels", "exposures.py": "sklearn"}


class Taken(BaseException):
    """The words were parsed; no work was begun."""


def commands():
    """Command and the first page that has it, of text and of blocks."""
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
    found = {}
    for page in pages:
        if not {"_build", "generated"} & set(page.parts):
            text = page.read_text(encoding="utf-8").replace("\\\n", " ")
            named = re.findall(r"`python (scripts/[^`]*)`|^python (scripts/.*)", text, re.MULTILINE)
            for command in map("".join, named):
                found.setdefault(" ".join(command.partition(" #")[0].split()), page.name)
    return found


def taken(words, monkeypatch):
    """Whether the script's parser takes the words, without going on; a script without one takes none."""
    if not re.search("argparse|typer", Path(words[0]).read_text(encoding="utf-8")):
        return words[1:] == []

    def stop(*args, **kwargs):
        raise Taken

    def parsed(self, args=None, namespace=None):
        parse(self, args, namespace)
        raise Taken

    parse = argparse.ArgumentParser.parse_args
    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parsed)
    monkeypatch.setattr(typer.core.TyperCommand, "invoke", stop)
    monkeypatch.setattr(sys, "argv", words)
    monkeypatch.syspath_prepend(str(Path(words[0]).parent))
    known = set(sys.modules)
    try:
        runpy.run_path(words[0], run_name="__main__")
    except Taken:
        return True
    except SystemExit:
        return False
    finally:
        for name in set(sys.modules) - known:  # modules of the folder of scripts, whose names others may have
            if str(ROOT / "scripts") in str(getattr(sys.modules[name], "__file__", "")):
                del sys.modules[name]
    raise AssertionError(f"{words[0]} ran without reading its options")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("command", [c for c in commands() if not c.startswith("scripts/docs/")])
def test_a_script_takes_the_words_that_a_page_gives_it(command, tmp_path, monkeypatch, capsys):
    script, *words = shlex.split(command)
    pytest.importorskip(NEEDS.get(Path(script).name, "numpy"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "FILE").touch()
    for name in ("DIR", "FOLDER"):
        (tmp_path / name).mkdir()
    assert taken([str(ROOT / script), *words], monkeypatch), capsys.readouterr().err


def test_commands_are_found_and_a_missing_word_is_seen(monkeypatch, tmp_path):
    assert len(commands()) >= 15
    script = str(ROOT / "scripts/benchmarks/risk_models.py")
    assert not taken([script, "alphas"], monkeypatch)


@pytest.mark.long
def test_the_commands_that_the_load_runs_are_taken(benchmark_script, capsys):
    load = benchmark_script("load")
    load.backtest(30)
    load.views(4)
    told = capsys.readouterr().out
    assert "| backtest, historical | 30 origins |" in told
    assert "| views | 4 |" in told
