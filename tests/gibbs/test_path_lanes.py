"""Paths of many assets beside each other in lanes, and those of a group with their hierarchies (S31, S44)."""

import math
from unittest import mock

import numpy as np
import pytest
from density_cases import assert_current
from drivers import GROUPS, Chain, N, Script, T, U, assert_draws_normal, make_spec, patched, plain
from path_cases import ASSET_PARAMETERS, BOTH, assert_moments, long, poorer, world
from reference import expected_returns, log_noise_scale
from scipy import stats

from bdfm.gibbs.scratch import LANES
from bdfm.inference.ess import mcse_mean


def lanes_of(spec, p, periods, width):
    """Memory of lanes, and what returns say of random paths: information and pull (T, LANES)."""
    rng, own = np.random.default_rng(8), Chain(spec, p).scratch.lanes
    own = own._replace(inverses=np.zeros((periods, LANES)), linears=np.zeros((periods, LANES)))
    information = rng.gamma(2.0, 1.0, (periods, LANES)) * (rng.random((periods, LANES)) < 0.8)
    own.now[:, :width] = [0.4 + 0.3 * np.arange(width), -1.0 - 0.2 * np.arange(width)]
    return own, information, information * rng.standard_normal((periods, LANES))


def precision_of(logit, log_sd, n):
    """Of a stationary autoregression (n, n)."""
    phi, sd = 1 / (1 + math.exp(-logit)), math.exp(log_sd)
    lags = np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
    return np.linalg.inv(sd**2 / (1 - phi**2) * phi**lags)


def dense_value(logit, log_sd, information, pull):
    """Log density of one path's coefficients, from the whole precision of its states."""
    prior = precision_of(logit, log_sd, len(pull))
    both = prior + np.diag(information)
    value = 0.5 * np.linalg.slogdet(prior)[1] - 0.5 * np.linalg.slogdet(both)[1]
    return value + 0.5 * pull @ np.linalg.solve(both, pull)


@pytest.mark.parametrize("n", [1, 2, 33, 40])  # a run of pivots ends at 32
def test_density_of_persistence_and_shocks_with_the_path_integrated_out(n):
    """Against determinants and a solution of the whole precision of the states, lane by lane."""
    width = 3
    own, information, pull = lanes_of(*world(**BOTH), n, width)
    own.logit_phi[:width], own.log_sd[:width] = own.now[:, :width]
    own.value[:] = np.nan
    plain("updates.path_marginal").marginal_values(own, width, information, pull)
    for j in range(width):
        expected = dense_value(own.logit_phi[j], own.log_sd[j], information[:, j], pull[:, j])
        assert own.value[j] == pytest.approx(expected, rel=1e-8)
    assert np.isnan(own.value[width:]).all()


@pytest.mark.parametrize("n", [1, 2, 9])
def test_paths_given_parts_of_the_mixture_are_normal(n):
    """Mean and root of each lane's path, against the whole precision of its states."""
    width = 3
    own, information, pull = lanes_of(*world(**BOTH), n, width)
    paths = np.full((n, LANES), np.nan)

    def draw(z, j):
        """The path of lane j from normal numbers of its own, those of the other lanes 0."""
        numbers = np.zeros((n, width))
        numbers[:, j] = z
        plain("updates.path_marginal").draw_paths(
            Script(numbers.ravel()), own, width, information, pull, paths
        )
        return paths[:, j].copy()

    for j in range(width):
        both = precision_of(*own.now[:, j], n) + np.diag(information[:, j])
        law = np.linalg.solve(both, pull[:, j]), np.linalg.inv(both)
        assert_draws_normal(lambda z, j=j: draw(z, j), law, n)
    assert np.isnan(paths[:, width:]).all()


def test_persistence_and_shocks_of_each_lane_have_their_own_posterior():
    """Lanes step together; each against its posterior on a grid, from the whole precision of the states."""
    module, width, n, n_draws = plain("updates.path_marginal"), 3, 6, 3000
    own, information, pull = lanes_of(*world(**BOTH), n, width)
    information, pull = information * 3.0, pull * 3.0
    own.mu[:, :width], own.sigma[:, :width] = [[1.0, 0.0, 2.0], [-1.4, -0.5, 0.0]], [[0.9], [0.6]]
    rng, draws = np.random.default_rng(5), np.empty((n_draws, 2, width))
    for k in range(n_draws):
        module.draw_coefficients(rng, own, width, information, pull)
        draws[k] = own.now[:, :width]
    for j in range(width):
        mu, sigma = own.mu[:, j], own.sigma[:, j]
        grid = np.stack(np.meshgrid(*(mu[r] + sigma[r] * np.linspace(-4.5, 4.5, 61) for r in range(2))))
        value = np.empty(grid.shape[1:])
        for cell in np.ndindex(value.shape):
            value[cell] = dense_value(*grid[:, *cell], information[:, j], pull[:, j])
        value += stats.norm.logpdf(grid, mu[:, None, None], sigma[:, None, None]).sum(axis=0)
        weight = np.exp(value - value.max())
        weight /= weight.sum()
        for of in (lambda x: x, np.square, lambda x: x * x[::-1]):
            for row in range(2):
                mean = (weight * of(grid)[row]).sum()
                x = of(draws[:, :, j].T)[row]
                assert (x.mean() - mean) / mcse_mean(x[None, :, None])[0] == pytest.approx(0.0, abs=4.5)


