import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bdfm.errors import DataError, ModelError
from bdfm.inference.align import _pivot, align
from bdfm.inference.ess import rhat

CHAINS, DRAWS, ASSETS, PERIODS = 4, 150, 30, 12


def orthogonal(rng, shape, k):
    return np.linalg.qr(rng.standard_normal((*shape, k, k)))[0]


def signed_permutations(rng, n, k):
    result = np.zeros((n, k, k))
    for matrix in result:
        matrix[np.arange(k), rng.permutation(k)] = rng.choice([-1.0, 1.0], k)
    return result


def simulated(rng, k, *, noise=0.05, turn=None, n_asset=ASSETS):
    """Posterior (loadings, factors, factor_scale) of a sparse truth, draws turned; and that truth (L, f)."""
    sizes = 0.05 * 0.75 ** np.arange(k)
    mean = rng.gamma(3.0, 1 / 3, (n_asset, k)) * (np.arange(n_asset)[:, None] % k == np.arange(k))
    mean[:, 0] += 0.8 if k > 1 else 0
    mean *= sizes
    f_mean = rng.standard_normal((PERIODS, k))
    # The orientation that align promises.
    orient = align(mean[None], f_mean[None], np.ones((1, k))).rotation[0]
    mean, f_mean = mean @ orient, f_mean @ orient
    lead = (CHAINS, DRAWS)
    scaled = mean + noise * 0.05 * rng.standard_normal((*lead, n_asset, k))
    f = f_mean + noise * rng.standard_normal((*lead, PERIODS, k))
    if turn is not None:
        scaled, f = scaled @ turn, f @ turn
    scale = 0.03 * np.exp(0.3 * rng.standard_normal((*lead, k)))
    return (scaled / scale[..., None, :], f * scale[..., None, :], scale), (mean, f_mean)


def covariance(w, scale):
    scaled = w * scale[..., None, :]
    return scaled @ np.swapaxes(scaled, -1, -2)


def close(new, old, rel=1e-10):
    return np.abs(new - old).max() <= rel * np.abs(old).max()


def worst_rhat(draws):
    return rhat(draws).max()


@pytest.mark.parametrize("method", ["procrustes", "rsp"])
@pytest.mark.parametrize("per", ["draw", "chain"])
@pytest.mark.parametrize("k", [2, 5])
def test_random_rotations_are_undone(rng, method, per, k):
    turn = orthogonal(rng, (CHAINS, DRAWS) if per == "draw" else (CHAINS, 1), k)
    given_draws, (truth, f_truth) = simulated(rng, k, turn=turn)
    result = align(*given_draws, method=method)
    assert result.converged
    if per == "chain":
        assert worst_rhat(given_draws[0] * given_draws[2][..., None, :]) > 1.5
    for draws in (result.loadings, result.factors, result.factor_scale):
        assert worst_rhat(draws) < 1.03
    # The truth has the orientation of the result, up to signs and order where two factors are close.
    matched = align(truth[None], f_truth[None], np.ones((1, k)), rotate=False, reference=result.reference)
    strict = method == "procrustes"
    assert np.abs(result.reference - matched.loadings[0]).max() < (0.6 if strict else 2) * 0.05 * 0.05
    standardised = (result.factors / result.factor_scale[..., None, :]).mean((0, 1))
    assert np.abs(standardised - matched.factors[0]).max() < (0.1 if strict else 0.2)


def test_spread_is_lower_with_procrustes_than_with_rsp(rng):
    k = 5
    given_draws, _ = simulated(rng, k, noise=0.3, turn=orthogonal(rng, (CHAINS, DRAWS), k))
    spread = {}
    for method in ("procrustes", "rsp"):
        result = align(*given_draws, method=method)
        spread[method] = np.square(
            result.loadings * result.factor_scale[..., None, :] - result.reference
        ).sum()
    assert spread["procrustes"] < spread["rsp"]


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    k=st.integers(1, 5),
    n_asset=st.integers(1, 8),
    rotate=st.booleans(),
    method=st.sampled_from(["procrustes", "rsp"]),
    collapsed=st.sampled_from([1.0, 1e-5, 1e-12]),
)
def test_products_and_covariance_are_unchanged(seed, k, n_asset, rotate, method, collapsed):
    rng = np.random.default_rng(seed)
    w = rng.standard_t(4, (20, n_asset, k))
    scale = 0.03 * np.exp(rng.standard_normal((20, k)))
    scale[:, -1] *= collapsed
    lam = scale[:, None, :] * rng.standard_normal((20, 6, k))
    result = align(w, lam, scale, rotate=rotate, method=method)
    assert close(result.loadings @ result.factors.swapaxes(1, 2), w @ lam.swapaxes(1, 2))
    assert close(covariance(result.loadings, result.factor_scale), covariance(w, scale))
    identity = result.rotation.swapaxes(1, 2) @ result.rotation
    assert np.abs(identity - np.eye(k)).max() < 1e-12
    assert (result.factor_scale > 0).all()
    scaled, aligned = w * scale[:, None, :], result.loadings * result.factor_scale[:, None, :]
    assert close(aligned, scaled @ result.rotation)
    assert close(result.reference, aligned.mean(0), 1e-5)
    assert np.all(result.reference.sum(0) >= -1e-9 * np.abs(result.reference).max())
    assert np.all(np.diff(result.factor_scale.mean(0)) <= 1e-12)


