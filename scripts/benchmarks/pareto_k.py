"""Pareto k of leave-one-out on the demo: how many returns importance sampling cannot leave out.

Run: python scripts/benchmarks/pareto_k.py
"""

from __future__ import annotations

import warnings

import arviz as az

import bdfm
from bdfm.data.sources import DEMO_ORIGIN, demo
from bdfm.posterior.leave_one_out import leave_one_out


def main() -> None:
    """Print ArviZ's table for the demo with preset m6, unweighted, and ours, which counts period weights."""
    prices, universe = demo()
    model = bdfm.FactorModel.from_preset("m6")
    panel = bdfm.Panel.from_prices(prices, universe, origin=DEMO_ORIGIN, settings=model.panel)
    settings = bdfm.SamplerSettings(draws=500, tune=300, chains=2)
    posterior = bdfm.fit(model, panel, seed=1, settings=settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        print(az.loo(posterior.with_log_likelihood(), var_name="log_returns"))
    print(leave_one_out(posterior, seed=1))


if __name__ == "__main__":
    main()
