"""What is given to any command: options twice, blank values, and values that are none."""

import os
import re
from pathlib import Path

import pytest
import typer

from bdfm.cli.app import app
from bdfm.cli.command import _choices, _written
from bdfm.cli.effects import NEEDS
from bdfm.errors import DataError

COMMANDS = typer.main.get_command(app).commands
PARAMETERS = [(name, p) for name, command in COMMANDS.items() for p in command.params]
SINGLE = [(n, p) for n, p in PARAMETERS if p.param_type_name == "option" and not p.multiple and not p.is_flag]
VALUES = [(n, p) for n, p in PARAMETERS if not getattr(p, "is_flag", False)]
PAIRS = [(n, p) for n, p in PARAMETERS if p.secondary_opts]
NUMBERS = [(n, p) for n, p in PARAMETERS if "int" in p.bare_type() or "float" in p.bare_type()]


def ids(cases):
    return [f"{name} {parameter.name}" for name, parameter in cases]


def parse(name, *words):
    """Take a line apart, as before the command runs."""
    COMMANDS[name].make_context(name, list(words))


def test_there_are_cases():
    assert len(SINGLE) > 150
    assert len(NUMBERS) > 50
    assert PAIRS


@pytest.mark.parametrize(("name", "parameter"), SINGLE, ids=ids(SINGLE))
def test_an_option_of_one_value_is_given_once(name, parameter):
    option, more = parameter.opts[0], (parameter.nargs - 1) * ["5"]
    ten, twenty = " ".join(["10", *more]), " ".join(["20", *more])
    for words in (
        [option, "10", *more, option, "20", *more],
        [f"{option}=10", *more, f"{option}=20", *more, "--", "rest"],
    ):
        with pytest.raises(DataError, match=rf"^{option}: given 2 times, '{ten}' and '{twenty}'\. Keep one"):
            parse(name, *words)


@pytest.mark.parametrize(("name", "parameter"), PAIRS, ids=ids(PAIRS))
def test_a_flag_and_its_opposite(name, parameter):
    yes, no = parameter.opts[0], parameter.secondary_opts[0]
    with pytest.raises(DataError, match=f"{yes} and {no}. Keep one"):
        parse(name, yes, no)


def test_what_is_repeatable_or_says_nothing_else_may_come_again():
    parse("roll", "a", "--origin", "x", "--keep", "views", "--keep", "edits", "--check", "--check")
    parse("view", "a", "--evidence", "--confidence", "--constraint", "--confidence")  # values, odd ones
    for words in (["--help", "--seed", "1", "--seed", "2"], ["--seed", "1", "--seed", "2", "--help"]):
        with pytest.raises(typer.Exit):
            parse("forecast", *words)
    with pytest.raises(DataError, match="--confidence: given 2 times"):
        parse("view", "a", "--evidence", "--confidence", "--confidence", "1", "--confidence", "1")


@pytest.mark.parametrize(("name", "parameter"), VALUES, ids=ids(VALUES))
def test_no_value_is_blank(name, parameter):
    words = [parameter.opts[0], *["1"] * (parameter.nargs - 1)]
    if parameter.param_type_name == "argument":
        words = ["x"] * place(name, parameter)
    for blank in ("", "  ", "\t"):
        with pytest.raises(DataError, match=re.escape(_written(parameter)) + ": the value is blank"):
            parse(name, *words, blank)


def place(name, parameter):
    """Arguments before this one."""
    arguments = [p for p in COMMANDS[name].params if p.param_type_name == "argument"]
    return arguments.index(parameter)


@pytest.mark.parametrize(("name", "parameter"), NUMBERS, ids=ids(NUMBERS))
def test_a_message_says_what_came_and_what_was_expected(name, parameter):
    option = parameter.opts[0]
    low, high = parameter.min, parameter.max
    outside = [str(low - 1)] if low is not None else []
    outside += [str(high + 1)] if high is not None else []
    for text in ["abc", "1e", "\uff15", *outside]:
        noun = "whole number" if "int" in parameter.bare_type() else "number"
        said = {
            (False, False): "",
            (True, False): f" of at least {low}",
            (False, True): f" of at most {high}",
            (True, True): f" from {low} to {high}",
        }[low is not None, high is not None]
        with pytest.raises(DataError) as told:
            parse(name, *needed(name), option, *["1"] * (parameter.nargs - 1), text)
        assert str(told.value) == (
            f"{option}: '{text}' is no {noun}{said}. Give one; bdfm {name} --help says what it is."
        )


def needed(name):
    """Words that a command does not go without."""
    parameters = [p for p in COMMANDS[name].params if p.required]
    found = []
    for p in parameters:
        found += [p.opts[0], "x" if p.name != "unit" else "decimal"] if p.opts[0].startswith("-") else ["x"]
    return found


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            "forecast --engine foo",
            "--engine: 'foo' is none of auto, gibbs, nuts. Give one of them; bdfm forec",
        ),
        (
            "risk --model statistical --model foo",
            "--model: 'foo' is none of time-series, cross-sectional, sta",
        ),
        (
            "check --prices x --unit foo",
            "--unit: 'foo' is none of percent, decimal. Give one of them; bdfm ch",
        ),
    ],
)
def test_choices_are_told(words, said):
    name, *rest = words.split()
    with pytest.raises(DataError) as told:
        parse(name, *rest)
    assert str(told.value).startswith(said)


