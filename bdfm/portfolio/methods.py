"""Portfolios of a given exposure by skfolio's optimisers, given the draws' weights, means and covariances."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, model_validator

from bdfm._checks import first
from bdfm._optional import optional
from bdfm._settings import Seed, Settings
from bdfm.errors import DataError
from bdfm.forecast.forecast import Forecast
from bdfm.forecast.submission import MAX_EXPOSURE, MIN_EXPOSURE
from bdfm.portfolio.choices import USED_BY, Method

Floats = NDArray[np.float64]


class DecisionSettings(Settings):
    """How a portfolio is chosen: the ``[decision]`` table of a run file.

    Σ|weight| is ``exposure``, which M6 wants between 0.25 and 1. No weight exceeds ``max_weight`` times the
    exposure. With ``short``, weights may be negative, down to -``max_weight`` times the exposure.
    """

    model_config = ConfigDict(allow_inf_nan=False)
    told_as = "decision"

    method: Method = "equal"
    exposure: Annotated[float, Field(ge=MIN_EXPOSURE, le=MAX_EXPOSURE)] = MIN_EXPOSURE
    max_weight: Annotated[float, Field(gt=0, le=1)] = 1.0
    short: bool = False
    level: Annotated[float, Field(ge=0.5, lt=1)] = 0.95  # of value at risk and expected shortfall
    risk_aversion: Annotated[float, Field(ge=0, le=1e6)] = 1.0  # mean_cvar
    n_scenarios: Annotated[int, Field(ge=100, le=10**6)] = (
        2000  # mean_cvar: a linear program in that many draws
    )
    seed: Seed = 0  # mean_cvar: which draws

    @model_validator(mode="after")
    def _used(self) -> Self:
        for name, why in self.without_effect(self.model_dump()).items():
            raise DataError(f"decision: {why}. Leave {name} out, or choose another method.")
        return self

    @classmethod
    def without_effect(cls, settings: Mapping[str, Any]) -> dict[str, str]:
        """Settings that are not as they are by default, and that the method does not use, with the reason."""
        usual = {name: field.default for name, field in cls.model_fields.items()}
        method = settings.get("method", usual["method"])
        idle = [name for name, methods in USED_BY.items() if method not in methods]
        return {
            name: f"{name} = {str(value).lower()} has no effect on {method}, only on {first(USED_BY[name])}"
            for name in idle
            if (value := settings.get(name, usual[name])) != usual[name]
        }

    @property
    def name(self) -> str:
        """What the way to choose is called."""
        return self.method


def optimise(forecast: Forecast, assets: list[str], settings: DecisionSettings) -> Floats:
    """Weights (asset,) before they are scaled to the exposure."""
    if settings.method == "equal":
        return np.full(len(assets), 1 / len(assets))
    what = f"decision by {settings.method}"
    skfolio, optimization = (
        optional(name, what=what, instead="or use method equal.")
        for name in ("skfolio", "skfolio.optimization")
    )
    from bdfm.portfolio.prior import ForecastPrior

    prior = ForecastPrior(forecast, n_scenarios=settings.n_scenarios, seed=settings.seed)
    limits: dict[str, Any] = {"max_weights": settings.max_weight, "prior_estimator": prior}
    if settings.method == "risk_parity":
        model = optimization.RiskBudgeting(risk_measure=skfolio.RiskMeasure.VARIANCE, **limits)
    else:
        limits["min_weights"] = -settings.max_weight if settings.short else 0.0
        aim, risk = optimization.ObjectiveFunction, skfolio.RiskMeasure
        objective, measure = {
            "minimum_variance": (aim.MINIMIZE_RISK, risk.VARIANCE),
            "mean_cvar": (aim.MAXIMIZE_UTILITY, risk.CVAR),
            "information_ratio": (
                aim.MAXIMIZE_RATIO,
                skfolio.RiskMeasure.STANDARD_DEVIATION,
            ),
        }[settings.method]
        model = optimization.MeanRisk(
            objective_function=objective,
            risk_measure=measure,
            risk_aversion=settings.risk_aversion,
            cvar_beta=settings.level,
            **limits,
        )
    try:
        found = model.fit(pd.DataFrame(np.zeros((2, len(assets))), columns=assets)).weights_
    except MemoryError:
        raise
    except Exception as error:  # skfolio and its solvers raise many kinds
        raise DataError(
            f"decision: {settings.method} has no solution ({str(error).splitlines()[0]}). A ratio needs an"
            " asset with a positive expected return; otherwise raise max_weight, or use another method."
        ) from error
    found = np.where(np.abs(found) < 1e-6, 0.0, found)  # solvers leave dust
    return np.asarray(found, dtype=np.float64)
