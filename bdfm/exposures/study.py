"""All tables and pictures of a study of exposures, of methods that are fitted: ``bdfm exposures --study``."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import pandas as pd

from bdfm import _files, _folders
from bdfm._optional import optional
from bdfm.exposures import plots
from bdfm.exposures.comparison import Comparison
from bdfm.exposures.data import ExposureData
from bdfm.exposures.descriptive import describe
from bdfm.exposures.factor_vae import TrainedFactorVAE
from bdfm.exposures.latent import LatentAnalysis
from bdfm.exposures.regimes import Regimes
from bdfm.exposures.result import Exposures
from bdfm.names import ASSET, FACTOR

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BASELINE: Final = "constant"  # that predictions are held against, if it is among the methods
MIN_SPELL_DAYS: Final = 15
_STYLE: Final = """body{font:14px system-ui,sans-serif;max-width:1100px;margin:2em auto;padding:0 1em}
table{border-collapse:collapse;font-size:12px}
td,th{padding:.2em .6em;text-align:right;border-bottom:1px solid #ddd}
th{text-align:left}.wide{overflow-x:auto}img{max-width:100%}"""


class Study(NamedTuple):
    """Tables and pictures by the names of their files, in the order of the page."""

    tables: dict[str, pd.DataFrame]
    pictures: dict[str, Figure]


def check_study() -> None:
    """Raise ``MissingDependencyError`` before a fit where a study needs more than is installed."""
    for module in ("sklearn.cluster", "sklearn.decomposition", "arch.bootstrap"):
        optional(module, what="bdfm exposures --study")


def study_of(
    results: Mapping[str, Exposures],
    data: ExposureData,
    comparison: Comparison,
    *,
    seed: int,
    trained: Mapping[str, TrainedFactorVAE] | None = None,
) -> Study:
    """Data, errors with their tests, latents, regimes and paths of exposures that have been fitted.

    Parameters
    ----------
    results, data, comparison
        By method; what they were fitted to; their errors (``compare``).
    seed
        Of the clusters of regimes and the bootstrap of confidence sets.
    trained
        Networks by method, whose losses by epoch are shown.

    Returns
    -------
    Study
        ``descriptive`` and ``correlations`` of the data; ``errors``, differences to constant betas
        (``against_constant``, where they are among the methods) and confidence sets (with two methods or
        more); of each latent method its regressions on factors, assets most correlated and independence;
        regimes by volatility and by latents; pictures of these, of exposures of one asset, and of all.
    """
    series, pairs = describe(data)
    found = Study({"descriptive": series, "correlations": pairs, "errors": comparison.table()}, {})
    found.pictures["errors"] = comparison.plot()
    if len(results) > 1:
        if BASELINE in results:
            found.tables[f"against_{BASELINE}"] = comparison.against(BASELINE)
        for kind in ("prediction", "reconstruction"):
            found.tables[f"confidence_set_{kind}"] = comparison.confidence_set(kind, seed=seed)
    for name, model in (trained or {}).items():
        found.pictures[f"training_{name}"] = model.plot_history()
    for name, result in results.items():
        if result.latent:
            _latents(found, name, result, results, data)
    _regimes(found, "volatility", Regimes.from_volatility(data, seed=seed))
    for name, result in results.items():
        if result.latent:
            _regimes(found, name, Regimes.from_latents(result, data, seed=seed))
    observed = {name: r for name, r in results.items() if not r.latent}
    if observed:
        found.pictures["paths"] = plots.exposure_paths(observed, data.assets[0])
        for name, result in observed.items():
            found.pictures[f"map_{name}"] = result.plot_map(data.factor_names[0])
    return found


def _latents(
    found: Study, name: str, result: Exposures, results: Mapping[str, Exposures], data: ExposureData
) -> None:
    analysis = LatentAnalysis(result, data)
    independence = analysis.disentanglement()._asdict()
    if "kl" in result.parameters:
        found.tables[f"kl_{name}"] = result.parameters["kl"].to_dataframe()[["kl"]]
    found.tables[f"independence_{name}"] = pd.DataFrame([independence], [name]).rename_axis("method")
    regressions = analysis.regressions()
    found.tables[f"latents_on_factors_{name}"] = regressions
    found.tables[f"top_assets_{name}"] = analysis.top_assets(2).set_index("latent")
    found.pictures[f"latents_{name}"] = analysis.plot_paths()
    found.pictures[f"latent_correlations_{name}"] = analysis.plot_correlations()
    if any(data.sectors):
        found.pictures[f"latent_sectors_{name}"] = analysis.plot_sectors()
    if result.dataset.sizes[FACTOR] > 1:
        found.pictures[f"latent_plane_{name}"] = analysis.plot_plane()
    rolling = results.get("rolling_ols")
    if rolling is not None:
        for factor in data.factor_names:
            if not np.isfinite(rolling.exposures.sel({FACTOR: factor}).mean(ASSET)).any():
                continue
            own = regressions.xs(factor, level="factor")["correlation"].abs()
            picture = analysis.plot_against(str(own.idxmax()), rolling, factor)
            found.pictures[f"latent_against_{factor}_{name}"] = picture


def _regimes(found: Study, name: str, regimes: Regimes) -> None:
    found.tables[f"regimes_{name}"] = regimes.summary()
    found.tables[f"spells_{name}"] = regimes.spells(MIN_SPELL_DAYS).set_index("start")
    found.pictures[f"regimes_{name}"] = regimes.plot()


def write_study(found: Study, folder: _folders.OutputFolder, *, about: str) -> list[str]:
    """Write ``study.html``, a CSV of each table and each picture, all named ``study_...``; the names."""
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><title>Study of exposures</title>",
        f"<style>{_STYLE}</style><h1>Study of exposures</h1><p>{escape(about)}</p>",
    ]
    names = ["study.html"]
    for name, table in found.tables.items():
        file = f"study_{name}.csv"
        _files.write_table(folder / file, table)
        shown = table.to_html(float_format="{:.4g}".format, border=0, max_rows=60)
        parts.append(f"<h2>{escape(name.replace('_', ' ').capitalize())}</h2><div class=wide>{shown}</div>")
        names.append(file)
    for name, figure in found.pictures.items():
        file = f"study_{name}.png"
        figure.savefig(folder / file, dpi=110)
        title = escape(name.replace("_", " ").capitalize())
        parts.append(f'<h2>{title}</h2><img alt="{title}" src="{escape(file)}">')
        names.append(file)
    _files.write_text(folder / "study.html", "".join(parts) + "</html>\n")
    return names
