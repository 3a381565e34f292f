"""Risk models from files: portfolios, and an estimator for each kind of model that the files allow."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pandas as pd

from bdfm import _checks, _renamed
from bdfm._columns import PERCENT, SYMBOL_NAMES, WEIGHT_NAMES, stem
from bdfm._reading import READING, counted
from bdfm._symbols import is_cash
from bdfm.data.doubts.door import doubt
from bdfm.data.doubts.tables import Tables
from bdfm.data.features import spacing_days
from bdfm.data.risk_free import split_risk_free
from bdfm.data.sources import Aliases, read_records
from bdfm.errors import BdfmError, DataError, FileError
from bdfm.posterior.posterior import Posterior
from bdfm.risk.base import Estimator, RiskModel
from bdfm.risk.bayesian import bayesian_risk
from bdfm.risk.choices import Kind
from bdfm.risk.cross_section import CrossSectionalEstimator
from bdfm.risk.group_files import Groups
from bdfm.risk.inputs import check_one_day
from bdfm.risk.returns import compounded, doubt_prices, simple_returns
from bdfm.risk.spans import MAX_STALE_DAYS, Span
from bdfm.risk.statistical import StatisticalEstimator
from bdfm.risk.styles import YEAR, price_styles
from bdfm.risk.time_series import TimeSeriesEstimator

EQUAL: Final = "equal"  # name of the portfolio of equal weights
ROUNDING: Final = 5e-4  # of the sum of weights: what is shown as 0.0 %
MAX_GROSS_SHARES: Final = 5.0  # a column named percent with a larger gross weight holds percent
NO_GROUPS: Final = Groups()


class Chosen(NamedTuple):
    """Returns (period, asset) to fit; symbols left out for want of them; those whose price never moves."""

    returns: pd.DataFrame
    left_out: list[str]
    still: list[str]


class Fits(NamedTuple):
    """Models by name, what made them, and why the others could not be made."""

    models: dict[str, RiskModel]
    estimators: dict[str, Estimator]
    failures: dict[str, str]


@_renamed.keywords(symbols="assets")
def read_portfolios(
    path: str | Path,
    assets: Sequence[str],
    *,
    aliases: Aliases = None,
    decimal_mark: str | None = None,
    accept: Collection[str] | None = (),
    what: str = "portfolio",
) -> pd.DataFrame:
    r"""Weights (portfolio, asset) of a file with columns symbol, weight and optionally portfolio.

    The file may have any form of ``bdfm.read_prices``; a weight of 25% is 0.25, and so is 25 in a column
    whose name says percent, unless its numbers are small enough to be shares.
    A row of cash (CASH, Cash USD, ...; no symbol of the prices) stays as it is: it has no risk.

    Parameters
    ----------
    path
        The file.
    assets
        Which there are, by symbol.
    aliases, decimal_mark
        As in ``bdfm.read_prices``.
    accept
        Doubts about the weights that are right all the same; see ``bdfm.data.doubts``. None where they are
        examined later.
    what
        What messages call the file.

    Raises
    ------
    FileError
        A file that is missing, empty or no table.
    DataError
        No rows, weights that are no numbers, in percent or amounts, a symbol given twice.
    UnknownLabelError
        A symbol that is not among ``assets``.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from bdfm import risk
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder, "book.csv")
    ...     _ = file.write_text("Fund;Weight %\nXOM;60,0\nKO;40,0\n")
    ...     risk.read_portfolios(file, ["KO", "XOM"]).loc["book"].to_dict()
    {'KO': 0.4, 'XOM': 0.6}
    """
    where, path = what, _checks.path_of(path, what=what)
    given = read_records(
        path,
        what=where,
        columns={"symbol": SYMBOL_NAMES, "weight": WEIGHT_NAMES},
        numbers=("weight",),
        aliases=aliases,
        decimal_mark=decimal_mark,
    )
    unknown = given["symbol"][given["weight"].isna()]
    if len(unknown):
        raise DataError(
            f"{where}: {counted(len(unknown), 'row has', 'rows have')} no weight"
            f" ({_checks.first(unknown)}). Fill them."
        )
    if "portfolio" not in given:
        given["portfolio"] = stem(path)
    given["portfolio"] = _checks.category(given["portfolio"])
    unnamed = given["symbol"][given["portfolio"] == ""]
    if len(unnamed):
        raise DataError(
            f"{where}: {counted(len(unnamed), 'row names', 'rows name')} no portfolio"
            f" ({_checks.first(unnamed)}). Fill the column"
            " portfolio, or leave it out."
        )
    gross = given["weight"].abs().groupby(given["portfolio"]).sum()
    if "weight" in given.attrs.get(PERCENT, ()) and gross.max() > MAX_GROSS_SHARES:
        given["weight"] /= 100
        given.attrs[READING]["notes"] = [*given.attrs[READING].get("notes", []), "weights are percent"]
    double = given[given.duplicated(["portfolio", "symbol"])]
    if len(double):
        raise DataError(f"{where}: {_checks.first(double['symbol'])} given twice. Add the weights up.")
    held = [s for s in given["symbol"] if not is_cash(s, assets)]
    _checks.known(held, list(assets), what="symbol", where=where, alias=True)
    wide = given.pivot(index="portfolio", columns="symbol", values="weight").fillna(0.0)
    weights = wide.loc[list(dict.fromkeys(given["portfolio"]))]
    doubt(Tables("risk", portfolio=weights), accept=accept)
    weights.attrs[READING] = given.attrs[READING]
    return weights


def still_in(returns: pd.DataFrame) -> list[str]:
    """Assets whose price is the same in all of the periods: cash, or a peg."""
    return [str(c) for c in returns.columns[(returns.fillna(0.0) == 0.0).all() & returns.notna().any()]]


def told_of_cash(weights: pd.DataFrame, chosen: Chosen) -> list[str]:
    """One line about each portfolio (portfolio, asset) that is not fully invested in assets with risk."""
    told = []
    risky = set(chosen.returns.columns)
    for name, row in weights.iterrows():
        cash = {str(s): float(w) for s, w in row.items() if w and s not in risky}
        rest = 1 - float(row.sum())
        parts = [f"{s} {w:.1%}" for s, w in cash.items()]
        if rest > ROUNDING:
            parts.append(f"{rest:.1%} that is not invested")
        if parts:
            told.append(f"{name}: counted as cash, without risk: {', '.join(parts)}.")
        if rest < -ROUNDING:
            told.append(f"{name}: weights sum to {row.sum():.1%}; {-rest:.1%} is borrowed.")
    return told


def equal_weights(returns: pd.DataFrame) -> pd.DataFrame:
    """Weights (portfolio, asset) of the one portfolio that holds all assets of the returns alike."""
    return pd.DataFrame(1 / returns.shape[1], index=[EQUAL], columns=returns.columns)


def prices_until(prices: pd.DataFrame, origin: pd.Timestamp | None) -> pd.DataFrame:
    """Prices up to a day, all of them without one.

    Raises ``DataError`` for a day before the first price, or more than 10 days after the last.
    """
    if origin is None:
        return prices
    first, last = prices.index[0], prices.index[-1]
    if origin < first or (origin - last).days > max(MAX_STALE_DAYS, 2 * spacing_days(prices)):
        raise DataError(
            f"--origin: {origin:%Y-%m-%d} is outside of the prices, which run from {first:%Y-%m-%d} to"
            f" {last:%Y-%m-%d}. Choose a day of theirs."
        )
    return prices.loc[:origin]


def choose(
    returns: pd.DataFrame, *, only: Sequence[str] = (), held: Sequence[str] = ()
) -> tuple[pd.DataFrame, list[str]]:
    """Returns (period, asset) that models are fitted to, and the symbols left out for want of returns.

    Parameters
    ----------
    returns
        Of all assets of the file.
    only
        Take these alone; all, if none are named.
    held
        Assets of portfolios: never left out.

    Raises
    ------
    UnknownLabelError
        A symbol that the prices do not have.
    DataError
        No asset has all returns, or one that is held has none.
    """
    where = "risk"
    known = [str(c) for c in returns.columns]
    _checks.known(only, known, what="symbol", where=f"{where}: --only")
    if only:
        outside = [s for s in held if s not in set(only)]
        if outside:
            raise DataError(
                f"{where}: portfolios hold {_checks.first(outside)}, which is not among the assets to take."
                " Add it to --only or --universe."
            )
        returns = returns[[s for s in known if s in set(only)]]
    there = returns.notna()
    whole = there[there.any(axis=1)].all()
    dead = [s for s in held if not there[s].any()]
    if dead:
        raise DataError(
            f"{where}: {_checks.first(dead)}, held by a portfolio, has no return in the last"
            f" {counted(len(returns), 'period')}"
            f" up to {returns.index[-1]:%Y-%m-%d}. Take it out of the portfolio, or take a longer"
            " --window or an"
            " earlier --origin."
        )
    kept = [s for s in returns.columns if whole[s] or s in set(held)]
    if not kept:
        raise DataError(
            f"{where}: no asset has a return in each of the {len(returns)} periods. Take a shorter --window."
        )
    return returns[kept], [s for s in returns.columns if s not in set(kept)]


def returns_to_fit(
    prices: pd.DataFrame,
    length: Span,
    window: int,
    *,
    only: Sequence[str] = (),
    held: Sequence[str] = (),
    accept: Collection[str] | None = (),
) -> Chosen:
    """Returns of the last ``window`` periods, and symbols left out, as ``choose``; doubts about the others.

    Assets whose price is the same in all periods are cash or pegs: they have no risk, and are not fitted.
    Prices of assets that are neither fitted nor held are not examined (``bdfm.data.doubts``). Raises
    ``DataError`` as ``choose`` does, and where no price moves.
    """
    try:
        every = simple_returns(prices, period=length, window=window, accept=None)
        returns, left_out = choose(every, only=only, held=held)
    except DataError:
        doubt_prices(prices, length, window, accept=accept)  # the reason, if a rule knows it
        raise
    still = still_in(returns)
    examined = [s for s in returns.columns if s not in set(still) or s in set(held)]
    if len(still) == returns.shape[1]:
        examined = list(returns.columns)
    doubt_prices(prices[examined], length, window, accept=accept)
    if len(still) == returns.shape[1]:
        raise DataError(
            f"risk: no price moves in the last {counted(len(returns), 'period')} ({_checks.first(still)}):"
            " there is no"
            " risk to model. Give assets that trade, or a longer --window."
        )
    return Chosen(returns.drop(columns=still), left_out, still)


def estimator_from_files(
    kind: Kind,
    prices: pd.DataFrame,
    returns: pd.DataFrame,
    half_life_periods: float | None,
    *,
    factors: pd.DataFrame | None,
    groups: Groups = NO_GROUPS,
    accept: Collection[str] = (),
) -> Estimator:
    """Estimator of one kind.

    Parameters
    ----------
    kind
        Of the model.
    prices, returns
        Daily closes (day, asset), and the returns (period, asset) that will be fitted.
    half_life_periods
        Periods after which one counts half; None for equal weights.
    factors
        Daily factor returns (day, factor), decimals, for the time-series model. A risk-free rate among them
        is subtracted from the returns of assets (``split_risk_free``).
    groups
        Of the cross-sectional model: sectors and countries, and assets to estimate from, as far as known.
    accept
        Doubts about factors and groups that are right all the same (``bdfm.data.doubts``).
    """
    if kind is Kind.STATISTICAL:
        return StatisticalEstimator("marchenko_pastur", standardise=True, half_life_periods=half_life_periods)
    if kind is Kind.TIME_SERIES:
        if factors is None:
            raise DataError("--model time-series needs --factors, a file of daily factor returns.")
        days = pd.DatetimeIndex(returns.index)
        known, rate = split_risk_free(compounded(factors, days, accept=accept))
        return TimeSeriesEstimator(
            known, risk_free=rate, half_life_periods=half_life_periods, accept=tuple(accept)
        )
    days = pd.DatetimeIndex(returns.index)
    styles = price_styles(
        prices[list(returns.columns)], days[days >= prices.index[min(YEAR, len(prices) - 1)]]
    )
    return CrossSectionalEstimator(
        styles,
        dict(groups.categories),
        universe=groups.universe_of([str(c) for c in returns.columns]),
        half_life_periods=half_life_periods,
        accept=tuple(accept),
    )


def fit_each(
    estimators: Mapping[str, Callable[[], Estimator]], returns: pd.DataFrame, *, needed: bool = True
) -> Fits:
    """Models of several estimators; one that fails does not end the others.

    Parameters
    ----------
    estimators
        Name to what makes the estimator, which may fail too.
    returns
        (period, asset) to fit.
    needed
        Whether one of them has to succeed. If not, there are other models, and failures are told alone.

    Raises
    ------
    DataError
        All failed and one is needed; the message has every reason.
    """
    made: dict[str, Estimator] = {}
    models: dict[str, RiskModel] = {}
    failures: dict[str, str] = {}
    for name, make in estimators.items():
        try:
            made[name] = make()
            models[name] = made[name].fit(returns)
        except FileError:
            raise  # the user's to mend, whatever else there is
        except BdfmError as error:
            if len(estimators) == 1 and needed:
                raise
            failures[name] = str(error)
        except np.linalg.LinAlgError as error:
            failures[name] = f"{name}: its equations cannot be solved ({error})."
    if not models and needed:
        raise DataError("risk: no model could be made. " + " ".join(failures.values()))
    return Fits(models, {k: e for k, e in made.items() if k in models}, failures)


def risk_from_posterior(
    posterior: Posterior,
    weights: pd.DataFrame,
    origin: pd.Timestamp,
    *,
    days: pd.DatetimeIndex,
    where: str,
) -> RiskModel:
    """Bayesian risk over the posterior's own period, for the assets of the weights.

    ``origin`` is the last day that other models use, ``days`` are all days of the prices; ``DataError`` where
    the posterior's origin is another trading day, in the file or after its end. ``where`` is what messages
    call the posterior: its file.
    """
    check_one_day(posterior.panel.origin, origin, days, where=where, what="forecast")
    found = bayesian_risk(posterior)
    held = [str(c) for c in weights.columns[(weights != 0).any()]]
    _checks.known(held, found.assets, what="asset", where=where)
    return found
