"""How the commands on risk print their tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bdfm._reading import counted
from bdfm._sheet import Sheet
from bdfm.cli.console import out
from bdfm.risk.choices import Kind

if TYPE_CHECKING:
    import pandas as pd

    from bdfm.report.book import Book
    from bdfm.risk.ahead import RiskAhead
    from bdfm.risk.pricing import Pricing
    from bdfm.risk.principal import Components
    from bdfm.risk.stress_tests import StressTest
    from bdfm.validation.tail_backtest import TailBacktest

MAX_ROWS = 40  # of a table on screen; files hold the rest
TOP_ASSETS = 5
TOP_ALPHAS = 5
DAILY = 4  # days between prices, at most, of daily ones


def left_out(book: Book) -> None:
    """Print the assets that no model was fitted to."""
    if book.left_out:
        out.print(
            f"Left out for want of returns in the last {counted(len(book.returns), 'period')}:"
            f" {', '.join(book.left_out)}.",
            markup=False,
        )
    for line in book.told:
        out.print(line, markup=False)


def not_made(book: Book) -> None:
    """Print which models that were asked for could not be made, and why."""
    for name, reason in book.fits.failures.items():
        out.print(f"{name}: not made. {reason}", markup=False)


def _rows(table: pd.DataFrame) -> list[tuple[tuple[str, ...], pd.Series[Any]]]:
    """Labels and row of the rows of a table that are shown."""
    shown = table.head(MAX_ROWS)
    keys: list[Any] = list(shown.index)
    return [(tuple(map(str, key)), row) for key, (_, row) in zip(keys, shown.iterrows(), strict=True)]


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _share(value: float) -> str:
    """Percent; blank where there is nothing to share."""
    return "" if value != value else f"{100 * value:.0f}"


def _print(table: Sheet, n: int) -> None:
    out.print(table)
    if n > MAX_ROWS:
        out.print(f"... and {n - MAX_ROWS} rows more, in the files of --out.")


def volatilities(book: Book) -> None:
    """Print volatilities of portfolios by model, what each is, and what their own returns had."""
    from bdfm.report.book import BAYESIAN
    from bdfm.report.book_meaning import explanation, meanings, realised
    from bdfm.risk import compare

    result, own_returns = compare(book.models, book.weights), realised(book)
    meaning = meanings(book)
    for name, own in book.models.items():
        n = len(own.factors)
        size = f"{counted(len(own.assets), 'asset')}, {counted(n, 'factor')}"
        out.print(f"{name}: {size}; {'; '.join(own.notes)}. {_sentence(meaning[name])}", markup=False)
    beside = f" ({BAYESIAN}: over its own period)" if BAYESIAN in book.models else ""
    table = Sheet(
        f"Volatility over {book.span}{beside}, %",
        ["portfolio", "model"],
        ["volatility", "90 % interval", "systematic", "specific", "systematic share"],
    )
    ends = result.reindex(columns=["volatility_low", "volatility_high"])
    names = [(str(p), str(m)) for p, m in result.index]
    for (portfolio, model), (_, row), (low, high) in zip(
        names, result.iterrows(), ends.to_numpy(), strict=True
    ):
        table.add_row(
            portfolio,
            model,
            f"{100 * row['volatility']:.2f}",
            "" if low != low else f"{100 * low:.2f} to {100 * high:.2f}",
            f"{100 * row['systematic_volatility']:.2f}",
            f"{100 * row['specific_volatility']:.2f}",
            _share(row["systematic_share"]),
        )
        if model == names[-1][1]:
            for what in ("window", "recent"):
                one = own_returns.loc[portfolio]
                label = f"own returns, last {one[f'n_{what}']:.0f}"
                table.add_row(portfolio, label, f"{100 * one[what]:.2f}", *[""] * 4)
    for name in book.fits.failures:
        table.add_row("", name, "not made", *[""] * 4)
    out.print(table)
    not_made(book)
    if why := explanation(book, result):
        out.print(why, markup=False)


def assets(table: pd.DataFrame) -> None:
    """Print the assets that contribute most to each portfolio, by its first model."""
    first = str(table.index[0][1])
    shown = Sheet(
        f"Largest parts of the volatility by the {first} model, %",
        ["portfolio", "asset"],
        ["weight", "marginal", "part", "share"],
    )
    of_portfolio, of_model = (table.index.get_level_values(k) for k in (0, 1))
    portfolios = list(dict.fromkeys(of_portfolio))
    for portfolio in portfolios[: MAX_ROWS // TOP_ASSETS]:
        own = table[(of_portfolio == portfolio) & (of_model == first)].droplevel([0, 1])
        for asset, row in own.head(TOP_ASSETS).iterrows():
            cells = (row["weight"], row["marginal"], row["contribution"], row["share"])
            shown.add_row(str(portfolio), str(asset), *(f"{100 * x:.2f}" for x in cells))
    out.print(shown)


def active(table: pd.DataFrame) -> None:
    """Print risk against the benchmark."""
    shown = Sheet(
        "Against the benchmark, %",
        ["portfolio", "model"],
        ["tracking error", "systematic share", "beta", "correlation", "active share"],
    )
    for (portfolio, model), row in _rows(table):
        shown.add_row(
            portfolio,
            model,
            f"{100 * row['active_volatility']:.2f}",
            _share(row["systematic_share"]),
            f"{row['beta']:.2f}",
            f"{row['correlation']:.2f}",
            f"{100 * row['active_share']:.0f}",
        )
    _print(shown, len(table))


def hedges(table: pd.DataFrame) -> None:
    """Print minimum-variance hedges."""
    names = [str(c) for c in table.columns if c not in ("volatility", "hedged_volatility", "effectiveness")]
    shown = Sheet(
        "Minimum-variance hedge: what to hold of each, as a share of the book (Bayesian: by the mean of its"
        " covariances)",
        ["portfolio", "model"],
        [*names, "volatility %", "hedged %", "variance less %"],
    )
    for (portfolio, model), row in _rows(table):
        shown.add_row(
            portfolio,
            model,
            *(f"{row[n]:+.3f}" for n in names),
            f"{100 * row['volatility']:.2f}",
            f"{100 * row['hedged_volatility']:.2f}",
            f"{100 * row['effectiveness']:.0f}",
        )
    _print(shown, len(table))


def alphas(found: Pricing | None) -> None:
    """Print the alphas whose t is largest, and the joint test."""
    from bdfm._statistics import p_number, p_text

    if found is None:
        return
    if found.spanned:
        out.print(
            f"Combinations of the factors, without an alpha to test: {', '.join(found.spanned)}.",
            markup=False,
        )
    tested = found.alphas.drop(index=found.spanned)
    if tested.empty:
        return
    table = tested.reindex(tested["t"].abs().nlargest(TOP_ALPHAS).index)
    shown = Sheet(
        "Alphas of the factors, largest t, % a period", ["asset"], ["alpha", "error", "t", "p", "R² %"]
    )
    for asset, row in table.iterrows():
        shown.add_row(
            str(asset),
            f"{100 * row['alpha']:+.3f}",
            f"{100 * row['se']:.3f}",
            f"{row['t']:+.2f}",
            p_number(row["p_value"]),
            f"{100 * row['r_squared']:.0f}",
        )
    out.print(shown)
    if found.grs == found.grs:
        joint = f"F{found.grs_freedom} = {found.grs:.2f}, {p_text(found.grs_p_value)}"
        out.print(
            f"All {counted(len(tested), 'alpha')} zero (Gibbons, Ross and Shanken): {joint}.", markup=False
        )
    else:
        out.print(
            f"Gibbons, Ross and Shanken's test of all {len(tested)} alphas needs more periods"
            f" than assets and factors ({found.n_periods} are there), and no asset that others make up.",
            markup=False,
        )


def explained(found: Components | None) -> None:
    """Print how much the first principal components explain."""
    if found is None:
        return
    shares = ", ".join(f"{100 * s:.1f}" for s in found.table["share"].head(TOP_ALPHAS))
    out.print(
        f"Principal components explain {shares} % of the variance of {len(found.loadings)} assets; factors by"
        f" Bai and Ng: {found.bai_ng}, beyond noise: {found.marchenko_pastur}."
    )


def tails(results: Mapping[tuple[str, str], TailBacktest], failures: Mapping[str, str]) -> None:
    """Print exceedances and p-values."""
    from bdfm.validation.tail_tables import tail_table

    table = tail_table(results)
    first = next(iter(results.values()))
    shown = Sheet(
        f"Value at risk at {first.level:g}, one period ahead, over {counted(len(first.series), 'period')}:"
        " p-values",
        ["portfolio", "model"],
        ["beyond", "expected", "number", "clusters", "both", "expected shortfall"],
    )
    for (portfolio, model), row in _rows(table):
        p = (row["kupiec"], row["independence"], row["christoffersen"], row["expected_shortfall"])
        shown.add_row(
            portfolio,
            model,
            f"{row['exceedances']:.0f}",
            f"{row['expected']:.1f}",
            *(f"{x:.3f}" for x in p),
        )
    _print(shown, len(table))
    for name, reason in failures.items():
        out.print(f"{name}: not tested. {reason}", markup=False)


def stress(found: StressTest, book: Book) -> None:
    """Print the tables of a stress test."""
    from bdfm.data.features import spacing_days

    worst = "worst day" if spacing_days(book.prices) <= DAILY else "worst period"
    columns: dict[str, tuple[str, dict[str, str]]] = {
        "replay": (
            "Past windows, %",
            {"return": "return", "worst_period": worst, "drawdown": "drawdown"},
        ),
        "shocks": (f"Shocks to factors over {book.span}, %", {"return": "return", "volatility": "± left"}),
        "risk": (
            f"Shocks to risk over {book.span}, %",
            {"volatility": "volatility", "shocked": "shocked", "value_at_risk": "95 % value at risk"},
        ),
    }
    for name, (title, fields) in columns.items():
        table: Any = getattr(found, name)
        if not len(table):
            continue
        shown = Sheet(title, [str(x) for x in table.index.names], list(fields.values()))
        for key, row in _rows(table):
            signs = {c: "+" if c == "return" else "" for c in fields}  # risk has none
            shown.add_row(*key, *(f"{100 * row[c]:{signs[c]}.2f}" for c in fields))
        _print(shown, len(table))
        if name == "replay" and worst == "worst period":
            sizes = table["n_periods"].groupby(level="window", sort=False).first()
            named = ", ".join(f"{n} of {window}" for window, n in sizes.items())
            out.print(f"Periods that end in the windows: {named}.", markup=False, soft_wrap=True)
    shown = Sheet(
        f"Losing {found.scenarios.loss:.0%} over {book.span}: how far, and by which move",
        ["portfolio", "model"],
        ["volatilities", "probability %"],
        texts=("largest factor moves",),
    )
    for key, row in _rows(found.reverse):
        of_factors = found.reverse_factors.index
        here = (of_factors.get_level_values(0) == key[0]) & (of_factors.get_level_values(1) == key[1])
        parts = found.reverse_factors[here].droplevel([0, 1])
        top = parts.reindex(parts["loss"].abs().nlargest(3).index)
        # Components of standardised returns are no returns: their moves mean something in volatilities alone
        unit, size, field = (
            (" sd", 1, "in_volatilities") if _components(book, key[1]) else (" %", 100, "move")
        )
        moves = ", ".join(f"{f} {size * x:+.1f}{unit}" for f, x in top[field].items())
        shown.add_row(*key, f"{row['distance']:.2f}", f"{100 * row['probability']:.2g}", moves)
    _print(shown, len(found.reverse))
    if len(found.forecast):
        for portfolio, own in found.forecast.groupby(level=0):
            losses = own.droplevel(0)["loss"].nlargest(3).index
            worst = own.droplevel(0).loc[losses, "given_loss"]
            named = ", ".join(f"{a} {100 * x:+.1f} %" for a, x in worst.items())
            out.print(
                f"Forecast, {portfolio}: {100 * own['probability'].iloc[0]:.2g} % of draws lose"
                f" {found.scenarios.loss:.0%} or more, {100 * own['expected_loss'].iloc[0]:.1f} % on average;"
                f" there {named}.",
                markup=False,
            )
    for text in found.left_out:
        out.print(f"Not answered: {text}", markup=False)


def _components(book: Book, name: str) -> bool:
    return book.models[name].kind == Kind.STATISTICAL.value


def ahead(found: RiskAhead) -> None:
    """Print the risk of the next days: some of them, each with its posterior error; and who announces."""
    from bdfm.report.ahead import SHOWN
    from bdfm.risk.ahead import MEASURES

    table = Sheet(
        f"Next market days from {found.origin:%Y-%m-%d}, % (value at risk and expected shortfall at"
        f" {found.level:.0%})",
        ["portfolio"],
        ["day", "end", *MEASURES.values()],
    )
    n = 0
    for portfolio in found.portfolios:
        own = [found.measure(m, portfolio) for m in MEASURES]
        ends = own[0]["end"].dt.strftime("%m-%d")
        for day in [d for d in SHOWN if d <= len(ends)]:
            numbers = [t[["value", "posterior_error"]].astype(float).to_numpy()[day - 1] for t in own]
            n += 1
            if n <= MAX_ROWS:
                cells = (f"{100 * value:.2f} ± {100 * error:.2f}" for value, error in numbers)
                table.add_row(portfolio, str(day), str(ends[day]), *cells)
    _print(table, n)
    if not len(found.announcements):
        return
    shown = Sheet(
        "Announcements ahead of assets held, volatility of the day, %",
        ["asset"],
        ["day", "end", "volatility", "without"],
    )
    for (on, symbol), row in _rows(found.announcements):
        sizes = (f"{100 * row[c]:.2f}" for c in ("volatility", "without"))
        shown.add_row(symbol, on, f"{row['end']:%m-%d}", *sizes)
    _print(shown, len(found.announcements))