def told_of(n, centre, scale=1.0):
    """What ``curvatures`` finds of three assets in lanes of two; their information and pull (asset, T)."""
    spec, p = world(**BOTH)
    module, chain = plain("updates.path_hierarchies"), Chain(spec, p)
    lanes, information, pull = lanes_of(spec, p, n, 0)
    own = chain.scratch.path_group._replace(
        information=np.stack([information, information[::-1]])[:, :, :2] * scale,
        pull=np.stack([pull, pull[::-1]])[:, :, :2] * scale,
    )
    own.told[:] = np.nan
    with patched("LANES", 2):
        module.curvatures(own, lanes, 3, centre)
    flat = [np.concatenate(x.swapaxes(1, 2))[:3] for x in (own.information, own.pull)]
    return own, *flat


def test_curvatures_are_those_of_the_density_near_the_centre():
    module, centre, h = plain("updates.path_hierarchies"), (1.2, -0.4), 1e-3
    with patched("_APART", (h, h)):
        own, information, pull = told_of(30, centre, scale=4.0)
    assert np.isnan(own.told[:, 3:]).all()
    far = 0
    for i in range(3):
        f = lambda x, y, i=i: dense_value(centre[0] + x * h, centre[1] + y * h, information[i], pull[i])  # noqa: E731
        curvature = -np.array([f(1, 0) + f(-1, 0) - 2 * f(0, 0), f(0, 1) + f(0, -1) - 2 * f(0, 0)]) / h**2
        slope = np.array([f(1, 0) - f(-1, 0), f(0, 1) - f(0, -1)]) / (2 * h)
        far += (curvature < abs(slope) / module._FARTHEST).sum()
        a, b = np.maximum(curvature, abs(slope) / module._FARTHEST)
        most = module._CORRELATION * math.sqrt(a * b)
        c = np.clip(-(f(1, 1) - f(1, -1) - f(-1, 1) + f(-1, -1)) / (4 * h * h), -most, most)
        pulled = np.array([[a, c], [c, b]]) @ centre + slope
        np.testing.assert_allclose(own.told[:, i], [a, b, c, *pulled], rtol=5e-3, atol=5e-3)
    assert 0 < far < 6


def test_what_says_nothing_has_no_precision():
    """Paths without a return say nothing, and coefficients have their prior."""
    module = plain("updates.path_hierarchies")
    own, *_ = told_of(10, (1.0, -0.5), scale=0.0)
    np.testing.assert_allclose(own.told[:, :3], 0.0, atol=1e-9)
    mean_phi, mean_sd, root, cross, rest = module.conditional(own, 1, (1.5, -2.0), (0.3, 0.2))
    np.testing.assert_allclose((mean_phi, mean_sd, root, cross, rest), (1.5, -2.0, 0.3, 0.0, 0.2), atol=1e-9)


def test_coefficients_are_standardised_by_their_posterior_given_the_hierarchy():
    own, *_ = told_of(12, (1.2, -0.4))
    mu, sigma = (0.9, -0.8), (0.5, 0.25)
    for i in range(3):
        a, b, c, *pulled = own.told[:, i]
        precision = np.array([[a, c], [c, b]]) + np.diag(1 / np.square(sigma))
        mean = np.linalg.solve(precision, np.array(pulled) + np.array(mu) / np.square(sigma))
        found = plain("updates.path_hierarchies").conditional(own, i, mu, sigma)
        root = np.array([[found[2], 0.0], found[3:]])
        np.testing.assert_allclose(found[:2], mean, rtol=1e-9)
        np.testing.assert_allclose(root @ root.T, np.linalg.inv(precision), rtol=1e-9)


