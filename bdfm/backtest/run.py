"""The results of a backtest: one small file for each origin, and the run that they make up."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from bdfm import _checks, _files, _json, _sealed
from bdfm._reading import counted
from bdfm._seeds import either_seed
from bdfm.backtest.choices import JOINT
from bdfm.backtest.protocol import Floats, Forecaster, History, QuantileForecast, check_made
from bdfm.backtest.significance import that_share_a_day
from bdfm.errors import DataError, FileError
from bdfm.forecast.forecast import N_RANKS, Forecast
from bdfm.forecast.ranks import outcome_quantiles, weighted_quantiles
from bdfm.names import ASSET, CLASS_OF, QUANTILE
from bdfm.posterior.predictive import MAX_LOG_RETURN
from bdfm.scoring.calibration import TOO_NARROW, Calibration, pit, simulated_outcomes, warn_of_overlap
from bdfm.scoring.joint import PRE_RANKS, dawid_sebastiani_score, joint_pit, variogram_score
from bdfm.scoring.scores import (
    crps,
    energy_score,
    log_score,
    ranked_probability_score,
    squared_errors_by_quantile,
)

KIND: Final = "backtest_origin"
MANIFEST: Final = "manifest.json"
FAILURE: Final = ["origin", "error", "message", "traceback"]  # of an origin that failed
ORIGINS: Final = "origins"  # folder of one file an origin
FAILED: Final = ".failed.json"
SECONDS: Final = "seconds.jsonl"  # a line for each origin, beside what is sealed: clocks differ
SCHEMA: Final = 1
EQUAL_RPS: Final = 0.16  # RPS of equal fifths
_ALL_TIE: Final = 1e-12  # RPS of equal fifths where all assets tie
LEVELS: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)  # of the predictive quantiles kept
N_SIMULATED: Final = 300  # simulated outcomes of each origin, for what chance allows a calibrated forecast
LEVEL, SIMULATION = "level", "simulation"
COORDS: Final = (ASSET, CLASS_OF, QUANTILE, LEVEL)
DIMS: Final[Mapping[str, tuple[str, ...]]] = {
    CLASS_OF: (ASSET,),
    "realised": (ASSET,),
    "outcome": (ASSET, QUANTILE),
    "probability": (ASSET, QUANTILE),
    "pit": (ASSET,),
    "crps": (ASSET,),
    "predictive_quantile": (ASSET, LEVEL),
    "simulated_pit": (SIMULATION, ASSET),
    "simulated_outcome": (SIMULATION, ASSET, QUANTILE),
}


def _log_returns(simple: NDArray[Any]) -> Floats:
    """Log returns of simple ones, within ±5; a total loss is -5."""
    floor = np.expm1(-MAX_LOG_RETURN)
    values = np.log1p(np.maximum(np.asarray(simple, dtype=np.float64), floor))
    return np.minimum(values, MAX_LOG_RETURN, out=values)


def _equally_weighted(forecast: Forecast, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draws (draw, asset) that count alike: those of the forecast, or resampled where weights differ."""
    draws, weights = forecast.draws.to_numpy(), forecast.weights.to_numpy()
    if weights.min() == weights.max():
        return np.asarray(draws)
    points = (np.arange(len(draws)) + rng.random()) / len(draws)  # systematic resampling
    return np.asarray(
        draws[np.minimum(np.searchsorted(np.cumsum(weights), points), len(draws) - 1)], dtype=np.float32
    )


