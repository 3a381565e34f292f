"""Small specifications that between them have every feature of the sampler, and every pair of two."""

from dataclasses import replace
from itertools import product

import numpy as np

from bdfm.gibbs.spec import (
    AssetVolatility,
    Characteristics,
    DegreesOfFreedom,
    Effect,
    FactorVolatility,
    GibbsSpec,
    KnownReturn,
    Lags,
    LatentScale,
    LoadingBlocks,
    NoiseFamily,
    NormalHierarchy,
    ScaleRegression,
    StudentFactors,
)
from bdfm.gibbs.updates.noise import LAPLACE, NORMAL, STUDENT_T

T, N, K = 9, 4, 2
GROUPS = np.array([0, 0, 1, 1])
FEATURES = {
    "lags": ("none", "ar1", "momentum"),
    "scale": ("constant", "regression", "latent", "both"),
    "factors": ("normal factors", "student factors"),
    "loadings": ("static", "normal", "blocks", "characteristics", "moving characteristics"),
    "premium": ("none", "premium"),
    "evidence": ("none", "evidence"),
    "noise": ("student", "normal", "laplace"),
    "mean": ("full", "none", "known"),
}


def _cases():
    """Levels of all features: each pair of levels of two features once.

    4 x 5 cases of scale and loadings with two families of noise, and five cases of each other family.
    """
    families = range(2, len(FEATURES["noise"]))
    yield from (_two_families(a, b) for a, b in product(range(4), range(4)))
    yield from (_other_family(family, a) for family, a in product(families, range(4)))
    yield from (_two_families(a, 4) for a in range(4))
    yield from (_other_family(family, 4) for family in families)


