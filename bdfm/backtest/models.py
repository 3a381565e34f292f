"""The factor model as a forecaster, and forecasters that change another one."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from bdfm import _checks
from bdfm._reading import PACKAGE
from bdfm._strict import strict_fields
from bdfm.backtest.choices import CHAINS, DRAWS, MAX_RHAT, MAX_SWEEPS, MIN_ESS, N_DRAWS, THIN, TUNE
from bdfm.backtest.protocol import Forecaster, History, QuantileForecast
from bdfm.backtest.standard import baselines
from bdfm.data.panel import Panel
from bdfm.data.periods import horizon_of
from bdfm.errors import ConvergenceWarning, ModelError
from bdfm.forecast.forecast import Forecast
from bdfm.inference.engine import choose
from bdfm.inference.settings import SamplerSettings
from bdfm.model.factor_model import FactorModel, presets
from bdfm.model.find import find_model
from bdfm.posterior.posterior import Posterior
from bdfm.posterior.sampled import sampled

BACKTEST_SAMPLER = SamplerSettings(
    chains=CHAINS,
    draws=DRAWS,
    tune=TUNE,
    thin=THIN,
    max_rhat=MAX_RHAT,
    min_ess=MIN_ESS,
    max_sweeps=MAX_SWEEPS,
)


@strict_fields
@dataclass(frozen=True)
class ModelForecaster:
    """Fits a factor model to the history and forecasts the period after it.

    Attributes
    ----------
    model
        The model. Its panel's period gives way to that of the backtest; a model of market days keeps its
        own, and forecasts the weekdays up to the end of the backtest's period.
    sampler
        Engine, draws, chains; ``cores`` changes nothing but the time.
    n_draws
        Predictive draws, at least.
    label
        Name in tables; the model's, unless given.
    warm
        Of so many origins in a row the first is fitted from a cold start, and the others are updates
        (``Posterior.update``), each of the one before; where a row begins hangs on the date alone. With 1
        every fit is cold.
    """

    model: FactorModel
    sampler: SamplerSettings = BACKTEST_SAMPLER
    n_draws: int = N_DRAWS
    label: str = ""
    warm: int = 1

    def __post_init__(self) -> None:
        _checks.at_least(self.warm, 1, what="warm", where="model forecaster")
        if self.warm > 1 and choose(self.sampler, self.model) != "gibbs":
            raise ModelError(
                f"{self.name}: updates (warm, --warm) need the Gibbs sampler, and NUTS fits this model. Leave"
                " out warm."
            )

    @property
    def name(self) -> str:
        """Name in tables."""
        return self.label or self.model.name

    @property
    def settings(self) -> Mapping[str, Any]:
        """Model, sampler without its number of cores, predictive draws."""
        return {
            "model": json.loads(self.model.model_dump_json()),
            "sampler": json.loads(self.sampler.recorded()),
            "n_draws": self.n_draws,
            **({"warm": self.warm} if self.warm > 1 else {}),
        }

    @property
    def stretch(self) -> int:
        """Origins of which only the first is fitted cold."""
        return self.warm

    def forecast(self, history: History, *, seed: int) -> Forecast:
        """Forecast of the next period; ``attrs`` tell of its convergence.

        Worst R-hat, least effective sample size, sweeps of a chain, and whether the thresholds of a verdict
        (``converged``) and those of the sampler (``settled``) are met. Warns where the latter are not.
        """
        return self.forecast_next(history, None, seed=seed)[0]

    def forecast_next(
        self, history: History, earlier: object | None, *, seed: int
    ) -> tuple[Forecast, Posterior]:
        """Forecast as of ``forecast``, and its posterior: an update of ``earlier``, where that is given."""
        model, horizon = self.model, 1
        if model.panel.period == "day":
            horizon = horizon_of(history.end, "day", history.origin, where=f"{self.name}: horizon").periods
        else:
            panel_settings = model.panel.model_copy(update={"period": history.period})
            model = model.model_copy(update={"panel": panel_settings})
        panel = Panel.from_prices(
            history.prices,
            history.universe,
            origin=history.origin,
            earnings=history.earnings,
            volatility=history.volatility,
            settings=model.panel,
            horizon=horizon,
            accept=None,  # examined once, with all data
        )
        before = earlier.as_earlier() if isinstance(earlier, Posterior) else None
        made = sampled(model, panel, seed=seed, settings=self.sampler, earlier=before)
        posterior = Posterior.from_draws(**made)
        forecast = posterior.forecast(horizon, seed=seed, n_draws=self.n_draws)
        if forecast.end != history.end:  # a period that ends on a weekend: its last market day was before
            forecast = replace(forecast, end=history.end)
        diagnosis = posterior.diagnose()
        ess = min(diagnosis.min_ess_bulk, diagnosis.min_ess_tail)
        settled = diagnosis.meets(max_rhat=self.sampler.max_rhat, min_ess=self.sampler.min_ess)
        if not settled:
            warnings.warn(
                f"{self.name}, origin {history.origin:%Y-%m-%d}: {diagnosis.verdict}. The backtest asks for"
                f" R-hat {self.sampler.max_rhat:g} and {self.sampler.min_ess:g} effective draws: raise"
                " max_sweeps, or draws and tune where they are numbers.",
                ConvergenceWarning,
                skip_file_prefixes=(PACKAGE,),
            )
        told = forecast.with_attrs(
            max_rhat=diagnosis.max_rhat,
            min_ess=ess,
            converged=int(diagnosis.converged),
            settled=int(settled),
            sweeps=int(posterior.attrs.get("sweeps", 0)),
            **{k: posterior.attrs[k] for k in ("moved", "drift") if k in posterior.attrs},
        )
        return told, posterior


@strict_fields
@dataclass(frozen=True)
class Late:
    """Forecaster that sees everything some periods late: its forecasts must not be better.

    The forecast that ``of`` makes at an earlier origin stands in for that of this one. Where late data score
    better than fresh ones, the fresh forecast misreads its data or the scores are of another period.
    """

    of: Forecaster
    n_periods: int = 1  # how late

    @property
    def name(self) -> str:
        """Name in tables."""
        return f"{self.of.name}, {self.n_periods} late"

    @property
    def settings(self) -> Mapping[str, Any]:
        """Settings of the other forecaster, and the delay."""
        return {"of": self.of.name, "n_periods": self.n_periods, **self.of.settings}

    def forecast(self, history: History, *, seed: int) -> Forecast | QuantileForecast:
        """Forecast from the history ``n_periods`` before the origin, dated as if made at the origin."""
        n = _checks.at_least(self.n_periods, 1, what="n_periods", where="late")
        made = self.of.forecast(history.earlier(n), seed=seed)
        if isinstance(made, QuantileForecast):
            return made
        return replace(made, origin=pd.Timestamp(history.origin), end=pd.Timestamp(history.end))


def find_forecaster(
    name: str, *, sampler: SamplerSettings = BACKTEST_SAMPLER, n_draws: int = N_DRAWS, warm: int = 1
) -> Forecaster:
    """Baseline of a name, or the factor model of a preset's name or of a TOML file.

    Raises
    ------
    UnknownLabelError
        No baseline and no preset of that name.
    """
    known = baselines()
    if name in known:
        return known[name]
    if not name.endswith(".toml"):
        _checks.known([name], [*presets(), *known], what="forecaster", where="backtest")
    return ModelForecaster(find_model(name), sampler=sampler, n_draws=n_draws, warm=warm)
