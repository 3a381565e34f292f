"""Fits and forecasts of few draws: the same code, less of it, where a test asks whether texts run."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bdfm

DRAWS, PREDICTIVE = 40, 4000
IMPORT = re.compile(r"^from bdfm\.posterior\.sampled import .*\bsampled\b", re.MULTILINE)

SetAttribute = Callable[[object, str, object], None]


def doors_of_fits() -> list[str]:
    """Modules that fit: those that import the function all fits go through, under its own name."""
    root = Path(bdfm.__file__).parents[1]
    files = sorted((root / "bdfm").rglob("*.py"))
    found = [p for p in files if IMPORT.search(p.read_text(encoding="utf-8"))]
    return [".".join(p.relative_to(root).with_suffix("").parts) for p in found]


def replace_fits(set_attribute: SetAttribute, make: Callable[[Callable[..., Any]], object]) -> None:
    """Put ``make(fit)`` in the place of the function that all fits of this process go through, at every door.

    Commands, ``bdfm.fit``, backtests and updates take it by its name, each into a module of its own.
    """
    modules = [importlib.import_module(name) for name in doors_of_fits()]
    replaced = make(modules[0].sampled)
    for module in modules:
        set_attribute(module, "sampled", replaced)


def short_runs(set_attribute: SetAttribute, *, draws: int = DRAWS, predictive: int = PREDICTIVE) -> None:
    """Shorten all fits and forecasts of this process, by ``setattr`` or a test's ``monkeypatch.setattr``."""
    from bdfm.inference.settings import SamplerSettings
    from bdfm.posterior.posterior import Posterior

    forecast = Posterior.forecast

    def short(sampled):
        def quick(model, panel, *, settings=None, **others):
            settings = SamplerSettings() if settings is None else settings
            few = {"draws": draws, "tune": draws, "chains": 2, "thin": 1, "cores": 1}
            return sampled(model, panel, settings=settings.model_copy(update=few), **others)

        return quick

    def fewer(self, *args, n_draws=predictive, **others):
        return forecast(self, *args, n_draws=min(n_draws, predictive), **others)

    replace_fits(set_attribute, short)
    set_attribute(Posterior, "forecast", fewer)