def _two_families(a, b):
    levels = {
        "lags": (a + b) % 3,
        "scale": a,
        "factors": (a + b) % 2,
        "loadings": b,
        "premium": (a + b // 2) % 2,
        "evidence": (b + a // 2) % 2,
        "noise": (a // 2 + b // 2 + a) % 2,
        "mean": (a + 2 * b) % 3,
    }
    return {name: FEATURES[name][level] for name, level in levels.items()}


def _other_family(family, a):
    levels = {
        "lags": a % 3,
        "scale": (a + 2) % 4,
        "factors": (a + a // 2) % 2,
        "loadings": a,
        "premium": a % 2,
        "evidence": a // 2 % 2,
        "noise": family,
        "mean": (a + 1) % 3,
    }
    return {name: FEATURES[name][level] for name, level in levels.items()}


CASES = list(_cases())
IDS = ["-".join(case.values()) for case in CASES]


def pairs():
    """All pairs of levels of two features, and those that the cases have."""
    names = list(FEATURES)
    every = {
        ((m, x), (n, y))
        for i, m in enumerate(names)
        for n in names[i + 1 :]
        for x in FEATURES[m]
        for y in FEATURES[n]
    }
    had = {((m, c[m]), (n, c[n])) for c in CASES for i, m in enumerate(names) for n in names[i + 1 :]}
    return every, had


def small_spec(case, n_periods=T):
    """Specification of a case; priors are tight enough that nothing runs away, and none is symmetric."""
    rng = np.random.default_rng(0)
    returns = 0.05 * rng.standard_normal((n_periods, N))
    returns[:2, 1] = np.nan
    returns[4, 2] = np.nan
    evidence = ()
    if case["evidence"] == "evidence":
        returns[-1] = np.nan
        evidence = (KnownReturn(2, 0.05, 0.1), KnownReturn(0, -0.03, 0.05))
    one = np.ones((n_periods, N))
    x, rv = rng.standard_normal((n_periods, N)), rng.standard_normal((n_periods, N, 1))
    earnings = ((np.arange(n_periods)[:, None] + np.arange(N)) % 3 == 0).astype(float)
    beta = Effect("beta_rr", x, 0.05, loc_sd=0.1, loc_mean=0.1, groups=GROUPS, dof=10.0)
    mean = {
        "full": (Effect("alpha", one, 0.05, dof=10.0), beta),
        "none": (),
        "known": (Effect("beta_rr", x, 0.1, loc_mean=0.1),),
    }[case["mean"]]
    noise = {
        # nu far below 1 would make data that overflow
        "student": NoiseFamily(STUDENT_T, DegreesOfFreedom(7.0, sigma_nu_mean=1.5, sigma_nu_sd=0.4)),
        "normal": NoiseFamily(NORMAL),
        "laplace": NoiseFamily(LAPLACE),
    }[case["noise"]]
    own = case["loadings"]
    block = np.arange(n_periods) // 4
    n_blocks = int(block[-1]) + 2  # the last one has no periods
    known = rng.standard_normal((n_blocks if own == "moving characteristics" else 1, N, 2))
    return GibbsSpec(
        returns,
        K,
        mean=mean,
        log_volatility=(
            Effect("theta", one, 0.3, loc_sd=0.4, loc_mean=-2.5, groups=GROUPS, dof=10.0),
            Effect("beta_rv", rv, 0.2, loc_sd=0.3, loc_mean=0.3, groups=GROUPS),
            Effect("beta_earnings", earnings, 0.3, loc_mean=0.4),
        ),
        lags={"none": None, "ar1": Lags(1, 0.4), "momentum": Lags(3, 0.4, 0.3)}[case["lags"]],
        factor_scale_sd=0.15,
        premium_sd=0.7 if case["premium"] == "premium" else None,
        scale_regression=ScaleRegression(rng.standard_normal((n_periods, 2)), 0.4)
        if case["scale"] in ("regression", "both")
        else None,
        latent_scale=LatentScale(0.5, 0.15, 0.3) if case["scale"] in ("latent", "both") else None,
        factor_noise=StudentFactors(6.0, 2.0) if case["factors"] == "student factors" else None,
        loadings_dof=None if own == "normal" else 8.0,
        characteristics=Characteristics(known, 0.6, 0.8) if "characteristics" in own else None,
        loading_blocks={
            "blocks": LoadingBlocks(block, 0.5, 0.8),
            "moving characteristics": LoadingBlocks(block, 0.5, 0.8, n_blocks),
        }.get(own),
        noise=noise,
        evidence=evidence,
    )


# Volatilities of single factors and of single assets (docs/daily.md): with each other, and each alone.
PATHS = {
    "both": ("factors", "assets", "least"),
    "factors": ("factors", "least"),
    "assets": ("assets",),
    "both, normal noise": ("factors", "assets", "normal"),
}


def paths_spec(parts, n_periods=T):
    """Specification with volatilities of single factors or assets, a late start, a gap and an early end."""
    beside = {"lags": "none", "scale": "constant", "factors": "normal factors", "premium": "none"}
    beside |= {"loadings": "static", "evidence": "none", "mean": "full", "noise": "student"}
    if "normal" in parts:
        beside |= {"noise": "normal", "mean": "none", "loadings": "normal"}
    if "factors" not in parts:
        beside |= {"lags": "ar1"}
    spec = small_spec(beside, n_periods)
    returns = spec.returns.copy()
    returns[-1, 2] = np.nan
    least = 0.06 if "least" in parts else 0.0  # e^theta is near 0.08
    # tight enough that no scale runs away, and persistence far from 1
    return replace(
        spec,
        returns=returns,
        log_volatility=(replace(spec.log_volatility[0], least=least), spec.log_volatility[2]),
        factor_volatility=FactorVolatility(1.0, 0.5, -1.2, 0.3, 0.5) if "factors" in parts else None,
        asset_volatility=AssetVolatility(
            GROUPS, NormalHierarchy(1.0, 0.4, 0.4), NormalHierarchy(-1.3, 0.3, 0.3)
        )
        if "assets" in parts
        else None,
    )
