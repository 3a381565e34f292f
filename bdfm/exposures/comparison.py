"""One table for all methods: errors of reconstruction and prediction on two scales."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bdfm import _checks
from bdfm._optional import optional
from bdfm._reading import PACKAGE, counted
from bdfm._seeds import either_seed
from bdfm._statistics import MIN_ORIGINS
from bdfm._strict import strict
from bdfm.backtest.significance import diebold_mariano, model_confidence_set, size_of
from bdfm.errors import DataError, DataWarning
from bdfm.exposures import plots
from bdfm.exposures.data import ExposureData, Part
from bdfm.exposures.result import Exposures
from bdfm.names import DAY

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]

KINDS: Final = ("reconstruction", "prediction")
HAC_LAGS: Final = 5  # trading days
N_BOOTSTRAP: Final = 1000  # of the model confidence set


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """Daily mean squared errors of several methods on the same days (eq. E20).

    Attributes
    ----------
    losses
        Method to kind (``reconstruction``, ``prediction``) and scale (``raw``, ``standardised``) to
        (seed, day) errors, each the mean over assets of the squared error of the day.
    total
        Scale to (day): the same for the training mean of each asset, what knowing nothing gives.
    days, part
        Days of the comparison.
    """

    losses: Mapping[str, Mapping[tuple[str, str], Floats]]
    total: Mapping[str, Floats]
    days: pd.DatetimeIndex
    part: str

    def table(self) -> pd.DataFrame:
        """Table (method): mean squared errors, share of variance explained, spread over seeds.

        ``reconstruction_raw``, ``prediction_raw`` in squared daily log returns; ``..._standardised`` in
        variances of the training part; ``prediction_r2`` is the share of the standardised variation that the
        prediction explains; ``..._seed_sd`` the standard deviation over seeds of the standardised error.
        """
        rows = {}
        for method, parts in self.losses.items():
            mean = {key: values.mean(axis=1) for key, values in parts.items()}  # (seed,)
            row: dict[str, float] = {
                f"{k}_{s}": float(mean[k, s].mean()) for s in ("raw", "standardised") for k in KINDS
            }
            row["prediction_r2"] = 1 - row["prediction_standardised"] / float(
                self.total["standardised"].mean()
            )
            row["n_seeds"] = len(mean[KINDS[0], "raw"])
            for k in KINDS:
                values = mean[k, "standardised"]
                row[f"{k}_seed_sd"] = float(values.std(ddof=1)) if len(values) > 1 else np.nan
            rows[method] = row
        return pd.DataFrame(rows).T.rename_axis("method").astype({"n_seeds": int})

    def against(self, baseline: str, kind: str = "prediction") -> pd.DataFrame:
        """Table (method): mean daily difference of the standardised error to a baseline's, error bar and t.

        Negative is better than the baseline. Errors of the mean are Newey-West with 5 lags over days, of
        losses averaged over seeds; NaN of fewer than eight days, and no t where two methods say the same.

        Raises ``UnknownLabelError`` for a method or an unknown ``kind``.
        """
        _checks.known([baseline], list(self.losses), what="method", where="comparison")
        _checks.known([kind], list(KINDS), what="kind", where="comparison")
        key = (kind, "standardised")
        base = self.losses[baseline][key].mean(axis=0)
        rows = {}
        for method, parts in self.losses.items():
            if method == baseline:
                continue
            own = parts[key].mean(axis=0)
            found = diebold_mariano(own - base, n_lags=HAC_LAGS, size=size_of(own, base))
            t = found.mean / found.se if found.se > 0 else np.nan
            rows[method] = {"difference": found.mean, "standard_error": found.se, "t": t}
        return pd.DataFrame(rows).T.rename_axis("method")

    @either_seed
    @strict
    def confidence_set(self, kind: str = "prediction", *, size: float = 0.1, seed: int = 0) -> pd.DataFrame:
        """Model confidence set (Hansen, Lunde and Nason 2011) by arch: p-value and membership of each method.

        On daily standardised errors, stationary bootstrap; a method outside the set is worse than the best at
        level ``size``.

        Raises ``UnknownLabelError`` for an unknown ``kind``; ``DataError`` for fewer than two
        methods, or fewer than eight days.
        """
        _checks.known([kind], list(KINDS), what="kind", where="comparison")
        losses = pd.DataFrame({m: p[kind, "standardised"].mean(axis=0) for m, p in self.losses.items()})
        if losses.shape[1] < 2:
            raise DataError("comparison: a confidence set needs at least 2 methods.")
        if len(losses) < MIN_ORIGINS:
            raise DataError(
                f"comparison: {counted(len(losses), 'day')}; a confidence set needs {MIN_ORIGINS}."
            )
        optional("arch.bootstrap", what="confidence set of methods")  # an extra of exposures here
        block = int(np.sqrt(len(losses)))  # errors of neighbouring days are alike
        p = model_confidence_set(losses, seed=seed, n_bootstrap=N_BOOTSTRAP, n_block=block)
        return pd.DataFrame({"p_value": p, "included": p > size}).rename_axis("method")

    def plot(self) -> Figure:
        """Bars of the standardised errors."""
        return plots.error_bars(
            self.table(), f"Errors on the {self.part} part, {counted(len(self.days), 'day')}"
        )

    def __repr__(self) -> str:
        table = self.table()[[f"{k}_standardised" for k in KINDS]]
        return (
            f"Comparison on the {self.part} part, {self.days[0]:%Y-%m-%d} to {self.days[-1]:%Y-%m-%d}:\n"
            f"{table.round(4).to_string()}"
        )

    def _repr_html_(self) -> str:
        return f"<p>{escape(repr(self).partition(':')[0])}</p>{self.table().round(5).to_html()}"


@strict
def compare(
    results: Mapping[str, Exposures | Sequence[Exposures]], data: ExposureData, *, part: Part = "test"
) -> Comparison:
    """Errors of several methods on one part of the data.

    Parameters
    ----------
    results
        Label to the exposures of a method, or to several of it, one for each seed.
    data
        What all of them were fitted to.
    part
        Days on which to compare: those on which every method has an estimate, and had one the day before. A
        ``DataWarning`` names a method that begins later. Assets that a method has no estimate of are left
        out.

    Raises
    ------
    DataError
        No methods, exposures of other assets or days, or a method that starts too late.
    """
    if not results:
        raise DataError("comparison: no methods given. Give at least one.")
    span = data.days_of(part)
    actual = np.asarray(data.returns)[span]
    scale = {"raw": np.ones(len(data.assets)), "standardised": data.sd}
    values: dict[str, dict[str, Floats]] = {}
    usable = np.isfinite(actual)
    for label, given in results.items():
        members: list[Any] = [given] if isinstance(given, Exposures) else list(given)
        for member in members:
            days = member.dataset[DAY].to_index()
            if tuple(member.assets) != data.assets or not days.equals(data.days):
                raise DataError(
                    f"comparison: {label} has other assets or days than the data. Fit it to them."
                )
        values[label] = {k: np.stack([getattr(m, k)().to_numpy()[span] for m in members]) for k in KINDS}
        # An asset without any estimate of one method counts for none
        usable &= np.isfinite(values[label][KINDS[0]]).any(axis=(0, 1))
    usable &= usable.any(axis=1)[:, None]
    late = np.zeros(len(usable), dtype=bool)
    for label, own in values.items():
        gaps = np.any([(np.isnan(x) & usable).any(axis=(0, 2)) for x in own.values()], axis=0)
        if gaps.all():
            raise DataError(
                f"comparison: {label} has no estimate on any of {len(gaps)} days of the {part} part."
                " Use a shorter"
                " window, or a later part."
            )
        if gaps.any():
            warnings.warn(
                f"comparison: {label} has no estimate on {gaps.sum()} of {len(gaps)} days of the"
                f" {part} part, first"
                f" on {data.days[span][int(gaps.argmax())]:%Y-%m-%d}; all methods are compared on the"
                " others.",
                DataWarning,
                skip_file_prefixes=(PACKAGE,),
            )
        late |= gaps
    usable[late] = False
    there = usable.any(axis=1)
    if not there.any():
        raise DataError("comparison: no asset and day has estimates of all methods. Leave a method out.")

    def mean(errors: Floats) -> Floats:
        """Mean over usable assets of squared errors ([seed,] day, asset)."""
        kept = np.where(usable, errors, 0.0)[..., there, :]
        return np.asarray(kept.sum(axis=-1) / usable[there].sum(axis=1))

    losses = {
        label: {(k, s): mean(np.square((x - actual) / u)) for k, x in own.items() for s, u in scale.items()}
        for label, own in values.items()
    }
    total = {s: mean(np.square((actual - data.mean) / unit)) for s, unit in scale.items()}
    return Comparison(losses, total, data.days[span][there], part)
