"""Convergence of posterior draws, judged on identified quantities: a verdict, and what to do.

:func:`diagnose` applies the measures of ``bdfm.inference.ess`` to a Dataset.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from bdfm._checks import first
from bdfm._figures import pyplot
from bdfm._reading import counted
from bdfm.errors import DataError
from bdfm.inference.choices import ESS_MIN, RHAT_MAX
from bdfm.inference.ess import bfmi, rhat_and_ess
from bdfm.names import CHAIN, DRAW

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BFMI_MIN: Final = 0.3  # Betancourt (2016)
MIN_DRAWS: Final = 8  # per chain: each half needs four


@dataclass(frozen=True, eq=False, repr=False)
class Diagnosis:
    """Convergence of a posterior: a table by quantity, the worst values, and what to do about them.

    Made by :func:`diagnose`. The thresholds are ``RHAT_MAX``, ``ESS_MIN``, ``BFMI_MIN`` and no divergences.

    Attributes
    ----------
    elements
        One row for each element judged: quantity, label, rhat, ess_bulk, ess_tail.
    n_constant
        Elements left out because every draw has the same value: fixed by the model.
    stuck
        Quantities that must vary and have an element with the same value in every draw.
    n_chains, n_draws
        Chains, and draws of each.
    divergences
        Divergent transitions over all chains; None for engines that have none.
    min_bfmi
        Lowest Bayesian fraction of missing information of a chain; None for engines without energy.
    begun_again
        Chains that halfway through tuning went on from the state of the best one, with how much lower their
        log-likelihood was; empty where none did. R-hat cannot tell of the place that they left.
    """

    elements: pd.DataFrame
    n_constant: int
    n_chains: int
    n_draws: int
    divergences: int | None
    min_bfmi: float | None
    stuck: tuple[str, ...] = ()
    begun_again: str = ""

    @property
    def table(self) -> pd.DataFrame:
        """One row for each quantity: its number of elements, and the worst of each measure with its label."""
        rows = {}
        for quantity, group in self.elements.groupby("quantity", sort=False):
            worst, bulk, tail = (group.iloc[_worst(group[name])] for name in ("rhat", "ess_bulk", "ess_tail"))
            rows[quantity] = {
                "elements": len(group),
                "max_rhat": worst["rhat"],
                "max_rhat_at": worst["label"],
                "min_ess_bulk": bulk["ess_bulk"],
                "min_ess_bulk_at": bulk["label"],
                "min_ess_tail": tail["ess_tail"],
                "min_ess_tail_at": tail["label"],
            }
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("quantity")

    @property
    def max_rhat(self) -> float:
        """Largest R-hat; with one chain that of its two halves."""
        return float(self.elements["rhat"].max())

    @property
    def min_ess_bulk(self) -> float:
        """Smallest bulk ESS, over all chains."""
        return float(self.elements["ess_bulk"].min())

    @property
    def min_ess_tail(self) -> float:
        """Smallest tail ESS, over all chains."""
        return float(self.elements["ess_tail"].min())

    @property
    def converged(self) -> bool:
        """Whether every threshold is met, by at least two chains."""
        return not self.advice

    def meets(self, *, max_rhat: float, min_ess: float) -> bool:
        """Whether R-hat and effective draws, bulk and tail, meet these, and nothing stands still."""
        ess = min(self.min_ess_bulk, self.min_ess_tail)
        return self.max_rhat <= max_rhat and ess >= min_ess and not self.stuck

    @property
    def advice(self) -> tuple[str, ...]:
        """What to do about each threshold missed, worst quantity named; empty when converged."""
        lines = []
        if self.n_chains < 2:
            lines.append("One chain cannot show whether chains agree: run at least two, better four.")
        if self.stuck:
            lines.append(
                f"{first(self.stuck)} has the same value in every draw: the sampler does not move it. Try"
                " another engine, and report it."
            )
        if self.max_rhat > RHAT_MAX:
            n = int((self.elements["rhat"] > RHAT_MAX).sum())
            lines.append(
                f"R-hat of {self._worst('rhat')} is {_rounded_up(self.max_rhat)}; {_count(n, 'element')}"
                f" above {RHAT_MAX}: the chains do not describe the same distribution yet. Double tune and"
                " draws; if one chain stays apart, try another seed or fewer factors."
            )
        for name, what in (("ess_bulk", "centre is"), ("ess_tail", "5 % and 95 % quantiles are")):
            ess = float(self.elements[name].min())
            if ess < ESS_MIN:
                factor = int(np.ceil(ESS_MIN / max(ess, 1.0)))
                lines.append(
                    f"{self._worst(name)} has {int(ess)} effective draws ({name.removeprefix('ess_')}), below"
                    f" {ESS_MIN:.0f}: its {what} known only roughly. Raise draws, or thin, by a factor of"
                    f" about {factor}."
                )
        if self.divergences:
            lines.append(
                f"{_count(self.divergences, 'divergent transition')}: the sampler missed a region of strong"
                " curvature, and results may be biased. Raise target_accept towards 0.99."
            )
        if self.min_bfmi is not None and self.min_bfmi < BFMI_MIN:
            lines.append(
                f"BFMI {_rounded_down(self.min_bfmi)} is below {BFMI_MIN}: the sampler crosses energy levels"
                " too slowly to reach the tails. Double tune; if it stays, tighten the priors on scales."
            )
        return tuple(lines)

    @property
    def verdict(self) -> str:
        """One line for the command line and for logs."""
        worst = self._worst("rhat")
        parts = measures_in_words(self.max_rhat, self.min_ess_bulk, self.min_ess_tail, at=worst)
        if self.n_chains < 2:
            parts.insert(0, "one chain only")
        if self.divergences is not None:
            parts.append(_count(self.divergences, "divergence"))
        if self.min_bfmi is not None:
            parts.append(f"BFMI {_rounded_down(self.min_bfmi)}")
        if self.begun_again:
            parts.append(f"begun again from the best chain: {self.begun_again}")
        return f"{'converged' if self.converged else 'not converged'}: {', '.join(parts)}"

    def _worst(self, measure: str) -> str:
        row = self.elements.iloc[_worst(self.elements[measure])]
        return f"{row['quantity']}[{row['label']}]" if row["label"] else str(row["quantity"])

    def __repr__(self) -> str:
        return f"<bdfm.Diagnosis {self.verdict}>"

    def _repr_html_(self) -> str:
        counts = f"{self.n_chains} chains of {self.n_draws} draws; {len(self.elements)} elements judged"
        if self.n_constant:
            counts += f", {self.n_constant} fixed by the model left out"
        table = self.table.to_html(
            formatters={
                "max_rhat": "{:.4f}".format,
                "min_ess_bulk": "{:.0f}".format,
                "min_ess_tail": "{:.0f}".format,
            },
            border=0,
        )
        advice = "".join(f"<li>{escape(line)}</li>" for line in self.advice)
        return f"<p><b>{escape(self.verdict)}</b><br>{counts}</p>{table}" + (advice and f"<ul>{advice}</ul>")

    def plot(self) -> Figure:
        """Draw R-hat and ESS of every element by quantity, against the thresholds.

        A dot is an element; those that miss a threshold are red. R-hat above 5 is drawn at 5.
        """
        plt = pyplot()
        from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

        number, names = pd.factorize(self.elements["quantity"])
        # Elements of a quantity spread over its row in a fixed pattern, so that dots do not hide each other.
        row = number + 0.6 * ((np.arange(len(number)) * 0.618034) % 1 - 0.5)
        figure: Figure = plt.figure(figsize=(11, 1.6 + 0.27 * len(names)), layout="constrained")
        panels = figure.subplots(1, 3, sharey=True)
        for axes, measure in zip(panels, ("rhat", "ess_bulk", "ess_tail"), strict=True):
            value = self.elements[measure].to_numpy()
            if measure == "rhat":
                value = np.minimum(value, 5)
                threshold, misses = RHAT_MAX, value > RHAT_MAX
                axes.set_title(f"R-hat (at most {RHAT_MAX:g})", fontsize=10)
            else:
                threshold, misses = ESS_MIN, value < ESS_MIN
                axes.set_title(f"ESS, {measure.removeprefix('ess_')} (at least {ESS_MIN:g})", fontsize=10)
                axes.set_xscale("log")
                axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
                axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
                axes.xaxis.set_minor_locator(NullLocator())
            for chosen, colour in ((~misses, "tab:blue"), (misses, "tab:red")):
                axes.plot(value[chosen], row[chosen], ".", markersize=4, alpha=0.6, color=colour)
            axes.axvline(threshold, color="black", linewidth=0.8, linestyle="--")
            axes.grid(axis="y", alpha=0.3)
        panels[0].set_yticks(range(len(names)), names)
        panels[0].set_ylim(len(names) - 0.4, -0.6)
        figure.suptitle(self.verdict, fontsize=10, wrap=True)
        plt.close(figure)
        return figure


def diagnose(
    quantities: xr.Dataset,
    sample_stats: xr.Dataset | None = None,
    *,
    must_vary: Collection[str] = (),
) -> Diagnosis:
    """Verdict on the convergence of posterior draws.

    Parameters
    ----------
    quantities
        Identified quantities with dims chain, draw and any others, each in its own unit. Raw loadings and
        factors of a factor model have a large R-hat however good the fit: leave them out, or align them.
    sample_stats
        ``diverging`` and ``energy`` (chain, draw), as far as the engine has them.
    must_vary
        Quantities no element of which is fixed by the model: one that does not move has not been sampled.

    Raises
    ------
    DataError
        Fewer than eight draws in a chain, draws that are not finite, or nothing that varies.
    """
    missing = [dim for dim in (CHAIN, DRAW) if dim not in quantities.dims]
    if missing:
        raise DataError(
            f"diagnose: the quantities have no dimension {first(missing)}, found {first(quantities.dims)}."
        )
    n_chain, n_draw = quantities.sizes[CHAIN], quantities.sizes[DRAW]
    if n_draw < MIN_DRAWS:
        raise DataError(
            f"diagnose: {n_draw} draws in a chain, at least {MIN_DRAWS} are needed to compare its halves."
            " Raise draws."
        )
    frames = []
    stuck: list[str] = []
    n_constant = 0
    for name, variable in quantities.data_vars.items():
        if CHAIN not in variable.dims or DRAW not in variable.dims:
            continue
        variable = variable.transpose(CHAIN, DRAW, ...)
        draws = variable.to_numpy().reshape(n_chain, n_draw, -1)
        labels = labels_of(variable)
        varies = (draws != draws[0, 0]).any(axis=(0, 1))
        if str(name) in must_vary and not varies.all():
            stuck.append(f"{name}[{first(labels[~varies])}]" if labels[0] else str(name))
        n_constant += int((~varies).sum())
        if not varies.any():
            continue
        worst, bulk, tail = rhat_and_ess(draws if varies.all() else draws[:, :, varies])
        frame = pd.DataFrame(
            {
                "quantity": str(name),
                "label": labels[varies],
                "rhat": worst,
                "ess_bulk": bulk,
                "ess_tail": tail,
            }
        )
        bad = frame.loc[frame["ess_bulk"].isna(), "label"]
        if len(bad):
            raise DataError(
                f"diagnose: {name} has draws that are not finite{f' ({first(bad)})' if bad.iloc[0] else ''}."
                " The fit has failed: check the model's priors and the data."
            )
        frames.append(frame)
    elements = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
    if elements.empty:
        raise DataError("diagnose: none of the quantities varies over the draws; there is nothing to judge.")
    stats = xr.Dataset() if sample_stats is None else sample_stats
    worst_bfmi = float(bfmi(stats["energy"].transpose(CHAIN, DRAW)).min()) if "energy" in stats else np.nan
    return Diagnosis(
        elements=elements,
        n_constant=n_constant,
        n_chains=n_chain,
        n_draws=n_draw,
        divergences=int(stats["diverging"].sum()) if "diverging" in stats else None,
        min_bfmi=worst_bfmi if np.isfinite(worst_bfmi) else None,
        stuck=tuple(stuck),
    )


def labels_of(variable: xr.DataArray) -> NDArray[np.object_]:
    """Label of each element beyond chain and draw, such as ``XOM, 5``; empty for a scalar."""
    labels = [""]
    for dim in variable.dims[2:]:
        part = variable.get_index(dim).astype(str)
        labels = [f"{head}, {label}" if head else label for head in labels for label in part]
    return np.array(labels, dtype=object)


def _worst(column: pd.Series[float]) -> int:
    """Position of the largest R-hat or of the smallest ESS."""
    values = column.to_numpy()
    return int(values.argmax() if column.name == "rhat" else values.argmin())


def measures_in_words(
    max_rhat: float, min_ess_bulk: float, min_ess_tail: float, *, at: str = ""
) -> list[str]:
    """The worst R-hat, with the quantity it is of where that is known, and the least effective draws."""
    where = f" ({at})" if at else ""
    return [
        f"worst R-hat {_rounded_up(max_rhat)}{where}",
        f"min ESS {int(min_ess_bulk)} bulk / {int(min_ess_tail)} tail",
    ]


# Rounded to the bad side, so that a value that misses its threshold also does in print.
def _rounded_up(value: float) -> str:
    return f"{np.ceil(round(value * 1000, 6)) / 1000:.3f}" if value < 100 else "above 100"


def _rounded_down(value: float) -> str:
    return f"{np.floor(round(value * 100, 6)) / 100:.2f}"


def _count(n: int, noun: str) -> str:
    return counted(n, noun) if n else f"no {noun}s"
