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
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bdfm import names
from bdfm.gibbs.beside import compiling_beside
from bdfm.gibbs.data import make_data
from bdfm.gibbs.draws import log_likelihood_draws, named_draws, named_views
from bdfm.gibbs.scratch import Moves
from bdfm.gibbs.spec import GibbsSpec
from bdfm.gibbs.start import lagging_chains
from bdfm.gibbs.state import state_sizes, state_views
from bdfm.gibbs.sweep import make_chain, sweep_of
from bdfm.gibbs.warm import Adaptation, WarmStart, found_adaptation, knows_all, place_adaptation, place_draws

GROWTH: Final = 1.3  # of the sweeps from one look at a run in steps to the next, unless the judge says
MOVES: Final = 3  # sweeps of each draw of ``move_draws`` before the first look
KEPT_MOVES: Final = 2  # the last ones, after which a draw is kept
STATES: Final = 1 + MOVES  # of each draw: where it begins, and after each sweep
PILOT: Final = 200  # sweeps of a chain that finds what is new
WATCHED: Final = 5  # sweeps from one state to the next, where chains are compared halfway through tuning
FEWEST_WATCHED: Final = 10  # states; shorter tuning has no such look
_BATCH: Final = 100  # sweeps between two returns to Python, where an interrupt is noticed
_MOVED: Final = _BATCH // MOVES  # draws


@dataclass(frozen=True)
class GibbsSettings:
    """Length of a run: each chain makes ``tune`` sweeps, then ``thin * draws`` and keeps every thin-th.

    In steps (``sample_in_steps``) ``draws`` is the largest number that is kept, and ``thin`` that of the
    first steps.
    """

    draws: int = 2500
    tune: int = 500
    thin: int = 1
    chains: int = 4
    cores: int = os.cpu_count() or 1


class Look(NamedTuple):
    """What a judge of a run in steps says of the draws so far."""

    enough: bool
    apart: bool = False  # chains still disagree so much that the first half of the draws is burn-in
    growth: float = GROWTH  # how many times as many sweeps make another look worth while


# Draws and statistics of the sampler, as in ``GibbsResult``: views, so who keeps any copies them
type Judge = Callable[[dict[str, NDArray[np.float64]], dict[str, NDArray[np.float64]]], Look]


@dataclass(frozen=True)
class GibbsResult:
    """Draws by variable name, (chain, draw, ...) in the order of dims of the model, and how they came.

    ``sample_stats`` holds the weighted log-likelihood of the returns (chain, draw); ``acceptance`` the rate
    of each kind of Metropolis-Hastings move; ``seconds`` wall time by stage: ``compile``, ``sample`` and, of
    a run with a judge, ``diagnose``, its looks; ``sweeps`` those of each chain, tuning included; ``thin`` how
    many of them lie between two draws; ``adaptation`` what tuning found; ``begun_again`` chains that went on
    from the state of the best one halfway through tuning, with how much of the log-likelihood they lacked.
    """

    draws: dict[str, NDArray[np.float64]]
    sample_stats: dict[str, NDArray[np.float64]]
    acceptance: dict[str, float]
    seconds: dict[str, float]
    sweeps: int
    thin: int
    adaptation: Adaptation
    begun_again: Mapping[int, float]


class Moved(NamedTuple):
    """What ``move_draws`` gives: draws, if they are enough; sweeps of each chain; wall seconds by stage."""

    result: GibbsResult | None
    sweeps: int
    seconds: dict[str, float]


