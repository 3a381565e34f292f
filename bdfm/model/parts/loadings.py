"""Factor loadings (eq. 4): how much each asset moves with each factor.

``loadings`` (asset, factor) are always those at the origin, from which a forecast starts.
"""

from __future__ import annotations

import itertools
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveFloat

from bdfm.gibbs.spec import Characteristics, LoadingBlocks
from bdfm.model.part import Array, Block, Data, Params, Part, Turn, Variable, functions_for
from bdfm.names import (
    ASSET,
    BLOCK,
    CHARACTERISTIC,
    CHARACTERISTICS,
    CHARACTERISTICS_PATH,
    FACTOR,
    LATER_BLOCK,
    LOADING_BLOCK,
    LOADING_DRIFT,
    LOADING_SLOPES,
    LOADINGS,
    LOADINGS_PATH,
)

PERIODS_A_YEAR = 13  # of 4 weeks; a prior on yearly drift needs no more precision for months

_LOADINGS = Variable(
    LOADINGS,
    "w_ki",
    (ASSET, FACTOR),
    "1",
    "Loadings, w of eq. 4",
    identified=False,
    turn=Turn.LOADINGS,
)
_SLOPES = Variable(
    LOADING_SLOPES,
    "Γ_lk",
    (CHARACTERISTIC, FACTOR),
    "1",
    "Slopes of the loadings on characteristics, Γ of eq. 4c",
    identified=False,
    turn=Turn.LOADINGS,
)
_TAU = Variable(f"sigma_{LOADINGS}", "τ", (), "1", "Loadings that characteristics leave, τ of eq. 4c")


def common_by_block(path: Array, factors: Array, block: NDArray[np.int64]) -> Array:
    """Products of factors and loadings (..., period, asset), each period with the loadings of its block.

    ``path`` (..., block, asset, factor); ``factors`` (..., period, factor), or (..., 1, factor) where they
    are the same in all periods; ``block`` (period), ascending; negative ones count from the end.
    """
    cuts = [0, *(np.flatnonzero(np.diff(block)) + 1), len(block)]
    constant = factors.type.shape[-2] == 1 if hasattr(factors, "type") else factors.shape[-2] == 1
    parts = []
    for a, b in itertools.pairwise(cuts):
        own = factors if constant else factors[..., a:b, :]
        part = own @ path[..., int(block[a]), :, :].swapaxes(-1, -2)
        parts += [part] * (b - a if constant else 1)
    return functions_for(factors, path).concatenate(parts, axis=-2)


class Loadings(Part):
    """What all loadings share: Student-t cross-section with unit scale, constant unless said otherwise."""

    nu: PositiveFloat = 10.0
    slot: ClassVar[str] = "loadings"
    claims: ClassVar[frozenset[str]] = frozenset({"loadings"})

    def common(self, p: Params, factors: Array, data: Data) -> Array:
        """Common part of the expected return, Σ_k w_ki λ_kt of eq. 2.

        ``factors`` (..., period, factor), decimal per period. Returns (..., period, asset).
        """
        return factors @ p[LOADINGS].swapaxes(-1, -2)

    def blocks(self, n_periods: int) -> NDArray[np.int64]:
        """Block of each period (period), a place in ``loadings_path``: those of one share their loadings."""
        return np.zeros(n_periods, dtype=np.int64)

    def block_ahead(self, n_periods: int) -> int:
        """Block of the periods after the origin: that of the last period, unless a new one begins."""
        return int(self.blocks(n_periods)[-1])


class StaticLoadings(Loadings):
    """Loadings that stay the same over time (eq. 4): w_ki ~ StudentT(``nu``, 0, 1).

    The unit scale is not a choice: it hands the scale of the factors to σ_λ. Degrees of freedom of 10
    allow an asset a few outlying loadings, and make the prior not quite invariant to rotation.
    """

    kind: Literal["static"] = "static"
    variables: ClassVar[tuple[Variable, ...]] = (_LOADINGS,)

    def params(self, data: Data) -> Params:
        """Loadings w (asset, factor), dimensionless."""
        import pymc as pm

        return {LOADINGS: pm.StudentT(LOADINGS, nu=self.nu, mu=0.0, sigma=1.0, dims=(ASSET, FACTOR))}

    def block(self, data: Data) -> Block:
        """Degrees of freedom."""
        return {"loadings_dof": self.nu}