@pytest.mark.parametrize("method", ["procrustes", "rsp"])
def test_aligned_loadings_have_unit_root_mean_square(rng, method):
    given_draws, _ = simulated(rng, 3, turn=orthogonal(rng, (CHAINS, DRAWS), 3))
    result = align(*given_draws, method=method)
    np.testing.assert_allclose(np.square(result.loadings).mean(-2), 1, rtol=1e-10)


def test_without_rotation_values_are_moved_exactly(rng):
    k = 4
    given_draws, (truth, _) = simulated(rng, k)
    w, lam, scale = (x.reshape(-1, *x.shape[2:]) for x in given_draws)
    scale = np.broadcast_to([0.02, 0.05, 0.01, 0.03], scale.shape).copy()
    w = truth / scale[:, None, :] * np.exp(0.1 * rng.standard_normal(w.shape))
    rho = np.broadcast_to([0.1, -0.2, 0.3, 0.5], scale.shape).copy()
    step = signed_permutations(rng, len(w), k)
    moved = (w @ step, lam @ step, (scale[:, None] @ np.abs(step))[:, 0])
    result = align(*moved, rotate=False, coefficients={"rho": (rho[:, None] @ np.abs(step))[:, 0]})
    assert set(np.unique(result.rotation)) == {-1.0, 0.0, 1.0}
    order = [1, 3, 0, 2]  # by falling factor scale; the truth's columns have positive sums
    np.testing.assert_array_equal(result.loadings, w[..., order])
    np.testing.assert_array_equal(result.factors, lam[..., order])
    np.testing.assert_array_equal(result.factor_scale, scale[..., order])
    np.testing.assert_array_equal(result.coefficients["rho"], rho[..., order])


def test_signed_permutation_is_the_best_of_all(rng):
    """One draw against a far reference, where rows compete for columns: all 48 signed permutations."""
    from itertools import permutations, product

    k = 3
    for _ in range(20):
        draw, target = rng.standard_normal((2, 5, k)) + 1.5 * rng.standard_normal((2, 5, 1))
        result = align(draw[None], np.zeros((1, 1, k)), np.ones((1, k)), rotate=False, reference=target)
        losses = [
            np.square(draw[:, list(p)] * s - target).sum()
            for p in permutations(range(k))
            for s in product([-1, 1], repeat=k)
        ]
        assert len(losses) == 48
        assert np.square(result.loadings[0] - target).sum() == pytest.approx(min(losses))


def test_one_factor_only_changes_sign(rng):
    given_draws, (truth, _) = simulated(rng, 1, turn=rng.choice([-1.0, 1.0], (CHAINS, DRAWS, 1, 1)))
    result = align(*given_draws)
    assert set(np.unique(result.rotation)) == {-1.0, 1.0}
    assert result.reference.sum() > 0
    assert np.abs(result.reference - truth).max() < 0.0015
    assert worst_rhat(result.factors) < 1.03


@pytest.mark.parametrize(
    ("rotate", "method"), [(True, "procrustes"), (True, "rsp"), (False, "procrustes")], ids=str
)
def test_aligning_twice_changes_nothing_and_runs_repeat(rng, rotate, method):
    k = 5
    given_draws, _ = simulated(rng, k, noise=1.0, turn=orthogonal(rng, (CHAINS, DRAWS), k))
    once = align(*given_draws, rotate=rotate, method=method)
    repeat = align(*given_draws, rotate=rotate, method=method)
    np.testing.assert_array_equal(once.loadings, repeat.loadings)
    np.testing.assert_array_equal(once.factors, repeat.factors)
    twice = align(once.loadings, once.factors, once.factor_scale, rotate=rotate, method=method)
    assert twice.iterations == 0
    for name in ("loadings", "factors", "factor_scale", "reference"):
        assert close(getattr(twice, name), getattr(once, name))


def test_chains_in_one_axis_or_two_give_the_same(rng):
    given_draws, _ = simulated(rng, 3, turn=orthogonal(rng, (CHAINS, DRAWS), 3))
    both = align(*given_draws)
    flat = align(*(x.reshape(-1, *x.shape[2:]) for x in given_draws))
    np.testing.assert_array_equal(both.loadings.reshape(flat.loadings.shape), flat.loadings)


def test_order_of_assets_does_not_matter(rng):
    given_draws, _ = simulated(rng, 3, turn=orthogonal(rng, (CHAINS, DRAWS), 3))
    w, lam, scale = given_draws
    shuffled = rng.permutation(ASSETS)
    plain, moved = align(w, lam, scale), align(w[..., shuffled, :], lam, scale)
    assert close(moved.loadings, plain.loadings[..., shuffled, :], 1e-4)
    assert close(moved.factors, plain.factors, 1e-4)


