"""The updates of an asset's volatility on one series, against NUTS on the exact density, written apart."""

import numpy as np
import pytest
from scipy import stats

from bdfm.gibbs.spec import AssetVolatility, Effect, FactorVolatility, GibbsSpec, NoiseFamily, NormalHierarchy
from bdfm.gibbs.sweep import UPDATES, make_chain
from bdfm.gibbs.updates.noise import NORMAL
from bdfm.inference.ess import ess_bulk, mcse_mean

N_DAYS, CHAINS = 500, 4
LEVEL, PERSISTENCE, SHOCKS = (-4.6, 0.5), (2.9, 0.6), (-1.6, 0.4)  # priors: normal, of level, logit and log
OWN = (
    "begin_sweep",
    "draw_asset_paths",
    "rescale_asset_paths",
    "draw_path_parameters",
    "move_asset_coefficients",
)


@pytest.fixture(scope="module")
def series():
    """Returns with a standard deviation near 1 %, and a gap."""
    rng = np.random.default_rng(12)
    v = np.zeros(N_DAYS)
    for t in range(1, N_DAYS):
        v[t] = 0.95 * v[t - 1] + 0.22 * rng.standard_normal()
    y = 0.01 * np.exp(v) * rng.standard_normal(N_DAYS)
    y[200:215] = np.nan
    return y


def by_updates(y, n_draws=2500, thin=4):
    """Draws (chain, draw, quantity) by the package's updates; the one factor stays nothing."""
    spec = GibbsSpec(
        y[:, None],
        1,
        log_volatility=(Effect("theta", np.ones((N_DAYS, 1)), 1.0, loc_sd=1.0, loc_mean=LEVEL[0]),),
        noise=NoiseFamily(NORMAL),
        lags=None,
        factor_volatility=FactorVolatility(),
        asset_volatility=AssetVolatility(
            np.zeros(1, np.int64),
            NormalHierarchy(PERSISTENCE[0], 1.0, 1.0),
            NormalHierarchy(SHOCKS[0], 1.0, 1.0),
        ),
    )
    found = np.empty((CHAINS, n_draws, 4))
    for c in range(CHAINS):
        chain = make_chain(spec, np.random.default_rng([5, c]))
        state = chain.state
        state.loadings.values[:] = 0.0
        state.volatility.mu[:], state.volatility.sigma[:] = LEVEL
        state.asset_volatility.mu[:, 0], state.asset_volatility.sigma[:, 0] = np.array(
            [PERSISTENCE, SHOCKS]
        ).T
        sweep = [UPDATES[name] for name in OWN]
        chain.apply([UPDATES["refresh_residuals"]])
        chain.apply(sweep, 500)
        for d in range(n_draws):
            chain.apply(sweep, thin)
            own = state.asset_volatility
            found[c, d] = state.volatility.b[0, 0], own.logit_phi[0], own.log_sd[0], own.path[0, -1]
    return found


def by_nuts(y):
    """The same by PyMC's NUTS, from eq. D4 alone."""
    import pymc as pm
    import pytensor.tensor as pt

    seen = np.isfinite(y)
    with pm.Model():
        level, logit = pm.Normal("level", *LEVEL), pm.Normal("logit", *PERSISTENCE)
        log_sd = pm.Normal("log_sd", *SHOCKS)
        phi, sd = pm.math.sigmoid(logit), pm.math.exp(log_sd)
        z = pm.Normal("z", 0.0, 1.0, shape=N_DAYS)
        path = pt.concatenate([z[:1] * sd / pt.sqrt(1.0 - phi**2), sd * z[1:]])
        for reach in (2**m for m in range(9)):  # v_t = sum of phi^j times the shock of t - j, by doubling
            path = path + phi**reach * pt.concatenate([pt.zeros(reach), path[:-reach]])
        v = pm.Deterministic("v", path)
        pm.Normal("y", 0.0, pm.math.exp(level + v[seen]), observed=y[seen])
        tree = pm.sample(
            1500, tune=1000, chains=CHAINS, cores=2, nuts_sampler="nutpie", random_seed=3, target_accept=0.9,
            progressbar=False, compute_convergence_checks=False,
        )  # fmt: skip
    p = tree["posterior"]
    return np.stack([p["level"], p["logit"], p["log_sd"], p["v"][:, :, -1]], axis=-1)


@pytest.mark.slow
def test_level_persistence_and_shocks_of_a_series(series):
    """Means, spreads and the correlation of persistence with shocks agree within Monte Carlo error."""
    ours, theirs = by_updates(series), by_nuts(series)
    for x in (ours, theirs):
        assert ess_bulk(x).min() > 400, ess_bulk(x)

    def moments(x):
        centred = x - ours.mean(axis=(0, 1))
        return np.concatenate([x, centred**2, centred[..., 1:2] * centred[..., 2:3]], axis=-1)

    a, b = moments(ours), moments(theirs)
    z = (a.mean(axis=(0, 1)) - b.mean(axis=(0, 1))) / np.hypot(mcse_mean(a), mcse_mean(b))
    print(np.round(z, 2), np.round(ours.mean(axis=(0, 1)), 3), np.round(ours.std(axis=(0, 1)), 3))
    print(np.round(ess_bulk(ours)), np.round(ess_bulk(theirs)))
    assert np.abs(z).max() < stats.norm.ppf(1 - 0.005 / len(z))
