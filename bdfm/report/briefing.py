"""What a committee is told of a month: five lines, what changed, positions, exposures, stress, last month.

All of it as tables and sentences; the page and the workbook show the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bdfm import _blocks
from bdfm._reading import counted
from bdfm.forecast.forecast import Forecast
from bdfm.forecast.ranks import outcome_quantiles, weighted_quantiles
from bdfm.forecast.sample import Sample
from bdfm.names import ASSET, CHAIN, DRAW, FACTOR, FACTORS, LOADINGS, PERIOD
from bdfm.portfolio.decisions import TRADES, Decision
from bdfm.posterior.posterior import Posterior
from bdfm.scoring.scores import ranked_probability_score

Floats = NDArray[np.float64]

MOST: Final = 12  # rows of a table of changes
APART: Final = pd.Timedelta(days=6)  # between the end of last month's span and this origin: a long weekend
WORST: Final = 0.05  # share of the draws that a stress looks at
_LEAN: Final = 0.005  # less between the outer fifths is not seen in whole percent
_FIFTHS: Final = [f"P{k}" for k in range(1, 6)]


@dataclass(frozen=True)
class Briefing:
    """What a committee is told.

    Attributes
    ----------
    lines
        What is thought, in five sentences.
    tables
        By title, in the order of the page; numbers are shares unless the column says otherwise.
    happened
        Sentences on what came of last month's forecast; empty without one.
    notes
        By the title of a table, what is to be said of it.
    """

    lines: tuple[str, ...]
    tables: dict[str, pd.DataFrame]
    happened: tuple[str, ...] = ()
    notes: dict[str, str] = field(default_factory=dict)


def conviction(table: pd.DataFrame) -> pd.Series[float]:
    """How far each asset's fifths (columns P1 to P5) are from equal ones: relative entropy, 0 to log 5."""
    p = table[_FIFTHS].to_numpy(dtype=float)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(p > 0, p * np.log(5 * p), 0.0)
    return pd.Series(terms.sum(axis=1), index=table.index)


def briefing(
    forecast: Forecast, *, posterior: Posterior | None = None, previous: Forecast | None = None
) -> Briefing:
    """Briefing on a forecast, with what it has: a decision, a posterior, the month before."""
    table = forecast.summary()
    decision = Decision.of(forecast)
    before = None if previous is None else Decision.of(previous)
    tables: dict[str, pd.DataFrame] = {}
    notes: dict[str, str] = {}
    happened: tuple[str, ...] = ()
    if previous is not None:
        tables |= _changes(forecast, table, decision, previous, before)
        notes["Probabilities that changed most"] = (
            "Moved: the probability that lies in another fifth than last month."
        )
        happened, outcome = _happened(forecast, previous, before)
        if outcome is not None:
            tables["Last month: said and came"] = outcome
    if decision is not None:
        tables["Weights and trades"] = _positions(decision)
        if len(decision.binding):
            tables["What binds"] = _binding(decision)
        tables |= _exposures(decision)
        tables["Stress"] = _stress(forecast, decision)
        notes["Stress"] = (
            f"Mean of the worst {WORST:.0%} of draws for each class, its assets equally weighted, and what"
            " the book returns there."
        )
    if posterior is not None:
        name = "Factors"
        tables[name] = _factors(posterior, decision)
        notes[name] = (
            "Each named by what loads on it most. A factor's sd is that of its path; the share of the book's"
            " variance is (exposure · sd)² over it."
        )
    return Briefing(_lines(forecast, table, decision), tables, happened, notes)


# -- five lines ------------------------------------------------------------------------------------------


def _lines(forecast: Forecast, table: pd.DataFrame, decision: Decision | None) -> tuple[str, ...]:
    market = Sample(forecast.draws.to_numpy(), forecast.assets).portfolio(
        dict.fromkeys(forecast.assets, 1 / len(forecast.assets))
    )
    p = forecast.weights.to_numpy()
    low, middle, high = weighted_quantiles(market, [0.05, 0.5, 0.95], p)
    falls = float(p @ (market < 0))
    return (
        *_fifths_lines(table),
        f"All assets, equally weighted: median {middle:+.1%}, 5 to 95 % from {low:+.1%} to {high:+.1%}; they"
        f" fall with probability {falls:.0%}.",
        _views_line(forecast),
        _book_line(decision),
    )