def test_density_of_a_groups_hierarchies_with_the_paths_integrated_out():
    """Of three assets in two blocks, against priors and the whole precision of their states."""
    module = plain("updates.path_hierarchies")
    spec, p = world(**BOTH)
    prior, lanes = Chain(spec, p).data.asset_volatility, Chain(spec, p).scratch.lanes
    own, information, pull = told_of(12, (1.2, -0.4))
    own.z[:, :3] = np.random.default_rng(2).standard_normal((2, 3))
    mu, sigma = np.array([0.9, -0.8]), np.array([0.5, 0.25])
    step_mu, step_sigma = np.array([0.2, -0.1]), np.array([0.3, 0.2])

    def expected(x):
        now_mu, now_sigma = mu + x * step_mu, sigma * np.exp(x * step_sigma)
        value = stats.norm.logpdf(now_mu, prior.loc_mean, prior.loc_sd).sum()
        value += (stats.halfnorm.logpdf(now_sigma, scale=prior.scale_sd) + np.log(now_sigma)).sum()
        for i in range(3):
            mean_phi, mean_sd, root, cross, rest = module.conditional(own, i, tuple(now_mu), tuple(now_sigma))
            coefficients = (
                np.array([mean_phi, mean_sd]) + np.array([[root, 0.0], [cross, rest]]) @ own.z[:, i]
            )
            value += stats.norm.logpdf(coefficients, now_mu, now_sigma).sum() + math.log(root * rest)
            value += dense_value(*coefficients, information[i], pull[i])
        return value

    args = (own, lanes, prior, 3, *mu, *sigma, *step_mu, *step_sigma)
    with patched("LANES", 2):
        found = [module.group_marginal_density(x, args) for x in (-1.0, 0.0, 1.5)]
    for value, x in zip(found, (-1.0, 0.0, 1.5), strict=True):
        assert value - found[1] == pytest.approx(expected(x) - expected(0.0), rel=1e-8)


def test_hierarchies_and_coefficients_of_a_group_take_turns_that_read_the_same_backwards():
    """Acceptance asks for it. Which of two steps hierarchies make, a coin says."""
    spec, p = world(**BOTH)
    module, turns, rng = plain("updates.path_hierarchies"), [], np.random.default_rng(6)
    of_hierarchies, of_coefficients = module.slice_update, module.draw_coefficients

    def hierarchies(rng, density, args, *rest):
        turns.append("scales" if args[8:10] == (0.0, 0.0) else "both")  # the steps of both locations
        return of_hierarchies(rng, density, args, *rest)

    def coefficients(*args):
        turns.append("coefficients")
        of_coefficients(*args)

    with (
        mock.patch.object(module, "slice_update", hierarchies),
        mock.patch.object(module, "draw_coefficients", coefficients),
    ):
        for _ in range(30):
            Chain(spec, p, turn=1).run(rng, U.move_path_hierarchies)
    turns = np.array(turns).reshape(60, -1)  # of two groups
    kinds = turns == "coefficients"
    assert (kinds == kinds[:, ::-1]).all()
    assert kinds[0].tolist() == [False, True, False, True, False]
    coins = turns[:, ::2] == "scales"
    assert 60 < coins.sum() < 120
    assert len(np.unique(coins, axis=0)) == 8


@pytest.mark.long
@pytest.mark.parametrize("normal", [False, True], ids=["student", "normal"])
@pytest.mark.parametrize(("off", "n_draws"), [*long((0.0, 2500), (1.5, 2500)), (1.5, 900)])
def test_paths_of_a_group_with_their_hierarchies_have_the_moments_of_the_joint_density(off, n_draws, normal):
    """Of a group of one asset: its path, coefficients and hierarchies against weighted draws of the prior."""
    spec, p = world(**BOTH, normal=normal)
    p = {key: x for key, x in p.items() if key != "u"}
    i, group, own = 1, 1, spec.asset_volatility
    priors = (own.logit_phi, own.log_sd)
    cells = [f"{of}_{x}" for x in ASSET_PARAMETERS for of in ("mu", "sigma")]
    rng, chain, draws = np.random.default_rng(3), Chain(spec, p, turn=1), []
    with poorer(off):
        for _ in range(n_draws):
            q = chain.run(rng, U.move_path_hierarchies)
            found = [q[name][group] for name in cells] + [q[x][i] for x in ASSET_PARAMETERS]
            draws.append(np.r_[q["volatility_state"][:, i], found])
    assert_current(chain)
    draws, n = np.array(draws), 20_000
    assert (np.ptp(draws, axis=0) > 0).all()
    rng = np.random.default_rng(5)
    mu = np.array([x.loc_mean for x in priors]) + [x.loc_sd for x in priors] * rng.standard_normal((n, 2))
    sigma = np.abs([x.scale_sd for x in priors] * rng.standard_normal((n, 2)))
    b = mu + sigma * rng.standard_normal((n, 2))
    phi, sd = 1 / (1 + np.exp(-b[:, 0])), np.exp(b[:, 1])
    v = np.empty((n, T))
    v[:, 0] = sd / np.sqrt(1 - phi**2) * rng.standard_normal(n)
    for t in range(1, T):
        v[:, t] = phi * v[:, t - 1] + sd * rng.standard_normal(n)
    returns, log_scale = spec.returns[:, i], log_noise_scale(spec, p)[:, i] - p["volatility_state"][:, i]
    e, seen = returns - expected_returns(spec, p)[:, i], np.isfinite(returns)
    scale = np.exp(log_scale + v)
    own_density = stats.norm.logpdf(e, 0.0, scale) if normal else stats.t.logpdf(e, p["nu"][i], 0.0, scale)
    known = np.column_stack([v, mu[:, 0], sigma[:, 0], mu[:, 1], sigma[:, 1], b])
    assert_moments(draws, known, own_density[:, seen].sum(axis=1), least=1000, correlated=20)


