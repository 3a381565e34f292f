"""Settings of a fit, stated once."""

from __future__ import annotations

import os
from typing import Annotated

from pydantic import Field

from bdfm._settings import Settings
from bdfm.inference.choices import CHAINS, DRAWS, ENGINE, TUNE, Engine, Sampler


class SamplerSettings(Settings):
    """How the posterior is sampled.

    Defaults give 4,000 draws, as the winner used, from chains that reach the thresholds of
    ``posterior.diagnose()`` on the M6 panel.
    """

    told_as = "sampler"

    engine: Engine = ENGINE  # auto: the fastest that covers the model
    draws: Annotated[int, Field(ge=10)] = DRAWS  # kept draws of each chain
    tune: Annotated[int, Field(ge=10)] = TUNE  # first draws of each chain, thrown away
    chains: Annotated[int, Field(ge=1)] = CHAINS
    cores: Annotated[int, Field(ge=1)] = os.cpu_count() or 1
    thin: Annotated[int, Field(ge=1)] = (
        10  # gibbs: sweeps for each kept draw; sweeps are cheap, memory is not
    )
    target_accept: Annotated[float, Field(gt=0.5, lt=1)] = 0.8  # nuts
    sampler: Sampler = "nutpie"  # nuts: any sampler that PyMC offers

    def recorded(self) -> str:
        """JSON of what decides the draws: all but the number of cores, which decides the time alone."""
        return self.model_dump_json(exclude={"cores"})
