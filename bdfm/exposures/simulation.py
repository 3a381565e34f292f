"""Simulated betas that jump and drift: how late each method is, and how wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.progress import track

from bdfm import _checks
from bdfm._strict import strict, strict_fields
from bdfm.errors import DataError
from bdfm.exposures import plots
from bdfm.exposures.data import TRAINING_SHARE, ExposureData
from bdfm.exposures.result import ExposureMethod
from bdfm.names import ASSET, FACTOR

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]

JUMP_SEEN: Final = "jump in training"
JUMP_NEW: Final = "jump after training"
DRIFT: Final = "drift"
CONSTANT: Final = "constant"
STORIES: Final = (JUMP_SEEN, JUMP_NEW, DRIFT, CONSTANT)
MARKET: Final = "market"

_FACTOR_SD: Final = (0.011, 0.006, 0.007)  # decimal a day
_NOISE_SD: Final = 0.013
_VOLATILITY_PERSISTENCE: Final = 0.97  # of the log of the factors' common volatility
_VOLATILITY_SD: Final = 0.08  # of its daily shocks
_HOLD_DAYS: Final = 5  # an estimate has noticed a jump once it stays past the middle this long
_ERROR_DAYS: Final = 250  # after a jump


@strict_fields
@dataclass(frozen=True)
class MovingBetas:
    """Simulated returns on three factors, in which the market beta of the first four assets has a story.

    One jumps from 0.8 to 1.6 inside the training part, so that methods which estimate how betas move have
    seen one; one jumps likewise after it, when nothing of that asset has ever moved; one drifts in a
    straight line from 0.6 to 1.6 over the whole span; one stays at 1. All other betas are constant. Factors
    share a volatility that follows a log AR(1); noise is normal.
    """

    n_days: int = 2000  # of the span
    n_assets: int = 12  # the first four have a story
    jump_seen_day: int = 1000  # of the jump inside the training part
    jump_new_day: int = 1450  # of the jump after it

    def __post_init__(self) -> None:
        where = "simulated betas"
        n = _checks.at_least(self.n_days, 400, what="n_days", where=where)
        _checks.at_least(self.n_assets, len(STORIES), what="n_assets", where=where)
        if not 0 < self.jump_seen_day < TRAINING_SHARE * n <= self.jump_new_day < n - _HOLD_DAYS:
            raise DataError(
                f"{where}: jumps on days {self.jump_seen_day} and {self.jump_new_day} of {n}. The first must"
                f" be inside the training part ({int(TRAINING_SHARE * n)} days), the second after it."
            )

    def market_betas(self) -> dict[str, Floats]:
        """True market beta (day) of each story."""
        day = np.arange(self.n_days)
        return {
            JUMP_SEEN: np.where(day < self.jump_seen_day, 0.8, 1.6),
            JUMP_NEW: np.where(day < self.jump_new_day, 0.8, 1.6),
            DRIFT: np.linspace(0.6, 1.6, self.n_days),
            CONSTANT: np.ones(self.n_days),
        }

    def simulate(self, seed: int) -> tuple[ExposureData, Floats]:
        """Data, and the true exposures (day, asset, factor) behind them."""
        rng = np.random.default_rng(seed)
        n_factors = len(_FACTOR_SD)
        betas = np.empty((self.n_days, self.n_assets, n_factors))
        betas[...] = np.array([1.0, 0.0, 0.0]) + np.array([0.3, 0.4, 0.4]) * rng.standard_normal(
            (self.n_assets, n_factors)
        )
        for i, path in enumerate(self.market_betas().values()):
            betas[:, i, 0] = path
        log_volatility = np.zeros(self.n_days)
        shocks = _VOLATILITY_SD * rng.standard_normal(self.n_days)
        for t in range(1, self.n_days):
            log_volatility[t] = _VOLATILITY_PERSISTENCE * log_volatility[t - 1] + shocks[t]
        factors = (
            np.exp(log_volatility)[:, None]
            * np.array(_FACTOR_SD)
            * rng.standard_normal((self.n_days, n_factors))
        )
        noise = _NOISE_SD * rng.standard_normal((self.n_days, self.n_assets))
        returns = np.einsum("tik,tk->ti", betas, factors) + noise
        names = [*STORIES, *(f"other {i}" for i in range(1, self.n_assets - len(STORIES) + 1))]
        data = ExposureData.from_arrays(
            returns, factors, assets=names, factor_names=(MARKET, "size", "value")
        )
        return data, betas


@dataclass(frozen=True, eq=False, repr=False)
class MovingBetasStudy:
    """Market betas that each method estimated in each replicate, beside the truth.

    Attributes
    ----------
    design
        What was simulated.
    paths
        Story to method to (replicate, day).
    """

    design: MovingBetas
    paths: dict[str, dict[str, Floats]]

    @classmethod
    @strict
    def run(
        cls,
        methods: Sequence[ExposureMethod],
        *,
        n_replicates: int,
        seed: int,
        design: MovingBetas | None = None,
        progress: bool = False,
    ) -> MovingBetasStudy:
        """Study of ``n_replicates`` simulations; latent methods count by their ``observed_exposures``.

        Raises ``DataError`` for two methods of one name, or none at all.
        """
        design = design or MovingBetas()
        _checks.at_least(n_replicates, 1, what="n_replicates", where="moving betas")
        _checks.unique([m.name for m in methods], what="method", where="moving betas", hint="Name each once.")
        if not methods:
            raise DataError("moving betas: no methods given. Give at least one.")
        paths = {
            story: {m.name: np.empty((n_replicates, design.n_days)) for m in methods} for story in STORIES
        }
        seeds = np.random.SeedSequence(seed).generate_state(n_replicates)
        for r in track(range(n_replicates), "Moving betas", disable=not progress, transient=True):
            data, _ = design.simulate(int(seeds[r]))
            for method in methods:
                betas = method.fit(data, seed=int(seeds[r])).observed_exposures()
                for story in STORIES:
                    paths[story][method.name][r] = betas.sel({ASSET: story, FACTOR: MARKET}).to_numpy()
        return cls(design, paths)

    def table(self) -> pd.DataFrame:
        """Table (method) of delay and error, medians and means over replicates (eq. E23).

        For each jump: ``delay`` is the median number of days until the estimate has passed the middle between
        the old and the new beta and stays there for 5 days (infinite where it never does), ``noticed`` the
        share of replicates in which it does, and ``rmse`` the error over the 250 days after the jump. For the
        drift: ``delay`` is the mean gap to the truth over the slope of the drift, in days, and ``rmse`` the
        error, both over the days after training. For the constant beta the ``rmse`` over the same days.
        """
        truth = self.design.market_betas()
        late = slice(int(TRAINING_SHARE * self.design.n_days), None)
        rows: dict[str, dict[tuple[str, str], float]] = {}
        for method in next(iter(self.paths.values())):
            row: dict[tuple[str, str], float] = {}
            for story, at in ((JUMP_SEEN, self.design.jump_seen_day), (JUMP_NEW, self.design.jump_new_day)):
                path = self.paths[story][method]
                delays = np.array([jump_delay(p, truth[story], at) for p in path])
                row[story, "delay"] = float(np.median(delays))
                row[story, "noticed"] = float(np.isfinite(delays).mean())
                after = slice(at, at + _ERROR_DAYS)
                row[story, "rmse"] = _rmse(path[:, after], truth[story][after])
            drift = self.paths[DRIFT][method][:, late]
            gap = truth[DRIFT][late] - drift
            slope = (truth[DRIFT][-1] - truth[DRIFT][0]) / (self.design.n_days - 1)
            row[DRIFT, "delay"] = float(gap.mean() / slope)
            row[DRIFT, "rmse"] = _rmse(drift, truth[DRIFT][late])
            row[CONSTANT, "rmse"] = _rmse(self.paths[CONSTANT][method][:, late], truth[CONSTANT][late])
            rows[method] = row
        columns = pd.MultiIndex.from_tuples(list(next(iter(rows.values()))))
        values = [list(row.values()) for row in rows.values()]
        return pd.DataFrame(values, index=pd.Index(rows, name="method"), columns=columns)

    def plot(self) -> Figure:
        """Estimated market betas of each story: median over replicates, band of the central 80 %."""
        n = len(next(iter(self.paths[DRIFT].values())))
        title = f"Market beta, {n} replicates: median and central 80 %"
        return plots.story_paths(self.paths, self.design.market_betas(), title)

    def __repr__(self) -> str:
        return f"MovingBetasStudy:\n{self.table().round(2).to_string()}"

    def _repr_html_(self) -> str:
        return f"<p>{escape('Delay and error of market betas')}</p>{self.table().round(2).to_html()}"


def jump_delay(path: Floats, truth: Floats, at: int) -> float:
    """Days from a jump until the estimate is past the middle for ``_HOLD_DAYS``; infinite if it never is."""
    before, after = truth[at - 1], truth[at]
    past = (path[at:] - (before + after) / 2) * np.sign(after - before) > 0
    held = np.convolve(past, np.ones(_HOLD_DAYS), mode="valid") == _HOLD_DAYS
    return float(held.argmax()) if held.any() else float("inf")


def _rmse(estimate: Floats, truth: Floats) -> float:
    return float(np.sqrt(np.mean(np.square(estimate - truth))))
