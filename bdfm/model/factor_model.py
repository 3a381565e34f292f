"""The model as a set of components in named slots, and its PyMC form (eq. 1 to 12)."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Self, get_args, get_origin

import numpy as np
import pymc as pm
import tomli_w
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bdfm import _checks
from bdfm.data.panel import Panel, PanelSettings
from bdfm.errors import DataError, ModelError, UnknownLabelError
from bdfm.model.part import Array, Component, Data, Params
from bdfm.model.parts.dynamics import AR1, Dynamics, Lags, innovation_path, mean, step, summed_lags
from bdfm.model.parts.factor_scale import ConstantScale, FactorScale
from bdfm.model.parts.loadings import Loadings, RandomWalkLoadings, StaticLoadings
from bdfm.model.parts.log_volatility import Earnings, LogVolatility, LogVolIntercept, RecentVolatility
from bdfm.model.parts.mean import Intercept, Mean, RecentReturn
from bdfm.model.parts.noise import Noise, StudentTNoise
from bdfm.model.parts.predictive import ModelPredictive, Predictive
from bdfm.model.parts.weights import EqualWeights, Weights
from bdfm.names import (
    ASSET,
    ASSET_CLASS,
    CHARACTERISTIC,
    CHARACTERISTICS,
    CLASS_INDEX,
    EARNINGS,
    EVIDENCE,
    EVIDENCE_RETURN,
    FACTOR,
    FACTOR_SCALE,
    FACTORS,
    FACTORS_NEXT,
    LOADING_BLOCK,
    MARKET_VOLATILITY,
    OBSERVED,
    PERIOD,
    PERIOD_WEIGHTS,
    RECENT_RETURN,
    RECENT_VOLATILITY,
    RETURNS,
    WINDOW,
)

FEATURES = (RECENT_RETURN, RECENT_VOLATILITY, MARKET_VOLATILITY, EARNINGS, CHARACTERISTICS)
BY_ASSET = (CLASS_INDEX, CHARACTERISTICS)  # data without a period axis
FACTORS_Z = f"{FACTORS}_z"
EVIDENCE_Z = f"{EVIDENCE_RETURN}_z"


class Evidence(NamedTuple):
    """A statement about the return of an asset over the forecast period (eq. 12).

    ``mean`` and ``sd`` are simple returns in decimals: ``Evidence("TLT", 0.02, 0.10)`` says 2 % give or
    take 10 %. It enters as the likelihood Normal(``mean`` | return, ``sd``).
    """

    symbol: str
    mean: float
    sd: float


class FactorModel(BaseModel):
    """A Bayesian dynamic factor model, assembled from components (eq. 1 to 12).

    Each field is a slot; a slot with several components sums them. Parts that identify the same effect
    cannot stand together, and ``build`` refuses a panel that lacks what a part needs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = "custom"
    n_factors: Annotated[int, Field(ge=1, le=50)] = 7
    panel: PanelSettings = PanelSettings()
    dynamics: tuple[Dynamics, ...] = (AR1(),)
    factor_scale: FactorScale = ConstantScale()
    loadings: Loadings = StaticLoadings()
    mean: tuple[Mean, ...] = (Intercept(), RecentReturn())
    log_volatility: Annotated[tuple[LogVolatility, ...], Field(min_length=1)] = (
        LogVolIntercept(),
        RecentVolatility(),
        Earnings(),
    )
    noise: Noise = StudentTNoise()
    weights: Weights = EqualWeights()
    predictive: Predictive = ModelPredictive()

    def __init__(self, **settings: Any) -> None:
        try:
            super().__init__(**settings)
        except ValidationError as error:
            raise _settings_error(type(self), error) from None

    @model_validator(mode="after")
    def _claims_are_disjoint(self) -> Self:
        owner: dict[str, str] = {}
        for part in self.components:
            for claim in sorted(part.claims):
                if claim in owner:
                    raise ModelError(
                        f"model {self.name!r}: {owner[claim]} and {type(part).__name__} both describe the"
                        f" {claim}. Keep one of them."
                    )
                owner[claim] = type(part).__name__
        if "factor mean" in owner and isinstance(self.loadings, RandomWalkLoadings):
            raise ModelError(
                f"model {self.name!r}: factor premia need loadings that stay, and RandomWalkLoadings move."
                " Leave one of them out."
            )
        return self

    @property
    def components(self) -> tuple[Component, ...]:
        """All parts of the density, in the order of the slots; ``predictive`` comes after it."""
        return (
            *self.dynamics,
            self.factor_scale,
            self.loadings,
            *self.mean,
            *self.log_volatility,
            self.noise,
            self.weights,
        )

    @property
    def n_lags(self) -> int:
        """Number of past periods of the factors that the next one depends on."""
        return max((d.n_lags for d in self.dynamics), default=0)

    # -- equations, for NumPy and PyTensor alike ---------------------------------------------------------

    def lags(self, p: Params) -> Lags:
        """Lag polynomial of the factors (eq. 3)."""
        return summed_lags(self.dynamics, p)

    def expected_factors(self, p: Params) -> Array:
        """Expected factors (..., factor) of the period after the path ``factors`` in ``p`` (eq. 3)."""
        lags = self.lags(p)
        return mean(lags, p[FACTORS]) if lags.coefficients else 0.0 * p[FACTORS][..., -1, :]

    def expected_return(self, p: Params, factors: Array, data: Data) -> Array:
        """Expected log return μ (..., period, asset) given factors (..., period, factor) (eq. 2)."""
        return sum((part.effect(p, data) for part in self.mean), start=self.loadings.common(p, factors, data))

    def log_noise_scale(self, p: Params, data: Data) -> Array:
        """Log noise scale log σ, broadcastable to (..., period, asset) (eq. 7)."""
        first, *rest = (part.effect(p, data) for part in self.log_volatility)
        return sum(rest, start=first)

    # -- PyMC ------------------------------------------------------------------------------------------

    def build(self, panel: Panel, *, evidence: Sequence[Evidence] = ()) -> pm.Model:
        """Return a plain ``pm.Model`` of the panel's history, with named dims and coords.

        Data are in ``pm.Data`` containers. The likelihood is the observed variable ``log_returns``
        (period, asset): missing cells have weight zero, each period's log density is multiplied by its weight
        (eq. 9, 10). ``evidence`` adds the forecast period T+1: its factors and the returns named (eq. 12).
        """
        evidence = check_evidence(evidence, panel)
        arrays = model_data(self, panel)
        coords: dict[str, Any] = {
            PERIOD: panel.history[PERIOD].to_numpy(),
            ASSET: list(panel.assets),
            ASSET_CLASS: list(panel.asset_classes),
            FACTOR: np.arange(1, self.n_factors + 1),
        }
        if self.needs & {RECENT_VOLATILITY, MARKET_VOLATILITY}:
            coords[WINDOW] = panel.history[WINDOW].to_numpy()
        if CHARACTERISTICS in self.needs:
            coords[CHARACTERISTIC] = panel.history[CHARACTERISTIC].to_numpy()
        with pm.Model(coords=coords) as model:
            data = {name: pm.Data(name, arrays[name], dims=dims) for name, dims in self._data_dims().items()}
            data[LOADING_BLOCK] = arrays[LOADING_BLOCK]  # which blocks there are decides the graph
            p: dict[str, Array] = {}
            for part in self.components:
                if part is not self.weights:
                    p |= part.params(data)
            z = pm.Normal(FACTORS_Z, 0.0, 1.0, dims=(PERIOD, FACTOR))
            scale = self.factor_scale.scale(p, data)
            path = innovation_path(self.lags(p), scale * z, scale[0])
            factors = pm.Deterministic(FACTORS, path, dims=(PERIOD, FACTOR))
            mu = self.expected_return(p, factors, data)
            self._likelihood(p, mu, self.log_noise_scale(p, data), data, arrays[RETURNS])
            if evidence:
                self._add_evidence(p, factors, panel, evidence)
        return model

    @property
    def needs(self) -> frozenset[str]:
        """Panel features that the parts read."""
        return frozenset().union(*(part.needs for part in self.components))

    def _data_dims(self) -> dict[str, tuple[str, ...]]:
        dims: dict[str, tuple[str, ...]] = {CLASS_INDEX: (ASSET,)}
        dims |= {name: (PERIOD, ASSET) for name in (RECENT_RETURN, EARNINGS) if name in self.needs}
        if RECENT_VOLATILITY in self.needs:
            dims[RECENT_VOLATILITY] = (PERIOD, ASSET, WINDOW)
        if MARKET_VOLATILITY in self.needs:
            dims[MARKET_VOLATILITY] = (PERIOD, WINDOW)
        if CHARACTERISTICS in self.needs:
            dims[CHARACTERISTICS] = (ASSET, CHARACTERISTIC)
        return dims | {PERIOD_WEIGHTS: (PERIOD,), OBSERVED: (PERIOD, ASSET)}

    def _likelihood(
        self, p: Params, mu: Array, log_scale: Array, data: Data, returns: NDArray[np.float64]
    ) -> None:
        """Weighted, masked likelihood of the returns (eq. 6, 9, 10)."""
        noise = self.noise
        names = [name for name in noise.parameters if name in p]
        weight = data[PERIOD_WEIGHTS][:, None] * data[OBSERVED]

        def logp(value: Array, mu: Array, log_scale: Array, weight: Array, *noise_params: Array) -> Array:
            q = dict(zip(names, noise_params, strict=True))
            return weight * noise.log_density(value - mu, log_scale, q)

        def random(
            mu: Array, log_scale: Array, weight: Array, *noise_params: Array, rng: Any, size: Any
        ) -> NDArray[np.float64]:
            q = dict(zip(names, noise_params, strict=True))
            shape = np.broadcast_shapes(mu.shape, log_scale.shape) if size is None else tuple(size)
            normal, multiplier = noise.standard_draws(q, shape, rng)
            return np.asarray(mu + np.exp(log_scale) * multiplier * normal)

        pm.CustomDist(
            RETURNS,
            mu,
            log_scale,
            weight,
            *(p[name] for name in names),
            logp=logp,
            random=random,
            observed=np.nan_to_num(returns),
            dims=(PERIOD, ASSET),
        )

    def _add_evidence(self, p: Params, factors: Array, panel: Panel, evidence: tuple[Evidence, ...]) -> None:
        """Forecast period T+1 as far as the evidence speaks of it (eq. 12)."""
        model = pm.modelcontext(None)
        model.add_coord(EVIDENCE, [e.symbol for e in evidence])
        ahead = model_data(self, panel, future=True)
        innovation = pm.Normal(f"{FACTORS_NEXT}_z", 0.0, 1.0, dims=FACTOR)
        multiplier = pm.math.exp(self.factor_scale.log_multiplier_next(p, ahead))
        eta = p[FACTOR_SCALE] * multiplier * innovation
        state = pm.Deterministic(FACTORS_NEXT, step(self.lags(p), factors, eta), dims=FACTOR)
        index = np.array([panel.assets.index(e.symbol) for e in evidence])
        mu = self.expected_return(p, state[None, :], ahead)[0, index]
        log_scale = self.log_noise_scale(p, ahead)[0, index]
        standard = self.noise.standard_variable(EVIDENCE_Z, p, index, dims=EVIDENCE)
        returns = pm.Deterministic(EVIDENCE_RETURN, mu + pm.math.exp(log_scale) * standard, dims=EVIDENCE)
        pm.Normal(
            EVIDENCE + "_mean",
            mu=pm.math.expm1(returns),
            sigma=np.array([e.sd for e in evidence]),
            observed=np.array([e.mean for e in evidence]),
            dims=EVIDENCE,
        )

    # -- files -----------------------------------------------------------------------------------------

    @classmethod
    def from_toml(cls, source: str | Path) -> FactorModel:
        """Return the model of a TOML file (a path) or of a TOML text."""
        if isinstance(source, Path):
            where = str(source)
            text = _checks.existing_file(source, what="model").read_text(encoding="utf-8")
        else:
            where, text = "model", source
        try:
            table = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ModelError(f"{where}: not valid TOML: {error}.") from error
        return cls.from_dict(table, where=where)

    @classmethod
    def from_dict(cls, table: Mapping[str, Any], *, where: str = "model") -> FactorModel:
        """Return the model of a table of settings; an unknown key or kind is an error that names it."""
        try:
            return cls(**table)
        except (ModelError, UnknownLabelError) as error:
            raise type(error)(f"{where}, {error}") from None

    def to_toml(self) -> str:
        """TOML text from which ``from_toml`` makes an equal model."""
        return tomli_w.dumps(_plain(self.model_dump(mode="python")))

    @classmethod
    def from_preset(cls, name: str) -> FactorModel:
        """Return the named model that ships with the package, such as ``m6``."""
        files = presets()
        _checks.known(
            [name], list(files), what="preset", where="model", hint="Or give the path of a TOML file."
        )
        return cls.from_toml(files[name])


