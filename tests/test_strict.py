"""Arguments of public functions: numbers, truths, choices and tables by name are of the kinds they say."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import sys
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import pytest
from pydantic import BaseModel

import bdfm
from bdfm import views
from bdfm._kinds import taken
from bdfm._strict import _plan, strict, strict_fields
from bdfm.errors import BdfmError, DataError, UnknownLabelError
from bdfm.forecast.changes import Changes, Step
from bdfm.forecast.edits import EDITS

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "docs" / "_ext"))
described = importlib.import_module("described")
sys.path.remove(str(ROOT / "docs" / "_ext"))

# What users make and is no record of settings, which has strict types of its own
MADE = set(
    "Changes Late ModelForecaster CrossSectionalEstimator InstrumentedEstimator"
    " TimeSeriesEstimator Scenarios Sort BayesianRandomWalk ConstantBetas DCCGarch ExposureEstimator"
    " FactorVAE KalmanBetas MovingBetas PrincipalComponents RollingOLS".split()
)
# Edits are records of settings, a protocol does nothing, and the others check these very arguments.
OTHERS = {f"forecast.actions.Actions.{name}" for name in EDITS} | {
    "exposures.result.ExposureMethod.fit",
    "exposures.factor_vae.FactorVAE.fit",
    "exposures.factor_vae.FactorVAE.train",
    "forecast.records.Record.of",
    "forecast.records.Record.from_dict",
}


def functions():
    """Public functions and methods of the package, and makers of what users make, by name."""
    found = {}
    for room in described.ROOMS:
        for name, thing in described.names_of(room).items():
            if inspect.isfunction(thing):
                found[f"{thing.__module__}.{name}"] = thing
            elif isinstance(thing, type) and not issubclass(thing, BaseModel | BaseException):
                if name in MADE:
                    assert dataclasses.is_dataclass(thing)
                    found[f"{thing.__module__}.{name}"] = thing.__init__
                own = [c for c in thing.__mro__ if c.__module__.startswith("bdfm")]
                for c in own:
                    for key, method in vars(c).items():
                        method = getattr(method, "__func__", method)
                        if inspect.isfunction(method) and not key.startswith("_"):
                            found[f"{c.__module__}.{c.__name__}.{key}"] = method
    return {k: f for k, f in found.items() if inspect.unwrap(f).__module__.startswith("bdfm")}


def layers(function):
    """A function, and those that it wraps."""
    while function is not None:
        yield function
        function = getattr(function, "__wrapped__", None)


FUNCTIONS = functions()


def test_all_arguments_of_public_functions_are_checked():
    planned = {name for name, f in FUNCTIONS.items() if _plan(inspect.unwrap(f)) or taken(inspect.unwrap(f))}
    checked = {name for name, f in FUNCTIONS.items() if any(hasattr(x, "is_strict") for x in layers(f))}
    assert len(planned) > 80
    handed = {name for name in planned if name.endswith(".check")}  # what fit was given
    assert not planned - checked - handed - {f"bdfm.{name}" for name in OTHERS}, "put @strict above them"
    assert not checked - planned, "nothing of theirs is checked: leave out @strict"


@strict
def sample(
    number: float = 1.0,
    whole: int | None = None,
    truth: bool = False,
    choice: Literal["a", "b"] = "a",
    rule: float | Literal["auto"] = "auto",
    table: Mapping[str, float] | None = None,
    text: str = "",
    other: list[int] | float = 0,
    seed: int = 0,
) -> tuple[object, ...]:
    return number, whole, truth, choice, rule, table, text, other, seed


NUMPY_TRUTH = np.bool_(True)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"number": 2}, 2),
        ({"number": np.float32(0.5)}, 0.5),
        ({"number": Decimal("0.5")}, 0.5),
        ({"whole": 3}, 3),
        ({"whole": np.int64(3)}, 3),
        ({"whole": 3.0}, 3),
        ({"whole": np.uint64(2**63 + 1)}, 2**63 + 1),
        ({"truth": np.array(True)}, True),
        ({"whole": None}, None),
        ({"truth": NUMPY_TRUTH}, True),
        ({"choice": "b"}, "b"),
        ({"rule": "auto"}, "auto"),
        ({"rule": 0.9}, 0.9),
        ({"table": {"A": 1.0}}, {"A": 1.0}),
        ({"other": "anything"}, "anything"),
        ({"seed": "anything"}, "anything"),
    ],
)
def test_what_is_right(given, expected):
    (name,) = given
    names = list(inspect.signature(sample).parameters)
    assert sample(**given)[names.index(name)] == expected


@pytest.mark.parametrize(
    ("given", "kind", "said"),
    [
        ({"number": "5"}, DataError, r"sample: number must be a number, got '5'"),
        ({"number": True}, DataError, r"number must be a number, got True"),
        ({"number": NUMPY_TRUTH}, DataError, r"number must be a number"),
        ({"number": None}, DataError, r"number must be a number, got None"),
        ({"number": np.nan}, DataError, r"number must be a finite number, got nan"),
        ({"number": np.float64("inf")}, DataError, r"number must be a finite number"),
        ({"number": 10**400}, DataError, r"number must be a number"),
        ({"whole": 2.5}, DataError, r"whole must be a whole number, got 2\.5"),
        ({"whole": "2"}, DataError, r"whole must be a whole number, or None, got '2'"),
        ({"whole": False}, DataError, r"whole must be a whole number, or None, got False"),
        ({"truth": 1}, DataError, r"truth must be True or False, got 1"),
        ({"truth": "no"}, DataError, r"truth must be True or False, got 'no'"),
        ({"choice": "c"}, UnknownLabelError, r"sample: unknown choice c\. .*Known: a, b"),
        ({"choice": None}, DataError, r"choice must be one of a, b, got None"),
        ({"rule": "x"}, UnknownLabelError, r"sample: unknown rule x"),
        ({"rule": True}, DataError, r"rule must be one of auto, or a number, got True"),
        ({"table": [1.0]}, DataError, r"table must be a table by name, or None, got \[1\.0\]"),
        ({"table": 0.5}, DataError, r"table must be a table by name, or None, got 0\.5"),
    ],
)
def test_what_is_refused(given, kind, said):
    with pytest.raises(kind, match=said):
        sample(**given)


def test_what_python_itself_refuses():
    with pytest.raises(TypeError, match="nonsense"):
        sample(nonsense=1)


def test_fields_are_checked_when_a_record_is_made():
    @strict_fields
    @dataclasses.dataclass(frozen=True)
    class Record:
        size: int = 1

    assert dataclasses.replace(Record(), size=2).size == 2
    with pytest.raises(DataError, match="Record: size must be a whole number, got '2'"):
        Record(size="2")


# -- doors of forecasts ------------------------------------------------------------------------------------


def made(n=4000):
    draws = np.random.default_rng(1).normal(0, 0.05, size=(n, 5))
    return bdfm.Forecast.from_draws(
        draws, assets=list("ABCDE"), asset_class=["x"] * 5, origin="2022-01-07", end="2022-02-04"
    )


VIEW = views.parse("A = 1% +- 3%", semantics="evidence", by="Ann")
CALLS = {
    "shares": (lambda x: made().with_views(VIEW, shares=x), [[0.5], "Ann", 0.5, True, {"Ann": "1"}]),
    "pool": (lambda x: made().with_views(VIEW, pool=x), [None, "mean", 1, True]),
    "min_effective_draws": (
        lambda x: made().with_views(VIEW, min_effective_draws=x),
        ["5", np.nan, np.inf, -1, True, [5]],
    ),
    "few": (lambda x: made().with_views(VIEW, few=x), [None, "drop", 1]),
    "confidence": (
        lambda x: views.parse("A = 1%", semantics="constraint", confidence=x),
        ["1", None, np.nan, 2, -1, True],
    ),
    "semantics": (lambda x: views.parse("A = 1%", semantics=x), ["prior", None, 1]),
    "n_quantiles": (lambda x: made().quantile_probabilities(x), ["5", 2.5, 0, -1, True, None, np.nan]),
    "take_over": (
        lambda x: bdfm.Forecast.from_draws(
            [[0.0, 0.1]], assets=["A", "B"], asset_class=["x", "x"], origin="2022-01-07", end="2022-02-04",
            take_over=x,
        ),
        [1, "no", None],
    ),
    "level": (
        lambda x: bdfm.portfolio_risk(made(), {"A": 1.0}, level=x),
        ["0.95", None, True, np.nan, 95, 0, 1, -0.5],
    ),
    "shares of changes": (lambda x: Changes((Step((), (VIEW,)),), shares=x).apply(made()), [[0.5], "Ann", 5]),
}  # fmt: skip
TRIES = [(name, x) for name, (_, xs) in CALLS.items() for x in xs]


@pytest.mark.parametrize(("name", "value"), TRIES, ids=[f"{n} {x!r}" for n, x in TRIES])
def test_doors_of_forecasts(name, value):
    with pytest.raises(BdfmError) as told:
        CALLS[name][0](value)
    assert name.split()[0].rpartition("n_")[2] in str(told.value)


def test_a_view_leaves_more_than_one_draw():
    forecast = made(10)
    assert forecast.effective_draws == pytest.approx(10)
    with pytest.raises(BdfmError, match="at least 2 are needed"):
        forecast.with_views(views.parse("A = 30% +- 0.1%", semantics="evidence"))


def test_symbols_of_a_weight_of_zero_exist():
    for statement in (
        views.Portfolio(weights={"ZZZ": 0.0, "B": 1.0}, mean=0.01, semantics="constraint"),
        views.Below(weights={"ZZZ": 0.0, "B": 1.0}, level=-0.05, probability=0.1, semantics="constraint"),
    ):
        with pytest.raises(UnknownLabelError, match="unknown asset ZZZ"):
            made().with_views(statement)
    for text in ("0 ZZZ + 1 B = 1%", "1 B - 0.0 A = 1%", "VaR(0 A + 1 B, 95%) = 8%"):
        with pytest.raises(DataError, match=r"the weight of \w+ is 0, which says nothing"):
            views.parse(text, semantics="constraint")
    zero = views.Portfolio(weights={"A": 0.0, "B": 1.0}, mean=0.01, semantics="constraint")
    alone = views.Absolute(asset="B", mean=0.01, semantics="constraint")
    pd.testing.assert_frame_equal(made().with_views(zero).summary(), made().with_views(alone).summary())
