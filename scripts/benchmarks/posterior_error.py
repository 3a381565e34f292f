"""Ignorance of the parameters on the demo, with and without evidence, beside a nested simulation.

    python scripts/benchmarks/posterior_error.py [--evidence QUAL=-0.05,0.03] [--paths 4000] [--draws 500]

Preset m6, equal weights. The other side draws the period anew, many times for each posterior draw, as if
there were no evidence, weighs each path by the evidence's normal density, and takes the spread over posterior
draws of the probability of loss; two independent halves part the paths' noise from it.
"""

from __future__ import annotations

import argparse

import numpy as np

import bdfm
from bdfm.data.sources import DEMO_ORIGIN, demo
from bdfm.model.equations import at_periods, model_data
from bdfm.model.evidence import Evidence
from bdfm.model.simulate import simulate_ahead
from bdfm.names import FACTORS
from bdfm.posterior.posterior import Posterior


def nested(posterior: Posterior, *, n_paths: int, n_draws: int) -> tuple[float, float]:
    """Probability of loss of equal weights, and its standard deviation over posterior draws."""
    model, panel = posterior.model, posterior.panel
    p = posterior.parameters()
    step = max(1, posterior.n_draws // n_draws)
    p = {k: v[::step] for k, v in p.items() if not k.endswith("_next")}  # the period is drawn anew
    n = len(p[FACTORS])
    past = p[FACTORS][:, p[FACTORS].shape[1] - model.n_lags :]
    data = at_periods(model_data(model, panel, future=True), slice(1))
    equal = np.full(len(panel.assets), 1 / len(panel.assets))
    halves = []
    for seed in (1, 2):
        logs = np.empty((n_paths * n, len(panel.assets)), dtype=np.float32)
        rng = np.random.default_rng(seed)
        simulate_ahead(model, p, past, data, n_paths=n_paths, rng=rng, totals=logs)
        returns = np.expm1(logs.astype(float)).reshape(n_paths, n, -1)
        weight = np.ones((n_paths, n))
        for e in posterior.evidence:
            came = returns[:, :, panel.assets.index(e.asset)]
            weight *= np.exp(-0.5 * np.square((came - e.mean) / e.sd))
        halves.append((weight * (returns @ equal < 0)).sum(axis=0) / weight.sum(axis=0))
    return float(np.mean(halves)), float(np.sqrt(max(np.cov(halves)[0, 1], 0.0)))


def main(args: argparse.Namespace) -> None:
    """Fit without and with evidence, and print both figures of each."""
    prices, universe = demo()
    model = bdfm.FactorModel.from_preset("m6")
    panel = bdfm.Panel.from_prices(prices, universe, origin=DEMO_ORIGIN, settings=model.panel)
    symbol, _, numbers = args.evidence.partition("=")
    said = Evidence(symbol, *map(float, numbers.split(",")))
    settings = bdfm.SamplerSettings(draws=1000, tune=500, chains=2)
    for evidence in ((), (said,)):
        posterior = bdfm.fit(model, panel, seed=1, settings=settings, evidence=evidence)
        forecast = posterior.forecast(seed=2, n_draws=200_000)
        weights = dict.fromkeys(panel.assets, 1 / len(panel.assets))
        row = bdfm.portfolio_risk(forecast, weights).table.loc["probability_of_loss"]
        chance, spread = nested(posterior, n_paths=args.paths, n_draws=args.draws)
        told = "; ".join(e.words for e in evidence) or "no evidence"
        ours = f"{row['value']:.4f} ± {row['posterior_error']:.4f}"
        print(f"{told}: probability of loss {ours}; nested simulation {chance:.4f} ± {spread:.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--evidence", default="QUAL=-0.05,0.03")
    parser.add_argument("--paths", type=int, default=4000, help="of each posterior draw, twice")
    parser.add_argument("--draws", type=int, default=500, help="posterior draws that are simulated from")
    main(parser.parse_args())
