"""The slots of a model and its equations, density and draws given parameters (eq. 1 to 12)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    Field,
    SerializeAsAny,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)

from bdfm import _checks
from bdfm._settings import Settings
from bdfm.data.form import OPTIONAL
from bdfm.data.form import VARIABLES as PANEL_VARIABLES
from bdfm.data.panel import Panel
from bdfm.data.settings import PanelSettings
from bdfm.errors import ModelError
from bdfm.model.evidence import Evidence
from bdfm.model.part import Array, Data, Params, Part, Turn, Variable, checked_features, functions_for
from bdfm.model.parts import factor_volatility, stochastic_volatility  # noqa: F401 (their kinds are known)
from bdfm.model.parts.dynamics import (
    AR1,
    Dynamics,
    LagPolynomial,
    mean,
    standard_innovations,
    summed_lags,
)
from bdfm.model.parts.factor_noise import FactorNoise, NormalFactorNoise
from bdfm.model.parts.factor_scale import ConstantScale, FactorScale
from bdfm.model.parts.loadings import Loadings, StaticLoadings
from bdfm.model.parts.log_volatility import Earnings, LogVolatility, LogVolIntercept, RecentVolatility
from bdfm.model.parts.mean import Intercept, Mean, RecentReturn
from bdfm.model.parts.noise import Noise, StandardNoise, StudentTNoise
from bdfm.model.parts.predictive import ModelPredictive, Predictive
from bdfm.model.parts.weights import EqualWeights, Weights
from bdfm.names import (
    ASSET,
    ASSET_CLASS,
    CHARACTERISTIC,
    CHARACTERISTICS,
    CHARACTERISTICS_PATH,
    CLASS_INDEX,
    EVIDENCE,
    EVIDENCE_RETURN,
    FACTOR,
    FACTOR_BEFORE,
    FACTOR_SCALE,
    FACTORS,
    FACTORS_NEXT,
    LOADING_BLOCK,
    MARKET_RISK,
    OBSERVED,
    OUTSIDE_VOLATILITY,
    PERIOD,
    PERIOD_NUMBER,
    PERIOD_WEIGHTS,
    RETURNS,
    ROLLING_COVARIANCE,
    WINDOW,
)

Floats = NDArray[np.float64]

BY_ASSET = (CLASS_INDEX, CHARACTERISTICS)  # data without a period axis
RETURNS_DATA = f"{RETURNS}_data"  # container of the returns in the PyMC form, NaN where missing
FACTORS_Z = f"{FACTORS}_z"
EVIDENCE_Z = f"{EVIDENCE_RETURN}_z"

_FACTORS = (
    Variable(
        FACTORS,
        "λ_kt",
        (PERIOD, FACTOR),
        "decimal log return per period",
        "Factors, λ of eq. 3",
        identified=False,
        turn=Turn.FACTORS,
    ),
    Variable(
        FACTORS_Z,
        "η_kt, standardised",
        (PERIOD, FACTOR),
        "1",
        "Innovations of the factors, standardised",
        identified=False,
        turn=Turn.STANDARD,
        stored=False,
    ),
)
_WITH_EVIDENCE = (
    Variable(
        FACTORS_NEXT,
        "λ_k,T+1",
        (FACTOR,),
        "decimal log return per period",
        "Factors of the next period",
        identified=False,
        turn=Turn.FACTORS,
    ),
    Variable(
        f"{FACTORS_NEXT}_z",
        "η_k,T+1, standardised",
        (FACTOR,),
        "1",
        "Innovations of the factors in the next period, standardised",
        identified=False,
        turn=Turn.STANDARD,
        stored=False,
    ),
    Variable(EVIDENCE_RETURN, "r_i,T+1", (EVIDENCE,), "decimal log return", "Returns with evidence on them"),
    Variable(
        EVIDENCE_Z,
        "ε_i,T+1, standardised",
        (EVIDENCE,),
        "1",
        "Noise of the returns with evidence, standardised",
        identified=False,
        stored=False,
    ),
)


# Fields of a model that take parts, and those of them that take several
SLOTS: Final[dict[str, type[Part]]] = {
    base.slot: base
    for base in (
        Dynamics,
        FactorScale,
        FactorNoise,
        Loadings,
        Mean,
        LogVolatility,
        Noise,
        Weights,
        Predictive,
    )
}
SEVERAL: Final = ("dynamics", "mean", "log_volatility")


class Equations(Settings):
    """Parts in named slots and their equations; ``FactorModel`` adds the PyMC form and files."""

    told_as = ""  # messages name the table of the file
    error_kind = ModelError

    name: str = "custom"  # in tables and files
    n_factors: Annotated[int, Field(ge=1, le=50)] = 7  # latent factors
    panel: PanelSettings = PanelSettings()  # how the data are made
    dynamics: tuple[SerializeAsAny[Dynamics], ...] = (AR1(),)  # of the factors (eq. 3a to 3c)
    factor_scale: SerializeAsAny[FactorScale] = ConstantScale()  # of the factors (eq. 3, 3d, 3e)
    factor_noise: SerializeAsAny[FactorNoise] = NormalFactorNoise()  # of their innovations (eq. 3f)
    loadings: SerializeAsAny[Loadings] = StaticLoadings()  # responses to factors (eq. 4)
    mean: tuple[SerializeAsAny[Mean], ...] = (Intercept(), RecentReturn())  # without factors (eq. 5)
    # log scale of the noise (eq. 7)
    log_volatility: Annotated[tuple[SerializeAsAny[LogVolatility], ...], Field(min_length=1)] = (
        LogVolIntercept(),
        RecentVolatility(),
        Earnings(),
    )
    noise: SerializeAsAny[Noise] = StudentTNoise()  # of single assets (eq. 6)
    weights: SerializeAsAny[Weights] = EqualWeights()  # of old periods (eq. 9)
    predictive: SerializeAsAny[Predictive] = ModelPredictive()  # whose draws a forecast has (eq. 11)

    @field_validator("name")
    @classmethod
    def _printable(cls, name: str) -> str:
        _checks.printable([name], what="name", where="model")
        return name

    @field_validator(*SLOTS, mode="before")
    @classmethod
    def _parts(cls, value: Any, info: ValidationInfo) -> Any:
        """Part, or parts, of the tables of a slot: its base class knows the kinds."""
        name = str(info.field_name)
        base = SLOTS[name]
        if name not in SEVERAL:
            return base.of(value)
        if isinstance(value, Mapping | str) or not isinstance(value, Sequence):
            raise ModelError(f"[{name}]: it may stand several times. Write [[{name}]] above each table.")
        return tuple(base.of(x) for x in value)

    @model_validator(mode="after")
    def _parts_fit_together(self) -> Self:
        owner: dict[str, str] = {}
        names: dict[str, str] = {}
        for part in self.parts:
            part.check_declared()
            for claim in sorted(part.claims):
                if claim in owner:
                    raise ModelError(
                        f"model {self.name!r}: {owner[claim]} and {type(part).__name__} both describe the"
                        f" {claim}. Keep one of them."
                    )
                owner[claim] = type(part).__name__
            for other in self.parts:
                if {(other.slot, other.kind), (other.slot, "*")} & part.refuses:
                    raise ModelError(
                        f"model {self.name!r}: {type(part).__name__} cannot stand beside"
                        f" {type(other).__name__} in [{other.slot}]. Leave one of them out."
                    )
            for variable in part.declared:
                if variable.name in names:
                    raise ModelError(
                        f"model {self.name!r}: {names[variable.name]} and {type(part).__name__} both have a"
                        f" variable {variable.name}. Keep one of them, or rename it."
                    )
                names[variable.name] = type(part).__name__
        if ROLLING_COVARIANCE in self.predictive.needs and self.panel.rolling_covariance is None:
            raise ModelError(
                f"model {self.name!r}: [predictive] {self.predictive.kind!r} needs a table"
                " [panel.rolling_covariance], which says how the covariance is estimated; it may be empty."
            )
        if CHARACTERISTICS_PATH in self.needs and not self.panel.moving_characteristics:
            raise ModelError(
                f"model {self.name!r}: [loadings] {self.loadings.kind!r} follows characteristics that move."
                " Write moving_characteristics = true in [panel]."
            )
        return self

    @model_serializer(mode="wrap")
    def _without_normal_factors(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Settings; normal factors are no table, so that files from before there were others stay."""
        table: dict[str, Any] = handler(self)
        if isinstance(self.factor_noise, NormalFactorNoise):
            table.pop(FactorNoise.slot, None)
        return table

    # -- what it is made of ------------------------------------------------------------------------------

    @property
    def parts(self) -> tuple[Part, ...]:
        """All parts of the density, in the order of the slots; ``predictive`` comes after it."""
        return (
            *self.dynamics,
            self.factor_scale,
            self.factor_noise,
            self.loadings,
            *self.mean,
            *self.log_volatility,
            self.noise,
            self.weights,
        )

    @property
    def variables(self) -> tuple[Variable, ...]:
        """Variables of the history, stored ones and standardised ones."""
        return (*(v for part in self.parts for v in part.declared), *_FACTORS)

    @property
    def variables_ahead(self) -> tuple[Variable, ...]:
        """Variables of the first period after the origin, which a fit with evidence has as well."""
        return (*(v for part in self.parts for v in part.ahead), *_WITH_EVIDENCE)

    @property
    def n_lags(self) -> int:
        """Number of past periods of the factors that the next one depends on."""
        return max((d.n_lags for d in self.dynamics), default=0)

    @property
    def needs(self) -> frozenset[str]:
        """Panel features that the parts read."""
        return frozenset().union(*(part.needs for part in self.parts))

    @property
    def conditions_paths(self) -> bool:
        """Whether evidence conditions the paths of forecasts (eq. D9), and not the fit (eq. 12)."""
        return isinstance(self.factor_scale, factor_volatility.FactorVolatilityScale)

    def in_fit(self, evidence: Sequence[Evidence]) -> tuple[Evidence, ...]:
        """Evidence that the fit knows, with variables of the first period after the origin."""
        return () if self.conditions_paths else tuple(evidence)

    def check_evidence(self, evidence: Sequence[Evidence]) -> None:
        """Raise ``ModelError`` where neither a fit of this model nor its forecasts can take evidence."""
        if not evidence:
            return
        if self.conditions_paths:
            if self.predictive.shares(evidence):
                raise ModelError(
                    f"model {self.name!r}: evidence conditions its paths, which are pooled with other draws"
                    " ([predictive]). Leave out one of both."
                )
            return
        later = [e for e in evidence if e.horizon != 1]
        if later:
            raise ModelError(
                f"model {self.name!r}: evidence on {later[0].asset} is on {later[0].horizon} periods, and a"
                " fit knows the first one after the origin alone. Models of market days take more: daily."
            )
        latent = [type(part).__name__ for part in self.parts if not part.takes_evidence]
        if latent:
            raise ModelError(
                f"model {self.name!r}: {latent[0]} has a path that a fit with evidence would need beyond"
                " the origin, which is not there. Fit without evidence, and give the forecast a view."
            )

    # -- equations, for NumPy and PyTensor alike ---------------------------------------------------------

    def lags(self, p: Params) -> LagPolynomial:
        """Lag polynomial of the factors (eq. 3)."""
        return summed_lags(self.dynamics, p)

    def expected_factors(self, p: Params) -> Array:
        """Expected factors (..., factor) of the period after the path ``factors`` in ``p`` (eq. 3)."""
        lags = self.lags(p)
        return mean(lags, p[FACTORS]) if lags.coefficients else 0.0 * p[FACTORS][..., -1, :]

    def factor_sd(self, p: Params, data: Data) -> Array:
        """Standard deviation of the factor innovations η, broadcastable to (..., period, factor).

        Of a history, given all that moves it, mixing variables among them (eq. 3d to 3f).
        """
        return self.factor_scale.scale(p, data) * self.factor_noise.multiplier(p)[..., :, None]

    def factor_sd_next(self, p: Params, ahead: Data) -> Array:
        """The same (..., factor) of the first period of ``ahead``, the one after the origin."""
        log_multiplier = self.factor_scale.log_multiplier_next(p, ahead)
        multiplier = functions_for(log_multiplier).exp(log_multiplier) * self.factor_noise.multiplier_next(p)
        return p[FACTOR_SCALE] * multiplier[..., None]

    def multipliers_ahead(self, p: Params, data: Data, n_draws: int, rng: np.random.Generator) -> Floats:
        """Multipliers (draw, period, factor or 1) of the factor scales after the origin, a path a draw."""
        of_scale = np.exp(self.factor_scale.simulate_ahead(p, data, n_draws, rng))
        of_scale = of_scale if self.factor_scale.by_factor else of_scale[..., None]
        return np.asarray(of_scale * self.factor_noise.simulate_ahead(p, data, n_draws, rng)[..., None])

    def volatility_ahead(self, p: Params, before: Array, rng: np.random.Generator) -> Array:
        """What a period's log noise scale deviates by from ``log_noise_scale``, given that of the one before.

        One path for each draw (draw, asset), from 0.0 at the origin; 0.0 where all is known there.
        """
        for part in self.log_volatility:  # one of them at most has deviations
            before = part.step_ahead(p, before, rng)
        return before

    def volatility_variance_ahead(self, p: Params, step: int) -> Array:
        """Variance of that deviation, (draw, asset) or 0.0, in period ``step`` after the origin."""
        return sum((part.variance_ahead(p, step) for part in self.log_volatility), start=0.0)

    def expected_return(self, p: Params, factors: Array, data: Data) -> Array:
        """Expected log return μ (..., period, asset) given factors (..., period, factor) (eq. 2)."""
        return sum((part.effect(p, data) for part in self.mean), start=self.loadings.common(p, factors, data))

    def log_noise_scale(self, p: Params, data: Data) -> Array:
        """Log noise scale log σ, broadcastable to (..., period, asset) (eq. 7)."""
        first, *rest = (part.effect(p, data) for part in self.log_volatility)
        return sum(rest, start=first)

    def log_likelihood(self, p: Params, data: Data, log_scale: Array | None = None) -> Floats:
        """Log density of each return (..., period, asset), unweighted (eq. 6); NaN where it is missing.

        ``p`` holds parameters and factors with any leading axes, ``data`` the history (``model_data``);
        ``log_scale``, where it is known, is their ``log_noise_scale``.
        """
        noise = data[RETURNS] - self.expected_return(p, p[FACTORS], data)
        if log_scale is None:
            log_scale = self.log_noise_scale(p, data)
        return np.asarray(self.noise.log_density(noise, log_scale, p))

    def draw_returns(self, p: Params, factors: Array, data: Data, *, rng: np.random.Generator) -> Floats:
        """Log returns (..., period, asset) drawn given factors (..., period, factor) (eq. 1, 2, 6)."""
        mu = self.expected_return(p, factors, data)
        by_period = {name: p[name][..., None, :] for name in self.noise.parameters}
        noise = self.noise.standard_draws(by_period, mu.shape, rng)
        return scaled(mu, np.exp(self.log_noise_scale(p, data)), noise)

    def standardised(
        self, p: Params, panel: Panel, evidence: Sequence[Evidence] = ()
    ) -> dict[str, NDArray[Any]]:
        """Standardised variables of the PyMC form (draw, ...), from parameters with one leading axis.

        With ``p``, they are a point of ``build(panel)`` for every draw: the inverse of its deterministics.
        """
        data = model_data(self, panel)
        found = {name: x for part in self.parts for name, x in part.standardised(p, data).items()}
        scale = np.asarray(self.factor_sd(p, data))
        lags = self.lags(p)
        found[FACTORS_Z] = self.factor_scale.independent(p, standard_innovations(lags, p[FACTORS], scale))
        if evidence:
            ahead = at_periods(model_data(self, panel, future=True), slice(1))
            eta = p[FACTORS_NEXT] - self.expected_factors(p)
            found[f"{FACTORS_NEXT}_z"] = eta / self.factor_sd_next(p, ahead)
            index = np.array([panel.assets.index(e.asset) for e in evidence])
            mu = self.expected_return(p, p[FACTORS_NEXT][..., None, :], ahead)[..., 0, index]
            log_scale = np.broadcast_to(
                self.log_noise_scale(p, ahead)[..., 0, :], (*mu.shape[:-1], len(panel.assets))
            )[..., index]
            found[EVIDENCE_Z] = (p[EVIDENCE_RETURN] - mu) / np.exp(log_scale)
        return found

    # -- labels and data ----------------------------------------------------------------------------------

    def coords(self, panel: Panel, evidence: Sequence[Evidence] = ()) -> dict[str, Any]:
        """Coordinate values by dim, of all dims of the model's variables and data."""
        history = panel.history
        found: dict[str, Any] = {
            PERIOD: history[PERIOD].to_numpy(),
            ASSET: list(panel.assets),
            ASSET_CLASS: list(panel.asset_classes),
            FACTOR: np.arange(1, self.n_factors + 1),
            FACTOR_BEFORE: np.arange(1, self.n_factors + 1),
            WINDOW: history[WINDOW].to_numpy(),
            CHARACTERISTIC: history[CHARACTERISTIC].to_numpy(),
            EVIDENCE: [e.asset for e in evidence],
        }
        data = {LOADING_BLOCK: self.loadings.blocks(panel.n_history)}
        for part in self.parts:
            found |= part.coords(data)
        variables = (*self.variables, *(self.variables_ahead if evidence else ()))
        used = {dim for v in variables for dim in v.dims} | {PERIOD, ASSET}
        used |= {dim for dims in self.data_dims.values() for dim in dims}
        return {dim: values for dim, values in found.items() if dim in used}

    @property
    def data_dims(self) -> dict[str, tuple[str, ...]]:
        """Dims of the arrays that the equations read, returns and their mask apart."""
        dims: dict[str, tuple[str, ...]] = {CLASS_INDEX: (ASSET,)}
        dims |= {name: x for name, (x, _) in (PANEL_VARIABLES | OPTIONAL).items() if name in self.needs}
        for part in self.parts:
            dims |= part.feature_dims
        return dims | {PERIOD_WEIGHTS: (PERIOD,)}


