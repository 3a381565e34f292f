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