class WalkingLoadings(Loadings):
    """What loadings share that walk from block to block of periods, all of them or what is left of them."""

    drift_sd: PositiveFloat = 0.1
    every: Annotated[int, Field(ge=1)] = PERIODS_A_YEAR
    variables: ClassVar[tuple[Variable, ...]] = (
        _LOADINGS,
        Variable(
            LOADINGS_PATH,
            "w_ki by block",
            (BLOCK, ASSET, FACTOR),
            "1",
            "Loadings of each block of periods, w of eq. 4b",
            identified=False,
            turn=Turn.LOADINGS,
        ),
        Variable(LOADING_DRIFT, "δ", (), "1 per year", "Drift of the loadings, δ of eq. 4b"),
        Variable(
            f"{LOADINGS}_first_z",
            "w_ki of the first block",
            (ASSET, FACTOR),
            "1",
            "Loadings of the first block",
            identified=False,
            turn=Turn.LOADINGS,
            stored=False,
        ),
        Variable(
            f"{LOADINGS}_z",
            "changes of w_ki, standardised",
            (LATER_BLOCK, ASSET, FACTOR),
            "1",
            "Changes of the loadings, standardised",
            identified=False,
            turn=Turn.LOADINGS,
            stored=False,
        ),
    )

    def walk(self, drift: Array, scale: Array) -> Array:
        """Random walk (block, asset, factor) from a first block of scale ``scale``, in a PyMC model."""
        import pymc as pm
        import pytensor.tensor as pt

        first = pm.StudentT(f"{LOADINGS}_first_z", nu=self.nu, mu=0.0, sigma=1.0, dims=(ASSET, FACTOR))
        z = pm.Normal(f"{LOADINGS}_z", 0.0, 1.0, dims=(LATER_BLOCK, ASSET, FACTOR))
        step, start = self.step_sd(drift) * z, scale * first[None]
        return pt.concatenate([start, start + pt.cumsum(step, axis=0)], axis=0)

    def standardised(self, p: Params, data: Data) -> Params:
        """Loadings of the first block, and the changes from block to block over their sd."""
        path, step = p[LOADINGS_PATH], self.step_sd(p[LOADING_DRIFT])
        changes = np.diff(path, axis=1) / step[:, None, None, None]
        return {f"{LOADINGS}_first_z": path[:, 0], f"{LOADINGS}_z": changes}

    def step_sd(self, drift: Array) -> Array:
        """Standard deviation of the change from one block to the next, for a yearly ``drift``."""
        return drift * (self.every / PERIODS_A_YEAR) ** 0.5

    def common(self, p: Params, factors: Array, data: Data) -> Array:
        """Common part of the expected return with the loadings of each period's block (eq. 2, 4b)."""
        return common_by_block(p[LOADINGS_PATH], factors, data[LOADING_BLOCK])