def sample_gibbs(
    spec: GibbsSpec,
    settings: GibbsSettings = GibbsSettings(),
    *,
    seed: int,
    warm: WarmStart | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> GibbsResult:
    """Posterior draws of a specification. The same seed gives the same draws, on any number of cores.

    With ``warm`` the chains go on from draws of an earlier run, each from its own.
    ``on_progress`` is called now and then, from the chains' threads, with the number of sweeps made and to
    make over all chains. An interrupt or an error in one chain stops the others within a batch of sweeps.
    """
    run = _Run(spec, settings, seed, on_progress, warm)
    total = settings.tune + settings.thin * settings.draws
    with run.threads():
        run.tune(total)
        run.keep(0, settings.draws, settings.thin, total)
    return run.result(settings.draws, settings.thin)


def sample_in_steps(
    spec: GibbsSpec,
    settings: GibbsSettings,
    judge: Judge,
    *,
    first: int,
    max_sweeps: int,
    seed: int,
    warm: WarmStart | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> GibbsResult:
    """Posterior draws of a run that goes on until they are enough, or each chain has made ``max_sweeps``.

    After tuning and ``first`` draws, and then each time the sweeps have grown as the last look asked for,
    ``judge`` looks at the draws of all chains. Where it finds the chains ``apart``, the first half of the
    draws is dropped as burn-in. When ``settings.draws`` are kept, every second one is dropped and ``thin``
    doubles, so that memory is bounded. When to look depends on the draws alone: the same seed gives the same
    draws on any number of cores.
    """
    run = _Run(spec, settings, seed, on_progress, warm)
    kept, thin, sweeps = 0, settings.thin, settings.tune
    target = min(max_sweeps, sweeps + thin * min(first, settings.draws))
    with run.threads():
        run.tune(target)
        while True:
            while kept + (target - sweeps) // thin > settings.draws:
                run.halve(kept)
                kept, thin = kept // 2, 2 * thin
            fresh = (target - sweeps) // thin
            run.keep(kept, fresh, thin, target)
            kept, sweeps = kept + fresh, sweeps + fresh * thin
            look = run.judged(judge, kept)
            target = min(max_sweeps, settings.tune + round(look.growth * (sweeps - settings.tune)))
            if look.enough or (target - sweeps) // thin < 1:
                return run.result(kept, thin)
            if look.apart:
                run.drop(kept - kept // 2, kept)
                kept //= 2


def move_draws(
    spec: GibbsSpec,
    draws: Mapping[str, NDArray[np.float64]],
    judge: Judge,
    *,
    adaptation: Adaptation | None,
    most: int,
    seed: int,
    cores: int,
    on_progress: Callable[[int, int], None] | None = None,
) -> Moved:
    """Draws of an earlier run, each moved on by ``MOVES`` sweeps given the data now, until they are enough.

    Sequential Markov chain Monte Carlo (Yang and Dunson 2013, arXiv:1308.3861): sweeps keep the posterior, so
    that they bring the draws of one that is near to it, each from where it is. A single chain has to go the
    whole way from one effective draw to the next; these are many already.

    Parameters
    ----------
    draws
        By variable name (chain, draw, ...) in the order of dims of the model; NaN where nothing is known, as
        in ``WarmStart``. What is new, such as an asset, begins with what chains of ``PILOT`` sweeps find, and
        its loadings with 0.
    judge
        Sees after ``MOVES`` sweeps where the draws began and where each sweep brought them, (chain, draw x
        state, ...); after each further sweep as many states, the last ones. Where it finds draws ``apart``,
        further sweeps are of no use.
    most
        Sweeps of each draw, at most.

    Returns
    -------
    Moved
        The draws after the last ``KEPT_MOVES`` sweeps, unless the judge found none enough.
    """
    n_chains, n = next(iter(draws.values())).shape[:2]
    last = tuple({name: x[c, -1] for name, x in draws.items()} for c in range(n_chains))
    settings = GibbsSettings(n * STATES, tune=0, thin=1, chains=n_chains, cores=cores)
    run = _Run(spec, settings, seed, on_progress, WarmStart(last, adaptation), alone=False)
    with run.threads():
        unknown: NDArray[np.bool_] | None = run.begin_moves(draws, adaptation)
        piloted = max(run.done)
        for made in range(MOVES, most + 1):
            run.move(unknown, piloted + made * n)
            unknown = None
            look = run.judged(judge, n * STATES)
            if look.enough:
                run.kept = np.stack([last_moves(x) for x in run.kept])
                result = run.result(n * KEPT_MOVES, 1)
                return Moved(result, max(run.done), result.seconds)
            if look.apart:
                break
    return Moved(None, max(run.done), run.stages())


def last_moves(x: NDArray[Any]) -> NDArray[Any]:
    """Of states (draw x state, ...) of moved draws those that are kept, in the same order."""
    rest = x.shape[1:]
    return x.reshape(-1, STATES, *rest)[:, STATES - KEPT_MOVES :].reshape(-1, *rest)


class _Run:
    """Chains on threads, and the memory of what they keep."""

    def __init__(
        self,
        spec: GibbsSpec,
        settings: GibbsSettings,
        seed: int,
        on_progress: Callable[[int, int], None] | None,
        warm: WarmStart | None,
        *,
        alone: bool = True,
    ) -> None:
        begun = time.perf_counter()
        self.spec, self.settings, self.on_progress = spec, settings, on_progress
        self.data = make_data(spec)
        sweep = sweep_of(spec, self.data, alone=alone)
        with compiling_beside(sweep, cores=settings.cores) as beside:
            chain = make_chain(spec, np.random.default_rng(0))
            self.addresses = chain.compiled(sweep, before=beside.wait_for)
        self.begun = time.perf_counter()
        self.compile_seconds, self.looking = self.begun - begun, 0.0
        streams = [np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(settings.chains)]
        self.warm, self.begun_again = warm is not None, dict[int, float]()
        # Threads share no array: reference counts of one that they share would slow both down.
        if warm is None:
            self.chains = [make_chain(spec, rng) for rng in streams]
        else:
            starts = zip(streams, warm.draws, strict=True)
            self.chains = [make_chain(spec, rng, draw, warm.adaptation) for rng, draw in starts]
        self.kept = np.empty((settings.chains, settings.draws, state_sizes(self.data, spec.n_factors)[1]))
        self.done = [0] * settings.chains
        self.stop = threading.Event()
        self.pool: ThreadPoolExecutor | None = None

    @contextmanager
    def threads(self) -> Iterator[None]:
        """Threads for the chains; an error or an interrupt stops them all within a batch of sweeps."""
        with ThreadPoolExecutor(max_workers=max(1, min(self.settings.cores, self.settings.chains))) as pool:
            self.pool = pool
            try:
                yield
            except BaseException:  # an interrupt too: leaving the pool waits for its threads
                self.stop.set()
                raise

    def _each[T](self, work: Callable[[int], T]) -> list[T]:
        """Do the work of every chain."""
        assert self.pool is not None
        futures = [self.pool.submit(work, number) for number in range(self.settings.chains)]
        return [future.result() for future in futures]

    def _advance(self, number: int, sweeps: int, total: int) -> bool:
        """Count sweeps of a chain; whether to go on."""
        self.done[number] += sweeps
        if self.on_progress is not None:
            self.on_progress(sum(self.done), total * self.settings.chains)
        return not self.stop.is_set()

    def tune(self, total: int) -> None:
        """Make the sweeps that adapt; ``total`` is how many there will be in all, as far as is known.

        Halfway, chains far behind the best one begin again where it is, unless all began at earlier draws: of
        places that no chain leaves they have found a worse one.
        """
        half = self.settings.tune // 2
        watched = min(half // 2 // WATCHED, self.settings.draws)
        if self.warm or watched < FEWEST_WATCHED:
            self._adapt(self.settings.tune, total)
        else:
            self._adapt(half - watched * WATCHED, total)
            self._adapt(watched * WATCHED, total, keep=True)
            self._begin_again(watched)
            self._adapt(self.settings.tune - half, total)
        for chain in self.chains:
            chain.scratch.tuning.adapting[0] = False
            for count in chain.scratch.moves:
                count[:] = 0.0

    def _adapt(self, sweeps: int, total: int, *, keep: bool = False) -> None:
        """Make some of them; with ``keep`` every ``WATCHED``-th state is kept."""

        def work(number: int) -> None:
            chain = self.chains[number]
            chain.scratch.tuning.adapting[0] = True
            for first in range(0, sweeps, _BATCH):
                batch = min(_BATCH, sweeps - first)
                rows = self.kept[number, first // WATCHED : (first + batch) // WATCHED]
                chain.sample(self.addresses, batch, WATCHED, rows if keep else rows[:0])
                if not self._advance(number, batch, total):
                    return

        self._each(work)

    def _begin_again(self, watched: int) -> None:
        """Chains far behind, by ``watched`` states, go to the last of the best one and adapt from there."""
        kept = self.kept[:, :watched]
        best, self.begun_again = lagging_chains(log_likelihood_draws(self.spec, self.data, kept))
        for number in self.begun_again:
            chain = self.chains[number]
            chain.begin_at(kept[best, -1], chain.beginning(self.spec))
            place_adaptation(chain.scratch.tuning, found_adaptation([self.chains[best].scratch.tuning]))

    def keep(self, begin: int, n_draws: int, thin: int, total: int) -> None:
        """Add ``n_draws``, each after ``thin`` sweeps, to the first ``begin`` ones."""
        step = max(1, _BATCH // thin)

        def work(number: int) -> None:
            rows = self.kept[number, begin : begin + n_draws]
            for first in range(0, n_draws, step):
                part = rows[first : first + step]
                self.chains[number].sample(self.addresses, len(part) * thin, thin, part)
                if not self._advance(number, len(part) * thin, total):
                    return

        self._each(work)

    def begin_moves(
        self, draws: Mapping[str, NDArray[np.float64]], adaptation: Adaptation | None
    ) -> NDArray[np.bool_]:
        """Put every draw where it begins.

        Returns of which periods (chain, draw, period) it has no factors. Where a draw knows nothing it begins
        with the start, or with what a pilot finds. A pilot runs where something is new or has not been tuned;
        it tunes in its first half.
        """
        self.beginnings = [chain.beginning(self.spec) for chain in self.chains]
        size = self.kept.shape[2]
        begun = self.kept[:, ::STATES]
        known = knows_all(draws) and adaptation is not None and np.isfinite(adaptation.leverage).all()

        def work(number: int) -> NDArray[np.bool_]:
            chain, tuning = self.chains[number], self.chains[number].scratch.tuning
            found = chain.values[None, :size].copy()
            if not known:
                found = np.empty((PILOT // 2, size))
                sweep = chain.compiled(sweep_of(self.spec, self.data))  # that of a chain: all is tuned
                for tunes, kept in ((True, found[:0]), (False, found)):
                    tuning.adapting[0] = tunes
                    chain.sample(sweep, PILOT // 2, 1, kept)
                    if not self._advance(number, PILOT // 2, PILOT):
                        return np.zeros((begun.shape[1], len(self.spec.returns)), dtype=np.bool_)
                chain.rng.shuffle(found)  # draws that follow each other begin far apart
            unknown = []
            for first in range(0, begun.shape[1], _MOVED):  # few at a time: loadings of draws may be large
                part = slice(first, min(first + _MOVED, begun.shape[1]))
                values = found[np.arange(part.start, part.stop) % len(found)]
                own = {name: x[number, part] for name, x in draws.items()}
                unknown.append(place_draws(self.spec, self.data, values, own))
                begun[number, part] = values
            return np.concatenate(unknown)

        return np.stack(self._each(work))

    def move(self, unknown: NDArray[np.bool_] | None, total: int) -> None:
        """Make ``MOVES`` sweeps of each draw from where it begins, or without ``unknown`` one more.

        ``unknown``: periods (chain, draw, period) whose factors are drawn anew at the beginning.
        """
        sweeps = 1 if unknown is None else MOVES

        def work(number: int) -> None:
            chain, beginning = self.chains[number], self.beginnings[number]
            kept = self.kept[number].reshape(-1, STATES, self.kept.shape[2])
            if unknown is None:
                for state in range(MOVES):
                    kept[:, state] = kept[:, state + 1]
            for begin in range(0, len(kept), _MOVED):
                part = slice(begin, min(begin + _MOVED, len(kept)))
                new = None if unknown is None else unknown[number, part]
                chain.move(self.addresses, kept[part], beginning, new, first=MOVES - sweeps)
                if not self._advance(number, sweeps * (part.stop - begin), total):
                    return

        self._each(work)

    def halve(self, n_draws: int) -> None:
        """Keep every second of the first ``n_draws``, the last among them."""
        self.kept[:, : n_draws // 2] = self.kept[:, n_draws % 2 + 1 : n_draws : 2].copy()

    def drop(self, first: int, n_draws: int) -> None:
        """Forget the first of ``n_draws``."""
        self.kept[:, : n_draws - first] = self.kept[:, first:n_draws].copy()

    def judged(self, judge: Judge, n_draws: int) -> Look:
        """What a judge says of the first ``n_draws``."""
        begun = time.perf_counter()
        look = judge(*self.seen(n_draws))
        self.looking += time.perf_counter() - begun
        return look

    def seen(self, n_draws: int) -> tuple[dict[str, NDArray[np.float64]], dict[str, NDArray[np.float64]]]:
        """The first ``n_draws`` by variable name, and statistics of the sampler: for a look, views."""
        kept = self.kept[:, :n_draws]
        draws = named_views(self.spec, state_views(kept, self.data, self.spec.n_factors))
        return draws, {names.LOG_LIKELIHOOD: log_likelihood_draws(self.spec, self.data, kept)}

    def draws(self, n_draws: int) -> tuple[dict[str, NDArray[np.float64]], dict[str, NDArray[np.float64]]]:
        """The same as arrays of their own."""
        kept = self.kept[:, :n_draws]
        stats = {names.LOG_LIKELIHOOD: log_likelihood_draws(self.spec, self.data, kept)}
        return named_draws(self.spec, self.data, kept), stats

    def result(self, n_draws: int, thin: int) -> GibbsResult:
        """What came, from the first ``n_draws``."""
        return GibbsResult(
            *self.draws(n_draws),
            _acceptance(self.spec, [chain.scratch.moves for chain in self.chains]),
            self.stages(),
            max(self.done),
            thin,
            found_adaptation([chain.scratch.tuning for chain in self.chains]),
            self.begun_again,
        )

    def stages(self) -> dict[str, float]:
        """Wall seconds by stage, in the order of a fit."""
        looks = {"diagnose": self.looking} if self.looking else {}
        sampling = time.perf_counter() - self.begun - self.looking
        return {"compile": self.compile_seconds, "sample": sampling, **looks}


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
    if spec.factor_volatility is not None:
        named[names.FACTOR_VOLATILITY] = rates("factor_path")
    if spec.asset_volatility is not None:
        named[names.VOLATILITY_STATE] = rates("asset_path")
    group = iter(rates("group"))
    for effect in spec.log_volatility:
        for c in range(effect.columns):
            named[f"mu_{effect.name}" + (f"_{c}" if effect.columns > 1 else "")] = next(group)
    return {name: float(x) for name, x in named.items()}