def _fifths_lines(table: pd.DataFrame) -> tuple[str, str]:
    """Who is likeliest in the outer fifths; of a symmetric forecast, whose outer fifths are alike, once."""
    if (table["P5"] - table["P1"]).abs().max() < _LEAN:
        return (
            f"Outer fifths, likeliest, as much the highest as the lowest: {_ends(table, 'P5')}.",
            f"Middle fifth, likeliest: {_ends(table, 'P3')}.",
        )
    return (
        f"Highest fifth, likeliest: {_ends(table, 'P5')}.",
        f"Lowest fifth, likeliest: {_ends(table, 'P1')}.",
    )


def _ends(table: pd.DataFrame, column: str) -> str:
    top = table[column].sort_values(ascending=False, kind="stable").head(4)
    return ", ".join(f"{s} {x:.0%}" for s, x in top.items())


def _views_line(forecast: Forecast) -> str:
    if not forecast.records:
        return "No views or edits: the forecast is the model's."
    effects = forecast.effects()
    n = len(forecast.records)
    text = f"{n} {'view or edit' if n == 1 else 'views and edits'}"
    if effects.empty:
        return f"{text}; what they did is inside the fit."
    moved = (effects["P5_after"] - effects["P5_before"] - effects["P1_after"] + effects["P1_before"]).abs()
    row = effects.iloc[int(moved.to_numpy().argmax())]
    return (
        f"{text}; what moved most is {row['symbol']}, highest fifth {row['P5_before']:.0%} to"
        f" {row['P5_after']:.0%}, by: {str(row['text']).rstrip('.')}."
    )


def _book_line(decision: Decision | None) -> str:
    if decision is None:
        return "No decision was taken with this forecast."
    risk = decision.risk.table["value"]
    held = decision.weights[decision.weights != 0]
    top = held.loc[held.abs().sort_values(ascending=False, kind="stable").index[:3]]
    largest = ", ".join(f"{s} {w:.1%}" for s, w in top.items())
    return (
        f"The book ({decision.title}): {counted(len(held), 'asset')}, {held.abs().sum():.0%} exposed;"
        " expected"
        f" {risk['mean']:+.2%}, value at risk {risk['value_at_risk']:.2%}, expected shortfall"
        f" {risk['expected_shortfall']:.2%} at {decision.risk.level:.0%}; largest: {largest or 'cash'};"
        f" turnover {decision.turnover:.0%}, cost {decision.cost:.3%}."
    )


# -- what changed ----------------------------------------------------------------------------------------


def _changes(
    forecast: Forecast,
    table: pd.DataFrame,
    decision: Decision | None,
    previous: Forecast,
    before: Decision | None,
) -> dict[str, pd.DataFrame]:
    """Tables of changes since the month before: probabilities, views, risk, positions."""
    was = previous.summary()
    both = [s for s in table.index if s in was.index]
    p, p_before = (t.loc[both, _FIFTHS].to_numpy(dtype=float) for t in (table, was))
    moved = pd.DataFrame(
        {
            "name": table.loc[both, "name"],
            "lowest before": was.loc[both, "P1"],
            "lowest now": table.loc[both, "P1"],
            "highest before": was.loc[both, "P5"],
            "highest now": table.loc[both, "P5"],
            "moved": np.abs(p - p_before).sum(axis=1) / 2,
        },
        index=pd.Index(both, name="symbol"),
    )
    order = moved["moved"].sort_values(ascending=False, kind="stable").index
    tables = {"Probabilities that changed most": moved.loc[order[:MOST]]}
    now, then = ([r.text for r in f.records] for f in (forecast, previous))
    rows = [(t, "kept" if t in then else "new") for t in now] + [(t, "gone") for t in then if t not in now]
    if rows:
        tables["Views and edits, beside last month's"] = pd.DataFrame(
            rows, columns=["what", "since"]
        ).set_index("what")
    if decision is not None and before is not None:
        risk = pd.DataFrame({"before": before.risk.table["value"], "now": decision.risk.table["value"]})
        risk["change"] = risk["now"] - risk["before"]
        tables["Risk of the book"] = risk.set_axis(risk.index.str.replace("_", " ")).rename_axis("measure")
        names = list(dict.fromkeys([*before.weights.index, *decision.weights.index]))
        weights = pd.DataFrame({"before": before.weights, "now": decision.weights}).reindex(names).fillna(0.0)
        weights["change"] = weights["now"] - weights["before"]
        order = weights["change"].abs().sort_values(ascending=False, kind="stable").index
        tables["Positions that changed most"] = weights.loc[order[:MOST]].rename_axis("symbol")
    return tables


