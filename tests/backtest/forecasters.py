"""Forecasters for tests, in a module of their own so that other processes can import them."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bdfm import Forecast


@dataclass(frozen=True)
class Naive:
    """Normal draws with last year's volatility."""

    n_draws: int = 400
    label: str = "naive"

    @property
    def name(self):
        return self.label

    @property
    def settings(self):
        return {"n_draws": self.n_draws}

    def forecast(self, history, *, seed):
        scale = np.nanstd(history.daily_returns[-250:], axis=0) * np.sqrt(history.horizon_days)
        z = np.random.default_rng(seed).standard_normal((self.n_draws // 2, len(scale)))
        return Forecast.from_draws(
            np.expm1(np.concatenate([z, -z]) * scale),
            assets=history.assets,
            asset_class=history.asset_class,
            origin=history.origin,
            end=history.end,
            attrs={"scale": float(scale.mean())},
        )


@dataclass(frozen=True)
class Slow(Naive):
    """Takes its time, so that there is some to kill it in."""

    seconds: float = 0.3

    def forecast(self, history, *, seed):
        time.sleep(self.seconds)
        return super().forecast(history, seed=seed)


@dataclass(frozen=True)
class Stalling(Naive):
    """Tells at one origin which process has it, and waits there until a file says to go on; but once."""

    at: str = ""
    place: str = ""

    @property
    def settings(self):
        return {"n_draws": self.n_draws}

    def forecast(self, history, *, seed):
        place = Path(self.place)
        if f"{history.origin:%Y-%m-%d}" == self.at and not (place / "at").exists():
            (place / "new").write_text(f"{os.getpid()}")
            (place / "new").replace(place / "at")
            while not (place / "go").exists():
                time.sleep(0.02)
        return super().forecast(history, seed=seed)


@dataclass(frozen=True)
class Failing(Naive):
    """Fails at some origins."""

    at: tuple[str, ...] = ()
    deadly: bool = False

    @property
    def settings(self):
        return {}

    def forecast(self, history, *, seed):
        if f"{history.origin:%Y-%m-%d}" in self.at:
            if self.deadly:
                os._exit(9)
            raise ArithmeticError("no luck today")
        return super().forecast(history, seed=seed)


@dataclass(frozen=True)
class Remembering(Naive):
    """Goes on from the origin before: tells of all origins since its stretch began."""

    stretch: int = 4

    def forecast_next(self, history, earlier, *, seed):
        way = [*(earlier or []), (f"{history.origin:%Y-%m-%d}", seed)]
        made = super().forecast(history, seed=seed)
        return made.with_attrs(way=str(way)), way


@dataclass(frozen=True)
class Stumbling(Remembering):
    """Fails at one origin, and tells what each went on from."""

    at: str = ""
    error: type[Exception] = ArithmeticError

    def forecast_next(self, history, earlier, *, seed):
        if f"{history.origin:%Y-%m-%d}" == self.at:
            raise self.error("no luck today")
        return super().forecast_next(history, earlier, seed=seed)


@dataclass(frozen=True)
class Counting(Naive):
    """Draws are those of another forecaster, plus a percent for each origin that it goes on from."""

    stretch: int = 4

    def forecast_next(self, history, earlier, *, seed):
        made = super().forecast(history, seed=seed)
        number = 0 if earlier is None else earlier + 1
        moved = Forecast.from_draws(
            made.draws.to_numpy() + 0.01 * number,
            assets=history.assets,
            asset_class=history.asset_class,
            origin=history.origin,
            end=history.end,
        )
        return moved, number