def test_large_groups_have_their_paths_one_by_one_in_every_sweep():
    """Groups of three and one, at most two together: eq. S31 takes the former always, eq. S44 never."""
    spec, p = world(**BOTH)
    moved_by = {}
    with patched("MOST_TOGETHER", 2):
        data = plain("data").make_data(spec)
    assert data.asset_volatility.together.tolist() == [False, True]
    for turn in (0, 1):
        for name in ("draw_asset_paths", "move_path_hierarchies"):
            changed = np.zeros(N, bool)
            for seed in range(12):
                chain = Chain(spec, p, turn=turn)
                q_data = chain.data._replace(asset_volatility=data.asset_volatility)
                getattr(U, name)(np.random.default_rng(seed), q_data, chain.state, chain.scratch)
                changed |= (chain.values()["logit_phi"] != p["logit_phi"]).ravel()
            moved_by[name, turn] = changed.tolist()
    with patched("MOST_TOGETHER_NORMAL", 3):
        of_normal = plain("data").make_data(make_spec(**BOTH, normal=True)).asset_volatility.together
    with patched("MOST_TOGETHER_NORMAL", 2):
        fewer = plain("data").make_data(make_spec(**BOTH, normal=True)).asset_volatility.together
    assert (of_normal.tolist(), fewer.tolist()) == ([True, True], [False, True])
    large = [True, False, True, True]
    assert moved_by["draw_asset_paths", 0] == [True] * N
    assert moved_by["draw_asset_paths", 1] == large
    assert moved_by["move_path_hierarchies", 0] == [False] * N
    assert moved_by["move_path_hierarchies", 1] == [not x for x in large]


def test_paths_of_a_group_are_drawn_at_the_parameters_that_are_then_kept():
    spec, p = world(**BOTH)
    module, seen = plain("updates.path_hierarchies"), []
    original = module.draw_paths

    def watched(rng, own, width, information, pull, paths):
        original(rng, own, width, information, pull, paths)
        seen.extend((*own.now[:, j], paths[:, j].copy()) for j in range(width))

    with mock.patch.object(module, "draw_paths", watched):
        q = Chain(spec, p, turn=1).run(Script(seed=2), U.move_path_hierarchies)
    order = [i for group in (0, 1) for i in np.flatnonzero(group == GROUPS)]  # groups one after the other
    moved = [i for i in order if p["logit_phi"][i] != q["logit_phi"][i]]
    assert 0 in moved
    for i, (logit_phi, log_sd, path) in zip(order, seen, strict=True):
        if i in moved:
            found = (q["logit_phi"][i], q["log_volatility_sd"][i])
            assert found == pytest.approx((logit_phi, log_sd), rel=1e-12)
            np.testing.assert_array_equal(q["volatility_state"][:, i], path)


def test_hierarchies_begin_each_turn_where_the_coefficients_are():
    spec, p = world(**BOTH)
    module, begun = plain("updates.path_hierarchies"), 0
    original = module.slice_update

    def watched(rng, density, args, *rest):
        nonlocal begun
        own, lanes, _, members, *_ = args
        density(0.0, args)
        np.testing.assert_allclose(lanes.logit_phi[:members], own.now[0, :members], rtol=1e-9)
        np.testing.assert_allclose(lanes.log_sd[:members], own.now[1, :members], rtol=1e-9)
        begun += 1
        return original(rng, density, args, *rest)

    with mock.patch.object(module, "slice_update", watched):
        Chain(spec, p, turn=1).run(np.random.default_rng(3), U.move_path_hierarchies)
    assert begun == 6