@either_seed
def evaluate(
    forecast: Forecast | QuantileForecast, history: History, realised: pd.Series[float], *, seed: int
) -> xr.Dataset:
    """What is kept of the forecast of an origin and of what came.

    ``probability``, ``outcome`` (asset, quantile); ``realised`` (asset), simple return. Of a forecast with
    draws also ``pit`` (asset), ``crps`` (asset) and the attributes ``energy_score``, ``variogram_score``,
    ``dawid_sebastiani_score`` (of the assets that move) and ``pit_average``, ``pit_band_depth``,
    ``pit_energy`` (``bdfm.scoring.joint``), all of log returns;
    ``predictive_quantile`` (asset, level) of simple returns; ``simulated_pit`` (simulation, asset) and
    ``simulated_outcome`` (simulation, asset, quantile) of outcomes drawn from the forecast itself.

    Raises
    ------
    DataError
        The forecast is of other assets or dates than the history asks for.
    """
    where = f"backtest, origin {history.origin:%Y-%m-%d}"
    check_made(forecast, where=where)
    if tuple(forecast.assets) != history.assets:
        odd = sorted(set(forecast.assets) ^ set(history.assets))
        raise DataError(
            f"{where}: the forecast has {counted(len(forecast.assets), 'asset')}, expected the"
            f" {len(history.assets)} of"
            f" the universe in its order ({_checks.first(odd) if odd else 'the order differs'})."
        )
    returns = realised.reindex(list(history.assets)).to_numpy(dtype=np.float64)
    outcome = outcome_quantiles(returns, N_RANKS)
    attrs: dict[str, Any] = {
        "origin": f"{history.origin:%Y-%m-%d}",
        "end": f"{history.end:%Y-%m-%d}",
        "market_volatility": history.market_volatility(),
        "facts": json.dumps(dict(forecast.attrs)),
    }
    arrays: dict[str, NDArray[Any]] = {"realised": returns, "outcome": outcome}
    if isinstance(forecast, QuantileForecast):
        arrays["probability"] = forecast.probabilities
    else:
        if (forecast.origin, forecast.end) != (history.origin, history.end):
            raise DataError(
                f"{where}: the forecast runs from {forecast.origin:%Y-%m-%d} to {forecast.end:%Y-%m-%d},"
                f" expected {history.origin:%Y-%m-%d} to {history.end:%Y-%m-%d}."
            )
        rng = np.random.default_rng(seed)
        arrays["probability"] = forecast.quantile_probabilities(N_RANKS).to_numpy()
        draws = _equally_weighted(forecast, rng)
        equal = np.full(len(draws), 1 / len(draws))
        arrays["pit"] = pit(draws, returns, seed=int(rng.integers(2**31)))
        arrays["predictive_quantile"] = weighted_quantiles(draws, list(LEVELS)).T
        simulated = simulated_outcomes(draws, equal, N_SIMULATED, rng)
        arrays["simulated_pit"], arrays["simulated_outcome"] = simulated
        logs, came = _log_returns(draws), _log_returns(returns)
        arrays["crps"] = crps(logs, came)
        attrs["energy_score"] = energy_score(logs, came, seed=int(rng.integers(2**31)))
        attrs |= _joint_scores(logs, came, rng)
        attrs["n_draws"] = len(draws)
    coords: dict[str, Any] = {
        ASSET: list(history.assets),
        CLASS_OF: (ASSET, list(history.asset_class)),
        QUANTILE: np.arange(1, N_RANKS + 1),
    }
    if "predictive_quantile" in arrays:
        coords[LEVEL] = list(LEVELS)
    return xr.Dataset({k: (DIMS[k], v) for k, v in arrays.items()}, coords=coords, attrs=attrs)


def _joint_scores(draws: Floats, came: Floats, rng: np.random.Generator) -> dict[str, float]:
    """Scores and ranks of all assets jointly, of log returns; none of them for a single asset."""
    if draws.shape[1] < 2:
        return {}
    found = {"variogram_score": variogram_score(draws, came)}
    moving = np.ptp(draws, axis=0) > 0  # the covariance of an asset that does not move has no inverse
    if moving.any() and len(draws) > moving.sum():
        found["dawid_sebastiani_score"] = dawid_sebastiani_score(draws[:, moving], came[moving])
    for kind in PRE_RANKS:
        seed = int(rng.integers(2**31))
        found[f"pit_{kind}"] = joint_pit(draws, came, pre_rank=kind, seed=seed)
    return found


def save_result(result: xr.Dataset, path: Path) -> None:
    """Write the results of an origin, whole or not at all; equal results give equal bytes."""
    arrays = {str(k): v.to_numpy() for k, v in result.variables.items()}
    _sealed.save_arrays(arrays, result.attrs, path, kind=KIND)


def load_result(path: Path) -> xr.Dataset:
    """Results of an origin that ``save_result`` wrote; ``FileError`` where damaged."""
    arrays, attrs = _sealed.load_arrays(path, kind=KIND)
    variables = {k: (DIMS.get(k, (k,)), v) for k, v in arrays.items()}
    coords = {k: variables.pop(k) for k in COORDS if k in variables}
    return xr.Dataset(variables, coords=coords, attrs=attrs)


def origin_file(folder: Path, origin: pd.Timestamp) -> Path:
    """File of an origin's results."""
    return folder / ORIGINS / f"{origin:%Y-%m-%d}.npz"


