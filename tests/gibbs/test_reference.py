"""The plain joint density that the sampler's updates are held to is that of the PyMC model."""

import numpy as np
import pytest
from few import few
from reference import groups, log_joint, log_multiplier

from bdfm.data.panel import Panel
from bdfm.inference.engine import gibbs_spec
from bdfm.model.evidence import Evidence
from bdfm.model.factor_model import FactorModel
from bdfm.model.parts.dynamics import stationary_start

T, N, K = 15, 4, 2
FAST = (
    "default",
    "Laplace noise, evidence",
    "volatilities of single factors and assets",
)
MODELS = {
    "default": {"weights": {"kind": "half_life", "half_life_periods": 6.0}},
    "momentum, market volatility, moving loadings": {
        "dynamics": [{"kind": "momentum"}],
        "factor_scale": {"kind": "market_volatility"},
        "loadings": {"kind": "random_walk", "every": 6},
        "noise": {"kind": "normal"},
        "weights": {"kind": "step", "cutoff": "2019-06-01"},
    },
    "latent volatility, characteristics, premium, evidence": {
        "factor_scale": {"kind": "stochastic_volatility"},
        "loadings": {"kind": "instrumented"},
        "mean": [{"kind": "intercept"}, {"kind": "factor_premium"}, {"kind": "recent_return"}],
        "weights": {"kind": "half_life", "half_life_periods": 6.0},
    },
    "characteristics that move, premium": {
        "panel": {"moving_characteristics": True},
        "loadings": {"kind": "instrumented_walk", "every": 5},
        "mean": [{"kind": "factor_premium"}],
    },
    "characteristics that move, evidence": {
        "panel": {"moving_characteristics": True},
        "loadings": {"kind": "instrumented_walk", "every": 6},
    },
    "Student-t factors, momentum": {
        "dynamics": [{"kind": "momentum"}],
        "factor_noise": {"kind": "student_t"},
    },
    "Student-t factors, latent volatility, premium, evidence": {
        "factor_scale": {"kind": "stochastic_volatility"},
        "factor_noise": {"kind": "student_t", "nu_mean": 6.0, "nu_sd": 3.0},
        "mean": [{"kind": "factor_premium"}],
        "weights": {"kind": "half_life", "half_life_periods": 6.0},
    },
    "no dynamics, evidence": {"dynamics": [], "mean": []},
    "Laplace noise, evidence": {
        "noise": {"kind": "laplace"},
        "weights": {"kind": "half_life", "half_life_periods": 6.0},
    },
    "volatilities of single factors and assets": {
        "dynamics": [],
        "factor_scale": {"kind": "factor_volatility"},
        "log_volatility": [
            {"kind": "intercept", "least": 0.03},
            {"kind": "stochastic_volatility"},
            {"kind": "earnings"},
        ],
    },
    "volatilities of single assets, momentum": {
        "dynamics": [{"kind": "momentum"}],
        "log_volatility": [{"kind": "intercept"}, {"kind": "stochastic_volatility"}],
        "noise": {"kind": "normal"},
    },
    "volatilities of single factors": {
        "dynamics": [],
        "mean": [],
        "factor_scale": {"kind": "factor_volatility", "leverage_sd": 0.7},
    },
    "evidence, all of the past at half weight": {"weights": {"kind": "step", "cutoff": "2100-01-01"}},
}


def tiny_panel():
    rng = np.random.default_rng(3)
    returns = 0.05 * rng.standard_t(4, (T, N))
    returns[:3, 1] = returns[9, 2] = np.nan
    return Panel.from_arrays(
        returns,
        asset_class=["stock", "bond", "stock", "bond"],
        assets=list("ABCD"),
        recent_return=rng.standard_normal((T, N)),
        recent_volatility=0.5 * rng.standard_normal((T, N, 1)),
        market_volatility=0.5 * rng.standard_normal((T, 1)),
        characteristics=np.concatenate(
            [np.random.default_rng(4).standard_normal((T, N, 2)), rng.standard_normal((1, N, 2))]
        ),
        earnings=(rng.random((T, N)) < 0.3).astype(float),
        next_recent_return=rng.standard_normal(N),
        next_recent_volatility=0.5 * rng.standard_normal((N, 1)),
        next_market_volatility=[0.4],
        next_earnings=[1.0, 0.0, 0.0, 1.0],
    )