def presets() -> dict[str, Path]:
    """Named models that ship with the package, name to TOML file."""
    here = Path(__file__).parents[1]
    # An installed wheel holds them in the package, a checkout in its models/ folder.
    folder = here / "presets" if (here / "presets").is_dir() else here.parent / "models"
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def model_data(model: FactorModel, panel: Panel, *, future: bool = False) -> dict[str, NDArray[Any]]:
    """Arrays that the model's equations read: features, classes, weights, mask and returns.

    For the history (period, asset[, window]) or, with ``future``, for the periods after the origin, where
    returns are all missing. Raises ``ModelError`` when the panel lacks what a part needs.
    """
    part = panel.future if future else panel.history
    missing = sorted(name for name in model.needs if name not in part)
    if missing:
        raise ModelError(
            f"model {model.name!r}: the panel lacks {_checks.first(missing)}, which its parts read."
        )
    if CHARACTERISTICS in model.needs and not part.sizes[CHARACTERISTIC]:
        raise ModelError(
            f"model {model.name!r}: its loadings follow characteristics, and the panel has none. Make the"
            " panel with from_prices, or give characteristics to from_arrays."
        )
    returns = part[RETURNS].to_numpy()
    ends = part[PERIOD].to_numpy()
    blocks = model.loadings.blocks(panel.n_history)
    arrays: dict[str, NDArray[Any]] = {name: part[name].to_numpy() for name in FEATURES if name in part}
    return arrays | {
        CLASS_INDEX: panel.class_index,
        # weights are of the past; what evidence says of the forecast period counts in full (eq. 9, 12)
        PERIOD_WEIGHTS: np.ones(len(ends)) if future else model.weights.weights(ends),
        OBSERVED: np.isfinite(returns),
        LOADING_BLOCK: np.full(len(returns), blocks[-1]) if future else blocks,
        RETURNS: returns,
    }


