"""Tables and lines about forecasts that several commands print."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bdfm._reading import counted
from bdfm._sheet import Sheet
from bdfm.cli.console import out

if TYPE_CHECKING:
    import pandas as pd

    from bdfm.forecast.forecast import Forecast
    from bdfm.inference.diagnostics import Diagnosis
    from bdfm.portfolio.decisions import Decision


def show_quantiles(result: Forecast, n_ends: int = 12) -> None:
    """Quintile table; of a large universe the assets with the largest and smallest tails."""
    p = result.quantile_probabilities().to_pandas()
    p = p.loc[(p[1] + p[5]).sort_values(ascending=False).index]
    everything = len(p) <= 2 * n_ends + 1
    title = f"Quintile probabilities, {result.origin:%Y-%m-%d} to {result.end:%Y-%m-%d}, in %:"
    ends = {1: "lowest", 5: "highest"}
    table = Sheet(title, ["asset"], [ends.get(int(q), str(q)) for q in p.columns])
    for position, (symbol, row) in enumerate(p.iterrows()):
        if not everything and position == n_ends:
            table.add_row(f"... {len(p) - 2 * n_ends} more", *[""] * len(p.columns))
        if everything or not n_ends <= position < len(p) - n_ends:
            table.add_row(str(symbol), *(f"{100 * x:.1f}" for x in row))
    out.print(table)


# Edits and views whose effect is in the standard deviation, and hardly in the median and the fifths
_SPREAD: Final = ("volatility", "scale", "cap", "replace")


def show_history(forecast: Forecast, since: int = 0) -> None:
    """Views and edits, with what each did to the asset that it is about."""
    effects = forecast.effects()
    for number, record in enumerate(forecast.records[since:], since + 1):
        out.print(f"{number}. {record.text}", markup=False, soft_wrap=True)
        what = dict(record.parameters).get("view", record.kind)
        for _, row in effects[effects["change"] == number].head(3).iterrows():
            spread = (("sd", "sd"),) if what in _SPREAD else ()
            told = (("median", "median"), *spread, ("lowest", "P1"), ("highest", "P5"))
            moves = ", ".join(
                f"{name} {100 * row[f'{m}_before']:.1f} -> {100 * row[f'{m}_after']:.1f} %"
                for name, m in told
            )
            out.print(f"   {row['symbol']}: {moves}", markup=False, soft_wrap=True)


def show_decision(decision: Decision, forecast: Forecast) -> None:
    """Risk of the portfolio over the forecast's span, and its largest weights."""
    from bdfm.portfolio.risk import BLANK_ERROR

    out.print(repr(decision)[1:-1], markup=False)
    span = f"{forecast.origin:%Y-%m-%d} to {forecast.end:%Y-%m-%d}, %"
    table = Sheet("", [span], ["value", "Monte Carlo error", "posterior error"])
    for name, row in decision.risk.table.iterrows():
        table.add_row(str(name).replace("_", " "), *("" if x != x else f"{100 * float(x):.3f}" for x in row))
    out.print(table)
    if decision.risk.table["posterior_error"].isna().any():
        out.print(BLANK_ERROR)
    held = decision.weights[decision.weights != 0]
    largest = held.loc[held.abs().sort_values(ascending=False).index[:10]]
    out.print("Largest: " + ", ".join(f"{s} {w:.4f}" for s, w in largest.items()), markup=False)
    trades = decision.trades[decision.trades["trade"] != 0]
    if (decision.trades["before"] != 0).any() or len(decision.binding) or decision.cost:
        show_trades(decision, trades)
    for text in (*decision.binding["text"], *decision.notes):
        out.print(text, markup=False, soft_wrap=True)


def show_trades(decision: Decision, trades: pd.DataFrame, n_most: int = 15) -> None:
    """Turnover, cost, and the largest trades."""
    out.print(f"{counted(len(trades), 'trade')}, turnover {decision.turnover:.1%}, cost {decision.cost:.4%}:")
    whole = trades["shares"].notna().any()
    table = Sheet("", ["asset"], ["from, %", "to, %", *(["shares"] if whole else []), "cost, %"])
    order = trades["trade"].abs().sort_values(ascending=False, kind="stable").index
    for symbol, row in trades.loc[order[:n_most]].iterrows():
        shares = [f"{row['shares']:+,.0f}"] if whole else []
        numbers = [f"{100 * row['before']:.2f}", f"{100 * row['after']:.2f}", *shares]
        table.add_row(str(symbol), *numbers, f"{100 * row['cost']:.4f}")
    out.print(table)
    if len(trades) > n_most:
        out.print(f"... and {len(trades) - n_most} smaller ones.")


def show_diagnosis(diagnosis: Diagnosis) -> None:
    """Verdict on convergence, green or yellow."""
    out.print(f"[{'green' if diagnosis.converged else 'yellow'}]{diagnosis.verdict}[/]")