class RandomWalkLoadings(WalkingLoadings):
    """Loadings that move slowly (eq. 4b): constant within blocks, a random walk from block to block.

    w_ki of the first block ~ StudentT(``nu``, 0, 1); each later block adds Normal(0, δ sqrt(``every`` / 13)),
    with δ ~ half-normal(``drift_sd``): the sd of what a loading of typical size 1 changes by in a year. A
    drift of 0.1 lets a loading move by a third in ten years. Blocks are counted back from the origin, and a
    forecast uses the last one. ``every`` 1 is the random walk by period.
    """

    kind: Literal["random_walk"] = "random_walk"

    def params(self, data: Data) -> Params:
        """Loadings by block, those at the origin, and the yearly drift δ."""
        import pymc as pm

        drift = pm.HalfNormal(LOADING_DRIFT, self.drift_sd)
        path = self.walk(drift, 1.0)
        path = pm.Deterministic(LOADINGS_PATH, path, dims=(BLOCK, ASSET, FACTOR))
        now = pm.Deterministic(LOADINGS, path[-1], dims=(ASSET, FACTOR))
        return {LOADINGS: now, LOADINGS_PATH: path, LOADING_DRIFT: drift}

    def coords(self, data: Data) -> dict[str, Any]:
        """Number of each block, and of each but the first."""
        n_blocks = int(data[LOADING_BLOCK].max()) + 1
        return {BLOCK: np.arange(1, n_blocks + 1), LATER_BLOCK: np.arange(2, n_blocks + 1)}

    def block(self, data: Data) -> Block:
        """Degrees of freedom of the first block, and the blocks of periods."""
        blocks = LoadingBlocks(data[LOADING_BLOCK], self.drift_sd, self.step_sd(1.0))
        return {"loadings_dof": self.nu, "loading_blocks": blocks}

    def blocks(self, n_periods: int) -> NDArray[np.int64]:
        """Block of each period (period), counted so that the last block ends at the origin."""
        age = np.arange(n_periods)[::-1] // self.every
        return np.asarray(age[0] - age, dtype=np.int64)


class InstrumentedLoadings(Loadings):
    """Loadings that follow characteristics of the asset (eq. 4c): w_ki = Σ_l Γ_lk z_il + τ u_ki.

    z are the panel's characteristics at the origin: class and group dummies, trailing beta, volatility and
    momentum, standardised over assets. Γ_lk ~ Normal(0, ``slope_sd``), u_ki ~ StudentT(``nu``, 0, 1),
    τ ~ half-normal(``scale``). A new listing starts from assets like it, not from zero. Kelly, Pruitt and
    Su (2019, instrumented PCA) let z move over time and have no u; here z is taken at the origin, u says what
    characteristics do not explain, and dummies are group factors as structured sparsity.
    """

    kind: Literal["instrumented"] = "instrumented"
    slope_sd: PositiveFloat = 0.5
    scale: PositiveFloat = 1.0
    needs: ClassVar[frozenset[str]] = frozenset({CHARACTERISTICS})
    variables: ClassVar[tuple[Variable, ...]] = (
        _LOADINGS,
        _SLOPES,
        _TAU,
        Variable(
            f"{LOADINGS}_z",
            "u_ki",
            (ASSET, FACTOR),
            "1",
            "Loadings that characteristics leave, over τ",
            identified=False,
            turn=Turn.LOADINGS,
            stored=False,
        ),
    )

    def params(self, data: Data) -> Params:
        """Loadings w (asset, factor), slopes Γ (characteristic, factor) and the scale τ of the rest."""
        import pymc as pm

        slopes = pm.Normal(LOADING_SLOPES, 0.0, self.slope_sd, dims=(CHARACTERISTIC, FACTOR))
        sigma = pm.HalfNormal(f"sigma_{LOADINGS}", self.scale)
        u = pm.StudentT(f"{LOADINGS}_z", nu=self.nu, mu=0.0, sigma=1.0, dims=(ASSET, FACTOR))
        mean = data[CHARACTERISTICS] @ slopes
        loadings = pm.Deterministic(LOADINGS, mean + sigma * u, dims=(ASSET, FACTOR))
        return {LOADINGS: loadings, LOADING_SLOPES: slopes, f"sigma_{LOADINGS}": sigma}

    def standardised(self, p: Params, data: Data) -> Params:
        """What characteristics leave of the loadings, u = (w - zΓ) / τ."""
        rest = p[LOADINGS] - data[CHARACTERISTICS] @ p[LOADING_SLOPES]
        return {f"{LOADINGS}_z": rest / p[f"sigma_{LOADINGS}"][:, None, None]}

    def block(self, data: Data) -> Block:
        """Degrees of freedom, characteristics, and the priors of their slopes and of τ."""
        known = Characteristics(data[CHARACTERISTICS][None], self.slope_sd, self.scale)
        return {"loadings_dof": self.nu, "characteristics": known}


