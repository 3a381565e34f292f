"""What a user can choose about a backtest, and the defaults: light, since the command line shows them."""

from __future__ import annotations

from typing import Final, Literal

Score = Literal["rps", "log_score", "crps", "energy_score"]
SCORES: Final[dict[str, str]] = {
    "rps": "RPS",
    "log_score": "log score",
    "crps": "CRPS",
    "energy_score": "energy",
}

# 3,000 sweeps of the Gibbs sampler, a fifteenth of what a single forecast takes: what the posterior of one
# origin is off by averages out over many. Worst R-hat and least effective sample size of each are kept.
CHAINS: Final = 2
DRAWS: Final = 500
TUNE: Final = 500
THIN: Final = 2
N_DRAWS: Final = 200_000  # predictive draws of an origin; a single forecast takes three times as many