def at_periods(data: Data, index: slice) -> dict[str, Array]:
    """Arrays of ``model_data`` for some of its periods; what has no period axis stays as it is."""
    return {name: x if name in BY_ASSET else x[index] for name, x in data.items()}


def check_evidence(evidence: Sequence[Evidence], panel: Panel) -> tuple[Evidence, ...]:
    """Evidence with known, distinct symbols and usable numbers; raises otherwise."""
    where = "evidence"
    _checks.known([e.symbol for e in evidence], panel.assets, what="symbol", where=where)
    _checks.unique([e.symbol for e in evidence], what="symbols", where=where, hint="Combine them into one.")
    for e in evidence:
        _checks.positive(e.sd, what="sd", where=f"{where} on {e.symbol}")
        if _checks.finite(e.mean, what="mean", where=f"{where} on {e.symbol}") <= -1:
            raise DataError(f"{where} on {e.symbol}: a return of {e.mean:g} loses more than everything.")
        if e.symbol in panel.inactive:
            raise DataError(
                f"{where} on {e.symbol}: its return is set to zero. Drop the evidence or the edit."
            )
    return tuple(Evidence(e.symbol, float(e.mean), float(e.sd)) for e in evidence)


def _plain(value: Any) -> Any:
    """Settings as TOML can hold them: no None, lists for tuples."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items() if v is not None}
    if isinstance(value, tuple | list):
        return [_plain(v) for v in value]
    return value


def _settings_error(cls: type[BaseModel], error: ValidationError) -> Exception:
    """First problem of a pydantic validation, told in terms of the TOML file."""
    first = error.errors()[0]
    loc = [str(x) for x in first["loc"]]
    key = ".".join(loc)
    if first["type"] == "extra_forbidden":
        owner = _class_at(cls, first["loc"][:-1])
        table = f"table [{'.'.join(loc[:-1])}]" if loc[:-1] else "top level"
        try:
            _checks.known([loc[-1]], list(owner.model_fields), what="key", where=table)
        except UnknownLabelError as unknown:
            return unknown
    if first["type"] == "union_tag_invalid":
        ctx = first.get("ctx", {})
        return UnknownLabelError(
            f"[{key}]: unknown kind {ctx.get('tag')!r}. Known: {ctx.get('expected_tags')}."
        )
    if first["type"] == "union_tag_not_found":
        return ModelError(f"[{key}]: the key `kind` is missing.")
    if isinstance(cause := first.get("ctx", {}).get("error"), ModelError):
        return cause
    return ModelError(f"{key}: {first['msg']}, got {first.get('input')!r}.")


def _class_at(cls: type[BaseModel], loc: Sequence[int | str]) -> type[BaseModel]:
    """Class of the table at a location such as ('mean', 0, 'intercept')."""
    candidates = [cls]
    for part in loc:
        if isinstance(part, int):
            continue
        by_kind = [c for c in candidates if _kind(c) == part]
        if by_kind:
            candidates = by_kind
            continue
        candidates = [
            m for c in candidates if part in c.model_fields for m in _models(c.model_fields[part].annotation)
        ]
    return candidates[0]


def _kind(cls: type[BaseModel]) -> Any:
    field = cls.model_fields.get("kind")
    return field.default if field is not None else None


def _models(annotation: Any) -> list[type[BaseModel]]:
    """Pydantic models inside a type annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) is None:
        return []
    return [m for arg in get_args(annotation) for m in _models(arg)]
