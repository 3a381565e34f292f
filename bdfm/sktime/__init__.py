"""Forecasters of prices for sktime, with skpro's distributions, made of the package's own forecasters."""

from typing import TYPE_CHECKING

from bdfm._lazy import public_names

if TYPE_CHECKING:
    from bdfm.sktime.prices import PriceForecaster as PriceForecaster
else:
    __all__, __getattr__, __dir__ = public_names(__name__, {"bdfm.sktime.prices": ("PriceForecaster",)})
