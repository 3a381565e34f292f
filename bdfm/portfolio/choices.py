"""Ways to choose a portfolio: light, since the command line shows them."""

from __future__ import annotations

from typing import Final, Literal

Method = Literal["equal", "minimum_variance", "mean_cvar", "information_ratio", "risk_parity"]

METHODS: Final[dict[str, str]] = {
    "equal": "equal weights",
    "minimum_variance": "least variance",
    "mean_cvar": "highest expected return minus risk aversion times expected shortfall",
    "information_ratio": "highest ratio of expected return to standard deviation",
    "risk_parity": "equal contributions to the variance",
}

_OPTIMISED: Final = ("minimum_variance", "mean_cvar", "information_ratio")
_TAIL: Final = ("mean_cvar",)

# Settings that not every method uses, and which do
USED_BY: Final[dict[str, tuple[str, ...]]] = {
    "max_weight": (*_OPTIMISED, "risk_parity"),
    "short": _OPTIMISED,
    "risk_aversion": _TAIL,
    "n_scenarios": _TAIL,
    "seed": _TAIL,
}
AVERSE: Final = ("mean_cvar", "minimum_variance", "expected_utility")  # aims that weigh risk by its aversion
ON_DRAWS: Final = ("mean_cvar", "expected_utility", "minimum_regret")  # aims that look at single draws

Objective = Literal["mean_cvar", "minimum_variance", "risk_parity", "expected_utility", "minimum_regret"]

# What a mandate aims at, and what its limits cost.
OBJECTIVES: Final[dict[str, tuple[str, str]]] = {
    "mean_cvar": (METHODS["mean_cvar"], "expected return less risk"),
    "minimum_variance": (METHODS["minimum_variance"], "volatility"),
    "risk_parity": (METHODS["risk_parity"], ""),
    "expected_utility": ("highest expected utility of wealth", "certainty equivalent"),
    "minimum_regret": ("least expected shortfall against the benchmark", "shortfall against the benchmark"),
}