def test_reference_of_another_fit_is_kept(rng):
    k = 3
    given_draws, _ = simulated(rng, k, turn=orthogonal(rng, (CHAINS, DRAWS), k))
    first_fit = align(*given_draws)
    order = [2, 0, 1]
    target = first_fit.reference[:, order] * [-1, 1, 1]
    second = align(*given_draws, reference=target)
    assert second.iterations == 1
    np.testing.assert_array_equal(second.reference, target)
    assert close(second.factors, first_fit.factors[..., order] * [-1, 1, 1], 1e-4)


def test_apply_aligns_further_factor_values(rng):
    k = 3
    (w, lam, scale), _ = simulated(rng, k, turn=orthogonal(rng, (CHAINS, DRAWS), k))
    result = align(w, lam[..., :-1, :], scale)
    ahead = result.apply(lam[..., -1, :])
    assert ahead.shape == (CHAINS, DRAWS, k)
    product = np.einsum("...ik,...k->...i", result.loadings, ahead)
    assert close(product, np.einsum("...ik,...k->...i", w, lam[..., -1, :]))
    np.testing.assert_array_equal(result.apply(lam[..., :-1, :]), result.factors)
    with pytest.raises(DataError, match=r"shape \(4, 3\) do not fit draws of shape \(4, 150\) and 3 factors"):
        result.apply(lam[:, 0, -1])


def test_the_first_reference_is_neither_collapsed_nor_unusual():
    """The draw of median condition number: not the equal scales of the first, not the lost factor."""
    scales = np.array([[1.0, 1.0], [1.0, 1e-3], [1.0, 0.5], [2.0, 0.2], [1.0, 0.9]])
    draws = np.eye(4)[:, :2] * scales[:, None, :]
    assert _pivot(draws) == 2


def test_two_opposite_chains_do_not_cancel(rng):
    """The plain mean is exactly zero: the start must not be a fixed point."""
    (w, lam, scale), _ = simulated(rng, 2)
    w, lam, scale = (np.concatenate([x[:1], x[:1] * s]) for x, s in ((w, -1), (lam, -1), (scale, 1)))
    result = align(w, lam, scale)
    assert result.iterations > 0
    np.testing.assert_allclose(result.loadings[0], result.loadings[1], rtol=1e-9, atol=1e-12)


def test_equal_and_empty_factors_are_no_trouble():
    w = np.broadcast_to(np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [1.0, -1.0, 0.0]]), (5, 3, 3))
    result = align(w, np.ones((5, 2, 3)), np.ones((5, 3)))
    assert np.isfinite(result.loadings).all()
    assert np.isfinite(result.factors).all()
    assert close(result.loadings @ result.factors.swapaxes(1, 2), w @ np.ones((5, 3, 2)))


def test_too_few_iterations_are_reported(rng):
    given_draws, _ = simulated(rng, 5, noise=2.0, turn=orthogonal(rng, (CHAINS, DRAWS), 5))
    result = align(*given_draws, max_iterations=1)
    assert not result.converged
    assert repr(result) == (
        "<bdfm.inference.Alignment: 4 x 150 draws, 30 assets, 5 factors, not converged after 1 iterations>"
    )


def test_errors(rng):
    (w, lam, scale), _ = simulated(rng, 2)
    with pytest.raises(ModelError, match=r"rho differs between factors.* Pass rotate=False"):
        align(w, lam, scale, coefficients={"rho": scale})
    with pytest.raises(
        DataError, match=r"loadings must be \(\.\.\., draw, asset, factor\), got shape \(3, 2\)"
    ):
        align(np.ones((3, 2)), lam, scale)
    with pytest.raises(DataError, match=r"factors \(4, 150, 12, 1\) do not fit loadings \(4, 150, 30, 2\)"):
        align(w, lam[..., :1], scale)
    with pytest.raises(DataError, match=r"factor_scale \(4, 150, 1\), rho \(2,\) do not fit loadings"):
        align(w, lam, scale[..., :1], rotate=False, coefficients={"rho": np.ones(2)})
    with pytest.raises(DataError, match="factors must be finite in every draw"):
        align(w, lam * np.nan, scale)
    with pytest.raises(DataError, match="factor_scale must be above 0 in every draw, got 0"):
        align(w, lam, scale * 0)
    with pytest.raises(DataError, match='method must be "procrustes" or "rsp", got \'varimax\''):
        align(w, lam, scale, method="varimax")
    with pytest.raises(DataError, match=r"the reference must hold 30 x 2 .* got shape \(2, 2\)"):
        align(w, lam, scale, reference=np.eye(2))
    with pytest.raises(DataError, match="max_iterations must be a whole number of at least 1, got 0"):
        align(w, lam, scale, max_iterations=0)
