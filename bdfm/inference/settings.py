"""Settings of a fit, stated once."""

from __future__ import annotations

import os
from typing import Annotated, Any, Final, Literal, Self

import numpy as np
from pydantic import Field, SerializerFunctionWrapHandler, field_validator, model_serializer, model_validator

from bdfm._settings import Settings
from bdfm.inference.choices import (
    CHAINS,
    DRAWS,
    ENGINE,
    ESS_MIN,
    FIXED_DRAWS,
    MAX_SWEEPS,
    RHAT_MAX,
    THIN,
    TUNE,
    Engine,
    Sampler,
)

MIN_DRAWS: Final = 10
MAX_DRAWS: Final = 10**9  # of anything that is drawn: no machine holds more, and a typing error is told


class SamplerSettings(Settings):
    """How the posterior is sampled.

    With ``draws = "auto"`` the chains of the Gibbs sampler go on, in steps, until ``max_rhat`` and 1.25 times
    ``min_ess`` hold for all identified quantities (``bdfm.inference.stopping``), but for no more than
    ``max_sweeps``; NUTS makes 1,000 draws of each chain. The defaults are the thresholds of
    ``posterior.diagnose()``. Any other number of draws is kept to.

    Examples
    --------
    >>> import bdfm
    >>> settings = bdfm.SamplerSettings(draws=500, chains=2)
    >>> settings.draws, settings.tune
    (500, 500)
    """

    told_as = "sampler"

    engine: Engine = ENGINE  # auto: the fastest that covers the model
    draws: int | Literal["auto"] = DRAWS  # kept draws of each chain
    tune: Annotated[int, Field(ge=10, le=MAX_DRAWS)] = TUNE  # first draws of each chain, thrown away
    chains: Annotated[int, Field(ge=1, le=10_000)] = CHAINS
    cores: Annotated[int, Field(ge=1, le=10_000)] = os.cpu_count() or 1  # processes or threads
    thin: Annotated[int, Field(ge=1, le=MAX_DRAWS)] = THIN  # gibbs: sweeps a kept draw, at first with auto
    max_rhat: Annotated[float, Field(gt=1, le=10)] = RHAT_MAX  # auto: worst R-hat to reach
    min_ess: Annotated[float, Field(gt=0, le=MAX_DRAWS)] = (
        ESS_MIN  # auto: least effective draws to reach, bulk and tail
    )
    max_sweeps: Annotated[int, Field(ge=100, le=MAX_DRAWS)] = (
        MAX_SWEEPS  # auto: bound for each chain, tuning included
    )
    target_accept: Annotated[float, Field(gt=0.5, lt=1)] = 0.8  # nuts
    sampler: Sampler = "nutpie"  # nuts: any sampler that PyMC offers

    def recorded(self) -> str:
        """JSON of what decides the draws: all but the number of cores, which decides the time alone."""
        return self.model_dump_json(exclude={"cores"})

    @field_validator("draws", mode="before")
    @classmethod
    def _draws(cls, value: object) -> object:
        value = value.item() if isinstance(value, np.integer) else value
        if value == "auto" or (type(value) is int and MIN_DRAWS <= value <= MAX_DRAWS):
            return value
        bound = (
            f"at most {MAX_DRAWS:,}" if type(value) is int and value > MAX_DRAWS else f"at least {MIN_DRAWS}"
        )
        raise ValueError(f'draws must be "auto" or a whole number of {bound}')

    @model_validator(mode="after")
    def _room(self) -> Self:
        least = self.tune + MIN_DRAWS * self.thin
        if self.draws == "auto" and self.max_sweeps < least:
            raise ValueError(
                f"max_sweeps must be at least {least}, tuning and {MIN_DRAWS} draws, got {self.max_sweeps}"
            )
        return self

    @model_serializer(mode="wrap")
    def _without_what_does_not_count(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A fixed length has no thresholds: what is said of it, and the identity of a backtest, has none."""
        found: dict[str, Any] = dump(self)
        if self.draws != "auto":
            for name in ("max_rhat", "min_ess", "max_sweeps"):
                found.pop(name, None)
        return found

    @property
    def n_fixed(self) -> int:
        """Kept draws of each chain where their number is not automatic, or cannot be."""
        return FIXED_DRAWS if self.draws == "auto" else self.draws
