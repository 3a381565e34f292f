"""Every public function that takes a seed takes it as ``random_seed`` too, and never both."""

import inspect
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from bdfm._seeds import either_seed
from bdfm.errors import DataError

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "docs" / "_ext"))
described = import_module("described")
sys.path.remove(str(ROOT / "docs" / "_ext"))

MORE = ("bdfm.posterior.leave_one_out", "bdfm.posterior.leave_future_out")
# Methods that the package calls and others write: their protocols have one name.
OF_PROTOCOLS = ("forecast", "forecast_next", "fit", "train", "simulate", "run", "happens")


def things():
    """Public functions and classes of all rooms and modules of the reference."""
    for room in described.ROOMS:
        yield from described.names_of(room).items()
    for module in (*described.MODULES, *MORE):
        for name, thing in vars(import_module(module)).items():
            if not name.startswith("_") and getattr(thing, "__module__", "") == module:
                yield name, thing


def doors():
    found = {}
    for name, thing in things():
        if inspect.isfunction(thing):
            found[f"{thing.__module__}.{name}"] = thing
        elif inspect.isclass(thing):
            for key in (k for k in dir(thing) if not k.startswith("_")):
                method = inspect.getattr_static(thing, key)
                method = getattr(method, "__func__", method)
                whole = f"{getattr(method, '__module__', '')}.{getattr(method, '__qualname__', '')}"
                own = key in OF_PROTOCOLS and not whole.startswith("bdfm.posterior")
                if inspect.isfunction(method) and not own:
                    found[whole] = method
    return {n: f for n, f in found.items() if "seed" in inspect.signature(f).parameters}


def test_every_door_takes_either_name():
    found = doors()
    assert len(found) > 25
    lacking = [name for name, f in found.items() if not getattr(f, "random_seed", False)]
    assert not lacking, f"without @either_seed: {', '.join(lacking)}"


def test_either_name_means_the_same(tiny_model, tiny_panel):
    from bdfm.posterior.predictive_checks import prior_predictive
    from bdfm.scoring.scores import energy_score

    one = prior_predictive(tiny_model, tiny_panel, n_draws=3, seed=4)
    assert one.identical(prior_predictive(tiny_model, tiny_panel, n_draws=3, random_seed=4))
    assert not one.identical(prior_predictive(tiny_model, tiny_panel, n_draws=3, random_seed=5))
    draws = np.random.default_rng(1).standard_normal((500, 3))
    assert energy_score(draws, [0, 0, 0], seed=2) == energy_score(draws, [0, 0, 0], random_seed=2)


def test_both_names_or_none():
    @either_seed
    def door(x, *, seed):
        return x, seed

    assert door(1, random_seed=None) == (1, None)
    assert inspect.signature(door).parameters.keys() == {"x", "seed"}
    with pytest.raises(DataError, match="door: both seed and random_seed"):
        door(1, seed=1, random_seed=1)
    with pytest.raises(TypeError, match="seed"):
        door(1)
