"""What a user can choose about a fit, and the defaults: light, since the command line shows them."""

from __future__ import annotations

from typing import Final, Literal

Engine = Literal["auto", "gibbs", "nuts"]  # auto: the fastest that covers the model
Sampler = Literal["nutpie", "pymc", "numpyro", "blackjax"]  # of nuts

ENGINE: Final[Engine] = "auto"
DRAWS: Final = 1000  # kept draws of each chain
TUNE: Final = 1000  # first draws of each chain, thrown away
CHAINS: Final = 4
