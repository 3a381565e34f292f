"""What a model expects of a panel: the model's settings, as far as its parts read what they make."""

from __future__ import annotations

from typing import Any, Final

from bdfm.data.panel import Panel
from bdfm.errors import ModelError
from bdfm.model.equations import Equations
from bdfm.names import EARNINGS, MARKET_VOLATILITY, RECENT_RETURN, RECENT_VOLATILITY, ROLLING_COVARIANCE

_OF_ALL: Final = ("period",)
_OF_FEATURES: Final = {
    RECENT_RETURN: ("recent_return_days", "min_past_weeks"),
    RECENT_VOLATILITY: ("volatility_windows", "volatility_form", "min_past_weeks"),
    MARKET_VOLATILITY: ("volatility_windows", "min_past_weeks"),
    EARNINGS: ("earnings_gaps",),
    ROLLING_COVARIANCE: ("rolling_covariance",),
}


def other_settings(model: Equations, panel: Panel) -> dict[str, tuple[Any, Any]]:
    """Settings of the panel that are not those the model expects: name to what came and what was expected.

    Settings of a feature count only where a part reads it. A panel made of arrays is asked only for the
    settings that its maker stated: the others describe nothing.
    """
    needs = model.needs | model.predictive.needs
    read = [s for feature, settings in _OF_FEATURES.items() if feature in needs for s in settings]
    came = panel.settings
    expected = model.panel.spaced(came.spacing_days)  # the model's, for prices that come as the panel's do
    return {
        name: (getattr(came, name), getattr(expected, name))
        for name in dict.fromkeys((*_OF_ALL, *read))
        if name in came.model_fields_set and getattr(came, name) != getattr(expected, name)
    }


def check_panel(model: Equations, panel: Panel) -> None:
    """Raise ``ModelError`` where a panel was made with other settings than the model expects.

    Such a fit would run, and mean something else: months where the model was made for four weeks, say.
    """
    found = other_settings(model, panel)
    if not found:
        if ROLLING_COVARIANCE in model.predictive.needs and ROLLING_COVARIANCE not in panel.dataset:
            raise ModelError(
                f"model {model.name!r}: its forecasts are pooled with the rolling covariance of daily"
                " returns, and the panel has none. Make it with Panel.from_prices(..., settings=model.panel),"
                " or give rolling_covariance to from_arrays."
            )
        return
    lines = "; ".join(f"{name} {came!r}, expected {wanted!r}" for name, (came, wanted) in found.items())
    raise ModelError(
        f"model {model.name!r}: the panel was made with other settings than the model expects ({lines})."
        " Make it with Panel.from_prices(..., settings=model.panel), or say that the model expects these:"
        ' model.model_copy(update={"panel": panel.settings}).'
    )
