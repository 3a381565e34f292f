"""Commands on backtests: ``backtest``, ``compare``, ``baselines``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bdfm._reading import counted
from bdfm.backtest.choices import CHAINS, DRAWS, MAX_RHAT, MAX_SWEEPS, MIN_ESS, N_DRAWS, SCORES, THIN, TUNE
from bdfm.cli.console import interruptible, out, say_read
from bdfm.cli.options import (
    Accept,
    Alias,
    CalendarMonths,
    Chains,
    DateFormat,
    DecimalMark,
    Draws,
    Earnings,
    EngineName,
    NDraws,
    Scheduler,
    Seed,
    Tune,
    Volatility,
    Workers,
    aliases_of,
    draws_of,
)
from bdfm.data.choices import MAX_DAYS
from bdfm.inference.choices import ENGINE, ESS_MIN, RHAT_MAX

if TYPE_CHECKING:
    from bdfm.backtest.run import Run


def backtest(
    forecasters: Annotated[
        list[str],
        typer.Argument(help="Models (names or TOML files) and baselines (`bdfm baselines`)."),
    ],
    prices: Annotated[Path, typer.Option(help="Daily adjusted closes, as for `bdfm forecast`.")],
    universe: Annotated[Path, typer.Option(help="File of every asset that ever takes part.")],
    first: Annotated[str, typer.Option(help="First origin, such as 2012-03-16.")],
    last: Annotated[str, typer.Option(help="Last origin.")],
    out_dir: Annotated[Path, typer.Option("--out", help="Folder; each forecaster gets one inside.")],
    earnings: Earnings = None,
    volatility: Volatility = None,
    period_days: Annotated[
        int, typer.Option(min=1, max=MAX_DAYS, help="Days of a period, and between origins.")
    ] = 28,
    calendar_months: CalendarMonths = False,
    history_days: Annotated[
        int | None,
        typer.Option(min=1, max=MAX_DAYS, help="Rolling history of so many days; all, if not given."),
    ] = None,
    workers: Workers = 1,
    cores: Annotated[int, typer.Option(min=1, help="Cores of each worker's sampler.")] = os.cpu_count() or 1,
    scheduler: Scheduler = None,
    late: Annotated[
        int, typer.Option(min=0, help="See everything so many periods late: must not score better.")
    ] = 0,
    warm: Annotated[
        int,
        typer.Option(
            min=1,
            help="Of so many origins in a row fit the first cold, and update it for the others. Not for"
            " calendar months.",
        ),
    ] = 1,
    draws: Draws = DRAWS,
    tune: Tune = TUNE,
    chains: Chains = CHAINS,
    thin: Annotated[int, typer.Option(min=1, help="Sweeps for each kept draw.")] = THIN,
    max_rhat: Annotated[float, typer.Option(help="With auto draws: worst R-hat to reach.")] = MAX_RHAT,
    min_ess: Annotated[float, typer.Option(help="With auto draws: effective draws to reach.")] = MIN_ESS,
    max_sweeps: Annotated[int, typer.Option(min=100, help="With auto draws: bound of a chain.")] = MAX_SWEEPS,
    engine: EngineName = ENGINE,
    n_draws: NDraws = N_DRAWS,
    date_format: DateFormat = None,
    decimal_mark: DecimalMark = None,
    alias: Alias = None,
    seed: Seed = 1,
    accept: Accept = None,
) -> None:
    """Backtest forecasters on past origins. A run that was stopped goes on where it was."""
    from bdfm import _checks
    from bdfm.backtest.models import BACKTEST_SAMPLER, Late, ModelForecaster, find_forecaster
    from bdfm.backtest.protocol import MarketData
    from bdfm.backtest.run import folder_name
    from bdfm.backtest.stretches import NO_MONTHS
    from bdfm.backtest.walk import origin_dates, walk_forward
    from bdfm.data.doubts.door import doubt_aliases
    from bdfm.data.sources import read_earnings, read_prices, read_universe, read_volatility
    from bdfm.errors import DataError
    from bdfm.inference.settings import SamplerSettings

    sampler = BACKTEST_SAMPLER.model_copy(
        update=SamplerSettings(
            engine=engine,
            draws=draws_of(draws),
            tune=tune,
            chains=chains,
            thin=thin,
            cores=cores,
            max_rhat=max_rhat,
            min_ess=min_ess,
            max_sweeps=max_sweeps,
        ).model_dump(exclude_unset=True)
    )
    chosen = [find_forecaster(name, sampler=sampler, n_draws=n_draws, warm=warm) for name in forecasters]
    if not any(isinstance(f, ModelForecaster) for f in chosen):
        _refuse_of_fits(
            {
                "--warm": warm != 1,
                "--draws": draws != DRAWS,
                "--tune": tune != TUNE,
                "--chains": chains != CHAINS,
                "--thin": thin != THIN,
                "--max-rhat": max_rhat != MAX_RHAT,
                "--min-ess": min_ess != MIN_ESS,
                "--max-sweeps": max_sweeps != MAX_SWEEPS,
                "--engine": engine != ENGINE,
                "--n-draws": n_draws != N_DRAWS,
            }
        )
    if late and warm > 1:
        raise DataError("--late: forecasts that see all late go on from none. Leave out --warm.")
    if calendar_months and warm > 1:  # before a forecaster beside it has done its work
        raise DataError(f"--warm: {NO_MONTHS} Leave out --warm, or give --period-days 28.")
    if late:
        chosen = [Late(f, late) for f in chosen]
    _checks.unique([f.name for f in chosen], what="forecaster", where="backtest")
    period: Any = "month" if calendar_months else period_days
    aliases = aliases_of(alias)
    begin, stop = (
        _checks.as_date(day, where=f"--{name}", date_format=date_format)
        for name, day in (("first", first), ("last", last))
    )
    tables = (
        read_prices(prices, date_format=date_format, decimal_mark=decimal_mark, aliases=aliases),
        read_universe(universe, aliases=aliases),
        None if earnings is None else read_earnings(earnings, date_format=date_format, aliases=aliases),
    )
    known = None
    if volatility is not None:
        known = read_volatility(
            volatility, date_format=date_format, decimal_mark=decimal_mark, aliases=aliases
        )
    say_read(*tables, known)
    doubt_aliases(aliases, accept=accept or ())
    data = MarketData.of(*tables, volatility=known, accept=accept or ())
    origins = origin_dates(begin, stop, every=period)
    for forecaster in chosen:
        with interruptible("Stopped. Finished origins are kept; the same command goes on from there."):
            run = walk_forward(
                forecaster,
                data,
                origins,
                out_dir / folder_name(forecaster.name),
                period=period,
                history_days=history_days,
                seed=seed,
                workers=workers,
                scheduler=scheduler,
                progress=out.is_terminal,
            )
        _show_run(run)


def _refuse_of_fits(given: dict[str, bool]) -> None:
    """Raise for options of fits where nothing is fitted; by option, whether it was given."""
    from bdfm import _checks
    from bdfm.errors import DataError

    if any(given.values()):
        raise DataError(
            f"backtest: {_checks.first(k for k, is_given in given.items() if is_given)}: for fits of models,"
            " and baselines have none. Leave out what is for fits, or name a model (`bdfm models`)."
        )


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs, or of several runs.")],
    out_file: Annotated[Path | None, typer.Option("--out", help="HTML page to write, with pictures.")] = None,
    score: Annotated[str, typer.Option(help=f"Score to compare by: {', '.join(SCORES)}.")] = "rps",
    reference: Annotated[
        str | None, typer.Option(help="Forecaster to compare to; the best, if not given.")
    ] = None,
    lags: Annotated[int | None, typer.Option(min=0, help="Lags of autocorrelation in the errors.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the bootstrap.")] = 1,
) -> None:
    """Compare backtests. Who is better, by how much, with what certainty."""
    from bdfm import _checks
    from bdfm.backtest import comparison
    from bdfm.backtest.run import load_runs

    _checks.known([score], list(SCORES), what="score", where="--score")
    chosen: Any = score
    result = comparison.compare(load_runs(runs), reference=reference, score=chosen, n_lags=lags, seed=seed)
    out.print(result)
    _show_calibration(result.calibration)
    out.print(result.verdict, markup=False)
    if out_file is not None:
        result.write_html(out_file)
        out.print(f"Page with pictures: {out_file}", markup=False, soft_wrap=True)


def baselines() -> None:
    """List the baselines of `bdfm backtest`."""
    from bdfm._sheet import Sheet
    from bdfm.backtest.simulation import Baseline
    from bdfm.backtest.standard import baselines as known

    table = Sheet("", ["baseline"], texts=["what it is"])
    for name, forecaster in known().items():
        if isinstance(forecaster, Baseline):
            table.add_row(name, forecaster.described)
    out.print(table)


def _show_run(run: Run) -> None:
    from bdfm import _checks
    from bdfm._statistics import with_error
    from bdfm.backtest.significance import diebold_mariano

    scores = run.scores
    rps = scores["rps"].to_numpy()
    error = diebold_mariano(rps - rps.mean(), sharing=run.sharing).se
    mean = with_error(rps.mean(), error, "{:.5f}".format)
    out.print(
        f"{run.name}: RPS {mean} over {counted(len(scores), 'origin')};"
        f" {scores['seconds'].mean():.1f} s an origin. {run.folder}",
        markup=False,
        soft_wrap=True,
    )
    if "max_rhat" not in run.facts:
        return
    facts = run.facts
    asked = facts["settled"] if "settled" in facts else facts["converged"]
    within, verdict = int((asked != 0).sum()), int((facts["converged"] != 0).sum())
    out.print(
        f"  {within} of {len(facts)} fits meet the thresholds asked for: worst R-hat"
        f" {facts['max_rhat'].max():.3f}, least effective draws {facts['min_ess'].min():.0f};"
        f" {verdict} those of a single forecast ({RHAT_MAX:g} and {ESS_MIN:g})",
        soft_wrap=True,
    )
    if within < len(facts):
        named = _checks.first(f"{d:%Y-%m-%d}" for d in facts.index[asked == 0])
        out.print(f"[yellow]  Not within the bound asked for: {named}. Raise --max-sweeps.[/]")


def _show_calibration(table: Any) -> None:
    from bdfm._sheet import Sheet
    from bdfm._statistics import p_number, with_error

    shown = Sheet(
        "",
        ["forecaster"],
        ["slope, lowest", "slope, highest", "PIT p", "50 % band", "90 % band"],
        caption="Slopes: 1 is calibrated, less is overconfident; then the share of returns inside the bands.",
    )

    def text(x: float, form: str = ".3f") -> str:
        return "" if x != x else format(x, form)

    for name, row in table.iterrows():
        slopes = [with_error(row[f"slope_{q}"], row[f"slope_{q}_se"], "{:.2f}".format) for q in (1, 5)]
        rest = [p_number(row["pit_p_value"]), *(text(row[c]) for c in ("coverage_50", "coverage_90"))]
        shown.add_row(str(name), *slopes, *rest)
    out.print(shown)


COMMANDS = (backtest, compare, baselines)