class InstrumentedWalkLoadings(WalkingLoadings):
    """Loadings that follow characteristics that move, and walk around them (eq. 4d).

    w_ki of block b = Σ_l Γ_lk z_il(b) + v_ki(b): z are the panel's characteristics at the start of the block,
    v is the walk of eq. 4b with a first block of scale τ. ``slope_sd`` and ``scale`` are priors of eq. 4c.
    Blocks are counted back from the origin; a block of its own, with the characteristics of the
    origin and one more step of the walk, begins there, and a forecast uses it. Without v these are the
    dynamic loadings of Kelly, Pruitt and Su (2019), without z those of eq. 4b.
    """

    kind: Literal["instrumented_walk"] = "instrumented_walk"
    slope_sd: PositiveFloat = 0.5
    scale: PositiveFloat = 1.0
    needs: ClassVar[frozenset[str]] = frozenset({CHARACTERISTICS, CHARACTERISTICS_PATH})
    variables: ClassVar[tuple[Variable, ...]] = (*WalkingLoadings.variables, _SLOPES, _TAU)

    def params(self, data: Data) -> Params:
        """Loadings by block, those at the origin, slopes Γ, the scale τ of the rest and its drift δ."""
        import pymc as pm
        import pytensor.tensor as pt

        drift = pm.HalfNormal(LOADING_DRIFT, self.drift_sd)
        slopes = pm.Normal(LOADING_SLOPES, 0.0, self.slope_sd, dims=(CHARACTERISTIC, FACTOR))
        sigma = pm.HalfNormal(f"sigma_{LOADINGS}", self.scale)
        path = pt.stack([z @ slopes for z in self.by_block(data)])
        path = pm.Deterministic(LOADINGS_PATH, path + self.walk(drift, sigma), dims=(BLOCK, ASSET, FACTOR))
        now = pm.Deterministic(LOADINGS, path[-1], dims=(ASSET, FACTOR))
        return {
            LOADINGS: now,
            LOADINGS_PATH: path,
            LOADING_DRIFT: drift,
            LOADING_SLOPES: slopes,
            f"sigma_{LOADINGS}": sigma,
        }

    def standardised(self, p: Params, data: Data) -> Params:
        """What characteristics leave of the loadings: of the first block over τ, and its changes over δ."""
        slopes = p[LOADING_SLOPES]
        rest = p[LOADINGS_PATH] - np.stack([z @ slopes for z in self.by_block(data)], axis=-3)
        found = super().standardised({**p, LOADINGS_PATH: rest}, data)
        first, tau = f"{LOADINGS}_first_z", p[f"sigma_{LOADINGS}"][:, None, None]
        return {**found, first: found[first] / tau}

    def by_block(self, data: Data) -> list[Array]:
        """Characteristics (asset, characteristic) at the start of each block, that of the forecast last."""
        block = data[LOADING_BLOCK]
        starts = np.searchsorted(block, np.arange(block[0], -1))
        return [*(data[CHARACTERISTICS_PATH][int(t)] for t in starts), data[CHARACTERISTICS]]

    def coords(self, data: Data) -> dict[str, Any]:
        """Number of each block, that of the forecast among them, and of each but the first."""
        n_blocks = -int(data[LOADING_BLOCK][0])
        return {BLOCK: np.arange(1, n_blocks + 1), LATER_BLOCK: np.arange(2, n_blocks + 1)}

    def block(self, data: Data) -> Block:
        """What the walk has, with the block of the forecast, and characteristics by block."""
        first = int(data[LOADING_BLOCK][0])
        blocks = LoadingBlocks(data[LOADING_BLOCK] - first, self.drift_sd, self.step_sd(1.0), -first)
        known = Characteristics(np.stack(self.by_block(data)), self.slope_sd, self.scale)
        return {"loadings_dof": self.nu, "loading_blocks": blocks, "characteristics": known}

    def blocks(self, n_periods: int) -> NDArray[np.int64]:
        """Block of each period (period), counted from the end of ``loadings_path``: the last one is -2."""
        return -2 - np.arange(n_periods, dtype=np.int64)[::-1] // self.every

    def block_ahead(self, n_periods: int) -> int:
        """Return the last block, which begins at the origin."""
        return -1
