"""Which factors? Candidates of any kind judged one by one, together, and on periods left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from bdfm import _checks, _renamed
from bdfm._figures import new_figure
from bdfm._html import opening
from bdfm._reading import counted
from bdfm._seeds import either_seed
from bdfm._strict import strict
from bdfm.data.doubts.factors import collinear_factors
from bdfm.data.doubts.tables import Tables
from bdfm.errors import DataError
from bdfm.risk.returns import returns_table
from bdfm.validation import statistics
from bdfm.validation.forward import chosen_size, forward, resampled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]
LEVEL: Final = 0.05
KNOTS: Final = (0.05, 0.275, 0.5, 0.725, 0.95)  # quantiles of a factor where its response may bend
GIVEN, COMPONENT = "given", "component"


@strict
def published(
    series: pd.Series, periods: pd.DatetimeIndex, *, lag_days: int, change: bool = True
) -> pd.Series:
    """Macroeconomic series (period,) as it was known at the end of each period.

    Parameters
    ----------
    series
        (reference day,) values, dated by what they describe: the last day of the month or quarter.
    periods
        Last day of each period.
    lag_days
        Calendar days from the reference day to publication. Revisions are not undone: give first values.
    change
        Whether to return the change since the end of the period before (a factor), or the level.

    Raises
    ------
    DataError
        No value known at the first period, or missing values.

    Examples
    --------
    >>> import pandas as pd
    >>> from bdfm import validation
    >>> inflation = pd.Series([0.02, 0.03, 0.05], pd.to_datetime(["2021-10-31", "2021-11-30", "2021-12-31"]))
    >>> ends = pd.to_datetime(["2021-12-15", "2022-01-15"])
    >>> validation.published(inflation, ends, lag_days=14, change=False).tolist()
    [0.03, 0.05]
    """
    where = f"macroeconomic series {series.name or ''}".strip()
    lag = _checks.at_least(lag_days, 0, what="lag_days", where=where)
    days = _checks.days(series.index, where=where)
    values = _checks.numeric(series.set_axis(days).to_frame("value"), where=where)["value"].sort_index()
    if values.isna().any():
        raise DataError(
            f"{where}: {counted(int(values.isna().sum()), 'value is', 'values are')} missing. Drop those"
            " days."
        )
    out = pd.DatetimeIndex(values.index) + pd.Timedelta(days=lag)
    row = out.searchsorted(pd.DatetimeIndex(periods), side="right") - 1
    if len(row) and row[0] < 0:
        raise DataError(
            f"{where}: nothing was published by {periods[0]:%Y-%m-%d}; the first value came out on"
            f" {out[0]:%Y-%m-%d}. Start the periods later."
        )
    level = pd.Series(values.to_numpy()[row], pd.DatetimeIndex(periods), name=series.name)
    return level.diff() if change else level


@dataclass(frozen=True, eq=False, repr=False)
class FactorSelection:
    """Candidate factors compared; made by ``select_factors``.

    Attributes
    ----------
    factors
        One row per candidate: ``kind``; ``alone`` and ``marginal``, mean over assets of R² by itself and lost
        when it is taken from all; ``significant``, assets with a significant exposure beside all others
        (Holm, HAC errors); ``drifting``, assets whose exposure differs between the halves;
        ``variance_inflation``; ``response``, "line", "curve" or "cloud"; ``chosen``; ``frequency``, share of
        bootstrap samples in which it is chosen, NaN without any.
    pairs
        One row per candidate and asset: ``alone``, ``marginal``, ``t`` (joint, HAC), ``p_curve`` and
        ``response``.
    path
        Forward selection: factor added, out-of-sample R², its gain and the gain's standard error.
    chosen
        Names of the subset chosen, in the order of the path.
    best
        Size of the subset with the highest out-of-sample R².
    bootstrap_r_squared
        Out-of-sample R² of the chosen size in each bootstrap sample.
    """

    factors: pd.DataFrame
    pairs: pd.DataFrame
    path: pd.DataFrame
    chosen: tuple[str, ...]
    best: int
    bootstrap_r_squared: Floats
    _returns: pd.DataFrame
    _candidates: pd.DataFrame

    @property
    def conclusion(self) -> str:
        """What was chosen, how sure that is, and what to look at, in plain language."""
        sure = self.factors.loc[list(self.chosen), "frequency"]
        at = self.path.iloc[len(self.chosen) - 1]
        spread = " (no bootstrap samples: how sure that is, is not known)"
        if len(self.bootstrap_r_squared):
            low, high = np.quantile(self.bootstrap_r_squared, [0.05, 0.95])
            spread = f" (90 % of bootstrap samples: {low:.1%} to {high:.1%})"
        text = [
            f"Chosen: {', '.join(self.chosen)}; out-of-sample R² {at['r_squared']:.1%}{spread}. The"
            f" highest R² needs {self.best}; the subset is the smallest within one standard error of it."
        ]
        shaky = sure[sure < 0.8]
        if len(shaky):
            named = ", ".join(f"{n} {v:.0%}" for n, v in shaky.items())
            text.append(f"Not sure: chosen in fewer than 80 % of bootstrap samples: {named}.")
        rivals = self.factors.loc[~self.factors["chosen"], "frequency"]
        rivals = rivals[rivals > 0.2]
        if len(rivals):
            named = ", ".join(f"{n} {v:.0%}" for n, v in rivals.items())
            text.append(f"Left out here but often chosen in bootstrap samples: {named}.")
        for response, meaning in (
            ("curve", "respond along a curve, which a linear exposure misses: add a transformed factor"),
            ("cloud", "show no response: leave out"),
        ):
            names = self.factors.index[self.factors["response"] == response]
            if len(names):
                text.append(f"{_checks.first(names)} {meaning}.")
        twins = self.factors.index[self.factors["variance_inflation"] > 10]
        if len(twins):
            text.append(f"{_checks.first(twins)} can hardly be told apart (variance inflation above 10).")
        return "\n".join(text)

    def __repr__(self) -> str:
        return f"<bdfm.FactorSelection: {', '.join(self.chosen)} of {len(self.factors)} candidates>"

    def _repr_html_(self) -> str:
        return (
            opening(self, self.conclusion.split("\n"))
            + self.factors.to_html(float_format="{:.3f}".format, border=0)
            + self.path.to_html(float_format="{:.4f}".format, border=0)
        )

    def plot(self) -> Figure:
        """Out-of-sample R² along the path, and how often each candidate is chosen."""
        figure, axes = new_figure(1, 2, figsize=(9.5, 1.6 + 0.24 * len(self.factors)))
        left, right = axes[0]
        place = np.arange(len(self.path))
        left.errorbar(100 * self.path["r_squared"], place, xerr=100 * self.path["se"], fmt="o-", ms=4, lw=1)
        left.set_yticks(place, [f"+ {n}" for n in self.path["factor"]], fontsize=7)
        left.axhline(len(self.chosen) - 0.5, color="C3", lw=0.8, ls="--")
        left.invert_yaxis()
        left.set_xlabel("out-of-sample R², %; bar: error of the gain", fontsize=8)
        order = self.factors["frequency"].sort_values()
        colours = ["C0" if n in self.chosen else "#bbbbbb" for n in order.index]
        right.barh(range(len(order)), 100 * order, color=colours)
        right.set_yticks(range(len(order)), [str(n) for n in order.index], fontsize=7)
        right.set_xlabel("chosen in % of bootstrap samples", fontsize=8)
        for axis in (left, right):
            axis.tick_params(labelsize=7)
            axis.spines[["top", "right"]].set_visible(False)
        return figure

    def plot_responses(self, *, factors: Sequence[str] | None = None) -> Figure:
        """Scatter of the most responsive asset against each factor: line, means of ten bins, verdict.

        Raises ``UnknownLabelError`` for a factor that was no candidate.
        """
        names = list(self.factors.index) if factors is None else list(factors)
        _checks.known(names, list(self.factors.index), what="factor", where="responses")
        columns = min(4, len(names))
        figure, axes = new_figure(
            -(-len(names) // columns), columns, figsize=(2.6 * columns, 0.3 + 2.3 * -(-len(names) // columns))
        )
        for axis in axes.ravel()[len(names) :]:
            axis.remove()
        for axis, name in zip(axes.ravel(), names, strict=False):
            own = self.pairs.loc[name]
            curved = self.factors.loc[name, "response"] == "curve"
            asset = str(own["p_curve"].idxmin() if curved else own["alone"].idxmax())
            x, y = self._candidates[name].to_numpy(), 100 * self._returns[asset].to_numpy()
            axis.plot(x, y, ".", ms=2, color="#777777", alpha=0.5)
            slope, intercept = np.polyfit(x, y, 1)
            ends = np.array([x.min(), x.max()])
            axis.plot(ends, intercept + slope * ends, color="C0", lw=1.2)
            bins = np.array_split(np.argsort(x), 10)
            axis.errorbar(
                [x[b].mean() for b in bins],
                [y[b].mean() for b in bins],
                yerr=[2 * y[b].std() / np.sqrt(len(b)) for b in bins],
                fmt="o-",
                ms=3,
                lw=1,
                color="C3",
            )
            verdict = str(own["response"].loc[asset])
            axis.set_title(f"{asset} on {name}: {verdict}", fontsize=7)
            axis.tick_params(labelsize=6)
            axis.spines[["top", "right"]].set_visible(False)
        figure.supylabel("return, %", fontsize=8)
        return figure


@_renamed.keywords(level="false_alarm")
@either_seed
@strict
def select_factors(
    returns: pd.DataFrame,
    candidates: pd.DataFrame | None = None,
    *,
    kinds: Mapping[str, str] | None = None,
    n_components: int = 0,
    n_folds: int = 5,
    n_bootstrap: int = 50,
    false_alarm: float = LEVEL,
    seed: int,
) -> FactorSelection:
    """Candidate factors judged by what they explain, and a subset chosen on periods left out.

    Parameters
    ----------
    returns
        (period, asset) simple returns, complete.
    candidates
        (period, factor) for the same periods: characteristic-sorted portfolios (``double_sort``), changes of
        macroeconomic series (``published``), or any others; complete.
    kinds
        What each candidate is, for the table, such as ``{"SMB": "sorted portfolio"}``.
    n_components
        Number of principal components of the returns as further candidates, "PC1" and so on. For the choice
        their weights are those of the periods not left out, and each asset's own return is left out of the
        components that explain it. ``alone`` and ``marginal`` are of the full components, which contain it.
    n_folds
        Contiguous folds, each left out once, with one period on either side purged.
    n_bootstrap
        Samples, of blocks of periods within each fold, on which the whole choice is repeated; 0 for none.
    false_alarm
        Chance that any test finds what is not there: their level, corrected for their number (Holm,
        Bonferroni).
    seed
        Of the bootstrap.

    Notes
    -----
    Forward selection by out-of-sample R², mean over assets in units of their own variance, of factor returns
    that are known when they happen: it asks what explains risk, not what forecasts returns. The smallest
    subset within one standard error of the best is chosen.

    Raises
    ------
    DataError
        No candidates, gaps, other periods, too few periods for the folds, assets that never moved,
        candidates that do not move or are combinations of others.
    UnknownLabelError
        A name of ``kinds`` that is no candidate.
    """
    where = "factor selection"
    level = _checks.false_alarm(false_alarm, where=where)
    table = returns_table(returns, where=where)
    given = pd.DataFrame(index=table.index) if candidates is None else candidates
    given = given.set_axis([str(c) for c in given.columns], axis=1)
    n_folds = _checks.at_least(n_folds, 2, what="n_folds", where=where)
    n_bootstrap = _checks.at_least(n_bootstrap, 0, what="n_bootstrap", where=where)
    if _checks.at_least(n_components, 0, what="n_components", where=where) > table.shape[1]:
        raise DataError(f"{where}: {n_components} components of {table.shape[1]} assets. Ask for no more.")
    if not (given.shape[1] or n_components):
        raise DataError(f"{where}: no candidates. Give a table, or n_components.")
    if candidates is not None and not _checks.days(given.index, where=where).equals(table.index):
        raise DataError(f"{where}: candidates and returns have different periods. Reindex one.")
    for what, values in (("returns", table), ("candidates", given)):
        bad = values.columns[~np.isfinite(values.to_numpy(dtype=float)).all(axis=0)]
        if len(bad):
            raise DataError(f"{where}: {what} have gaps ({_checks.first(bad)}). Start later, or drop them.")
    for what, values in (("returns", table), ("candidates", given)):
        still = values.columns[(values.max() == values.min()).to_numpy()]
        if len(still):
            raise DataError(f"{where}: {what} of {_checks.first(still)} never move. Drop them.")
    alike = [f for f in collinear_factors(Tables("risk", factors=given)) if f.severity == "refuse"]
    if alike:
        raise DataError(f"{where}: candidates: {alike[0].seen}. {alike[0].usual} {alike[0].remedy}")
    components = [f"PC{i + 1}" for i in range(n_components)]
    names = [*given.columns, *components]
    _checks.unique(names, what="candidate", where=where)
    if len(table) < 10 * n_folds or len(table) < 3 * (len(names) + 1):
        raise DataError(
            f"{where}: {counted(len(table), 'period')} for {counted(len(names), 'candidate')} in {n_folds}"
            " folds: too few."
        )
    y, x = table.to_numpy(), given.to_numpy(dtype=float)
    everything = np.column_stack([x, _scores(y, y, n_components)])
    factors, pairs = _judge(everything, y, names, list(table.columns), level)
    folds = np.array_split(np.arange(len(y)), n_folds)
    path, losses = forward(x, y, names, n_components, folds)
    size, best = chosen_size(losses)
    chosen = tuple(path["factor"][:size])
    rng = np.random.default_rng(seed)
    counts, reached = pd.Series(0.0, names), np.empty(n_bootstrap)
    for i in range(n_bootstrap):
        rows = [resampled(fold, rng) for fold in folds]
        flat = np.concatenate(rows)
        again, own = forward(x[flat], y[flat], names, n_components, folds)
        own_size, _ = chosen_size(own)
        counts[list(again["factor"][:own_size])] += 1
        reached[i] = again["r_squared"].iloc[own_size - 1]
    kind = {n: GIVEN for n in given.columns} | {n: COMPONENT for n in components} | dict(kinds or {})
    _checks.known(kind, names, what="candidate", where=f"{where}: kinds")
    factors.insert(0, "kind", [kind[n] for n in names])
    factors["chosen"] = [n in chosen for n in names]
    factors["frequency"] = counts / n_bootstrap if n_bootstrap else np.nan
    frame = pd.DataFrame(everything, table.index, names)
    return FactorSelection(factors, pairs, path, chosen, best, reached, table, frame)


def _scores(train: Floats, values: Floats, n_components: int) -> Floats:
    """Components (period, component) of ``values`` with the weights of ``train``, standardised returns."""
    if not n_components:
        return np.empty((len(values), 0))
    mean, sd = train.mean(axis=0), train.std(axis=0)
    _, _, right = np.linalg.svd((train - mean) / sd, full_matrices=False)
    weights = right[:n_components].T
    weights = weights * np.where(weights.sum(axis=0) < 0, -1.0, 1.0)
    return np.asarray((values - mean) / sd @ weights / np.sqrt(train.shape[1]))


# -- one by one and together -------------------------------------------------------------------------------


def _judge(
    x: Floats, y: Floats, names: list[str], assets: list[str], level: float
) -> tuple[pd.DataFrame, pd.DataFrame]:
    n, k = x.shape
    ones = np.ones((n, 1))
    full = statistics.regress(np.column_stack([ones, x]), y)
    p = 2 * stats.t.sf(np.abs(full.t[1:]), n - k - 1)
    significant = statistics.holm(p, level)
    half = n // 2
    parts = [
        statistics.regress(np.column_stack([ones[s], x[s]]), y[s], lags=0)
        for s in (slice(half), slice(half, n))
    ]
    variance = sum(np.diagonal(q.covariances, axis1=1, axis2=2).T[1:] for q in parts)
    change = (parts[1].coefficients[1:] - parts[0].coefficients[1:]) / np.sqrt(np.maximum(variance, 1e-300))
    drifting = statistics.holm(2 * stats.t.sf(np.abs(change), half - k - 1), level)
    alone, marginal, straight, curved = (np.empty((k, y.shape[1])) for _ in range(4))
    for j in range(k):
        single = statistics.regress(np.column_stack([ones, x[:, j]]), y)
        alone[j] = single.r_squared
        straight[j] = 2 * stats.t.sf(np.abs(single.t[1]), n - 2)
        others = statistics.regress(np.column_stack([ones, np.delete(x, j, axis=1)]), y)
        marginal[j] = full.r_squared - others.r_squared
        curved[j] = curve_p_values(x[:, j], y)
    bends, lines = statistics.holm(curved, level), statistics.holm(straight, level)
    response = np.where(bends, "curve", np.where(lines, "line", "cloud"))
    factors = pd.DataFrame(
        {
            "alone": alone.mean(axis=1),
            "marginal": marginal.mean(axis=1),
            "significant": significant.sum(axis=1),
            "drifting": drifting.sum(axis=1),
            "variance_inflation": statistics.variance_inflation(x) if k > 1 else 1.0,
            "response": np.where(bends.any(axis=1), "curve", np.where(lines.any(axis=1), "line", "cloud")),
        },
        index=pd.Index(names, name="factor"),
    )
    index = pd.MultiIndex.from_product([names, assets], names=["factor", "asset"])
    columns = {"alone": alone, "marginal": marginal, "t": full.t[1:], "p_curve": curved, "response": response}
    return factors, pd.DataFrame({c: v.ravel() for c, v in columns.items()}, index=index)


def curve_p_values(x: Floats, y: Floats) -> Floats:
    """p-values (asset,) of a linear response of ``y`` (period, asset) to a factor (period,).

    Natural cubic spline with five knots against the line: a Wald test of its three further terms with errors
    that allow for more noise at large moves (HC3), so that it does not pass for a bend.
    """
    z = (x - x.mean()) / x.std()
    knots = np.quantile(z, KNOTS)
    if np.min(np.diff(knots)) <= 0:
        return np.ones(y.shape[1])  # a factor of few values cannot show a bend

    def cut(knot: float) -> Floats:
        return np.maximum(z - knot, 0.0) ** 3

    last = (cut(knots[-2]) - cut(knots[-1])) / (knots[-1] - knots[-2])
    bends = [(cut(k) - cut(knots[-1])) / (knots[-1] - k) - last for k in knots[:-2]]
    design = np.column_stack([np.ones_like(z), z, *[b / max(float(b.std()), 1e-300) for b in bends]])
    inverse = np.linalg.pinv(design.T @ design)
    coefficients = inverse @ design.T @ y
    leverage = np.einsum("tk,kl,tl->t", design, inverse, design)
    # MacKinnon and White's HC3: at a few large moves plain White errors are far too small.
    error = (y - design @ coefficients) / np.maximum(1 - leverage, 1e-6)[:, None]
    k = design.shape[1]
    pairs = (design[:, :, None] * design[:, None, :]).reshape(len(z), -1)
    meat = (np.square(error).T @ pairs).reshape(y.shape[1], k, k)
    b, covariance = coefficients[2:], (inverse @ meat @ inverse)[:, 2:, 2:]
    wald = np.einsum("kn,nkl,ln->n", b, np.linalg.pinv(covariance, hermitian=True), b)
    return np.asarray(stats.f.sf(wald / 3, 3, len(z) - design.shape[1]))