def failure_file(folder: Path, origin: pd.Timestamp) -> Path:
    """File of an origin's error, where it failed."""
    return folder / ORIGINS / f"{origin:%Y-%m-%d}{FAILED}"


def add_seconds(folder: Path, origin: pd.Timestamp, seconds: float) -> None:
    """Note how long an origin took: one line more in a file beside the results."""
    try:
        _files.replaceable(folder / SECONDS)
        with (folder / SECONDS).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"origin": f"{origin:%Y-%m-%d}", "seconds": round(seconds, 3)}) + "\n")
    except OSError as error:
        raise _files.write_error(folder / SECONDS, error) from error


def read_seconds(folder: Path) -> dict[str, float]:
    """Wall seconds of origins; those whose line is missing or cut off are left out."""
    try:
        data = _checks.existing_bytes(folder / SECONDS, what="seconds")
    except FileError:
        return {}
    lines = data.decode("utf-8", errors="replace").splitlines()
    found = {}
    for line in lines:
        with suppress(ValueError, KeyError, TypeError):
            told = json.loads(line)
            found[str(told["origin"])] = float(told["seconds"])
    return found


@either_seed
def identity(
    forecaster: Forecaster, *, fingerprint: str, period: Any, history_days: int | None, seed: int
) -> dict[str, Any]:
    """What an origin's result depends on besides the origin, as JSON values."""
    settings = json.loads(json.dumps(dict(forecaster.settings)))
    return {
        "forecaster": forecaster.name,
        "settings": settings,
        "data": fingerprint,
        "period": period,
        "history_days": history_days,
        "seed": seed,
    }


def read_manifest(folder: Path) -> dict[str, Any]:
    """Manifest of a run; ``FileError`` where there is none, or one that cannot be read."""
    path = folder / MANIFEST
    _checks.existing_folder(folder, what="backtest", hint="Give the folder of a run.")
    if not os.path.isfile(path):
        raise FileError(f"{folder}: no run of a backtest (no {MANIFEST}). Check the path.")
    try:
        manifest = _json.table(_checks.existing_bytes(path, what="manifest"))
        if _whole(manifest, "schema", int) > SCHEMA:
            raise FileError(f"{path}: written by a newer bdfm. Upgrade bdfm.")
        _whole(_whole(manifest, "identity", dict), "forecaster", str)
        _whole(manifest, "versions", dict)
        origins = _whole(manifest, "origins", list)
        if not origins:
            raise ValueError("no origins")
        for origin in origins:
            datetime.strptime(origin, "%Y-%m-%d")
    except (ValueError, KeyError, TypeError) as error:
        raise FileError(f"{path}: cannot be read ({error}). Use another folder, or delete it.") from error
    return manifest


def _whole[T](found: Mapping[str, Any], key: str, kind: type[T]) -> T:
    """Value of a key; ``KeyError`` where there is none, ``TypeError`` where it is of another kind."""
    value = found[key]
    if type(value) is not kind:
        raise TypeError(f"{key} is a {type(value).__name__}, not a {kind.__name__}")
    return value


def _read_failure(path: Path) -> dict[str, Any]:
    """Why an origin failed; an unreadable note says that, since the same call tries the origin again."""
    try:
        found = _json.table(_checks.existing_bytes(path, what="failure"))
        return {key: str(found[key]) for key in FAILURE}
    except (ValueError, KeyError) as error:
        told = (path.name.removesuffix(FAILED), "FileError", f"{path} cannot be read ({error})", "")
        return dict(zip(FAILURE, told, strict=True))


