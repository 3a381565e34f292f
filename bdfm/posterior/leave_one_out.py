"""Leave-one-out: each return judged by the model fitted to all others."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bdfm import _checks
from bdfm._figures import pyplot
from bdfm._reading import counted
from bdfm._seeds import either_seed
from bdfm._strict import strict
from bdfm.model.equations import model_data
from bdfm.names import (
    CHAIN,
    CLASS_OF,
    DRAW,
    FACTORS,
    LOG_LIKELIHOOD,
    OBSERVED,
    PERIOD_WEIGHTS,
    POSTERIOR,
    RETURNS,
)
from bdfm.posterior.posterior import Posterior

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, repr=False, eq=False)
class LeaveOneOut:
    """Predictive density and PIT of each return given all others; made by ``leave_one_out``.

    Attributes
    ----------
    elpd
        ArviZ's ``ELPDData``: expected log predictive density over all observed returns, which
        ``arviz.compare`` takes.
    pit, pareto_k
        (period, asset): PIT, uniform if the noise is right, and the reliability of its importance weights,
        doubtful above 0.7 (less with few draws). NaN where there is no return.
    """

    elpd: Any
    pit: xr.DataArray
    pareto_k: xr.DataArray

    @property
    def n_doubtful(self) -> int:
        """Number of returns with a Pareto k above ``elpd.good_k``."""
        return int((self.pareto_k > self.elpd.good_k).sum())

    def __repr__(self) -> str:
        return (
            f"<bdfm.LeaveOneOut: {counted(int(self.pit.notnull().sum()), 'return')}, elpd"
            f" {float(self.elpd.elpd):.1f}"
            f" (se {float(self.elpd.se):.1f}), {self.n_doubtful} doubtful>"
        )

    def plot(self) -> Figure:
        """ECDF of the PIT less the diagonal by asset class, with ArviZ's p-value of uniformity (``pot_c``).

        Given the factors, returns are independent: the test applies here, as it does not to forecasts.
        """
        import arviz_plots

        plt = pyplot()

        classes = list(dict.fromkeys(self.pit[CLASS_OF].values.tolist()))
        values = {name: self.pit.where(self.pit[CLASS_OF] == name).to_numpy().ravel() for name in classes}
        known = {name: x[np.isfinite(x)] for name, x in values.items()}
        data = xr.Dataset({name: ((f"{name}_cell",), x) for name, x in known.items()})
        plots = arviz_plots.plot_ecdf_pit(
            xr.DataTree.from_dict({POSTERIOR: data}),
            group=POSTERIOR,
            sample_dims=[str(d) for d in data.dims],
            figure_kwargs={
                "figsize": (3.2 * min(len(known), 4), 2.8 * -(-len(known) // 4)),
                "figsize_units": "inches",
            },
            backend="matplotlib",
        )
        figure: Figure = plots.viz["figure"].item()
        figure.set_layout_engine("constrained")
        plt.close(figure)
        figure.suptitle("Leave-one-out PIT: ECDF less diagonal, by asset class", fontsize=10)
        return figure


@either_seed
@strict
def leave_one_out(posterior: Posterior, *, n_draws: int = 1000, seed: int) -> LeaveOneOut:
    """Leave-one-out by Pareto-smoothed importance sampling (Vehtari et al. 2017), one return at a time.

    A return is left out, the others of its period stay and tell its factors: this judges noise and
    volatility, not the forecast of factors. Importance ratios are those of the weighted likelihood (eq. 9): a
    return of weight ω entered the posterior with its density to the power of ω.

    Parameters
    ----------
    posterior
        Its draws are thinned evenly to at most ``n_draws``; 10,000 returns in 1,000 draws take 10 s.
    n_draws
        At least 100.
    seed
        For the replicated noise that the PIT counts.
    """
    import arviz_stats

    where = "leave one out"
    n_draws = _checks.at_least(n_draws, 100, what="n_draws", where=where)
    model, panel = posterior.model, posterior.panel
    data = model_data(model, panel)
    step = max(1, -(-posterior.n_draws // n_draws))
    p = {name: values[::step] for name, values in posterior.parameters().items()}
    density = model.log_likelihood(p, data)
    replicated = model.draw_returns(p, p[FACTORS], data, rng=np.random.default_rng(seed))

    observed = data[OBSERVED]
    cells = (CHAIN, DRAW, "cell")
    tree = xr.DataTree.from_dict(
        {
            POSTERIOR: xr.Dataset({"draw_": ((CHAIN, DRAW), np.zeros((1, len(density))))}),
            LOG_LIKELIHOOD: xr.Dataset({RETURNS: (cells, density[None, :, observed])}),
            "posterior_predictive": xr.Dataset({RETURNS: (cells, replicated[None, :, observed])}),
            "observed_data": xr.Dataset({RETURNS: (("cell",), data[RETURNS][observed])}),
        }
    )
    weight = xr.DataArray(
        np.broadcast_to(data[PERIOD_WEIGHTS][:, None], observed.shape)[observed], dims="cell"
    )
    likelihood = tree[LOG_LIKELIHOOD][RETURNS]
    log_weights, k = (likelihood * weight).azstats.psislw(r_eff=1.0, dim=[CHAIN, DRAW])
    with warnings.catch_warnings():
        # Doubtful importance weights are counted in the result.
        warnings.filterwarnings("ignore", category=UserWarning, module="arviz_stats")
        elpd = arviz_stats.loo(
            tree, var_name=RETURNS, pointwise=True, reff=1.0, log_weights=log_weights, pareto_k=k
        )
    values, _ = tree["posterior_predictive"][RETURNS].azstats.loo_pit(
        tree["observed_data"][RETURNS], log_weights=log_weights, pareto_k=k, sample_dims=[CHAIN, DRAW]
    )
    # Half a draw away from 0 and 1: ArviZ's test takes an exact 0 for impossible, and its plot takes anything
    # above 1, if by rounding alone, for ranks to be rescaled.
    values = (np.clip(values, 0, 1) * len(density) + 0.5) / (len(density) + 1)
    template = panel.history[RETURNS]
    return LeaveOneOut(elpd, _on_panel(values, template, observed), _on_panel(k, template, observed))


def _on_panel(cells: xr.DataArray, template: xr.DataArray, observed: NDArray[np.bool_]) -> xr.DataArray:
    """Values of the observed cells in their places (period, asset)."""
    result = np.full(observed.shape, np.nan)
    result[observed] = cells.to_numpy()
    return template.copy(data=result)