def values_of(spec, draws):
    """Values that the plain density takes, from those of the PyMC model."""
    p = dict(draws)
    p["loadings"] = p["loadings_path"] if "loadings_path" in p else p["loadings"][None]
    if "factors_next" in p:
        p["factors"] = np.vstack([p["factors"], p["factors_next"]])
    if "log_multiplier_next" in p:
        p["log_multiplier"] = np.append(p["log_multiplier"], p["log_multiplier_next"])
    if "factor_mixing_next" in p:
        p["factor_mixing"] = np.append(p["factor_mixing"], p["factor_mixing_next"])
    for effect in (*spec.mean, *spec.log_volatility):
        _, n_groups = groups(effect)
        for name, size in (
            (effect.name, N),
            (f"mu_{effect.name}", n_groups),
            (f"sigma_{effect.name}", n_groups),
        ):
            if name in p:
                p[name] = np.reshape(p[name], (size, -1))
    return p


def log_scales(spec, p):
    """Sum of the logs of what the PyMC model multiplies its standardised variables by."""
    total = 0.0
    for effect in (*spec.mean, *spec.log_volatility):
        index, _ = groups(effect)
        total += np.log(p[f"sigma_{effect.name}"][index]).sum()
    m = log_multiplier(spec, p)
    total += (np.log(p["factor_scale"]) + m[:, None]).sum()
    if spec.lags is not None:
        c = [p["rho"]] + [p.get("beta_momentum")] * (spec.lags.number - 1)
        total += K * sum(np.log(sd) for _, sd in stationary_start(c))
    if spec.characteristics is not None:
        total += N * K * np.log(p["sigma_loadings"])  # of the first block
    if spec.loading_blocks is not None:
        steps = p["loadings"][1:].size
        total += steps * np.log(p["loading_drift"] * spec.loading_blocks.unit)
    if spec.latent_scale is not None:
        total += len(m) * np.log(p["sigma_log_multiplier"]) - 0.5 * np.log(1 - p["phi"] ** 2)
    if spec.factor_volatility is not None:
        phi, sd = p["factor_phi"], p["factor_volatility_sd"]
        total += p["factor_volatility"].sum() + 0.5 * (T - 1) * np.log(1 - p["leverage"] ** 2).sum()
        total += (T * np.log(sd) - 0.5 * np.log(1 - phi**2)).sum()
        total += np.log(spec.factor_volatility.logit_phi_sd * phi * (1 - phi)).sum()
    if (own := spec.asset_volatility) is not None:
        phi = 1 / (1 + np.exp(-p["logit_phi"]))
        total += (T * p["log_volatility_sd"] - 0.5 * np.log(1 - phi**2)).sum()
        for name in ("logit_phi", "log_volatility_sd"):
            total += np.log(p[f"sigma_{name}"][own.groups]).sum()
    for e in spec.evidence:
        total += sum(
            (v.features.reshape(*v.features.shape[:2], -1)[-1, e.asset] * p[v.name][e.asset]).sum()
            for v in spec.log_volatility
        )
    return total


@pytest.mark.parametrize("name", few(MODELS, FAST))
def test_plain_joint_density_is_that_of_the_pymc_model(name):
    model = FactorModel(n_factors=K, **MODELS[name])
    panel = tiny_panel()
    evidence = (Evidence("C", 0.08, 0.05), Evidence("A", -0.03, 0.02)) if "evidence" in name else ()
    built = model.build(panel, evidence=evidence)
    spec = gibbs_spec(model, panel, evidence)
    log_density = built.compile_logp(sum=False, jacobian=False)
    outputs = built.compile_fn(built.unobserved_value_vars, inputs=built.value_vars)
    rng = np.random.default_rng(1)
    start = built.initial_point()
    for _ in range(3):
        point = {k: v + 0.3 * rng.standard_normal(np.shape(v)) for k, v in start.items()}
        values = outputs(point)
        draws = {v.name: np.asarray(x) for v, x in zip(built.unobserved_value_vars, values, strict=True)}
        p = values_of(spec, draws)
        expected = sum(np.sum(x) for x in log_density(point)) - log_scales(spec, p)
        # PyMC keeps settings such as 10.0 in single precision, which costs 1e-8 a coefficient
        assert log_joint(spec, p) == pytest.approx(float(expected), rel=1e-8, abs=1e-6)
