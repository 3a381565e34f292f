"""Blocked Gibbs sampler of the dynamic factor model (eq. 1 to 9), on plain arrays.

It covers independent factors, AR(1) and momentum; factor scales that are constant, follow regressors or have
a latent volatility; normal or Student-t factors; Student-t or normal loadings that are constant, follow
characteristics of the assets or change from block to block of periods; means of the factors; any number of
effects on the mean and on the log-volatility with hierarchies over assets; noise of the families in
``updates.noise``; period weights; and missing returns. A sweep costs about a millisecond at N = 100, T = 104,
K = 7; chains run on threads.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bdfm import names
from bdfm.gibbs.data import make_data
from bdfm.gibbs.draws import log_likelihood_draws, named_draws
from bdfm.gibbs.scratch import Moves
from bdfm.gibbs.spec import GibbsSpec
from bdfm.gibbs.state import state_sizes
from bdfm.gibbs.sweep import make_chain, sweep_of

_BATCH: Final = 100  # sweeps between two returns to Python, where an interrupt is noticed


@dataclass(frozen=True)
class GibbsSettings:
    """Length of a run: each chain makes ``tune`` sweeps, then ``thin * draws`` and keeps every thin-th."""

    draws: int = 2500
    tune: int = 500
    thin: int = 1
    chains: int = 4
    cores: int = os.cpu_count() or 1


@dataclass(frozen=True)
class GibbsResult:
    """Draws by variable name, (chain, draw, ...) in the order of dims of the model, and how they came.

    ``sample_stats`` holds the weighted log-likelihood of the returns (chain, draw); ``acceptance`` the rate
    of each kind of Metropolis-Hastings move; ``seconds`` wall time by stage.
    """

    draws: dict[str, NDArray[np.float64]]
    sample_stats: dict[str, NDArray[np.float64]]
    acceptance: dict[str, float]
    seconds: dict[str, float]


def sample_gibbs(
    spec: GibbsSpec,
    settings: GibbsSettings = GibbsSettings(),
    *,
    seed: int,
    on_progress: Callable[[int, int], None] | None = None,
) -> GibbsResult:
    """Posterior draws of a specification. The same seed gives the same draws, on any number of cores.

    ``on_progress`` is called now and then, from the chains' threads, with the number of sweeps made and to
    make over all chains. An interrupt or an error in one chain stops the others within a batch of sweeps.
    """
    begun = time.perf_counter()
    data = make_data(spec)
    addresses = make_chain(spec, np.random.default_rng(0)).compiled(sweep_of(spec, data))
    compiled = time.perf_counter()
    streams = [np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(settings.chains)]
    # Threads share no array: reference counts of one that they share would slow both down.
    chains = [make_chain(spec, rng) for rng in streams]
    size = state_sizes(data, spec.n_factors)[1]
    kept = np.empty((settings.chains, settings.draws, size))

    stop = threading.Event()
    total = settings.chains * (settings.tune + settings.thin * settings.draws)
    done = [0] * settings.chains

    def advance(number: int, sweeps: int) -> bool:
        """Count sweeps; whether to go on."""
        done[number] += sweeps
        if on_progress is not None:
            on_progress(sum(done), total)
        return not stop.is_set()

    def run_chain(number: int) -> None:
        chain = chains[number]
        tuning = chain.scratch.tuning
        tuning.adapting[0] = True
        for first in range(0, settings.tune, _BATCH):
            batch = min(_BATCH, settings.tune - first)
            chain.sample(addresses, batch, 1, kept[number, :0])
            if not advance(number, batch):
                return
        tuning.adapting[0] = False
        for count in chain.scratch.moves:
            count[:] = 0.0
        step = max(1, _BATCH // settings.thin)
        for first in range(0, settings.draws, step):
            part = kept[number, first : first + step]
            chain.sample(addresses, len(part) * settings.thin, settings.thin, part)
            if not advance(number, len(part) * settings.thin):
                return

    with ThreadPoolExecutor(max_workers=max(1, min(settings.cores, settings.chains))) as pool:
        try:
            for future in [pool.submit(run_chain, number) for number in range(settings.chains)]:
                future.result()
        except BaseException:  # an interrupt too: leaving the pool waits for its threads
            stop.set()
            raise
    seconds = {"compile": compiled - begun, "sample": time.perf_counter() - compiled}
    return GibbsResult(
        named_draws(spec, data, kept),
        {"log_likelihood": log_likelihood_draws(spec, data, kept)},
        _acceptance(spec, [chain.scratch.moves for chain in chains]),
        seconds,
    )


def _acceptance(spec: GibbsSpec, moves: list[Moves]) -> dict[str, float]:
    """Acceptance rate of each kind of move over all chains, adaptation excluded."""

    def rates(name: str) -> NDArray[np.float64]:
        total = np.sum([getattr(m, name) for m in moves], axis=0)
        return np.asarray(total[..., 0] / np.maximum(total[..., 1], 1.0))

    named = {"log_volatility": rates("asset")}
    if spec.noise.dof is not None:
        named[f"sigma_{names.NU}"] = rates("nu")
    if spec.lags is not None and spec.lags.number == 1:
        named[names.RHO] = rates("rho")
    group = iter(rates("group"))
    for effect in spec.log_volatility:
        for c in range(effect.columns):
            named[f"mu_{effect.name}" + (f"_{c}" if effect.columns > 1 else "")] = next(group)
    return {name: float(x) for name, x in named.items()}
