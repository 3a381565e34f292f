"""Commands on backtests: parse, call the package, print."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, get_args

import typer
from rich.console import Console
from rich.table import Table

from bdfm import _checks
from bdfm.backtest.baselines import baselines
from bdfm.backtest.comparison import compare
from bdfm.backtest.models import BACKTEST_SAMPLER, N_DRAWS, Late, ModelForecaster
from bdfm.backtest.protocol import Forecaster, MarketData
from bdfm.backtest.run import Run, load_runs
from bdfm.backtest.scoreboard import SCORES, Score
from bdfm.backtest.walk import origin_dates, walk_forward
from bdfm.data.sources import read_earnings, read_prices, read_universe
from bdfm.errors import DataError
from bdfm.inference.settings import Engine, SamplerSettings
from bdfm.model.factor_model import FactorModel, presets

_DEFAULTS = BACKTEST_SAMPLER
_SCORE_HELP = f"Score to compare by: {', '.join(SCORES)}."


def register(app: typer.Typer, out: Console, model: Callable[[str], FactorModel]) -> None:
    """Add the commands ``backtest`` and ``compare``; ``model`` finds a model by name or file."""

    @app.command()
    def backtest(
        forecasters: Annotated[
            list[str],
            typer.Argument(help="Models (names or TOML files) and baselines (`bdfm baselines`)."),
        ],
        prices: Annotated[Path, typer.Option(help="Daily adjusted closes, as for `bdfm forecast`.")],
        universe: Annotated[Path, typer.Option(help="CSV: every asset that ever takes part.")],
        first: Annotated[str, typer.Option(help="First origin, such as 2012-03-16.")],
        last: Annotated[str, typer.Option(help="Last origin.")],
        out_dir: Annotated[Path, typer.Option("--out", help="Folder; each forecaster gets one inside.")],
        earnings: Annotated[Path | None, typer.Option(help="CSV with columns symbol, date.")] = None,
        period_days: Annotated[int, typer.Option(min=1, help="Days of a period, and between origins.")] = 28,
        calendar_months: Annotated[bool, typer.Option(help="Periods are calendar months.")] = False,
        history_days: Annotated[
            int | None, typer.Option(min=1, help="Rolling history of so many days; all, if not given.")
        ] = None,
        workers: Annotated[int, typer.Option(min=1, help="Local processes.")] = 1,
        cores: Annotated[int, typer.Option(min=1, help="Cores of each worker's sampler.")] = _DEFAULTS.cores,
        scheduler: Annotated[str | None, typer.Option(help="Address of a Dask scheduler.")] = None,
        late: Annotated[
            int, typer.Option(min=0, help="See everything so many periods late: must not score better.")
        ] = 0,
        draws: Annotated[int, typer.Option(min=10, help="Kept draws of each chain.")] = _DEFAULTS.draws,
        tune: Annotated[int, typer.Option(min=10, help="Adaptation draws of each chain.")] = _DEFAULTS.tune,
        chains: Annotated[int, typer.Option(min=1, help="Independent chains.")] = _DEFAULTS.chains,
        thin: Annotated[int, typer.Option(min=1, help="Sweeps for each kept draw.")] = _DEFAULTS.thin,
        engine: Annotated[Engine, typer.Option(help="Sampler.")] = _DEFAULTS.engine,
        n_draws: Annotated[int, typer.Option(min=100, help="Predictive draws of a model.")] = N_DRAWS,
        seed: Annotated[int, typer.Option(min=0, help="Seed; equal seeds give equal results.")] = 1,
    ) -> None:
        """Backtest forecasters on past origins; a run that was stopped goes on where it was."""
        sampler = SamplerSettings(
            engine=engine, draws=draws, tune=tune, chains=chains, thin=thin, cores=cores
        )
        chosen = [_forecaster(name, model, sampler, n_draws) for name in forecasters]
        if late:
            chosen = [Late(f, late) for f in chosen]
        _checks.unique([f.name for f in chosen], what="forecasters", where="backtest")
        period: Any = "month" if calendar_months else period_days
        data = MarketData.of(
            read_prices(prices),
            read_universe(universe),
            None if earnings is None else read_earnings(earnings),
        )
        origins = origin_dates(first, last, every=period)
        for forecaster in chosen:
            try:
                run = walk_forward(
                    forecaster,
                    data,
                    origins,
                    out_dir / _folder_name(forecaster.name),
                    period=period,
                    history_days=history_days,
                    seed=seed,
                    workers=workers,
                    scheduler=scheduler,
                    progress=out.is_terminal,
                )
            except KeyboardInterrupt:
                out.print("Stopped. Finished origins are kept; the same command goes on from there.")
                raise SystemExit(130) from None
            _print_run(out, run)

    @app.command("compare")
    def compare_command(
        runs: Annotated[list[Path], typer.Argument(help="Folders of runs, or of several runs.")],
        out_file: Annotated[
            Path | None, typer.Option("--out", help="HTML page to write, with pictures.")
        ] = None,
        score: Annotated[str, typer.Option(help=_SCORE_HELP)] = "rps",
        reference: Annotated[
            str | None, typer.Option(help="Forecaster to compare to; the best, if not given.")
        ] = None,
        lags: Annotated[
            int | None, typer.Option(min=0, help="Lags of autocorrelation in the errors.")
        ] = None,
        seed: Annotated[int, typer.Option(min=0, help="Seed of the bootstrap.")] = 1,
    ) -> None:
        """Compare backtests: who is better, by how much, with what certainty."""
        _checks.known([score], get_args(Score), what="score", where="--score")
        chosen: Any = score
        result = compare(load_runs(runs), reference=reference, score=chosen, n_lags=lags, seed=seed)
        out.print(result)
        out.print(_calibration(result.calibration))
        out.print(result.verdict, markup=False)
        if out_file is not None:
            result.write_html(out_file)
            out.print(f"Page with pictures: {out_file}", markup=False, soft_wrap=True)

    @app.command("baselines")
    def baselines_command() -> None:
        """List the baselines of `bdfm backtest`."""
        table = Table("baseline", "what it is", box=None)
        for name, forecaster in baselines().items():
            table.add_row(name, (type(forecaster).__doc__ or "").partition("\n")[0])
        out.print(table)


def _forecaster(
    name: str, model: Callable[[str], FactorModel], sampler: SamplerSettings, n_draws: int
) -> Forecaster:
    known = baselines()
    if name in known:
        return known[name]
    if not name.endswith(".toml"):
        _checks.known([name], [*presets(), *known], what="forecaster", where="backtest")
    return ModelForecaster(model(name), sampler=sampler, n_draws=n_draws)


def _folder_name(name: str) -> str:
    """Name as that of a folder."""
    text = "".join(c if c.isalnum() or c in "-_." else "-" for c in name).strip(".")
    if not text:
        raise DataError(f"backtest: {name!r} cannot name a folder. Give the model another name.")
    return text


def _print_run(out: Console, run: Run) -> None:
    scores = run.scores
    error = scores["rps"].std(ddof=1) / len(scores) ** 0.5 if len(scores) > 1 else float("nan")
    out.print(
        f"{run.name}: RPS {scores['rps'].mean():.5f} (standard error {error:.5f}) over {len(scores)} origins;"
        f" {scores['seconds'].mean():.1f} s an origin. {run.folder}",
        markup=False,
        soft_wrap=True,
    )
    if "max_rhat" in run.facts:
        poor = int((run.facts["converged"] == 0).sum())
        out.print(
            f"  worst R-hat {run.facts['max_rhat'].max():.3f}, least effective sample size"
            f" {run.facts['min_ess'].min():.0f}; {poor} origins miss a threshold of convergence"
        )


def _calibration(table: Any) -> Table:
    shown = Table(
        caption="Slopes: 1 is calibrated, less is overconfident; then the share of returns inside the bands.",
        caption_justify="left",
        box=None,
    )
    shown.add_column("forecaster", min_width=max(map(len, (*map(str, table.index), "forecaster"))))
    widths = {
        "slope, lowest": 13,
        "slope, highest": 14,
        "PIT p": 5,
        "50 % band": 5,
        "90 % band": 5,
    }
    for head, width in widths.items():
        shown.add_column(head, justify="right", min_width=width)

    def text(x: float, form: str = ".3f") -> str:
        return "" if x != x else format(x, form)

    def slope(x: float, se: float) -> str:
        return "" if x != x else f"{x:.2f} ± {text(se, '.2f')}"

    for name, row in table.iterrows():
        slopes = [slope(row[f"slope_{q}"], row[f"slope_{q}_se"]) for q in (1, 5)]
        rest = [text(row[c]) for c in ("pit_p_value", "coverage_50", "coverage_90")]
        shown.add_row(str(name), *slopes, *rest)
    return shown
