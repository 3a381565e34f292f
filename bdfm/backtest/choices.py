"""What a user can choose about a backtest, and the defaults: light, since the command line shows them."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from bdfm.inference import choices as of_a_fit

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


class Unit(NamedTuple):
    """Unit in which differences of a score are shown: its size, as text, and how many decimals."""

    size: float
    text: str
    decimals: int

    def shown(self, difference: float) -> str:
        """Difference in this unit, such as 3.1e-5."""
        return f"{difference / self.size:.{self.decimals}f}{self.text[1:]}"

    def template(self, axis: str) -> str:
        """The same of a number in this unit, for Plotly to fill in from an axis."""
        return f"%{{{axis}:.{self.decimals}f}}{self.text[1:]}"


_FINE: Final = Unit(1e-5, "1e-5", 1)
_WHOLE: Final = Unit(1.0, "", 3)  # of sums over pairs of assets, and of a log density


def unit_of(score: Score) -> Unit:
    """Unit in which differences of a score are shown."""
    return _WHOLE if score in ("variogram_score", "dawid_sebastiani_score") else _FINE


# What the posterior of one origin is off by averages out over many: its chains may disagree more than those
# of a single forecast, but not without bound. They go on until these thresholds hold. Where that takes more
# than ``MAX_SWEEPS`` the run says so; worst R-hat and least effective sample size of each origin are kept.
CHAINS: Final = 2
DRAWS: Final = "auto"
TUNE: Final = of_a_fit.TUNE
THIN: Final = 5
MAX_RHAT: Final = 1.05
MIN_ESS: Final = 50.0
MAX_SWEEPS: Final = of_a_fit.MAX_SWEEPS  # with half of them one of 129 origins of M6 fell short
N_DRAWS: Final = 200_000  # predictive draws of an origin; a single forecast takes three times as many
