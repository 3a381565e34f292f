"""Priors for skfolio's optimisers: the weighted draws of a forecast, or of a model fitted inside."""

from typing import TYPE_CHECKING

from bdfm._lazy import public_names

if TYPE_CHECKING:
    from bdfm.skfolio.prior import ForecastPrior as ForecastPrior
    from bdfm.skfolio.prior import ModelPrior as ModelPrior
else:
    __all__, __getattr__, __dir__ = public_names(
        __name__, {"bdfm.skfolio.prior": ("ForecastPrior", "ModelPrior")}
    )
