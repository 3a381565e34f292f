"""Backtests of value at risk and expected shortfall of several models and portfolios, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bdfm._figures import new_figure
from bdfm._statistics import p_text
from bdfm._strict import strict
from bdfm.errors import DataError
from bdfm.validation.tail_backtest import TailBacktest

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHORT = {
    "unconditional coverage": "kupiec",
    "independence": "independence",
    "conditional coverage": "christoffersen",
    "expected shortfall": "expected_shortfall",
}


@strict
def tail_table(results: Mapping[tuple[str, str], TailBacktest]) -> pd.DataFrame:
    """One row per portfolio and model: periods, exceedances and how many were expected, simulated p-values.

    ``kupiec`` is of their number, ``independence`` of their clusters, ``christoffersen`` of both;
    ``expected_shortfall`` is one-sided, small where losses are larger than said. Raises ``DataError``
    without results.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from bdfm import validation
    >>> days = pd.bdate_range("2021-01-01", periods=250)
    >>> realised = pd.Series(np.random.default_rng(1).normal(0, 0.01, 250), days)
    >>> var, shortfall = validation.tail_of_volatility(0.01)
    >>> found = validation.backtest_tail(
    ...     realised, pd.Series(var, days), pd.Series(shortfall, days), level=0.95
    ... )
    >>> validation.tail_table({("book", "normal"): found}).T.round(2)
    portfolio             book
    model               normal
    n_periods           250.00
    exceedances          10.00
    expected             12.50
    mean_value_at_risk    0.02
    kupiec                0.42
    independence          0.54
    christoffersen        0.63
    expected_shortfall    0.73
    """
    if not results:
        raise DataError("table of tail backtests: no result given.")
    rows = {}
    for key, found in results.items():
        row: dict[str, float] = {
            "n_periods": len(found.series),
            "exceedances": found.n_hits,
            "expected": (1 - found.level) * len(found.series),
            "mean_value_at_risk": float(found.series["value_at_risk"].mean()),
        }
        rows[key] = row | {SHORT[str(k)]: float(p) for k, p in found.table["p_simulated"].items()}
    index = pd.MultiIndex.from_tuples(list(rows), names=["portfolio", "model"])
    return pd.DataFrame(list(rows.values()), index).astype({"n_periods": int, "exceedances": int})


@strict
def plot_tails(results: Mapping[tuple[str, str], TailBacktest]) -> Figure:
    """Realised returns and value at risk by portfolio (row) and model (column); crosses are exceedances.

    ``results`` are backtests by portfolio and model.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from bdfm import validation
    >>> days = pd.bdate_range("2021-01-01", periods=250)
    >>> realised = pd.Series(np.random.default_rng(1).normal(0, 0.01, 250), days)
    >>> var, shortfall = validation.tail_of_volatility(0.01)
    >>> found = validation.backtest_tail(
    ...     realised, pd.Series(var, days), pd.Series(shortfall, days), level=0.95
    ... )
    >>> figure = validation.plot_tails({("book", "normal"): found})
    >>> len(figure.axes)
    1
    """
    table = tail_table(results)
    portfolios, models = (list(dict.fromkeys(table.index.get_level_values(k))) for k in (0, 1))
    figure, axes = new_figure(
        len(portfolios),
        len(models),
        figsize=(2.7 * len(models) + 1, 1.7 * len(portfolios) + 0.6),
        sharey="row",
        sharex=True,
    )
    for i, portfolio in enumerate(portfolios):
        for j, model in enumerate(models):
            axis = axes[i, j]
            found = results.get((portfolio, model))
            if found is None:
                axis.set_axis_off()
                continue
            s = found.series
            axis.plot(s.index, 100 * s["realised"], ".", ms=2, color="0.6")
            axis.plot(s.index, -100 * s["value_at_risk"], color="C0", lw=1)
            beyond = s.loc[s["hit"]]
            axis.plot(beyond.index, 100 * beyond["realised"], "x", color="C3", ms=4)
            row = table.loc[(portfolio, model)]
            text = f"{row['exceedances']:.0f} of {row['expected']:.1f}, {p_text(row['christoffersen'])}"
            axis.set_title(f"{model}\n{text}" if i == 0 else text, fontsize=7)
            axis.tick_params(labelsize=6)
            axis.spines[["top", "right"]].set_visible(False)
        axes[i, 0].set_ylabel(f"{portfolio}, %", fontsize=7)
    for label in [x for axis in axes[-1] for x in axis.get_xticklabels()]:
        label.set_rotation(60)
    level = np.unique([f.level for f in results.values()])
    figure.suptitle(
        f"Value at risk at {', '.join(f'{x:g}' for x in level)}: exceedances of expected, Christoffersen's p",
        fontsize=9,
    )
    return figure
