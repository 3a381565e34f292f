"""Why chains of `core` disagree at one origin of m6 (docs/skill.md): a factor that goes on and off.

    python scripts/benchmarks/skill_modes.py --data DATA --json docs/skill_modes.json

IXN and XLK, two funds of technology stocks, have the noise scales with the largest R-hat on 2017-11-17. If
they traded places between factor and noise, a move that swaps all that is their own would help. Here is what
such a swap would change, what it would leave alone, how often it would be accepted, and what starting from
the posterior of the origin before does instead.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import pandas as pd
import typer
from numpy.typing import NDArray
from skill import MAX_RHAT, PERIOD, core, market_data

from bdfm import Panel, Posterior, fit
from bdfm.inference.ess import rhat_and_ess
from bdfm.inference.settings import SamplerSettings
from bdfm.model.equations import model_data
from bdfm.names import ASSET, CHAIN, DRAW, FACTOR, FACTOR_SCALE, LOADINGS, NU, OBSERVED, PERIOD_WEIGHTS

ORIGIN: Final = "2017-11-17"
PAIR: Final = ("IXN", "XLK")
OTHERS: Final = ("EWG", "IEUS")  # nearly equal too, without any trouble
SIZE_ON: Final = 0.025  # of the fifth factor, decimal per period, root of the sum of squares over assets
THIN: Final = 5
SWEEPS: Final = (1_000, 4_000, 10_000)
SEEDS: Final = range(1, 9)
ROWS: Final = {
    "level": "log noise scale of the two, mean",
    "difference": "log noise scale of the two, size of the difference",
    "fifth": "size of the fifth factor",
}

Floats = NDArray[np.float64]


def panel_at(data: Path, origin: str) -> Panel:
    """Panel of `core` at an origin, as the runs have it."""
    market = market_data(data, "m6")
    history = market.history(pd.Timestamp(origin), period=PERIOD, history_days=None)
    return Panel.from_prices(
        history.prices,
        history.universe,
        origin=history.origin,
        earnings=history.earnings,
        settings=core().panel,
        accept=None,
    )


def sampler(chains: int, sweeps: int, thin: int) -> SamplerSettings:
    """Tuning of the runs, and so many sweeps after it."""
    return SamplerSettings(chains=chains, draws=sweeps // thin, tune=500, thin=thin, cores=1)


def fifth(posterior: Posterior) -> Floats:
    """Size of the fifth largest factor (chain, draw): of a rotation of the factors it knows nothing."""
    draws = posterior.draws
    scaled = (draws[LOADINGS] * draws[FACTOR_SCALE]).transpose(CHAIN, DRAW, ASSET, FACTOR).to_numpy()
    sizes = np.sqrt(np.maximum(np.linalg.eigvalsh(scaled.swapaxes(-1, -2) @ scaled), 0.0))
    return np.asarray(sizes[..., -5])


def quantities(posterior: Posterior) -> dict[str, Floats]:
    """What a swap of the pair leaves alone, and what it changes, (chain, draw)."""
    theta = posterior.draws["theta"].sel({ASSET: list(PAIR)}).transpose(CHAIN, DRAW, ASSET).to_numpy()
    difference = np.abs(theta[..., 0] - theta[..., 1])
    return {"level": theta.mean(axis=-1), "difference": difference, "fifth": fifth(posterior)}


def swap_acceptance(posterior: Posterior, pair: tuple[str, str], every: int = 20) -> float:
    """Acceptance of a swap of all that is two assets' own, mixing variables integrated out.

    Loadings, coefficients of the noise and degrees of freedom change places, given the factors. Both are of
    one class, so that the prior is the same.
    """
    data = model_data(posterior.model, posterior.panel)
    assets = list(posterior.panel.assets)
    order = np.arange(len(assets))
    order[[assets.index(x) for x in pair]] = order[[assets.index(x) for x in pair[::-1]]]
    now = {name: x[::every] for name, x in posterior.parameters().items()}
    own = (LOADINGS, "theta", "beta_rv", "beta_earnings", NU)
    swapped = now | {name: now[name][:, order] for name in own}
    weight = data[PERIOD_WEIGHTS][:, None] * data[OBSERVED]

    def total(p: Mapping[str, Any]) -> Floats:
        density = np.where(data[OBSERVED], posterior.model.log_likelihood(p, data), 0.0)
        return np.asarray((density * weight).sum(axis=(-2, -1)))

    return float(np.exp(np.minimum(total(swapped) - total(now), 0.0)).mean())


def long_run(panel: Panel) -> dict[str, Any]:
    """R-hat by number of sweeps, acceptance of swaps, and what goes with the fifth factor."""
    posterior = fit(core(), panel, seed=11, settings=sampler(4, SWEEPS[-1], THIN), accept=None)
    found = quantities(posterior)
    on = found["fifth"] > SIZE_ON
    rhat = {
        name: [float(rhat_and_ess(x[:, : n // THIN, None])[0][0]) for n in SWEEPS]
        for name, x in found.items()
    }
    return {
        "rhat": rhat,
        "swap": {"~".join(pair): swap_acceptance(posterior, pair) for pair in (PAIR, OTHERS)},
        "on": float(on.mean()),
        "noise_on": float(np.exp(found["level"][on]).mean()),
        "noise_off": float(np.exp(found["level"][~on]).mean()),
        "changes": int(np.abs(np.diff(_smooth(found["fifth"]) > SIZE_ON, axis=1)).sum()),
    }


def _smooth(x: Floats, n: int = 15) -> Floats:
    """Running means, so that a moment across the bound is no change."""
    return np.stack([np.convolve(row, np.ones(n) / n, "valid") for row in x])


def starts(panel: Panel, before: Panel) -> dict[str, Any]:
    """Two chains of the first length of the runs: R-hat, and share of draws with the factor on, by start."""
    short = sampler(2, SWEEPS[0], 2)
    found: dict[str, Any] = {"cold": [], "warm": []}
    for seed in SEEDS:
        earlier = fit(core(), before, seed=100 + seed, settings=short, accept=None)
        for name, start in (("cold", None), ("warm", earlier)):
            posterior = fit(core(), panel, seed=seed, settings=short, accept=None, warm_from=start)
            share = float((fifth(posterior) > SIZE_ON).mean())
            found[name].append([posterior.diagnose().max_rhat, share])
        print(seed, found["cold"][-1], found["warm"][-1], flush=True)
    return found


def markdown(figures: Mapping[str, Any]) -> str:
    """Tables of docs/skill.md: R-hat by sweeps, facts of the long run, starts."""
    lines = [
        "| R-hat of four chains, after sweeps | " + " | ".join(f"{n:,}" for n in SWEEPS) + " |",
        "|---" * (len(SWEEPS) + 1) + "|",
    ]
    for name, words in ROWS.items():
        lines.append("| " + " | ".join([words, *(f"{x:.2f}" for x in figures["rhat"][name])]) + " |")
    swaps = ", ".join(f"{x:.0%} ({pair.replace('~', ', ')})" for pair, x in figures["swap"].items())
    noise = ", ".join(f"{figures[f'noise_{x}']:.1%}" for x in ("on", "off"))
    lines += [
        "",
        "| | |",
        "|---|---|",
        f"| draws with the fifth factor on | {figures['on']:.0%} |",
        f"| noise of the two funds with it on, and off | {noise} |",
        f"| it goes on or off in {4 * SWEEPS[-1]:,} sweeps | {figures['changes']} times |",
        f"| swaps of two funds accepted | {swaps} |",
        "",
        f"| two chains of {SWEEPS[0]:,} sweeps, {len(SEEDS)} seeds | R-hat at most 1.05 | worst R-hat"
        " | in those that agree the factor is on in |",
        "|---|---|---|---|",
    ]
    for name, words in (("cold", "dispersed starts"), ("warm", "from the posterior of the origin before")):
        agree = [share for rhat, share in figures["starts"][name] if rhat <= MAX_RHAT]
        shares = ", ".join(f"{x:.0%}" for x in agree) + (" of the draws" if agree else "none")
        worst = max(rhat for rhat, _ in figures["starts"][name])
        lines.append(f"| {words} | {len(agree)} | {worst:.2f} | {shares} |")
    return "\n".join(lines) + "\n"


def main(
    data: Annotated[Path, typer.Option(help="Folder of the universes.")],
    json_file: Annotated[Path, typer.Option("--json", help="File of the figures.")],
) -> None:
    """Look at the two modes of one origin."""
    panel = panel_at(data, ORIGIN)
    before = panel_at(data, f"{pd.Timestamp(ORIGIN) - pd.Timedelta(days=PERIOD):%F}")
    figures = long_run(panel)
    figures["starts"] = starts(panel, before)
    print(markdown(figures))
    json_file.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