@dataclass(frozen=True, eq=False, repr=False)
class Run:
    """Results of one forecaster over origins; made by ``walk_forward`` or ``Run.load``.

    Attributes
    ----------
    folder
        Where its files are.
    manifest
        Forecaster, settings, fingerprint of the data, seed, origins asked for, versions.
    results
        One Dataset for each origin that is done, by origin, oldest first; see ``evaluate``.
    failures
        One row for each origin that failed: origin, error, message, traceback.
    """

    folder: Path
    manifest: Mapping[str, Any]
    results: tuple[xr.Dataset, ...]
    failures: pd.DataFrame

    @classmethod
    def load(cls, folder: str | Path) -> Run:
        """Run of a folder that ``walk_forward`` wrote, complete or not.

        Raises
        ------
        FileError
            No run there, or a file that is damaged.
        """
        folder = _checks.path_of(folder, what="folder")
        manifest = read_manifest(folder)
        results, failures = [], []
        for text in manifest["origins"]:
            origin = pd.Timestamp(text)
            if os.path.isfile(origin_file(folder, origin)):
                results.append(load_result(origin_file(folder, origin)))
            elif os.path.isfile(failure_file(folder, origin)):
                failures.append(_read_failure(failure_file(folder, origin)))
        table = pd.DataFrame(failures, columns=FAILURE)
        return cls(folder, manifest, tuple(results), table)

    @property
    def name(self) -> str:
        """Name of the forecaster."""
        return str(self.manifest["identity"]["forecaster"])

    @cached_property
    def origins(self) -> pd.DatetimeIndex:
        """Origins that are done."""
        return pd.DatetimeIndex([x.attrs["origin"] for x in self.results], name="origin")

    @property
    def missing(self) -> tuple[str, ...]:
        """Origins asked for that are not done: failed, or not yet reached."""
        done = {x.attrs["origin"] for x in self.results}
        return tuple(x for x in self.manifest["origins"] if x not in done)

    @property
    def has_draws(self) -> bool:
        """Whether the forecaster gives draws, so that PIT, CRPS and energy score exist."""
        return bool(self.results) and all("pit" in x for x in self.results)

    @cached_property
    def _cells(self) -> pd.DataFrame:
        parts = []
        for origin, x in zip(self.origins, self.results, strict=True):
            p, outcome = x["probability"].to_numpy(), x["outcome"].to_numpy()
            equal = float(ranked_probability_score(np.full(p.shape, 1 / N_RANKS), outcome).mean())
            scale = EQUAL_RPS / equal if equal > _ALL_TIE else 1.0
            errors = scale * squared_errors_by_quantile(p, outcome)
            part = {
                "origin": origin,
                "symbol": x[ASSET].to_numpy(),
                "asset_class": x[CLASS_OF].to_numpy(),
                "realised": x["realised"].to_numpy(),
                "rps": scale * ranked_probability_score(p, outcome),
                **{f"rps_{k + 1}": errors[:, k] for k in range(N_RANKS - 1)},
                "log_score": log_score(p, outcome),
            }
            if self.has_draws:
                part |= {"crps": x["crps"].to_numpy(), "pit": x["pit"].to_numpy()}
            parts.append(pd.DataFrame(part))
        if not parts:
            raise DataError(f"{self.folder}: no origin of this run is done. Resume it with the same command.")
        return pd.concat(parts, ignore_index=True)

    @property
    def cells(self) -> pd.DataFrame:
        """One row for each origin and asset (a copy): class, realised return, scores.

        ``rps`` is in units in which equal fifths score 0.16 at every origin. That is the RPS of M6 where the
        number of assets is a multiple of five; elsewhere an asset can lie in two fifths, which lowers the
        scores of all forecasts alike, and origins of different universes would not compare. Where all assets
        tie, as over a weekend, equal fifths are what came and score 0. ``rps_1`` to
        ``rps_4`` are the squared errors at the four inner boundaries of the fifths, in the same units: their
        sum over five is ``rps``. With draws also ``crps`` (of log returns) and ``pit``.
        """
        return self._cells.copy()

    @cached_property
    def scores(self) -> pd.DataFrame:
        """One row for each origin: mean scores over assets, number of assets, volatility, seconds.

        ``market_volatility`` is annual and known at the origin. ``energy_score``, ``variogram_score`` and
        ``dawid_sebastiani_score`` are joint over assets; runs of earlier releases have the first alone.
        """
        columns = [c for c in map(str, self._cells) if c.startswith(("rps", "log", "crps"))]
        table = self._cells.groupby("origin")[columns].mean()
        for name in JOINT if self.has_draws else ():
            if all(name in x.attrs for x in self.results):
                table[name] = [x.attrs[name] for x in self.results]
        if self.results and all("information_ratio" in x.attrs for x in self.results):
            table["information_ratio"] = [x.attrs["information_ratio"] for x in self.results]
        table["n_assets"] = [x.sizes[ASSET] for x in self.results]
        table["market_volatility"] = [x.attrs["market_volatility"] for x in self.results]
        told = read_seconds(self.folder)  # releases before kept them with the results
        table["seconds"] = [told.get(x.attrs["origin"], x.attrs.get("seconds", np.nan)) for x in self.results]
        return table

    @cached_property
    def joint_pits(self) -> pd.DataFrame:
        """Rank of what came among the draws, all assets together: a row an origin, a column a pre-rank.

        Uniform for a calibrated forecast (``bdfm.scoring.joint.joint_pit``); counts by bin are
        ``bdfm.scoring.joint.rank_histogram(run.joint_pits["average"])``. ``DataError`` without draws, or of
        a run of an earlier release.
        """
        if not all(f"pit_{kind}" in x.attrs for kind in PRE_RANKS for x in self.results):
            raise DataError(f"run {self.name}: it has no joint PIT: no draws, or of an earlier release.")
        return pd.DataFrame(
            {kind: [x.attrs[f"pit_{kind}"] for x in self.results] for kind in PRE_RANKS}, index=self.origins
        )

    @cached_property
    def facts(self) -> pd.DataFrame:
        """One row for each origin: what the forecaster put into ``attrs``, such as diagnostics."""
        return pd.DataFrame([json.loads(x.attrs["facts"]) for x in self.results], index=self.origins)

    @cached_property
    def warnings(self) -> tuple[str, ...]:
        """Different warnings that forecasts gave, with the number of origins."""
        texts = pd.Series([t for x in self.results for t in json.loads(x.attrs["warnings"])], dtype=object)
        return tuple(f"{text} ({n} origins)" for text, n in texts.value_counts().items())

    @cached_property
    def ends(self) -> pd.DatetimeIndex:
        """Last day of the period that each origin forecasts."""
        return pd.DatetimeIndex([x.attrs["end"] for x in self.results], name="end")

    @property
    def sharing(self) -> int:
        """Most origins whose periods share a day; 0 where none begins before another one ends."""
        return self.sharing_of(self.origins)

    def sharing_of(self, origins: pd.DatetimeIndex) -> int:
        """``sharing`` among some of the origins, ascending."""
        return that_share_a_day(origins, self.ends[self.origins.get_indexer(origins)])

    @cached_property
    def calibration(self) -> Calibration:
        """PIT, coverage and reliability, with what chance allows.

        Raises ``DataError`` without draws; warns (``DataWarning``) where forecasts begin before another one
        ends.
        """
        if not self.has_draws:
            raise DataError(f"run {self.name}: no draws, so no PIT and no coverage.")
        spans = zip(self.origins, self.ends, strict=True)
        warn_of_overlap(spans, then=TOO_NARROW, where=f"run {self.name}: calibration")

        def joined(name: str, axis: int) -> NDArray[Any]:
            return np.concatenate([x[name].to_numpy() for x in self.results], axis=axis)

        return Calibration(
            self._cells[["origin", "symbol", "asset_class", "realised", "pit"]].rename(
                columns={"symbol": "asset"}
            ),
            joined("probability", 0),
            joined("outcome", 0),
            joined("simulated_pit", 1),
            joined("simulated_outcome", 1),
        )

    def __repr__(self) -> str:
        asked = len(self.manifest["origins"])
        text = f"<bdfm.backtest.Run of {self.name!r}: {len(self.results)} of {asked} origins"
        if self.results:
            text += f", mean RPS {self.scores['rps'].mean():.5f}"
        return text + (f", {len(self.failures)} failed>" if len(self.failures) else ">")


