"""A mandate: what a manager may hold, what trading costs, and what is aimed at."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from bdfm import _checks, _toml
from bdfm._settings import Seed, Settings
from bdfm._weights import MAX_GROSS, MAX_NET
from bdfm.errors import DataError
from bdfm.forecast.submission import MAX_EXPOSURE, MIN_EXPOSURE
from bdfm.names import RUN_TABLES
from bdfm.portfolio.choices import AVERSE, ON_DRAWS, Objective

Range = tuple[float, float]  # lowest and highest
_LIMITS: Final = (
    "limits.asset_class.stock = [0.0, 0.4], a column of the universe and a value in it; a single asset has"
    " weights.SYMBOL = [0.0, 0.05], where SYMBOL with a point stands in quotes"
)
MOST: Final = 100.0  # largest share of the money that a limit may name: no book is a hundredfold

PRESETS: Final[dict[str, dict[str, Any]]] = {
    "m6": {
        "long_only": True,
        "gross": (MIN_EXPOSURE, MAX_EXPOSURE),
    }
}


class Mandate(Settings):
    """Limits, costs and aim of a book: the ``[mandate]`` table of a run file.

    Weights are shares of ``nav``, after trading at the origin and before costs. Costs are paid at the origin
    and come off the return. Cash is 1 minus the net exposure and earns ``cash_rate_annual``.

    The columns ``cost_bps``, ``daily_volume`` and ``lot`` of a universe, where there, go before the numbers
    here; any other column can have ``limits``. Equations B1 to B9 are in the page "decide under a mandate".
    """

    model_config = ConfigDict(allow_inf_nan=False)
    told_as = "mandate"

    preset: Literal["m6"] | None = None  # limits of M6: long only, gross 0.25 to 1
    objective: Objective = "mean_cvar"  # one of OBJECTIVES
    # Relative risk aversion of expected_utility; weight of expected shortfall in mean_cvar, and of half the
    # variance in minimum_variance, against the costs.
    risk_aversion: Annotated[float, Field(ge=0, le=1e6)] = 1.0
    level: Annotated[float, Field(ge=0.5, lt=1)] = 0.95  # of value at risk and expected shortfall
    n_scenarios: Annotated[int, Field(ge=100, le=10**6)] = 2000  # of more draws, so many are taken
    seed: Seed = 0  # which draws

    nav: Annotated[float, Field(ge=1e-2, le=1e18)] | None = None  # money, in the currency of the prices
    long_only: bool = True  # no weight below 0
    # None, if neither cash nor net nor gross is given
    cash: Range | None = Field(default=None, examples=["cash = [0.0, 0.1]"])
    net: Range | None = Field(default=None, examples=["net = [0.9, 1.0]"])  # Σ weight
    # Σ|weight|; a lowest one only where long only
    gross: Range | None = Field(default=None, examples=["gross = [0.0, 1.5]"])
    max_weight: Annotated[float, Field(gt=0, le=MOST)] | None = None  # of one asset, long or short
    # By symbol
    weights: dict[str, Range] = Field(default_factory=dict, examples=["weights.SYMBOL = [0.0, 0.05]"])
    # By column of the universe, called as in its file, and value in it: net weights
    limits: dict[str, dict[str, Range]] = Field(default_factory=dict, examples=[_LIMITS])

    # Weights by symbol, the rest in cash
    benchmark: dict[str, float] | Literal["equal"] | None = Field(
        default=None, examples=["benchmark.SYMBOL = 0.6"]
    )
    # Largest sd of the return beside the benchmark's, a year; to hold the benchmark itself, give its weights.
    tracking_error_annual: Annotated[float, Field(ge=1e-6, le=MOST)] | None = None

    turnover: Annotated[float, Field(ge=0, le=2 * MOST)] | None = None  # half of Σ|trade|
    cost_bps: Annotated[float, Field(ge=0, lt=10_000)] = 0.0  # of what is traded
    impact: Annotated[float, Field(ge=0, le=100)] = 0.0  # cost: impact·σ_day·√(trade / daily volume)
    daily_volume: Annotated[float, Field(ge=1e-2, le=1e18)] | None = None  # money traded a day in an asset
    cash_rate_annual: Annotated[float, Field(ge=-0.5, le=1)] = 0.0
    min_trade: Annotated[float, Field(ge=0, lt=1)] = 0.0  # share of nav; smaller trades are not made
    lot: Annotated[int, Field(ge=1)] | None = None  # shares that are traded at a time

    @model_validator(mode="before")
    @classmethod
    def _preset(cls, table: Any) -> Any:
        """What a preset says, unless the table says otherwise."""
        if isinstance(table, dict):
            name = table.get("preset")
            return PRESETS.get(name, {}) | table if isinstance(name, str) else table
        return table

    @field_validator("cash", "net", "gross")
    @classmethod
    def _range(cls, value: Range | None) -> Range | None:
        return None if value is None else _ordered(value)

    @field_validator("weights")
    @classmethod
    def _ranges(cls, value: dict[str, Range]) -> dict[str, Range]:
        return {k: _ordered(x) for k, x in value.items()}

    @field_validator("limits")
    @classmethod
    def _tables(cls, value: dict[str, dict[str, Range]]) -> dict[str, dict[str, Range]]:
        return {c: {k: _ordered(x) for k, x in table.items()} for c, table in value.items()}

    @model_validator(mode="after")
    def _fits(self) -> Self:
        """What one number asks of another."""
        told = None
        if self.objective == "risk_parity" and not self.long_only:
            told = "risk_parity holds no short positions. Leave out long_only = false."
        elif self.gross is not None and self.gross[0] > 0 and not self.long_only:
            told = (
                f"a lowest gross exposure, {self.gross[0]:g}, with short positions is no convex limit. Give"
                " gross = [0, ...], or long_only = true."
            )
        elif self.objective == "minimum_variance" and self.risk_aversion == 0:
            told = "minimum_variance with risk_aversion 0 looks at costs alone. Give a larger one."
        elif self.objective == "minimum_regret" and self.benchmark is None:
            told = "minimum_regret needs a benchmark. Give its weights, or equal."
        elif self.tracking_error_annual is not None and self.benchmark is None:
            told = "tracking_error_annual needs a benchmark. Give its weights, or equal."
        elif (self.tracking_error_annual or 0) > 1:
            told = (
                f"tracking_error_annual = {self.tracking_error_annual:g} is more than 100 % a year. It is a"
                " decimal: 0.04 is 4 %."
            )
        elif percent := self._percent():
            name, value = percent
            told = (
                f"{name} is {value:.4g}, {100 * value:.6g} % of the money, far beyond what the other limits"
                f" let a book hold or trade. Shares are decimals, 0.1 for 10 %: was {value / 100:.4g} meant?"
            )
        elif (self.lot is not None or self.impact) and self.nav is None:
            told = f"{'lot' if self.lot is not None else 'impact'} needs nav, the money of the book."
        for name, why in {} if told else self.without_effect(self.model_dump()).items():
            told = f"{why}. Leave {name} out, or give what uses it."
        if told is not None:
            raise DataError(f"mandate: {told}")
        return self

    @classmethod
    def without_effect(cls, settings: Mapping[str, Any]) -> dict[str, str]:
        """Settings that are not as they are by default, and that nothing uses, with the reason."""
        told, aim = {}, settings.get("objective", "mean_cvar")
        aversion = settings.get("risk_aversion", 1.0)
        if aversion != 1 and aim not in AVERSE:
            told["risk_aversion"] = (
                f"risk_aversion = {aversion:g} has no effect on {aim}, only on {', '.join(AVERSE)}"
            )
        for name in ("n_scenarios", "seed"):
            value, usual = settings.get(name), cls.model_fields[name].default
            if value not in (None, usual) and aim not in ON_DRAWS:
                told[name] = f"{name} = {value} has no effect on {aim}, only on {', '.join(ON_DRAWS)}"
        if settings.get("daily_volume") is not None and not settings.get("impact"):
            told["daily_volume"] = "daily_volume has no effect without impact, the cost that it is for"
        return told

    def _percent(self) -> tuple[str, float] | None:
        """A limit that no book comes near, as one in percent is; None without one."""
        net = self.net_range
        reach = MAX_NET if self.gross is None else self.gross[1]
        if self.long_only and net is not None:
            reach = min(reach, net[1])
        most = 5 * max(min(reach, MAX_NET), 1.0)
        ranges = {
            "gross": (self.gross, MAX_GROSS),
            "net": (self.net, MAX_NET),
            "cash": (self.cash, MAX_NET),
        }
        ranges |= {f"weights.{k}": (x, most) for k, x in self.weights.items()}
        ranges |= {f"limits.{c}.{k}": (x, most) for c, table in self.limits.items() for k, x in table.items()}
        if self.max_weight is not None:
            ranges["max_weight"] = ((0.0, self.max_weight), most)
        largest = [(k, max(pair, key=abs), far) for k, (pair, far) in ranges.items() if pair is not None]
        found = [(k, x) for k, x, far in largest if abs(x) >= far]
        if self.turnover is not None and self.turnover > most:
            found.append(("turnover", self.turnover))
        return found[0] if found else None

    @property
    def name(self) -> str:
        """What the aim is called."""
        return f"{self.objective} under a mandate"

    @property
    def net_range(self) -> Range | None:
        """Lowest and highest net exposure, as cash and net say; all is invested where nothing is said."""
        if self.cash is None and self.net is None:
            return (1.0, 1.0) if self.gross is None else None
        low, high = self.net or (-MOST, MOST)
        if self.cash is not None:
            low, high = max(low, 1 - self.cash[1]), min(high, 1 - self.cash[0])
        return low, high

    @classmethod
    def from_toml(cls, path: str | Path) -> tuple[Self, dict[str, float]]:
        """Mandate of a file with a ``[mandate]`` table, such as a run file, and its ``[holdings]``.

        Raises
        ------
        FileError, DataError, UnknownLabelError
            No such file, no such table, keys and values that a mandate cannot have, or other tables than
            these two, and those of a run file where it is one (with ``[data]``).
        """
        path = _checks.path_of(path, what="mandate")
        tables = _toml.parsed(_checks.existing_text(path, what="mandate"), where=str(path))
        known = RUN_TABLES if "data" in tables else ("mandate", "holdings")
        _checks.known(list(tables), known, what="table", where=str(path))
        table = tables.get("mandate")
        if not isinstance(table, Mapping):
            raise DataError(f'{path}: no [mandate] table. Write one, such as [mandate] preset = "m6".')
        held = tables.get("holdings", {})
        if not isinstance(held, Mapping):
            raise DataError(f"{path}: holdings is no table. Write [holdings] and SYMBOL = weight below it.")
        where = f"{path}, [holdings]"
        for name, weight in held.items():
            if points := _toml.with_points(str(name), weight):
                raise DataError(
                    f"{where}: the weight of {name} must be a number, got {_checks.shown(weight)}.{points}"
                )
        weights = {str(k): _checks.finite(w, what=f"the weight of {k}", where=where) for k, w in held.items()}
        return cls.from_table(table, where=f"{path}, [mandate]"), weights


def _ordered(value: Range) -> Range:
    if not -MOST <= value[0] <= value[1] <= MOST:
        raise PydanticCustomError(
            "range", "Input should be [lowest, highest], shares between -{most} and {most}", {"most": 100}
        )
    return value
