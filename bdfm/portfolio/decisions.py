"""Decisions: portfolios from the weighted draws of a forecast, at a given exposure or under a mandate.

Returns are simple, over the forecast span, as decimals; a portfolio is bought at the origin and held.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import NoneType
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bdfm import _blocks
from bdfm._kinds import of_kind
from bdfm._reading import counted
from bdfm._strict import strict
from bdfm.errors import DataError
from bdfm.forecast.forecast import Forecast
from bdfm.portfolio import optimise
from bdfm.portfolio.choices import METHODS, OBJECTIVES
from bdfm.portfolio.mandate import Mandate
from bdfm.portfolio.methods import DecisionSettings
from bdfm.portfolio.methods import optimise as of_exposure
from bdfm.portfolio.risk import PortfolioRisk, portfolio_risk
from bdfm.portfolio.scenarios import moments, weighted_scenarios
from bdfm.portfolio.terms import limits_of, percent, terms_of, weights_by_asset

Floats = NDArray[np.float64]

_DUST: Final = 1e-6  # weights and trades that are smaller are the solver's


@dataclass(frozen=True, repr=False, eq=False)
class Decision:
    """A portfolio chosen from a forecast, its risk, and the trades that lead there.

    Attributes
    ----------
    weights
        Weight of every asset of the forecast, by symbol, as shares of the money; the rest is cash.
    settings
        How it was chosen: at a given exposure, or under a mandate.
    risk
        Its risk under the forecast, before costs and without what cash earns.
    left_out
        Assets whose return is the same in every draw: delisted or bought, and not to be traded.
    trades
        One row for each asset held before or after, by symbol: name, asset_class, before, after, trade
        (shares of the money), money, shares and cost (share of the money) where they are known, and the
        columns of the universe that its limits name.
    binding
        Limits of the mandate that bind: ``limit``, ``price`` (what is gained for 1 more of the limit, in what
        ``OBJECTIVES`` names), ``text``. Empty without a mandate.
    notes
        What else is to be known, such as what rounding to lots costs.
    """

    weights: pd.Series[float]
    settings: DecisionSettings | Mandate
    risk: PortfolioRisk
    left_out: tuple[str, ...]
    trades: pd.DataFrame
    binding: pd.DataFrame
    notes: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """How it was chosen, in words."""
        own = self.settings
        return OBJECTIVES[own.objective][0] if isinstance(own, Mandate) else METHODS[own.method]

    @property
    def turnover(self) -> float:
        """Half the sum of absolute trades, as a share of the money."""
        return float(self.trades["trade"].abs().sum() / 2)

    @property
    def cost(self) -> float:
        """What trading costs, as a share of the money."""
        return float(self.trades["cost"].sum())

    @staticmethod
    def name_in(facts: Mapping[str, Any] | None) -> str:
        """What the way to choose is called in what ``save_in`` keeps; blank without a decision."""
        if facts is None:
            return ""
        return str(
            facts["mandate"].get("objective", Mandate().objective)
            if "mandate" in facts
            else facts["settings"]["method"]
        )

    def __repr__(self) -> str:
        n = int((self.weights != 0).sum())
        exposure = self.weights.abs().sum()
        return f"<Decision by {self.settings.name}: {counted(n, 'asset')}, exposure {exposure:g}>"

    def _repr_html_(self) -> str:
        held = self.weights[self.weights != 0].to_frame("weight")
        return (
            f"<p><b>{self.title}</b></p>"
            + self.risk.table.to_html(float_format="{:.2%}".format, border=0)
            + held.to_html(float_format="{:.3f}".format, max_rows=20, border=0, escape=True)
        )

    def save_in(self, forecast: Forecast) -> Forecast:
        """Forecast that carries the decision, so that a report and a submission can use it."""
        kind = "mandate" if isinstance(self.settings, Mandate) else "settings"
        facts = {
            kind: self.settings.model_dump(exclude_unset=kind == "mandate"),
            "weights": {str(k): float(w) for k, w in self.weights.items() if w},
            "left_out": list(self.left_out),
            "columns": list(self.trades.columns),
            "trades": _records(self.trades.rename_axis("symbol").reset_index()),
            "binding": _records(self.binding),
            "notes": list(self.notes),
        }
        return forecast.with_attrs(decision=json.dumps(facts))

    @classmethod
    def of(cls, forecast: Forecast) -> Decision | None:
        """Decision that a forecast carries, its risk under that forecast; None where there is none."""
        text = forecast.attrs.get("decision")
        if text is None:
            return None
        facts = json.loads(str(text))
        under = "mandate" in facts
        settings = _kept(Mandate, facts["mandate"]) if under else _kept(DecisionSettings, facts["settings"])
        held = {s: w for s, w in facts["weights"].items() if s in forecast.assets}
        weights = _series([held.get(a, 0.0) for a in forecast.assets], forecast)
        left_out = tuple(facts["left_out"])
        risk = _risk(forecast, weights, settings.level)
        if "trades" not in facts:  # of a release that knew no holdings
            return cls(weights, settings, risk, left_out, _trades(forecast, weights), _binding([]))
        trades = pd.DataFrame(facts["trades"], columns=["symbol", *facts["columns"]]).set_index("symbol")
        numbers = {k: float for k in TRADES[2:]}
        binding = _binding(facts["binding"])
        return cls(weights, settings, risk, left_out, trades.astype(numbers), binding, tuple(facts["notes"]))


TRADES: Final = ("name", "asset_class", "before", "after", "trade", "money", "shares", "cost")


def _kept[T: (DecisionSettings, Mandate)](record: type[T], facts: Mapping[str, Any]) -> T:
    """Settings of a file, without what had no effect: older releases took it."""
    idle = record.without_effect(facts)
    return record(**{k: x for k, x in facts.items() if k not in idle})


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as JSON has them, missing numbers as null."""
    return [
        {str(k): None if x != x else x for k, x in row.items()} for row in table.to_dict(orient="records")
    ]