@pytest.mark.parametrize(
    ("before", "after", "accepted"),
    [
        ((0.0, 0.0, 0.0), (-1e3, 1e3, 1e3), True),
        ((0.0, 0.0, 0.0), (1e3, 1e3, -3e3), False),
        ((0.0, 0.0, 0.0), (-3e3, 1e3, 1e3), False),
        ((-1e3, -1e3, 1e3), (0.0, 0.0, 0.0), True),
        ((1e3, 1e3, -1e3), (0.0, 0.0, 0.0), False),
    ],
)
def test_all_paths_of_a_group_are_accepted_together_by_what_they_gain(before, after, accepted):
    spec, p = world(**BOTH)
    values = [*before, *after, 0.0, 0.0]  # of the three assets of the first group, and the one of the other
    with mock.patch.object(plain("updates.asset_volatility"), "weigh_path", weighing(values)):
        q = Chain(spec, p, turn=1).run(np.random.default_rng(1), U.move_path_hierarchies)
    own = np.flatnonzero(GROUPS == 0)
    assert ((q["logit_phi"] != p["logit_phi"])[own] == accepted).all()


def test_each_path_is_accepted_by_what_it_gains():
    spec, p = world(**BOTH)
    values = [0.0, 1e3, 0.0, -1e3, 1e3, 0.0, -1e3, 0.0]
    with mock.patch.object(plain("updates.asset_volatility"), "weigh_path", weighing(values)):
        q = Chain(spec, p).run(np.random.default_rng(1), U.draw_asset_paths)
    assert (q["logit_phi"] != p["logit_phi"]).tolist() == [True, False, False, True]


def weighing(values):
    """A ``weigh_path`` that says these numbers one after the other; parts and weights are as they are."""
    original, left = plain("updates.asset_volatility").weigh_path, list(values)

    def watched(*args):
        original(*args)
        return left.pop(0)

    return watched


def test_a_lane_says_nothing_where_there_is_no_return():
    """Of an asset that lists late, or has a gap; whatever the lane held before."""
    spec, p = world(**BOTH)
    chain = Chain(spec, p)
    gaps = 0
    for i in range(N):
        information, pull = np.full((2, T), np.nan)
        plain("updates.asset_volatility").open_lane(
            np.random.default_rng(i), chain.data, chain.state, chain.scratch, i, information, pull
        )
        seen = chain.data.returns.seen[i] > 0
        assert (information[seen] > 0).all()
        assert (information[~seen] == 0).all()
        assert (pull[~seen] == 0).all()
        outside = (np.arange(T) < chain.data.asset_volatility.first[i]) | (
            np.arange(T) >= chain.data.asset_volatility.stop[i]
        )
        gaps += outside.sum()
    assert gaps > 0


def test_each_lane_has_the_hierarchy_of_its_group():
    spec, p = world(**BOTH)
    module, seen = plain("updates.asset_volatility"), []
    original = module.draw_coefficients

    def watched(rng, own, width, *rest):
        seen.append((own.member[:width].copy(), own.mu[:, :width].copy(), own.sigma[:, :width].copy()))
        original(rng, own, width, *rest)

    with mock.patch.object(module, "draw_coefficients", watched):
        Chain(spec, p).run(np.random.default_rng(1), U.draw_asset_paths)
    member, mu, sigma = seen[0]
    assert member.tolist() == list(range(N))
    for row, name in enumerate(ASSET_PARAMETERS):
        np.testing.assert_array_equal(mu[row], p[f"mu_{name}"][GROUPS])
        np.testing.assert_array_equal(sigma[row], p[f"sigma_{name}"][GROUPS])


@pytest.mark.parametrize("update", [U.draw_asset_paths, U.move_path_hierarchies])
def test_many_paths_go_through_several_blocks_of_lanes(update):
    """With two lanes four assets take two blocks: each path is drawn given what its own returns say."""
    spec, p = world(**BOTH)
    found = []
    for width in (LANES, 2):
        with patched("LANES", width):
            rng = np.random.default_rng(4)
            chain = Chain(spec, p, turn=int(update is U.move_path_hierarchies))
            draws = np.array([chain.run(rng, update)["volatility_state"] for _ in range(150)])
        assert_current(chain)
        found.append(draws)
    wide, narrow = found
    error = np.hypot(wide.std(axis=0), narrow.std(axis=0)) / math.sqrt(150 / 12)
    assert np.abs((wide.mean(axis=0) - narrow.mean(axis=0)) / error).max() < 4.5
