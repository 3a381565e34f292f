"""Settings of a fit, stated once."""

from __future__ import annotations

import os
from typing import Annotated, Final, Literal

from pydantic import Field, field_validator

from bdfm._settings import Settings
from bdfm.inference.choices import (
    CHAINS,
    DRAWS,
    ENGINE,
    ESS_MIN,
    FIXED_DRAWS,
    MAX_SWEEPS,
    RHAT_MAX,
    TUNE,
    Engine,
    Sampler,
)

MIN_DRAWS: Final = 10


class SamplerSettings(Settings):
    """How the posterior is sampled.

    With ``draws = "auto"`` the chains of the Gibbs sampler go on, in steps, until ``max_rhat`` and
    ``min_ess`` hold for all identified quantities with a margin (``bdfm.inference.stopping``), but for no
    more than ``max_sweeps``. The defaults are the thresholds of ``posterior.diagnose()``. Any other number
    of draws is kept to.
    """

    told_as = "sampler"

    engine: Engine = ENGINE  # auto: the fastest that covers the model
    draws: int | Literal["auto"] = DRAWS  # kept draws of each chain
    tune: Annotated[int, Field(ge=10)] = TUNE  # first draws of each chain, thrown away
    chains: Annotated[int, Field(ge=1)] = CHAINS
    cores: Annotated[int, Field(ge=1)] = os.cpu_count() or 1
    thin: Annotated[int, Field(ge=1)] = (
        10  # gibbs: sweeps for each kept draw, at first with auto; sweeps are cheap, memory is not
    )
    max_rhat: Annotated[float, Field(gt=1)] = RHAT_MAX  # auto: worst R-hat to reach
    min_ess: Annotated[float, Field(gt=0)] = ESS_MIN  # auto: least effective draws to reach, bulk and tail
    max_sweeps: Annotated[int, Field(ge=100)] = MAX_SWEEPS  # auto: bound for each chain, tuning included
    target_accept: Annotated[float, Field(gt=0.5, lt=1)] = 0.8  # nuts
    sampler: Sampler = "nutpie"  # nuts: any sampler that PyMC offers

    @field_validator("draws", mode="before")
    @classmethod
    def _draws(cls, value: object) -> object:
        text = str(value).strip()
        if text == "auto" or (text.isdecimal() and int(text) >= MIN_DRAWS):
            return text if text == "auto" else int(text)
        raise ValueError(f'draws must be "auto" or a whole number of at least {MIN_DRAWS}')

    @property
    def n_fixed(self) -> int:
        """Kept draws of each chain where their number is not automatic, or cannot be."""
        return FIXED_DRAWS if self.draws == "auto" else self.draws