def test_completion_does_not_ask():
    context = COMMANDS["forecast"].make_context(
        "forecast", ["--seed", "1", "--seed", "x"], resilient_parsing=True
    )
    assert context.params["seed"] in (None, "x", 1)


def test_what_is_no_choice_has_no_names():
    assert _choices(int) == []


REQUIRED = [(n, p) for n, p in PARAMETERS if p.required]


@pytest.mark.parametrize(("name", "parameter"), REQUIRED, ids=ids(REQUIRED))
def test_what_is_required_and_left_out_is_called_missing(name, parameter):
    """Numbers, choices, files and arguments alike."""
    words = []
    for other in COMMANDS[name].params:
        if other.required and other is not parameter:
            value = {"unit": "decimal"}.get(other.name, "1")
            words += [value] if other.param_type_name == "argument" else [other.opts[0], value]
    named = re.escape(_written(parameter))
    with pytest.raises(
        DataError, match=rf"^{named} is missing\. Give it; bdfm {name} --help says what it is\."
    ):
        parse(name, *words)


def test_there_are_required_ones():
    assert len(REQUIRED) >= 15
    assert any(p.name == "unit" for _, p in REQUIRED)


# What is needed beside an option, and what is not enough
BESIDE = {
    "--draws auto": (["--draws", "auto"], ["--draws", "100"]),
    "--method rolling": (["--method", "rolling"], ["--method", "pca"]),
    "--method pca or --method vae": (["--method", "vae"], ["--method", "rolling"]),
    "--method vae": (["--method", "vae"], ["--method", "pca"]),
    NEEDS["exposures"]["smoothed"].words: (["--method", "kalman"], ["--method", "rolling"]),
}
IDLE = [(name, option) for name, options in NEEDS.items() for option in options]


@pytest.mark.parametrize(("name", "option"), IDLE)
def test_an_option_that_would_have_no_effect_is_refused(name, option):
    """What it needs is named; beside that, and without either, the line is taken."""
    by_name = {p.name: p for p in COMMANDS[name].params}
    parameter, needs = by_name[option], NEEDS[name][option].words
    value = {"unit": "decimal", "universe": "u.csv", "level": "0.9", "gamma": "2"}.get(option, "100")
    words = [parameter.opts[0], value, *["100"] * (parameter.nargs - 1)]
    words = words[:1] if getattr(parameter, "is_flag", False) else words
    rest = [x for p in by_name.values() if p.required and p is not parameter for x in words_of(p)]
    enough, short = BESIDE.get(needs, ([needs.split(" or ")[-1], "x"], []))
    enough = [] if enough[0] in rest else enough
    parse(name, *rest, *enough)
    if enough:
        parse(name, *rest, *enough, *words)
        with pytest.raises(
            DataError, match=f"^{words[0]}: has no effect without {needs}. Add that, or leave"
        ):
            parse(name, *rest, *short, *words)


def words_of(parameter):
    """Words that give a parameter which a line must have."""
    value = "decimal" if parameter.name == "unit" else "x"
    return [value] if parameter.param_type_name == "argument" else [parameter.opts[0], value]


def test_what_methods_take_by_themselves_counts():
    rest = [x for p in COMMANDS["exposures"].params if p.required for x in words_of(p)]
    parse("exposures", *rest, "--window-days", "100")  # rolling is one of the usual ones
    parse("exposures", *rest, "--latents", "3", "--study")  # so is pca then
    parse("exposures", *rest, "--smoothed")
    parse("exposures", *rest, "--method", "rolling", "--no-smoothed")  # which is as ever
    parse(
        "backtest",
        "ewma-t",
        *(
            x
            for p in COMMANDS["backtest"].params
            if p.required and p.param_type_name == "option"
            for x in words_of(p)
        ),
        "--min-ess",
        "10",
    )


def test_a_file_in_another_encoding_is_a_file(tmp_path, monkeypatch):
    """The word that names it is no text here: taken where it is there, refused where it is not."""
    monkeypatch.chdir(tmp_path)
    name = os.fsdecode(b"m\xff.toml")
    rest = [
        x for p in COMMANDS["backtest"].params if p.required and p.name != "forecasters" for x in words_of(p)
    ]
    with pytest.raises(DataError, match=r"forecasters.*'m\\udcff\.toml' is no text in"):
        parse("backtest", name, *rest)
    Path(name).touch()
    parse("backtest", name, *rest)


def test_what_the_terminal_has_already_is_no_advice(monkeypatch):
    for encoding, told in {"utf-8": r"in UTF-8\. Write it anew", "ascii": "Set PYTHONUTF8=1"}.items():
        monkeypatch.setattr("sys.getfilesystemencoding", lambda encoding=encoding: encoding)
        with pytest.raises(DataError, match=told):
            parse("view", "f.nc", "--evidence", "mean A = 1% \udcff")


@pytest.mark.parametrize("word", ["", "mean A = 1% \udcff"])
def test_a_word_that_help_does_not_name_is_called_what_it_is(word):
    with pytest.raises(DataError, match=r"^a word without an option: "):
        parse("view", "f.nc", word)
