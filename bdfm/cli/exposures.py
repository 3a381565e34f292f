"""Command on exposures: ``exposures``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bdfm.cli.console import interruptible, out, say_read
from bdfm.cli.options import Accept, Alias, DateFormat, DecimalMark, OutFolder, Seed, aliases_of
from bdfm.exposures.choices import GAMMA, METHODS, N_LATENTS, WINDOW_DAYS, Method, Unit

if TYPE_CHECKING:
    from bdfm.exposures import Comparison


def exposures(
    prices: Annotated[Path, typer.Option(help="Daily adjusted closes; gaps are left out.")],
    factors: Annotated[
        Path, typer.Option(help="File of daily factor returns, and RF; French's as downloaded too.")
    ],
    unit: Annotated[Unit, typer.Option(help="What the factor file holds; French's are in percent.")],
    out_dir: OutFolder,
    method: Annotated[
        list[Method] | None,
        typer.Option(help="Repeatable; constant, rolling, kalman and dcc if not given. vae needs torch."),
    ] = None,
    universe: Annotated[
        Path | None, typer.Option(help="File with symbol and asset_class: what to take, and its sectors.")
    ] = None,
    assets: Annotated[
        int | None,
        typer.Option(min=1, help="Random sample of this size over all classes of the universe."),
    ] = None,
    start: Annotated[str | None, typer.Option(help="First day of returns.")] = None,
    end: Annotated[str | None, typer.Option(help="Last day of returns.")] = None,
    window_days: Annotated[
        int, typer.Option(min=10, help="Market days that rolling looks back.")
    ] = WINDOW_DAYS,
    latents: Annotated[int, typer.Option(min=1, help="Latents of vae and components of pca.")] = N_LATENTS,
    gamma: Annotated[float, typer.Option(min=0, help="Weight of vae's total correlation.")] = GAMMA,
    smoothed: Annotated[
        bool, typer.Option(help="Estimates of the training part on all its days, which could not know them.")
    ] = False,
    study: Annotated[
        bool,
        typer.Option(
            "--study",
            help="All tables and pictures: statistics, tests of errors, latents, regimes, paths. Without"
            " --method pca too.",
        ),
    ] = False,
    date_format: DateFormat = None,
    decimal_mark: DecimalMark = None,
    alias: Alias = None,
    seed: Seed = 1,
    accept: Accept = None,
) -> None:
    """Follow daily exposures by several methods. Errors are compared on the last 15 % of days."""
    from bdfm import _folders
    from bdfm.exposures import Exposures
    from bdfm.exposures import compare as compare_exposures
    from bdfm.exposures.factor_vae import FactorVAE, TrainedFactorVAE
    from bdfm.exposures.from_files import data_from_files, methods_of, write_comparison
    from bdfm.exposures.study import check_study, study_of, write_study

    chosen = list(dict.fromkeys(method or ((*METHODS, Method.pca) if study else METHODS)))
    if study:
        check_study()
    data = data_from_files(
        prices,
        factors,
        unit=unit,
        universe=universe,
        n_assets=assets,
        start=start,
        end=end,
        seed=seed,
        accept=accept or (),
        date_format=date_format,
        decimal_mark=decimal_mark,
        aliases=aliases_of(alias),
        say=say_read,
    )
    out.print(repr(data))
    settings = {"window_days": window_days, "n_latents": latents, "gamma": gamma, "smoothed": smoothed}
    methods = methods_of(chosen, data, **settings)
    with interruptible(), _folders.OutputFolder(out_dir, made_by="exposures") as folder:
        results: dict[str, Exposures] = {}
        trained: dict[str, TrainedFactorVAE] = {}
        for key, chosen_method in methods.items():
            if isinstance(chosen_method, FactorVAE):
                model = chosen_method.train(data, seed=seed, progress=out.is_terminal)
                trained[model.settings.name], result = model, model.exposures(data)
            else:
                result = chosen_method.fit(data, seed=seed, progress=out.is_terminal)
            result.save(folder / f"exposures_{key.value}.nc")
            results[result.method] = result
            out.print(f"{result.method}: {result.details['seconds']:.1f} s")
        comparison = compare_exposures(results, data)
        write_comparison(comparison, results, data, folder, seed=seed)
        if study:
            found = study_of(results, data, comparison, seed=seed, trained=trained)
            write_study(found, folder, about=repr(data))
        _show(comparison)
    for name, text in {
        "exposures_METHOD.nc": "exposures by day, asset and factor: bdfm.exposures.Exposures.load",
        "comparison.csv": "errors of all methods",
        "comparison.png": "the same as a picture",
        "summary.json": "data, settings, seconds",
        **({"study.html": "the study, with study_*.csv and study_*.png"} if study else {}),
    }.items():
        out.print(f"{out_dir / name!s}  {text}", soft_wrap=True, markup=False)


def _show(comparison: Comparison) -> None:
    from bdfm._sheet import Sheet

    title = f"Mean squared error, {len(comparison.days)} test days"
    shown = Sheet(title, ["method"], ["reconstruction", "prediction", "of variance explained"])
    for name, row in comparison.table().iterrows():
        shown.add_row(
            str(name),
            f"{row['reconstruction_standardised']:.4f}",
            f"{row['prediction_standardised']:.4f}",
            f"{row['prediction_r2']:.1%}",
        )
    out.print(shown)
    out.print("1 is an asset's variance in the training part. A reconstruction has seen the day itself.")


COMMANDS = (exposures,)