def load_runs(folders: Sequence[str | Path]) -> list[Run]:
    """Runs of several folders; a folder that holds runs stands for all of them, by name.

    Examples
    --------
    >>> import tempfile
    >>> from bdfm.backtest import MarketData, baselines, load_runs, origin_dates, walk_forward
    >>> import bdfm
    >>> data = MarketData.of(*bdfm.demo())
    >>> folder = tempfile.TemporaryDirectory()
    >>> origins = origin_dates("2021-11-12", "2022-01-07")
    >>> _ = walk_forward(baselines()["equal"], data, origins, f"{folder.name}/a")
    >>> [run.name for run in load_runs([folder.name])]
    ['equal']
    >>> folder.cleanup()
    """
    found: list[Path] = []
    folders = [folders] if isinstance(folders, str | Path) else folders
    for folder in (_checks.path_of(x, what="folder") for x in folders):
        inside = sorted(p.parent for p in folder.glob(f"*/{MANIFEST}"))
        found += inside if inside and not os.path.exists(folder / MANIFEST) else [folder]
    return [Run.load(folder) for folder in found]


def folder_name(name: str) -> str:
    """Name of a forecaster as that of a folder; ``DataError`` where nothing of it could be one."""
    text = "".join(c if c.isalnum() or c in "-_." else "-" for c in name).strip(".")
    if not text:
        raise DataError(f"backtest: {name!r} cannot name a folder. Give the model another name.")
    return text
