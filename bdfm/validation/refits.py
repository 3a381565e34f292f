"""Refits of a risk model, whose forecasts meet returns that it has not seen."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.progress import track

from bdfm import _checks
from bdfm._optional import optional
from bdfm._reading import counted
from bdfm._seeds import either_seed
from bdfm._strict import strict
from bdfm._weights import check_table, numbers
from bdfm.errors import DataError
from bdfm.names import DRAW
from bdfm.risk.base import Estimator, RiskModel
from bdfm.risk.returns import examined, returns_table
from bdfm.risk.time_series import TimeSeriesEstimator
from bdfm.validation.out_of_sample import OutOfSample

Floats = NDArray[np.float64]

MIN_TRAINING: Final = 5  # periods of a fold, and of what a split fits to
N_RANDOM: Final = 50  # random test portfolios of each kind
_LEVERAGE: Final = 0.99  # an asset that decides its factor return alone cannot be predicted from the others


@either_seed
@strict
def trial_portfolios(assets: Sequence[str], *, seed: int, n_random: int = N_RANDOM) -> pd.DataFrame:
    """Weights (portfolio, asset), indexed by (group, name): what forecasts of risk are tried on.

    ``asset``: each alone. ``equal``: equally weighted. ``long only``: random weights that sum to 1 (uniform
    on the simplex), of which the factors make most of the risk. ``long-short``: random weights that sum to 0,
    absolute ones to 2, in which specific risk counts. There are ``n_random`` of ``assets`` in each of
    the random groups, drawn with ``seed``.

    Raises ``DataError`` for fewer than two assets.

    Examples
    --------
    >>> from bdfm import validation
    >>> validation.trial_portfolios(["A", "B", "C"], seed=1, n_random=2).groupby(level=0).size().to_dict()
    {'asset': 3, 'equal': 1, 'long only': 2, 'long-short': 2}
    """
    labels = [str(a) for a in assets]
    if len(labels) < 2:
        raise DataError(f"test portfolios: {len(labels)} asset. Give two or more: one cannot be spread.")
    n, rng = len(labels), np.random.default_rng(seed)
    long_only = rng.dirichlet(np.ones(n), n_random)
    spread = rng.standard_normal((n_random, n))
    spread -= spread.mean(axis=1, keepdims=True)
    spread *= 2 / np.abs(spread).sum(axis=1, keepdims=True)
    blocks = {
        "asset": (labels, np.eye(n)),
        "equal": (["equal"], np.full((1, n), 1 / n)),
        "long only": ([f"long only {i + 1}" for i in range(n_random)], long_only),
        "long-short": ([f"long-short {i + 1}" for i in range(n_random)], spread),
    }
    index = [(group, name) for group, (names, _) in blocks.items() for name in names]
    return pd.DataFrame(
        np.vstack([w for _, w in blocks.values()]),
        index=pd.MultiIndex.from_tuples(index, names=["group", "portfolio"]),
        columns=labels,
    )


@dataclass(frozen=True, eq=False)
class _Block:
    """What one model said about some periods, and what came."""

    index: pd.DatetimeIndex
    realised: Floats  # (period, portfolio)
    variance: Floats  # (portfolio,)
    baseline: Floats  # (portfolio,) sample variance of the training returns
    distance: Floats  # (period,) squared Mahalanobis distance per asset
    minimum: Floats  # (period, 2) return of the minimum-variance portfolio and its forecast variance
    unexplained: Floats  # (period, asset) return less what the factors explain
    actual: Floats  # (period, asset)


def _evaluate(
    model: RiskModel, estimator: Estimator, train: pd.DataFrame, unseen: pd.DataFrame, weights: Floats
) -> _Block:
    r = unseen.to_numpy()
    table = pd.DataFrame(weights, columns=list(model.assets))
    variance = model.variance(table)
    variance = variance.mean(DRAW) if DRAW in variance.dims else variance
    held = weights != 0
    known = np.isfinite(r)
    realised = np.nan_to_num(r) @ weights.T
    realised[(~known).astype(float) @ held.T > 0] = np.nan
    past = train.to_numpy()
    past = past[np.isfinite(past).any(axis=1)]
    baseline = np.array([_sample_variance(past, w) for w in weights])
    full = known.all(axis=1)
    distance = np.full(len(r), np.nan)
    minimum = np.full((len(r), 2), np.nan)
    solved = model.solve(np.column_stack([np.ones(r.shape[1]), r[full].T]))
    distance[full] = (r[full].T * solved[:, 1:]).sum(axis=0) / r.shape[1]
    total = solved[:, 0].sum()
    minimum[full] = np.column_stack([r[full] @ solved[:, 0] / total, np.full(full.sum(), 1 / total)])
    actual, unexplained = _explain(model, estimator, unseen)
    return _Block(
        pd.DatetimeIndex(unseen.index),
        realised,
        variance.to_numpy(),
        baseline,
        distance,
        minimum,
        unexplained,
        actual,
    )


def _sample_variance(past: Floats, weights: Floats) -> float:
    held = weights != 0
    own = past[:, held]
    rows = np.isfinite(own).all(axis=1)
    return float(np.var(own[rows] @ weights[held], ddof=1)) if rows.sum() > 1 else np.nan


def _explain(model: RiskModel, estimator: Estimator, unseen: pd.DataFrame) -> tuple[Floats, Floats]:
    """Returns to be explained and what is left of them (period, asset).

    Where factor returns are observed: r - B f. Elsewhere factor returns come from the period's own
    cross-section, and each asset is left out of the estimate that explains it: e_i / (1 - h_i).
    """
    b, d = (x.mean(DRAW) if DRAW in x.dims else x for x in (model.exposures, model.specific_variance))
    if isinstance(estimator, TimeSeriesEstimator):
        excess, factors = estimator.realised(unseen)
        return excess.to_numpy(), excess.to_numpy() - factors.to_numpy() @ b.to_numpy().T
    r, root = unseen.to_numpy(), 1 / np.sqrt(np.maximum(d.to_numpy(), 1e-300))
    left = np.full_like(r, np.nan)
    for t, row in enumerate(r):
        use = np.isfinite(row)
        if not use.any():
            continue
        x = b.to_numpy()[use] * root[use, None]
        u, s, _ = np.linalg.svd(x, full_matrices=False)
        u = u[:, s > s[0] * 1e-10]
        y = row[use] * root[use]
        leverage = np.square(u).sum(axis=1)
        own = (y - u @ (u.T @ y)) / np.where(leverage < _LEVERAGE, 1 - leverage, np.nan)
        left[t, use] = own / root[use]
    return r, left


def refit(
    estimator: Estimator, past: pd.DataFrame, *, where: str, held: Collection[str] | None = None
) -> RiskModel:
    """Model of an estimator refitted to returns that went through the rules, over one of their periods.

    It has their assets in their order, or at least those that are ``held``. Raises ``DataError`` for another
    model: what it says would be of other portfolios, or of other periods, than what comes.
    """
    with examined():
        model = estimator.fit(past)
    expected = [str(c) for c in past.columns] if held is None else list(held)
    lacking = [a for a in expected if a not in set(model.assets)]
    if lacking:
        raise DataError(
            f"{where}: the {model.kind} model lacks {_checks.first(lacking)}: too few returns up to"
            f" {past.index[-1]:%Y-%m-%d}, or none of late, where an asset ended. Start later,"
            " or leave them out."
        )
    if held is None and list(model.assets) != expected:
        raise DataError(
            f"{where}: the {model.kind} model has other assets than the returns, or in another order."
            " Its estimator must keep to their columns."
        )
    if model.periods != 1:
        raise DataError(
            f"{where}: the {model.kind} model is over {model.periods:g} periods, and what comes is of one."
            " Let its estimator give the model before scale_to()."
        )
    return model


def origins_of(n_periods: int, window: int | None, step: int, start: int | None, *, where: str) -> range:
    """Numbers of periods known at each origin of a walk-forward; parameters as in ``walk_forward``."""
    step = _checks.at_least(step, 1, what="step", where=where)
    if window is not None:
        window = _checks.at_least(window, 2, what="window", where=where)
    first = (n_periods // 2 if window is None else window) if start is None else start
    _checks.at_least(first, 2, what="start", where=where)
    if first >= n_periods:
        raise DataError(f"{where}: {n_periods} periods, none left after the first {first}. Start earlier.")
    return range(first, n_periods, step)


@either_seed
@strict
def walk_forward(
    estimator: Estimator,
    returns: pd.DataFrame,
    *,
    window: int | None = None,
    step: int = 1,
    start: int | None = None,
    portfolios: pd.DataFrame | None = None,
    seed: int = 0,
    progress: bool = False,
) -> OutOfSample:
    """Risk forecast from the past alone, again and again, and what came.

    Parameters
    ----------
    estimator
        Refitted at each origin to the returns up to it; its model holds for the next ``step`` periods.
    returns
        (period, asset) simple returns.
    window
        Last periods that each fit sees; ``None`` for all of the past.
    step
        Periods between refits.
    start
        Number of periods before the first forecast: the window unless given, or half of the data without one.
    portfolios
        Weights (portfolio, asset) to try forecasts on, indexed by name or by (group, name);
        ``trial_portfolios`` with ``seed`` unless given.
    progress
        Whether to show a progress bar.

    Raises
    ------
    DataError
        Too few periods, or whatever the estimator raises, with the origin named.
    """
    where = "walk-forward"
    table = returns_table(returns, where=where)
    stops = origins_of(len(table), window, step, start, where=where)
    weights = _weights(portfolios, table, seed)
    blocks: list[_Block] = []
    origins: list[pd.Timestamp] = []
    kind = ""
    shown: Iterable[int] = track(stops, "Walk-forward ...", transient=True) if progress else stops
    for stop in shown:
        past = table.iloc[max(0, stop - window) if window else 0 : stop]
        try:
            model = refit(estimator, past, where="risk model")
        except DataError as error:
            raise DataError(f"{where}, origin {past.index[-1]:%Y-%m-%d}: {error}") from error
        unseen = table.iloc[stop : stop + step]
        blocks.append(_evaluate(model, estimator, past, unseen, weights.to_numpy()))
        origins += [past.index[-1]] * len(unseen)
        kind = model.kind
    return _joined(blocks, kind, weights.index, table.columns, origins)


def _weights(portfolios: pd.DataFrame | None, table: pd.DataFrame, seed: int) -> pd.DataFrame:
    if portfolios is None:
        return trial_portfolios(list(table.columns), seed=seed)
    where = "portfolios"
    _checks.known(map(str, portfolios.columns), list(table.columns), what="asset", where=where)
    weights = numbers(portfolios, where=where).reindex(columns=table.columns, fill_value=0.0)
    empty = weights.index[(weights == 0).all(axis=1)]
    if len(empty):
        raise DataError(f"{where}: {_checks.first(empty)} holds nothing. Give it at least one weight.")
    check_table(weights, where=where, named=True)
    if weights.index.nlevels == 1:
        weights.index = pd.MultiIndex.from_tuples([("given", str(x)) for x in weights.index])
    return weights


def _joined(
    blocks: Sequence[_Block],
    kind: str,
    portfolios: pd.Index[Any],
    assets: pd.Index[Any],
    origins: Sequence[Any],
) -> OutOfSample:
    index = pd.DatetimeIndex(np.concatenate([b.index.to_numpy() for b in blocks]))
    lengths = [len(b.index) for b in blocks]

    def frame(values: list[Floats], columns: Any) -> pd.DataFrame:
        return pd.DataFrame(np.concatenate(values), index, columns)

    return OutOfSample(
        kind,
        frame([b.realised for b in blocks], portfolios),
        frame([np.tile(b.variance, (n, 1)) for b, n in zip(blocks, lengths, strict=True)], portfolios),
        frame([np.tile(b.baseline, (n, 1)) for b, n in zip(blocks, lengths, strict=True)], portfolios),
        pd.Series(np.concatenate([b.distance for b in blocks]), index, name="distance"),
        frame([b.minimum for b in blocks], ["realised", "variance"]),
        frame([b.actual for b in blocks], assets),
        frame([b.unexplained for b in blocks], assets),
        pd.Series(list(origins), index, name="origin"),
    )


@either_seed
@strict
def cross_validate(
    estimator: Estimator,
    returns: pd.DataFrame,
    *,
    n_folds: int = 6,
    n_test_folds: int = 2,
    purged_size: int = 1,
    embargo_size: int | None = None,
    portfolios: pd.DataFrame | None = None,
    seed: int = 0,
    progress: bool = False,
) -> list[OutOfSample]:
    """Paths of combinatorial purged cross-validation (Lopez de Prado 2018): each covers all periods once.

    The data are cut into folds; each choice of test folds is one split, fitted to the other folds without
    the periods next to a test fold. Recombined, the splits give several full paths, so that a figure comes
    with its spread over ways to divide history. Unlike walk-forward, models also see what came after the
    test: this asks how stable a model is, not how it would have done.

    Parameters
    ----------
    estimator, returns, portfolios, seed, progress
        As in ``walk_forward``. Training rows outside the split are masked, so that dates of exposures stay.
    n_folds, n_test_folds, purged_size, embargo_size
        As in skfolio's ``CombinatorialPurgedCV``; the embargo is 1 % of the periods unless given.

    Raises
    ------
    MissingDependencyError
        skfolio is not installed.
    DataError
        Fewer than 5 periods in a fold, no fold to fit to, or a split that leaves fewer than 5 periods to
        fit to.

    Examples
    --------
    >>> import bdfm
    >>> from bdfm import risk
    >>> prices, _ = bdfm.demo()
    >>> returns = risk.simple_returns(prices.loc[:"2021-12-31"], period_days=7).iloc[-104:]
    >>> from bdfm import validation
    >>> paths = validation.cross_validate(risk.StatisticalEstimator(3), returns, n_folds=4)
    >>> len(paths)
    3
    """
    where = "cross-validation"
    selection = optional("skfolio.model_selection", what=where, extra="validation")
    table = returns_table(returns, where=where)
    embargo = len(table) // 100 if embargo_size is None else embargo_size
    for what, value, least in (
        ("n_folds", n_folds, 3),
        ("n_test_folds", n_test_folds, 2),
        ("purged_size", purged_size, 0),
        ("embargo_size", embargo, 0),
    ):
        _checks.at_least(value, least, what=what, where=where)
    if n_test_folds >= n_folds:
        raise DataError(
            f"{where}: {n_test_folds} of {n_folds} folds are tested, and none is left to fit to. Give fewer"
            " n_test_folds, or more n_folds."
        )
    if len(table) < MIN_TRAINING * n_folds:
        raise DataError(
            f"{where}: {counted(len(table), 'period')} in {n_folds} folds. Give at least"
            f" {MIN_TRAINING * n_folds}."
        )
    if purged_size + embargo >= len(table) // n_folds - 1:  # what skfolio takes
        raise DataError(
            f"{where}: {purged_size} periods purged and {embargo} under embargo leave nothing of a fold of"
            f" {len(table) // n_folds}. Give fewer, or fewer folds."
        )
    splitter = selection.CombinatorialPurgedCV(n_folds, n_test_folds, purged_size, embargo)
    weights = _weights(portfolios, table, seed)
    splits = list(splitter.split(table))
    least = min(len(train) for train, _ in splits)
    if least < MIN_TRAINING:
        raise DataError(
            f"{where}: a split leaves {least} of {len(table)} periods to fit to, at least {MIN_TRAINING} are"
            f" needed: {n_test_folds} of {n_folds} folds are tested, {purged_size} periods purged on either"
            f" side of them and {embargo} under embargo. Give fewer of them, or more periods."
        )
    paths: dict[int, list[_Block]] = {}
    kind = ""
    numbered = list(zip(splits, splitter.get_path_ids(), strict=True))
    shown: Iterable[Any] = track(numbered, "Cross-validation ...", transient=True) if progress else numbered
    for (train, tests), path_ids in shown:
        seen = pd.DataFrame(np.nan, table.index, table.columns)
        seen.iloc[train] = table.iloc[train]
        model = refit(estimator, seen, where=where)
        kind = model.kind
        for test, path in zip(tests, path_ids, strict=True):
            unseen = table.iloc[test]
            own = model
            if hasattr(estimator, "at"):  # exposures known when the test begins, not at the end of the data
                day = table.index[max(test[0] - 1, 0)]
                try:
                    own = estimator.at(model, day)
                except DataError:  # before the first exposures: nothing can be said of this fold
                    unseen = unseen * np.nan
            paths.setdefault(int(path), []).append(
                _evaluate(own, estimator, seen, unseen, weights.to_numpy())
            )
    results = []
    for blocks in paths.values():
        ordered = sorted(blocks, key=lambda b: b.index[0])
        origins = [pd.NaT] * sum(len(b.index) for b in ordered)
        results.append(_joined(ordered, kind, weights.index, table.columns, origins))
    return results
