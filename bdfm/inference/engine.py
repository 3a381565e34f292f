"""Choice of the engine, and the two engines behind one signature."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bdfm import _checks
from bdfm.data.panel import Panel
from bdfm.errors import ModelError
from bdfm.gibbs.spec import GibbsSpec, KnownReturn
from bdfm.inference.choices import (
    COPIES,
    FEWEST_DRAWS,
    INDEPENDENT,
    KEPT_BYTES,
    MOST_DRAWS,
    MOST_MOVED,
)
from bdfm.inference.diagnostics import Diagnosis
from bdfm.inference.settings import SamplerSettings
from bdfm.model.equations import BY_ASSET, Equations, at_periods, model_data, values_of_a_draw
from bdfm.model.evidence import Evidence
from bdfm.model.factor_model import FactorModel
from bdfm.names import ASSET, CHAIN, DRAW, POSTERIOR, RETURNS, SAMPLE_STATS

if TYPE_CHECKING:
    from bdfm.gibbs.sampler import Moved
    from bdfm.inference.moving import MovingRule


def not_covered(model: Equations) -> list[str]:
    """Names of the parts that the Gibbs sampler does not cover; empty where it can run the model."""
    return [type(part).__name__ for part in model.parts if not part.has_block]


def choose(settings: SamplerSettings, model: Equations) -> str:
    """``gibbs`` or ``nuts``: what was asked for, or with ``auto`` the fastest that covers the model."""
    missing = not_covered(model)
    if settings.engine == "gibbs" and missing:
        raise ModelError(
            f"engine gibbs: model {model.name!r} has parts that it does not cover ({_checks.first(missing)})."
            " Use --engine nuts, or auto."
        )
    if settings.engine == "gibbs" and settings.sampler != "nutpie":
        raise ModelError(
            f"engine gibbs: it has no sampler {settings.sampler!r}, which belongs to NUTS. Leave sampler out,"
            ' or set engine to "nuts".'
        )
    if settings.engine == "auto":
        return "nuts" if missing or settings.sampler != "nutpie" else "gibbs"
    return settings.engine


class EngineRun(NamedTuple):
    """Draws (chain, draw, ...), statistics of the sampler, and wall seconds by stage.

    ``length``: sweeps of each chain and how many lie between two draws, where the run found them; of an
    update also how many sweeps each earlier draw was ``moved``, and the largest ``drift``; which chains have
    ``begun_again`` where the best one was.
    ``adaptation``: what tuning found, for a later fit to go on with.
    ``diagnosis``: that of these draws, where it was made to see whether they are enough.
    """

    draws: xr.Dataset
    sample_stats: xr.Dataset
    seconds: dict[str, float]
    length: Mapping[str, int | str] = MappingProxyType({})
    diagnosis: Diagnosis | None = None
    adaptation: str | None = None


def run(
    engine: str,
    model: FactorModel,
    panel: Panel,
    settings: SamplerSettings,
    *,
    seed: int,
    evidence: tuple[Evidence, ...] = (),
    progress: bool = False,
    warm: tuple[xr.Dataset, str | None] | None = None,
) -> EngineRun:
    """Posterior draws by the engine named; the same variables with the same dims from either.

    ``warm``: draws and adaptation of an earlier fit, from which the Gibbs sampler goes on.
    """
    if engine == "gibbs":
        return _run_gibbs(model, panel, settings, seed=seed, evidence=evidence, progress=progress, warm=warm)
    from bdfm.inference.nuts import sample_nuts
    from bdfm.inference.start import pca_start

    begun = time.perf_counter()
    pymc_model = model.build(panel, evidence=evidence)
    start = pca_start(pymc_model, model_data(model, panel), model.n_factors)
    prepared = time.perf_counter() - begun
    tree, seconds = sample_nuts(pymc_model, start, settings, seed=seed, progress=progress)
    seconds["compile"] += prepared
    draws = tree[POSTERIOR].to_dataset()
    # Standardised variables follow from the others, and a posterior makes them anew.
    spare = {v.name for v in (*model.variables, *model.variables_ahead) if not v.stored}
    draws = draws.drop_vars(spare & set(map(str, draws.data_vars)))
    return EngineRun(draws, tree[SAMPLE_STATS].to_dataset(), seconds)


def _run_gibbs(
    model: FactorModel,
    panel: Panel,
    settings: SamplerSettings,
    *,
    seed: int,
    evidence: tuple[Evidence, ...],
    progress: bool,
    warm: tuple[xr.Dataset, str | None] | None,
) -> EngineRun:
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    from bdfm.gibbs.sampler import GibbsSettings, sample_gibbs, sample_in_steps
    from bdfm.inference.moving import MovingRule
    from bdfm.inference.stopping import FIRST_DRAWS, StoppingRule
    from bdfm.inference.warm import as_text, warm_start

    coords = model.coords(panel, evidence)

    def label(arrays: Mapping[str, NDArray[Any]]) -> xr.Dataset:
        return labelled(arrays, model, coords)

    spec = gibbs_spec(model, panel, evidence)
    start = None if warm is None else warm_start(*warm, coords, settings.chains)
    most = most_draws(model, coords, settings.chains) if settings.draws == "auto" else settings.draws
    length = GibbsSettings(most, settings.tune, settings.thin, settings.chains, settings.cores)
    rule = StoppingRule(
        model,
        panel,
        label,
        max_rhat=settings.max_rhat,
        min_ess=settings.min_ess,
        with_evidence=bool(evidence),
    )
    columns = (TextColumn("Sampling"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, disable=not progress, transient=True) as bar:
        task = bar.add_task("sweeps", total=None)

        def advance(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        told: dict[str, Any] = {}
        moved, spent, vain = None, 0, dict[str, float]()
        least = settings.tune + FIRST_DRAWS * settings.thin
        if settings.draws == "auto" and warm is not None and not evidence:
            judge = MovingRule(rule)
            moved, spent, vain = _moved(
                spec, model, coords, settings, warm, judge, seed=seed, advance=advance
            )
        if moved is not None:
            result = moved
            told = {"moved": judge.moved, "drift": str(judge.drift)}
        elif settings.draws == "auto":
            result = sample_in_steps(
                spec,
                length,
                rule,
                first=FIRST_DRAWS,
                max_sweeps=max(settings.max_sweeps - spent, min(settings.max_sweeps, least)),
                seed=seed,
                warm=start,
                on_progress=advance,
            )
        else:
            result = sample_gibbs(spec, length, seed=seed, warm=start, on_progress=advance)
    if result.begun_again:
        told["begun_again"] = begun_again_in_words(result.begun_again)
    if settings.draws == "auto":
        told |= {"sweeps": result.sweeps + (0 if moved else spent), "thin": result.thin}
    seconds = result.seconds
    if moved is None:  # what was in vain is time of the fit too
        seconds = {stage: x + vain.get(stage, 0.0) for stage, x in seconds.items()}
    return EngineRun(
        label(result.draws),
        label(result.sample_stats),
        seconds,
        told,
        rule.diagnosis,
        as_text(result.adaptation, panel.assets),
    )


def begun_again_in_words(lacking: Mapping[int, float]) -> str:
    """Which chains began again, and how much of the log-likelihood each lacked."""
    return ", ".join(f"chain {number} ({gap:,.0f} lower)" for number, gap in lacking.items())


def _moved(
    spec: GibbsSpec,
    model: FactorModel,
    coords: Mapping[str, Any],
    settings: SamplerSettings,
    warm: tuple[xr.Dataset, str | None],
    judge: MovingRule,
    *,
    seed: int,
    advance: Callable[[int, int], None],
) -> Moved:
    """Draws of the earlier fit, each moved on by a few sweeps, as far as that is enough."""
    from bdfm.gibbs.sampler import KEPT_MOVES, MOVES, Moved, move_draws
    from bdfm.inference.moving import MOST_MOVES
    from bdfm.inference.stopping import ESS_MARGIN
    from bdfm.inference.warm import from_text, spread_draws

    earlier, adaptation = warm
    draws = spread_draws(earlier, coords, settings.chains, moved_draws(model, coords, settings.chains))
    n = next(iter(draws.values())).shape[1]
    most = min(MOST_MOVES, settings.max_sweeps // n)
    lacking = {v.name for v in model.variables if v.stored} - set(draws)
    if lacking or most < MOVES or settings.chains * n < ESS_MARGIN * settings.min_ess:
        return Moved(None, 0, {})
    few = KEPT_MOVES * n < MOST_MOVED  # of a large model: even independent draws may be too few for R-hat
    if few and settings.max_rhat - 1 < INDEPENDENT / (settings.chains * KEPT_MOVES * n):
        return Moved(None, 0, {})
    judge.most = most
    return move_draws(
        spec,
        draws,
        judge,
        adaptation=None if adaptation is None else from_text(adaptation, list(coords[ASSET])),
        most=most,
        seed=seed,
        cores=settings.cores,
        on_progress=advance,
    )


def moved_draws(model: Equations, coords: Mapping[str, Any], chains: int) -> int:
    """Draws of each chain that an update moves: of a large model no more than have the memory of a fit."""
    from bdfm.gibbs.sampler import KEPT_MOVES

    return min(MOST_MOVED // KEPT_MOVES, int(_fitting_draws(model, coords, chains) / draws_worth(1)))


def draws_worth(moved: int) -> float:
    """Draws of a fit whose memory moved draws have: of their states only the last ones have copies."""
    from bdfm.gibbs.sampler import KEPT_MOVES, STATES

    return moved * (STATES + COPIES * KEPT_MOVES) / COPIES


def most_draws(model: Equations, coords: Mapping[str, Any], chains: int) -> int:
    """Kept draws of each chain in automatic length: fewer where a draw holds a path for every asset."""
    return min(MOST_DRAWS, _fitting_draws(model, coords, chains))


def _fitting_draws(model: Equations, coords: Mapping[str, Any], chains: int) -> int:
    """Draws of each chain that ``KEPT_BYTES`` hold, but no fewer than a fit needs."""
    values = values_of_a_draw(model, coords)
    return max(FEWEST_DRAWS, KEPT_BYTES // (8 * chains * values))


def labelled(arrays: Mapping[str, NDArray[Any]], model: Equations, coords: Mapping[str, Any]) -> xr.Dataset:
    """Dataset (chain, draw, ...) of arrays by variable name, with the model's dims and the coords given."""
    lead = next(iter(arrays.values())).shape
    core = {v.name: v.dims for v in (*model.variables, *model.variables_ahead)}
    dims = {name: (CHAIN, DRAW, *core.get(name, ())) for name in arrays}
    labels = {CHAIN: np.arange(lead[0]), DRAW: np.arange(lead[1]), **coords}
    used = {d for ds in dims.values() for d in ds}
    return xr.Dataset(
        {name: (dims[name], x) for name, x in arrays.items()},
        coords={d: x for d, x in labels.items() if d in used},
    )


def gibbs_spec(model: Equations, panel: Panel, evidence: Sequence[Evidence] = ()) -> GibbsSpec:
    """Specification for the Gibbs sampler of a model that it covers, from the blocks of the parts.

    With evidence, the first period after the origin is the last one (eq. 12).
    """
    data = model_data(model, panel)
    if evidence:
        ahead = at_periods(model_data(model, panel, future=True), slice(1))
        data = {n: x if n in BY_ASSET else np.concatenate([x, ahead[n]]) for n, x in data.items()}
    fields: dict[str, Any] = {"mean": (), "log_volatility": (), "lags": None}
    for part in model.parts:
        for name, value in part.block(data).items():
            fields[name] = fields[name] + value if isinstance(value, tuple) else value
    return GibbsSpec(
        returns=data[RETURNS],
        n_factors=model.n_factors,
        evidence=tuple(KnownReturn(panel.assets.index(e.asset), e.mean, e.sd) for e in evidence),
        **fields,
    )