def _happened(
    forecast: Forecast, previous: Forecast, before: Decision | None
) -> tuple[tuple[str, ...], pd.DataFrame | None]:
    """What came of last month's forecast, by the closes at both origins."""
    said = f"Last month's forecast, {previous.origin:%Y-%m-%d} to {previous.end:%Y-%m-%d}"
    start, stop = previous.closes, forecast.closes
    if start is None or stop is None:
        return (f"{said}: not scored, since one of the forecasts knows no closes.",), None
    if abs(forecast.origin - previous.end) > APART:
        return (
            f"{said}: not scored here, since its span did not end at this origin; bdfm track scores it.",
        ), None
    both = [s for s in previous.assets if s in start.index and s in stop.index and start[s] > 0]
    if len(both) < 2:
        return (f"{said}: not scored, since fewer than two of its assets have closes at both ends.",), None
    realised = stop[both] / start[both] - 1
    columns = [previous.assets.index(s) for s in both]
    draws = _blocks.copied(previous.draws.to_numpy(), np.array(columns))
    p = previous.weights.to_numpy()
    place = p @ (draws < realised.to_numpy()) + p @ (draws == realised.to_numpy()) / 2
    table = previous.summary().loc[both]
    outcome = outcome_quantiles(realised.to_numpy(dtype=float), 5)
    fifth = outcome.argmax(axis=1)
    found = pd.DataFrame(
        {
            "name": table["name"],
            "said, 5th percentile": table["5%"],
            "said, median": table["50%"],
            "said, 95th percentile": table["95%"],
            "came": realised,
            "place among the draws": place,
            "fifth that came (number)": fifth + 1,
            "probability said of it": table[_FIFTHS].to_numpy()[np.arange(len(both)), fifth],
        },
        index=pd.Index(both, name="symbol"),
    )
    order = (found["place among the draws"] - 0.5).abs().sort_values(ascending=False, kind="stable").index
    equal = ranked_probability_score(np.full(outcome.shape, 0.2), outcome).mean()
    score = 0.16 * ranked_probability_score(table[_FIFTHS].to_numpy(), outcome).mean() / equal
    inside = float(np.mean(np.abs(place - 0.5) < 0.45))
    lines = [
        f"{said}: ranked probability score {score:.4f}, where equal fifths score 0.16; {inside:.0%} of"
        f" {counted(len(both), 'asset')} came inside their 90 % interval.",
        f"Least expected: {', '.join(f'{s} {found.loc[s, "came"]:+.1%}' for s in order[:4])}.",
    ]
    if before is not None:
        profit = float(before.weights.reindex(both).fillna(0.0).to_numpy() @ realised.to_numpy())
        risk = before.risk.table["value"]
        breach = "beyond" if profit < -risk["value_at_risk"] else "within"
        lines.append(
            f"The book returned {profit:+.2%}; {risk['mean']:+.2%} was expected, and it is {breach} the value"
            f" at risk of {risk['value_at_risk']:.2%}."
        )
    return tuple(lines), found.loc[order]


# -- the book --------------------------------------------------------------------------------------------


def _positions(decision: Decision) -> pd.DataFrame:
    """Weights and trades with names and classes, and what each contributes to risk, largest first."""
    table = decision.trades.copy()
    parts = decision.risk.contributions.reindex(table.index)
    table["part of volatility"] = parts["volatility"].fillna(0.0)
    table["part of shortfall"] = parts["expected_shortfall"].fillna(0.0)
    order = table["after"].abs().sort_values(ascending=False, kind="stable").index
    table = table.loc[order].dropna(axis=1, how="all").rename_axis("symbol")
    return table.rename(
        columns={"asset_class": "class", "money": "money (amount)", "shares": "shares (number)"}
    )


