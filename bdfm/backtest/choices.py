"""What a user can choose about a backtest, and the defaults: light, since the command line shows them."""

from __future__ import annotations

from typing import Final, Literal

Score = Literal["rps", "log_score", "crps", "energy_score", "variogram_score", "dawid_sebastiani_score"]
SCORES: Final[dict[str, str]] = {
    "rps": "RPS",
    "log_score": "log score",
    "crps": "CRPS",
    "energy_score": "energy",
    "variogram_score": "variogram",
    "dawid_sebastiani_score": "Dawid-Sebastiani",
}
# Of all assets jointly: no mean over assets, and none by class.
JOINT: Final = ("energy_score", "variogram_score", "dawid_sebastiani_score")

# What the posterior of one origin is off by averages out over many: its chains may disagree more than those
# of a single forecast, but not without bound. They go on until these thresholds hold. Where that takes more
# than ``MAX_SWEEPS`` the run says so; worst R-hat and least effective sample size of each origin are kept.
CHAINS: Final = 2
DRAWS: Final = "auto"
TUNE: Final = 500
THIN: Final = 5
MAX_RHAT: Final = 1.05
MIN_ESS: Final = 50.0
MAX_SWEEPS: Final = 20_000
N_DRAWS: Final = 200_000  # predictive draws of an origin; a single forecast takes three times as many
