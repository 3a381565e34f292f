"""Fits and forecasts of few draws: the same code, less of it, where a test asks whether texts run."""

from __future__ import annotations

from collections.abc import Callable

DRAWS, PREDICTIVE = 40, 4000


def short_runs(
    set_attribute: Callable[[object, str, object], None],
    *,
    draws: int = DRAWS,
    predictive: int = PREDICTIVE,
) -> None:
    """Shorten all fits and forecasts of this process, by ``setattr`` or a test's ``monkeypatch.setattr``."""
    from bdfm.posterior import fit as fit_module
    from bdfm.posterior.posterior import Posterior

    sampled, forecast = fit_module.sampled, Posterior.forecast

    def quick(model, panel, *, settings=None, **others):
        settings = fit_module.SamplerSettings() if settings is None else settings
        short = {"draws": draws, "tune": draws, "chains": 2, "thin": 1, "cores": 1}
        return sampled(model, panel, settings=settings.model_copy(update=short), **others)

    def fewer(self, *args, n_draws=predictive, **others):
        return forecast(self, *args, n_draws=min(n_draws, predictive), **others)

    set_attribute(fit_module, "sampled", quick)
    set_attribute(Posterior, "forecast", fewer)