_WHERE_FROM: Final = {
    OUTSIDE_VOLATILITY: " Give volatility=... to from_prices.",
    MARKET_RISK: " from_prices makes it; give market_risk=... to from_arrays.",
    CHARACTERISTICS_PATH: " from_prices makes it where [panel] says moving_characteristics = true; give"
    " characteristics=... by period to from_arrays.",
}


def values_of_a_draw(model: Equations, coords: Mapping[str, Any]) -> int:
    """Numbers that a draw of the posterior keeps, by the labels of each dim."""
    return sum(math.prod(len(coords[d]) for d in v.dims) for v in model.variables if v.stored)


def model_data(model: Equations, panel: Panel, *, future: bool = False) -> dict[str, NDArray[Any]]:
    """Arrays that the model's equations read: features, classes, weights, mask and returns.

    For the history (period, asset[, window]) or, with ``future``, for the periods after the origin, where
    returns are all missing. Raises ``ModelError`` when the panel lacks what a part needs.
    """
    part = panel.future if future else panel.history
    missing = sorted(name for name in model.needs if name not in part)
    if missing:
        hint = _WHERE_FROM.get(missing[0], "")
        raise ModelError(
            f"model {model.name!r}: the panel lacks {_checks.first(missing)}, which its parts read.{hint}"
        )
    if CHARACTERISTICS in model.needs and not part.sizes[CHARACTERISTIC]:
        raise ModelError(
            f"model {model.name!r}: its loadings follow characteristics, and the panel has none. Make the"
            " panel with from_prices, or give characteristics to from_arrays."
        )
    returns = part[RETURNS].to_numpy()
    ends = part[PERIOD].to_numpy()
    own, n_history = model.loadings, panel.n_history
    ahead = np.full(len(returns), own.block_ahead(n_history), dtype=np.int64)
    blocks = ahead if future else own.blocks(n_history)
    arrays: dict[str, NDArray[Any]] = {name: part[name].to_numpy() for name in sorted(model.needs)}
    for made_by in model.parts:
        sizes = {PERIOD: len(returns), ASSET: len(panel.assets)}
        arrays |= checked_features(made_by, made_by.features(panel, future=future), sizes)
    return arrays | {
        CLASS_INDEX: panel.class_index,
        # Weights are of the past; what evidence says of the forecast period counts in full (eq. 9, 12).
        PERIOD_WEIGHTS: np.ones(len(ends)) if future else model.weights.checked(ends),
        OBSERVED: np.isfinite(returns),
        LOADING_BLOCK: blocks,
        PERIOD_NUMBER: np.arange(len(returns)) + (panel.n_history if future else 0),
        RETURNS: returns,
    }


def at_periods(data: Data, index: slice) -> dict[str, Array]:
    """Arrays of ``model_data`` for some of its periods; what has no period axis stays as it is."""
    return {name: x if name in BY_ASSET else x[index] for name, x in data.items()}


def scaled(mu: Array, scale: Array, noise: StandardNoise, *, sign: Array = 1.0) -> Floats:
    """Returns μ + σ (centre ± multiplier normal) of noise of unit scale; ``sign`` -1 is the other draw."""
    value = mu + sign * (scale * noise.multiplier * noise.normal)
    return np.asarray(value if isinstance(noise.centre, float) else value + scale * noise.centre)