def _series(values: Any, forecast: Forecast) -> pd.Series[float]:
    return pd.Series(values, index=pd.Index(forecast.assets, name="symbol"), dtype=float)


def _binding(rows: list[dict[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["limit", "price", "text"]).astype({"price": float})


def _risk(forecast: Forecast, weights: pd.Series[float], level: float) -> PortfolioRisk:
    """Risk of weights; of cash alone nothing but zeros."""
    if (weights != 0).any():
        return portfolio_risk(forecast, weights, level=level)
    first = portfolio_risk(forecast, {forecast.assets[0]: 1.0}, level=level)
    return PortfolioRisk(first.table * 0.0, first.contributions.iloc[:0], level)


def _trades(
    forecast: Forecast,
    after: pd.Series[float],
    *,
    before: Floats | None = None,
    cost: Floats | None = None,
    nav: float | None = None,
    prices: Floats | None = None,
    groups: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Table of trades; ``groups`` are further columns of the universe, as texts."""
    n = len(after)
    held = np.zeros(n) if before is None else before
    table = pd.DataFrame(
        {
            "name": list(forecast.names),
            "asset_class": list(forecast.asset_class),
            "before": held,
            "after": after.to_numpy(),
            "trade": after.to_numpy() - held,
        },
        index=after.index,
    )
    table["money"] = table["trade"] * (np.nan if nav is None else nav)
    table["shares"] = table["money"] / (np.full(n, np.nan) if prices is None else prices)
    table["cost"] = 0.0 if cost is None else cost
    for column, values in () if groups is None else groups.items():
        table[str(column)] = [str(x) for x in values.fillna("")]
    return table[(table["before"] != 0) | (table["after"] != 0)]


@strict
def decide(
    forecast: Forecast,
    settings: DecisionSettings | Mandate | None = None,
    *,
    holdings: Mapping[str, float] | pd.Series[float] | None = None,
    universe: pd.DataFrame | None = None,
    prices: Mapping[str, float] | pd.Series[float] | None = None,
    **changes: Any,
) -> Decision:
    """Portfolio of a forecast at a given exposure or under a mandate, its trades, and its risk.

    Parameters
    ----------
    forecast
        Any forecast; the draws' weights count.
    settings
        How to choose: a ``Mandate``, or ``DecisionSettings``, which keep the limits of M6; by default equal
        weights.
    holdings
        Weight by symbol held at the origin, before trading; nothing but cash without it.
    universe
        As ``read_universe`` gives it: its columns can have limits in a mandate, and ``cost_bps``,
        ``daily_volume`` and ``lot`` are read from it.
    prices
        Price by symbol at the origin, for shares and lots; those that the forecast knows, if not given.
    **changes
        Single settings, such as ``method="risk_parity"``.

    Raises
    ------
    DataError
        Fewer than two assets that can be traded, limits that no portfolio keeps together (the message names
        a smallest set of them), or an optimiser without a solution.
    UnknownLabelError
        An asset, column or value of a column that is not there.
    MissingDependencyError
        skfolio or cvxpy is not installed; equal weights need neither.

    Examples
    --------
    >>> import bdfm, numpy as np
    >>> draws = np.random.default_rng(1).normal(0, 0.05, (200, 2))
    >>> forecast = bdfm.Forecast.from_draws(
    ...     draws,
    ...     assets=["A", "B"],
    ...     asset_class=["stock", "stock"],
    ...     origin="2022-02-04",
    ...     end="2022-03-04",
    ... )
    >>> bdfm.decide(forecast, exposure=0.5).weights.to_dict()
    {'A': 0.25, 'B': 0.25}
    """
    hint = 'A method is told by its name, method="minimum_variance"; limits by bdfm.Mandate(max_weight=0.3).'
    kinds = (DecisionSettings, Mandate, NoneType)
    expected = "a bdfm.Mandate or DecisionSettings"
    of_kind(settings, kinds, what="settings", where="decide", hint=hint, expected=expected)
    under = isinstance(settings, Mandate)
    own = type(settings or DecisionSettings())(
        **(settings or DecisionSettings()).model_dump(exclude_unset=under) | changes
    )
    low, high = _blocks.extremes(forecast.draws.to_numpy())
    fixed = np.asarray(low == high)
    left_out = tuple(a for a, f in zip(forecast.assets, fixed, strict=True) if f)
    if len(forecast.assets) - len(left_out) < 2:
        raise DataError(
            f"decision: {counted(len(forecast.assets) - len(left_out), 'asset has', 'assets have')}"
            " returns that vary. At least 2 are"
            " needed."
        )
    known = forecast.closes if prices is None else prices
    if isinstance(own, Mandate):
        return _under(forecast, own, fixed, left_out, holdings, universe, known)
    assets = [a for a, f in zip(forecast.assets, fixed, strict=True) if not f]
    if own.max_weight * len(assets) < 1 - 1e-9:
        raise DataError(
            f"decision: max_weight {own.max_weight:g} times {counted(len(assets), 'asset')} is below 1."
            " Give at"
            f" least {1 / len(assets):.3g}."
        )
    chosen = of_exposure(forecast, assets, own)
    weights = _series(0.0, forecast)
    weights.loc[assets] = chosen * own.exposure / np.abs(chosen).sum()
    risk = portfolio_risk(forecast, weights, level=own.level)
    before = None if holdings is None else weights_by_asset(holdings, forecast.assets, where="holdings")
    return Decision(weights, own, risk, left_out, _trades(forecast, weights, before=before), _binding([]))


def _under(
    forecast: Forecast,
    mandate: Mandate,
    fixed: NDArray[np.bool_],
    left_out: tuple[str, ...],
    holdings: Mapping[str, float] | pd.Series[float] | None,
    universe: pd.DataFrame | None,
    prices: Mapping[str, float] | pd.Series[float] | None,
) -> Decision:
    """Decision under a mandate."""
    terms = terms_of(
        mandate,
        forecast.assets,
        forecast.asset_class,
        years=(forecast.end - forecast.origin).days / 365.25,
        holdings=holdings,
        universe=universe,
        prices=prices,
        fixed=fixed,
    )
    n = {"n_scenarios": mandate.n_scenarios, "seed": mandate.seed}
    draws, p = weighted_scenarios(forecast, forecast.assets, **n)
    from bdfm.portfolio import lots  # SciPy's solvers: only a mandate needs them

    problem = optimise.Problem(terms, draws, p, *moments(forecast, forecast.assets))
    limits = limits_of(terms)
    solution = optimise.solve(problem, limits)
    best = np.where(np.abs(solution.weights) < _DUST, 0.0, solution.weights)
    best = np.where(np.abs(best - terms.held) < _DUST, terms.held, best)
    found, notes = lots.tradeable(terms, limits, best), []
    if found is not best:
        lost = (problem.value(best) - problem.value(found)) * problem.told_per(best)
        what = OBJECTIVES[mandate.objective][1]
        told = f"cost {100 * lost:.2g} % of {what}" if np.isfinite(lost) else "move the shares of risk"
        notes.append(f"Whole lots and the smallest trade {told}.")
        missed = [x for x in limits if optimise.violation(problem, x, found) > _DUST]
        notes += [
            f"With them {x.words} is missed by {percent(optimise.violation(problem, x, found))}."
            for x in missed
        ]
    if mandate.benchmark is not None:
        active = found - terms.benchmark
        error = np.sqrt(max(float(active @ problem.covariance @ active), 0.0) / terms.years)
        notes.append(f"Tracking error {100 * error:.3g} % a year.")
    if mandate.objective == "risk_parity":
        parts = found * (problem.covariance @ found)
        shares = (parts / parts.sum())[~fixed]
        notes.append(f"Shares of the variance: {percent(shares.min())} to {percent(shares.max())}.")
    weights = _series(found, forecast)
    cost = terms.costs(found, problem.sd)
    known: dict[str, Any] = {"before": terms.held, "cost": cost, "nav": mandate.nav, "prices": terms.prices}
    groups = terms.columns[[c for c in terms.mandate.limits if c not in TRADES]]
    trades = _trades(forecast, weights, **known, groups=groups)
    binding = _binding(optimise.binding(problem, limits, solution))
    risk = _risk(forecast, weights, mandate.level)
    return Decision(weights, mandate, risk, left_out, trades, binding, tuple(notes))


def check_mandate(
    mandate: Mandate,
    assets: Sequence[str],
    asset_class: Sequence[str],
    *,
    holdings: Mapping[str, float] | None = None,
    universe: pd.DataFrame | None = None,
    prices: Mapping[str, float] | pd.Series[float] | None = None,
    zero: Collection[str] = (),
) -> None:
    """Raise before a fit what a mandate cannot be: names that are not there, limits that conflict.

    ``zero``: assets whose return will be fixed. The tracking error needs draws, and is not looked at.
    """
    fixed = np.isin(list(assets), list(zero))
    options: dict[str, Any] = {"holdings": holdings, "universe": universe, "prices": prices, "fixed": fixed}
    terms = terms_of(mandate, assets, asset_class, years=1.0, **options)
    n = len(assets)
    problem = optimise.Problem(terms, np.zeros((1, n)), np.ones(1), np.zeros(n), np.eye(n))
    told = optimise.conflict(problem, [x for x in limits_of(terms) if x.of != "active"])
    if told:
        raise DataError(told)