def _binding(decision: Decision) -> pd.DataFrame:
    """Limits that bind and what they cost; the words of a limit once."""
    own = decision.binding
    rest = [t.removeprefix(x).lstrip(",: ") for x, t in zip(own["limit"], own["text"], strict=True)]
    return pd.DataFrame({"what it costs": rest}, index=pd.Index(own["limit"], name="limit"))


def _exposures(decision: Decision) -> dict[str, pd.DataFrame]:
    """Exposure by class, and by each column of the universe that the decision knew."""
    table = decision.trades
    found = {}
    for column in ["asset_class", *(c for c in table.columns if c not in TRADES)]:
        by = table.groupby(table[column].astype(str).replace("", "(none)"), sort=False)
        own = by[["before", "after", "trade"]].sum()
        own.insert(2, "gross", by["after"].agg(lambda w: w.abs().sum()))
        own = own.sort_values("gross", ascending=False, kind="stable")
        cash = {"before": 1 - table["before"].sum(), "after": 1 - table["after"].sum()}
        own.loc["cash"] = {**cash, "gross": np.nan, "trade": cash["after"] - cash["before"]}
        name = "class" if column == "asset_class" else column
        found[f"Exposure by {name}"] = own.rename(columns={"trade": "change"}).rename_axis(name)
    return found


def _stress(forecast: Forecast, decision: Decision) -> pd.DataFrame:
    """What the book returns in the worst draws of each class, of all assets, and of its own."""
    sample = Sample(forecast.draws.to_numpy(), forecast.assets)
    p = forecast.weights.to_numpy()
    held = {str(s): float(w) for s, w in decision.weights.items() if w}
    book = sample.portfolio(held) if held else np.zeros(len(p))
    groups: dict[str, Mapping[str, float]] = {"the book itself": held}
    groups["all assets"] = dict.fromkeys(forecast.assets, 1 / len(forecast.assets))
    for name in dict.fromkeys(forecast.asset_class):
        members = [a for a, c in zip(forecast.assets, forecast.asset_class, strict=True) if c == name]
        groups[f"class {name}"] = dict.fromkeys(members, 1 / len(members))
    rows: dict[str, dict[str, float]] = {}
    for name, weights in groups.items():
        own = sample.portfolio(weights) if weights else book
        order = np.argsort(own, kind="stable")
        part = np.minimum(np.cumsum(p[order]), WORST)
        tail = np.diff(part, prepend=0.0) / WORST
        rows[name] = {"it returns": float(tail @ own[order]), "the book returns": float(tail @ book[order])}
    return pd.DataFrame(rows).T.rename_axis("worst draws of")


def _factors(posterior: Posterior, decision: Decision | None) -> pd.DataFrame:
    """Factors by what loads on them: their sd a period, and the book's exposure."""
    draws = posterior.aligned().draws
    loadings = draws[LOADINGS].mean((CHAIN, DRAW)).transpose(ASSET, FACTOR).to_pandas()
    sd = draws[FACTORS].mean((CHAIN, DRAW)).transpose(PERIOD, FACTOR).to_numpy().std(axis=0)
    rows: list[dict[str, Any]] = []
    for k in range(loadings.shape[1]):
        own = pd.Series(loadings.to_numpy()[:, k], index=loadings.index)
        top = own.loc[own.abs().sort_values(ascending=False, kind="stable").index[:4]]
        named = ", ".join(f"{'-' if x < 0 else ''}{s}" for s, x in top.items())
        row: dict[str, Any] = {"factor": f"{k + 1}: {named}", "sd": float(sd[k])}
        if decision is not None:
            weights = decision.weights.reindex(loadings.index).fillna(0.0)
            exposure = float(weights.to_numpy() @ own.to_numpy())
            volatility = float(decision.risk.table["value"]["volatility"])
            share = (exposure * float(sd[k]) / volatility) ** 2 if volatility > 0 else 0.0
            row |= {"exposure (number)": exposure, "one sd moves the book by": exposure * float(sd[k])}
            row["share of variance"] = share
        rows.append(row)
    return pd.DataFrame(rows).set_index("factor")
