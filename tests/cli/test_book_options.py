"""Options that make risk models of a book: one definition for every command that has them."""

from dataclasses import fields
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from bdfm.cli.app import app
from bdfm.cli.book_options import BookOptions, with_options
from bdfm.exposures.choices import Unit
from bdfm.report.book import Request
from bdfm.risk.choices import Kind

pytestmark = pytest.mark.usefixtures("blank_pictures")

COMMANDS = ("risk", "stress")


def parameters(name):
    return {p.name: p for p in typer.main.get_command(app).commands[name].params}


@pytest.mark.parametrize("name", COMMANDS)
def test_commands_have_every_option_with_its_default(name):
    found = parameters(name)
    assert len(fields(BookOptions)) == 21
    for f in fields(BookOptions):
        assert f.name in found
        assert found[f.name].default == (f.default.value if isinstance(f.default, Unit) else f.default)


def test_options_of_commands_say_the_same():
    risk, stress = (parameters(name) for name in COMMANDS)
    for f in fields(BookOptions):
        assert risk[f.name].help == stress[f.name].help
        assert risk[f.name].opts == stress[f.name].opts
    assert list(risk)[:2] == list(stress)[:2] == ["prices", "portfolio"]


def test_defaults_are_those_of_a_request_in_python():
    assert BookOptions().request(Path("p.csv"), None) == Request(Path("p.csv"))


def test_each_option_reaches_the_request(tmp_path):
    asked = []

    @with_options(BookOptions)
    def command(first: str, *, made: BookOptions, last: int = 3) -> None:
        asked.append((first, last, made.request(Path("p.csv"), Path("b.csv"), instruments=("SPY",))))

    small = typer.Typer()
    small.command()(command)
    given = {
        "--model": "statistical", "--only": "AAPL", "--universe": "u.csv", "--origin": "2022-02-04",
        "--period": "1d", "--period-days": "7", "--window": "60", "--half-life-periods": "9",
        "--horizon": "2", "--factors": "f.csv", "--unit": "percent", "--countries": "c.csv",
        "--sectors": "s.csv", "--estimation": "e.csv", "--posterior": "x.nc", "--exposures": "y.nc",
        "--date-format": "dmy", "--decimal-mark": ",", "--alias": "A=B", "--accept": "twins",
    }  # fmt: skip
    words = ["one", "--calendar-months", *(w for pair in given.items() for w in pair)]
    result = CliRunner().invoke(small, words)
    assert result.exit_code == 0, result.output
    first, last, request = asked[0]
    assert (first, last) == ("one", 3)
    assert request == Request(
        Path("p.csv"), Path("b.csv"), None, (Kind.STATISTICAL,), ("AAPL",), Path("u.csv"), "2022-02-04", "1d",
        7, True, 60, 9.0, 2.0, Path("f.csv"), Unit.percent, Path("s.csv"), Path("c.csv"), Path("e.csv"),
        Path("x.nc"), Path("y.nc"), "dmy", ",", request.aliases, ("twins",), ("SPY",),
    )  # fmt: skip
    assert dict(request.aliases) == {"A": "B"}
    assert len(given) + 1 == len(fields(BookOptions))
